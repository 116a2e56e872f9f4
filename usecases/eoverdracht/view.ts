import type { JobView, JsonObject, JsonValue } from 'sluis/usecase';
import { mayMove } from './task-state.ts';
import { nextSteps } from './transfer-plan.ts';
import type { StoredTransfer } from './transfer-store.ts';
import { isClosed, type Negotiation, type Transfer } from './transfer.ts';

/** What an EHR can do with a transfer now. */
export type TransferAction = 'add-receivers' | 'cancel';
/** What an EHR can do with one negotiation now. */
export type NegotiationAction = 'assign' | 'answer' | 'cancel' | 'replace-handoff';

/**
 * A transfer as the API shows it. `settled` is true when everything that follows from it has been done outside.
 * @param jobs the notification jobs by negotiation, where they are to be shown
 */
export function transferView(stored: StoredTransfer, jobs: ReadonlyMap<string, readonly JobView[]> = new Map()): JsonObject {
  const { transfer, record } = stored;
  return {
    id: transfer.id,
    patient: transfer.patient,
    transferDate: transfer.transferDate,
    status: transfer.status,
    settled: nextSteps(transfer).length === 0,
    createdAt: transfer.createdAt,
    updatedAt: record.updatedAt.toISOString(),
    ...(transfer.notice === undefined ? {} : { advanceNotice: transfer.notice }),
    ...(transfer.handoff === undefined ? {} : { handoff: transfer.handoff }),
    negotiations: transfer.negotiations.map((each) => negotiationView(transfer, each, jobs.get(each.id) ?? [])),
    actions: [...transferActions(transfer)],
    timeline: transfer.timeline,
  };
}

/** What an EHR may do with the transfer as a whole. */
export function transferActions(transfer: Transfer): readonly TransferAction[] {
  if (isClosed(transfer)) return [];
  return transfer.status !== 'assigned' && transfer.notice !== undefined ? ['add-receivers', 'cancel'] : ['cancel'];
}

/** What an EHR may do with a negotiation. */
export function negotiationActions(transfer: Transfer, negotiation: Negotiation): readonly NegotiationAction[] {
  if (isClosed(transfer)) return [];
  const actions: NegotiationAction[] = [];
  if (negotiation.status === 'accepted' && transfer.status !== 'assigned') actions.push('assign');
  if (negotiation.status === 'on-hold') actions.push('answer');
  if (negotiation.status === 'in-progress') actions.push('replace-handoff');
  if (mayMove(negotiation.status, 'cancelled', 'sender')) actions.push('cancel');
  return actions;
}

function negotiationView(transfer: Transfer, negotiation: Negotiation, jobs: readonly JobView[]): JsonValue {
  const { task } = negotiation;
  return {
    id: negotiation.id,
    organization: negotiation.organization,
    name: negotiation.name,
    status: negotiation.status,
    ...(negotiation.statusReason === undefined ? {} : { statusReason: negotiation.statusReason }),
    ...(negotiation.alternativeDate === undefined ? {} : { alternativeDate: negotiation.alternativeDate }),
    ...(negotiation.transferDate === undefined ? {} : { transferDate: negotiation.transferDate }),
    task: {
      id: task.id,
      status: task.seen?.status ?? negotiation.status,
      written: task.written >= task.revision,
      ...(task.seen === undefined ? {} : { version: task.seen.version }),
      ...task.inputs,
    },
    grants: negotiation.grants.map((grant) => ({
      id: grant.id,
      kind: grant.kind,
      state: grant.state,
      ...(grant.composition === undefined ? {} : { composition: grant.composition }),
      ...(grant.credentialId === undefined ? {} : { credential: grant.credentialId }),
      ...(grant.state === 'ended' ? { revoked: grant.revoked } : {}),
      expiresAt: grant.expiresAt,
      paths: grant.resources.map((each) => each.path),
    })),
    notification: notificationView(negotiation, jobs),
    actions: [...negotiationActions(transfer, negotiation)],
  };
}

function notificationView(negotiation: Negotiation, jobs: readonly JobView[]): JsonObject {
  const { wanted, delivered, deliveredAt, problem } = negotiation.notification;
  const state = problem !== undefined ? 'failed' : delivered >= wanted ? 'delivered' : 'pending';
  const attempts = jobs.flatMap((job) => job.attempts);
  const next = jobs.find((job) => job.nextAt !== undefined)?.nextAt;
  return {
    state,
    changes: wanted,
    delivered,
    ...(deliveredAt === undefined ? {} : { deliveredAt }),
    ...(problem === undefined ? {} : { problem }),
    ...(next === undefined ? {} : { nextAttemptAt: next.toISOString() }),
    attempts: attempts.map((attempt) => ({
      at: attempt.at.toISOString(),
      outcome: attempt.outcome,
      ...(attempt.reason === undefined ? {} : { reason: attempt.reason }),
    })),
  };
}
