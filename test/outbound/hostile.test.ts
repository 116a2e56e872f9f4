import { afterEach, describe, expect, it } from '@jest/globals';
import { inspect } from 'node:util';
import { createGuardedLookup } from '../../src/outbound/address.ts';
import { createHostileClient, parseRemoteUrl } from '../../src/outbound/hostile.ts';
import { json, memoryLog, NEVER_MS, startRawServer, startServer } from './servers.ts';

const opened: { close(): unknown }[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((each) => each.close()));
});
function keep<T extends { close(): unknown }>(it: T): T {
  opened.push(it);
  return it;
}
const log = memoryLog();
const development = (more: { timeoutMs?: number; maxBytes?: number; maxBinaryBytes?: number } = {}) =>
  keep(createHostileClient({ mode: 'development', tls: {}, logger: log.logger, timeoutMs: NEVER_MS, ...more }));
const TOKEN = 'very.secret.token';

describe('parseRemoteUrl', () => {
  it.each(['https://receiver.example/notify', 'https://receiver.example:8443/x?y=1', 'https://93.184.216.34/x'])(
    'takes %s',
    (url) => {
      expect(parseRemoteUrl(url, 'production').href).toBe(url);
    },
  );

  it.each([
    'http://receiver.example/x',
    'ftp://receiver.example/x',
    'file:///etc/passwd',
    'receiver.example/x',
    '',
    'https://user@receiver.example/',
    'https://user:pass@receiver.example/',
    'https://@receiver.example/',
    'https://receiver.example/x#y',
    'https://receiver.example/x#',
    'https://127.0.0.1/x',
    'https://127.1/x',
    'https://0x7f.1/x',
    'https://2130706433/x',
    'https://[::1]/x',
    'https://[::ffff:127.0.0.1]/x',
    'https://169.254.169.254/latest/meta-data',
    'https://10.0.0.1/x',
  ])('refuses %s in production', (url) => {
    expect(() => parseRemoteUrl(url, 'production')).toThrow(expect.objectContaining({ code: 'upstream_failed' }));
  });

  it('takes http and loopback in development, and still no user name or fragment', () => {
    expect(parseRemoteUrl('http://127.0.0.1:8080/x', 'development').port).toBe('8080');
    expect(() => parseRemoteUrl('http://a@127.0.0.1/x', 'development')).toThrow();
    expect(() => parseRemoteUrl('http://127.0.0.1/x#y', 'development')).toThrow();
  });
});

describe('createHostileClient', () => {
  it('sends the token, the accept and the body, and nothing that a caller may not set', async () => {
    const server = keep(await startServer((_request, response) => json(response, { a: 1 }, 202, { 'X-Seen': 'yes' })));
    const answer = await development().call({
      method: 'PUT',
      url: `${server.url}/Task/1`,
      token: TOKEN,
      json: { resourceType: 'Task' },
      headers: { 'If-Match': 'W/"1"', Authorization: 'Basic x', Host: 'evil', cookie: 'a=b' },
    });
    expect(answer.status).toBe(202);
    expect(answer.headers.get('x-seen')).toBe('yes');
    expect(Buffer.from(answer.body).toString()).toBe('{"a":1}');
    expect(server.received[0]).toMatchObject({ method: 'PUT', target: '/Task/1', body: '{"resourceType":"Task"}' });
    expect(server.received[0]?.headers).toMatchObject({
      authorization: `Bearer ${TOKEN}`,
      accept: 'application/fhir+json',
      'content-type': 'application/fhir+json',
      'if-match': 'W/"1"',
      'accept-encoding': 'identity',
      host: `127.0.0.1:${server.port}`,
    });
    expect(server.received[0]?.headers).not.toHaveProperty('cookie');
  });

  it('posts without a body as an empty one', async () => {
    const server = keep(await startServer((_request, response) => response.writeHead(202).end()));
    await expect(development().call({ method: 'POST', url: `${server.url}/n/1`, token: TOKEN })).resolves.toMatchObject({
      status: 202,
    });
    expect(server.received[0]).toMatchObject({ body: '' });
    expect(server.received[0]?.headers['content-length']).toBe('0');
    expect(server.received[0]?.headers).not.toHaveProperty('content-type');
  });

  it('gives a redirect as an answer and takes the token nowhere else', async () => {
    const thief = keep(await startServer((_request, response) => json(response, {})));
    const server = keep(await startServer((_request, response) => response.writeHead(302, { location: thief.url }).end()));
    await expect(development().call({ method: 'GET', url: server.url, token: TOKEN })).resolves.toMatchObject({ status: 302 });
    expect(thief.received).toHaveLength(0);
  });

  it('uses no proxy of the environment', async () => {
    const proxy = keep(await startServer((_request, response) => json(response, {})));
    const server = keep(await startServer((_request, response) => json(response, {}, 201)));
    process.env['http_proxy'] = proxy.url;
    try {
      await expect(development().call({ method: 'GET', url: server.url, token: TOKEN })).resolves.toMatchObject({ status: 201 });
    } finally {
      delete process.env['http_proxy'];
    }
    expect(proxy.received).toHaveLength(0);
  });

  it('reads bounded answers; a Binary may be larger', async () => {
    const server = keep(await startServer((_request, response) => json(response, 'x'.repeat(50_000))));
    const client = development({ maxBytes: 10_000, maxBinaryBytes: 100_000 });
    await expect(client.call({ method: 'GET', url: `${server.url}/Bundle/1`, token: TOKEN })).rejects.toMatchObject({
      code: 'upstream_failed',
    });
    const binary = await client.call({ method: 'GET', url: `${server.url}/Binary/1`, token: TOKEN });
    expect(binary.body).toHaveLength(50_000);
  });

  it('has one deadline over all: silence and a drip are `upstream_timeout`', async () => {
    const silent = keep(await startServer(() => undefined));
    await expect(development({ timeoutMs: 200 }).call({ method: 'GET', url: silent.url, token: TOKEN })).rejects.toMatchObject({
      code: 'upstream_timeout',
    });
    const drip = keep(
      await startServer((_request, response) => {
        const timer = setInterval(() => response.write(' '), 20);
        response.on('close', () => clearInterval(timer));
      }),
    );
    await expect(development({ timeoutMs: 200 }).call({ method: 'GET', url: drip.url, token: TOKEN })).rejects.toMatchObject({
      code: 'upstream_timeout',
    });
  });

  it.each([
    '',
    'garbage\r\n\r\n',
    'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{',
    'HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}',
  ])('fails on %j, and shows the token nowhere', async (bytes) => {
    const server = keep(await startRawServer((socket) => socket.end(bytes)));
    const error: unknown = await development()
      .call({ method: 'GET', url: server.url, token: TOKEN })
      .catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: 'upstream_failed' });
    expect(inspect(error, { depth: 20 })).not.toContain(TOKEN);
    expect(log.text()).not.toContain(TOKEN);
  });

  it('refuses in production, when connecting, a name that leads to a private address', async () => {
    const lookup = createGuardedLookup((_host, callback) => callback(null, [{ address: '127.0.0.1', family: 4 }]));
    const server = keep(await startServer((_request, response) => json(response, {})));
    const client = keep(createHostileClient({ mode: 'production', tls: {}, logger: log.logger, lookup }));
    await expect(
      client.call({ method: 'GET', url: `https://rebind.example:${server.port}/`, token: TOKEN }),
    ).rejects.toMatchObject({
      code: 'upstream_failed',
      message: expect.stringContaining('not public') as unknown,
    });
    expect(server.received).toHaveLength(0);
  });
});
