import { GatewayError, type ErrorCode } from '../errors.ts';
import { printBundle, type BundleEntry } from '../fhir/bundle.ts';
import { parseETag } from '../fhir/etag.ts';
import { isJsonArray, isJsonObject, printJson, type JsonObject, type JsonValue } from '../fhir/json.ts';
import { FHIR_JSON } from '../fhir/media.ts';
import { isWrite } from '../fhir/interaction.ts';
import { answerResource } from './answer.ts';
import type { AnswerOptions } from './answer-options.ts';
import { insistOnJson, parseAnswer, readWhole } from './answer-body.ts';
import { judgeRead } from './answer-judgement.ts';
import { statusText, type EntryRequest } from './bundle-entry.ts';
import type { RequestRecord } from './record.ts';
import { refuseDenied, refuseRejected } from './refusal.ts';
import type { Reply } from './reply.ts';
import type { Authenticated, Decided, Permitted } from './stages.ts';
import type { UpstreamAnswer } from '../upstream/forward.ts';
import { rewriteHeader } from '../upstream/rewrite.ts';
import { prepareCreate, prepareUpdate, type Prepared } from './write-resource.ts';

export interface TransactionOptions extends AnswerOptions {
  judge(authenticated: Authenticated, record: RequestRecord): Promise<Decided>;
}

/** An entry that is permitted and checked, as it goes up. */
interface Ready {
  readonly request: EntryRequest;
  readonly permitted: Permitted;
  readonly sent: BundleEntry;
}

/**
 * Carries out a transaction: all entries are permitted, and every write was held against what is stored, or nothing goes up. Only the server can make it
 * one step, so it gets it whole, rebuilt from what was judged.
 * @throws GatewayError for failures
 */
export async function answerTransaction(
  whole: Permitted,
  requests: readonly EntryRequest[],
  record: RequestRecord,
  options: TransactionOptions,
): Promise<Reply> {
  const { tenant } = whole.authenticated.addressed;
  const permitted: Permitted[] = [];
  for (const [index, { authenticated, record: own }] of requests.entries()) {
    const decided = await options.judge(authenticated, own);
    if (decided.stage === 'denied') {
      const { code, text } = decided.verdict.reason;
      await refuseDenied(own, decided.verdict.reason);
      return refuseDenied(record, {
        code: 'entry_denied',
        text: `entry ${String(index + 1)}: ${code}${text === undefined ? '' : `, ${text}`}`,
      });
    }
    permitted.push(decided);
  }
  await record.intent();
  const ready: Ready[] = [];
  for (const [index, request] of requests.entries()) {
    const judged = permitted[index];
    if (judged === undefined) throw new GatewayError('internal', 'an entry without a verdict');
    const prepared = await prepare(judged, request, options);
    if (prepared.outcome === 'denied')
      return refuseDenied(record, { code: 'entry_denied', text: `entry ${String(index + 1)}: ${prepared.reason}` });
    if (prepared.outcome === 'rejected') {
      const places = (prepared.expression ?? []).map(
        (place) => `Bundle.entry[${String(index)}].resource.ofType(${place.split('.')[0] ?? ''})`,
      );
      return refuseRejected(record, prepared.code, prepared.reason, places);
    }
    ready.push({ request, permitted: judged, sent: prepared.sent });
  }
  await Promise.all(ready.map(({ request }) => request.record.intent()));
  const upstream = options.upstream(tenant);
  const forwarding = upstream.forward({
    method: 'POST',
    path: '',
    query: '',
    headers: { accept: FHIR_JSON, 'content-type': FHIR_JSON, prefer: 'return=minimal' },
    body: printJson(printBundle({ bundleType: 'transaction', entries: ready.map(({ sent }) => sent) }, upstream.bases.upstream)),
  });
  let answer: UpstreamAnswer;
  try {
    answer = await forwarding;
  } catch (error) {
    // Whether it was carried out is not known; no record of an entry stays open.
    await closeAll(ready, 'failed', error instanceof GatewayError ? error.status : 500);
    throw error;
  }
  if (answer.status !== 200) {
    answer.body.on('error', () => undefined).destroy();
    await closeAll(ready, 'failed', answer.status);
    const code = rejectionOf(answer.status, tenant.fhir.version);
    if (code !== undefined) return refuseRejected(record, code, 'upstream_rejected');
    throw new GatewayError('upstream_failed', `the FHIR server answered a transaction with ${String(answer.status)}`, {
      reason: `upstream_status_${String(answer.status)}`,
    });
  }
  let entry: readonly JsonObject[];
  try {
    insistOnJson(answer);
    const entries = readEntries(parseAnswer(await readWhole(answer.body, options.maxReviewBytes)), ready.length);
    entry = await Promise.all(ready.map((each, index) => answerEntry(each, entries[index], options)));
  } catch (error) {
    await closeAll(ready, 'failed', 502);
    throw alarmed(error, record, options);
  }
  await closeAll(ready, 'permitted', 200);
  return answerResource(whole, record, { resourceType: 'Bundle', type: 'transaction-response', entry }, new Map(), upstream);
}

