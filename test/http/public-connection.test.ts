import { afterEach, describe, expect, it } from '@jest/globals';
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { openPublicListener } from '../../src/http/public.ts';
import type { Listener } from '../../src/http/server.ts';
import { createLogger } from '../../src/log.ts';
import { createMetrics } from '../../src/metrics.ts';
import type { Reply } from '../../src/pep/reply.ts';
import type { Received } from '../../src/pep/stages.ts';
import { until } from '../support/until.ts';

// The listener alone, before a gate that does what the test says: what happens on connections.

const open: { listener: Listener; sockets: Socket[] }[] = [];
afterEach(async () => {
  for (const { listener, sockets } of open.splice(0)) {
    for (const socket of sockets) socket.destroy();
    await listener.drain(0).catch(() => undefined);
  }
});

const about = { outcome: 'permitted', reason: 'x' } as const;
const bytes = (text: string, status = 200): Reply => ({
  status,
  headers: {},
  body: { kind: 'bytes', bytes: Buffer.from(text) },
  close: false,
  about,
});

async function start(enforce: (received: Received) => Promise<Reply>) {
  const listener = await openPublicListener({
    host: '127.0.0.1',
    port: 0,
    trustedProxies: [],
    logger: createLogger('silent'),
    metrics: createMetrics(false),
    gate: {
      enforce,
      refuse: (_seen, error) =>
        Promise.resolve(bytes('refused', error instanceof Error && 'status' in error ? Number(error.status) : 500)),
    },
  });
  const sockets: Socket[] = [];
  open.push({ listener, sockets });
  const dial = async (text: string, paused = false) => {
    const socket = connect(Number(new URL(listener.url).port), '127.0.0.1');
    sockets.push(socket);
    socket.on('error', () => undefined);
    const got = { text: '', bytes: 0, closed: false };
    if (paused) socket.pause();
    else
      socket.on('data', (chunk: Buffer) => {
        got.bytes += chunk.length;
        if (got.text.length < 10_000) got.text += chunk.toString('latin1');
      });
    socket.on('close', () => {
      got.closed = true;
    });
    await once(socket, 'connect');
    socket.write(text);
    return { socket, got };
  };
  return { listener, dial };
}

const GET = 'GET /a/fhir/Task/1 HTTP/1.1\r\nHost: x\r\n\r\n';

