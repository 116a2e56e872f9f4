import { beforeEach, describe, expect, it } from '@jest/globals';
import { GatewayError, type ApiReply, type JsonObject } from 'sluis/usecase';
import { senderRoutes } from './api.ts';
import { object, objects, text } from './json.ts';
import { taskWrite } from './task-write.ts';
import { sweepTransfer } from './sweep-job.ts';
import { apiCall, createWorld, drain, fillDossier, HANDOFF, NOTICE, R1, R2, subjectOf, type World } from './test-support.ts';
import { alternativeDateOutput, readTask } from './task.ts';
import { parseTransfer, TRANSFER, type Negotiation, type Transfer } from './transfer.ts';

let world: World;

beforeEach(() => {
  world = createWorld();
  fillDossier(world);
});

function api(
  operationId: string,
  body?: unknown,
  params: Record<string, string> = {},
  query: Record<string, string> = {},
): Promise<ApiReply> {
  const found = senderRoutes.find((route) => route.operationId === operationId);
  if (found === undefined) throw new Error(`no route ${operationId}`);
  return found.handle(apiCall(world, { body, params, query }), world.config, world.services);
}

async function failure(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (error instanceof GatewayError) return `${error.status} ${error.options.reason ?? error.code}`;
    throw error;
  }
  return 'no failure';
}

async function offered(...receivers: readonly string[]): Promise<Transfer> {
  const reply = await api('createTransfer', {
    patient: 'Patient/p1',
    transferDate: '2026-03-05',
    advanceNotice: NOTICE,
    receivers: receivers.map((organization) => ({ organization })),
  });
  expect(reply.status).toBe(201);
  await drain(world);
  return transfer();
}

function transfer(): Transfer {
  return parseTransfer(world.records(TRANSFER)[0]?.state);
}

function negotiation(organization: string): Negotiation {
  const found = transfer().negotiations.find((each) => each.organization === organization);
  if (found === undefined) throw new Error('no negotiation');
  return found;
}

function taskOf(organization: string): JsonObject {
  return world.get(`Task/${negotiation(organization).task.id}`) ?? {};
}

/** The receiver's PUT, as the gate lets it through. */
async function answers(organization: string, status: string, more: JsonObject = {}): Promise<void> {
  world.put({ ...taskOf(organization), status, ...more });
  await settleTask(organization);
  await drain(world);
}

async function settleTask(organization: string): Promise<void> {
  const { id } = negotiation(organization).task;
  const found = world.fhir.get(`Task/${id}`);
  if (found === undefined) throw new Error('no Task');
  await world.transaction((unit) =>
    taskWrite.settle({ resource: found.resource, version: String(found.version) }, world.config, unit, world.services),
  );
}

async function assigned(): Promise<Transfer> {
  await offered(R1, R2);
  await answers(R1, 'accepted');
  const reply = await api('assignTransfer', { negotiation: negotiation(R1).id, handoff: HANDOFF }, { transfer: transfer().id });
  expect(reply.status).toBe(200);
  await drain(world);
  return transfer();
}

/** Paths that the ledger opens to somebody now. */
function opened(organization: string, kind?: string): readonly string[] {
  return world
    .grants()
    .filter((each) => each.requester === organization && each.state === 'live' && (kind === undefined || each.kind === kind))
    .flatMap((each) => each.resources.map((resource) => resource.path));
}

function told(organization: string): number {
  return world.sent.filter((each) => each.url.endsWith(negotiation(organization).task.id)).length;
}

