import type { GrantedResource } from 'sluis/usecase';
import type { EOverdrachtConfig } from './config.ts';
import { daysAfter } from './entitlement.ts';
import { isOpen, mayMove, type TaskStatus } from './task-state.ts';
import {
  documentOf,
  isClosed,
  negotiationOf,
  statusOf,
  withNegotiation,
  type Negotiation,
  type TimelineEntry,
  type Transfer,
  type TransferDocument,
  type TransferGrant,
} from './transfer.ts';

/** What the sender can tell a transfer to do (facts §1.6). A document in it was checked and collected before. */
export type Command =
  | { readonly kind: 'offer'; readonly organization: string; readonly name: string }
  | { readonly kind: 'hand-off'; readonly organization: string; readonly name: string; readonly handoff: TransferDocument }
  | { readonly kind: 'assign'; readonly negotiation: string; readonly handoff: TransferDocument }
  | { readonly kind: 'replace-handoff'; readonly handoff: TransferDocument }
  | { readonly kind: 'agree'; readonly negotiation: string; readonly notice: TransferDocument; readonly transferDate: string }
  | { readonly kind: 'refuse'; readonly negotiation: string }
  | { readonly kind: 'cancel'; readonly negotiation: string }
  | { readonly kind: 'cancel-all' }
  /** A credential ends soon, or is gone at the node: the same rights under a new grant. */
  | { readonly kind: 'renew'; readonly negotiation: string; readonly grant: string };

/** What a command needs from outside: time, randomness, settings. */
export interface CommandContext {
  readonly now: Date;
  newId(): string;
  readonly config: EOverdrachtConfig;
}

/** The transfer as it then is, or why the command is not possible. */
export type Applied =
  | { readonly ok: true; readonly transfer: Transfer }
  | {
      readonly ok: false;
      readonly code: 'conflict' | 'unprocessable' | 'not_found';
      readonly reason: string;
      readonly text: string;
    };

/** Applies a command. Pure: what must be done because of it follows from the result (`transfer-plan.ts`, `saveTransfer`). */
export function apply(transfer: Transfer, command: Command, context: CommandContext): Applied {
  if (isClosed(transfer)) return refused('transfer_closed', `the transfer is ${transfer.status}`);
  switch (command.kind) {
    case 'offer':
      return offer(transfer, command, context);
    case 'hand-off':
      return handOff(transfer, command, context);
    case 'assign':
      return assign(transfer, command, context);
    case 'replace-handoff':
      return replaceHandoff(transfer, command.handoff, context);
    case 'agree':
      return agree(transfer, command, context);
    case 'refuse':
      return onNegotiation(transfer, command.negotiation, (negotiation) =>
        negotiation.status === 'on-hold' ? cancelOne(transfer, negotiation, 'date_refused', context) : notFrom(negotiation),
      );
    case 'cancel':
      return onNegotiation(transfer, command.negotiation, (negotiation) =>
        mayMove(negotiation.status, 'cancelled', 'sender')
          ? cancelOne(transfer, negotiation, 'cancelled', context)
          : notFrom(negotiation),
      );
    case 'cancel-all':
      return cancelAll(transfer, context);
    case 'renew':
      return onNegotiation(transfer, command.negotiation, (negotiation) => renew(transfer, negotiation, command.grant, context));
  }
}

function offer(
  transfer: Transfer,
  command: { readonly organization: string; readonly name: string },
  context: CommandContext,
): Applied {
  if (transfer.status === 'assigned') return refused('transition_not_allowed', 'the transfer is assigned already');
  if (transfer.notice === undefined)
    return { ok: false, code: 'unprocessable', reason: 'advance_notice_missing', text: 'no notice to offer' };
  if (hasOpen(transfer, command.organization)) return refused('already_offered', 'an offer to this receiver is open');
  const negotiation = begin(transfer, command, 'requested', { advanceNotice: transfer.notice }, context);
  return done(
    log({ ...transfer, negotiations: [...transfer.negotiations, negotiation] }, 'offered', 'sender', context, negotiation.id),
  );
}

function handOff(
  transfer: Transfer,
  command: { readonly organization: string; readonly name: string; readonly handoff: TransferDocument },
  context: CommandContext,
): Applied {
  if (transfer.negotiations.some((each) => isOpen(each.status))) {
    return refused('transition_not_allowed', 'a direct hand-off needs a transfer without open offers');
  }
  const prepared = { ...withDocument(transfer, command.handoff), handoff: command.handoff.composition };
  const negotiation = begin(prepared, command, 'in-progress', { nursingHandoff: command.handoff.composition }, context);
  return done(
    log({ ...prepared, negotiations: [...prepared.negotiations, negotiation] }, 'assigned', 'sender', context, negotiation.id),
  );
}

