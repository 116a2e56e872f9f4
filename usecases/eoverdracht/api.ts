import { randomUUID } from 'node:crypto';
import { GatewayError, type ApiCall, type ApiReply, type ApiRoute, type Services } from 'sluis/usecase';
import { accepted, mustFind, parseBody, parseLimit, parseMoment, runCommand, showTransfer, tryAtOnce } from './api-support.ts';
import type { EOverdrachtConfig } from './config.ts';
import { answerBody, assignmentBody, createBody, handoffBody, receiversBody } from './content.ts';
import { prepareHandoff, prepareNotice, rebuildNotice, type DocumentFor } from './prepare-document.ts';
import { resolveReceivers } from './receivers.ts';
import { apply, log, type Command, type CommandContext } from './transfer-commands.ts';
import { saveTransfer, toStored, type StoredTransfer } from './transfer-store.ts';
import { documentOf, negotiationOf, TRANSFER, type Negotiation, type Transfer, type TransferDocument } from './transfer.ts';
import { transferView } from './view.ts';

type Handle = ApiRoute<EOverdrachtConfig>['handle'];

/** The sender's routes, below `/api/v1/tenants/{tenant}/`. */
export const senderRoutes: readonly ApiRoute<EOverdrachtConfig>[] = [
  route('createTransfer', 'POST', 'transfers', createTransfer),
  route('listTransfers', 'GET', 'transfers', listTransfers),
  route('getTransfer', 'GET', 'transfers/:transfer', async (call, _config, services) =>
    showTransfer(services, await mustFind(services, call.params['transfer'])),
  ),
  route('addReceivers', 'POST', 'transfers/:transfer/receivers', addReceivers),
  route('assignTransfer', 'POST', 'transfers/:transfer/assignment', assignTransfer),
  route('replaceHandoff', 'POST', 'transfers/:transfer/handoff', replaceHandoff),
  route('cancelTransfer', 'POST', 'transfers/:transfer/cancellation', (call, config, services) =>
    command(call, config, services, { kind: 'cancel-all' }),
  ),
  route('answerNegotiation', 'POST', 'transfers/:transfer/negotiations/:negotiation/answer', answerNegotiation),
  route('cancelNegotiation', 'POST', 'transfers/:transfer/negotiations/:negotiation/cancellation', (call, config, services) =>
    command(call, config, services, { kind: 'cancel', negotiation: call.params['negotiation'] ?? '' }),
  ),
];

function route(operationId: string, method: 'GET' | 'POST', path: string, handle: Handle): ApiRoute<EOverdrachtConfig> {
  return { operationId, method, path: `eoverdracht/${path}`, role: 'ehr', handle };
}

