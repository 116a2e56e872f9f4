import type { GrantLedger } from '../grant/ledger.ts';
import { enqueue } from '../outbox/enqueue.ts';
import type { Transaction } from '../store/database.ts';
import { findRecords, getRecord, insertRecord, updateRecord } from '../store/records.ts';
import type { Unit } from '../usecase/workflow.ts';

/** Whose transaction: everything that a unit touches carries both. */
export interface UnitScope {
  readonly tenant: string;
  readonly useCase: string;
}

/** An open transaction as a use case sees it: bound to its tenant and to itself. */
export function createUnit(tx: Transaction, scope: UnitScope, ledger: GrantLedger, now: Date): Unit {
  return {
    now,
    records: (kind) => {
      const place = { ...scope, kind };
      return {
        get: (id) => getRecord(tx, place, id),
        find: (query) => findRecords(tx, place, query),
        insert: (id, state, keys) => insertRecord(tx, place, { id, state, keys, now }),
        update: (id, expectedVersion, state, keys) => updateRecord(tx, place, { id, expectedVersion, state, keys, now }),
      };
    },
    grants: {
      open: (grant) => ledger.open(tx, { ...grant, ...scope }, now),
      makeLive: (id, credentialId) => ledger.makeLive(tx, scope.tenant, id, now, credentialId),
      end: async (id, reason) => {
        await ledger.end(tx, { ...scope, id }, reason, now);
      },
      get: (id) => ledger.get(tx, scope.tenant, id, now),
    },
    enqueue: (job) => enqueue(tx, { ...scope, ...job }, now),
  };
}
