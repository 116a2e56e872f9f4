import { afterEach, describe, expect, it } from '@jest/globals';
import type { ServerResponse } from 'node:http';
import { parseJsonText, isJsonObject, type JsonObject } from '../../src/fhir/json.ts';
import { createUpstream } from '../../src/upstream/forward.ts';
import { json, NEVER_MS, startServer, tenantOf, type Received, type TestServer } from '../outbound/servers.ts';
import { createStandingClock } from '../support/clock.ts';

const opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((each) => each.close()));
});

async function setUp(
  answer: (request: Received, response: ServerResponse) => void,
  timeoutMs = NEVER_MS,
): Promise<{ server: TestServer; store: ReturnType<typeof createUpstream>['store'] }> {
  const server = await startServer(answer);
  const upstream = createUpstream(tenantOf({ fhir: { url: `${server.url}/fhir`, timeoutMs } }), { clock: createStandingClock() });
  opened.push(server, upstream);
  return { server, store: upstream.store };
}

function resource(text: string): JsonObject {
  const value = parseJsonText(text);
  if (!isJsonObject(value)) throw new Error('no object');
  return value;
}
const TASK = '{"resourceType":"Task","id":"t1","priority":1.50}';

describe('reads', () => {
  it('give resource and version, marked as a look-up, past caches', async () => {
    const { server, store } = await setUp((_request, response) => json(response, TASK, 200, { etag: 'W/"7"' }));
    const found = await store.read('Task', 't1');
    expect(found?.version).toBe('7');
    expect(JSON.stringify(found?.resource)).toBe(TASK);
    expect(server.received[0]).toMatchObject({ method: 'GET', target: '/fhir/Task/t1' });
    expect(server.received[0]?.headers).toMatchObject({
      'x-sluis-lookup': '1',
      'cache-control': 'no-cache',
      accept: 'application/fhir+json',
    });
  });

  it.each([404, 410])('are undefined for %i', async (status) => {
    const { store } = await setUp((_request, response) => json(response, {}, status));
    await expect(store.read('Task', 't1')).resolves.toBeUndefined();
  });

  it('take the version of the content location or of the resource where there is no tag', async () => {
    const { store } = await setUp(({ target }, response) =>
      target.endsWith('a')
        ? json(response, '{"resourceType":"Task","id":"a"}', 200, { 'content-location': 'http://x/fhir/Task/a/_history/3' })
        : json(response, '{"resourceType":"Task","id":"b","meta":{"versionId":"4"}}'),
    );
    await expect(store.read('Task', 'a')).resolves.toMatchObject({ version: '3' });
    await expect(store.read('Task', 'b')).resolves.toMatchObject({ version: '4' });
  });

  it.each<[string, string, Record<string, string>, number]>([
    ['another resource (X9)', '{"resourceType":"Patient","id":"t1"}', { etag: 'W/"1"' }, 200],
    ['another id', '{"resourceType":"Task","id":"t2"}', { etag: 'W/"1"' }, 200],
    ['no version', '{"resourceType":"Task","id":"t1"}', {}, 200],
    ['a member twice (X25)', '{"resourceType":"Task","id":"t1","id":"t1"}', { etag: 'W/"1"' }, 200],
    ['truncated JSON', '{"resourceType":"Task","id":"t1"', { etag: 'W/"1"' }, 200],
    ['HTML', '<html>', { etag: 'W/"1"', 'content-type': 'text/html' }, 200],
    ['a failure', '{}', {}, 500],
    ['a redirect', '{}', { location: '/' }, 302],
    ['too much', `{"resourceType":"Task","id":"t1","x":"${'x'.repeat(9_000_000)}"}`, { etag: 'W/"1"' }, 200],
  ])('fail on %s', async (_what, body, headers, status) => {
    const { store } = await setUp((_request, response) => json(response, body, status, headers));
    await expect(store.read('Task', 't1')).rejects.toMatchObject({ code: 'upstream_failed' });
  });

  it('end after the tenant’s time, also in a drip', async () => {
    const { store } = await setUp((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/fhir+json' });
      const timer = setInterval(() => response.write(' '), 20);
      response.on('close', () => clearInterval(timer));
    }, 200);
    await expect(store.read('Task', 't1')).rejects.toMatchObject({ code: 'upstream_timeout' });
  });

  it('never leave their type', async () => {
    const { server, store } = await setUp((_request, response) => json(response, TASK));
    for (const [type, id] of [
      ['Task', '../Patient/1'],
      ['Task', '..'],
      ['task', '1'],
      ['Task/1/x', '1'],
      ['Task', '%2e%2e'],
      ['Task', ''],
    ] as const) {
      await expect(store.read(type, id)).rejects.toMatchObject({ code: 'internal' });
    }
    expect(server.received).toHaveLength(0);
  });
});

