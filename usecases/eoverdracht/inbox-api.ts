import { randomUUID } from 'node:crypto';
import {
  GatewayError,
  isJsonObject,
  z,
  type ApiCall,
  type ApiReply,
  type ApiRoute,
  type RecordReader,
  type Services,
  type Unit,
  printJson,
} from 'sluis/usecase';
import { parseBody, parseLimit, parseMoment } from './api-support.ts';
import type { EOverdrachtConfig } from './config.ts';
import { createSenderClient } from './fetch-client.ts';
import { fetchDocument, refusedRead } from './fetch-document.ts';
import {
  INBOX,
  isOpenItem,
  noted,
  readItem,
  saveItem,
  toItem,
  type InboxItem,
  type PendingAnswer,
  type StoredItem,
} from './inbox.ts';
import { itemView, refusedAnswer } from './inbox-view.ts';
import { object, text } from './json.ts';
import { isTaskStatus, mayMove, TASK_STATUSES } from './task-state.ts';
import type { DocumentKind } from './task.ts';

/** How long a command waits for the sender (design §12). */
const TRY_AT_ONCE_MS = 5_000;

const statusBody = z.strictObject({
  status: z.enum(TASK_STATUSES),
  /** In words, for the people of the sender. */
  reason: z.string().trim().min(1).max(1000).optional(),
  /** With `on-hold`: a FHIR date or dateTime. */
  alternativeDate: z.union([z.iso.date(), z.iso.datetime({ offset: true })]).optional(),
});
type StatusBody = z.infer<typeof statusBody>;

/** Where a reason may be given with the answer (facts §2.6 step 4). */
const WITH_REASON: ReadonlySet<string> = new Set(['accepted', 'rejected', 'on-hold', 'cancelled']);

const DOCUMENTS = {
  advanceNotice: { element: 'advanceNotice', reason: 'no_advance_notice', words: 'the sender offers no advance notice' },
  nursingHandoff: { element: 'handoff', reason: 'no_handoff', words: 'the sender has not handed over yet' },
} as const satisfies Record<DocumentKind, unknown>;

type Handle = ApiRoute<EOverdrachtConfig>['handle'];

/** The receiver's routes, below `/api/v1/tenants/{tenant}/`. */
export const inboxRoutes: readonly ApiRoute<EOverdrachtConfig>[] = [
  route('listInbox', 'GET', '', listInbox),
  route('getInboxItem', 'GET', '/:item', async (call, _config, services) => show(await mustFind(services.records(INBOX), call))),
  route('getInboxAdvanceNotice', 'GET', '/:item/advance-notice', (call, config, services) =>
    getDocument(call, config, services, 'advanceNotice'),
  ),
  route('getInboxHandoff', 'GET', '/:item/handoff', (call, config, services) =>
    getDocument(call, config, services, 'nursingHandoff'),
  ),
  route('getInboxBinary', 'GET', '/:item/binary/:binary', getBinary),
  route('setInboxStatus', 'POST', '/:item/status', setStatus),
];

function route(operationId: string, method: 'GET' | 'POST', path: string, handle: Handle): ApiRoute<EOverdrachtConfig> {
  return { operationId, method, path: `eoverdracht/inbox${path}`, role: 'ehr', handle };
}

/** `GET inbox`, newest first. */
async function listInbox(call: ApiCall, _config: EOverdrachtConfig, services: Services): Promise<ApiReply> {
  const { status, since, limit, cursor } = call.query;
  const from = parseMoment('since', since);
  const page = await services.records(INBOX).find({
    where: status === undefined ? {} : { status },
    ...(from === undefined ? {} : { since: from }),
    limit: parseLimit(limit),
    ...(cursor === undefined ? {} : { cursor }),
  });
  const items = page.items.map((record) => itemView(toItem(record)));
  return { status: 200, body: { items, ...(page.cursor === undefined ? {} : { cursor: page.cursor }) } };
}

/** The notice or the hand-off, fetched from the sender for the user of this call, whole or not at all. */
async function getDocument(call: ApiCall, config: EOverdrachtConfig, services: Services, kind: DocumentKind): Promise<ApiReply> {
  const { item } = await mustFind(services.records(INBOX), call);
  const { element, reason, words } = DOCUMENTS[kind];
  const composition = item[element];
  if (composition === undefined) throw new GatewayError('conflict', words, { reason });
  const client = senderFor(call, services, item);
  const bundle = await audited(call, services, item, composition, () =>
    fetchDocument(services, client, kind, composition, config),
  );
  return {
    status: 200,
    content: { type: 'application/fhir+json', bytes: new TextEncoder().encode(printJson(bundle)) },
    headers: { 'cache-control': 'no-store' },
  };
}

