import { GatewayError, type JsonObject, type Services, type VersionedResource } from 'sluis/usecase';
import { adopt, isAnswer, type SeenTask } from './transfer-adopt.ts';
import type { EOverdrachtConfig } from './config.ts';
import { buildTask, changeTask, readTask, type TaskView } from './task.ts';
import { isTaskStatus } from './task-state.ts';
import { taskWritten } from './transfer-plan.ts';
import { changeTransfer } from './transfer-store.ts';
import { negotiationOf, type Negotiation, type Transfer } from './transfer.ts';

/**
 * Brings the Task at the FHIR server to what the negotiation wants. It is created only if it is absent, and changed only from the version
 * that was judged; when the receiver was faster its change is adopted, and the plan is made again (reliability §3.3 A5).
 */
export async function writeTask(
  services: Services,
  config: EOverdrachtConfig,
  transfer: Transfer,
  negotiation: Negotiation,
): Promise<void> {
  const { revision, written } = negotiation.task;
  const record = (version: string): Promise<unknown> =>
    changeNegotiation(
      services,
      config,
      transfer.id,
      negotiation.id,
      (now, each) => taskWritten(now, each, revision, { status: negotiation.status, version }),
      'settle',
    );
  const create = async (): Promise<boolean> => {
    const result = await services.fhir.put(newTask(services, config, negotiation), 'absent');
    if (result.outcome === 'written') await record(result.version);
    return result.outcome === 'written';
  };
  if (written === 0 && (await create())) return;
  const stored = await services.fhir.read('Task', negotiation.task.id);
  if (stored === undefined) {
    // Deleted at the FHIR server, or not visible yet after a create that was answered with a conflict.
    if (await create()) return;
    throw changedMeanwhile();
  }
  const view = readTask(stored.resource, services.tenant.fhirUrl);
  if (says(view, negotiation)) {
    await record(stored.version);
    return;
  }
  if (isReceivers(view, negotiation)) {
    await adoptTask(services, config, transfer.id, negotiation.id, stored, 'settle');
    return;
  }
  const wanted = { status: negotiation.status, inputs: negotiation.task.inputs, now: services.now() };
  const result = await services.fhir.put(changeTask(stored.resource, wanted, config), stored.version);
  if (result.outcome === 'changed-meanwhile') throw changedMeanwhile();
  await record(result.version);
}

/** Takes over what a Task says that was read. */
export async function adoptTask(
  services: Services,
  config: EOverdrachtConfig,
  transferId: string,
  negotiationId: string,
  stored: VersionedResource,
  by?: 'settle',
): Promise<void> {
  const seen = toSeen(stored, services.tenant.fhirUrl);
  const now = services.now();
  const change = (transfer: Transfer, negotiation: Negotiation): Transfer => adopt(transfer, negotiation, seen, now);
  await changeNegotiation(services, config, transferId, negotiationId, change, by);
}

/** What a Task that was read says, with its version. */
export function toSeen(stored: VersionedResource, base?: string): SeenTask {
  const { status, statusReason, alternativeDate } = readTask(stored.resource, base);
  return {
    status,
    version: stored.version,
    ...(statusReason === undefined ? {} : { statusReason }),
    ...(alternativeDate === undefined ? {} : { alternativeDate }),
  };
}

/** Changes one negotiation of a transfer by a pure function. */
export function changeNegotiation(
  services: Services,
  config: EOverdrachtConfig,
  transferId: string,
  negotiationId: string,
  change: (transfer: Transfer, negotiation: Negotiation) => Transfer,
  by?: 'settle',
): Promise<Transfer | undefined> {
  const wanted = (transfer: Transfer): Transfer | undefined => {
    const negotiation = negotiationOf(transfer, negotiationId);
    return negotiation === undefined ? undefined : change(transfer, negotiation);
  };
  return changeTransfer(services, config, transferId, wanted, by === undefined ? {} : { by });
}

function newTask(services: Services, config: EOverdrachtConfig, negotiation: Negotiation): JsonObject {
  return buildTask(
    {
      id: negotiation.task.id,
      status: negotiation.status,
      requester: { did: services.tenant.did, name: services.tenant.name },
      owner: { did: negotiation.organization, name: negotiation.name },
      inputs: negotiation.task.inputs,
      now: services.now(),
    },
    config,
  );
}

function says(view: TaskView, negotiation: Negotiation): boolean {
  const { advanceNotice, nursingHandoff } = negotiation.task.inputs;
  const sameInputs = view.inputs.advanceNotice === advanceNotice && view.inputs.nursingHandoff === nursingHandoff;
  const proposalGone = negotiation.status !== 'requested' || view.alternativeDate === undefined;
  return view.status === negotiation.status && sameInputs && proposalGone;
}

/** Whether the receiver, or an end, came between what we last saw and what is there now. */
function isReceivers(view: TaskView, negotiation: Negotiation): boolean {
  const known = negotiation.task.seen?.status;
  if (!isTaskStatus(view.status) || view.status === negotiation.status || view.status === known) return false;
  return isAnswer(view.status, known, negotiation.status);
}

function changedMeanwhile(): GatewayError {
  return new GatewayError('conflict', 'the Task changed meanwhile', { reason: 'task_changed_meanwhile' });
}
