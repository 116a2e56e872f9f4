import { ERROR_CODES, GatewayError, type ErrorCode } from '../errors.ts';
import { printBundle, type BundleEntry } from '../fhir/bundle.ts';
import { parseETag } from '../fhir/etag.ts';
import { isJsonArray, isJsonObject, printJson, type JsonObject, type JsonValue } from '../fhir/json.ts';
import { FHIR_JSON } from '../fhir/media.ts';
import { isWrite, type Interaction } from '../fhir/interaction.ts';
import { printReference } from '../fhir/reference.ts';
import { answerResource } from './answer.ts';
import type { AnswerOptions } from './answer-options.ts';
import { discard, readJson } from './answer-body.ts';
import { judgeRead } from './answer-judgement.ts';
import { statusText, type EntryRequest } from './bundle-entry.ts';
import type { RequestRecord } from './record.ts';
import { refuseDenied, refuseRejected } from './refusal.ts';
import type { Reply } from './reply.ts';
import type { Authenticated, Decided, Permitted } from './stages.ts';
import { resourceAtEnd } from '../upstream/bundle.ts';
import { prepareChange } from './change.ts';
import { prepareCreate } from './create.ts';
import { prepareDelete } from './delete.ts';
import type { Prepared } from './prepared.ts';
import type { RepresentationOptions } from './representation.ts';
import { staleCode } from './stored.ts';
import type { Tenant } from '../tenant/tenant.ts';