describe('offering', () => {
  it('writes the Task, then issues, then makes live, then notifies (check 84)', async () => {
    await offered(R1);
    const order = world.trace.filter((each) => /^(put:Composition|put:Task|issue|live|notify)/.test(each));
    expect(order).toEqual([
      'put:Composition',
      'put:Task',
      `issue:${R1}`,
      `live:task:${R1}`,
      `issue:${R1}`,
      `live:advance-notice:${R1}`,
      'notify',
    ]);
    expect(world.sent[0]?.url).toBe(`https://receiver1.example/notification/${negotiation(R1).task.id}`);
  });

  it('notifies nobody as long as issuing fails, and says 202 (check 84)', async () => {
    world.fault = (effect) => (effect.startsWith('issue') ? 'fail' : 'none');
    const reply = await api('createTransfer', {
      patient: 'Patient/p1',
      transferDate: '2026-03-05',
      advanceNotice: NOTICE,
      receivers: [{ organization: R1 }],
    });
    expect(reply.status).toBe(202);
    expect(world.sent).toEqual([]);
    expect(opened(R1)).toEqual([]);
    world.fault = () => 'none';
    await drain(world);
    expect(told(R1)).toBe(1);
  });

  it('gives the Task for a year and the notice with a user, every reference once (checks 85, 86, 87)', async () => {
    await offered(R1);
    const [task, notice] = world.credentials;
    expect(task?.resources).toEqual([
      { path: `/Task/${negotiation(R1).task.id}`, operations: ['read', 'update'], userContext: false },
    ]);
    expect(task?.expiresAt).toEqual(new Date('2027-03-01T09:00:00Z'));
    expect(notice?.expiresAt).toEqual(new Date('2026-03-31T09:00:00Z'));
    const [first, ...others] = notice?.resources ?? [];
    expect(first).toMatchObject({ operations: ['read', 'document'], userContext: true, assuranceLevel: 'low' });
    expect(others.every((each) => each.operations.join() === 'read' && each.userContext)).toBe(true);
    expect(others.map((each) => each.path.split('/')[1]).sort()).toEqual(['Condition', 'Coverage', 'Patient', 'Procedure']);
    const paths = (notice?.resources ?? []).map((each) => each.path);
    expect(new Set(paths).size).toBe(paths.length);
    // The notice that stands at the FHIR server names nobody.
    for (const path of paths) {
      const written = JSON.stringify(world.get(path.slice(1)));
      for (const secret of ['Akker', '999911120', 'Patient/p1', 'Condition/c1', '12345', 'dochter'])
        expect(written).not.toContain(secret);
    }
  });

  it('refuses a receiver without the service before anything is written (check 89)', async () => {
    world.endpoints.set(`${R2} notification`, undefined);
    const before = world.fhir.size;
    const body = {
      patient: 'Patient/p1',
      transferDate: '2026-03-05',
      advanceNotice: NOTICE,
      receivers: [{ organization: R1 }, { organization: R2 }],
    };
    expect(await failure(api('createTransfer', body))).toBe('422 unknown_receiver');
    expect(world.fhir.size).toBe(before);
    expect(world.records(TRANSFER)).toEqual([]);
    const toItself = { ...body, receivers: [{ organization: 'did:nuts:sender' }] };
    expect(await failure(api('createTransfer', toItself))).toBe('422 unknown_receiver');
    const noDid = { ...body, receivers: [{ organization: 'Organization/1' }] };
    expect(await failure(api('createTransfer', noDid))).toBe('422 unknown_receiver');
  });

  it('offers nothing of another patient (check 88)', async () => {
    const mixed = { ...NOTICE, problems: ['Condition/c1', 'Condition/c2'] };
    expect(
      await failure(api('createTransfer', { patient: 'Patient/p1', transferDate: '2026-03-05', advanceNotice: mixed })),
    ).toBe('422 mixed_patients');
    expect(world.credentials).toEqual([]);
  });

  it('refuses a notice that is not anonymous, with the places', async () => {
    world.put({
      resourceType: 'Composition',
      id: 'bad',
      subject: { reference: 'Patient/p1', display: 'W. van der Akker' },
      title: 'Aanmelding mevr. van der Akker',
      section: [{ entry: [{ reference: 'Condition/c1' }] }],
    });
    const body = { patient: 'Patient/p1', transferDate: '2026-03-05', advanceNotice: { composition: 'Composition/bad' } };
    expect(await failure(api('createTransfer', body))).toBe('422 not_anonymous');
    const problem = await api('createTransfer', body).catch((error: unknown) => error);
    const places = problem instanceof GatewayError ? (problem.options.fields ?? []).map((each) => each.field) : [];
    expect(places).toEqual(
      expect.arrayContaining([
        'Patient/p1',
        'Composition/bad: subject.reference',
        'Composition/bad: title',
        'Condition/c1: note',
      ]),
    );
  });

  it('refuses a second open offer to the same receiver, and adds others', async () => {
    const { id } = await offered(R1);
    expect(await failure(api('addReceivers', { organization: R1 }, { transfer: id }))).toBe('409 already_offered');
    const reply = await api('addReceivers', { receivers: [{ organization: R2, name: 'Zorghuis' }] }, { transfer: id });
    expect(reply.status).toBe(200);
    expect(negotiation(R2).name).toBe('Zorghuis');
    expect(taskOf(R2)).toMatchObject({ status: 'requested' });
  });

  it('reuses nothing of an earlier offer: a new one after a cancellation has its own Task and a live credential', async () => {
    const { id } = await offered(R1);
    await api('cancelNegotiation', undefined, { transfer: id, negotiation: negotiation(R1).id });
    await drain(world);
    const reply = await api('addReceivers', { organization: R1 }, { transfer: id });
    expect(reply.status).toBe(200);
    await drain(world);
    expect(transfer().negotiations.map((each) => each.status)).toEqual(['cancelled', 'requested']);
    const alive = world.credentials.filter((each) => !each.revoked && each.resources.length > 1);
    expect(alive).toHaveLength(1);
    expect(opened(R1, 'advance-notice')).not.toEqual([]);
  });
});

