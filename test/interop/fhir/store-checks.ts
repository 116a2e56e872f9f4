/** Our own client of FHIR servers before the real one, without the gate: `checkStore`. */
import { randomUUID } from 'node:crypto';
import { createClock } from '../../../src/clock.ts';
import { at, insist } from '../../../src/sandbox/scenario/step.ts';
import type { Tenant } from '../../../src/tenant/tenant.ts';
import { createUpstream, type Upstream } from '../../../src/upstream/forward.ts';
import type { Report } from './report.ts';
import type { ServerClient } from './server.ts';

/** Versions, create-only, and answers that close the connection. */
export async function checkStore({ check }: Report, server: ServerClient): Promise<void> {
  const upstream = createUpstream(tenantOf(server), { clock: createClock() });
  const { store } = upstream;
  const task = (id: string, status: string): { resourceType: string; id: string; status: string; intent: string } => ({
    resourceType: 'Task',
    id,
    status,
    intent: 'order',
  });
  const id = randomUUID();
  try {
    await check('what is not there is read as nothing', async () => {
      insist((await store.read('Task', id)) === undefined, 'something is there');
    });
    await check('create-only: of six at once one writes, five are told that it changed meanwhile', async () => {
      const results = await Promise.all([1, 2, 3, 4, 5, 6].map(() => store.put(task(id, 'requested'), 'absent')));
      same(counted(results.map(({ outcome }) => outcome)), { written: 1, 'changed-meanwhile': 5 });
    });
    await check('create-only does not overwrite', async () => {
      const { outcome } = await store.put(task(id, 'cancelled'), 'absent');
      same([outcome, (await store.read('Task', id))?.resource['status']], ['changed-meanwhile', 'requested']);
    });
    await check('create-only does not bring back what was deleted', async () => {
      const gone = randomUUID();
      await store.put(task(gone, 'requested'), 'absent');
      same((await server.send('DELETE', `/Task/${gone}`)).status, 200);
      same((await store.put(task(gone, 'requested'), 'absent')).outcome, 'changed-meanwhile');
      insist((await store.read('Task', gone)) === undefined, 'the deleted Task is read');
      same((await store.put(task(gone, 'requested'), '1')).outcome, 'changed-meanwhile');
    });
    await check('the same content again is no new version', async () => {
      const before = await store.read('Task', id);
      const again = await store.put(task(id, 'requested'), before?.version ?? '');
      same(again.outcome === 'written' ? again.version : again.outcome, before?.version);
    });
    await check('of six changes of one version one is written', async () => {
      const version = (await store.read('Task', id))?.version ?? '';
      const statuses = ['accepted', 'rejected', 'on-hold', 'cancelled', 'received', 'failed'];
      const results = await Promise.all(statuses.map((status) => store.put(task(id, status), version)));
      same(counted(results.map(({ outcome }) => outcome)), { written: 1, 'changed-meanwhile': 5 });
      const stored = await store.read('Task', id);
      const winner = statuses[results.findIndex(({ outcome }) => outcome === 'written')];
      same([stored?.resource['status'], stored?.version], [winner, String(Number(version) + 1)]);
    });
    await check('a version that was never there is changed meanwhile', async () => {
      same((await store.put(task(id, 'draft'), '99')).outcome, 'changed-meanwhile');
    });
    await check('numbers come back as they were written', async () => {
      const observation = randomUUID();
      const about = `"resourceType":"Observation","id":"${observation}","status":"final","code":{"text":"x"}`;
      same(
        (await server.send('PUT', `/Observation/${observation}`, { body: `{${about},"valueQuantity":{"value":1.00}}` })).status,
        201,
      );
      const read = await store.read('Observation', observation);
      insist(JSON.stringify(at(read?.resource, 'valueQuantity', 'value')).includes('1.00'), 'the number lost its precision');
    });
    await checkClosedConnections({ check }, upstream, id);
  } finally {
    await upstream.close();
  }
}

/** real-servers.md §0.9: answers 400 and 500 close the connection, and say nothing about the server's health. */
async function checkClosedConnections({ check }: Pick<Report, 'check'>, upstream: Upstream, task: string): Promise<void> {
  const { forward } = upstream;
  const statusOf = async (request: Parameters<typeof forward>[0]): Promise<number> => {
    const { status, body } = await forward(request);
    body.resume();
    await new Promise((resolve) => body.once('close', resolve));
    return status;
  };
  const headers = { accept: 'application/fhir+json' };
  const read = { method: 'GET', path: `/Task/${randomUUID()}`, query: '', headers } as const;
  await check('forty answers 400 that close their connection do not open the breaker', async () => {
    const wrong = Array.from({ length: 40 }, () => statusOf({ ...read, path: '/Patient', query: 'no-such-parameter=1' }));
    same(counted((await Promise.all(wrong)).map(String)), { 400: 40 });
    same(await statusOf(read), 404);
  });
  await check('nor do forty refusals of an If-Match that cannot be read (500 in places), one after the other', async () => {
    const body = `{"resourceType":"Task","id":"${task}","status":"completed","intent":"order"}`;
    for (let index = 0; index < 40; index += 1) {
      const condition = { 'content-type': headers.accept, 'if-match': 'W/"abc"' };
      const status = await statusOf({
        ...read,
        method: 'PUT',
        path: `/Task/${task}`,
        headers: { ...headers, ...condition },
        body,
      });
      insist([400, 409, 412, 500].includes(status), `expected a refusal of If-Match, got ${status}`);
    }
    same(await statusOf(read), 404);
  });
  await check('reads and closed connections mixed: every read is answered', async () => {
    const mixed = Array.from({ length: 60 }, (_each, index) =>
      statusOf(index % 3 === 0 ? { ...read, path: '/Patient', query: 'no-such-parameter=1' } : read),
    );
    same(counted((await Promise.all(mixed)).map(String)), { 400: 20, 404: 40 });
  });
}

function tenantOf(server: ServerClient): Tenant {
  return {
    id: 'interop',
    name: 'Interop',
    identity: { did: 'did:nuts:interop' },
    publicUrl: 'http://127.0.0.1:1/interop',
    node: { url: 'http://127.0.0.1:1', generations: ['v1'], introspectionTimeoutMs: 1000, introspectionCacheMs: 0 },
    fhir: {
      url: server.base,
      version: 'STU3',
      login: { kind: 'none' },
      tls: {},
      timeoutMs: 30_000,
      document: 'upstream',
      xml: 'none',
    },
    outbound: {},
    grants: 'ledger',
    useCases: new Map(),
    limits: { concurrentRequests: 64, maxAnswerBytes: 64 * 1024 * 1024, bundleEntries: 20 },
  };
}

function counted(values: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1;
  return counts;
}

/** @throws Unexpected unless both print alike */
export function same(actual: unknown, expected: unknown): void {
  const [got, wanted] = [print(actual), print(expected)];
  insist(got === wanted, `expected ${wanted}, got ${got}`);
}

function print(value: unknown): string {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return value === undefined ? 'undefined' : JSON.stringify(value);
  return JSON.stringify(Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))));
}
