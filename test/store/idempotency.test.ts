import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  claimCommand,
  findReply,
  hashRequest,
  purgeReplies,
  storeReply,
  type Claimed,
  type CommandKey,
} from '../../src/store/idempotency.ts';
import { getRecord, insertRecord } from '../../src/store/records.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';

const now = new Date('2026-11-24T10:00:00.000Z');
const days = (count: number): Date => new Date(now.getTime() + count * 86_400_000);
const hash = hashRequest(['POST /things', '{}']);
const reply = { status: 201, headers: { location: '/things/1' }, body: '{"id":"1"}' };

describe('idempotency', () => {
  let test: TestDatabase;
  beforeAll(async () => {
    test = await openTestDatabase();
  });
  afterAll(() => test.close());

  const command = (key: string): CommandKey => ({ tenant: 'a', key, route: 'POST /things' });
  const execute = (key: CommandKey, work: () => void = () => undefined, requestHash = hash, at = now): Promise<Claimed> =>
    test.database.transaction(async (tx) => {
      const claimed = await claimCommand(tx, key, requestHash, at);
      if (claimed.outcome !== 'new') return claimed;
      work();
      await storeReply(tx, key, reply);
      return claimed;
    });

  it('gives a repeat the very answer of the first, and does nothing again', async () => {
    let works = 0;
    const work = (): void => void (works += 1);
    expect(await execute(command('k1'), work)).toEqual({ outcome: 'new' });
    expect(await execute(command('k1'), work)).toEqual({ outcome: 'replay', reply });
    expect(await findReply(test.database, command('k1'), hash, now)).toEqual({ outcome: 'replay', reply });
    expect(works).toBe(1);
  });

  it('refuses the key for a different request, and takes it for another route or tenant', async () => {
    await execute(command('k2'));
    expect(await execute(command('k2'), undefined, hashRequest(['POST /things', '{"a":1}']))).toEqual({ outcome: 'mismatch' });
    expect(await execute({ ...command('k2'), route: 'POST /others' })).toEqual({ outcome: 'new' });
    expect(await execute({ ...command('k2'), tenant: 'b' })).toEqual({ outcome: 'new' });
  });

  it('does the work once when ten of the same come at once, and answers all alike', async () => {
    const results = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        test.database.transaction(async (tx) => {
          const claimed = await claimCommand(tx, command('k3'), hash, now);
          if (claimed.outcome !== 'new') return claimed;
          await insertRecord(tx, { tenant: 'a', useCase: 'u', kind: 'k3' }, { id: `made-${index}`, state: null, keys: [], now });
          await storeReply(tx, command('k3'), reply);
          return claimed;
        }),
      ),
    );
    expect(results.filter((result) => result.outcome === 'new')).toHaveLength(1);
    expect(results.filter((result) => result.outcome === 'replay')).toHaveLength(9);
    const made = await test.database.query.selectFrom('record').select('id').where('kind', '=', 'k3').execute();
    expect(made).toHaveLength(1);
  });

  it('forgets the claim of a command that failed, so that it can be tried again', async () => {
    await expect(execute(command('k4'), () => raise('failed'))).rejects.toThrow('failed');
    expect(await execute(command('k4'))).toEqual({ outcome: 'new' });
  });

  it('keeps an answer for seven days, and takes the key anew afterwards', async () => {
    await execute(command('k5'));
    expect(await execute(command('k5'), undefined, hash, days(7))).toMatchObject({ outcome: 'replay' });
    expect(await execute(command('k5'), undefined, hash, days(8))).toEqual({ outcome: 'new' });
    await test.database.transaction((tx) => purgeReplies(tx, days(15)));
    expect(await findReply(test.database, command('k5'), hash, days(15))).toMatchObject({ outcome: 'replay' });
    await test.database.transaction((tx) => purgeReplies(tx, days(16)));
    expect(await findReply(test.database, command('k5'), hash, now)).toEqual({ outcome: 'new' });
  });

  it('will not store an answer for what was not claimed, nor change one that was given', async () => {
    await execute(command('k6'));
    for (const key of ['k6', 'never']) {
      await expect(test.database.transaction((tx) => storeReply(tx, command(key), { ...reply, status: 500 }))).rejects.toThrow(
        'not claimed',
      );
    }
    expect(await getRecord(test.database, { tenant: 'a', useCase: 'u', kind: 'k6' }, 'x')).toBeUndefined();
  });
});

function raise(message: string): never {
  throw new Error(message);
}