describe('assigning', () => {
  it('ends the others first: Task cancelled, revoked, told by their own Task id, Task credential kept (check 90)', async () => {
    await assigned();
    expect(taskOf(R1)).toMatchObject({ status: 'in-progress' });
    expect(taskOf(R2)).toMatchObject({ status: 'cancelled' });
    expect(
      world.credentials
        .filter((each) => subjectOf(each) === R2)
        .map((each) => [each.resources[0]?.path.split('/')[1], each.revoked]),
    ).toEqual([
      ['Task', false],
      ['Composition', true],
    ]);
    expect(
      world.sent.filter((each) => each.url.includes('receiver2')).every((each) => each.url.endsWith(negotiation(R2).task.id)),
    ).toBe(true);
    expect(told(R2)).toBe(2);
    expect(world.trace.indexOf(`end:advance-notice:${R2}`)).toBeLessThan(world.trace.indexOf(`live:nursing-handoff:${R1}`));
    expect(opened(R1, 'nursing-handoff').map((each) => each.split('/')[1])).toEqual(
      expect.arrayContaining([
        'Composition',
        'Patient',
        'Condition',
        'Procedure',
        'Practitioner',
        'PractitionerRole',
        'Organization',
        'DocumentReference',
        'Binary',
      ]),
    );
    expect(opened(R1, 'nursing-handoff')).toContain('/Binary/b1');
    expect(opened(R1, 'nursing-handoff')).not.toContain('/Condition/c2');
    expect(readTask(taskOf(R1)).inputs).toEqual(negotiation(R1).task.inputs);
  });

  it('has exactly one winner when two are assigned at once (check 91)', async () => {
    const { id } = await offered(R1, R2);
    await answers(R1, 'accepted');
    await answers(R2, 'accepted');
    const attempts = [R1, R2].map((organization) =>
      failure(api('assignTransfer', { negotiation: negotiation(organization).id, handoff: HANDOFF }, { transfer: id })),
    );
    expect((await Promise.all(attempts)).sort()).toEqual(['409 transition_not_allowed', 'no failure']);
    await drain(world);
    expect(
      transfer()
        .negotiations.map((each) => each.status)
        .sort(),
    ).toEqual(['cancelled', 'in-progress']);
  });

  it('takes only a receiver that accepted', async () => {
    const { id } = await offered(R1);
    expect(await failure(api('assignTransfer', { negotiation: negotiation(R1).id, handoff: HANDOFF }, { transfer: id }))).toBe(
      '409 transition_not_allowed',
    );
    expect(await failure(api('assignTransfer', { negotiation: 'none', handoff: HANDOFF }, { transfer: id }))).toBe(
      '404 negotiation_unknown',
    );
  });

  it('refuses a hand-off about another patient, and one that names what is not there (check 88)', async () => {
    const { id } = await offered(R1);
    await answers(R1, 'accepted');
    const assign = (handoff: unknown): Promise<string> =>
      failure(api('assignTransfer', { negotiation: negotiation(R1).id, handoff }, { transfer: id }));
    expect(await assign({ ...HANDOFF, problems: ['Condition/c2'] })).toBe('422 mixed_patients');
    expect(await assign({ ...HANDOFF, problems: ['Condition/none'] })).toBe('422 unknown_reference');
    world.put({ resourceType: 'Composition', id: 'other', subject: { reference: 'Patient/p2' }, section: [] });
    expect(await assign({ composition: 'Composition/other' })).toBe('422 mixed_patients');
    expect(opened(R1, 'nursing-handoff')).toEqual([]);
  });

  it('gives up the assignment when the receiver withdrew before the Task was written', async () => {
    const { id } = await offered(R1);
    await answers(R1, 'accepted');
    world.put({ ...taskOf(R1), status: 'cancelled' });
    await api('assignTransfer', { negotiation: negotiation(R1).id, handoff: HANDOFF }, { transfer: id });
    await drain(world);
    expect(transfer()).toMatchObject({ status: 'created', negotiations: [{ status: 'cancelled' }] });
    expect(taskOf(R1)).toMatchObject({ status: 'cancelled' });
    expect(opened(R1, 'nursing-handoff')).toEqual([]);
    expect(transfer().handoff).toBeUndefined();
  });

  it('replaces a hand-off: the new one is open before the old one closes, and the receiver is told', async () => {
    const { id, handoff } = await assigned();
    const before = told(R1);
    const reply = await api('replaceHandoff', { handoff: { ...HANDOFF, documents: [] } }, { transfer: id });
    expect(reply.status).toBe(200);
    await drain(world);
    expect(transfer().handoff).not.toBe(handoff);
    expect(opened(R1, 'nursing-handoff')).not.toContain(`/${handoff ?? ''}`);
    expect(world.trace.lastIndexOf(`live:nursing-handoff:${R1}`)).toBeGreaterThan(-1);
    expect(told(R1)).toBe(before + 1);
    expect(readTask(taskOf(R1)).inputs.nursingHandoff).toBe(transfer().handoff);
  });

  it('hands off directly, without an offer (flow B)', async () => {
    const reply = await api('createTransfer', {
      patient: 'Patient/p1',
      transferDate: '2026-03-05',
      handoff: HANDOFF,
      receivers: [{ organization: R1 }],
    });
    expect(reply.status).toBe(201);
    await drain(world);
    expect(taskOf(R1)).toMatchObject({ status: 'in-progress' });
    expect(readTask(taskOf(R1)).inputs).toEqual({ nursingHandoff: transfer().handoff });
    expect(transfer().status).toBe('assigned');
    expect(told(R1)).toBe(1);
    const two = {
      patient: 'Patient/p1',
      transferDate: '2026-03-05',
      handoff: HANDOFF,
      receivers: [{ organization: R1 }, { organization: R2 }],
    };
    expect(await failure(api('createTransfer', two))).toBe('422 one_receiver_needed');
  });
});

