import type { AuditSink } from '../audit/sink.ts';
import { GatewayError } from '../errors.ts';
import { parseBundle, type BundleEntry, type RequestBundle } from '../fhir/bundle.ts';
import { printETag } from '../fhir/etag.ts';
import { isWrite, type Interaction } from '../fhir/interaction.ts';
import { parseJsonPatch, type JsonPatch } from '../fhir/json-patch.ts';
import { parseJson, parseJsonObject, printJson, type JsonObject } from '../fhir/json.ts';
import { resolveBodyFormat } from '../fhir/media.ts';
import { printInteraction } from '../fhir/print-interaction.ts';
import type { Tenant } from '../tenant/tenant.ts';
import { parseAnswer } from './answer-body.ts';
import { answerResource, callerGone } from './answer.ts';
import type { AnswerOptions } from './answer-options.ts';
import { readResource } from './body.ts';
import { insistOnFittingConditions } from './conditions.ts';
import { eachOf } from './each-of.ts';
import { continuationOf, type Continuation } from './page-links.ts';
import { openRecord, type RequestRecord } from './record.ts';
import { refuse } from './refusal.ts';
import type { Reply } from './reply.ts';
import type { Authenticated, Permitted, Received } from './stages.ts';
import { placeOfEntry, refusedAt, statusText, type EntryRequest } from './bundle-entry.ts';
import { answerTransaction, type TransactionOptions } from './transaction.ts';
import type { Watch } from './watch.ts';

export interface BundleOptions extends AnswerOptions, TransactionOptions {
  readonly audit: AuditSink;
  readonly maxBundleBytes: number;
  readonly watch?: Watch;
  /** Judges and carries out one entry of a batch as the request that it would be alone; always an answer. */
  alone(authenticated: Authenticated, record: RequestRecord): Promise<Reply>;
}

/**
 * Carries out a batch or transaction that a rule lets in: each entry is read as the same model as a request that comes alone, and judged as if it did (ADR 0012).
 * @throws GatewayError `invalid_body` (400), `body_too_large` (413), and for whatever fails
 */
export async function answerBundle(permitted: Permitted, record: RequestRecord, options: BundleOptions): Promise<Reply> {
  const { received, tenant } = permitted.authenticated.addressed;
  const bytes = await received.readBody(options.maxBundleBytes);
  const bundle = parseBundle(parseJsonObject(bytes), {
    version: tenant.fhir.version,
    base: `${tenant.publicUrl}/fhir`,
    maxEntries: tenant.limits.bundleEntries,
  });
  if (bytes.byteLength > options.maxResourceBytes) insistOnSmallResources(bundle, options.maxResourceBytes);
  const gone = new AbortController();
  received.onGone(() => {
    gone.abort(callerGone());
  });
  const requests = toRequests(permitted, bundle, gone.signal, options);
  return bundle.bundleType === 'transaction'
    ? answerTransaction(permitted, requests, record, options)
    : answerBatch(permitted, requests, gone.signal, record, options);
}

/** What could not come alone cannot come in a Bundle: a page that holds it could not be shown to anybody. @throws GatewayError `body_too_large` (413) */
function insistOnSmallResources({ entries }: RequestBundle, maxBytes: number): void {
  for (const [index, { resource, patch }] of entries.entries()) {
    const bytes = patch?.bytes.byteLength ?? (resource === undefined ? 0 : Buffer.byteLength(printJson(resource)));
    if (bytes <= maxBytes) continue;
    const field = `${placeOfEntry(index)}.resource`;
    const problem = `has more than ${String(maxBytes)} bytes`;
    throw new GatewayError('body_too_large', `${field} ${problem}`, { fields: [{ field, problem }] });
  }
}

