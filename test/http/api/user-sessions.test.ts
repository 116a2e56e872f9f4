import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { call, startApi, type ApiWorld } from './world.ts';

const SESSIONS = '/api/v1/tenants/a/user-sessions';
const USER = { identifier: '90017362', initials: 'J', familyName: 'de Vries', roleName: 'Verpleegkundige' };
const PRESENTATION = { type: ['VerifiablePresentation'], proof: { secret: 'PRESENTATION' } };
let world: ApiWorld;
beforeAll(async () => {
  world = await startApi();
});
afterAll(() => world.close());
beforeEach(() => {
  world.node.signing = { status: 'pending' };
});

const begin = async (body: unknown = { means: 'employeeid', user: USER }) =>
  call(world, 'POST', SESSIONS, { key: 'ehr-a', body });
const id = (answer: Awaited<ReturnType<typeof begin>>): string => String(answer.json['id']);
const show = (session: string, key = 'ehr-a') => call(world, 'GET', `${SESSIONS}/${session}`, { key });
const use = (session: string, idempotencyKey?: string) =>
  call(world, 'POST', '/api/v1/tenants/a/counter/notes', {
    key: 'ehr-a',
    body: { text: 'one' },
    headers: { 'x-user-session': session, ...(idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }) },
  });

describe('user sessions', () => {
  it('begin with the page where the person confirms, and end with the contract', async () => {
    const answer = await begin();
    expect(answer.status).toBe(201);
    expect(answer.json).toMatchObject({ means: 'employeeid', status: 'pending', url: 'https://node.example/confirm' });
    const life = Date.parse(String(answer.json['expiresAt'])) - Date.parse(String(answer.json['createdAt']));
    expect(life).toBeLessThan(8 * 3_600_000);
    expect(life).toBeGreaterThan(7.9 * 3_600_000);
  });

  it('are pending until the person has confirmed, and then usable; the presentation stays here', async () => {
    const session = id(await begin());
    expect((await show(session)).json['status']).toBe('pending');
    expect((await use(session)).json).toMatchObject({ code: 'user_session_incomplete', status: 409 });
    world.node.signing = { status: 'completed', presentation: PRESENTATION };
    const completed = await show(session);
    expect(completed.json['status']).toBe('completed');
    expect(completed.text).not.toContain('PRESENTATION');
    expect((await use(session)).json).toMatchObject({ user: USER.identifier });
    expect(world.audited).toContainEqual(expect.objectContaining({ event: 'user-session-confirmed', tenant: 'a' }));
  });

  it('are completed by the first use, without anybody having polled', async () => {
    const session = id(await begin());
    world.node.signing = { status: 'completed', presentation: PRESENTATION };
    expect((await use(session)).status).toBe(201);
  });

  it('survive many who ask at the moment in which the node tells it once', async () => {
    const session = id(await begin());
    world.node.signing = { status: 'completed', presentation: PRESENTATION };
    const answers = await Promise.all(Array.from({ length: 5 }, () => show(session)));
    expect(answers.map((answer) => answer.json['status'])).toEqual(Array.from({ length: 5 }, () => 'completed'));
  });

  it.each([['cancelled' as const], ['failed' as const], ['gone' as const]])(
    'are failed when the node says %s, and cannot be used',
    async (status) => {
      const session = id(await begin());
      world.node.signing = { status };
      expect((await show(session)).json).toMatchObject({ status: 'failed' });
      expect((await use(session)).json).toMatchObject({ code: 'user_session_failed', status: 409 });
    },
  );

  it('of another tenant, or never begun, or expired, are unknown', async () => {
    const session = id(await begin());
    world.node.signing = { status: 'completed', presentation: PRESENTATION };
    await show(session);
    const other = await call(world, 'GET', `/api/v1/tenants/b/user-sessions/${session}`, { key: 'ehr-b' });
    expect([other.status, other.json['code']]).toEqual([404, 'user_session_unknown']);
    expect((await use('never')).json).toMatchObject({ code: 'user_session_unknown', status: 422 });
    world.clock.advance(8 * 3600);
    expect((await show(session)).status).toBe(404);
    expect((await use(session)).json).toMatchObject({ code: 'user_session_unknown', status: 422 });
    world.clock.advance(-8 * 3600);
  });

  it('a command that was answered is replayed although its session has ended', async () => {
    const session = id(await begin());
    world.node.signing = { status: 'completed', presentation: PRESENTATION };
    const first = await use(session, 'u-1');
    world.clock.advance(9 * 3600);
    const again = await use('never', 'u-1');
    world.clock.advance(-9 * 3600);
    expect(again.text).toBe(first.text);
  });

  it('need a user for employeeid, and are not for operators', async () => {
    expect((await begin({ means: 'employeeid' })).json).toMatchObject({ code: 'user_needed', fields: [{ field: 'user' }] });
    expect((await begin({ means: 'irma' })).json).toMatchObject({ code: 'invalid_body', fields: [{ field: 'means' }] });
    expect((await begin({ means: 'employeeid', user: { ...USER, initials: '' } })).json).toMatchObject({
      fields: [{ field: 'user.initials' }],
    });
    const operator = await call(world, 'POST', SESSIONS, { key: 'operator-a', body: { means: 'employeeid', user: USER } });
    expect(operator.status).toBe(403);
  });

  it('know the dummy means in development only', async () => {
    expect((await begin({ means: 'dummy' })).json).toMatchObject({ code: 'means_not_allowed', status: 422 });
    const development = await startApi('development');
    try {
      const answer = await call(development, 'POST', SESSIONS, { key: 'ehr-a', body: { means: 'dummy' } });
      expect([answer.status, answer.json['url']]).toEqual([201, undefined]);
    } finally {
      await development.close();
    }
  });
});
