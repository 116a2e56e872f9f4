import { z, type JsonValue, type RecordKey, type RecordReader, type Services, type StoredRecord, type Unit } from 'sluis/usecase';
import { isFinal, isTaskStatus, nextStatuses, type TaskStatus } from './task-state.ts';
import type { TaskView } from './task.ts';

/*
 * What was offered to this tenant: one record (kind `inbox`) for each Task of a sender. It mirrors what the sender's Task said when it was
 * last read: references and codes, no clinical data. Task ids are unique per sender only, so the key is both (facts §4.3).
 */

const moment = z.iso.datetime({ offset: true });
const composition = z.string().regex(/^Composition\/[A-Za-z0-9\-.]{1,64}$/);

/** The answer that this tenant wants at the sender, until it stands there or was refused. */
const pendingAnswer = z
  .object({
    id: z.string(),
    status: z.string(),
    reason: z.string().exactOptional(),
    alternativeDate: z.string().exactOptional(),
    at: moment,
    /** The documents that the user answered to: an answer does not count for others. */
    advanceNotice: composition.exactOptional(),
    handoff: composition.exactOptional(),
    /** Why it does not stand at the sender yet. */
    problem: z.string().exactOptional(),
  })
  .readonly();

const settledAnswer = z
  .object({
    id: z.string(),
    status: z.string(),
    at: moment,
    outcome: z.enum(['done', 'refused']),
    /** How the API tells a refusal: an error code of the gateway, a stable reason, and words. */
    code: z.enum(['conflict', 'forbidden', 'unprocessable', 'not_found', 'upstream_failed', 'upstream_timeout']).exactOptional(),
    reason: z.string().exactOptional(),
  })
  .readonly();

const timelineEntry = z
  .object({
    at: moment,
    /** snake_case, stable. */
    what: z.string(),
    who: z.enum(['sender', 'receiver', 'sluis']),
    status: z.string().exactOptional(),
  })
  .readonly();

const inboxItem = z
  .object({
    id: z.string(),
    /** The sender's DID, as its token proved. */
    sender: z.string(),
    /** How the Task names the sender: for showing, it proves nothing. */
    senderName: z.string().exactOptional(),
    taskId: z.string(),
    /** Any text: a status that we do not know is kept, and can not be answered. */
    status: z.string(),
    statusReason: z.string().exactOptional(),
    alternativeDate: z.string().exactOptional(),
    version: z.string().exactOptional(),
    advanceNotice: composition.exactOptional(),
    handoff: composition.exactOptional(),
    receivedAt: moment,
    answer: pendingAnswer.exactOptional(),
    lastAnswer: settledAnswer.exactOptional(),
    /** Why the item is not current: a person may have to look. */
    problem: z.string().exactOptional(),
    timeline: z.array(timelineEntry).readonly(),
  })
  .readonly();

export type InboxItem = z.infer<typeof inboxItem>;
export type PendingAnswer = z.infer<typeof pendingAnswer>;
export type SettledAnswer = z.infer<typeof settledAnswer>;
export type InboxEntry = z.infer<typeof timelineEntry>;

/** An item as it is stored. */
export interface StoredItem {
  readonly item: InboxItem;
  readonly version: number;
  readonly record: StoredRecord;
}

/** What a Task says, with its version at the sender. */
export interface SeenTask {
  readonly view: TaskView;
  readonly version?: string;
  readonly senderName?: string;
}

/** The kind of record that an item is. */
export const INBOX = 'inbox';

const MAX_TIMELINE = 200;

/** The key of an item, and of the job that pulls it. A DID has no bar in it. */
export function taskKey(sender: string, taskId: string): string {
  return `${sender}|${taskId}`;
}

/** A stored record as an item. @throws ZodError when it is none */
export function toItem(record: StoredRecord): StoredItem {
  return { item: inboxItem.parse(record.state), version: record.version, record };
}

/** The item with that id. */
export async function readItem(records: RecordReader, id: string): Promise<StoredItem | undefined> {
  const record = await records.get(id);
  return record === undefined ? undefined : toItem(record);
}

/** The item of a sender's Task. */
export async function itemOfTask(records: RecordReader, sender: string, taskId: string): Promise<StoredItem | undefined> {
  const { items } = await records.find({ where: { task: taskKey(sender, taskId) }, limit: 1 });
  return items[0] === undefined ? undefined : toItem(items[0]);
}

