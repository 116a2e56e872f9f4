import { beforeEach, describe, expect, it } from '@jest/globals';
import {
  createInboxWorld,
  drainInbox,
  fhirReply,
  input,
  inboxApi,
  notify,
  offer,
  outcome,
  task,
  TASK,
  BASE,
  type InboxWorld,
} from './inbox-test-support.ts';
import { notificationRoute } from './notification.ts';
import { reconcileJob } from './pull-job.ts';
import { R2, SENDER } from './test-support.ts';

let world: InboxWorld;

beforeEach(() => {
  world = createInboxWorld();
});

describe('a notification', () => {
  it('leaves one pending pull, and asks nobody anything (check 73)', async () => {
    await notify(world);
    expect(world.jobs()).toMatchObject([{ name: 'pull', key: `${SENDER}|${TASK}`, payload: { sender: SENDER, taskId: TASK } }]);
    expect(world.requests).toEqual([]);
    expect(world.tokens.size).toBe(0);
  });

  it('five times in a second is at most one pending pull (check 78)', async () => {
    for (let count = 0; count < 5; count += 1) await notify(world);
    expect(world.jobs()).toHaveLength(1);
    await notify(world, R2);
    expect(world.jobs()).toHaveLength(2);
  });

  it('is an empty POST to one segment that is an id (check 74, 76, 77)', () => {
    expect(notificationRoute).toMatchObject({ role: 'receiver', path: 'notification/:taskId', body: 'empty' });
    const id = notificationRoute.parameters['taskId'] ?? /^$/;
    expect(['task-1', 'A.b-9', 'x'.repeat(64)].every((each) => id.test(each))).toBe(true);
    expect(['', 'a/b', 'a%20b', 'x'.repeat(65), 'a_b', 'a\n'].some((each) => id.test(each))).toBe(false);
  });
});

