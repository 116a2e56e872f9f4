import { z, type Job, type JobResult, type Services } from 'sluis/usecase';
import type { EOverdrachtConfig } from './config.ts';
import { credentialsInUse, sameRights } from './credentials.ts';
import { daysAfter } from './entitlement.ts';
import { adoptTask } from './task-writing.ts';
import { apply } from './transfer-commands.ts';
import { adopt } from './transfer-adopt.ts';
import { nextSteps } from './transfer-plan.ts';
import { changeTransfer, enqueueSettle, readTransfer } from './transfer-store.ts';
import { isClosed, resourcesKey, TRANSFER, type Negotiation, type Transfer, type TransferGrant } from './transfer.ts';
import { randomUUID } from 'node:crypto';

const payloadSchema = z.object({ transfer: z.string() }).nullable();

/** Compares what is there with what is recorded: open transfers every minute, ended ones at the moments of the settings (reliability §3.1 rule 7). */
export const sweepJob: Job<EOverdrachtConfig> = {
  name: 'sweep',
  scheduleMs: [60_000],
  giveUpAfterMs: 3_600_000,
  everyMs: 60_000,
  run: async (payload, config, services): Promise<JobResult> => {
    const parsed = payloadSchema.parse(payload);
    if (parsed === null) await enqueueOpen(services);
    else await sweepTransfer(services, config, parsed.transfer);
    return { outcome: 'done' };
  },
};

/** Each open transfer gets a job of its own, so that one whose receiver or patient is in trouble holds up nobody else. */
async function enqueueOpen(services: Services): Promise<void> {
  let cursor: string | undefined;
  do {
    const page = await services
      .records(TRANSFER)
      .find({ where: { open: 'yes' }, limit: 100, ...(cursor === undefined ? {} : { cursor }) });
    await services.transaction(async (unit) => {
      for (const { id } of page.items) await unit.enqueue({ name: 'sweep', key: id, payload: { transfer: id } });
    });
    cursor = page.cursor;
  } while (cursor !== undefined);
}

/** Compares one transfer's Tasks and credentials with its record and repairs what differs. */
export async function sweepTransfer(services: Services, config: EOverdrachtConfig, id: string): Promise<void> {
  const stored = await readTransfer(services.records(TRANSFER), id);
  if (stored === undefined) return;
  const { transfer } = stored;
  for (const negotiation of transfer.negotiations) {
    await sweepTask(services, config, transfer, negotiation);
    await sweepCredentials(services, config, transfer, negotiation);
  }
  // A job that died, or a step that was given up, is taken up again.
  const now = await readTransfer(services.records(TRANSFER), id);
  if (now !== undefined && nextSteps(now.transfer).length > 0) await services.transaction((unit) => enqueueSettle(unit, id));
}

async function sweepTask(
  services: Services,
  config: EOverdrachtConfig,
  transfer: Transfer,
  negotiation: Negotiation,
): Promise<void> {
  // Not written yet, or about to change: that is the plan's work.
  if (negotiation.task.written < negotiation.task.revision) return;
  const found = await services.fhir.read('Task', negotiation.task.id);
  if (found !== undefined) {
    if (found.version !== negotiation.task.seen?.version) await adoptTask(services, config, transfer.id, negotiation.id, found);
    return;
  }
  // Gone from the FHIR server: what the transfer says is put back.
  const gone = { status: 'absent', version: 'absent' };
  await changeTransfer(services, config, transfer.id, (now) => {
    const current = now.negotiations.find((each) => each.id === negotiation.id);
    return current?.task.written === negotiation.task.written ? adopt(now, current, gone, services.now()) : undefined;
  });
}

async function sweepCredentials(
  services: Services,
  config: EOverdrachtConfig,
  transfer: Transfer,
  negotiation: Negotiation,
): Promise<void> {
  const issued = await services.node.findIssued(negotiation.organization);
  const pending = new Set(
    negotiation.grants.filter((grant) => grant.state === 'pending').map((grant) => resourcesKey(grant.resources)),
  );
  for (const grant of negotiation.grants) {
    if (grant.state === 'live') {
      const own = issued.find((each) => each.id === grant.credentialId);
      if (own === undefined || own.revoked || endsSoon(grant, config, services.now()))
        await renew(services, config, transfer, negotiation, grant);
    }
    // One that is being issued right now may be among them.
    if (grant.state === 'pending' || pending.has(resourcesKey(grant.resources))) continue;
    const needed = await credentialsInUse(services.records(TRANSFER), transfer, grant);
    for (const each of sameRights(issued, grant)) {
      const kept = needed.has(each.id) || (grant.state === 'live' && each.id === grant.credentialId);
      if (kept) continue;
      services.log('warn', 'a credential that nothing needs is revoked', { transfer: transfer.id, kind: grant.kind });
      await services.node.revokeCredential(each.id);
    }
  }
}

async function renew(
  services: Services,
  config: EOverdrachtConfig,
  transfer: Transfer,
  negotiation: Negotiation,
  grant: TransferGrant,
): Promise<void> {
  if (isClosed(transfer)) return;
  const context = { now: services.now(), newId: () => randomUUID(), config };
  await changeTransfer(services, config, transfer.id, (now) => {
    const applied = apply(now, { kind: 'renew', negotiation: negotiation.id, grant: grant.id }, context);
    return applied.ok ? applied.transfer : undefined;
  });
}

function endsSoon(grant: TransferGrant, config: EOverdrachtConfig, now: Date): boolean {
  return grant.kind !== 'task' && new Date(grant.expiresAt) < daysAfter(now, config.renewBeforeDays);
}
