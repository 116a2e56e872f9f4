import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import type { Sandbox } from '../../src/sandbox/control/sandbox.ts';
import { DOSSIER } from '../../src/sandbox/dossier/index.ts';
import { at, listAt, textAt } from '../../src/sandbox/scenario/step.ts';
import { verifyAudit } from '../../src/sandbox/scenario/verify.ts';
import { api, control, eventually, request, startDemoSandbox } from '../e2e/support.ts';
import { watchCalls, type CallPoint } from './held-call.ts';
import {
  CHOSEN,
  driveTransfer,
  hurried,
  issuedCredentials,
  negotiationWith,
  OTHER,
  PHASES,
  SENDER,
  settled,
  type DrivenTransfer,
  type IssuedCredential,
  type Phase,
} from './transfer.ts';

/*
 * A gateway that is killed (SIGKILL) in the middle of a transfer, at a known call to a node, a FHIR server or a receiver, and started again. Each
 * point is reached by a fault that holds or breaks that one call:
 * - `before`: the call never works, and the gateway dies;
 * - `after`: the gateway is frozen while the call is under way, the effect happens, and it dies without having read the answer;
 * - `late`: the gateway dies while the call is under way, and the effect happens when another gateway has done its work already;
 * - `lost`: the effect happens, the answer is destroyed, and the gateway dies.
 */
interface KillPoint extends CallPoint {
  readonly name: string;
  readonly phase: Phase;
  readonly when: 'before' | 'after' | 'late' | 'lost';
}

const TASK = { target: 'fhir', tenant: SENDER, method: 'PUT', path: '/fhir/Task/' } as const;
const ISSUE = { target: 'node', tenant: SENDER, method: 'POST', path: '/internal/vcr/v2/issuer/vc' } as const;
const REVOKE = { target: 'node', tenant: SENDER, method: 'DELETE', path: '/internal/vcr/v2/issuer/vc/' } as const;
const NOTIFY = { target: 'receiver', tenant: CHOSEN, method: 'POST', path: '/eoverdracht/notification/' } as const;

const POINTS: readonly KillPoint[] = [
  { name: 'offer: the notice is not written', phase: 'offer', ...TASK, path: '/fhir/Composition/', when: 'before' },
  { name: 'offer: the Task is not written', phase: 'offer', ...TASK, when: 'before' },
  { name: 'offer: the Task is written, nobody knows', phase: 'offer', ...TASK, when: 'after' },
  { name: 'offer: the Task is written late', phase: 'offer', ...TASK, when: 'late' },
  { name: 'offer: the credential is issued, nobody knows', phase: 'offer', ...ISSUE, when: 'after' },
  { name: 'offer: the credential is issued late', phase: 'offer', ...ISSUE, when: 'late' },
  { name: 'offer: the receiver is not notified', phase: 'offer', ...NOTIFY, when: 'before' },
  { name: 'offer: the receiver is notified, nobody knows', phase: 'offer', ...NOTIFY, when: 'lost' },
  { name: 'accept: the answer stands in the Task, nobody knows', phase: 'accept', ...TASK, when: 'after' },
  { name: 'assign: the other offer is not revoked', phase: 'assign', ...REVOKE, when: 'before' },
  { name: 'assign: the other offer is revoked, nobody knows', phase: 'assign', ...REVOKE, when: 'after' },
  { name: 'assign: the Task is not in progress', phase: 'assign', ...TASK, when: 'before' },
  { name: 'assign: the right to the hand-off is issued late', phase: 'assign', ...ISSUE, when: 'late' },
  { name: 'complete: the Task is completed, nobody knows', phase: 'complete', ...TASK, when: 'after' },
  { name: 'complete: the hand-off is not revoked', phase: 'complete', ...REVOKE, when: 'before' },
  { name: 'complete: the hand-off is revoked, nobody knows', phase: 'complete', ...REVOKE, when: 'after' },
];

const URL_OF_SERVER = process.env['SLUIS_TEST_DATABASE_URL'];
const database = `crash_${randomBytes(6).toString('hex')}`;
let sandbox: Sandbox;
let transfers = 0;

beforeAll(async () => {
  let environment: Record<string, string | undefined> = { ...process.env, DATABASE_URL: undefined };
  if (URL_OF_SERVER !== undefined) {
    await administer(`create database ${database}`);
    const url = new URL(URL_OF_SERVER);
    url.pathname = `/${database}`;
    environment = { ...environment, DATABASE_URL: url.toString() };
  }
  sandbox = await startDemoSandbox(environment);
}, 240_000);

afterAll(async () => {
  await sandbox.close();
  if (URL_OF_SERVER !== undefined) await administer(`drop database ${database} with (force)`);
}, 240_000);

describe(`a gateway on ${URL_OF_SERVER === undefined ? 'SQLite' : 'PostgreSQL'} that is killed`, () => {
  it.each(POINTS)(
    '$name',
    async (point) => {
      const transfer = driveTransfer(sandbox);
      transfers += 1;
      for (const phase of PHASES) {
        const land = phase === point.phase ? await killAt(point, transfer) : undefined;
        await transfer.finish(phase);
        await land?.();
      }
      await expectWhole(transfer);
    },
    180_000,
  );

  it('leaves an audit journal whose chains hold, over all of its lives', async () => {
    const { intact, lines } = await verifyAudit(`${sandbox.world.dataDirectory}/audit`);
    expect({ intact, lines }).toMatchObject({ intact: true });
  });
});

