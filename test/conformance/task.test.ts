import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Sandbox } from '../../src/sandbox/control/sandbox.ts';
import { DOSSIER } from '../../src/sandbox/dossier/index.ts';
import { at, listAt, textAt } from '../../src/sandbox/scenario/step.ts';
import { control, request, startDemoSandbox, tenantIn } from '../e2e/support.ts';
import {
  command,
  issue,
  issuedFor,
  NOORD,
  NURSE,
  offer,
  OOST,
  reachedUpstream,
  send,
  tokenFor,
  transferWhen,
  WEST,
  type Answer,
  type Offered,
  type Sending,
} from './wire.ts';

// Parts B and C of the statements: a Task at the hospital's gate, over the wire, through one transfer from its offer to its end.

let sandbox: Sandbox;
let west: Offered;
let noord: Offered;
/** Of the home care, with its credential for the Task and no user. */
let token: string;

beforeAll(async () => {
  sandbox = await startDemoSandbox();
  const offered = await offer(sandbox, [WEST, NOORD]);
  west = offered.get(WEST)!;
  noord = offered.get(NOORD)!;
  token = await taskToken(WEST, west);
}, 240_000);

afterAll(async () => {
  await sandbox.close();
});

async function taskToken(receiver: string, { task }: Offered, more: object = {}): Promise<string> {
  return tokenFor(sandbox, receiver, {
    credentials: await issuedFor(sandbox, receiver, `/Task/${task}`),
    expiresInS: 3600,
    ...more,
  });
}

function fhir(method: string, path: string, sending: Sending = { token }): Promise<Answer> {
  return send(sandbox, method, `/${OOST}/fhir${path}`, sending);
}

async function status(path: string, withToken: string, method = 'GET'): Promise<number> {
  return (await fhir(method, path, { token: withToken })).status;
}

/** Puts the Task as it now is, with a change. */
async function put(change: object, of: Offered = west, more: Sending = { token }): Promise<Answer> {
  const now = await fhir('GET', `/Task/${of.task}`, more.token === undefined ? { token } : { token: more.token });
  return fhir('PUT', `/Task/${of.task}`, { ...more, body: JSON.stringify({ ...(now.json as object), ...change }, null, 4) });
}

