import { afterEach, describe, expect, it } from '@jest/globals';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { GatewayError } from '../../src/errors.ts';
import { createUpstream, type Upstream, type UpstreamRequest } from '../../src/upstream/forward.ts';
import { BreakOff } from '../../src/upstream/whole.ts';
import { json, startRawServer, startServer, tenantOf } from '../outbound/servers.ts';
import { createStandingClock } from '../support/clock.ts';
import { until } from '../support/until.ts';

const opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((each) => each.close()));
});
function keep<T extends { close(): Promise<void> }>(it: T): T {
  opened.push(it);
  return it;
}
const clock = createStandingClock();
function upstreamOf(url: string, changes: Parameters<typeof tenantOf>[0] = {}): Upstream {
  return keep(createUpstream(tenantOf({ ...changes, fhir: { url: `${url}/fhir`, ...changes.fhir } }), { clock }));
}
const read: UpstreamRequest = { method: 'GET', path: '/Task/1', query: '', headers: { accept: 'application/fhir+json' } };
const failing = async (call: Promise<unknown>): Promise<unknown> => call.catch((error: unknown) => error);
const whole = async (upstream: Upstream, maxBytes = 1_000, breakOff = new BreakOff()) => upstream.read(read, maxBytes, breakOff);
const HEAD_READ = 'undici:request:headers';
const HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: application/fhir+json\r\n';