describe('the end', () => {
  it('revokes what was medical by its id, keeps the Task, tells the receiver (check 92)', async () => {
    await assigned();
    const before = told(R1);
    await answers(R1, 'completed');
    expect(transfer().status).toBe('completed');
    expect(opened(R1)).toEqual([`/Task/${negotiation(R1).task.id}`]);
    const alive = world.credentials.filter((each) => !each.revoked).map((each) => each.resources[0]?.path);
    expect(alive.sort()).toEqual([R1, R2].map((each) => `/Task/${negotiation(each).task.id}`).sort());
    expect(told(R1)).toBe(before + 1);
    expect(
      negotiation(R1)
        .grants.filter((each) => each.kind !== 'task')
        .every((each) => each.state === 'ended' && each.revoked),
    ).toBe(true);
  });

  it('is dead in the ledger in the same transaction, whatever the node does (check 69)', async () => {
    await assigned();
    world.fault = (effect) => (effect === 'revoke' ? 'fail' : 'none');
    world.put({ ...taskOf(R1), status: 'completed' });
    await settleTask(R1);
    expect(opened(R1)).toEqual([`/Task/${negotiation(R1).task.id}`]);
    await expect(drain(world)).rejects.toThrow('do not come to an end');
    // Deny before you announce: nobody is told before the credential is gone.
    const before = told(R1);
    world.fault = () => 'none';
    await drain(world);
    expect(told(R1)).toBe(before + 1);
  });

  it('cancels every open offer, revokes, and tells each receiver once (check 93)', async () => {
    const { id } = await offered(R1, R2);
    await answers(R1, 'accepted');
    const before = [told(R1), told(R2)];
    const reply = await api('cancelTransfer', undefined, { transfer: id });
    expect(reply.status).toBe(200);
    await drain(world);
    expect(transfer().status).toBe('cancelled');
    expect([taskOf(R1)['status'], taskOf(R2)['status']]).toEqual(['cancelled', 'cancelled']);
    expect([told(R1), told(R2)]).toEqual(before.map((count) => count + 1));
    expect(world.credentials.filter((each) => !each.revoked).every((each) => each.resources[0]?.path.startsWith('/Task/'))).toBe(
      true,
    );
    expect(await failure(api('cancelTransfer', undefined, { transfer: id }))).toBe('409 transfer_closed');
  });

  it('takes a rejection with its reason and closes the notice (check 34)', async () => {
    const { id } = await offered(R1);
    await answers(R1, 'rejected', { statusReason: { text: 'vol' } });
    expect(negotiation(R1)).toMatchObject({ status: 'rejected', statusReason: 'vol' });
    expect(opened(R1, 'advance-notice')).toEqual([]);
    // The sender confirms (flow D).
    await api('cancelNegotiation', undefined, { transfer: id, negotiation: negotiation(R1).id });
    expect(taskOf(R1)).toMatchObject({ status: 'cancelled' });
  });

  it('adopts an answer once, however often the gate settles it (check 44)', async () => {
    await assigned();
    await answers(R1, 'completed');
    const before = [told(R1), world.records(TRANSFER)[0]?.version];
    await settleTask(R1);
    await drain(world);
    expect([told(R1), world.records(TRANSFER)[0]?.version]).toEqual(before);
  });
});

