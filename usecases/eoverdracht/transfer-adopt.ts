import { endMedical, log, revised, told, withoutHandoff } from './transfer-commands.ts';
import { canReach, givesAdvanceNotice, givesHandoff, isFinal, isTaskStatus, mayMove, type TaskStatus } from './task-state.ts';
import { statusOf, withNegotiation, type Negotiation, type Transfer } from './transfer.ts';

/** A Task as it was found at the FHIR server. */
export interface SeenTask {
  readonly status: string;
  readonly version: string;
  readonly statusReason?: string;
  readonly alternativeDate?: string;
}

/**
 * Brings the transfer in line with a Task that was read: the receiver's answer is taken over, with all that follows from it. Applied twice it
 * does nothing the second time. What FHIR says rules, except where the sender has decided something that may still be done from there.
 */
export function adopt(transfer: Transfer, negotiation: Negotiation, seen: SeenTask, now: Date): Transfer {
  if (negotiation.task.seen?.version === seen.version) return transfer;
  const known = negotiation.task.seen?.status ?? negotiation.status;
  const current: Negotiation = {
    ...negotiation,
    task: { ...negotiation.task, seen: { status: seen.status, version: seen.version } },
  };
  const kept = withNegotiation(transfer, current);
  if (seen.status === negotiation.status) return kept;

  const pending = negotiation.task.revision > negotiation.task.written;
  const status = isTaskStatus(seen.status) ? seen.status : undefined;
  const moved = status !== undefined && isAnswer(status, known, negotiation.status);
  if (status !== undefined && moved && !(pending && mayMove(status, negotiation.status, 'sender'))) {
    return taken(transfer, negotiation.status, current, status, seen, now);
  }
  if (pending) return kept;
  // Neither an answer of the receiver nor an end: somebody wrote it past us. What the transfer says is put back.
  return log(withNegotiation(kept, revised(current)), 'task_restored', 'sluis', { now }, negotiation.id);
}

/**
 * Whether a status that was found is the receiver's doing, or an end. It may have answered what we last saw, or what we wrote since without
 * learning that it was written.
 */
export function isAnswer(found: TaskStatus, known: string | undefined, wanted: TaskStatus): boolean {
  return isFinal(found) || canReach(wanted, found, 'receiver') || (isTaskStatus(known) && canReach(known, found, 'receiver'));
}

function taken(
  transfer: Transfer,
  before: TaskStatus,
  current: Negotiation,
  status: TaskStatus,
  seen: SeenTask,
  now: Date,
): Transfer {
  const { statusReason: _reason, alternativeDate: _date, ...rest } = current;
  let changed: Negotiation = told({
    ...rest,
    status,
    ...(seen.statusReason === undefined ? {} : { statusReason: seen.statusReason }),
    ...(seen.alternativeDate === undefined ? {} : { alternativeDate: seen.alternativeDate }),
    // What the sender still wanted to write is overtaken.
    task: { ...current.task, written: current.task.revision },
  });
  if (!givesAdvanceNotice(status)) changed = endMedical(changed, 'advance-notice');
  if (!givesHandoff(status)) changed = endMedical(changed, 'nursing-handoff');
  let next = log(withNegotiation(transfer, changed), `receiver_${status.replace('-', '_')}`, 'receiver', { now }, current.id);
  if (before === 'in-progress' && status !== 'completed') next = withoutHandoff(next);
  return { ...next, status: statusOf(next) };
}