describe('an answer that is held whole', () => {
  it('has the headers on the list and all bytes, however many pieces they came in', async () => {
    const server = keep(
      await startServer((_request, response) => {
        response.writeHead(200, { 'content-type': 'application/fhir+json', etag: 'W/"3"', 'x-server': 'theirs' });
        response.write('{"a":');
        setTimeout(() => response.end('1.50}'), 20);
      }),
    );
    const answer = await whole(upstreamOf(server.url));
    expect([answer.status, answer.bytes.toString()]).toEqual([200, '{"a":1.50}']);
    expect([...answer.headers]).toEqual([
      ['content-type', 'application/fhir+json'],
      ['etag', 'W/"3"'],
    ]);
  });

  it('is given once the status is known when it is not 200, and nobody waits for its body', async () => {
    const gone = keep(
      await startServer((_request, response) => {
        response.writeHead(404);
        response.write('the rest never comes');
      }),
    );
    expect(await whole(upstreamOf(gone.url))).toMatchObject({ status: 404, bytes: Buffer.alloc(0) });
    const same = keep(await startServer((_request, response) => response.writeHead(304, { etag: 'W/"3"' }).end()));
    const upstream = upstreamOf(same.url);
    const conditional = { ...read, headers: { 'if-none-match': 'W/"3"' } };
    expect((await upstream.read(conditional, 1_000, new BreakOff())).status).toBe(304);
    expect((await upstream.read(conditional, 1_000, new BreakOff())).status).toBe(304);
  });

  it('may be as large as is allowed, and no larger', async () => {
    const server = keep(await startServer((_request, response) => json(response, 'x'.repeat(1_000))));
    const upstream = upstreamOf(server.url);
    expect((await whole(upstream, 1_000)).bytes).toHaveLength(1_000);
    expect(await failing(whole(upstream, 999))).toMatchObject({
      code: 'upstream_failed',
      options: { reason: 'upstream_too_large' },
    });
    const tenant = upstreamOf(server.url, { limits: { maxAnswerBytes: 999 } });
    expect(await failing(whole(tenant, 1_000))).toMatchObject({
      code: 'upstream_failed',
      options: { reason: 'upstream_broke_off' },
    });
  });

  it('is none when it breaks off, by its length or in the middle of a chunk; the server is not left alone for that', async () => {
    for (const rest of ['content-length: 10\r\n\r\n{"a"', 'transfer-encoding: chunked\r\n\r\n4\r\n{"a"\r\n5\r\n:1']) {
      const server = keep(await startRawServer((socket) => socket.end(HEAD + rest)));
      const upstream = upstreamOf(server.url);
      for (let i = 0; i < 8; i += 1) {
        expect(await failing(whole(upstream))).toMatchObject({ options: { reason: 'upstream_broke_off' } });
      }
      // Never asked twice: an answer had begun.
      expect(server.connections()).toBe(8);
    }
  });

  it('is asked for once more after a reset before its first byte', async () => {
    const ok = `${HEAD}content-length: 2\r\n\r\n{}`;
    const once = keep(await startRawServer((socket, connection) => (connection === 1 ? socket.destroy() : socket.write(ok))));
    expect((await whole(upstreamOf(once.url))).bytes.toString()).toBe('{}');
    const always = keep(await startRawServer((socket) => socket.destroy()));
    expect(await failing(whole(upstreamOf(always.url)))).toMatchObject({ code: 'upstream_failed' });
    expect(always.connections()).toBe(2);
  });

  it('does not come in an encoding that was not asked for', async () => {
    const server = keep(
      await startServer((_request, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end('x')),
    );
    expect(await failing(whole(upstreamOf(server.url)))).toMatchObject({ code: 'upstream_failed' });
  });
});

describe('breaking off', () => {
  const reason = new GatewayError('upstream_timeout', 'the request took too long');

  it('ends a call that waits for its answer, with the reason, and says nothing about the server', async () => {
    const server = keep(await startServer(({ target }, response) => (target.endsWith('slow') ? undefined : json(response, {}))));
    const upstream = upstreamOf(server.url);
    for (let i = 0; i < 8; i += 1) {
      const breakOff = new BreakOff();
      const call = failing(upstream.read({ ...read, path: '/Task/slow' }, 1_000, breakOff));
      await until(() => server.received.length > i);
      breakOff.abort(reason);
      expect(await call).toBe(reason);
    }
    await expect(whole(upstream)).resolves.toMatchObject({ status: 200 });
  });

  it('ends a call in the middle of its answer', async () => {
    const server = keep(await startRawServer((socket) => socket.write(`${HEAD}content-length: 10\r\n\r\n{"a"`)));
    const breakOff = new BreakOff();
    const begun = nextHead();
    const call = failing(whole(upstreamOf(server.url), 1_000, breakOff));
    await begun;
    breakOff.abort(reason);
    expect(await call).toMatchObject({ options: { reason: 'upstream_broke_off', cause: reason } });
  });

  it('keeps a call from being made that has not begun, and does nothing to one that is over', async () => {
    const server = keep(await startServer((_request, response) => json(response, {})));
    const upstream = upstreamOf(server.url, { limits: { concurrentRequests: 2 } });
    const before = new BreakOff();
    before.abort(reason);
    expect(await failing(whole(upstream, 1_000, before))).toBe(reason);
    expect(server.received).toHaveLength(0);
    const after = new BreakOff();
    await whole(upstream, 1_000, after);
    after.abort(reason);
    for (let i = 0; i < 5; i += 1) expect((await whole(upstream)).status).toBe(200);
  });

  it('leaves the tenant its share: whatever ended, its place is free again', async () => {
    const server = keep(await startServer(({ target }, response) => (target.endsWith('slow') ? undefined : json(response, {}))));
    const upstream = upstreamOf(server.url, { limits: { concurrentRequests: 2 } });
    const [one, other] = [new BreakOff(), new BreakOff()];
    const calls = [one, other].map((breakOff) => failing(upstream.read({ ...read, path: '/Task/slow' }, 1_000, breakOff)));
    expect(await failing(whole(upstream))).toMatchObject({ code: 'overloaded' });
    one.abort(reason);
    other.abort(reason);
    await Promise.all(calls);
    expect((await whole(upstream)).status).toBe(200);
  });
});

/** When a client of this process has read the head of an answer. */
function nextHead(): Promise<void> {
  return new Promise((resolve) => {
    const onHead = (): void => {
      unsubscribe(HEAD_READ, onHead);
      // The reader of the answer gets it in this turn.
      setImmediate(resolve);
    };
    subscribe(HEAD_READ, onHead);
  });
}
