import { GatewayError, z, type Job, type JobResult, type Services } from 'sluis/usecase';
import type { EOverdrachtConfig } from './config.ts';
import { issueOnce, revokeAll } from './credentials.ts';
import { writeDocument } from './document-writing.ts';
import { changeNegotiation, writeTask } from './task-writing.ts';
import { announced, documentWritten, grantIssued, grantRevoked, nextSteps, stepName, type Step } from './transfer-plan.ts';
import { changeTransfer, readTransfer } from './transfer-store.ts';
import { documentOf, negotiationOf, TRANSFER, type Negotiation, type Transfer, type TransferGrant } from './transfer.ts';

const payloadSchema = z.object({ transfer: z.string() });

/** More steps than any transfer has: a plan that does not shrink must not hold a worker. */
const MAX_STEPS = 1000;

/** Turns at which somebody else was faster, before the step waits for the job's next attempt. */
const MAX_CONFLICTS = 3;

/** Does what a transfer still needs, step by step, recording each before the next. Killed anywhere, it goes on where it was. */
export const settleJob: Job<EOverdrachtConfig> = {
  name: 'settle',
  scheduleMs: [1_000, 2_000, 5_000, 15_000, 60_000, 300_000],
  run: async (payload, config, services): Promise<JobResult> => settle(services, config, payloadSchema.parse(payload).transfer),
};

/** Runs the plan of one transfer as far as it goes; a step that fails holds up only what waits for it. */
export async function settle(services: Services, config: EOverdrachtConfig, id: string): Promise<JobResult> {
  const failed = new Map<string, string>();
  const conflicts = new Map<string, number>();
  for (let count = 0; count < MAX_STEPS; count += 1) {
    const stored = await readTransfer(services.records(TRANSFER), id);
    if (stored === undefined) return { outcome: 'dead', reason: 'transfer_unknown' };
    const step = nextSteps(stored.transfer).find((each) => !failed.has(stepName(each)));
    if (step === undefined) break;
    try {
      await perform(services, config, stored.transfer, step);
    } catch (error) {
      const conflict = (conflicts.get(stepName(step)) ?? 0) + 1;
      conflicts.set(stepName(step), conflict);
      if (error instanceof GatewayError && error.code === 'conflict' && conflict <= MAX_CONFLICTS) continue;
      failed.set(stepName(step), reasonOf(error));
      services.log('warn', 'a step of a transfer failed', {
        transfer: id,
        step: stepName(step),
        reason: reasonOf(error),
        // Our own words about a status or an operation, never somebody's text about a person.
        ...(error instanceof GatewayError ? { detail: error.message } : {}),
      });
    }
  }
  const [reason] = failed.values();
  return reason === undefined ? { outcome: 'done' } : { outcome: 'retry', reason };
}

async function perform(services: Services, config: EOverdrachtConfig, transfer: Transfer, step: Step): Promise<void> {
  const by = 'settle';
  switch (step.kind) {
    case 'write-document': {
      const document = documentOf(transfer, step.composition);
      if (document === undefined) return;
      await writeDocument(services, config, transfer, document);
      await changeTransfer(services, config, transfer.id, (now) => documentWritten(now, step.composition), { by });
      return;
    }
    case 'write-task': {
      const negotiation = negotiationOf(transfer, step.negotiation);
      if (negotiation !== undefined) await writeTask(services, config, transfer, negotiation);
      return;
    }
    case 'issue': {
      const { negotiation, grant } = grantOf(transfer, step);
      const credentialId = await issueOnce(services, transfer, negotiation, grant);
      const issued = (now: Transfer, each: Negotiation): Transfer => grantIssued(now, each, grant.id, credentialId);
      await changeNegotiation(services, config, transfer.id, negotiation.id, issued, by);
      return;
    }
    case 'revoke': {
      const { negotiation, grant } = grantOf(transfer, step);
      await revokeAll(services, transfer, negotiation, grant);
      const revoked = (now: Transfer, each: Negotiation): Transfer => grantRevoked(now, each, grant.id);
      await changeNegotiation(services, config, transfer.id, negotiation.id, revoked, by);
      return;
    }
    case 'notify': {
      const key = notificationKey(transfer.id, step.negotiation);
      const payload = { transfer: transfer.id, negotiation: step.negotiation };
      const queue = (now: Transfer): Transfer | undefined => {
        const negotiation = negotiationOf(now, step.negotiation);
        return negotiation === undefined ? undefined : announced(now, negotiation, services.now());
      };
      await changeTransfer(services, config, transfer.id, queue, {
        by,
        also: (unit) => unit.enqueue({ name: 'notify', key, payload }),
      });
      return;
    }
  }
}

/** What a step of the plan is about: it was there when the plan was made of it. */
function grantOf(
  transfer: Transfer,
  step: { readonly negotiation: string; readonly grant: string },
): { readonly negotiation: Negotiation; readonly grant: TransferGrant } {
  const negotiation = negotiationOf(transfer, step.negotiation);
  const grant = negotiation?.grants.find((each) => each.id === step.grant);
  if (negotiation === undefined || grant === undefined) throw new GatewayError('internal', 'a step about nothing');
  return { negotiation, grant };
}

/** The key of the job that notifies one receiver: one pending per Task, so changes coalesce. */
export function notificationKey(transferId: string, negotiationId: string): string {
  return `${transferId}/${negotiationId}`;
}

/** A stable word for a failure. */
export function reasonOf(error: unknown): string {
  return error instanceof GatewayError ? (error.options.reason ?? error.code) : 'internal';
}
