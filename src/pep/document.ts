import { randomUUID } from 'node:crypto';
import { GatewayError } from '../errors.ts';
import { printJson, type JsonObject } from '../fhir/json.ts';
import { localReference, references, type LocalReference } from '../fhir/reference.ts';
import { isResourceType } from '../fhir/version.ts';
import type { DecisionPoint } from '../pdp/decide.ts';
import { answerResource, callerGone } from './answer.ts';
import { judgeRead } from './answer-judgement.ts';
import type { AnswerOptions } from './answer-options.ts';
import { eachOf } from './each-of.ts';
import { questionOf } from './question.ts';
import type { RequestRecord } from './record.ts';
import { refuseDenied } from './refusal.ts';
import type { Reply } from './reply.ts';
import type { Permitted } from './stages.ts';

export interface DocumentOptions extends AnswerOptions {
  readonly decisions: DecisionPoint;
}

/** What one document may hold, and how much of it is read at a time. */
const MAX_RESOURCES = 500;
const CONCURRENCY = 8;
/** For all reads of one document together; each has the server's own besides. */
const DEADLINE_MS = 30_000;

/** Whether the gate makes the answer itself: `[base]/Composition/[id]/$document` of a tenant with `document: assemble`. */
export function isAssembled({ authenticated: { addressed }, verdict: { interaction } }: Permitted): boolean {
  return (
    addressed.tenant.fhir.document === 'assemble' &&
    interaction.kind === 'operation-instance' &&
    interaction.type === 'Composition' &&
    interaction.operation === '$document'
  );
}

/**
 * Makes a document: the Composition, and of everything that it refers to itself (subject, authors, attesters, custodian, encounter, entries of sections at every
 * depth; documents.html) what the caller might read alone: each is judged, proved, redacted and reviewed as its read. What is denied or not there is left out, and
 * so are Binaries, which are read by themselves. What those refer to in turn is not followed.
 *
 * @throws GatewayError `not_found` without the Composition, `bad_request` for parameters, `upstream_failed` for a document that is too large or cannot be read whole
 */
export async function answerDocument(permitted: Permitted, record: RequestRecord, options: DocumentOptions): Promise<Reply> {
  const { interaction } = permitted.verdict;
  const { tenant, received } = permitted.authenticated.addressed;
  if (interaction.kind !== 'operation-instance') throw new GatewayError('internal', 'a document of no instance');
  // A rule may let in `persist` or `graph`; ignoring either would be another answer than was asked for.
  const [parameter] = interaction.parameters;
  if (parameter !== undefined) {
    throw new GatewayError('bad_request', 'a document that the gate assembles has no parameters', {
      fields: [{ field: parameter.key, problem: 'is not supported' }],
    });
  }
  const gone = new AbortController();
  received.onGone(() => {
    gone.abort(callerGone());
  });
  const endsMs = performance.now() + DEADLINE_MS;
  await record.intent();
  const upstream = options.upstream(tenant);
  await record.lookUp('Composition', interaction.id);
  const composition = await upstream.store.read('Composition', interaction.id);
  if (composition === undefined) throw new GatewayError('not_found', 'no such Composition', { reason: 'not_at_custodian' });

  const named = namedIn(composition.resource, upstream.bases.upstream, permitted);
  if (named.length > MAX_RESOURCES) throw tooLarge();
  let left = options.maxReviewBytes - sizeOf(composition.resource);
  const found = await eachOf(named, CONCURRENCY, async (reference) => {
    gone.signal.throwIfAborted();
    if (left < 0) throw tooLarge();
    if (performance.now() > endsMs) throw new GatewayError('upstream_timeout', 'the document could not be read in time');
    const resource = await readAs(permitted, reference, record, options);
    if (resource !== undefined) left -= sizeOf(resource);
    return resource;
  });
  if (left < 0) throw tooLarge();
  gone.signal.throwIfAborted();

  const resources = [composition.resource, ...found.filter((each) => each !== undefined)];
  const document = documentOf(resources, upstream.bases.upstream, tenant.fhir.version, options.clock.now());
  const judged = await judgeRead(permitted, record, document, upstream, options);
  if (judged === 'not-shown')
    return refuseDenied(record, { code: 'stored_of_another_patient', text: 'the Composition does not show its proof' });
  return answerResource(permitted, record, judged, new Map(), upstream);
}

/** What a Composition refers to at this custodian, each once, in the order of the references. A version says nothing: the resource as it is goes along. */
function namedIn(composition: JsonObject, base: string, { authenticated }: Permitted): readonly LocalReference[] {
  const { version } = authenticated.addressed.tenant.fhir;
  const named = new Map<string, LocalReference>();
  for (const { value, element } of references(composition)) {
    const local = element === 'Reference' ? localReference(value, base) : undefined;
    if (local === undefined || !isResourceType(version, local.type)) continue;
    // Other Compositions are documents of their own.
    if (local.type === 'Binary' || local.type === 'Composition') continue;
    named.set(`${local.type}/${local.id}`, local);
  }
  return [...named.values()];
}

/** What of a resource the same caller would get by its read; undefined for what it would not get. */
async function readAs(
  permitted: Permitted,
  { type, id }: LocalReference,
  record: RequestRecord,
  options: DocumentOptions,
): Promise<JsonObject | undefined> {
  const interaction = { kind: 'read', type, id, parameters: [], head: false } as const;
  const authenticated = { ...permitted.authenticated, interaction };
  const verdict = await options.decisions.decide(questionOf(authenticated, record, options.clock));
  // What could not be judged because a look-up failed is not left out of what looks whole.
  if (verdict.effect === 'deny' && verdict.cause instanceof GatewayError) throw verdict.cause;
  // What a use case would answer in the custodian's place is no part of the custodian's document.
  if (verdict.effect === 'deny' || verdict.local !== undefined) return undefined;
  const upstream = options.upstream(authenticated.addressed.tenant);
  await record.lookUp(type, id);
  const read = await upstream.store.read(type, id);
  if (read === undefined) return undefined;
  const judged = await judgeRead({ stage: 'permitted', authenticated, verdict }, record, read.resource, upstream, options);
  return judged === 'not-shown' ? undefined : judged;
}

/** `timestamp` is R4's; STU3 has `meta.lastUpdated` only (bundle.html). Named as the custodian names it: our base is put in on the way out. */
function documentOf(resources: readonly JsonObject[], base: string, version: 'STU3' | 'R4', now: Date): JsonObject {
  const at = now.toISOString();
  return {
    resourceType: 'Bundle',
    meta: { lastUpdated: at },
    identifier: { system: 'urn:ietf:rfc:3986', value: `urn:uuid:${randomUUID()}` },
    type: 'document',
    ...(version === 'R4' ? { timestamp: at } : {}),
    entry: resources.map((resource) => {
      const { resourceType, id } = resource;
      if (typeof resourceType !== 'string' || typeof id !== 'string')
        throw new GatewayError('internal', 'a resource without a name');
      return { fullUrl: `${base}/${resourceType}/${id}`, resource };
    }),
  };
}

function sizeOf(resource: JsonObject): number {
  return Buffer.byteLength(printJson(resource));
}

function tooLarge(): GatewayError {
  return new GatewayError('upstream_failed', `the document has more than ${String(MAX_RESOURCES)} resources, or is too large`, {
    reason: 'document_too_large',
  });
}