function alarmed(error: unknown, record: RequestRecord, options: AnswerOptions): unknown {
  if (error instanceof GatewayError && error.options.reason === 'answer_unproved')
    options.metrics.alarms.inc({ tenant: record.tenant?.id ?? '', kind: 'answer_unproved' });
  return error;
}

async function prepare(permitted: Permitted, { entry, record }: EntryRequest, options: AnswerOptions): Promise<Prepared> {
  const { interaction, guard, local } = permitted.verdict;
  const { fullUrl } = entry;
  // What the gate answers itself is no part of the server's one step.
  if (local !== undefined) return { outcome: 'denied', reason: 'local_answer_not_in_transactions' };
  const named = fullUrl === undefined ? {} : { fullUrl };
  if (interaction.kind === 'read' || interaction.kind === 'vread' || interaction.kind === 'search-type')
    return { outcome: 'ready', sent: { interaction, ...named } };
  if (interaction.kind === 'create') return prepareCreate(permitted, named);
  if (interaction.kind !== 'update') return { outcome: 'denied', reason: 'interaction_not_in_transactions' };
  // Code of a use case follows single writes only.
  if (guard?.kind !== 'changes') return { outcome: 'denied', reason: 'guard_not_in_bundles' };
  return prepareUpdate(permitted, guard.changes, entry.ifMatch, record, options, named);
}

/** @throws GatewayError `upstream_failed` for another number of entries: verdicts would go to the wrong ones (attack case B18) */
function readEntries(bundle: JsonObject, count: number): readonly JsonValue[] {
  const { resourceType, type, entry } = bundle;
  if (resourceType === 'Bundle' && type === 'transaction-response' && isJsonArray(entry) && entry.length === count) return entry;
  throw new GatewayError('upstream_failed', 'the answer to the transaction is not one for each entry', {
    reason: 'answer_unproved',
  });
}

/** What of the server's entry may leave: of a write its place and version, of a read what was proved. */
async function answerEntry(
  { permitted, request }: Ready,
  said: JsonValue | undefined,
  options: AnswerOptions,
): Promise<JsonObject> {
  const response = isJsonObject(said) ? said['response'] : undefined;
  const given = isJsonObject(response) && typeof response['status'] === 'string' ? Number.parseInt(response['status'], 10) : NaN;
  if (!isJsonObject(said) || !isJsonObject(response) || !(given >= 200 && given < 500)) throw unusable();
  const { interaction } = permitted.verdict;
  const upstream = options.upstream(permitted.authenticated.addressed.tenant);
  if (!isWrite(interaction)) {
    if (given === 404 || given === 410) return { response: { status: statusText(404) } };
    const { resource } = said;
    if (given !== 200 || !isJsonObject(resource)) throw unusable();
    const judged = await judgeRead(permitted, request.record, resource, upstream, options);
    if (judged === 'not-shown') throw unusable();
    return { resource: judged, response: { status: statusText(200) } };
  }
  if (given !== 200 && given !== 201) throw unusable();
  const { location, etag, lastModified } = response;
  const place = typeof location === 'string' ? rewriteHeader(location, upstream.bases) : undefined;
  const version =
    typeof etag === 'string' ? (parseETag(etag) ?? (/^[A-Za-z0-9.-]{1,64}$/.test(etag) ? etag : undefined)) : undefined;
  return {
    response: {
      status: statusText(given),
      ...(place === undefined ? {} : { location: place }),
      ...(version === undefined ? {} : { etag: `W/"${version}"` }),
      ...(typeof lastModified === 'string' ? { lastModified } : {}),
    },
  };
}

function unusable(): GatewayError {
  return new GatewayError('upstream_failed', 'an entry of the answer is not what was asked for', { reason: 'answer_unproved' });
}

function rejectionOf(status: number, version: 'STU3' | 'R4'): ErrorCode | undefined {
  if (status === 400 || status === 422) return 'unprocessable';
  if (status === 409 || status === 412) return version === 'STU3' ? 'conflict' : 'precondition_failed';
  return undefined;
}

async function closeAll(ready: readonly Ready[], outcome: 'permitted' | 'failed', status: number): Promise<void> {
  const reason = outcome === 'permitted' ? 'answered' : 'transaction_failed';
  await Promise.all(ready.map(({ request }) => request.record.outcome({ outcome, status, reason })));
}
