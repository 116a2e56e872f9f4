import { hash } from 'node:crypto';
import { GatewayError } from '../errors.ts';
import { printETag } from '../fhir/etag.ts';
import type { Options } from '../fhir/interaction.ts';
import { isJsonArray, isJsonObject, parseJsonObject, type JsonObject } from '../fhir/json.ts';
import { PATCH_TYPES } from '../fhir/print-interaction.ts';
import { capabilityStatement } from '../pdp/capabilities.ts';
import { within } from '../pdp/deadline.ts';
import type { LocalAnswer } from '../usecase/definition.ts';
import { answerResource, answerWritten } from './answer.ts';
import { judgeRead } from './answer-judgement.ts';
import type { AnswerOptions } from './answer-options.ts';
import { isListing } from './entries.ts';
import type { RequestRecord } from './record.ts';
import { refuseDenied } from './refusal.ts';
import type { Reply } from './reply.ts';
import type { Permitted } from './stages.ts';

/**
 * Answers a permitted read in the custodian's place: by code of the use case, which has look-ups and nothing else. A list is answered whole: it is not told
 * of pages, so that it can have none.
 * @throws GatewayError `not_found` when it has nothing, `internal` when it throws, takes too long or gives what is no resource
 */
export async function answerLocally(
  permitted: Permitted,
  local: LocalAnswer<unknown>,
  record: RequestRecord,
  options: AnswerOptions,
): Promise<Reply> {
  // The first page again would look like the next.
  if (permitted.authenticated.continuation !== undefined)
    return refuseDenied(record, { code: 'link_of_another_search', text: `${local.name} has no further pages` });
  await record.intent();
  const { request, information, selected, interaction } = permitted.verdict;
  let given: unknown;
  try {
    // It may throw before it has a promise to give.
    const answering = async (): Promise<unknown> => local.answer(request, selected.config, information);
    given = await within(options.reviewDeadlineMs, answering());
  } catch (cause) {
    // A look-up that failed is what it is: 502, 503 or 504.
    if (cause instanceof GatewayError && cause.status > 500) throw cause;
    throw new GatewayError('internal', `the answer ${local.name} failed`, { cause, reason: 'local_answer_failed' });
  }
  if (given === undefined) throw new GatewayError('not_found', `${local.name} has nothing`, { reason: 'not_answered_locally' });
  const resource = asResource(given, local.name, options.maxReviewBytes);
  return leave(permitted, record, isListing(interaction) ? asWhole(resource, local.name) : resource, options);
}

/** A list without links: those are the gate's own. One that says to go on would end too early and look whole. */
function asWhole(bundle: JsonObject, name: string): JsonObject {
  const { link, ...rest } = bundle;
  if (link === undefined) return bundle;
  const isWhole = isJsonArray(link) && !link.some((each) => isJsonObject(each) && each['relation'] === 'next');
  if (!isWhole) throw malformed(name, 'gave a list that goes on elsewhere: it has to be whole');
  return rest;
}

/** `GET metadata`: what the caller's role may ask. Nobody else is asked, so that nothing of the server behind shows. */
export async function answerCapabilities(permitted: Permitted, record: RequestRecord, options: AnswerOptions): Promise<Reply> {
  await record.intent();
  const { selected } = permitted.verdict;
  const { tenant } = permitted.authenticated.addressed;
  const statement = capabilityStatement(selected.role, {
    base: `${tenant.publicUrl}/fhir`,
    title: selected.useCase.title,
    now: options.clock.now(),
    generations: tenant.node.generations,
    authorizationServerUrl: tenant.identity.authorizationServerUrl,
  });
  return leave(permitted, record, statement, options, new Map([['etag', tagOf(statement)]]));
}

/** The same as long as the statement says the same, in every process: its date is that of one process. */
function tagOf({ date: _date, ...said }: JsonObject): string {
  return printETag(hash('sha256', JSON.stringify(said), 'hex').slice(0, 16));
}

/** `OPTIONS`: which methods the grammar has for a path (RFC 9110 §9.3.7), whoever asks; what a role has of them, `metadata` tells. */
export async function answerOptions({ allow }: Options, record: RequestRecord): Promise<Reply> {
  await record.intent();
  const patches = allow.includes('PATCH') ? { 'accept-patch': PATCH_TYPES['json-patch'] } : {};
  return answerWritten(record, 204, { allow: allow.join(', '), ...patches });
}

/** What the gate made itself is judged as what a custodian sends. */
async function leave(
  permitted: Permitted,
  record: RequestRecord,
  resource: JsonObject,
  options: AnswerOptions,
  headers: ReadonlyMap<string, string> = new Map(),
): Promise<Reply> {
  const upstream = options.upstream(permitted.authenticated.addressed.tenant);
  const judged = await judgeRead(permitted, record, resource, upstream, options);
  if (judged === 'not-shown')
    return refuseDenied(record, { code: 'stored_of_another_patient', text: 'the local answer does not show its proof' });
  return answerResource(permitted, record, judged, headers, upstream);
}

/** Use cases are JavaScript at run time: what they give is read as strictly as what comes over the wire. */
function asResource(given: unknown, name: string, maxBytes: number): JsonObject {
  let cause: unknown;
  try {
    const bytes = Buffer.from(JSON.stringify(given));
    const resource = bytes.byteLength > maxBytes ? {} : parseJsonObject(bytes);
    if (typeof resource['resourceType'] === 'string') return resource;
  } catch (error) {
    cause = error;
  }
  throw malformed(name, 'gave no resource, or one that is too large', cause);
}

function malformed(name: string, problem: string, cause?: unknown): GatewayError {
  return new GatewayError('internal', `the answer ${name} ${problem}`, {
    reason: 'local_answer_malformed',
    ...(cause === undefined ? {} : { cause }),
  });
}