function toRequests(
  { authenticated }: Permitted,
  { entries }: RequestBundle,
  gone: AbortSignal,
  options: BundleOptions,
): readonly EntryRequest[] {
  const { addressed, caller } = authenticated;
  const referred = new Map<string, Promise<boolean>>();
  return entries.map((entry, index) => {
    const { resource, patch } = entry;
    const continuation = linkOf(entry.interaction, addressed.tenant, options);
    const interaction = continuation?.interaction ?? entry.interaction;
    const received: Received = {
      ...seenOf(addressed.received),
      stage: 'received',
      method: printInteraction(interaction).method,
      target: addressed.received.target,
      headers: headersOf(entry, addressed.received.headers.get('prefer')),
      hasBody: resource !== undefined || patch !== undefined,
      readBody: () => Promise.reject(new GatewayError('internal', 'an entry has no body of its own')),
      onGone: (listener) => {
        if (gone.aborted) listener();
        else
          gone.addEventListener(
            'abort',
            () => {
              listener();
            },
            { once: true },
          );
      },
    };
    const part = `entry-${String(index + 1)}`;
    const record =
      options.watch?.open(received, part) ?? openRecord(received, options.audit, options.clock, options.metrics, part);
    record.addressed(addressed.tenant);
    record.authenticated(caller);
    record.asks(interaction);
    const refused = refusalOf(entry, interaction, received, addressed.tenant, placeOfEntry(index));
    return {
      entry,
      record,
      ...(refused === undefined ? {} : { refused }),
      authenticated: {
        stage: 'authenticated',
        addressed: { ...addressed, received, interaction, segments: [], query: [] },
        interaction,
        caller,
        answer: 'json',
        referred,
        ...(continuation === undefined ? {} : { continuation }),
        body: () =>
          resource === undefined
            ? Promise.reject(new GatewayError('invalid_body', 'the entry has no resource'))
            : Promise.resolve(readResource(resource, interaction, addressed.tenant)),
        ...(patch === undefined ? {} : { patch: stepsOf(patch.bytes, `${placeOfEntry(index)}.resource.data`) }),
      },
    };
  });
}

/** The conditions as headers, which is how they come alone; what the caller prefers to get back it says once for all. */
function headersOf({ ifMatch, ifNoneMatch }: BundleEntry, prefer: string | undefined): ReadonlyMap<string, string> {
  const headers = new Map<string, string>();
  if (prefer !== undefined) headers.set('prefer', prefer);
  if (ifMatch !== undefined) headers.set('if-match', printETag(ifMatch));
  if (ifNoneMatch !== undefined) headers.set('if-none-match', ifNoneMatch === '*' ? ifNoneMatch : printETag(ifNoneMatch));
  return headers;
}

/** What is refused alone before it is judged is refused here, by the same code: the entry of a batch, and a transaction as a whole. */
function refusalOf(
  { patch }: BundleEntry,
  interaction: Interaction,
  { headers }: Received,
  tenant: Tenant,
  place: string,
): GatewayError | undefined {
  try {
    insistOnFittingConditions(headers, interaction);
    if (patch !== undefined) resolveBodyFormat(patch.contentType, interaction, tenant.fhir.version);
    return undefined;
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    return refusedAt(error, (field) => NAMES_IN_BUNDLE.get(field)?.(place));
  }
}

const NAMES_IN_BUNDLE: ReadonlyMap<string, (place: string) => string> = new Map([
  ['Content-Type', (place) => `${place}.resource.contentType`],
  ['If-None-Match', (place) => `${place}.request.ifNoneMatch`],
]);

/** Read when it is carried out, once: who may not patch does not learn whether the steps are any. */
function stepsOf(bytes: Uint8Array, place: string): () => Promise<JsonPatch> {
  let steps: JsonPatch | undefined;
  return () => Promise.resolve().then(() => (steps ??= readSteps(bytes, place)));
}

function readSteps(bytes: Uint8Array, place: string): JsonPatch {
  try {
    return parseJsonPatch(parseJson(bytes));
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    const { field = 'patch', problem = 'is none' } = error.options.fields?.[0] ?? {};
    const fields = [{ field: place, problem: `must be a JSON Patch: ${field} ${problem}` }];
    throw new GatewayError(error.code, `${place} must be a JSON Patch: ${field} ${problem}`, { cause: error, fields });
  }
}

/** A link that is refused alone is refused here, by the rules: none has its parameter. */
function linkOf(asked: Interaction, tenant: Tenant, { sealer, clock }: BundleOptions): Continuation | undefined {
  try {
    return continuationOf(asked, tenant, sealer, clock.now().getTime());
  } catch (error) {
    if (error instanceof GatewayError && error.code === 'forbidden') return undefined;
    throw error;
  }
}

function seenOf({ correlationId, remoteAddress }: Received): Pick<Received, 'correlationId' | 'remoteAddress' | 'startedMs'> {
  return { correlationId, remoteAddress, startedMs: performance.now() };
}

