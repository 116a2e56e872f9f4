import { type JsonObject, type JsonValue, type WriteVerdict } from 'sluis/usecase';
import { canonical, object, objects, text, without } from './json.ts';
import { alternativeDateOutput, isAlternativeDate } from './task.ts';
import { isTaskStatus, mayMove, type TaskStatus } from './task-state.ts';
import { privateTask } from './task-privacy.ts';

/** Where a reason may be given with the answer (facts §2.6 step 4). */
const WITH_REASON: ReadonlySet<TaskStatus> = new Set(['accepted', 'rejected', 'on-hold', 'cancelled']);

/** Never compared: the server's own, and what a client may leave out or set by itself. `meta` is compared without its version. */
const IGNORED: ReadonlySet<string> = new Set(['text', 'lastModified', 'meta']);

/** Judged by rules of their own. */
const JUDGED: ReadonlySet<string> = new Set(['status', 'statusReason', 'output']);

const DATE_TIME = /^\d{4}(-\d{2}(-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2}))?)?)?$/;

/**
 * What a receiver may change by PUT: its status by the machine, a reason in words, an alternative date (facts §2.6). The verdict's resource
 * is the stored Task plus that change; nothing of the receiver's bytes is passed on.
 */
export function judgeTaskUpdate(
  update: { readonly stored: JsonObject; readonly proposed: JsonObject; readonly id: string; readonly now: Date },
  receiverMayCancel: boolean,
): WriteVerdict {
  const { stored, proposed } = update;
  if (text(proposed, 'resourceType') !== 'Task' || text(proposed, 'id') !== update.id) {
    return rejected('bad_request', 'not_this_task', ['Task.id']);
  }
  const changed = changedElements(stored, proposed);
  if (changed.length > 0) return rejected('unprocessable', 'task_element_not_changeable', changed);
  const from = text(stored, 'status');
  const to = text(proposed, 'status');
  const sameReason = canonical(stored['statusReason']) === canonical(proposed['statusReason']);
  const sameOutput = canonical(stored['output']) === canonical(proposed['output']);
  if (to === from) {
    if (!sameReason) return rejected('unprocessable', 'task_element_not_changeable', ['Task.statusReason']);
    return sameOutput ? { outcome: 'unchanged' } : rejected('unprocessable', 'task_element_not_changeable', ['Task.output']);
  }
  if (!isTaskStatus(from) || !isTaskStatus(to) || !mayMove(from, to, 'receiver', receiverMayCancel)) {
    return rejected('unprocessable', 'task_transition_not_allowed', ['Task.status']);
  }
  const reason = object(proposed, 'statusReason');
  if (proposed['statusReason'] !== undefined && reason === undefined) {
    return rejected('unprocessable', 'task_reason_not_allowed', ['Task.statusReason']);
  }
  if (!sameReason && (!WITH_REASON.has(to) || !isReasonInWords(reason))) {
    return rejected('unprocessable', 'task_reason_not_allowed', ['Task.statusReason']);
  }
  const base: Record<string, JsonValue> = without(stored, 'statusReason', 'output');
  base['status'] = to;
  base['lastModified'] = update.now.toISOString();
  if (reason !== undefined) base['statusReason'] = reason;
  if (to !== 'on-hold') {
    if (!sameOutput) return rejected('unprocessable', 'task_output_not_allowed', ['Task.output']);
    if (stored['output'] !== undefined) base['output'] = stored['output'];
    return { outcome: 'write', resource: base };
  }
  const proposal = judgeProposal(stored, proposed);
  if (typeof proposal !== 'string') return proposal;
  base['output'] = [...objects(stored, 'output').filter((output) => !isAlternativeDate(output)), alternativeDateOutput(proposal)];
  return { outcome: 'write', resource: base };
}

/** The top-level elements that differ, as FHIR paths. What we left out of the Task when it was read without a user is no difference. */
function changedElements(stored: JsonObject, proposed: JsonObject): readonly string[] {
  const shown = privateTask(stored);
  const names = new Set([...Object.keys(stored), ...Object.keys(proposed)]);
  const changed = [...names].filter((name) => {
    if (IGNORED.has(name) || JUDGED.has(name)) return false;
    const theirs = canonical(proposed[name]);
    return theirs !== canonical(stored[name]) && theirs !== canonical(shown[name]);
  });
  if (canonical(settledMeta(stored)) !== canonical(settledMeta(proposed))) changed.push('meta');
  return changed.sort().map((name) => `Task.${name}`);
}

function settledMeta(task: JsonObject): JsonObject {
  return without(object(task, 'meta') ?? {}, 'versionId', 'lastUpdated');
}

function isReasonInWords(reason: JsonObject | undefined): boolean {
  return reason === undefined || (Object.keys(reason).every((name) => name === 'text') && text(reason, 'text') !== undefined);
}

/** Exactly one alternative date, nothing else in it, and every other output as it was: the date, or the rejection. */
function judgeProposal(stored: JsonObject, proposed: JsonObject): string | WriteVerdict {
  const ours = objects(stored, 'output').filter((output) => !isAlternativeDate(output));
  const theirs = objects(proposed, 'output');
  const others = theirs.filter((output) => !isAlternativeDate(output));
  const [proposal, ...more] = theirs.filter(isAlternativeDate);
  if (proposal === undefined) return rejected('unprocessable', 'task_alternative_date_missing', ['Task.output']);
  const date = text(proposal, 'valueDateTime');
  const plain = Object.keys(proposal).every((name) => name === 'type' || name === 'valueDateTime');
  if (more.length > 0 || !plain || canonical(ours) !== canonical(others)) {
    return rejected('unprocessable', 'task_output_not_allowed', ['Task.output']);
  }
  if (date === undefined || !DATE_TIME.test(date))
    return rejected('unprocessable', 'task_alternative_date_invalid', ['Task.output']);
  return date;
}

function rejected(code: 'bad_request' | 'unprocessable', reason: string, expression: readonly string[]): WriteVerdict {
  return { outcome: 'rejected', code, reason, expression };
}
