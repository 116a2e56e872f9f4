import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { enqueue } from '../../src/outbox/enqueue.ts';
import type { JobHandler } from '../../src/outbox/job.ts';
import { claim, finish, renew, type Lease, type RunEnd } from '../../src/outbox/lease.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';

const LEASE_MS = 30_000;
const KEYS = ['k1', 'k2', 'k3'];
const OWNERS = ['w1', 'w2', 'w3'];
const handler: JobHandler = { scheduleMs: [1_000, 60_000], run: () => Promise.resolve({ outcome: 'done' }) };

type Step =
  | { readonly kind: 'enqueue'; readonly key: string; readonly delayS: number }
  | { readonly kind: 'claim'; readonly owner: string; readonly limit: number }
  | { readonly kind: 'finish'; readonly owner: string; readonly end: RunEnd['outcome'] }
  | { readonly kind: 'renew'; readonly owner: string }
  | { readonly kind: 'crash'; readonly owner: string }
  | { readonly kind: 'pass'; readonly seconds: number };

const owner = fc.constantFrom(...OWNERS);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('enqueue' as const),
      key: fc.constantFrom(...KEYS),
      delayS: fc.constantFrom(0, 0, 5, 600),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('claim' as const), owner, limit: fc.integer({ min: 1, max: 3 }) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('finish' as const),
      owner,
      end: fc.constantFrom('done' as const, 'retry' as const, 'failed' as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('renew' as const), owner }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('crash' as const), owner }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('pass' as const), seconds: fc.constantFrom(1, 10, 31, 700) }) },
);

describe('any history of the outbox', () => {
  let test: TestDatabase;
  beforeAll(async () => {
    test = await openTestDatabase();
  });
  afterAll(() => test.close());

  it('loses no job, overlaps none with itself, and does what was asked last', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 50, size: 'max' }), async (steps) => {
        await test.database.transaction((tx) => tx.query.deleteFrom('job').execute());
        await play(steps);
      }),
      { numRuns: 40 },
    );
  });

  async function play(steps: readonly Step[]): Promise<void> {
    const { database } = test;
    let now = new Date('2026-11-24T10:00:00.000Z');
    let asked = 0;
    /** The newest request for a key, and the newest that a run which ended well had begun with. */
    const wanted = new Map<string, number>();
    const reached = new Map<string, number>();
    const held = new Map<string, Lease[]>(OWNERS.map((name) => [name, []]));
    /** Who may rely on a job, and until when: what mutual exclusion is about. */
    const exclusive = new Map<string, { token: number; until: Date }>();

    const take = async (name: string, limit: number): Promise<void> => {
      for (const lease of await claim(database, { now, owner: name, leaseMs: LEASE_MS, limit })) {
        const before = exclusive.get(lease.key);
        if (before !== undefined && before.until > now) throw new Error(`${lease.key} was claimed while somebody held it`);
        if (before !== undefined && before.token >= lease.token) throw new Error('the fence did not grow');
        exclusive.set(lease.key, { token: lease.token, until: lease.until });
        held.get(name)?.push(lease);
      }
    };
    /** Who was overtaken has lost; who was not has not, unless the job was put off after it was interrupted too often. */
    const expectFence = (lease: Lease, lost: boolean): void => {
      const holder = exclusive.get(lease.key);
      if (holder?.token !== lease.token) expect(lost).toBe(true);
      else if (holder.until > now) expect(lost).toBe(false);
    };
    const end = async (lease: Lease, outcome: RunEnd['outcome']): Promise<void> => {
      const result = await finish(database, lease, outcome === 'done' ? { outcome } : { outcome, reason: 'r' }, handler, now);
      expectFence(lease, result === 'lost');
      if (result === 'lost') return;
      exclusive.set(lease.key, { token: lease.token, until: new Date(0) });
      if (outcome === 'done') reached.set(lease.key, Math.max(reached.get(lease.key) ?? 0, Number(lease.payload)));
    };

    for (const move of steps) {
      switch (move.kind) {
        case 'enqueue': {
          const version = ++asked;
          const runAt = new Date(now.getTime() + move.delayS * 1_000);
          await database.transaction((tx) =>
            enqueue(tx, { tenant: 't', useCase: 'u', name: 'n', key: move.key, payload: version, runAt }, now),
          );
          wanted.set(move.key, version);
          break;
        }
        case 'claim':
          await take(move.owner, move.limit);
          break;
        case 'finish': {
          const lease = held.get(move.owner)?.shift();
          if (lease !== undefined) await end(lease, move.end);
          break;
        }
        case 'renew': {
          const leases = held.get(move.owner) ?? [];
          const until = new Date(now.getTime() + LEASE_MS);
          const lost = await renew(database, leases, until);
          for (const lease of leases) {
            expectFence(lease, lost.includes(lease));
            if (!lost.includes(lease)) exclusive.set(lease.key, { token: lease.token, until });
          }
          break;
        }
        case 'crash':
          held.set(move.owner, []);
          break;
        case 'pass':
          now = new Date(now.getTime() + move.seconds * 1_000);
          break;
      }
    }
    // The sun comes out: everybody else has died, one worker goes on.
    for (const name of OWNERS) held.set(name, []);
    for (let round = 0; round < 5; round += 1) {
      now = new Date(now.getTime() + 3_600_000);
      await take('w1', 10);
      for (const lease of held.get('w1')?.splice(0) ?? []) await end(lease, 'done');
    }
    expect(reached).toEqual(wanted);
    const left = await database.query.selectFrom('job').select('key').where('state', '!=', 'done').execute();
    expect(left).toEqual([]);
  }
});

describe('several workers on one database', () => {
  it('run each of two hundred jobs exactly once between them', async () => {
    const test = await openTestDatabase();
    try {
      const handles = [test.database, await test.openSecond(), await test.openSecond()];
      const now = new Date('2026-11-24T10:00:00.000Z');
      await test.database.transaction(async (tx) => {
        for (let index = 0; index < 200; index += 1)
          await enqueue(tx, { tenant: 't', useCase: 'u', name: 'n', key: `k${index}`, payload: null }, now);
      });
      const ran: string[] = [];
      await Promise.all(
        handles.map(async (database, index) => {
          for (;;) {
            const leases = await claim(database, { now, owner: `w${index}`, leaseMs: LEASE_MS, limit: 5 });
            // SKIP LOCKED: an empty hand may mean that the others have theirs on what is left.
            const left = await database.query.selectFrom('job').select('id').where('state', '=', 'pending').limit(1).execute();
            if (leases.length === 0 && left.length === 0) return;
            for (const lease of leases) {
              ran.push(lease.key);
              expect(await finish(database, lease, { outcome: 'done' }, handler, now)).toBe('done');
            }
          }
        }),
      );
      expect(ran).toHaveLength(200);
      expect(new Set(ran).size).toBe(200);
    } finally {
      await test.close();
    }
  });
});