describe('reading a Task while it is requested', () => {
  it('needs the credential for it and no user; a user does no harm (checks 11, 12, 13)', async () => {
    expect(await status(`/Task/${west.task}`, token)).toBe(200);
    expect(await status(`/Task/${west.task}`, await taskToken(WEST, west, { user: NURSE }))).toBe(200);
    expect(await status(`/Task/${west.task}`, await tokenFor(sandbox, WEST))).toBe(403);
  });

  it('needs exactly this id, and the own credential (checks 14, 15, 16)', async () => {
    expect(await status(`/Task/${west.task}2`, token)).toBe(403);
    const longer = await tokenFor(sandbox, WEST, { grants: [{ path: `/Task/${west.task}2`, operations: ['read'] }] });
    expect(await status(`/Task/${west.task}`, longer)).toBe(403);
    expect(await status(`/Task/${west.task}`, await taskToken(NOORD, noord))).toBe(403);
    const confused = await tokenFor(sandbox, NOORD, { credentials: await issuedFor(sandbox, WEST, `/Task/${west.task}`) });
    expect(await status(`/Task/${west.task}`, confused)).toBe(403);
  });

  it('needs a credential of this custodian, for this purpose, that is valid now (checks 17, 18, 19)', async () => {
    const entries = [{ path: `/Task/${west.task}`, operations: ['read'], userContext: false }];
    const judge = async (credential: unknown): Promise<number> =>
      status(`/Task/${west.task}`, await tokenFor(sandbox, WEST, { credentials: [credential] }));
    expect(await judge(await issue(sandbox, OOST, WEST, entries))).toBe(200);
    expect(await judge(await issue(sandbox, NOORD, WEST, entries))).toBe(403);
    expect(await judge(await issue(sandbox, OOST, WEST, entries, { purpose: 'zorginzage' }))).toBe(403);
    const short = await issue(sandbox, OOST, WEST, entries, {
      expiresAt: new Date(sandbox.world.clock.now().getTime() + 600_000),
    });
    expect(await judge(short)).toBe(200);
    await control(sandbox, 'POST', '/clock', { advanceS: 660 });
    expect(await judge(short)).toBe(403);
  });

  it('ends within five seconds of a revocation, although the token lives on (check 20)', async () => {
    const path = '/Task/revoked-soon';
    const lives = await tokenFor(sandbox, WEST, { grants: [{ path, operations: ['read'] }], expiresInS: 3600 });
    // Permitted: the caller may learn that there is nothing.
    expect(await status(path, lives)).toBe(404);
    const id = textAt((await issuedFor(sandbox, WEST, path))[0], 'id');
    const revoked = await request(
      'DELETE',
      `${tenantIn(sandbox, OOST).node}/internal/vcr/v2/issuer/vc/${encodeURIComponent(id)}`,
    );
    expect(revoked.status).toBe(200);
    // Nobody is asked later than this: what is remembered is remembered by this clock.
    await control(sandbox, 'POST', '/clock', { advanceS: 5 });
    expect([401, 403]).toContain(await status(path, lives));
  });

  it('is the read of one Task, and no search, history or other version (checks 22, 23)', async () => {
    for (const path of ['/Task', '/Task?owner=Organization/1', `/Task/${west.task}/_history`, `/Task/${west.task}/_history/1`]) {
      expect(`${path} ${await status(path, token)}`).toBe(`${path} 403`);
    }
    const form = { token, body: 'owner=Organization/1', type: 'application/x-www-form-urlencoded' };
    expect((await fhir('POST', '/Task/_search', form)).status).toBe(403);
  });

  it('takes a type in exact case only, and a credential that says /task only from a lenient tenant (checks 24, 25, 26)', async () => {
    expect([403, 404]).toContain(await status(`/task/${west.task}`, token));
    const by = async (path: string): Promise<number> => {
      const credentials = [await issue(sandbox, OOST, WEST, [{ path, operations: ['read'], userContext: false }])];
      return status(`/Task/${west.task}`, await tokenFor(sandbox, WEST, { credentials }));
    };
    expect(await by(`/task/${west.task}`)).toBe(403);
    expect(await by(`Task/${west.task}`)).toBe(200);
  });

  it('refuses a path that can be read in two ways (check 27)', async () => {
    const base = `/${OOST}/fhir`;
    for (const path of [
      `${base}/Task/${west.task}/`,
      `${base}//Task/${west.task}`,
      `${base}/Task/../Task/${west.task}`,
      `${base}/Task%2F${west.task}`,
      `${base}/Task/${west.task}%00`,
    ]) {
      const answer = await send(sandbox, 'GET', path, { token });
      expect(`${path} ${answer.status}`).toBe(`${path} 400`);
    }
  });

  it('takes _format, and refuses what is no parameter of a read (check 28)', async () => {
    expect(await status(`/Task/${west.task}?_format=json`, token)).toBe(200);
    expect(await status(`/Task/${west.task}?_include=*`, token)).toBe(400);
  });

  it('shows nobody who it is about (check 31), and is JSON without Accept, and nothing for HEAD (check 32)', async () => {
    const answer = await fhir('GET', `/Task/${west.task}`);
    expect(answer.headers.get('content-type')).toMatch(/^application\/fhir\+json/);
    const text = answer.body.toString('utf8');
    expect(text).not.toMatch(/Patient\/|fhir\.nl\/fhir\/NamingSystem\/bsn|XXX_/);
    expect(text).not.toContain(DOSSIER.patient);
    const head = await fhir('HEAD', `/Task/${west.task}`);
    expect([head.status, head.body.length, head.headers.get('content-type')]).toEqual([
      200,
      0,
      answer.headers.get('content-type'),
    ]);
  });

  it('takes operations of a credential in any letter case (check 50)', async () => {
    const entries = [{ path: `/Task/${west.task}`, operations: ['READ', 'Update'], userContext: false }];
    const credentials = [await issue(sandbox, OOST, WEST, entries)];
    expect(await status(`/Task/${west.task}`, await tokenFor(sandbox, WEST, { credentials }))).toBe(200);
  });
});