function assign(
  transfer: Transfer,
  command: { readonly negotiation: string; readonly handoff: TransferDocument },
  context: CommandContext,
): Applied {
  return onNegotiation(transfer, command.negotiation, (chosen) => {
    if (chosen.status !== 'accepted' || transfer.status === 'assigned') return notFrom(chosen);
    let next: Transfer = { ...withDocument(transfer, command.handoff), handoff: command.handoff.composition };
    // Narrow before you widen: all others end in this same change.
    for (const other of transfer.negotiations) {
      if (other.id !== chosen.id && isOpen(other.status)) next = cancelled(next, other, 'cancelled', context);
    }
    const inputs = { ...chosen.task.inputs, nursingHandoff: command.handoff.composition };
    const granted = { ...chosen, grants: [...chosen.grants, medicalGrant('nursing-handoff', command.handoff, context)] };
    next = withNegotiation(next, revised({ ...granted, status: 'in-progress', task: { ...chosen.task, inputs } }));
    return done(log(next, 'assigned', 'sender', context, chosen.id));
  });
}

function replaceHandoff(transfer: Transfer, handoff: TransferDocument, context: CommandContext): Applied {
  const chosen = transfer.negotiations.find((each) => each.status === 'in-progress');
  if (chosen === undefined) return refused('transition_not_allowed', 'the transfer is not assigned');
  const next: Transfer = { ...withDocument(transfer, handoff), handoff: handoff.composition };
  const granted = superseding(chosen, medicalGrant('nursing-handoff', handoff, context));
  const task = { ...chosen.task, inputs: { ...chosen.task.inputs, nursingHandoff: handoff.composition } };
  return done(log(withNegotiation(next, revised({ ...granted, task })), 'handoff_replaced', 'sender', context, chosen.id));
}

function agree(
  transfer: Transfer,
  command: { readonly negotiation: string; readonly notice: TransferDocument; readonly transferDate: string },
  context: CommandContext,
): Applied {
  return onNegotiation(transfer, command.negotiation, (negotiation) => {
    if (negotiation.status !== 'on-hold') return notFrom(negotiation);
    if (documentOf(transfer, command.notice.composition) !== undefined) {
      return {
        ok: false,
        code: 'unprocessable',
        reason: 'new_advance_notice_needed',
        text: 'a new date needs a new Composition',
      };
    }
    const granted = superseding(negotiation, medicalGrant('advance-notice', command.notice, context));
    const { alternativeDate: _date, statusReason: _reason, ...rest } = granted;
    const task = { ...rest.task, inputs: { ...rest.task.inputs, advanceNotice: command.notice.composition } };
    const changed = revised({ ...rest, status: 'requested', transferDate: command.transferDate, task });
    return done(
      log(withNegotiation(withDocument(transfer, command.notice), changed), 'date_agreed', 'sender', context, negotiation.id),
    );
  });
}

function cancelOne(transfer: Transfer, negotiation: Negotiation, what: string, context: CommandContext): Applied {
  return done(cancelled(transfer, negotiation, what, context));
}

function cancelAll(transfer: Transfer, context: CommandContext): Applied {
  let next = transfer;
  for (const negotiation of transfer.negotiations) {
    if (mayMove(negotiation.status, 'cancelled', 'sender')) next = cancelled(next, negotiation, 'cancelled', context);
  }
  return done(log({ ...next, status: 'cancelled' }, 'transfer_cancelled', 'sender', context));
}

function renew(transfer: Transfer, negotiation: Negotiation, grantId: string, context: CommandContext): Applied {
  const old = negotiation.grants.find((each) => each.id === grantId);
  if (old?.state !== 'live') return refused('grant_not_live', 'only a live grant can be renewed');
  if (negotiation.grants.some((each) => each.replaces === grantId && each.state === 'pending')) {
    return refused('grant_in_renewal', 'the grant is being renewed already');
  }
  const days = old.kind === 'task' ? context.config.taskCredentialDays : context.config.medicalCredentialDays;
  const grant: TransferGrant = {
    id: context.newId(),
    kind: old.kind,
    ...(old.composition === undefined ? {} : { composition: old.composition }),
    resources: old.resources,
    expiresAt: daysAfter(context.now, days).toISOString(),
    state: 'pending',
    replaces: old.id,
    revoked: false,
  };
  // The Task does not change, but the receiver must look for the new credential.
  const changed = told({ ...negotiation, grants: [...negotiation.grants, grant] });
  return done(log(withNegotiation(transfer, changed), 'grant_renewed', 'sluis', context, negotiation.id));
}

/** A negotiation cancelled by the sender, with its grants for medical data ended; the grant for the Task stays (facts §2.8). */
function cancelled(transfer: Transfer, negotiation: Negotiation, what: string, context: CommandContext): Transfer {
  const wasAssigned = negotiation.status === 'in-progress';
  const changed = revised(endMedical({ ...negotiation, status: 'cancelled' }));
  const next = log(withNegotiation(transfer, changed), what, 'sender', context, negotiation.id);
  return wasAssigned ? withoutHandoff(next) : next;
}

