import { beforeEach, describe, expect, it } from '@jest/globals';
import { GatewayError } from 'sluis/usecase';
import {
  BASE,
  createInboxWorld,
  drainInbox,
  failure,
  fhirReply,
  input,
  inboxApi,
  notify,
  offer,
  outcome,
  SESSION,
  task,
  TASK,
  type InboxWorld,
} from './inbox-test-support.ts';
import { SENDER } from './test-support.ts';

let world: InboxWorld;

beforeEach(() => {
  world = createInboxWorld();
});

const puts = () => world.requests.filter((each) => each.method === 'PUT');
const remoteTask = () => world.remote.get(`Task/${TASK}`)?.resource;
const answer = (body: Record<string, string>) => inboxApi(world, 'setInboxStatus', { body });

describe('the inbox', () => {
  it('shows what was offered with the next actions, and a version', async () => {
    await offer(world);
    const reply = await inboxApi(world, 'getInboxItem');
    expect(reply).toMatchObject({
      status: 200,
      headers: { etag: '"1"' },
      body: {
        sender: { organization: SENDER, name: 'Ziekenhuis Oost' },
        task: { id: TASK, version: '1' },
        status: 'requested',
        advanceNotice: 'Composition/an-1',
        actions: ['received', 'accepted', 'rejected', 'on-hold', 'cancelled'],
      },
    });
    expect((await failure(inboxApi(world, 'getInboxItem', { item: 'no' }))).options.reason).toBe('item_unknown');
    expect((await failure(inboxApi(world, 'listInbox', { query: { limit: '0' } }))).status).toBe(400);
  });
});