/**
 * Sends the phase's command and kills the gateway at the point, then starts it again.
 * @returns what lets the call that was under way have its effect, and waits for that
 */
async function killAt(point: KillPoint, transfer: DrivenTransfer): Promise<() => Promise<void>> {
  const { target, tenant, method, path, phase, when } = point;
  const calls = watchCalls(sandbox, point);
  let land = (): Promise<void> => Promise.resolve();
  switch (when) {
    case 'before':
    case 'lost': {
      const fault = { target, tenant, match: { method, path }, kind: when === 'before' ? 'down' : 'lose-answer' };
      expect((await control(sandbox, 'POST', '/faults', fault)).status).toBe(200);
      break;
    }
    case 'after':
    case 'late': {
      const { release } = calls.hold();
      land = () => {
        release();
        return calls.worked();
      };
      break;
    }
  }
  const command = transfer.send(phase).catch(() => undefined);
  await calls.arrived();
  switch (when) {
    case 'before':
    case 'late':
      break;
    case 'after':
      await control(sandbox, 'POST', '/gateway', { action: 'freeze' });
      expect(calls.done()).toBe(0);
      await land();
      break;
    case 'lost':
      await calls.worked();
      break;
  }
  expect((await control(sandbox, 'POST', '/gateway', { action: 'kill' })).json).toEqual({ gateway: 'stopped' });
  await command;
  if (when === 'late') expect(calls.done()).toBe(0);
  await control(sandbox, 'DELETE', '/faults');
  expect((await control(sandbox, 'POST', '/gateway', { action: 'start' })).json).toEqual({ gateway: 'running' });
  return when === 'late' ? land : () => Promise.resolve();
}

/** The end that every transfer has, whatever happened on the way (reliability §3). */
async function expectWhole(transfer: DrivenTransfer): Promise<void> {
  const read = async (): Promise<unknown> => (await api(sandbox, SENDER, 'GET', `/eoverdracht/transfers/${transfer.id()}`)).json;
  const end = await read();
  expect(end).toMatchObject({ status: 'completed', settled: true });
  expect(at(negotiationWith(sandbox, end, CHOSEN), 'status')).toBe('completed');
  expect(at(negotiationWith(sandbox, end, OTHER), 'status')).toBe('cancelled');
  expect(settled(end)).toBe(true);

  // No command was done twice, and none was lost: one transfer per offer, one Task per receiver.
  expect(listAt((await api(sandbox, SENDER, 'GET', '/eoverdracht/transfers?limit=100')).json, 'items')).toHaveLength(transfers);
  const tasks = fhirTasks();
  expect(tasks).toHaveLength(2 * transfers);
  for (const each of listAt(end, 'negotiations')) {
    const task = tasks.find(({ id }) => id === at(each, 'task', 'id'));
    expect(task?.['status']).toBe(at(each, 'status'));
  }

  // What lands late is found by the sweeper, which comes back a minute after the end.
  const credentials = await eventually(
    async () => {
      await control(sandbox, 'POST', '/clock', { advanceS: 61 });
      return issuedCredentials(sandbox);
    },
    (found) => isClean(found),
  );
  const live = credentials.filter(({ revoked }) => !revoked);
  for (const each of listAt(end, 'negotiations')) {
    expect(live.filter(({ paths }) => paths.includes(`/Task/${textAt(each, 'task', 'id')}`))).toHaveLength(1);
  }

  // Each receiver has heard of its own end.
  for (const [receiver, status] of [
    [CHOSEN, 'completed'],
    [OTHER, 'cancelled'],
  ] as const) {
    const task = at(negotiationWith(sandbox, end, receiver), 'task', 'id');
    await eventually(
      () => hurried(sandbox, () => api(sandbox, receiver, 'GET', '/eoverdracht/inbox?limit=100')),
      ({ json }) => listAt(json, 'items').some((item) => at(item, 'task', 'id') === task && at(item, 'status') === status),
    );
  }
  await expectClosedGate(
    credentials.filter(({ paths }) => paths.includes(`/${DOSSIER.nursingHandoff}`)).map(({ credential }) => credential),
  );
}

/** No right to medical data is left, and no right was given twice. */
function isClean(credentials: readonly IssuedCredential[]): boolean {
  const live = credentials.filter(({ revoked }) => !revoked);
  return (
    live.every(({ paths }) => paths.every((path) => path.startsWith('/Task/'))) &&
    new Set(live.map(({ naturalKey }) => naturalKey)).size === live.length
  );
}

/** Even with every credential that there ever was, and a user, nothing medical is given. */
async function expectClosedGate(credentials: readonly unknown[]): Promise<void> {
  expect(credentials.length).toBeGreaterThan(0);
  const { json } = await control(sandbox, 'POST', '/tokens', {
    tenant: SENDER,
    requester: CHOSEN,
    purpose: 'eOverdracht-sender',
    credentials,
    user: { identifier: 'w@example.org', initials: 'W', familyName: 'XXX_West' },
  });
  const url = `${sandbox.description.public}/${SENDER}/fhir/${DOSSIER.nursingHandoff}/$document`;
  expect((await request('GET', url, { token: textAt(json, 'access_token') })).status).toBe(403);
}

function fhirTasks() {
  const server = sandbox.world.organizations.find(({ id }) => id === SENDER)?.tenant?.fhir;
  return (server?.all() ?? []).filter(({ resourceType }) => resourceType === 'Task');
}

async function administer(statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: URL_OF_SERVER });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