describe('an alternative date', () => {
  it('is agreed with a new notice: the old one closes, the new one opens, the receiver is asked again (check 94)', async () => {
    const { id, notice } = await offered(R1);
    await answers(R1, 'on-hold', { output: [alternativeDateOutput('2026-03-08')], statusReason: { text: 'pas dan plek' } });
    expect(negotiation(R1)).toMatchObject({ status: 'on-hold', alternativeDate: '2026-03-08', statusReason: 'pas dan plek' });
    const reply = await api('answerNegotiation', { answer: 'agree' }, { transfer: id, negotiation: negotiation(R1).id });
    expect(reply.status).toBe(200);
    await drain(world);
    const task = taskOf(R1);
    const { advanceNotice } = readTask(task).inputs;
    expect(task).toMatchObject({ status: 'requested' });
    expect(task).not.toHaveProperty('output');
    expect(advanceNotice).not.toBe(notice);
    expect(opened(R1, 'advance-notice')).toContain(`/${advanceNotice ?? ''}`);
    expect(opened(R1, 'advance-notice')).not.toContain(`/${notice ?? ''}`);
    expect(JSON.stringify(world.get(advanceNotice ?? ''))).toContain('"valueDateTime":"2026-03-08"');
    await answers(R1, 'accepted');
    expect(negotiation(R1).status).toBe('accepted');
  });

  it('is refused with the end of the offer', async () => {
    const { id } = await offered(R1);
    const answer = (body: unknown): Promise<ApiReply> =>
      api('answerNegotiation', body, { transfer: id, negotiation: negotiation(R1).id });
    expect(await failure(answer({ answer: 'refuse' }))).toBe('409 transition_not_allowed');
    await answers(R1, 'on-hold', { output: [alternativeDateOutput('2026-03-08')] });
    expect((await answer({ answer: 'refuse' })).status).toBe(200);
    expect(taskOf(R1)).toMatchObject({ status: 'cancelled' });
    expect(opened(R1, 'advance-notice')).toEqual([]);
  });
});