describe('a connection', () => {
  it('on which headers are sent in halves is answered with 408 and closed long before the minute that the runtime allows', async () => {
    const { dial } = await start(() => Promise.resolve(bytes('{}')));
    const { got } = await dial('GET /a/fhir/Task/1 HTTP/1.1\r\nHost: x\r\nX-Slow: ');
    const startedMs = performance.now();
    await until(() => got.closed);
    expect(performance.now() - startedMs).toBeLessThan(40_000);
    expect(got.text).toMatch(/^HTTP\/1\.1 408 /);
  }, 240_000);

  it.each([
    ['Transfer-Encoding: identity, chunked', 'POST'],
    ['Transfer-Encoding: gzip, chunked', 'POST'],
    ['Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked', 'POST'],
    ['Transfer-Encoding: chunked', 'GET'],
    ['X_Tenant: b\r\nTransfer-Encoding: chunked', 'POST'],
  ])('that a refused request closes (%s, %s) carries out nothing of what was sent behind it', async (header, method) => {
    const judged: string[] = [];
    const { dial } = await start((received) => {
      judged.push(received.method);
      return Promise.resolve(bytes('{}'));
    });
    const refused = `${method} /a/fhir/Task HTTP/1.1\r\nHost: x\r\n${header}\r\n\r\n0\r\n\r\n`;
    const { got } = await dial(`${GET}${refused}${GET}${GET}`);
    await until(() => got.closed);
    expect(judged).toEqual(['GET']);
    expect(got.text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 400']);
  });

  it('goes on after a whole request, and closes after a body that nobody read', async () => {
    const { dial } = await start((received) => Promise.resolve(bytes(received.method)));
    const { got } = await dial(`${GET}${GET}`);
    await until(() => got.text.split('HTTP/1.1 200').length === 3);
    expect(got.closed).toBe(false);
    const unread = await dial('PUT /a/fhir/Task/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc');
    await until(() => unread.got.closed);
    expect(unread.got).toMatchObject({ closed: true });
    expect(unread.got.text.toLowerCase()).toContain('connection: close');
  });

  it.each([
    [200, 'PUT', '0'],
    [201, 'POST', '0'],
    [202, 'POST', '0'],
    [204, 'DELETE', undefined],
    [304, 'GET', undefined],
    [200, 'HEAD', undefined],
  ])(
    'brings an answer without a body as one of no length, where it has one: %i to %s (RFC 9110 §8.6)',
    async (status, method, length) => {
      const { dial } = await start(() => Promise.resolve({ ...bytes('', status), body: { kind: 'none' } }));
      const { got } = await dial(`${method} /a/fhir/Task HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(2));
      await until(() => got.text.split('\r\n\r\n').length === 3);
      const [head = '', next = ''] = got.text.toLowerCase().split('\r\n\r\n');
      expect(head).not.toContain('transfer-encoding');
      expect(/content-length: (.*)/.exec(head)?.[1]?.trim()).toBe(length);
      expect(next).toMatch(new RegExp(`^http/1.1 ${String(status)} `));
    },
  );

  it('is told to go on with a body only when somebody wants it (H23)', async () => {
    const { dial } = await start(async (received) => {
      if (!received.headers.has('authorization')) return bytes('', 401);
      return bytes(Buffer.from(await received.readBody(100)).toString());
    });
    const head = 'PUT /a/fhir/Task/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n';
    const wanted = await dial(`${head}Authorization: Bearer x\r\n\r\n`);
    await until(() => wanted.got.text.includes('100 Continue'));
    expect(wanted.got.text).toBe('HTTP/1.1 100 Continue\r\n\r\n');
    wanted.socket.write('abc');
    await until(() => wanted.got.text.endsWith('abc'));
    expect(wanted.got.text).toMatch(/HTTP\/1\.1 200 .*abc$/s);
    const unwanted = await dial(`${head}\r\n`);
    await until(() => unwanted.got.closed);
    expect(unwanted.got.text).toMatch(/^HTTP\/1\.1 401 /);
  });

  it('of a slow reader slows down what it reads: not all of it is held here (S6, X20)', async () => {
    let produced = 0;
    let returned = false;
    let ended: object | undefined;
    async function* source(): AsyncIterable<Uint8Array> {
      try {
        for (let count = 0; count < 1_024; count += 1) {
          await Promise.resolve();
          produced += 65_536;
          yield Buffer.alloc(65_536);
        }
      } finally {
        returned = true;
      }
    }
    const { dial } = await start(() =>
      Promise.resolve({
        ...bytes(''),
        body: {
          kind: 'stream',
          stream: source(),
          finish: (sent) => {
            ended = sent;
            return Promise.resolve();
          },
        },
      }),
    );
    const { socket } = await dial(GET, true);
    // Ready for more in the moment in which it is asked, it stands still when the buffers are full: so many looks on end at the same number.
    let [still, before] = [0, 0];
    await until(() => {
      still = produced > 0 && produced === before ? still + 1 : 0;
      before = produced;
      return still === 50;
    });
    expect(produced).toBeLessThan(32_000_000);
    expect(ended).toBeUndefined();
    socket.destroy();
    await until(() => ended !== undefined);
    expect(ended).toMatchObject({ complete: false });
    expect(returned).toBe(true);
  });

  it('is cut off, never ended, when its stream fails, and the record is closed once as incomplete (X17)', async () => {
    const ends: object[] = [];
    async function* source(): AsyncIterable<Uint8Array> {
      yield Buffer.from('{"a":');
      yield Buffer.from('1,');
      await sleep(20);
      throw new Error('broke off');
    }
    const finish = (sent: object): Promise<void> => {
      ends.push(sent);
      return Promise.resolve();
    };
    const { dial } = await start(() => Promise.resolve({ ...bytes(''), body: { kind: 'stream', stream: source(), finish } }));
    const { got } = await dial(GET);
    await until(() => got.closed);
    expect(got.text).toContain('{"a":');
    // A chunked body that had ended well would look whole.
    expect(got.text).not.toContain('0\r\n\r\n');
    expect(ends).toEqual([{ bytes: 5, complete: false }]);
  });

  it('that the caller leaves is told to the gate, and one that it reads to the end is not (S5)', async () => {
    let gone = 0;
    let [arrived, listening] = [0, 0];
    const over = Promise.withResolvers<undefined>();
    const { dial } = await start(async (received) => {
      arrived += 1;
      received.onGone(() => {
        gone += 1;
      });
      listening += 1;
      if (received.target.includes('slow')) await over.promise;
      return bytes('{}');
    });
    const { got } = await dial(GET);
    await until(() => got.text.endsWith('{}'));
    expect(gone).toBe(0);
    const left = await dial(GET.replace('Task/1', 'slow'));
    await until(() => listening === 2);
    left.socket.destroy();
    await until(() => gone > 0);
    expect(gone).toBe(1);
    const reset = await dial(GET.replace('Task/1', 'slow'));
    await until(() => listening === 3);
    reset.socket.resetAndDestroy();
    await until(() => gone > 1);
    expect([gone, arrived]).toEqual([2, 3]);
    over.resolve(undefined);
  });

  it('that the caller half closed still brings its answers (RFC 9112 §9.6)', async () => {
    const { dial } = await start(async (received) => {
      await sleep(100);
      if (received.hasBody) await received.readBody(100);
      return bytes(`done ${received.target}`);
    });
    for (const text of [GET, `${GET}${GET}`]) {
      const { socket, got } = await dial(text);
      socket.end();
      await until(() => got.closed);
      expect(got.text.split('done /a/fhir/Task/1')).toHaveLength(text.length / GET.length + 1);
    }
    const { socket, got } = await dial('PUT /a/fhir/Task/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc');
    socket.end();
    await until(() => got.closed);
    expect(got.text).not.toContain('done');
  });

  it('that has brought a thousand answers closes after the last of them', async () => {
    let asked = 0;
    const { dial } = await start(() => {
      asked += 1;
      return Promise.resolve(bytes('{}'));
    });
    const { got } = await dial(GET.repeat(1_003));
    await until(() => got.closed);
    expect([got.closed, asked]).toEqual([true, 1_000]);
  });
});

describe('a drain', () => {
  it('lets what runs end with Connection: close, closes what is idle, and takes nothing new', async () => {
    const arrived: string[] = [];
    const over = Promise.withResolvers<undefined>();
    const { listener, dial } = await start(async (received) => {
      arrived.push(received.target);
      if (received.target.includes('slow')) await over.promise;
      return bytes('done');
    });
    const idle = await dial(GET);
    await until(() => idle.got.text.endsWith('done'));
    const running = await dial('GET /a/fhir/slow HTTP/1.1\r\nHost: x\r\n\r\n');
    await until(() => arrived.length === 2);
    const drained = listener.drain(60_000);
    await until(() => idle.got.closed);
    expect(running.got.closed).toBe(false);
    await expect(dial(GET)).rejects.toThrow(/ECONNREFUSED/);
    over.resolve(undefined);
    await drained;
    await until(() => running.got.closed);
    expect(running.got.closed).toBe(true);
    expect(running.got.text).toMatch(/connection: close.*done$/is);
  });

  it('cuts off what has not ended in time', async () => {
    let arrived = 0;
    const { listener, dial } = await start(() => {
      arrived += 1;
      return new Promise(() => undefined);
    });
    const { got } = await dial(GET);
    await until(() => arrived === 1);
    await listener.drain(100);
    await until(() => got.closed);
    expect(got).toMatchObject({ text: '', closed: true });
  });
});
