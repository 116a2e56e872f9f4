import { GatewayError, z, type Job, type JobResult, type JsonObject, type JsonValue, type Services } from 'sluis/usecase';
import type { EOverdrachtConfig } from './config.ts';
import { createSenderClient, type SenderClient } from './fetch-client.ts';
import { fetchTask, putTask, type FetchedTask, type RefusalCode, type TaskAnswer } from './fetch-task.ts';
import { changeItem, INBOX, noted, readItem, withTask, type InboxItem, type PendingAnswer } from './inbox.ts';
import { objects } from './json.ts';
import { securityEvent } from './pull-job.ts';
import { reasonOf } from './settle-job.ts';
import { alternativeDateOutput, isAlternativeDate } from './task.ts';
import { isTaskStatus, mayMove } from './task-state.ts';

const payloadSchema = z.object({ item: z.string() });

const GIVE_UP_MS = 24 * 3_600_000;
const MAX_CHANGES = 3;

/** What came of one attempt. */
type Attempt =
  | { readonly outcome: 'done'; readonly task: FetchedTask }
  | { readonly outcome: 'refused'; readonly code: RefusalCode; readonly reason: string; readonly task?: FetchedTask }
  | { readonly outcome: 'later'; readonly reason: string; readonly inMs?: number };

/**
 * Brings the tenant's answer to the sender: the Task is read fresh, changed in what a receiver may change, and put back if it is still that
 * version (facts §1.3 A18). The Task is read first on every attempt, so an answer whose reply was lost is found and not sent again. It runs
 * without a user: a Task needs none, and a user's presentation is not kept (RFC019 §4).
 */
export const answerJob: Job<EOverdrachtConfig> = {
  name: 'answer',
  scheduleMs: [2_000, 5_000, 15_000, 60_000, 300_000],
  run: async (payload, _config, services): Promise<JobResult> => {
    const { item: id } = payloadSchema.parse(payload);
    const stored = await readItem(services.records(INBOX), id);
    const answer = stored?.item.answer;
    if (stored === undefined || answer === undefined) return { outcome: 'done' };
    const attempt = await tryAnswer(services, stored.item, answer);
    switch (attempt.outcome) {
      case 'done':
        await settle(services, id, answer, { outcome: 'done' }, attempt.task);
        return { outcome: 'done' };
      case 'refused':
        await settle(services, id, answer, { outcome: 'refused', code: attempt.code, reason: attempt.reason }, attempt.task);
        return { outcome: 'done' };
      case 'later':
        return later(services, id, answer, attempt);
    }
  },
};

async function tryAnswer(services: Services, item: InboxItem, answer: PendingAnswer): Promise<Attempt> {
  const client = createSenderClient(services, item.sender);
  try {
    let refused: Attempt = { outcome: 'refused', code: 'conflict', reason: 'changed_meanwhile' };
    for (let change = 1; change <= MAX_CHANGES; change += 1) {
      const read = await fetchTask(services, client, item.taskId);
      if (read.outcome !== 'task') return await failed(services, item, read);
      const { task } = read;
      if (stands(task, answer)) return { outcome: 'done', task };
      refused = { outcome: 'refused', code: 'conflict', reason: 'changed_meanwhile', task };
      if (!isAsAnswered(task, answer)) return refused;
      const written = await write(services, client, task, answer);
      if (written.outcome === 'changed') continue;
      if (written.outcome !== 'task') return await failed(services, item, written);
      if (stands(written.task, answer)) return { outcome: 'done', task: written.task };
      return { outcome: 'refused', code: 'upstream_failed', reason: 'sender_answered_otherwise', task: written.task };
    }
    return refused;
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    const reason = reasonOf(error);
    return reason === 'no_credential' ? { outcome: 'refused', code: 'forbidden', reason } : { outcome: 'later', reason };
  }
}

