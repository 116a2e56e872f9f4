import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { JsonValue } from '../../src/fhir/json.ts';
import { findRecords, getRecord, insertRecord, updateRecord, type RecordScope } from '../../src/store/records.ts';
import type { RecordKey } from '../../src/usecase/workflow.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';

const start = Date.parse('2026-11-24T10:00:00.000Z');
const at = (seconds: number): Date => new Date(start + seconds * 1_000);

describe('records of use cases', () => {
  let test: TestDatabase;
  beforeAll(async () => {
    test = await openTestDatabase();
  });
  afterAll(() => test.close());

  let count = 0;
  /** A kind of its own for each test. */
  const fresh = (): RecordScope => ({ tenant: 'a', useCase: 'u', kind: `kind-${++count}` });
  const insert = (scope: RecordScope, id: string, keys: readonly RecordKey[] = [], state: JsonValue = { id }, now = at(0)) =>
    test.database.transaction((tx) => insertRecord(tx, scope, { id, state, keys, now }));
  const update = (
    scope: RecordScope,
    id: string,
    expectedVersion: number,
    keys: readonly RecordKey[] = [],
    state: JsonValue = null,
    now = at(1),
  ) => test.database.transaction((tx) => updateRecord(tx, scope, { id, expectedVersion, state, keys, now }));
  const ids = async (scope: RecordScope, where: Record<string, string>) =>
    (await findRecords(test.database, scope, { where, limit: 100 })).items.map((record) => record.id);

  it('stores a record with version 1 and gives it back as it was', async () => {
    const scope = fresh();
    const state = { text: 'Überdracht \u0000 \u{1F3E5}', list: [1, null, true], deep: { a: {} } };
    expect(await insert(scope, 'one', [], state)).toEqual({ id: 'one', version: 1, state, createdAt: at(0), updatedAt: at(0) });
    expect(await getRecord(test.database, scope, 'one')).toEqual({
      id: 'one',
      version: 1,
      state,
      createdAt: at(0),
      updatedAt: at(0),
    });
    expect(await getRecord(test.database, scope, 'two')).toBeUndefined();
  });

  it('replaces state and keys when the version is the expected one, and refuses otherwise', async () => {
    const scope = fresh();
    await insert(scope, 'one', [{ name: 'status', value: 'open' }]);
    expect(await update(scope, 'one', 1, [{ name: 'status', value: 'closed' }], 'new')).toMatchObject({
      version: 2,
      state: 'new',
      updatedAt: at(1),
    });
    expect(await ids(scope, { status: 'open' })).toEqual([]);
    expect(await ids(scope, { status: 'closed' })).toEqual(['one']);
    await expect(update(scope, 'one', 1)).rejects.toMatchObject({ code: 'conflict' });
    await expect(update(scope, 'none', 1)).rejects.toMatchObject({ code: 'conflict' });
    expect(await ids(scope, { status: 'closed' })).toEqual(['one']);
  });

  it('lets exactly one of twenty concurrent compare-and-sets win', async () => {
    const scope = fresh();
    await insert(scope, 'one');
    const results = await Promise.allSettled(Array.from({ length: 20 }, (_, index) => update(scope, 'one', 1, [], index)));
    const winners = results.flatMap((result, index) => (result.status === 'fulfilled' ? [index] : []));
    expect(winners).toHaveLength(1);
    for (const result of results) if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'conflict' });
    expect(await getRecord(test.database, scope, 'one')).toMatchObject({ version: 2, state: winners[0] });
  });

  it('refuses a second record with the same id or the same unique key, also when both come at once, and leaves nothing of it', async () => {
    const scope = fresh();
    const unique = (value: string): RecordKey[] => [{ name: 'task', value, unique: true }];
    await insert(scope, 'one', unique('t1'));
    await expect(insert(scope, 'one')).rejects.toMatchObject({ code: 'conflict' });
    await expect(insert(scope, 'two', unique('t1'))).rejects.toMatchObject({ code: 'conflict' });
    expect(await getRecord(test.database, scope, 'two')).toBeUndefined();
    await insert(scope, 'two', unique('t2'));
    await expect(update(scope, 'two', 1, unique('t1'))).rejects.toMatchObject({ code: 'conflict' });
    await update(scope, 'two', 1, unique('t2'));
    const racing = await Promise.allSettled(['x', 'y', 'z'].map((id) => insert(scope, id, unique('t3'))));
    expect(racing.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
    await insert({ ...scope, tenant: 'b' }, 'one', unique('t1'));
  });

  it('finds by all the given keys together, and never across tenants, use cases or kinds', async () => {
    const scope = fresh();
    const key = (name: string, value: string): RecordKey => ({ name, value });
    await insert(scope, 'one', [key('status', 'open'), key('patient', 'p1'), key('receiver', 'x'), key('receiver', 'y')]);
    await insert(scope, 'two', [key('status', 'open'), key('patient', 'p2'), key('status', 'open')]);
    for (const other of [
      { ...scope, tenant: 'b' },
      { ...scope, useCase: 'v' },
      { ...scope, kind: 'other' },
    ]) {
      await insert(other, 'foreign', [key('status', 'open'), key('patient', 'p1')]);
      expect(await getRecord(test.database, other, 'one')).toBeUndefined();
    }
    expect(await ids(scope, { status: 'open', patient: 'p1' })).toEqual(['one']);
    expect((await ids(scope, { status: 'open' })).sort()).toEqual(['one', 'two']);
    expect(await ids(scope, { receiver: 'y' })).toEqual(['one']);
    expect(await ids(scope, { status: 'p1' })).toEqual([]);
    expect(await ids(scope, { status: "open' or '1'='1" })).toEqual([]);
  });

  it('pages newest first without losing or repeating a record, though others come and change meanwhile', async () => {
    const scope = fresh();
    for (let index = 0; index < 25; index += 1)
      await insert(scope, `r${String(index).padStart(2, '0')}`, [], index, at(Math.floor(index / 4)));
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await findRecords(test.database, scope, { limit: 7, ...(cursor === undefined ? {} : { cursor }) });
      seen.push(...page.items.map((record) => record.id));
      cursor = page.cursor;
      await insert(scope, `new-${seen.length}`, [], null, at(1_000));
      await update(scope, 'r03', seen.length / 7 === 1 ? 1 : 2).catch(() => undefined);
    } while (cursor !== undefined);
    expect(seen).toEqual(Array.from({ length: 25 }, (_, index) => `r${String(24 - index).padStart(2, '0')}`));
  });

  it('gives what changed since a moment, that moment included', async () => {
    const scope = fresh();
    await insert(scope, 'old');
    await insert(scope, 'changed');
    await update(scope, 'changed', 1, [], null, at(10));
    const since = async (moment: Date) =>
      (await findRecords(test.database, scope, { since: moment, limit: 10 })).items.map((record) => record.id);
    expect(await since(at(10))).toEqual(['changed']);
    expect(await since(at(11))).toEqual([]);
    expect((await since(at(0))).sort()).toEqual(['changed', 'old']);
  });

  it('refuses a limit out of range and a cursor that is not ours', async () => {
    for (const limit of [0, 101, 1.5, Number.NaN]) {
      await expect(findRecords(test.database, fresh(), { limit })).rejects.toMatchObject({ code: 'invalid_parameter' });
    }
    for (const cursor of ['', 'x', Buffer.from('["a"]').toString('base64url'), Buffer.from('[1,2]').toString('base64url')]) {
      await expect(findRecords(test.database, fresh(), { limit: 1, cursor })).rejects.toMatchObject({
        code: 'invalid_parameter',
      });
    }
  });

  it('orders ids by their bytes on either database', async () => {
    const scope = fresh();
    for (const id of ['a-b', 'aB', 'ab', 'B', 'a.c', 'é']) await insert(scope, id);
    expect(await ids(scope, {})).toEqual(['é', 'ab', 'aB', 'a.c', 'a-b', 'B']);
  });
});