describe('what the EHR sees', () => {
  it('is the state with Tasks, grants, deliveries, next actions and the timeline', async () => {
    const { id } = await offered(R1);
    const reply = await api('getTransfer', undefined, { transfer: id });
    expect(reply.headers).toHaveProperty('etag');
    const body = reply.body as JsonObject;
    expect(body).toMatchObject({
      status: 'requested',
      settled: true,
      patient: 'Patient/p1',
      actions: ['add-receivers', 'cancel'],
    });
    const [first] = objects(body, 'negotiations');
    expect(first).toMatchObject({
      status: 'requested',
      actions: ['cancel'],
      notification: { state: 'delivered' },
      task: { written: true, status: 'requested' },
    });
    expect(objects(first, 'grants').map((each) => text(each, 'state'))).toEqual(['live', 'live']);
    expect(objects(body, 'timeline').map((each) => text(each, 'what'))).toEqual(['transfer_created', 'offered']);
    await answers(R1, 'accepted');
    const after = (await api('getTransfer', undefined, { transfer: id })).body as JsonObject;
    expect(objects(after, 'negotiations')[0]).toMatchObject({ actions: ['assign', 'cancel'] });
    expect(object(after, 'none')).toBeUndefined();
  });

  it('is a list by status and patient, with a cursor', async () => {
    await offered(R1);
    world.advance(60);
    await api('createTransfer', { patient: 'Patient/p1', transferDate: '2026-03-06', advanceNotice: NOTICE });
    const list = async (query: Record<string, string>): Promise<number> =>
      objects((await api('listTransfers', undefined, {}, query)).body as JsonObject, 'items').length;
    expect(await list({})).toBe(2);
    expect(await list({ status: 'requested' })).toBe(1);
    expect(await list({ patient: 'Patient/p1', status: 'created' })).toBe(1);
    expect(await list({ patient: 'Patient/p2' })).toBe(0);
    expect(await list({ since: '2026-03-01T09:00:30Z' })).toBe(1);
    const page = (await api('listTransfers', undefined, {}, { limit: '1' })).body as JsonObject;
    expect(objects(page, 'items')[0]).toMatchObject({ transferDate: '2026-03-06' });
    expect(await list({ limit: '1', cursor: text(page, 'cursor') ?? '' })).toBe(1);
    expect(await failure(api('listTransfers', undefined, {}, { limit: '0' }))).toBe('400 invalid_parameter');
    expect(await failure(api('getTransfer', undefined, { transfer: 'none' }))).toBe('404 transfer_unknown');
  });
});