function write(services: Services, client: SenderClient, task: FetchedTask, answer: PendingAnswer): Promise<TaskAnswer> {
  return putTask(services, client, answered(task.resource, answer), task.version);
}

/** The Task with the answer in it and nothing else changed: status, a reason in words, an alternative date (facts §2.6). */
export function answered(task: JsonObject, answer: PendingAnswer): JsonObject {
  const next: Record<string, JsonValue> = { ...task, status: answer.status };
  if (answer.reason !== undefined) next['statusReason'] = { text: answer.reason };
  if (answer.alternativeDate !== undefined) {
    const others = objects(task, 'output').filter((output) => !isAlternativeDate(output));
    next['output'] = [...others, alternativeDateOutput(answer.alternativeDate)];
  }
  return next;
}

/** Whether the answer stands in the Task already: this attempt's predecessor wrote it and did not live to hear so. */
function stands(task: FetchedTask, answer: PendingAnswer): boolean {
  const { status, alternativeDate } = task.view;
  return status === answer.status && (answer.alternativeDate === undefined || answer.alternativeDate === alternativeDate);
}

/** Whether the Task is still what the user answered to: the move is possible, and the documents are the same. */
function isAsAnswered(task: FetchedTask, answer: PendingAnswer): boolean {
  const { status, inputs } = task.view;
  if (!isTaskStatus(status) || !isTaskStatus(answer.status) || !mayMove(status, answer.status, 'receiver')) return false;
  if (answer.status === 'rejected' || answer.status === 'cancelled') return true;
  return inputs.advanceNotice === answer.advanceNotice && inputs.nursingHandoff === answer.handoff;
}

async function failed(
  services: Services,
  item: InboxItem,
  answer: Exclude<TaskAnswer, { readonly outcome: 'task' }>,
): Promise<Attempt> {
  switch (answer.outcome) {
    case 'mismatch':
      await securityEvent(services, 'inbox_task_discarded', item.sender, item.taskId, answer.reason);
      return { outcome: 'refused', code: 'upstream_failed', reason: answer.reason };
    case 'changed':
      return { outcome: 'refused', code: 'conflict', reason: 'changed_meanwhile' };
    case 'refused':
    case 'later':
      return answer;
  }
}

async function settle(
  services: Services,
  id: string,
  answer: PendingAnswer,
  result: { readonly outcome: 'done' } | { readonly outcome: 'refused'; readonly code: RefusalCode; readonly reason: string },
  task?: FetchedTask,
): Promise<void> {
  await changeItem(services, id, (item) => {
    if (item.answer?.id !== answer.id) return undefined;
    const now = services.now();
    const { answer: _answered, ...rest } = item;
    // Another's change and our refused answer are told apart: only an answer that stands is the receiver's doing.
    const mirrored = task === undefined ? rest : withTask(rest, task, result.outcome === 'done' ? 'receiver' : 'sender', now);
    const at = now.toISOString();
    const lastAnswer = { id: answer.id, status: answer.status, at, ...result };
    return noted({ ...mirrored, lastAnswer }, { at, what: `answer_${result.outcome}`, who: 'receiver', status: answer.status });
  });
}

async function later(
  services: Services,
  id: string,
  answer: PendingAnswer,
  attempt: { readonly reason: string; readonly inMs?: number },
): Promise<JobResult> {
  const { reason, inMs } = attempt;
  if (services.now().getTime() - Date.parse(answer.at) > GIVE_UP_MS) {
    const code = reason === 'upstream_timeout' ? 'upstream_timeout' : 'upstream_failed';
    await settle(services, id, answer, { outcome: 'refused', code, reason });
    return { outcome: 'dead', reason };
  }
  await changeItem(services, id, (item) =>
    item.answer?.id !== answer.id || item.answer.problem === reason
      ? undefined
      : { ...item, answer: { ...item.answer, problem: reason } },
  );
  return { outcome: 'retry', reason, ...(inMs === undefined ? {} : { inMs }) };
}