describe('an answer', () => {
  beforeEach(() => offer(world));

  it('is a PUT of the whole Task with only the status changed, if it is still that version', async () => {
    const reply = await answer({ status: 'accepted' });
    expect(reply).toMatchObject({ status: 200, body: { status: 'accepted', answer: { state: 'done' }, actions: ['cancelled'] } });
    expect(puts()).toHaveLength(1);
    expect(puts()[0]).toMatchObject({
      url: `${BASE}/Task/${TASK}`,
      headers: { 'if-match': 'W/"1"', 'content-type': 'application/fhir+json' },
      json: { ...task(), status: 'accepted' },
    });
    expect(Object.keys(puts()[0]?.json ?? {}).sort()).toEqual(Object.keys(task()).sort());
  });

  it('carries a reason, or another date', async () => {
    await answer({ status: 'on-hold', alternativeDate: '2026-03-08', reason: 'geen plaats' });
    expect(remoteTask()).toMatchObject({
      status: 'on-hold',
      statusReason: { text: 'geen plaats' },
      output: [{ type: { coding: [{ code: '146851000146105' }] }, valueDateTime: '2026-03-08' }],
    });
    expect(world.items()).toMatchObject([{ status: 'on-hold', alternativeDate: '2026-03-08', statusReason: 'geen plaats' }]);
  });

  it.each([
    [{ status: 'completed' }, '409 transition_not_allowed'],
    [{ status: 'in-progress' }, '409 transition_not_allowed'],
    [{ status: 'on-hold' }, '422 alternative_date_missing'],
    [{ status: 'accepted', alternativeDate: '2026-03-08' }, '422 alternative_date_not_allowed'],
    [{ status: 'completed', reason: 'klaar' }, '422 reason_not_allowed'],
    [{ status: 'godot' }, '422 invalid_body'],
  ])('that cannot be is refused before any call: %j', async (body, expected) => {
    const before = world.requests.length;
    const error = await failure(answer(body));
    expect(`${String(error.status)} ${error.options.reason ?? ''}`).toBe(expected);
    expect(world.requests).toHaveLength(before);
    expect(world.jobs()).toEqual([]);
  });

  it('that the sender overtook is 409, and the item is current', async () => {
    world.write(task({ status: 'cancelled' }));
    const error = await failure(answer({ status: 'accepted' }));
    expect([error.status, error.options.reason]).toEqual([409, 'changed_meanwhile']);
    expect(puts()).toEqual([]);
    expect(world.items()).toMatchObject([{ status: 'cancelled' }]);
  });

  it('to a notice does not count for another notice', async () => {
    world.write(task({ input: [input('721915006', 'Composition/an-2')] }));
    const error = await failure(answer({ status: 'accepted' }));
    expect(error.options.reason).toBe('changed_meanwhile');
    expect(remoteTask()).toMatchObject({ status: 'requested' });
    expect((await answer({ status: 'accepted' })).status).toBe(200);
  });

  it('reads again when the version changed between reading and writing', async () => {
    let once = true;
    world.after = (request) => {
      if (request.method !== 'GET' || !once) return;
      once = false;
      world.write(task({ description: 'touched' }));
    };
    expect((await answer({ status: 'accepted' })).status).toBe(200);
    expect(puts().map((each) => each.headers?.['if-match'])).toEqual(['W/"1"', 'W/"2"']);
    expect(remoteTask()).toMatchObject({ status: 'accepted', description: 'touched' });
  });

  it.each([
    [403, 'access_denied', '403 refused_by_sender'],
    [422, 'task_transition_not_allowed', '422 task_transition_not_allowed'],
    [409, 'conflict', '409 changed_meanwhile'],
    [415, 'not_supported', '502 sender_answered_415'],
  ])('that the sender refuses with %i %s is %s', async (status, code, expected) => {
    world.answer = (request) => (request.method === 'PUT' ? fhirReply(status, outcome(code)) : undefined);
    const error = await failure(answer({ status: 'accepted' }));
    expect(`${String(error.status)} ${error.options.reason ?? ''}`).toBe(expected);
    expect(world.items()[0]?.answer).toBeUndefined();
    expect(await inboxApi(world, 'getInboxItem')).toMatchObject({ body: { answer: { state: 'refused' }, status: 'requested' } });
  });

  it('that meets a sender which is down is 202, and is delivered later', async () => {
    world.answer = () => fhirReply(503, outcome('transient'));
    expect(await answer({ status: 'accepted' })).toMatchObject({
      status: 202,
      body: { status: 'requested', actions: [], answer: { state: 'pending', reason: 'sender_answered_503' } },
    });
    expect((await failure(answer({ status: 'rejected' }))).options.reason).toBe('answer_pending');
    world.answer = () => undefined;
    world.advance(2);
    await drainInbox(world);
    expect(world.items()).toMatchObject([{ status: 'accepted' }]);
  });

  it('whose reply was lost is found at the sender and not sent again', async () => {
    let once = true;
    world.after = (request) => {
      if (request.method !== 'PUT' || !once) return;
      once = false;
      throw new GatewayError('upstream_timeout', 'no answer');
    };
    expect((await answer({ status: 'accepted' })).status).toBe(202);
    world.advance(2);
    await drainInbox(world);
    expect(puts()).toHaveLength(1);
    expect(world.items()).toMatchObject([{ status: 'accepted', lastAnswer: { outcome: 'done' } }]);
  });

  it('survives the death of the process between taking it and sending it', async () => {
    const runNow = world.services.runNow;
    const dead = { ...world.services, runNow: () => Promise.resolve('pending' as const) };
    world.services = dead;
    expect((await answer({ status: 'rejected', reason: 'geen plaats' })).status).toBe(202);
    world.services = { ...dead, runNow };
    await drainInbox(world);
    expect(remoteTask()).toMatchObject({ status: 'rejected', statusReason: { text: 'geen plaats' } });
  });

  it('is dropped after a day, and says so', async () => {
    world.answer = () => fhirReply(503, outcome('transient'));
    await answer({ status: 'accepted' });
    world.advance(25 * 3600);
    await drainInbox(world);
    expect(world.items()).toMatchObject([
      { status: 'requested', lastAnswer: { outcome: 'refused', reason: 'sender_answered_503' } },
    ]);
    expect(world.jobs()).toEqual([]);
  });

  it('that stands already asks nobody', async () => {
    await answer({ status: 'accepted' });
    const before = world.requests.length;
    expect((await answer({ status: 'accepted' })).status).toBe(200);
    expect(world.requests).toHaveLength(before);
  });
});

