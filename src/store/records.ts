import { GatewayError } from '../errors.ts';
import type { JsonValue } from '../fhir/json.ts';
import type { RecordKey, RecordPage, RecordQuery, StoredRecord } from '../usecase/workflow.ts';
import type { Transaction } from './database.ts';
import { parseCursor, printCursor } from './cursor.ts';
import type { RecordTable } from './schema.ts';
import type { Source } from './source.ts';

/** Whose records: a tenant's, of one use case, of one kind. */
export interface RecordScope {
  readonly tenant: string;
  readonly useCase: string;
  readonly kind: string;
}

/**
 * Stores a new record with version 1.
 * @throws GatewayError `conflict` when the id or a unique key is taken; nothing was written then.
 */
export async function insertRecord(
  tx: Transaction,
  scope: RecordScope,
  record: { readonly id: string; readonly state: JsonValue; readonly keys: readonly RecordKey[]; readonly now: Date },
): Promise<StoredRecord> {
  if ((await getRecord(tx, scope, record.id)) !== undefined)
    throw new GatewayError('conflict', `a ${scope.kind} with this id exists already`);
  await refuseTakenKeys(tx, scope, record.id, record.keys);
  const at = record.now.toISOString();
  const row: RecordTable = {
    tenant: scope.tenant,
    use_case: scope.useCase,
    kind: scope.kind,
    id: record.id,
    version: 1,
    state_json: JSON.stringify(record.state),
    created_at: at,
    updated_at: at,
  };
  await tx.query.insertInto('record').values(row).execute();
  await insertKeys(tx, scope, record.id, record.keys);
  return toRecord(row);
}

/**
 * Replaces state and keys if the record still has the expected version (compare-and-set); the version grows by one.
 * @throws GatewayError `conflict` when it has another version by now, does not exist, or a unique key is taken; nothing was written then.
 */
export async function updateRecord(
  tx: Transaction,
  scope: RecordScope,
  change: {
    readonly id: string;
    readonly expectedVersion: number;
    readonly state: JsonValue;
    readonly keys: readonly RecordKey[];
    readonly now: Date;
  },
): Promise<StoredRecord> {
  await refuseTakenKeys(tx, scope, change.id, change.keys);
  const row = await tx.query
    .updateTable('record')
    .set({ version: change.expectedVersion + 1, state_json: JSON.stringify(change.state), updated_at: change.now.toISOString() })
    .where('tenant', '=', scope.tenant)
    .where('use_case', '=', scope.useCase)
    .where('kind', '=', scope.kind)
    .where('id', '=', change.id)
    .where('version', '=', change.expectedVersion)
    .returningAll()
    .executeTakeFirst();
  if (row === undefined) throw new GatewayError('conflict', `the ${scope.kind} was changed meanwhile`);
  await tx.query
    .deleteFrom('record_key')
    .where('tenant', '=', scope.tenant)
    .where('use_case', '=', scope.useCase)
    .where('kind', '=', scope.kind)
    .where('record_id', '=', change.id)
    .execute();
  await insertKeys(tx, scope, change.id, change.keys);
  return toRecord(row);
}

/** The record, or undefined. */
export async function getRecord(source: Source, scope: RecordScope, id: string): Promise<StoredRecord | undefined> {
  const row = await source.query
    .selectFrom('record')
    .selectAll()
    .where('tenant', '=', scope.tenant)
    .where('use_case', '=', scope.useCase)
    .where('kind', '=', scope.kind)
    .where('id', '=', id)
    .executeTakeFirst();
  return row === undefined ? undefined : toRecord(row);
}

/**
 * Finds records, newest first (by creation, then id), a page at a time.
 * @throws GatewayError `invalid_parameter` for a limit outside 1 to 100 or a cursor that this did not make.
 */
export async function findRecords(source: Source, scope: RecordScope, query: RecordQuery): Promise<RecordPage> {
  if (!Number.isInteger(query.limit) || query.limit < 1 || query.limit > 100) {
    throw new GatewayError('invalid_parameter', 'limit is out of range', {
      fields: [{ field: 'limit', problem: 'must be 1 to 100' }],
    });
  }
  let select = source.query
    .selectFrom('record')
    .selectAll()
    .where('tenant', '=', scope.tenant)
    .where('use_case', '=', scope.useCase)
    .where('kind', '=', scope.kind);
  for (const [name, value] of Object.entries(query.where ?? {})) {
    select = select.where((eb) =>
      eb.exists(
        eb
          .selectFrom('record_key')
          .select('record_key.record_id')
          .whereRef('record_key.record_id', '=', 'record.id')
          .where('record_key.tenant', '=', scope.tenant)
          .where('record_key.use_case', '=', scope.useCase)
          .where('record_key.kind', '=', scope.kind)
          .where('record_key.name', '=', name)
          .where('record_key.value', '=', value),
      ),
    );
  }
  if (query.since !== undefined) select = select.where('updated_at', '>=', query.since.toISOString());
  if (query.cursor !== undefined) {
    const [createdAt, id] = parseCursor(query.cursor);
    select = select.where((eb) =>
      eb.or([eb('created_at', '<', createdAt), eb.and([eb('created_at', '=', createdAt), eb('id', '<', id)])]),
    );
  }
  const rows = await select
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .limit(query.limit + 1)
    .execute();
  const items = rows.slice(0, query.limit);
  const last = items.at(-1);
  const more = rows.length > query.limit && last !== undefined;
  return { items: items.map(toRecord), ...(more ? { cursor: printCursor(last.created_at, last.id) } : {}) };
}

/** Looked up before anything is written, so that a conflict leaves nothing half done; the unique index stands behind it. */
async function refuseTakenKeys(tx: Transaction, scope: RecordScope, id: string, keys: readonly RecordKey[]): Promise<void> {
  for (const key of keys.filter((candidate) => candidate.unique === true)) {
    const holder = await tx.query
      .selectFrom('record_key')
      .select('record_id')
      .where('tenant', '=', scope.tenant)
      .where('use_case', '=', scope.useCase)
      .where('kind', '=', scope.kind)
      .where('name', '=', key.name)
      .where('unique_value', '=', key.value)
      .where('record_id', '!=', id)
      .executeTakeFirst();
    if (holder !== undefined) throw new GatewayError('conflict', `another ${scope.kind} has this ${key.name} already`);
  }
}

async function insertKeys(tx: Transaction, scope: RecordScope, id: string, keys: readonly RecordKey[]): Promise<void> {
  const distinct = new Map<string, RecordKey>();
  for (const key of keys) {
    const place = JSON.stringify([key.name, key.value]);
    if (distinct.get(place)?.unique !== true) distinct.set(place, key);
  }
  if (distinct.size === 0) return;
  await tx.query
    .insertInto('record_key')
    .values(
      [...distinct.values()].map((key) => ({
        tenant: scope.tenant,
        use_case: scope.useCase,
        kind: scope.kind,
        name: key.name,
        value: key.value,
        record_id: id,
        unique_value: key.unique === true ? key.value : null,
      })),
    )
    .execute();
}

function toRecord(row: RecordTable): StoredRecord {
  const state: unknown = JSON.parse(row.state_json);
  return { id: row.id, version: row.version, state, createdAt: new Date(row.created_at), updatedAt: new Date(row.updated_at) };
}
