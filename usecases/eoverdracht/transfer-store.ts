import { GatewayError, type RecordReader, type Services, type StoredRecord, type Unit } from 'sluis/usecase';
import type { EOverdrachtConfig } from './config.ts';
import { nextSteps } from './transfer-plan.ts';
import {
  isClosed,
  parseTransfer,
  PURPOSE,
  recordKeys,
  toState,
  TRANSFER,
  type Transfer,
  type TransferGrant,
} from './transfer.ts';

/** A transfer as it is stored, with the version for compare-and-set. */
export interface StoredTransfer {
  readonly transfer: Transfer;
  readonly version: number;
  readonly record: StoredRecord;
}

/** Attempts at a compare-and-set before somebody else's turn is waited for by the job's schedule. */
const MAX_CONFLICTS = 8;

/** Reads a transfer; undefined when there is none. */
export async function readTransfer(records: RecordReader, id: string): Promise<StoredTransfer | undefined> {
  const record = await records.get(id);
  return record === undefined ? undefined : toStored(record);
}

/** The transfer that a Task belongs to. */
export async function transferOfTask(records: RecordReader, taskId: string): Promise<StoredTransfer | undefined> {
  const { items } = await records.find({ where: { task: taskId }, limit: 1 });
  return items[0] === undefined ? undefined : toStored(items[0]);
}

/** A stored record as a transfer. */
export function toStored(record: StoredRecord): StoredTransfer {
  return { transfer: parseTransfer(record.state), version: record.version, record };
}

/**
 * Writes a transfer with everything that follows from the change, in the unit's transaction: grants that end first, then those that open
 * or become live, then the record, then the jobs.
 */
export async function saveTransfer(
  unit: Unit,
  before: StoredTransfer | undefined,
  after: Transfer,
  config: Pick<EOverdrachtConfig, 'sweepClosedAfterSeconds'>,
  by?: 'settle',
): Promise<StoredRecord> {
  const known = new Map(before === undefined ? [] : grantsOf(before.transfer).map(({ grant }) => [grant.id, grant]));
  const all = grantsOf(after);
  for (const { grant } of all) {
    const earlier = known.get(grant.id);
    if (earlier !== undefined && earlier.state !== 'ended' && grant.state === 'ended')
      await unit.grants.end(grant.id, after.status);
  }
  for (const { grant, requester } of all) {
    if (known.has(grant.id)) continue;
    await unit.grants.open({
      id: grant.id,
      requester,
      purpose: PURPOSE,
      kind: grant.kind,
      recordId: after.id,
      resources: grant.resources,
      patient: after.patient,
      expiresAt: new Date(grant.expiresAt),
    });
    if (grant.state === 'ended') await unit.grants.end(grant.id, after.status);
  }
  for (const { grant } of all) {
    if (grant.state === 'live' && known.get(grant.id)?.state !== 'live') await unit.grants.makeLive(grant.id, grant.credentialId);
  }
  const records = unit.records(TRANSFER);
  const record =
    before === undefined
      ? await records.insert(after.id, toState(after), recordKeys(after))
      : await records.update(after.id, before.version, toState(after), recordKeys(after));
  // The settle job looks again after each step of its own: it need not call itself.
  if (by === undefined && nextSteps(after).length > 0) await enqueueSettle(unit, after.id);
  if (isClosed(after) && (before === undefined || !isClosed(before.transfer))) {
    for (const seconds of config.sweepClosedAfterSeconds) {
      const runAt = new Date(unit.now.getTime() + seconds * 1000);
      await unit.enqueue({ name: 'sweep', key: `${after.id}/closed/${String(seconds)}`, payload: { transfer: after.id }, runAt });
    }
  }
  return record;
}

/** The job that does what a transfer still needs. */
export async function enqueueSettle(unit: Unit, transferId: string): Promise<void> {
  await unit.enqueue({ name: 'settle', key: transferId, payload: { transfer: transferId } });
}

/**
 * Changes a transfer by a pure function; `undefined` and the same object change nothing. When somebody else was first, the function is asked
 * again with what is there by then.
 * @returns the transfer as it is now, undefined when there is none
 */
export async function changeTransfer(
  services: Services,
  config: EOverdrachtConfig,
  id: string,
  change: (transfer: Transfer) => Transfer | undefined,
  options: { readonly by?: 'settle'; readonly also?: (unit: Unit) => Promise<void> } = {},
): Promise<Transfer | undefined> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await services.transaction(async (unit) => {
        const stored = await readTransfer(unit.records(TRANSFER), id);
        if (stored === undefined) return undefined;
        const next = change(stored.transfer);
        if (next === undefined || next === stored.transfer) return stored.transfer;
        await saveTransfer(unit, stored, next, config, options.by);
        await options.also?.(unit);
        return next;
      });
    } catch (error) {
      if (!(error instanceof GatewayError) || error.code !== 'conflict' || attempt >= MAX_CONFLICTS) throw error;
    }
  }
}

function grantsOf(transfer: Transfer): readonly { readonly grant: TransferGrant; readonly requester: string }[] {
  return transfer.negotiations.flatMap((each) => each.grants.map((grant) => ({ grant, requester: each.organization })));
}