describe('notifying', () => {
  it('goes on until the receiver hears it, with a fresh token each time (check 95)', async () => {
    world.reply = (attempt) => ({ status: attempt <= 10 ? 503 : 202 });
    await offered(R1);
    expect(told(R1)).toBe(11);
    expect(new Set(world.sent.map((each) => each.token)).size).toBe(11);
    expect(negotiation(R1).notification).toMatchObject({ wanted: 1, delivered: 1 });
  });

  it('takes a new token once when the first is refused', async () => {
    world.reply = (attempt) => ({ status: attempt === 1 ? 401 : 202 });
    await offered(R1);
    expect(told(R1)).toBe(2);
  });

  it('stops after three refusals and shows it; the transfer itself goes on', async () => {
    world.reply = () => ({ status: 404 });
    const { id } = await offered(R1);
    expect(told(R1)).toBe(3);
    const [shown] = objects((await api('getTransfer', undefined, { transfer: id })).body as JsonObject, 'negotiations');
    expect(shown).toMatchObject({ notification: { state: 'failed', problem: 'receiver_answered_404' } });
    world.reply = () => ({ status: 202 });
    await answers(R1, 'accepted');
    expect(negotiation(R1).notification).toMatchObject({ delivered: 2 });
    expect(negotiation(R1).notification).not.toHaveProperty('problem');
  });

  it('gives up after the time of the settings', async () => {
    world.reply = () => {
      world.advance(3600);
      return { status: 503, headers: { 'retry-after': '60' } };
    };
    await offered(R1);
    expect(negotiation(R1).notification.problem).toBe('receiver_answered_503');
    expect(told(R1)).toBeGreaterThan(40);
  });

  it('is an empty POST without credentials to the receiver’s own Task (facts §4.1)', async () => {
    world.endpoints.set(`${R1} notification`, 'https://r1.example/notify///');
    await offered(R1);
    expect(world.sent.map((each) => each.url)).toEqual([`https://r1.example/notify/${negotiation(R1).task.id}`]);
  });
});

describe('a crash', () => {
  it('between issuing and notifying leaves one credential and one notification (check 96)', async () => {
    let crashed = false;
    world.fault = (effect) => {
      if (crashed || effect !== `issue:${R1}`) return 'none';
      crashed = true;
      return 'crash-after';
    };
    const body = { patient: 'Patient/p1', transferDate: '2026-03-05', advanceNotice: NOTICE, receivers: [{ organization: R1 }] };
    await expect(api('createTransfer', body)).rejects.toThrow();
    expect(told(R1)).toBe(0);
    world.restart();
    await drain(world);
    expect(world.credentials).toHaveLength(2);
    expect(told(R1)).toBe(1);
  });

  it('that lets an issue land later leaves nothing alive after the sweep', async () => {
    await offered(R1);
    const { id } = transfer();
    let once = false;
    world.fault = (effect) => {
      if (once || !effect.startsWith('issue')) return 'none';
      once = true;
      return 'late';
    };
    await api('addReceivers', { organization: R2 }, { transfer: id });
    await drain(world);
    await api('cancelTransfer', undefined, { transfer: id });
    await drain(world);
    world.landLate();
    for (const seconds of [60, 600]) {
      world.advance(seconds);
      await drain(world);
    }
    const alive = world.credentials.filter((each) => !each.revoked).map((each) => each.resources[0]?.path ?? '');
    expect(alive.sort()).toEqual([R1, R2].map((each) => `/Task/${negotiation(each).task.id}`).sort());
  });
});