describe('what needs a care worker', () => {
  beforeEach(async () => {
    await offer(world);
    world.write({ resourceType: 'Binary', id: 'b1' });
    world.write({ resourceType: 'Composition', id: 'an-1', subject: { reference: 'Patient/p0' } });
    world.write({ resourceType: 'Patient', id: 'p0' });
  });

  it.each(['getInboxAdvanceNotice', 'getInboxBinary'])('%s without a session is 422, and nobody is asked', async (operation) => {
    const before = world.requests.length;
    const error = await failure(inboxApi(world, operation, { binary: 'b1' }));
    expect([error.status, error.options.reason]).toEqual([422, 'user_session_required']);
    expect(world.requests).toHaveLength(before);
  });

  it('is fetched for a session, and the audit trail knows who fetched it', async () => {
    world.grant({ '/Composition/an-1': ['read', 'document'], '/Patient/p0': ['read'] });
    const reply = await inboxApi(world, 'getInboxAdvanceNotice', { user: SESSION });
    expect(reply).toMatchObject({ status: 200, content: { type: 'application/fhir+json' } });
    expect(world.audited).toMatchObject([
      { event: 'inbox_fetched', outcome: 'permitted', attributes: { user: 'u1', resource: 'Composition/an-1', sender: SENDER } },
    ]);
  });

  it('says when there is no hand-off yet, and when its credential has not arrived', async () => {
    expect((await failure(inboxApi(world, 'getInboxHandoff', { user: SESSION }))).options.reason).toBe('no_handoff');
    const early = await failure(inboxApi(world, 'getInboxAdvanceNotice', { user: SESSION }));
    expect([early.status, early.options.reason]).toEqual([409, 'credential_not_arrived']);
    const attachment = await failure(inboxApi(world, 'getInboxBinary', { binary: 'b1', user: SESSION }));
    expect([attachment.status, attachment.options.reason]).toEqual([409, 'credential_not_arrived']);
    world.write(task({ status: 'completed' }));
    await notify(world);
    await drainInbox(world);
    const late = await failure(inboxApi(world, 'getInboxAdvanceNotice', { user: SESSION }));
    expect([late.status, late.options.reason]).toEqual([403, 'no_credential']);
  });

  it('gives an attachment as it is, if the sender named it with a document of this item', async () => {
    world.grant({ '/Composition/an-1': ['read'], '/Binary/b1': ['read'] });
    world.grant({ '/Composition/other': ['read'], '/Binary/b2': ['read'] });
    world.answer = (request) =>
      request.url.endsWith('/Binary/b1')
        ? { status: 200, headers: new Map([['content-type', 'application/pdf']]), body: new TextEncoder().encode('%PDF') }
        : undefined;
    const reply = await inboxApi(world, 'getInboxBinary', { binary: 'b1', user: SESSION });
    expect(reply.content?.type).toBe('application/pdf');
    expect(new TextDecoder().decode(reply.content?.bytes)).toBe('%PDF');
    const before = world.requests.length;
    for (const binary of ['b2', 'b3', '../Task/x']) {
      expect((await failure(inboxApi(world, 'getInboxBinary', { binary, user: SESSION }))).options.reason).toBe('binary_unknown');
    }
    expect(world.requests).toHaveLength(before);
  });

  it('is 504 when the sender does not answer, and that is written down', async () => {
    world.grant({ '/Composition/an-1': ['read'] });
    world.answer = () => {
      throw new GatewayError('upstream_timeout', 'no answer');
    };
    expect((await failure(inboxApi(world, 'getInboxAdvanceNotice', { user: SESSION }))).status).toBe(504);
    expect(world.audited).toMatchObject([{ outcome: 'failed', reason: 'sender_timeout' }]);
  });
});