describe('writes', () => {
  it('keep decimals and name the version that they replace', async () => {
    const { server, store } = await setUp((_request, response) => json(response, TASK, 200, { etag: 'W/"8"' }));
    const result = await store.put(resource(TASK), '7');
    expect(result).toMatchObject({ outcome: 'written', version: '8' });
    expect(server.received[0]).toMatchObject({ method: 'PUT', target: '/fhir/Task/t1', body: TASK });
    expect(server.received[0]?.headers).toMatchObject({ 'if-match': 'W/"7"', 'content-type': 'application/fhir+json' });
    expect(server.received[0]?.headers).not.toHaveProperty('x-sluis-lookup');
  });

  it('create only with version 0, and without a condition with none', async () => {
    const { server, store } = await setUp((_request, response) => json(response, TASK, 201, { etag: 'W/"1"' }));
    await store.put(resource(TASK), 'absent');
    await store.put(resource(TASK));
    expect(server.received.map(({ headers }) => headers['if-match'])).toEqual(['W/"0"', undefined]);
  });

  it.each([409, 412])('are `changed-meanwhile` on %i', async (status) => {
    const { store } = await setUp((_request, response) => json(response, {}, status));
    await expect(store.put(resource(TASK), '7')).resolves.toEqual({ outcome: 'changed-meanwhile' });
  });

  it('of a version that is gone are `changed-meanwhile`; of one that never was fail', async () => {
    const { store } = await setUp((_request, response) => json(response, {}, 404));
    await expect(store.put(resource(TASK), '7')).resolves.toEqual({ outcome: 'changed-meanwhile' });
    await expect(store.put(resource(TASK), 'absent')).rejects.toMatchObject({ code: 'upstream_failed' });
    await expect(store.put(resource(TASK))).rejects.toMatchObject({ code: 'upstream_failed' });
  });

  it('are written also when the answer has no body, or no tag', async () => {
    const { store } = await setUp(({ method }, response) => {
      if (method === 'PUT') response.writeHead(200, { 'content-length': 0 }).end();
      else json(response, TASK, 200, { etag: 'W/"9"' });
    });
    await expect(store.put(resource(TASK), '7')).resolves.toMatchObject({ outcome: 'written', version: '9' });
  });

  it.each([400, 422])('that the server does not accept (%i) say so', async (status) => {
    const { store } = await setUp((_request, response) => json(response, {}, status));
    await expect(store.put(resource(TASK))).rejects.toMatchObject({
      code: 'upstream_failed',
      options: { reason: 'upstream_rejected' },
    });
  });

  it('of something without type and id are ours to refuse', async () => {
    const { server, store } = await setUp((_request, response) => json(response, TASK));
    for (const text of [
      '{}',
      '{"resourceType":"Task"}',
      '{"resourceType":"Task","id":"../x"}',
      '{"resourceType":"Nope","id":"1"}',
    ]) {
      await expect(store.put(resource(text))).rejects.toMatchObject({ code: 'internal' });
    }
    expect(server.received).toHaveLength(0);
  });
});
