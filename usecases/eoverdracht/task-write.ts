import type { AccessRequest, GuardedWrite, JsonObject, PolicyInformation, WriteVerdict } from 'sluis/usecase';
import type { EOverdrachtConfig } from './config.ts';
import { text } from './json.ts';
import { judgeTaskUpdate } from './task-diff.ts';
import { isFinal } from './task-state.ts';
import { toSeen } from './task-writing.ts';
import { adopt } from './transfer-adopt.ts';
import { saveTransfer, transferOfTask } from './transfer-store.ts';
import { parseTransfer, TRANSFER, type Negotiation } from './transfer.ts';

/** The receiver's PUT of its Task (facts §2.6). */
export const taskWrite: GuardedWrite<EOverdrachtConfig> = {
  name: 'task',

  async judge({ request, proposed, stored }, config, information): Promise<WriteVerdict> {
    const id = request.resource.id ?? '';
    const verdict = judgeTaskUpdate({ stored, proposed, id, now: request.context.now }, config.receiverMayCancel);
    const negotiation = await negotiationOfTask(request, id, information);
    // While the tenant takes over from other software there are Tasks without a transfer here.
    if (negotiation === undefined) return request.context.grants === 'credential' ? verdict : notYours();
    if (negotiation.organization !== request.subject.organization.id) return notYours();
    return verdict.outcome === 'write' ? secondLock(negotiation, stored, verdict) : verdict;
  },

  async settle(stored, config, unit, services): Promise<void> {
    const taskId = text(stored.resource, 'id') ?? '';
    const found = await transferOfTask(unit.records(TRANSFER), taskId);
    const negotiation = found?.transfer.negotiations.find((each) => each.task.id === taskId);
    if (found === undefined || negotiation === undefined) return;
    const next = adopt(found.transfer, negotiation, toSeen(stored, services.tenant.fhirUrl), unit.now);
    // Ends grants first and enqueues what follows; applied again it changes nothing.
    if (next !== found.transfer) await saveTransfer(unit, found, next, config);
  },
};

/**
 * The sender may have decided something that does not stand in FHIR yet (facts §2.8): an ended offer takes no answer, and a change that is on
 * its way must be seen by the receiver first.
 */
function secondLock(negotiation: Negotiation, stored: JsonObject, verdict: WriteVerdict): WriteVerdict {
  if (negotiation.task.written >= negotiation.task.revision || negotiation.status === text(stored, 'status')) return verdict;
  return isFinal(negotiation.status)
    ? { outcome: 'rejected', code: 'unprocessable', reason: 'task_transition_not_allowed', expression: ['Task.status'] }
    : { outcome: 'rejected', code: 'conflict', reason: 'task_changed_meanwhile' };
}

async function negotiationOfTask(
  request: AccessRequest,
  taskId: string,
  information: PolicyInformation,
): Promise<Negotiation | undefined> {
  for (const grant of await information.grants(request.resource.path)) {
    if (grant.kind !== 'task') continue;
    const state = await information.record(TRANSFER, grant.recordId);
    if (state === undefined) continue;
    const negotiation = parseTransfer(state).negotiations.find((each) => each.task.id === taskId);
    if (negotiation !== undefined) return negotiation;
  }
  return undefined;
}

function notYours(): WriteVerdict {
  return { outcome: 'rejected', code: 'forbidden', reason: 'not_the_receiver' };
}
