import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createLogger } from '../../src/log.ts';
import { openDatabase } from '../../src/store/database.ts';
import { findRecords, getRecord, insertRecord } from '../../src/store/records.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';

const now = new Date('2026-11-24T10:00:00.000Z');
const scope = { tenant: 'a', useCase: 'u', kind: 'thing' };

describe('the database', () => {
  let test: TestDatabase;
  beforeAll(async () => {
    test = await openTestDatabase();
  });
  afterAll(() => test.close());

  const insert = (id: string) => test.database.transaction((tx) => insertRecord(tx, scope, { id, state: { id }, keys: [], now }));
  const exists = async (id: string) => (await getRecord(test.database, scope, id)) !== undefined;

  it('keeps what a transaction did once it returned, and nothing of one that threw', async () => {
    await insert('kept');
    await expect(
      test.database.transaction(async (tx) => {
        await insertRecord(tx, scope, { id: 'lost', state: 1, keys: [], now });
        throw new Error('changed my mind');
      }),
    ).rejects.toThrow('changed my mind');
    expect(await exists('kept')).toBe(true);
    expect(await exists('lost')).toBe(false);
  });

  it('shows readers nothing of a transaction that is open, and does not make them wait', async () => {
    await test.database.transaction(async (tx) => {
      await insertRecord(tx, scope, { id: 'open', state: 1, keys: [], now });
      expect(await exists('open')).toBe(false);
    });
    expect(await exists('open')).toBe(true);
  });

  it('runs the hooks of a commit after it and in order, and not those of a rollback', async () => {
    const seen: string[] = [];
    const unsubscribe = test.database.subscribe('jobs', () => seen.push('told'));
    await test.database.transaction((tx) => {
      tx.afterEnd(() => seen.push('ended'));
      tx.afterCommit(() => seen.push('committed'));
      tx.publish('jobs');
      seen.push('working');
      return Promise.resolve();
    });
    expect(seen).toEqual(['working', 'committed', 'told', 'ended']);
    seen.length = 0;
    await expect(
      test.database.transaction((tx) => {
        tx.afterEnd(() => seen.push('ended'));
        tx.afterCommit(() => seen.push('committed'));
        tx.publish('jobs');
        return Promise.reject(new Error('no'));
      }),
    ).rejects.toThrow('no');
    expect(seen).toEqual(['ended']);
    unsubscribe();
  });

  it('dooms a transaction in which a statement failed, even when the error was caught', async () => {
    await expect(
      test.database.transaction(async (tx) => {
        await insertRecord(tx, scope, { id: 'doomed', state: 1, keys: [], now });
        await tx.query
          .insertInto('record')
          .values({
            tenant: 'a',
            use_case: 'u',
            kind: 'thing',
            id: 'doomed',
            version: 1,
            state_json: '',
            created_at: '',
            updated_at: '',
          })
          .execute()
          .catch(() => undefined);
      }),
    ).rejects.toThrow();
    expect(await exists('doomed')).toBe(false);
    await insert('after-doomed');
    expect(await exists('after-doomed')).toBe(true);
  });

  it('refuses a transaction inside a transaction instead of waiting for ever, and allows one that was started there and runs later', async () => {
    let later: Promise<unknown> | undefined;
    await test.database.transaction(async () => {
      await expect(test.database.transaction(() => Promise.resolve())).rejects.toThrow('inside a transaction');
      later = new Promise((resolve) => setTimeout(resolve, 20)).then(() => insert('later'));
    });
    await later;
    expect(await exists('later')).toBe(true);
  });

  it('loses no increment when fifty transactions read and write the same row', async () => {
    await test.database.transaction((tx) => insertRecord(tx, scope, { id: 'counter', state: 0, keys: [], now }));
    const increment = () =>
      test.database.transaction(async (tx) => {
        const row = await tx.query
          .selectFrom('record')
          .select('state_json')
          .where('id', '=', 'counter')
          .executeTakeFirstOrThrow();
        await tx.query
          .updateTable('record')
          .set({ state_json: JSON.stringify(Number(row.state_json) + 1) })
          .where('id', '=', 'counter')
          .execute();
      });
    await Promise.all(Array.from({ length: 50 }, increment));
    expect((await getRecord(test.database, scope, 'counter'))?.state).toBe(50);
  });

  it('lets none of two hundred commands fail that have nothing to do with each other and come together', async () => {
    await Promise.all(
      Array.from({ length: 200 }, (_, index) =>
        test.database.transaction((tx) =>
          insertRecord(tx, scope, {
            id: `together-${index}`,
            state: null,
            keys: [{ name: 'n', value: `v${index}`, unique: true }],
            now,
          }),
        ),
      ),
    );
    const { items } = await findRecords(test.database, scope, { where: { n: 'v199' }, limit: 1 });
    expect(items).toHaveLength(1);
  });

  it('stores moments, truth values and big texts as they are, and refuses what would become null', async () => {
    const values = { tenant: 'values', use_case: 'u', kind: 'k', version: 1, created_at: '', updated_at: '' };
    const write = (id: unknown, state: unknown) =>
      test.database.transaction((tx) =>
        tx.query
          .insertInto('record')
          // Deliberately past the types: this is what the conversion is for.
          .values({ ...values, id: id as string, state_json: state as string })
          .execute(),
      );
    await write(now, 'a Date in first place');
    await write('text', 'é\u{1F3E5}'.repeat(100_000));
    const rows = await test.database.query
      .selectFrom('record')
      .select(['id', 'state_json'])
      .where('tenant', '=', 'values')
      .orderBy('id')
      .execute();
    expect(rows[0]).toEqual({ id: '2026-11-24T10:00:00.000Z', state_json: 'a Date in first place' });
    expect(rows[1]?.state_json).toHaveLength(300_000);
    await expect(write('u', undefined)).rejects.toThrow();
    await expect(write('n', Number.NaN)).rejects.toThrow();
    await expect(write('b', 2 ** 60)).rejects.toThrow();
  });

  it('lets a second handle (the command line) write beside the gateway', async () => {
    const second = await test.openSecond();
    await second.transaction((tx) => insertRecord(tx, scope, { id: 'from-outside', state: 1, keys: [], now }));
    expect(await exists('from-outside')).toBe(true);
    await insert('from-inside');
    expect(await getRecord(second, scope, 'from-inside')).toBeDefined();
  });

  // PostgreSQL is made for several.
  const onSqlite = process.env['SLUIS_TEST_DATABASE_URL'] === undefined ? it : it.skip;
  if (onSqlite === it.skip) process.stderr.write('skipped: the lock of the SQLite folder: this run is on PostgreSQL\n');
  onSqlite('refuses a second gateway on the same SQLite folder, and takes it again once it is free', async () => {
    const { directory } = test.location;
    const open = () => openDatabase({ directory, logger: createLogger('silent') });
    await expect(open()).rejects.toThrow(`in use by another gateway process (process ${process.pid})`);
    await test.close();
    const again = await open();
    await again.close();
    test = await openTestDatabase();
  });

  it('answers a ping, and says so when it is closed', async () => {
    const other = await openTestDatabase();
    await other.database.ping();
    await other.close();
    await expect(other.database.ping()).rejects.toThrow();
  });
});