function begin(
  transfer: Transfer,
  receiver: { readonly organization: string; readonly name: string },
  status: TaskStatus,
  inputs: Negotiation['task']['inputs'],
  context: CommandContext,
): Negotiation {
  const taskId = context.newId();
  const resources = [{ path: `/Task/${taskId}`, operations: ['read', 'update'], userContext: false }];
  const expiresAt = daysAfter(context.now, context.config.taskCredentialDays).toISOString();
  const notice = documentOf(transfer, inputs.advanceNotice);
  const handoff = documentOf(transfer, inputs.nursingHandoff);
  return {
    id: context.newId(),
    organization: receiver.organization,
    name: receiver.name,
    status,
    task: { id: taskId, inputs, revision: 1, written: 0 },
    grants: [
      { id: context.newId(), kind: 'task', resources, expiresAt, state: 'pending', revoked: false },
      ...(notice === undefined ? [] : [medicalGrant('advance-notice', notice, context)]),
      ...(handoff === undefined ? [] : [medicalGrant('nursing-handoff', handoff, context)]),
    ],
    notification: { wanted: 1, queued: 0, delivered: 0, refused: 0 },
  };
}

/** Composition read and document, everything else read, all with a user (facts §5.3). */
function medicalGrant(
  kind: 'advance-notice' | 'nursing-handoff',
  document: TransferDocument,
  context: CommandContext,
): TransferGrant {
  const { assuranceLevel, medicalCredentialDays } = context.config;
  const resources: GrantedResource[] = document.resources.map((reference) => ({
    path: `/${reference}`,
    operations: reference === document.composition ? ['read', 'document'] : ['read'],
    userContext: true,
    assuranceLevel,
  }));
  const expiresAt = daysAfter(context.now, medicalCredentialDays).toISOString();
  return { id: context.newId(), kind, composition: document.composition, resources, expiresAt, state: 'pending', revoked: false };
}

/** Adds a grant that takes the place of the live one of its kind when it becomes live itself; one that was not live yet ends at once. */
function superseding(negotiation: Negotiation, grant: TransferGrant): Negotiation {
  const live = negotiation.grants.find((each) => each.kind === grant.kind && each.state === 'live');
  const grants = negotiation.grants.map((each) =>
    each.kind === grant.kind && each.state === 'pending' ? { ...each, state: 'ended' as const } : each,
  );
  return { ...negotiation, grants: [...grants, live === undefined ? grant : { ...grant, replaces: live.id }] };
}

/** Ends the grants for medical data: all of them, or those of one kind. */
export function endMedical(negotiation: Negotiation, kind?: TransferGrant['kind']): Negotiation {
  const grants = negotiation.grants.map((each) =>
    each.kind === 'task' || each.state === 'ended' || (kind !== undefined && each.kind !== kind)
      ? each
      : { ...each, state: 'ended' as const },
  );
  return { ...negotiation, grants };
}

/** A change of the Task by the sender: to be written, and to be told. */
export function revised(negotiation: Negotiation): Negotiation {
  return told({ ...negotiation, task: { ...negotiation.task, revision: negotiation.task.revision + 1 } });
}

/** Something that the receiver must hear of. */
export function told(negotiation: Negotiation): Negotiation {
  return { ...negotiation, notification: { ...negotiation.notification, wanted: negotiation.notification.wanted + 1 } };
}

/** A transfer in which nobody has the hand-off any more. */
export function withoutHandoff(transfer: Transfer): Transfer {
  const { handoff: _handoff, ...rest } = transfer;
  return rest;
}

/** A line of the timeline, and the status that follows. */
export function log(
  transfer: Transfer,
  what: string,
  who: TimelineEntry['who'],
  at: { readonly now: Date },
  negotiation?: string,
): Transfer {
  const entry: TimelineEntry = { at: at.now.toISOString(), what, who, ...(negotiation === undefined ? {} : { negotiation }) };
  return { ...transfer, timeline: [...transfer.timeline, entry] };
}

/** A transfer with a document added, or one of the same Composition replaced. */
export function withDocument(transfer: Transfer, document: TransferDocument): Transfer {
  return {
    ...transfer,
    documents: [...transfer.documents.filter((each) => each.composition !== document.composition), document],
  };
}

function hasOpen(transfer: Transfer, organization: string): boolean {
  return transfer.negotiations.some((each) => each.organization === organization && isOpen(each.status));
}

function onNegotiation(transfer: Transfer, id: string, work: (negotiation: Negotiation) => Applied): Applied {
  const negotiation = negotiationOf(transfer, id);
  return negotiation === undefined
    ? { ok: false, code: 'not_found', reason: 'negotiation_unknown', text: 'no such negotiation' }
    : work(negotiation);
}

function done(transfer: Transfer): Applied {
  return { ok: true, transfer: { ...transfer, status: statusOf(transfer) } };
}

function notFrom(negotiation: Negotiation): Applied {
  return refused('transition_not_allowed', `not from ${negotiation.status}`);
}

function refused(reason: string, text: string): Applied {
  return { ok: false, code: 'conflict', reason, text };
}