/** An attachment, as it is. It must be named by the sender together with a document of this item. */
async function getBinary(call: ApiCall, _config: EOverdrachtConfig, services: Services): Promise<ApiReply> {
  const { item } = await mustFind(services.records(INBOX), call);
  const binary = call.params['binary'] ?? '';
  if (!/^[A-Za-z0-9\-.]{1,64}$/.test(binary)) throw unknownBinary();
  const reference = `Binary/${binary}`;
  const client = senderFor(call, services, item);
  const credentials = await client.held(reference, 'read');
  const documents = [item.advanceNotice, item.handoff, `Task/${item.taskId}`].flatMap((each) =>
    each === undefined ? [] : [`/${each}`],
  );
  const belongs = credentials.some((each) =>
    each.resources.some(({ path }) => documents.includes(`/${path.replace(/^\//, '')}`)),
  );
  if (!belongs) {
    // The attachment may belong to a document whose credential is still on its way: then it is not unknown, it is early.
    const newest = item.handoff ?? item.advanceNotice;
    if (newest !== undefined && isOpenItem(item) && (await client.held(newest, 'read')).length === 0) throw notArrived();
    throw unknownBinary();
  }
  return audited(call, services, item, reference, async () => {
    const reply = await client.call({ reference, operation: 'read', accept: 'application/pdf, */*;q=0.8' });
    if (reply.status !== 200) throw refusedRead(reply);
    const type = reply.headers.get('content-type') ?? 'application/octet-stream';
    return {
      status: 200,
      content: { type, bytes: reply.body },
      headers: { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff', 'content-disposition': 'attachment' },
    };
  });
}

/** The tenant's answer: stored with its job in one transaction, then tried at once (design §12). */
async function setStatus(call: ApiCall, _config: EOverdrachtConfig, services: Services): Promise<ApiReply> {
  const body = parseBody(statusBody, call.body);
  checkBody(body);
  const committed = await call.command(async (unit) => {
    const stored = await mustFind(unit.records(INBOX), call);
    return (await command(unit, stored, body)) ?? show(stored);
  });
  const shown = isJsonObject(committed.body) ? committed.body : undefined;
  const answerId = text(object(shown, 'answer'), 'id');
  const id = text(shown, 'id');
  if (committed.status !== 202 || answerId === undefined || id === undefined) return committed;
  await services.runNow('answer', id, TRY_AT_ONCE_MS);
  const stored = await mustFind(services.records(INBOX), call);
  const { answer, lastAnswer } = stored.item;
  if (lastAnswer?.id === answerId && lastAnswer.outcome === 'refused') throw refusedAnswer(lastAnswer);
  return show(stored, answer?.id === answerId ? 202 : 200);
}

/** Takes the answer in; undefined when it stands at the sender already. @throws GatewayError `conflict`, `unprocessable` */
async function command(unit: Unit, stored: StoredItem, body: StatusBody): Promise<ApiReply | undefined> {
  const { item } = stored;
  if (item.answer !== undefined) {
    if (sameAnswer(item.answer, body)) return show(stored, 202);
    throw new GatewayError('conflict', 'another answer is on its way to the sender', { reason: 'answer_pending' });
  }
  if (item.status === body.status && (body.alternativeDate === undefined || body.alternativeDate === item.alternativeDate)) {
    return undefined;
  }
  if (!isTaskStatus(item.status) || !mayMove(item.status, body.status, 'receiver')) {
    throw new GatewayError('conflict', `a Task that is ${item.status} cannot become ${body.status}`, {
      reason: 'transition_not_allowed',
    });
  }
  const at = unit.now.toISOString();
  const answer: PendingAnswer = {
    id: randomUUID(),
    status: body.status,
    at,
    ...(body.reason === undefined ? {} : { reason: body.reason }),
    ...(body.alternativeDate === undefined ? {} : { alternativeDate: body.alternativeDate }),
    ...(item.advanceNotice === undefined ? {} : { advanceNotice: item.advanceNotice }),
    ...(item.handoff === undefined ? {} : { handoff: item.handoff }),
  };
  const next = noted({ ...item, answer }, { at, what: 'answer_given', who: 'receiver', status: body.status });
  const record = await saveItem(unit, stored, next);
  await unit.enqueue({ name: 'answer', key: item.id, payload: { item: item.id } });
  return show(toItem(record), 202);
}

function checkBody(body: StatusBody): void {
  const fault = (reason: string, field: string, problem: string): GatewayError =>
    new GatewayError('unprocessable', `${field} ${problem}`, { reason, fields: [{ field, problem }] });
  if (body.reason !== undefined && !WITH_REASON.has(body.status)) {
    throw fault('reason_not_allowed', 'reason', `cannot be given with ${body.status}`);
  }
  if (body.status === 'on-hold' && body.alternativeDate === undefined) {
    throw fault('alternative_date_missing', 'alternativeDate', 'is needed with on-hold');
  }
  if (body.status !== 'on-hold' && body.alternativeDate !== undefined) {
    throw fault('alternative_date_not_allowed', 'alternativeDate', 'can be given with on-hold only');
  }
}

function sameAnswer(answer: PendingAnswer, body: StatusBody): boolean {
  return answer.status === body.status && answer.reason === body.reason && answer.alternativeDate === body.alternativeDate;
}

/** Fetches, and tells the audit trail who fetched what before anybody sees it: no audit, no data. */
async function audited<T>(
  call: ApiCall,
  services: Services,
  item: InboxItem,
  reference: string,
  work: () => Promise<T>,
): Promise<T> {
  const record = (outcome: 'permitted' | 'failed', reason?: string): Promise<void> =>
    services.audit({
      event: 'inbox_fetched',
      outcome,
      requester: services.tenant.did,
      ...(reason === undefined ? {} : { reason }),
      attributes: {
        item: item.id,
        sender: item.sender,
        resource: reference,
        correlationId: call.correlationId,
        ...(call.userSession?.user === undefined ? {} : { user: call.userSession.user.id }),
      },
    });
  let result: T;
  try {
    result = await work();
  } catch (error) {
    const told = error instanceof GatewayError ? toldToEhr(error, item) : error;
    await record('failed', told instanceof GatewayError ? (told.options.reason ?? told.code) : 'internal');
    throw told;
  }
  await record('permitted');
  return result;
}

/** A failure on the way to the sender, in words for the EHR. */
function toldToEhr(error: GatewayError, item: InboxItem): GatewayError {
  if (error.options.reason === 'no_credential' && isOpenItem(item)) {
    return notArrived();
  }
  if (error.options.reason !== undefined) return error;
  if (error.code === 'upstream_timeout') {
    return new GatewayError('upstream_timeout', 'the sender did not answer in time', { reason: 'sender_timeout', cause: error });
  }
  if (error.code !== 'upstream_failed') return error;
  return new GatewayError('upstream_failed', 'the sender could not be asked', { reason: 'sender_unreachable', cause: error });
}

/** A client that acts for the user of this call: the sender asks for one with everything medical (facts §0.3 no. 5). */
function senderFor(call: ApiCall, services: Services, item: InboxItem) {
  if (call.userSession === undefined) {
    throw new GatewayError(
      'unprocessable',
      'the sender shows this to a known care worker only: name a session in X-User-Session',
      {
        reason: 'user_session_required',
        fields: [{ field: 'X-User-Session', problem: 'is missing, or its session is not confirmed or has ended' }],
      },
    );
  }
  return createSenderClient(services, item.sender, call.userSession.presentation);
}

async function mustFind(records: RecordReader, call: ApiCall): Promise<StoredItem> {
  const id = call.params['item'];
  const stored = id === undefined ? undefined : await readItem(records, id);
  if (stored === undefined) throw new GatewayError('not_found', 'no such item in the inbox', { reason: 'item_unknown' });
  return stored;
}

function show(stored: StoredItem, status = 200): ApiReply {
  return { status, body: itemView(stored), headers: { etag: `"${String(stored.version)}"` } };
}

function notArrived(): GatewayError {
  return new GatewayError('conflict', 'the credential of the sender has not arrived yet: try again in a moment', {
    reason: 'credential_not_arrived',
    retryAfterSeconds: 5,
  });
}

function unknownBinary(): GatewayError {
  return new GatewayError('not_found', 'no attachment of this item', { reason: 'binary_unknown' });
}