describe('a PUT that must not be', () => {
  it('is every other way to write (check 46)', async () => {
    const body = JSON.stringify({ resourceType: 'Task', id: west.task, status: 'accepted' });
    const attempts: readonly (readonly [string, string, Sending])[] = [
      ['PATCH', `/Task/${west.task}`, { token, body: '[]', type: 'application/json-patch+json' }],
      ['DELETE', `/Task/${west.task}`, { token }],
      ['POST', '/Task', { token, body }],
      ['PUT', '/Task?identifier=x', { token, body }],
      ['POST', '', { token, body: JSON.stringify({ resourceType: 'Bundle', type: 'batch', entry: [] }) }],
    ];
    await reachedUpstream(sandbox);
    for (const [method, path, sending] of attempts) {
      expect(`${method} ${path} ${(await fhir(method, path, sending)).status}`).toBe(`${method} ${path} 403`);
    }
    expect(await reachedUpstream(sandbox)).toEqual([]);
  });

  it('is one with a right to read only, and one of a Composition (checks 47, 48)', async () => {
    const entries = [
      { path: `/Task/${west.task}`, operations: ['read'], userContext: false },
      { path: west.notice, operations: ['read', 'update'], userContext: true },
    ];
    const reader = await tokenFor(sandbox, WEST, { credentials: [await issue(sandbox, OOST, WEST, entries)], user: NURSE });
    expect((await put({ status: 'accepted' }, west, { token: reader })).status).toBe(403);
    const composition = JSON.stringify({ resourceType: 'Composition', id: west.notice.split('/')[2] });
    expect((await fhir('PUT', west.notice, { token: reader, body: composition })).status).toBe(403);
  });

  it('is another resource than the path names, or no JSON (check 42), or XML (check 45)', async () => {
    expect((await put({ id: `${west.task}2` })).status).toBe(400);
    expect((await put({ resourceType: 'Patient' })).status).toBe(400);
    expect((await fhir('PUT', `/Task/${west.task}`, { token, body: '{"resourceType":"Task",' })).status).toBe(400);
    const xml = { token, body: '<Task xmlns="http://hl7.org/fhir"/>', type: 'application/fhir+xml' };
    expect((await fhir('PUT', `/Task/${west.task}`, xml)).status).toBe(415);
  });

  it('is a step that the receiver may not take: 422, and nothing is stored (check 36)', async () => {
    await reachedUpstream(sandbox);
    for (const to of ['in-progress', 'completed']) expect((await put({ status: to })).status).toBe(422);
    expect((await reachedUpstream(sandbox)).filter(({ method }) => method !== 'GET')).toEqual([]);
    expect(at((await fhir('GET', `/Task/${west.task}`)).json, 'status')).toBe('requested');
  });
});

