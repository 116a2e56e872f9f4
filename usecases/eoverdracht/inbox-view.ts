import { GatewayError, type ErrorCode, type JsonObject } from 'sluis/usecase';
import { itemActions, type SettledAnswer, type StoredItem } from './inbox.ts';

/** An item as the API shows it: statuses and actions in the words of the Task, as in a transfer's negotiations. */
export function itemView(stored: StoredItem): JsonObject {
  const { item, record } = stored;
  const { answer, lastAnswer } = item;
  const settled = lastAnswer !== undefined && (answer === undefined || lastAnswer.id === answer.id) ? lastAnswer : undefined;
  return {
    id: item.id,
    sender: { organization: item.sender, ...(item.senderName === undefined ? {} : { name: item.senderName }) },
    task: { id: item.taskId, ...(item.version === undefined ? {} : { version: item.version }) },
    status: item.status,
    ...(item.statusReason === undefined ? {} : { statusReason: item.statusReason }),
    ...(item.alternativeDate === undefined ? {} : { alternativeDate: item.alternativeDate }),
    ...(item.advanceNotice === undefined ? {} : { advanceNotice: item.advanceNotice }),
    ...(item.handoff === undefined ? {} : { handoff: item.handoff }),
    createdAt: item.receivedAt,
    updatedAt: record.updatedAt.toISOString(),
    actions: [...itemActions(item)],
    ...(answer === undefined
      ? {}
      : {
          answer: {
            id: answer.id,
            status: answer.status,
            state: 'pending',
            at: answer.at,
            ...(answer.problem === undefined ? {} : { reason: answer.problem }),
          },
        }),
    ...(settled === undefined
      ? {}
      : {
          answer: {
            id: settled.id,
            status: settled.status,
            state: settled.outcome,
            at: settled.at,
            ...(settled.reason === undefined ? {} : { reason: settled.reason }),
          },
        }),
    ...(item.problem === undefined ? {} : { problem: item.problem }),
    timeline: item.timeline,
  };
}

const WORDS: Readonly<Partial<Record<string, string>>> = {
  changed_meanwhile: 'the sender changed the Task meanwhile: look at it again',
  refused_by_sender: 'the sender refuses the answer',
  no_credential: 'no credential of the sender lets the Task be changed',
  task_unknown: 'the sender does not have the Task any more',
};

/** A refused answer as the API tells it. */
export function refusedAnswer(answer: SettledAnswer): GatewayError {
  const code: ErrorCode = answer.code ?? 'upstream_failed';
  const reason = answer.reason ?? 'refused_by_sender';
  return new GatewayError(code, WORDS[reason] ?? 'the sender did not take the answer', { reason });
}
