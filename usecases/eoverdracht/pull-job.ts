import { randomUUID } from 'node:crypto';
import { GatewayError, z, type Job, type JobResult, type Services } from 'sluis/usecase';
import type { EOverdrachtConfig } from './config.ts';
import { createSenderClient } from './fetch-client.ts';
import { fetchTask, type FetchedTask, type TaskAnswer } from './fetch-task.ts';
import { changeItem, INBOX, itemOfTask, newItem, noted, saveItem, taskKey, toItem, withTask, type StoredItem } from './inbox.ts';
import { reasonOf } from './settle-job.ts';

const payloadSchema = z.object({ sender: z.string(), taskId: z.string() });

const HOUR_MS = 3_600_000;
const MAX_CONFLICTS = 3;
const RECONCILE_EVERY_MS = 300_000;
/** The pulls of one round are spread over this long, so that no sender gets them all at once. */
const SPREAD_MS = 240_000;

/**
 * Reads a Task at its sender after a notification (facts §4.3), or to see whether one was missed. The credential may come later than the
 * notification, so the first attempts are close together; after a day without one the job is dead.
 */
export const pullJob: Job<EOverdrachtConfig> = {
  name: 'pull',
  scheduleMs: [2_000, 5_000, 15_000, 60_000, 300_000],
  giveUpAfterMs: 24 * HOUR_MS,
  run: async (payload, _config, services): Promise<JobResult> => {
    const { sender, taskId } = payloadSchema.parse(payload);
    try {
      return await pull(services, sender, taskId);
    } catch (error) {
      if (error instanceof GatewayError) return { outcome: 'retry', reason: reasonOf(error) };
      throw error;
    }
  },
};

/**
 * Asks for every open item's Task again, for notifications that were missed. (Tasks that nobody told us of could be found by the credentials
 * in the wallet, but a search there needs the path of the resource: it is left out.)
 */
export const reconcileJob: Job<EOverdrachtConfig> = {
  name: 'reconcile',
  scheduleMs: [60_000],
  everyMs: RECONCILE_EVERY_MS,
  run: async (_payload, _config, services): Promise<JobResult> => {
    const open: StoredItem[] = [];
    for (let cursor: string | undefined, first = true; first || cursor !== undefined; first = false) {
      const page = await services
        .records(INBOX)
        .find({ where: { open: 'yes' }, limit: 100, ...(cursor === undefined ? {} : { cursor }) });
      open.push(...page.items.map(toItem));
      cursor = page.cursor;
    }
    const due = open.filter((each) => each.item.problem !== 'task_unknown');
    const start = services.now().getTime();
    for (const [index, { item }] of due.entries()) {
      const runAt = new Date(start + Math.floor((index / due.length) * SPREAD_MS));
      const { sender, taskId } = item;
      await services.transaction((unit) =>
        unit.enqueue({ name: 'pull', key: taskKey(sender, taskId), payload: { sender, taskId }, runAt }),
      );
    }
    return { outcome: 'done' };
  },
};

/** One attempt. When the item changed while the Task was under way, the Task is read again: an older one must not overwrite a newer one. */
async function pull(services: Services, sender: string, taskId: string): Promise<JobResult> {
  const client = createSenderClient(services, sender);
  for (let attempt = 1; ; attempt += 1) {
    const known = await itemOfTask(services.records(INBOX), sender, taskId);
    const answer = await fetchTask(services, client, taskId);
    if (answer.outcome !== 'task') return without(services, sender, taskId, known, answer);
    try {
      await store(services, sender, known, answer.task);
      return { outcome: 'done' };
    } catch (error) {
      if (!(error instanceof GatewayError) || error.code !== 'conflict' || attempt >= MAX_CONFLICTS) throw error;
    }
  }
}

async function store(services: Services, sender: string, known: StoredItem | undefined, task: FetchedTask): Promise<void> {
  const changed = await services.transaction(async (unit) => {
    // Two first pulls cannot overlap (one job per key), but an answer may have been stored since.
    const now = await itemOfTask(unit.records(INBOX), sender, task.view.id);
    if (now?.version !== known?.version) throw new GatewayError('conflict', 'the item changed meanwhile');
    const item = now === undefined ? newItem(randomUUID(), sender, task, unit.now) : withTask(now.item, task, 'sender', unit.now);
    if (item === now?.item) return false;
    await saveItem(unit, now, item);
    return true;
  });
  if (changed && task.refusedReferences > 0) {
    await securityEvent(services, 'inbox_reference_refused', sender, task.view.id, 'foreign_reference');
  }
}

/** No Task: what that means for the item and for the job. */
async function without(
  services: Services,
  sender: string,
  taskId: string,
  known: StoredItem | undefined,
  answer: Exclude<TaskAnswer, { readonly outcome: 'task' }>,
): Promise<JobResult> {
  switch (answer.outcome) {
    case 'mismatch':
      await securityEvent(services, 'inbox_task_discarded', sender, taskId, answer.reason);
      return { outcome: 'done' };
    case 'refused':
      // A refusal may end when a credential has arrived; a Task that is not there does not come by itself.
      if (answer.reason !== 'task_unknown') return { outcome: 'retry', reason: answer.reason };
      if (known !== undefined) await markUnknown(services, known.item.id);
      return { outcome: 'dead', reason: answer.reason };
    case 'changed':
      return { outcome: 'retry', reason: 'changed_meanwhile' };
    case 'later':
      return { outcome: 'retry', reason: answer.reason, ...(answer.inMs === undefined ? {} : { inMs: answer.inMs }) };
  }
}

async function markUnknown(services: Services, id: string): Promise<void> {
  await changeItem(services, id, (item) => {
    if (item.problem === 'task_unknown') return undefined;
    const at = services.now().toISOString();
    return noted({ ...item, problem: 'task_unknown' }, { at, what: 'task_unknown', who: 'sluis' });
  });
}

/** For the audit trail and the operator: somebody sends what does not fit (facts §4.3; nothing is ignored in silence). */
export async function securityEvent(
  services: Services,
  event: string,
  sender: string,
  taskId: string,
  reason: string,
): Promise<void> {
  await services.audit({ event, outcome: 'denied', requester: sender, reason, attributes: { task: `Task/${taskId}` } });
  services.log('warn', 'a Task of another party was refused', { event, sender, task: taskId, reason });
}