describe('the answers of receivers', () => {
  it('another date is on-hold with the date and 422 without (check 35)', async () => {
    const noordToken = await taskToken(NOORD, noord);
    const with_ = { token: noordToken };
    expect((await put({ status: 'on-hold' }, noord, with_)).status).toBe(422);
    const output = [
      {
        type: { coding: [{ system: 'http://snomed.info/sct', code: '146851000146105' }] },
        valueDateTime: '2027-01-20',
      },
    ];
    expect((await put({ status: 'on-hold', output }, noord, with_)).status).toBe(200);
  });

  it('acceptance changes the status of the stored Task, notifies once, and sends nothing of the body on (checks 33, 49)', async () => {
    const before = await transferWhen(sandbox, west.id, () => true);
    const changes = (transfer: unknown): unknown =>
      at(
        listAt(transfer, 'negotiations').find((each) => at(each, 'id') === west.negotiation),
        'notification',
        'changes',
      );
    await reachedUpstream(sandbox);
    const answer = await put({ status: 'accepted', text: { status: 'generated', div: '<div>from the receiver</div>' } });
    expect([answer.status, at(answer.json, 'status')]).toEqual([200, 'accepted']);
    const writes = (await reachedUpstream(sandbox)).filter(({ method }) => method === 'PUT');
    for (const write of writes) expect(write.body).not.toContain('from the receiver');
    const after = await transferWhen(sandbox, west.id, (each) => changes(each) !== changes(before));
    expect(changes(after)).toBe(Number(changes(before)) + 1);
  });

  it('rejection with a reason closes the notice; the Task stays readable (checks 34, 68)', async () => {
    const user = await tokenFor(sandbox, NOORD, {
      user: NURSE,
      credentials: [
        ...(await issuedFor(sandbox, NOORD, `/Task/${noord.task}`)),
        ...(await issuedFor(sandbox, NOORD, noord.notice)),
      ],
      expiresInS: 3600,
    });
    expect(await status(noord.notice, user)).toBe(200);
    // The proposal of another date is agreed to first, with a new notice; then it is rejected after all.
    await command(sandbox, OOST, `/eoverdracht/transfers/${noord.id}/negotiations/${noord.negotiation}/answer`, {
      answer: 'agree',
    });
    expect(await status(noord.notice, user)).toBe(403);
    const answer = await put({ status: 'rejected', statusReason: { text: 'geen plaats' } }, noord, { token: user });
    expect(answer.status).toBe(200);
    const transfer = await transferWhen(sandbox, noord.id, () => true);
    const own = listAt(transfer, 'negotiations').find((each) => at(each, 'id') === noord.negotiation);
    const renewed = `/${textAt(own, 'task', 'advanceNotice')}`;
    expect(renewed).not.toBe(noord.notice);
    const late = await tokenFor(sandbox, NOORD, { user: NURSE, credentials: await issuedFor(sandbox, NOORD, renewed) });
    expect(await status(renewed, late)).toBe(403);
    expect(await status(`/Task/${noord.task}`, user)).toBe(200);
  });

  it('completion waits for the assignment, and then is refused with any other change (checks 37, 39, 41)', async () => {
    expect((await put({ status: 'completed' })).status).toBe(422);
    await command(sandbox, OOST, `/eoverdracht/transfers/${west.id}/assignment`, {
      negotiation: west.negotiation,
      handoff: { composition: DOSSIER.nursingHandoff },
    });
    await reachedUpstream(sandbox);
    const changes: Readonly<Record<string, unknown>> = {
      owner: { reference: 'Organization/other' },
      requester: { agent: { reference: 'Organization/other' } },
      for: { reference: 'Patient/other' },
      input: [],
      code: { text: 'x' },
      intent: 'plan',
      identifier: [{ value: 'x' }],
      extension: [{ url: 'http://x.example', valueString: 'x' }],
      output: [{ type: { text: 'x' }, valueString: 'x' }],
    };
    for (const [name, value] of Object.entries(changes)) {
      const answer = await put({ status: 'completed', [name]: value });
      expect(`${name} ${answer.status}`).toBe(`${name} 422`);
    }
    expect((await reachedUpstream(sandbox)).filter(({ method }) => method !== 'GET')).toEqual([]);
    expect(at((await fhir('GET', `/Task/${west.task}`)).json, 'status')).toBe('in-progress');
  });

  it('a stale If-Match is 409, and of two at once one wins (check 43)', async () => {
    const stale = { token, headers: [['If-Match', 'W/"1"']] as const };
    expect((await put({ status: 'completed' }, west, stale)).status).toBe(409);
    expect(at((await fhir('GET', `/Task/${west.task}`)).json, 'status')).toBe('in-progress');
    const current = (await fhir('GET', `/Task/${west.task}`)).headers.get('etag') ?? '';
    const both = { token, headers: [['If-Match', current]] as const };
    const answers = await Promise.all([put({ status: 'completed' }, west, both), put({ status: 'cancelled' }, west, both)]);
    const statuses = answers.map((answer) => answer.status).sort();
    expect(statuses[0]).toBe(200);
    expect([409, 422]).toContain(statuses[1]);
  });

  it('the end is final; the same again is 200 and tells nobody; the Task stays (checks 29, 38, 40, 44)', async () => {
    const final = textAt((await fhir('GET', `/Task/${west.task}`)).json, 'status');
    expect(['completed', 'cancelled']).toContain(final);
    const settled = await transferWhen(sandbox, west.id, (each) => at(each, 'settled') === true);
    for (const to of ['accepted', 'in-progress', 'requested']) expect((await put({ status: to })).status).toBe(422);
    const shown = (await fhir('GET', `/Task/${west.task}`)).json;
    const meta = { ...(at(shown, 'meta') as object), versionId: '1', lastUpdated: '2020-01-01T00:00:00Z' };
    const again = await put({
      status: final,
      lastModified: '2020-01-01T00:00:00Z',
      text: { status: 'generated', div: '<div/>' },
      meta,
    });
    expect([again.status, at(again.json, 'status')]).toEqual([200, final]);
    const changes = (each: unknown): unknown => listAt(each, 'negotiations').map((one) => at(one, 'notification', 'changes'));
    expect(changes(await transferWhen(sandbox, west.id, () => true))).toEqual(changes(settled));
  });

  it('a year and a second later the Task is closed as well (check 30)', async () => {
    expect(await status(`/Task/${west.task}`, await taskToken(WEST, west))).toBe(200);
    await control(sandbox, 'POST', '/clock', { advanceS: 365 * 86_400 + 1 });
    expect([401, 403]).toContain(
      await status(
        `/Task/${west.task}`,
        await tokenFor(sandbox, WEST, { credentials: await issuedFor(sandbox, WEST, `/Task/${west.task}`) }),
      ),
    );
  });
});
