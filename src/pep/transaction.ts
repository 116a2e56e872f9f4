import { ERROR_CODES, GatewayError, type ErrorCode } from '../errors.ts';
import { printBundle, withEntryReferences, type BundleEntry } from '../fhir/bundle.ts';
import { isJsonObject, printJson, type JsonObject, type JsonValue } from '../fhir/json.ts';
import { FHIR_JSON } from '../fhir/media.ts';
import { isWrite } from '../fhir/interaction.ts';
import { interactionPath } from '../fhir/print-interaction.ts';
import { isSharedType } from '../fhir/version.ts';
import { answerResource } from './answer.ts';
import { discard, readJson } from './answer-body.ts';
import { isListing } from './entries.ts';
import { placeOfEntry, refusedAt, statusText, type EntryRequest } from './bundle-entry.ts';
import type { RequestRecord } from './record.ts';
import { refuse, refuseDenied, refuseRejected } from './refusal.ts';
import type { Reply } from './reply.ts';
import type { Authenticated, Decided, Permitted } from './stages.ts';
import type { Reason } from '../usecase/decision.ts';
import { answerEntry, readEntries, type Ready } from './transaction-answer.ts';
import { mayReadAll, prepareChange } from './change.ts';
import { resolveConditional, type CriteriaOptions, type Match } from './conditional.ts';
import { prepareCreate } from './create.ts';
import { prepareDelete } from './delete.ts';
import type { Prepared, Unready } from './prepared.ts';
import { staleCode } from './stored.ts';
import type { Tenant } from '../tenant/tenant.ts';

export interface TransactionOptions extends CriteriaOptions {
  judge(authenticated: Authenticated, record: RequestRecord): Promise<Decided>;
}