/** How many reads of one batch are under way at once. Each is held whole while it is judged, besides what is kept of those that were answered. */
const READS_AT_ONCE = 4;

/**
 * Each entry on its own; the answer holds as many as the question, in its order. Reads that follow one another go side by side; a write goes alone, so that
 * what comes after it sees it. For a caller that has gone nothing more goes up.
 */
async function answerBatch(
  permitted: Permitted,
  requests: readonly EntryRequest[],
  gone: AbortSignal,
  record: RequestRecord,
  options: BundleOptions,
): Promise<Reply> {
  const { tenant } = permitted.authenticated.addressed;
  await record.intent();
  const waiting = new Set(requests);
  let left = options.maxReviewBytes;
  const take = (bytes: number): boolean => {
    if (bytes > left) return false;
    left -= bytes;
    return true;
  };
  const answerEntry = async (request: EntryRequest): Promise<JsonObject> => {
    gone.throwIfAborted();
    waiting.delete(request);
    const { authenticated, refused } = request;
    const reply = await (refused === undefined ? options.alone(authenticated, request.record) : refuse(request.record, refused));
    // One that does not fit any more, or broke off, fails alone: writes before it have happened, and the caller must learn of them.
    return toEntry(reply, await wholeBody(reply, take));
  };
  const atOnce = Math.min(READS_AT_ONCE, tenant.limits.concurrentRequests);
  const entry: JsonObject[] = [];
  try {
    for (const run of runsOf(requests)) entry.push(...(await eachOf(run, atOnce, answerEntry)));
    gone.throwIfAborted();
  } catch (error) {
    // What was not begun ends as the whole does, so that the audit has every entry that was asked for.
    await Promise.all([...waiting].map((request) => refuse(request.record, error)));
    throw error;
  }
  const answer: JsonObject = { resourceType: 'Bundle', type: 'batch-response', entry };
  return answerResource(permitted, record, answer, new Map(), options.upstream(tenant));
}

/** Reads that follow one another, and each write by itself. */
function runsOf(requests: readonly EntryRequest[]): readonly (readonly EntryRequest[])[] {
  const runs: EntryRequest[][] = [];
  let reads: EntryRequest[] | undefined;
  for (const request of requests) {
    if (isWrite(request.authenticated.interaction)) {
      reads = undefined;
      runs.push([request]);
    } else if (reads === undefined) {
      reads = [request];
      runs.push(reads);
    } else reads.push(request);
  }
  return runs;
}

/**
 * @param take counts bytes against what all answers may be together; false when they would be more
 * @returns undefined for what does not fit, and for a stream that did not come to its end
 */
async function wholeBody({ body }: Reply, take: (bytes: number) => boolean): Promise<Uint8Array | undefined> {
  switch (body.kind) {
    case 'none':
      return new Uint8Array();
    case 'bytes':
      return take(body.bytes.byteLength) ? body.bytes : undefined;
    case 'stream': {
      const chunks: Uint8Array[] = [];
      let bytes = 0;
      try {
        for await (const chunk of body.stream) {
          if (!take(chunk.byteLength)) throw new Error('the answers are too large together');
          bytes += chunk.byteLength;
          chunks.push(chunk);
        }
      } catch {
        await body.finish({ bytes: 0, complete: false });
        return undefined;
      }
      await body.finish({ bytes, complete: true });
      return Buffer.concat(chunks);
    }
  }
}

/** What broke off on its way here, or cannot be read in one way (a Binary is passed on unread), is no answer, and concerns no other entry. */
function toEntry({ status, headers }: Reply, bytes: Uint8Array | undefined): JsonObject {
  const resource = bytes === undefined ? 'broken' : readBody(bytes);
  if (resource === 'broken') return { response: { status: statusText(502) } };
  const { etag, location } = headers;
  const isFault = status >= 400;
  return {
    ...(resource === undefined || isFault ? {} : { resource }),
    response: {
      status: statusText(status),
      ...(location === undefined ? {} : { location }),
      ...(etag === undefined ? {} : { etag }),
      ...(resource !== undefined && isFault ? { outcome: resource } : {}),
    },
  };
}

function readBody(bytes: Uint8Array): JsonObject | 'broken' | undefined {
  if (bytes.byteLength === 0) return undefined;
  try {
    return parseAnswer(bytes);
  } catch {
    return 'broken';
  }
}