/** `POST transfers`: everything is checked before anything is stored, and stored before anything is written or offered. */
async function createTransfer(call: ApiCall, config: EOverdrachtConfig, services: Services): Promise<ApiReply> {
  const body = parseBody(createBody, call.body);
  const patient = body.patient.replace(/^\//, '');
  const wanted = body.receivers ?? [];
  if ((body.advanceNotice === undefined) === (body.handoff === undefined)) {
    throw unprocessable('advance_notice_or_handoff', 'exactly one of advanceNotice and handoff', 'advanceNotice');
  }
  if (body.handoff !== undefined && wanted.length !== 1) {
    throw unprocessable('one_receiver_needed', 'a direct hand-off has exactly one receiver', 'receivers');
  }
  const receivers = await resolveReceivers(services, config, wanted);
  const [only] = receivers;
  const of: DocumentFor = { patient, transferDate: body.transferDate };
  const notice = body.advanceNotice === undefined ? undefined : await prepareNotice(services, config, of, body.advanceNotice);
  const handoff =
    body.handoff === undefined || only === undefined
      ? undefined
      : await prepareHandoff(services, config, { ...of, receiver: { did: only.organization, name: only.name } }, body.handoff);

  const id = randomUUID();
  const committed = await call.command(async (unit) => {
    const context = contextAt(unit.now, config);
    let transfer: Transfer = log(
      {
        id,
        patient,
        transferDate: body.transferDate,
        status: 'created',
        createdAt: unit.now.toISOString(),
        ...(notice === undefined ? {} : { notice: notice.composition }),
        documents: notice === undefined ? [] : [notice],
        negotiations: [],
        timeline: [],
      },
      'transfer_created',
      'sender',
      unit,
    );
    for (const receiver of receivers) {
      const next: Command = handoff === undefined ? { kind: 'offer', ...receiver } : { kind: 'hand-off', ...receiver, handoff };
      transfer = accepted(apply(transfer, next, context));
    }
    const record = await saveTransfer(unit, undefined, transfer, config);
    return { status: 202, body: transferView({ transfer, version: record.version, record }) };
  });
  return tryAtOnce(services, committed, 201);
}

/** `GET transfers`, newest first. */
async function listTransfers(call: ApiCall, _config: EOverdrachtConfig, services: Services): Promise<ApiReply> {
  const { status, patient, since, limit, cursor } = call.query;
  const from = parseMoment('since', since);
  const page = await services.records(TRANSFER).find({
    where: {
      ...(status === undefined ? {} : { status }),
      ...(patient === undefined ? {} : { patient: patient.replace(/^\//, '') }),
    },
    ...(from === undefined ? {} : { since: from }),
    limit: parseLimit(limit),
    ...(cursor === undefined ? {} : { cursor }),
  });
  return {
    status: 200,
    body: {
      items: page.items.map((record) => transferView(toStored(record))),
      ...(page.cursor === undefined ? {} : { cursor: page.cursor }),
    },
  };
}

async function addReceivers(call: ApiCall, config: EOverdrachtConfig, services: Services): Promise<ApiReply> {
  const body = parseBody(receiversBody, call.body);
  const stored = await mustFind(services, call.params['transfer']);
  const receivers = await resolveReceivers(services, config, 'receivers' in body ? body.receivers : [body]);
  return runCommand(call, config, services, stored.transfer.id, (transfer, unit) => {
    let next = transfer;
    for (const receiver of receivers) {
      const applied = apply(next, { kind: 'offer', ...receiver }, contextAt(unit.now, config));
      if (!applied.ok) return applied;
      next = applied.transfer;
    }
    return { ok: true, transfer: next };
  });
}

async function assignTransfer(call: ApiCall, config: EOverdrachtConfig, services: Services): Promise<ApiReply> {
  const body = parseBody(assignmentBody, call.body);
  const { stored, negotiation } = await mustFindNegotiation(services, call, body.negotiation);
  const handoff = await prepareHandoff(services, config, handoffFor(stored.transfer, negotiation), body.handoff);
  return command(call, config, services, { kind: 'assign', negotiation: negotiation.id, handoff });
}

async function replaceHandoff(call: ApiCall, config: EOverdrachtConfig, services: Services): Promise<ApiReply> {
  const body = parseBody(handoffBody, call.body);
  const stored = await mustFind(services, call.params['transfer']);
  const assigned = stored.transfer.negotiations.find((each) => each.status === 'in-progress');
  const handoff = await prepareHandoff(services, config, handoffFor(stored.transfer, assigned), body.handoff);
  return command(call, config, services, { kind: 'replace-handoff', handoff });
}

/** The sender's answer to an alternative date (facts §1.4 C): a new notice with the new date, or the end of this offer. */
async function answerNegotiation(call: ApiCall, config: EOverdrachtConfig, services: Services): Promise<ApiReply> {
  const body = parseBody(answerBody, call.body);
  const { stored, negotiation } = await mustFindNegotiation(services, call, call.params['negotiation'] ?? '');
  if (body.answer === 'refuse') return command(call, config, services, { kind: 'refuse', negotiation: negotiation.id });
  if (negotiation.status !== 'on-hold') {
    // A repeat with the same key gets its first answer from `command`; anything else is refused there as well.
    return command(call, config, services, { kind: 'refuse', negotiation: negotiation.id });
  }
  const transferDate = body.transferDate ?? negotiation.alternativeDate?.slice(0, 10) ?? stored.transfer.transferDate;
  const of: DocumentFor = { patient: stored.transfer.patient, transferDate };
  const present = documentOf(stored.transfer, negotiation.task.inputs.advanceNotice);
  let notice: TransferDocument;
  if (body.advanceNotice !== undefined) notice = await prepareNotice(services, config, of, body.advanceNotice);
  else if (present?.recipe !== undefined) notice = await rebuildNotice(services, config, of, present.recipe);
  else throw unprocessable('advance_notice_needed', 'the notice was made by the EHR: the new one must be too', 'advanceNotice');
  return command(call, config, services, { kind: 'agree', negotiation: negotiation.id, notice, transferDate });
}

async function command(call: ApiCall, config: EOverdrachtConfig, services: Services, wanted: Command): Promise<ApiReply> {
  const { transfer } = await mustFind(services, call.params['transfer']);
  return runCommand(call, config, services, transfer.id, (current, unit) => apply(current, wanted, contextAt(unit.now, config)));
}

async function mustFindNegotiation(
  services: Services,
  call: ApiCall,
  id: string,
): Promise<{ readonly stored: StoredTransfer; readonly negotiation: Negotiation }> {
  const stored = await mustFind(services, call.params['transfer']);
  const negotiation = negotiationOf(stored.transfer, id);
  if (negotiation === undefined) throw new GatewayError('not_found', 'no such negotiation', { reason: 'negotiation_unknown' });
  return { stored, negotiation };
}

function handoffFor(transfer: Transfer, negotiation: Negotiation | undefined): DocumentFor {
  return {
    patient: transfer.patient,
    transferDate: negotiation?.transferDate ?? transfer.transferDate,
    ...(negotiation === undefined ? {} : { receiver: { did: negotiation.organization, name: negotiation.name } }),
  };
}

function contextAt(now: Date, config: EOverdrachtConfig): CommandContext {
  return { now, newId: () => randomUUID(), config };
}

function unprocessable(reason: string, message: string, field: string): GatewayError {
  return new GatewayError('unprocessable', message, { reason, fields: [{ field, problem: message }] });
}