/** Stores an item; `before` is what it was made from. @throws GatewayError `conflict` when somebody else was first */
export function saveItem(unit: Unit, before: StoredItem | undefined, item: InboxItem): Promise<StoredRecord> {
  const records = unit.records(INBOX);
  const state: JsonValue = item;
  return before === undefined
    ? records.insert(item.id, state, keysOf(item))
    : records.update(item.id, before.version, state, keysOf(item));
}

/** Changes an item as it is by now; undefined changes nothing. */
export async function changeItem(
  services: Services,
  id: string,
  change: (item: InboxItem) => InboxItem | undefined,
): Promise<StoredItem | undefined> {
  return services.transaction(async (unit) => {
    const stored = await readItem(unit.records(INBOX), id);
    if (stored === undefined) return undefined;
    const next = change(stored.item);
    return next === undefined ? stored : toItem(await saveItem(unit, stored, next));
  });
}

/** Whether anything can still happen to it. A status that we do not know is not the end. */
export function isOpenItem(item: InboxItem): boolean {
  return !isTaskStatus(item.status) || !isFinal(item.status);
}

/** The statuses that the receiver may set now (facts §2.7); none while an answer is on its way. */
export function itemActions(item: InboxItem): readonly TaskStatus[] {
  return item.answer === undefined && isTaskStatus(item.status) ? nextStatuses(item.status, 'receiver') : [];
}

/** A new item. */
export function newItem(id: string, sender: string, seen: SeenTask, now: Date): InboxItem {
  return {
    ...mirrored(seen),
    id,
    sender,
    taskId: seen.view.id,
    receivedAt: now.toISOString(),
    timeline: [{ at: now.toISOString(), what: 'task_received', who: 'sender', status: seen.view.status }],
  };
}

/** The item with what the Task says now: what changed stands in its timeline. The same object when nothing did. */
export function withTask(item: InboxItem, seen: SeenTask, who: 'sender' | 'receiver', now: Date): InboxItem {
  const at = now.toISOString();
  const added: InboxEntry[] = [];
  const next = mirrored(seen);
  if (next.status !== item.status) added.push({ at, what: 'status_changed', who, status: next.status });
  if (next.advanceNotice !== item.advanceNotice) added.push({ at, what: 'advance_notice_changed', who });
  if (next.handoff !== item.handoff) {
    added.push({ at, what: item.handoff === undefined ? 'handoff_offered' : 'handoff_changed', who });
  }
  if (next.alternativeDate !== item.alternativeDate) added.push({ at, what: 'alternative_date_changed', who });
  if (next.statusReason !== item.statusReason) added.push({ at, what: 'reason_changed', who });
  const same = added.length === 0 && next.version === item.version && next.senderName === item.senderName;
  if (same && item.problem === undefined) return item;
  const { id, sender, taskId, receivedAt, answer, lastAnswer } = item;
  return {
    ...next,
    id,
    sender,
    taskId,
    receivedAt,
    ...(answer === undefined ? {} : { answer }),
    ...(lastAnswer === undefined ? {} : { lastAnswer }),
    timeline: [...item.timeline, ...added].slice(-MAX_TIMELINE),
  };
}

/** The item with one more line in its timeline. */
export function noted(item: InboxItem, entry: InboxEntry): InboxItem {
  return { ...item, timeline: [...item.timeline, entry].slice(-MAX_TIMELINE) };
}

function mirrored(seen: SeenTask) {
  const { view, version, senderName } = seen;
  const { advanceNotice, nursingHandoff } = view.inputs;
  return {
    status: view.status,
    ...(view.statusReason === undefined ? {} : { statusReason: view.statusReason }),
    ...(view.alternativeDate === undefined ? {} : { alternativeDate: view.alternativeDate }),
    ...(version === undefined ? {} : { version }),
    ...(senderName === undefined ? {} : { senderName }),
    ...(advanceNotice === undefined ? {} : { advanceNotice }),
    ...(nursingHandoff === undefined ? {} : { handoff: nursingHandoff }),
  } satisfies Partial<InboxItem>;
}

function keysOf(item: InboxItem): readonly RecordKey[] {
  return [
    { name: 'task', value: taskKey(item.sender, item.taskId), unique: true },
    { name: 'status', value: item.status },
    { name: 'sender', value: item.sender },
    ...(isOpenItem(item) ? [{ name: 'open', value: 'yes' }] : []),
  ];
}
