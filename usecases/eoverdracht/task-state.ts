/** The statuses of a Task that eOverdracht uses (facts §2.4). */
export const TASK_STATUSES = [
  'requested',
  'received',
  'accepted',
  'rejected',
  'on-hold',
  'in-progress',
  'cancelled',
  'completed',
] as const;

export type TaskStatus = (typeof TASK_STATUSES)[number];

/** Who moves a Task: the receiver by PUT at our gate, the sender at its own FHIR server. */
export type Actor = 'receiver' | 'sender';

/** The machine of facts §2.7, as data. What does not stand here is not allowed. */
const TRANSITIONS: Readonly<Record<TaskStatus, Readonly<Record<Actor, readonly TaskStatus[]>>>> = {
  requested: { receiver: ['received', 'accepted', 'rejected', 'on-hold', 'cancelled'], sender: ['cancelled'] },
  received: { receiver: ['accepted', 'rejected', 'on-hold', 'cancelled'], sender: ['cancelled'] },
  'on-hold': { receiver: ['cancelled'], sender: ['requested', 'cancelled'] },
  accepted: { receiver: ['cancelled'], sender: ['in-progress', 'cancelled'] },
  'in-progress': { receiver: ['completed', 'cancelled'], sender: ['cancelled', 'completed'] },
  // The sender confirms a rejection (Nictiz test script 1.4b).
  rejected: { receiver: [], sender: ['cancelled'] },
  cancelled: { receiver: [], sender: [] },
  completed: { receiver: [], sender: [] },
};

const NO_ACCESS: ReadonlySet<TaskStatus> = new Set(['rejected', 'cancelled', 'completed']);

/** Whether `text` is a status that eOverdracht uses. */
export function isTaskStatus(text: string | undefined): text is TaskStatus {
  return TASK_STATUSES.some((status) => status === text);
}

/** The statuses that the actor may set from this one. */
export function nextStatuses(from: TaskStatus, actor: Actor, receiverMayCancel = true): readonly TaskStatus[] {
  const next = TRANSITIONS[from][actor];
  return actor === 'receiver' && !receiverMayCancel ? next.filter((status) => status !== 'cancelled') : next;
}

/** Whether the actor may move a Task so. Staying where it is is no move. */
export function mayMove(from: TaskStatus, to: TaskStatus, actor: Actor, receiverMayCancel = true): boolean {
  return nextStatuses(from, actor, receiverMayCancel).includes(to);
}

/** Whether the actor alone can bring a Task from one status to the other, in one or more moves that we may not all have seen. */
export function canReach(from: TaskStatus, to: TaskStatus, actor: Actor): boolean {
  const seen = new Set<TaskStatus>();
  const open: TaskStatus[] = [from];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    for (const next of nextStatuses(at, actor)) {
      if (next === to) return true;
      if (!seen.has(next)) {
        seen.add(next);
        open.push(next);
      }
    }
  }
  return false;
}

/** Nobody can move it any more. */
export function isFinal(status: TaskStatus): boolean {
  return status === 'cancelled' || status === 'completed';
}

/** Whether the offer stands: neither refused nor ended. */
export function isOpen(status: TaskStatus): boolean {
  return !NO_ACCESS.has(status);
}

/** Whether a status gives the receiver the advance notice (facts §2.8); in-progress keeps it. */
export function givesAdvanceNotice(status: TaskStatus): boolean {
  return isOpen(status);
}

/** Whether a status gives the receiver the hand-off: only while the transfer goes on. */
export function givesHandoff(status: TaskStatus): boolean {
  return status === 'in-progress';
}
