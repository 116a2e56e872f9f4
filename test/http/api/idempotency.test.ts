import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createIdempotency, type KeyedRequest } from '../../../src/http/api/idempotency.ts';
import { until } from '../../support/until.ts';
import { call, startApi, type ApiWorld } from './world.ts';

const NOTES = '/api/v1/tenants/a/counter/notes';
let world: ApiWorld;
beforeAll(async () => {
  world = await startApi();
});
afterAll(() => world.close());
beforeEach(() => {
  Object.assign(world.runs, { count: 0, crashAfterCommit: false, delayMs: 0 });
  return world.test.database.transaction(async (tx) => {
    await tx.query.deleteFrom('record').execute();
  });
});

const post = (key: string | undefined, body: unknown = { text: 'one' }, path = NOTES) =>
  call(world, 'POST', path, { key: 'ehr-a', body, headers: key === undefined ? {} : { 'idempotency-key': key } });

describe('Idempotency-Key', () => {
  it('gives a repeat the answer of the first, byte for byte, and runs the command once', async () => {
    const first = await post('k-1');
    const again = await post('k-1');
    expect(first.status).toBe(201);
    expect(first.headers.get('idempotency-replayed')).toBeNull();
    expect([again.status, again.text, again.headers.get('etag')]).toEqual([first.status, first.text, first.headers.get('etag')]);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect(again.headers.get('x-request-id')).not.toBe(first.headers.get('x-request-id'));
    expect(world.runs.count).toBe(1);
  });

  it('runs it again without a key, or with another one', async () => {
    for (const key of [undefined, undefined, 'k-2', 'k-3']) expect((await post(key)).status).toBe(201);
    expect(world.runs.count).toBe(4);
  });

  it('takes the same members in another order for the same request, and another value for another', async () => {
    await post('k-4', { text: 'one', tags: ['a'] });
    expect((await post('k-4', '{ "tags": ["a"], "text": "one" }')).headers.get('idempotency-replayed')).toBe('true');
    const other = await post('k-4', { text: 'two', tags: ['a'] });
    expect([other.status, other.json['code']]).toEqual([422, 'idempotency_key_reused']);
    expect(world.runs.count).toBe(1);
  });

  it('lets one of several at the same time win, and the others replay', async () => {
    world.runs.delayMs = 30;
    const answers = await Promise.all(Array.from({ length: 6 }, () => post('k-5')));
    expect(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size).toBe(1);
    expect(answers.filter(({ headers }) => headers.get('idempotency-replayed') === null)).toHaveLength(1);
    expect(world.runs.count).toBe(1);
  });

  it('replays what was committed when the process died before it answered', async () => {
    world.runs.crashAfterCommit = true;
    expect((await post('k-6')).status).toBe(503);
    world.runs.crashAfterCommit = false;
    const again = await post('k-6');
    expect([again.status, again.json]).toEqual([201, { id: 'note-1', text: 'one' }]);
    expect(world.runs.count).toBe(1);
  });

  it('keeps no refusal: a repeat of what was not done tries again', async () => {
    world.probes.audit = false;
    expect((await post('k-7')).status).toBe(503);
    world.probes.audit = true;
    const again = await post('k-7');
    expect([again.status, again.headers.get('idempotency-replayed')]).toEqual([201, null]);
  });

  it.each([' ', 'a b', 'x'.repeat(129), 'é'])('refuses %j as a key', async (key) => {
    const answer = await call(world, 'POST', NOTES, { key: 'ehr-a', body: { text: 'one' }, headers: { 'idempotency-key': key } });
    // A blank value is no value to HTTP: it arrives empty.
    expect([answer.status, answer.json['code']]).toEqual([400, 'invalid_header']);
    expect(answer.json['fields']).toEqual([expect.objectContaining({ field: 'Idempotency-Key' })]);
    expect(world.runs.count).toBe(0);
  });

  it('covers a POST that runs no command of a use case', async () => {
    const session = () =>
      call(world, 'POST', '/api/v1/tenants/a/user-sessions', {
        key: 'ehr-a',
        body: { means: 'employeeid', user: { identifier: '1', initials: 'J', familyName: 'Jansen' } },
        headers: { 'idempotency-key': 'k-8' },
      });
    const [first, again] = [await session(), await session()];
    expect(first.status).toBe(201);
    expect(again.text).toBe(first.text);
  });

  it('tells tenants apart', async () => {
    await post('k-9');
    const other = await call(world, 'POST', '/api/v1/tenants/b/user-sessions', {
      key: 'ehr-b',
      body: { means: 'employeeid', user: { identifier: '1', initials: 'J', familyName: 'Jansen' } },
      headers: { 'idempotency-key': 'k-9' },
    });
    expect([other.status, other.headers.get('idempotency-replayed')]).toEqual([201, null]);
  });
});

describe('several processes on one database', () => {
  const request: KeyedRequest = { command: { tenant: 'a', key: 'p-1', route: 'POST x' }, hash: 'h' };

  it('do a command once: the one that comes second replays, with or without a command', async () => {
    for (const [name, withCommand] of [
      ['p-1', true],
      ['p-2', false],
    ] as const) {
      const keyed = { ...request, command: { ...request.command, key: name } };
      let [looked, done] = [0, 0];
      const gate = Promise.withResolvers<undefined>();
      const run = (instance: ReturnType<typeof createIdempotency>, label: string) =>
        instance.run(keyed, async (claim) => {
          // Both have looked, and found nothing, before one of them commits.
          looked += 1;
          await gate.promise;
          const work = () => {
            done += 1;
            return Promise.resolve({ status: 200, body: { label } });
          };
          return withCommand ? world.test.database.transaction((tx) => claim.within(tx, work)) : work();
        });
      const both = [
        createIdempotency(world.test.database, world.clock),
        createIdempotency(world.test.database, world.clock),
      ] as const;
      const running = [run(both[0], 'first'), run(both[1], 'second')];
      await until(() => looked === 2);
      gate.resolve(undefined);
      const [first, second] = await Promise.all(running);
      expect([first?.replayed, second?.replayed].filter(Boolean)).toHaveLength(1);
      expect(first?.reply.body).toEqual(second?.reply.body);
      if (withCommand) expect(done).toBe(1);
    }
  });
});