describe('the pull', () => {
  it('reads the Task with its credential and without a user, and makes an item', async () => {
    await offer(world);
    expect(world.requests).toMatchObject([{ method: 'GET', url: `${BASE}/Task/${TASK}`, accept: 'application/fhir+json' }]);
    expect([...world.tokens.values()]).toMatchObject([
      { authorizer: SENDER, service: 'eOverdracht-sender', credentials: [{}], withUser: false },
    ]);
    expect(world.items()).toMatchObject([
      {
        sender: SENDER,
        senderName: 'Ziekenhuis Oost',
        taskId: TASK,
        status: 'requested',
        advanceNotice: 'Composition/an-1',
        version: '1',
      },
    ]);
  });

  it('waits for a credential that is on its way, without another notification (check 79)', async () => {
    world.write(task());
    await notify(world);
    await drainInbox(world);
    expect(world.items()).toEqual([]);
    expect(world.requests).toEqual([]);
    world.grant({ [`/Task/${TASK}`]: ['read', 'update'] });
    await drainInbox(world);
    expect(world.items()).toEqual([]);
    world.advance(2);
    await drainInbox(world);
    expect(world.items()).toHaveLength(1);
  });

  it('asks for a new token once when the sender refuses the first', async () => {
    world.answer = () => (world.requests.length === 1 ? fhirReply(401, outcome('illegal_access_token')) : undefined);
    await offer(world);
    expect(world.items()).toHaveLength(1);
    expect(new Set(world.requests.map((each) => each.token)).size).toBe(2);

    world = createInboxWorld();
    world.answer = () => fhirReply(401, outcome('illegal_access_token'));
    await offer(world);
    expect(world.requests).toHaveLength(2);
    expect(world.jobs()).toHaveLength(1);
  });

  it.each([
    ['another owner', { owner: { identifier: { value: R2 } } }, 'owner_mismatch'],
    ['another requester', { requester: { agent: { identifier: { value: R2 } } } }, 'requester_mismatch'],
    ['another id', { id: 'task-2' }, 'task_id_mismatch'],
    ['no transfer', { code: { coding: [{ system: 'http://snomed.info/sct', code: '1' }] } }, 'no_transfer'],
  ])('discards a Task with %s and raises a security event (check 80)', async (_name, change, reason) => {
    world.answer = () => fhirReply(200, task(change));
    await offer(world);
    expect(world.items()).toEqual([]);
    expect(world.jobs()).toEqual([]);
    expect(world.audited).toMatchObject([{ event: 'inbox_task_discarded', outcome: 'denied', requester: SENDER, reason }]);
  });

  it('takes a Task that names nobody by DID', async () => {
    await offer(world, {
      owner: { identifier: { system: 'http://fhir.nl/fhir/NamingSystem/ura', value: '123' } },
      requester: { agent: { display: 'Oost' } },
    });
    expect(world.items()).toHaveLength(1);
    expect(world.audited).toEqual([]);
  });

  it('keeps Tasks of two senders with one id apart (check 81)', async () => {
    await offer(world);
    world.grant({ [`/Task/${TASK}`]: ['read', 'update'] }, R2);
    world.answer = () => fhirReply(200, task({ requester: { agent: { identifier: { value: R2 } } }, status: 'in-progress' }));
    await notify(world, R2);
    await drainInbox(world);
    expect(world.items().map((each) => [each.sender, each.status])).toEqual([
      [SENDER, 'requested'],
      [R2, 'in-progress'],
    ]);
  });

  it.each(['rejected', 'received', 'waiting-for-godot'])('stores the status %s (check 82)', async (status) => {
    await offer(world, { status });
    expect(world.items()).toMatchObject([{ status }]);
    const shown = await inboxApi(world, 'getInboxItem');
    expect(shown).toMatchObject({ status: 200, body: { status, actions: status === 'received' ? expect.anything() : [] } });
  });

  it('knows both documents by either coding, at any place (check 98)', async () => {
    await offer(world, {
      input: [input('57830-2', 'Composition/an-9', 'http://loinc.org'), input('371535009', 'Composition/nh-9')],
    });
    expect(world.items()).toMatchObject([{ advanceNotice: 'Composition/an-9', handoff: 'Composition/nh-9' }]);
  });

  it.each(['Composition/x', '/Composition/x', `${BASE}/Composition/x`, 'Composition/x/_history/2'])(
    'reads the reference %s (check 99)',
    async (reference) => {
      await offer(world, { input: [input('11171000146100', reference)] });
      expect(world.items()).toMatchObject([{ handoff: 'Composition/x' }]);
      expect(world.audited).toEqual([]);
    },
  );

  it('refuses a document at another server (check 99)', async () => {
    await offer(world, { input: [input('11171000146100', 'https://evil/Composition/x')] });
    expect(world.items()[0]?.handoff).toBeUndefined();
    expect(world.audited).toMatchObject([{ event: 'inbox_reference_refused', reason: 'foreign_reference' }]);
  });

  it('says in the timeline what changed, and changes nothing when nothing did', async () => {
    await offer(world);
    await notify(world);
    await drainInbox(world);
    expect(world.records('inbox')[0]?.version).toBe(1);
    world.write(
      task({
        status: 'in-progress',
        input: [input('721915006', 'Composition/an-1'), input('11171000146100', 'Composition/nh-1')],
      }),
    );
    await notify(world);
    await drainInbox(world);
    expect(world.items()[0]?.timeline.map((each) => each.what)).toEqual(['task_received', 'status_changed', 'handoff_offered']);
  });

  it('gives up on a Task that is not there, and shows so in an item that was', async () => {
    await offer(world);
    world.remote.clear();
    await notify(world);
    await drainInbox(world);
    expect(world.items()).toMatchObject([{ status: 'requested', problem: 'task_unknown' }]);
    expect(world.jobs()).toEqual([]);
  });

  it.each([
    ['503', () => fhirReply(503, outcome('transient'))],
    ['302', () => fhirReply(302, {})],
    ['no JSON', () => ({ status: 200, headers: new Map<string, string>(), body: new TextEncoder().encode('{"id":1,"id":2}') })],
  ])('tries again after %s', async (_name, answer) => {
    world.answer = answer;
    await offer(world);
    expect(world.items()).toEqual([]);
    expect(world.jobs()).toHaveLength(1);
  });

  it('makes no token for a sender without an endpoint (check 83)', async () => {
    world.endpoint = undefined;
    await offer(world);
    expect(world.tokens.size).toBe(0);
    world.endpoint = 'https://gate.oost.example/fhir?x=1';
    world.advance(2);
    await drainInbox(world);
    expect(world.tokens.size).toBe(0);
    expect(world.jobs()).toHaveLength(1);
  });

  it('does not follow a redirect with the token (check 83)', async () => {
    world.answer = () => ({ ...fhirReply(302, {}), headers: new Map([['location', 'https://evil/Task/1']]) });
    await offer(world);
    expect(world.requests).toHaveLength(1);
  });
});

describe('the reconciliation', () => {
  it('asks again for every open item, and for no other', async () => {
    await offer(world);
    world.write(task({ status: 'in-progress' }));
    expect(await reconcileJob.run(null, world.config, world.services, { key: 'periodic', attempt: 1 })).toEqual({
      outcome: 'done',
    });
    await drainInbox(world);
    expect(world.items()).toMatchObject([{ status: 'in-progress' }]);
    world.write(task({ status: 'completed' }));
    await notify(world);
    await drainInbox(world);
    await reconcileJob.run(null, world.config, world.services, { key: 'periodic', attempt: 1 });
    expect(world.jobs()).toEqual([]);
    const list = await inboxApi(world, 'listInbox', { query: { status: 'completed' } });
    expect(list).toMatchObject({ status: 200, body: { items: [{ status: 'completed', actions: [] }] } });
  });
});
