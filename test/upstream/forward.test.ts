import { afterEach, describe, expect, it } from '@jest/globals';
import { buffer } from 'node:stream/consumers';
import { GatewayError } from '../../src/errors.ts';
import { Secret } from '../../src/secret.ts';
import { createUpstream, type Upstream, type UpstreamRequest } from '../../src/upstream/forward.ts';
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
const put: UpstreamRequest = { ...read, method: 'PUT', body: '{}' };
const failing = async (call: Promise<unknown>): Promise<unknown> => call.catch((error: unknown) => error);
const OK = 'HTTP/1.1 200 OK\r\ncontent-type: application/fhir+json\r\ncontent-length: 2\r\n\r\n{}';

describe('forward', () => {
  it('sends exactly what was judged, below the base', async () => {
    const server = keep(await startServer((_request, response) => json(response, '{"a":1.50}')));
    const upstream = upstreamOf(server.url);
    const headers = { accept: 'application/fhir+json', authorization: 'Bearer theirs', cookie: 'x', 'if-match': 'W/"3"' };
    const answer = await upstream.forward({ method: 'PUT', path: '/Task/1', query: 'a=b', headers, body: '{"x":1.0}' });
    expect(answer.status).toBe(200);
    expect((await buffer(answer.body)).toString()).toBe('{"a":1.50}');
    expect(server.received).toHaveLength(1);
    const [seen] = server.received;
    expect(seen).toMatchObject({ method: 'PUT', target: '/fhir/Task/1?a=b', body: '{"x":1.0}' });
    expect(seen?.headers).toEqual({
      host: `127.0.0.1:${server.port}`,
      connection: 'keep-alive',
      accept: 'application/fhir+json',
      'if-match': 'W/"3"',
      'accept-encoding': 'identity',
      'content-length': '9',
    });
  });

  it('logs in as the tenant: basic and bearer', async () => {
    const server = keep(await startServer((_request, response) => json(response, {})));
    const basic = upstreamOf(server.url, {
      fhir: { login: { kind: 'basic', username: 'sluis', password: new Secret('geheim') } },
    });
    const bearer = upstreamOf(server.url, { fhir: { login: { kind: 'bearer', token: new Secret('t0k3n') } } });
    for (const upstream of [basic, bearer]) await buffer((await upstream.forward(read)).body);
    expect(server.received.map(({ headers }) => headers.authorization)).toEqual([
      `Basic ${Buffer.from('sluis:geheim').toString('base64')}`,
      'Bearer t0k3n',
    ]);
  });

  it('logs in with client credentials: one token for many, a new one when it was refused', async () => {
    let issued = 0;
    const server = keep(
      await startServer(({ target, headers }, response) => {
        if (target === '/token') {
          json(response, { access_token: `t${(issued += 1)}`, token_type: 'Bearer', expires_in: 300 });
          return;
        }
        const isRefused = headers.authorization === 'Bearer t1' && issued === 1 && server.received.length > 4;
        json(response, {}, isRefused ? 401 : 200);
      }),
    );
    const login = {
      kind: 'client-credentials',
      tokenUrl: `${server.url}/token`,
      clientId: 'a:b',
      clientSecret: new Secret('s'),
      scope: 'x y',
    } as const;
    const upstream = upstreamOf(server.url, { fhir: { login } });
    await Promise.all([1, 2, 3].map(async () => buffer((await upstream.forward(read)).body)));
    expect(issued).toBe(1);
    const [asked] = server.received;
    expect(asked?.body).toBe('grant_type=client_credentials&scope=x+y');
    expect(asked?.headers.authorization).toBe(`Basic ${Buffer.from('a%3Ab:s').toString('base64')}`);
    const answer = await upstream.forward(read);
    expect(answer.status).toBe(200);
    expect(issued).toBe(2);
    expect(server.received.at(-1)?.headers.authorization).toBe('Bearer t2');
  });

  it.each([400, 403, 404, 409, 410, 412, 422, 500, 503])('gives %i as an answer', async (status) => {
    const server = keep(await startServer((_request, response) => json(response, {}, status)));
    const answer = await upstreamOf(server.url).forward(read);
    expect(answer.status).toBe(status);
    await buffer(answer.body);
  });

  it.each([301, 302, 303, 307, 308, 304, 401, 407])('fails on %i, and follows nothing', async (status) => {
    const other = keep(await startServer((_request, response) => json(response, {})));
    const server = keep(await startServer((_request, response) => response.writeHead(status, { location: other.url }).end()));
    expect(await failing(upstreamOf(server.url).forward(read))).toMatchObject({ code: 'upstream_failed' });
    expect(other.received).toHaveLength(0);
  });

  it('gives 304 to whoever asked for it', async () => {
    const server = keep(await startServer((_request, response) => response.writeHead(304, { etag: 'W/"1"' }).end()));
    const answer = await upstreamOf(server.url).forward({ ...read, headers: { ...read.headers, 'if-none-match': 'W/"1"' } });
    expect(answer.status).toBe(304);
    await buffer(answer.body);
  });

  it('drops 1xx (X30), and fails on 101', async () => {
    const hints = keep(await startRawServer((socket) => socket.write(`HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n${OK}`)));
    const answer = await upstreamOf(hints.url).forward(read);
    expect(answer.status).toBe(200);
    expect([...answer.headers.keys()]).toEqual(['content-type', 'content-length']);
    await buffer(answer.body);
    const switches = keep(
      await startRawServer((socket) =>
        socket.write('HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n'),
      ),
    );
    expect(await failing(upstreamOf(switches.url).forward(read))).toMatchObject({ code: 'upstream_failed' });
  });

  it.each([
    ['garbage', 'NOT HTTP\r\n\r\n'],
    [
      'two ways to tell the length (X18)',
      'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n',
    ],
    ['an encoding unasked (X19)', 'HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}'],
    ['two content types', 'HTTP/1.1 200 OK\r\ncontent-type: a/b\r\ncontent-type: c/d\r\ncontent-length: 2\r\n\r\n{}'],
  ])('fails on %s', async (_what, bytes) => {
    const server = keep(await startRawServer((socket) => socket.write(bytes)));
    const outcome = await failing(
      upstreamOf(server.url)
        .forward(read)
        .then(({ body }) => buffer(body)),
    );
    expect(outcome).toBeInstanceOf(Error);
  });

  it('is `upstream_timeout` when nothing comes, and an error of the body when the rest does not come', async () => {
    const silent = keep(await startServer(() => undefined));
    const soon = upstreamOf(silent.url, { fhir: { timeoutMs: 200 } });
    expect(await failing(soon.forward(read))).toMatchObject({ code: 'upstream_timeout' });
    const stalls = keep(await startRawServer((socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"a":')));
    // Long enough that the head comes within it.
    const answer = await upstreamOf(stalls.url, { fhir: { timeoutMs: 3_000 } }).forward(read);
    await expect(buffer(answer.body)).rejects.toMatchObject({ code: 'UND_ERR_BODY_TIMEOUT' });
  });

  it('never shows a truncated answer as a whole one (X17)', async () => {
    const server = keep(await startRawServer((socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"a":')));
    const chunked = keep(
      await startRawServer((socket) => socket.end('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{"a":\r\n')),
    );
    for (const { url } of [server, chunked]) {
      const answer = await upstreamOf(url).forward(read);
      await expect(buffer(answer.body)).rejects.toThrow();
    }
  });

  it('stops an answer that is larger than the tenant allows (X20)', async () => {
    const server = keep(
      await startServer((_request, response) => {
        const more = (): void => {
          while (!response.destroyed && response.write('x'.repeat(65_536)));
        };
        response.on('drain', more);
        more();
      }),
    );
    const answer = await upstreamOf(server.url, { limits: { maxAnswerBytes: 500_000 } }).forward(read);
    await expect(buffer(answer.body)).rejects.toThrow();
  });

  it('repeats a read once after a reset before the first byte, and never a write', async () => {
    const resetting = await startRawServer((socket, connection) => (connection === 1 ? socket.destroy() : socket.write(OK)));
    const once = keep(resetting);
    const answer = await upstreamOf(once.url).forward(read);
    expect(answer.status).toBe(200);
    await buffer(answer.body);
    const always = keep(await startRawServer((socket) => socket.destroy()));
    expect(await failing(upstreamOf(always.url).forward(read))).toMatchObject({ code: 'upstream_failed' });
    expect(always.connections()).toBe(2);
    const written = keep(await startRawServer((socket) => socket.destroy()));
    expect(await failing(upstreamOf(written.url).forward(put))).toMatchObject({ code: 'upstream_failed' });
    expect(written.connections()).toBe(1);
  });

  it('takes no more than the tenant’s share, and has room again when a body is read or thrown away', async () => {
    const server = keep(await startServer((_request, response) => json(response, {})));
    const upstream = upstreamOf(server.url, { limits: { concurrentRequests: 2 } });
    const [first, second] = [await upstream.forward(read), await upstream.forward(read)];
    expect(await failing(upstream.forward(read))).toMatchObject({ code: 'overloaded', options: { retryAfterSeconds: 1 } });
    await buffer(first.body);
    const thrownAway = new Promise((resolve) => second.body.once('close', resolve));
    second.body.on('error', () => undefined).destroy();
    await thrownAway;
    for (let i = 0; i < 20; i += 1) await buffer((await upstream.forward(read)).body);
  });

  it('ends with the signal, and throws its reason', async () => {
    const server = keep(await startServer(() => undefined));
    const upstream = upstreamOf(server.url);
    const controller = new AbortController();
    const call = failing(upstream.forward({ ...read, signal: controller.signal }));
    const reason = new GatewayError('upstream_timeout', 'the request took too long');
    await until(() => server.received.length === 1);
    controller.abort(reason);
    expect(await call).toBe(reason);
  });

  it('leaves a server that is down alone for a moment, and comes back within 5 s', async () => {
    const moving = createStandingClock();
    const server = await startServer((_request, response) => json(response, {}));
    await server.close();
    const upstream = keep(createUpstream(tenantOf({ fhir: { url: `${server.url}/fhir` } }), { clock: moving }));
    for (let i = 0; i < 5; i += 1) expect(await failing(upstream.forward(read))).toMatchObject({ code: 'upstream_failed' });
    expect(await failing(upstream.forward(read))).toMatchObject({
      message: expect.stringContaining('left alone') as unknown,
      options: { retryAfterSeconds: 2 },
    });
    moving.advance(5);
    expect(await failing(upstream.forward(read))).toMatchObject({ message: expect.stringContaining('ECONNREFUSED') as unknown });
  });

  it('does not leave it alone for what callers bring about: 400, 500 and aborts', async () => {
    const server = keep(
      await startServer(({ target }, response) =>
        target.endsWith('slow') ? undefined : json(response, {}, target.endsWith('500') ? 500 : 400),
      ),
    );
    const upstream = upstreamOf(server.url);
    const many = [1, 2, 3, 4, 5, 6, 7, 8];
    for (const _ of many) await buffer((await upstream.forward({ ...read, path: '/Task/400' })).body);
    for (const _ of many) await buffer((await upstream.forward({ ...read, path: '/Task/500' })).body);
    for (const _ of many) {
      const controller = new AbortController();
      const call = failing(upstream.forward({ ...read, path: '/Task/slow', signal: controller.signal }));
      setTimeout(() => controller.abort(), 5);
      await call;
    }
    await expect(upstream.forward({ ...read, path: '/Task/400' })).resolves.toMatchObject({ status: 400 });
  });
});