/** An entry that asks nothing of the server: the delete of what is not there. */
interface Settled {
  readonly request: EntryRequest;
  readonly settled: JsonObject;
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
  const { interaction } = whole.authenticated;
  // Only the body says which of the two it is.
  if (interaction.kind === 'bundle') record.asks({ ...interaction, bundleType: 'transaction' });
  try {
    await refuseUnfit(requests, open);
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

/** What would be refused alone refuses the whole, before anything is judged. @throws GatewayError of the first that is */
async function refuseUnfit(requests: readonly EntryRequest[], open: Set<EntryRequest>): Promise<void> {
  for (const request of requests) if (request.refused !== undefined) await refuseEntry(request, request.refused, open);
}

async function refuseEntry(request: EntryRequest, error: GatewayError, open: Set<EntryRequest>): Promise<never> {
  open.delete(request);
  await refuse(request.record, error);
  throw error;
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
): Promise<readonly (Ready | Settled)[] | Problem> {
  const entries = requests.map(({ entry }) => entry);
  const ready: (Ready | Settled)[] = [];
  const places = new Set<string>();
  for (const [index, request] of requests.entries()) {
    const judged = permitted[index];
    if (judged === undefined) throw new GatewayError('internal', 'an entry without a verdict');
    let step = await prepareEntry(judged, request, index, entries, open, options);
    if ('sent' in step) step = conflictOf(step, entries, places) ?? step;
    if (!('outcome' in step)) ready.push(step);
    else return refuseUnreadyEntry(step, request, index, open);
  }
  return ready;
}

async function refuseUnreadyEntry(
  unready: Unready,
  request: EntryRequest,
  index: number,
  open: Set<EntryRequest>,
): Promise<Problem> {
  open.delete(request);
  switch (unready.outcome) {
    case 'denied': {
      const { reason, text } = unready;
      await refuseDenied(request.record, { code: reason, ...(text === undefined ? {} : { text }) });
      return { problem: 'denied', why: `entry ${String(index + 1)}: ${reason}${text === undefined ? '' : `, ${text}`}` };
    }
    case 'rejected': {
      const { code, reason, expression = [] } = unready;
      await refuseRejected(request.record, code, reason, expression);
      const resource = `${placeOfEntry(index)}.resource`;
      // A patch is no such resource, and its steps stand in a Binary.
      const inResource = (place: string): string => `${resource}.ofType(${place.split('.')[0] ?? ''})`;
      const places = expression.map((place) => (request.entry.patch === undefined ? inResource(place) : resource));
      return { problem: 'rejected', code, reason, expression: places };
    }
  }
}

/**
 * What two entries may not do to one another, now that it is known what the conditional ones found: change one resource, in an order of the server's own
 * (http.html#trules); or refer to what another is about by criteria: if that came about meanwhile, nobody has judged what it is.
 */
function conflictOf({ sent, permitted }: Ready, entries: readonly BundleEntry[], places: Set<string>): Unready | undefined {
  const { interaction, resource } = sent;
  if (isWrite(interaction) && 'id' in interaction) {
    const place = interactionPath(interaction);
    if (places.has(place)) return { outcome: 'rejected', code: 'unprocessable', reason: 'one_resource_twice' };
    places.add(place);
  }
  if (resource === undefined) return undefined;
  const said = printJson(resource);
  const isNamed = entries.some(
    (entry) =>
      entry.fullUrl !== undefined &&
      'criteria' in entry.interaction &&
      !isSharedType(entry.interaction.type) &&
      said.includes(entry.fullUrl),
  );
  if (!isNamed) return undefined;
  const text = `${permitted.verdict.rule.id}: refers to what another entry is about by criteria`;
  return { outcome: 'denied', reason: 'refers_to_conditional_entry', text };
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
  ready: readonly (Ready | Settled)[],
  open: Set<EntryRequest>,
  record: RequestRecord,
  options: TransactionOptions,
): Promise<Reply> {
  const { tenant } = whole.authenticated.addressed;
  const upstream = options.upstream(tenant);
  const going = ready.flatMap((each) => ('sent' in each ? [each] : []));
  if (going.length === 0) return answerWhole(ready, []);
  const answer = await upstream.forward({
    method: 'POST',
    path: '',
    query: '',
    headers: { accept: FHIR_JSON, 'content-type': FHIR_JSON, prefer: 'return=minimal' },
    body: printJson(printBundle({ bundleType: 'transaction', entries: going.map(({ sent }) => sent) }, upstream.bases.upstream)),
  });
  if (answer.status !== 200) {
    discard(answer.body);
    const code = rejectionOf(answer.status, tenant);
    if (code !== undefined) return refuseWhole({ problem: 'rejected', code, reason: 'upstream_rejected' }, open, record);
    throw new GatewayError('upstream_failed', `the FHIR server answered a transaction with ${String(answer.status)}`, {
      reason: `upstream_status_${String(answer.status)}`,
    });
  }
  return answerWhole(ready, readEntries(await readJson(answer, options.maxReviewBytes), going.length));

  /** One entry for each of the question, in its order; what was settled here the server has not seen. */
  async function answerWhole(all: readonly (Ready | Settled)[], theirs: readonly JsonValue[]): Promise<Reply> {
    const said = theirs.values();
    const entry = await Promise.all(
      all.map((each) => ('sent' in each ? answerEntry(each, said.next().value, options) : Promise.resolve(each.settled))),
    );
    // Each ends as it would alone, with its own status.
    const closing = all.map(({ request }, index) => ({ record: request.record, status: statusOf(entry[index]) }));
    open.clear();
    await Promise.all(
      closing.map(({ record: own, status }) => own.outcome({ outcome: 'permitted', status, reason: 'answered' })),
    );
    return answerResource(whole, record, { resourceType: 'Bundle', type: 'transaction-response', entry }, new Map(), upstream);
  }
}

/** A fault of the entry's own words is told in words of the Bundle. */
async function prepareEntry(
  permitted: Permitted,
  request: EntryRequest,
  index: number,
  entries: readonly BundleEntry[],
  open: Set<EntryRequest>,
  options: TransactionOptions,
): Promise<Ready | Settled | Unready> {
  try {
    return await prepareStep(permitted, request, entries, options);
  } catch (error) {
    if (!(error instanceof GatewayError) || error.status >= 500) throw error;
    return await refuseEntry(
      request,
      refusedAt(error, (field) => `${placeOfEntry(index)}.resource.${field}`),
      open,
    );
  }
}

/** An entry as it goes up: a conditional write as what it comes to, judged as that (ADR 0016). */
async function prepareStep(
  permitted: Permitted,
  request: EntryRequest,
  entries: readonly BundleEntry[],
  options: TransactionOptions,
): Promise<Ready | Settled | Unready> {
  const { interaction } = permitted.verdict;
  if (!('criteria' in interaction)) return readyFrom(await prepare(permitted, request, entries, options), permitted, request);
  const comes = await resolveConditional(permitted, interaction, request.record, options);
  switch (comes.outcome) {
    case 'nothing':
      return { request, settled: { response: { status: statusText(204) } } };
    case 'denied':
      return denied(comes.reason);
    case 'rejected':
      return comes;
    case 'request': {
      const decided = await options.judge(comes.authenticated, request.record);
      if (decided.stage === 'denied') return denied(decided.verdict.reason);
      return readyFrom(await prepare(decided, request, entries, options), decided, request, comes.found);
    }
  }
}

function denied({ code, text }: Reason): Unready {
  return { outcome: 'denied', reason: code, ...(text === undefined ? {} : { text }) };
}

function readyFrom(prepared: Prepared, permitted: Permitted, request: EntryRequest, found?: Match): Ready | Unready {
  if (prepared.outcome !== 'ready') return prepared;
  return { request, permitted, sent: prepared.sent, ...(found === undefined ? {} : { found }) };
}

async function prepare(
  permitted: Permitted,
  { entry, record }: EntryRequest,
  entries: readonly BundleEntry[],
  options: TransactionOptions,
): Promise<Prepared> {
  const { interaction, guard, local, requestHeaders } = permitted.verdict;
  const { fullUrl } = entry;
  // What the gate answers itself is no part of the server's one step.
  if (local !== undefined) return { outcome: 'denied', reason: 'local_answer_not_in_transactions' };
  // The server would begin at the first page again.
  if (permitted.authenticated.continuation !== undefined) return { outcome: 'denied', reason: 'page_link_not_in_transactions' };
  // An entry has no headers of its own.
  if (Object.values(requestHeaders).some((value) => value !== null))
    return { outcome: 'denied', reason: 'headers_not_in_transactions' };
  const named = fullUrl === undefined ? {} : { fullUrl };
  if (interaction.kind === 'read' || interaction.kind === 'vread' || isListing(interaction))
    return { outcome: 'ready', sent: { interaction, ...named } };
  if (interaction.kind === 'create') return prepareCreate(permitted, record, options, named);
  if (interaction.kind === 'delete') return prepareDelete(permitted, entry.ifMatch, record, options, named);
  if (interaction.kind !== 'update' && interaction.kind !== 'patch')
    return {
      outcome: 'denied',
      reason: 'interaction_not_in_transactions',
      text: `${permitted.verdict.rule.id}: ${interaction.kind} is carried out alone or in a batch`,
    };
  // What is stored may hold a name that an entry is given: whether it does would show.
  const isNamed = entries.some((each) => each.fullUrl !== undefined);
  if (
    interaction.kind === 'patch' &&
    isNamed &&
    !(await mayReadAll(permitted, record, options, interaction.type, interaction.id))
  )
    return { outcome: 'denied', reason: 'patch_reads_without_right' };
  // Code of a use case follows single writes only.
  if (guard?.kind !== 'changes') return { outcome: 'denied', reason: 'guard_not_in_bundles' };
  return prepareChange(permitted, guard.changes, entry.ifMatch, record, options, named, (resource) =>
    withEntryReferences(resource, entries),
  );
}

function rejectionOf(status: number, tenant: Tenant): ErrorCode | undefined {
  if (status === 400 || status === 422) return 'unprocessable';
  if (status === 409 || status === 412) return staleCode(tenant);
  return undefined;
}

/** Of an entry of ours. */
function statusOf(entry: JsonObject | undefined): number {
  const response = entry?.['response'];
  const status = isJsonObject(response) ? response['status'] : undefined;
  return typeof status === 'string' ? Number.parseInt(status, 10) : 500;
}

const ENDINGS = {
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