describe('what goes on at the same time', () => {
  it('keeps the answer of a receiver to a Task of which we do not know that it was written', async () => {
    const { id } = await offered(R1);
    await answers(R1, 'on-hold', { output: [alternativeDateOutput('2026-03-08')] });
    let once = false;
    world.fault = (effect) => {
      if (once || effect !== 'put:Task') return 'none';
      once = true;
      return 'lose-answer';
    };
    const reply = await api('answerNegotiation', { answer: 'agree' }, { transfer: id, negotiation: negotiation(R1).id });
    expect(reply.status).toBe(202);
    expect(taskOf(R1)).toMatchObject({ status: 'requested' });
    world.put({ ...taskOf(R1), status: 'accepted' });
    await drain(world);
    expect(taskOf(R1)).toMatchObject({ status: 'accepted' });
    expect(negotiation(R1).status).toBe('accepted');
  });

  it('keeps two transfers with the same notice to the same receiver apart', async () => {
    world.put({ resourceType: 'Patient', id: 'anon', birthDate: '1942' });
    world.put({ resourceType: 'Condition', id: 'anon', code: { text: 'CVA' }, subject: { reference: 'Patient/anon' } });
    world.put({
      resourceType: 'Composition',
      id: 'anon',
      subject: { reference: 'Patient/anon' },
      title: 'Aanmeldbericht',
      section: [{ entry: [{ reference: 'Condition/anon' }] }],
    });
    const body = {
      patient: 'Patient/p1',
      transferDate: '2026-03-05',
      advanceNotice: { composition: 'Composition/anon' },
      receivers: [{ organization: R1 }],
    };
    const idOf = (reply: ApiReply): string => text(reply.body as JsonObject, 'id') ?? '';
    const one = idOf(await api('createTransfer', body));
    await drain(world);
    const two = idOf(await api('createTransfer', body));
    await drain(world);
    const credentials = world
      .grants()
      .filter((each) => each.kind === 'advance-notice')
      .map((each) => each.credentialId);
    expect(new Set(credentials).size).toBe(2);
    await api('cancelTransfer', undefined, { transfer: one });
    await drain(world);
    await sweepTransfer(world.services, world.config, one);
    await sweepTransfer(world.services, world.config, two);
    await drain(world);
    const live = world.grants().filter((each) => each.kind === 'advance-notice' && each.state === 'live');
    expect(live.map((each) => each.recordId)).toEqual([two]);
    const alive = world.credentials.filter((each) => !each.revoked && each.resources.length > 1).map((each) => each.id);
    expect(alive).toEqual(live.map((each) => each.credentialId));
  });
});

describe('the sweep', () => {
  it('takes over what was written past us, and puts back what nobody may write', async () => {
    const { id } = await offered(R1, R2);
    world.put({ ...taskOf(R1), status: 'accepted' });
    world.put({ ...taskOf(R2), status: 'in-progress' });
    await sweepTransfer(world.services, world.config, id);
    await drain(world);
    expect(negotiation(R1).status).toBe('accepted');
    expect(taskOf(R2)).toMatchObject({ status: 'requested' });
  });

  it('issues again what was revoked behind our back, and renews before the end', async () => {
    const { id } = await offered(R1);
    const notice = negotiation(R1).grants.find((each) => each.kind === 'advance-notice');
    await world.services.node.revokeCredential(notice?.credentialId ?? '');
    await sweepTransfer(world.services, world.config, id);
    await drain(world);
    expect(opened(R1, 'advance-notice')).not.toEqual([]);
    expect(world.credentials.filter((each) => !each.revoked)).toHaveLength(2);
    world.advance(26 * 86_400);
    await sweepTransfer(world.services, world.config, id);
    await drain(world);
    const renewed = negotiation(R1).grants.filter((each) => each.kind === 'advance-notice' && each.state === 'live');
    expect(renewed.map((each) => each.expiresAt.slice(0, 10))).toEqual(['2026-04-26']);
    expect(world.credentials.filter((each) => !each.revoked)).toHaveLength(2);
  });

  it('writes a Task again that was deleted', async () => {
    const { id } = await offered(R1);
    const reference = `Task/${negotiation(R1).task.id}`;
    world.fhir.delete(reference);
    await sweepTransfer(world.services, world.config, id);
    await drain(world);
    expect(world.get(reference)).toMatchObject({ status: 'requested' });
  });
});