export interface TransactionOptions extends RepresentationOptions {
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
 * one step, so it gets it whole, rebuilt from what was judged. Every way out closes the record of every entry, those too that were never judged because
 * another was denied before.
 * @throws GatewayError for failures
 */
export async function answerTransaction(
  whole: Permitted,
  requests: readonly EntryRequest[],
  record: RequestRecord,
  options: TransactionOptions,
): Promise<Reply> {
  const open = new Set(requests);
  try {
    const permitted = await judgeAll(requests, open, options);
    if ('problem' in permitted) return await refuseWhole(permitted, open, record);
    await record.intent();
    const ready = await prepareAll(permitted, requests, open, options);
    if ('problem' in ready) return await refuseWhole(ready, open, record);
    await Promise.all(ready.map(({ request }) => request.record.intent()));
    return await send(whole, ready, open, record, options);
  } catch (error) {
    // Whether it was carried out may not be known; no record of an entry stays open.
    const status = error instanceof GatewayError ? error.status : 500;
    await closeAll(open, { outcome: status < 500 ? 'refused' : 'failed', status });
    throw error;
  }
}

/** Why a transaction does not go up: what one of its entries may not, or what the state does not allow. */
type Problem =
  | { readonly problem: 'denied'; readonly why: string }
  | {
      readonly problem: 'rejected';
      readonly code: ErrorCode;
      readonly reason: string;
      readonly expression?: readonly string[];
    };

/** Up to the first entry that is denied; the record of that one is closed with its own reason. */
async function judgeAll(
  requests: readonly EntryRequest[],
  open: Set<EntryRequest>,
  options: TransactionOptions,
): Promise<readonly Permitted[] | Problem> {
  const permitted: Permitted[] = [];
  for (const [index, request] of requests.entries()) {
    const decided = await options.judge(request.authenticated, request.record);
    if (decided.stage === 'denied') {
      const { reason } = decided.verdict;
      open.delete(request);
      await refuseDenied(request.record, reason);
      return {
        problem: 'denied',
        why: `entry ${String(index + 1)}: ${reason.code}${reason.text === undefined ? '' : `, ${reason.text}`}`,
      };
    }
    permitted.push(decided);
  }
  return permitted;
}

async function prepareAll(
  permitted: readonly Permitted[],
  requests: readonly EntryRequest[],
  open: Set<EntryRequest>,
  options: TransactionOptions,
): Promise<readonly Ready[] | Problem> {
  const ready: Ready[] = [];
  for (const [index, request] of requests.entries()) {
    const judged = permitted[index];
    if (judged === undefined) throw new GatewayError('internal', 'an entry without a verdict');
    const prepared = await prepare(judged, request, options);
    switch (prepared.outcome) {
      case 'denied':
        open.delete(request);
        await refuseDenied(request.record, { code: prepared.reason });
        return { problem: 'denied', why: `entry ${String(index + 1)}: ${prepared.reason}` };
      case 'rejected': {
        const { code, reason, expression = [] } = prepared;
        open.delete(request);
        await refuseRejected(request.record, code, reason, expression);
        const places = expression.map((place) => `Bundle.entry[${String(index)}].resource.ofType(${place.split('.')[0] ?? ''})`);
        return { problem: 'rejected', code, reason, expression: places };
      }
      case 'ready':
        ready.push({ request, permitted: judged, sent: prepared.sent });
    }
  }
  return ready;
}

/** No entry of a transaction is carried out without the others, so that what was permitted ends as the whole does. */
async function refuseWhole(problem: Problem, open: Set<EntryRequest>, record: RequestRecord): Promise<Reply> {
  switch (problem.problem) {
    case 'denied':
      await closeAll(open, { outcome: 'denied', status: ERROR_CODES.forbidden });
      return refuseDenied(record, { code: 'entry_denied', text: problem.why });
    case 'rejected':
      await closeAll(open, { outcome: 'rejected', status: ERROR_CODES[problem.code] });
      return refuseRejected(record, problem.code, problem.reason, problem.expression);
  }
}

async function send(
  whole: Permitted,
  ready: readonly Ready[],
  open: Set<EntryRequest>,
  record: RequestRecord,
  options: TransactionOptions,
): Promise<Reply> {
  const { tenant } = whole.authenticated.addressed;
  const upstream = options.upstream(tenant);
  const answer = await upstream.forward({
    method: 'POST',
    path: '',
    query: '',
    headers: { accept: FHIR_JSON, 'content-type': FHIR_JSON, prefer: 'return=minimal' },
    body: printJson(printBundle({ bundleType: 'transaction', entries: ready.map(({ sent }) => sent) }, upstream.bases.upstream)),
  });
  if (answer.status !== 200) {
    discard(answer.body);
    const code = rejectionOf(answer.status, tenant);
    if (code !== undefined) return refuseWhole({ problem: 'rejected', code, reason: 'upstream_rejected' }, open, record);
    throw new GatewayError('upstream_failed', `the FHIR server answered a transaction with ${String(answer.status)}`, {
      reason: `upstream_status_${String(answer.status)}`,
    });
  }
  const entries = readEntries(await readJson(answer, options.maxReviewBytes), ready.length);
  const entry = await Promise.all(ready.map((each, index) => answerEntry(each, entries[index], options)));
  await closeAll(open, { outcome: 'permitted', status: 200 });
  return answerResource(whole, record, { resourceType: 'Bundle', type: 'transaction-response', entry }, new Map(), upstream);
}

async function prepare(permitted: Permitted, { entry, record }: EntryRequest, options: TransactionOptions): Promise<Prepared> {
  const { interaction, guard, local } = permitted.verdict;
  const { fullUrl } = entry;
  // What the gate answers itself is no part of the server's one step.
  if (local !== undefined) return { outcome: 'denied', reason: 'local_answer_not_in_transactions' };
  // The server would begin at the first page again.
  if (permitted.authenticated.continuation !== undefined) return { outcome: 'denied', reason: 'page_link_not_in_transactions' };
  const named = fullUrl === undefined ? {} : { fullUrl };
  if (interaction.kind === 'read' || interaction.kind === 'vread' || interaction.kind === 'search-type')
    return { outcome: 'ready', sent: { interaction, ...named } };
  if (interaction.kind === 'create') return prepareCreate(permitted, record, options, named);
  if (interaction.kind === 'delete') return prepareDelete(permitted, entry.ifMatch, record, options, named);
  if (interaction.kind !== 'update') return { outcome: 'denied', reason: 'interaction_not_in_transactions' };
  // Code of a use case follows single writes only.
  if (guard?.kind !== 'changes') return { outcome: 'denied', reason: 'guard_not_in_bundles' };
  return prepareChange(permitted, guard.changes, entry.ifMatch, record, options, named);
}

/** @throws GatewayError `upstream_failed` for another number of entries: verdicts would go to the wrong ones (attack case B18) */
function readEntries(bundle: JsonObject, count: number): readonly JsonValue[] {
  const { resourceType, type, entry } = bundle;
  if (resourceType === 'Bundle' && type === 'transaction-response' && isJsonArray(entry) && entry.length === count) return entry;
  throw unproved('the answer to the transaction is not one for each entry');
}

/** What of the server's entry may leave: of a write its place and version, of a read what was proved. */
async function answerEntry(
  { permitted, request }: Ready,
  said: JsonValue | undefined,
  options: AnswerOptions,
): Promise<JsonObject> {
  const unusable = (): GatewayError => unproved('an entry of the answer is not what was asked for');
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
  const { etag, lastModified } = response;
  const version =
    typeof etag === 'string' ? (parseETag(etag) ?? (/^[A-Za-z0-9.-]{1,64}$/.test(etag) ? etag : undefined)) : undefined;
  const place = placeOf(interaction, given, response, version);
  if (place === undefined) throw unusable();
  return {
    response: {
      status: statusText(given),
      ...(place === 'none' ? {} : { location: `${upstream.bases.public}/${place}` }),
      ...(version === undefined ? {} : { etag: `W/"${version}"` }),
      ...(typeof lastModified === 'string' && INSTANT.test(lastModified) ? { lastModified } : {}),
    },
  };
}

const INSTANT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/;

/** Where what was written stands, below the base; undefined when the status or the place is none of such a write, as for one that comes alone. */
function placeOf(
  interaction: Interaction,
  status: number,
  { location }: JsonObject,
  version: string | undefined,
): string | undefined {
  if (interaction.kind === 'create') {
    const created = typeof location === 'string' ? resourceAtEnd(location) : undefined;
    if (status !== 201 || created?.type !== interaction.type) return undefined;
    return `${printReference(created)}${created.versionId === undefined ? '' : `/_history/${created.versionId}`}`;
  }
  if (interaction.kind !== 'update') return status === 200 || status === 204 ? 'none' : undefined;
  if (status !== 200 && status !== 201) return undefined;
  return `${interaction.type}/${interaction.id}${version === undefined ? '' : `/_history/${version}`}`;
}

function unproved(problem: string): GatewayError {
  return new GatewayError('upstream_failed', problem, { reason: 'answer_unproved' });
}

function rejectionOf(status: number, tenant: Tenant): ErrorCode | undefined {
  if (status === 400 || status === 422) return 'unprocessable';
  if (status === 409 || status === 412) return staleCode(tenant);
  return undefined;
}

const ENDINGS = {
  permitted: 'answered',
  denied: 'transaction_denied',
  refused: 'transaction_refused',
  rejected: 'transaction_rejected',
  failed: 'transaction_failed',
} as const;

interface WholeEnding {
  readonly outcome: keyof typeof ENDINGS;
  readonly status: number;
}

/** Closes the records that are open yet; each once, whatever else goes wrong. */
async function closeAll(open: Set<EntryRequest>, ending: WholeEnding): Promise<void> {
  const closing = [...open];
  open.clear();
  await Promise.all(closing.map(({ record }) => record.outcome({ ...ending, reason: ENDINGS[ending.outcome] })));
}
