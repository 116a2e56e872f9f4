import { afterEach, describe, expect, it } from '@jest/globals';
import { createPinnedClient, type PinnedClient } from '../../src/outbound/pinned.ts';
import { json, NEVER_MS, startRawServer, startServer } from './servers.ts';

const opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((each) => each.close()));
});
function keep<T extends { close(): Promise<void> }>(it: T): T {
  opened.push(it);
  return it;
}
function clientOf(url: string): PinnedClient {
  return keep(
    createPinnedClient({ url, name: 'the node', failed: 'node_unavailable', timedOut: 'upstream_timeout', retryAfterSeconds: 5 }),
  );
}
const get = { method: 'GET', path: '/x', timeoutMs: NEVER_MS } as const;

describe('createPinnedClient', () => {
  it('sends a form with exactly its content type, below the base, on a connection that is kept', async () => {
    const server = keep(await startServer((_request, response) => json(response, { ok: true })));
    const client = clientOf(`${server.url}/node`);
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    for (let i = 0; i < 3; i += 1) {
      const answer = await client.call({
        method: 'POST',
        path: '/introspect',
        headers,
        body: 'token=a.b.c',
        timeoutMs: NEVER_MS,
      });
      expect(answer.status).toBe(200);
      expect(answer.body.toString()).toBe('{"ok":true}');
      expect(answer.header('content-type')).toBe('application/fhir+json');
    }
    expect(server.received[0]).toMatchObject({ method: 'POST', target: '/node/introspect', body: 'token=a.b.c' });
    expect(server.received[0]?.headers['content-type']).toBe('application/x-www-form-urlencoded');
    expect(server.received[0]?.headers['accept-encoding']).toBe('identity');
  });

  it('gives statuses of all kinds as answers, but a redirect is a failure and is not followed', async () => {
    const other = keep(await startServer((_request, response) => json(response, {})));
    const server = keep(
      await startServer(({ target }, response) => {
        if (target === '/x') response.writeHead(307, { location: other.url }).end();
        else json(response, {}, Number(target.slice(1)));
      }),
    );
    const client = clientOf(server.url);
    for (const status of [200, 404, 409, 503])
      await expect(client.call({ ...get, path: `/${status}` })).resolves.toMatchObject({ status });
    await expect(client.call(get)).rejects.toMatchObject({ code: 'node_unavailable', options: { retryAfterSeconds: 5 } });
    expect(other.received).toHaveLength(0);
  });

  it('ends with its deadline: silence, and a drip of bytes', async () => {
    const silent = keep(await startServer(() => undefined));
    await expect(clientOf(silent.url).call({ ...get, timeoutMs: 300 })).rejects.toMatchObject({ code: 'upstream_timeout' });
    const drip = keep(
      await startServer((_request, response) => {
        const timer = setInterval(() => response.write(' '), 20);
        response.on('close', () => clearInterval(timer));
      }),
    );
    await expect(clientOf(drip.url).call({ ...get, timeoutMs: 300 })).rejects.toMatchObject({ code: 'upstream_timeout' });
  });

  it('reads no more than it may, whether the length is told or not', async () => {
    const told = keep(await startServer((_request, response) => json(response, 'x'.repeat(10_000_000))));
    await expect(clientOf(told.url).call(get)).rejects.toMatchObject({ code: 'node_unavailable' });
    let written = 0;
    const endless = keep(
      await startServer((_request, response) => {
        const more = (): void => {
          while (!response.destroyed && response.write('x'.repeat(65_536))) written += 65_536;
        };
        response.on('drain', more);
        more();
      }),
    );
    await expect(clientOf(endless.url).call(get)).rejects.toMatchObject({ code: 'node_unavailable' });
    // What the buffers of the connection take, on any system.
    expect(written).toBeLessThan(64_000_000);
  });

  it.each([
    ['closes without a word', ''],
    ['says nothing that is HTTP', 'SSH-2.0-OpenSSH_9\r\n\r\n'],
    ['promises more than it gives', 'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"active":'],
    ['gives more than it promises', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n\r\n{}{}{}'],
    [
      'says how long it is in two ways',
      'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n',
    ],
    ['compresses unasked', 'HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}'],
  ])('fails on a server that %s', async (_what, bytes) => {
    const server = keep(await startRawServer((socket) => socket.end(bytes)));
    const outcome = await clientOf(server.url)
      .call(get)
      .then(
        (answer) => answer.body.toString(),
        (error: unknown) => error,
      );
    // A longer answer than promised may be cut where it was promised to end; nothing else is an answer.
    if (outcome !== '{') expect(outcome).toMatchObject({ code: 'node_unavailable' });
  });

  it('fails on a server that is not there', async () => {
    const server = await startServer(() => undefined);
    await server.close();
    await expect(clientOf(server.url).call(get)).rejects.toMatchObject({ code: 'node_unavailable' });
  });
});
