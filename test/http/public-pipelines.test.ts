import { afterEach, describe, expect, it } from '@jest/globals';
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { openPublicListener } from '../../src/http/public.ts';
import type { Listener } from '../../src/http/server.ts';
import { createLogger } from '../../src/log.ts';
import { createMetrics } from '../../src/metrics.ts';
import type { Reply } from '../../src/pep/reply.ts';
import type { Received } from '../../src/pep/stages.ts';
import { until } from '../support/until.ts';

// The listener alone, before a gate that does what the test says: what happens to requests that are sent before an answer has come.

const open: { listener: Listener; sockets: Socket[] }[] = [];
afterEach(async () => {
  for (const { listener, sockets } of open.splice(0)) {
    for (const socket of sockets) socket.destroy();
    await listener.drain(0).catch(() => undefined);
  }
});

const bytes = (text: string, status = 200): Reply => ({
  status,
  headers: {},
  body: { kind: 'bytes', bytes: Buffer.from(text) },
  close: false,
  about: { outcome: 'permitted', reason: 'x' },
});

/** A gate whose answers wait for `release`, where the path says `slow`; `events` has what began and what ended. */
async function start(answer: (received: Received) => Promise<Reply> = () => Promise.resolve(bytes('{}')), holdsRefusals = false) {
  const events: string[] = [];
  const refusals: string[] = [];
  const released = Promise.withResolvers<undefined>();
  const listener = await openPublicListener({
    host: '127.0.0.1',
    port: 0,
    trustedProxies: [],
    logger: createLogger('silent'),
    metrics: createMetrics(false),
    gate: {
      enforce: async (received) => {
        const name = received.target.slice('/a/fhir/'.length);
        events.push(`${name} begins`);
        try {
          // What was sent along with it has been read when this goes on.
          for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
          if (name.startsWith('slow')) await released.promise;
          return await answer(received);
        } finally {
          events.push(`${name} ends`);
        }
      },
      refuse: async (_seen, error) => {
        refusals.push(error instanceof Error && 'code' in error ? String(error.code) : '');
        if (holdsRefusals) await released.promise;
        return bytes('refused', error instanceof Error && 'status' in error ? Number(error.status) : 500);
      },
    },
  });
  const sockets: Socket[] = [];
  open.push({ listener, sockets });
  const dial = async (text: string) => {
    const socket = connect({ port: Number(new URL(listener.url).port), host: '127.0.0.1', allowHalfOpen: true });
    sockets.push(socket);
    socket.on('error', () => undefined);
    const got = { text: '', closed: false };
    socket.on('data', (chunk: Buffer) => {
      got.text += chunk.toString('latin1');
    });
    // It answers an end with its own, as a client that is done does.
    socket.on('end', () => socket.end());
    socket.on('close', () => {
      got.closed = true;
    });
    await once(socket, 'connect');
    socket.write(text);
    return { socket, got };
  };
  return { listener, dial, events, refusals, release: () => released.resolve(undefined) };
}

const get = (name: string, headers = ''): string => `GET /a/fhir/${name} HTTP/1.1\r\nHost: x\r\n${headers}\r\n`;
const put = (name: string, headers: string, body: string): string =>
  `PUT /a/fhir/${name} HTTP/1.1\r\nHost: x\r\n${headers}Content-Length: ${String(body.length)}\r\n\r\n${body}`;
const statuses = (text: string): readonly string[] => [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status ?? '');

describe('requests that are sent before the answer to the first', () => {
  it('are judged one after the other, each when the answer to the one before was handed over', async () => {
    const { dial, events } = await start();
    const { got } = await dial(`${get('one')}HEAD /a/fhir/two HTTP/1.1\r\nHost: x\r\n\r\n${get('three')}`);
    await until(() => statuses(got.text).length === 3);
    expect(events).toEqual(['one begins', 'one ends', 'two begins', 'two ends', 'three begins', 'three ends']);
    expect(got.closed).toBe(false);
  });

  it('wait for a body that comes later, and are not taken for it', async () => {
    const { dial, events } = await start(async (received) =>
      bytes(received.hasBody ? Buffer.from(await received.readBody(100)).toString() : '{}'),
    );
    const { got } = await dial(`${put('one', '', get('inside'))}${put('two', '', 'abc')}${get('three')}`);
    await until(() => statuses(got.text).length === 3);
    expect(events).toEqual(['one begins', 'one ends', 'two begins', 'two ends', 'three begins', 'three ends']);
    expect(got.text).toContain(get('inside'));
  });

  it('behind one whose body is refused unread are carried out by nobody', async () => {
    const { dial, events } = await start((received) => Promise.resolve(bytes('{}', received.hasBody ? 415 : 200)));
    const { got } = await dial(`${get('one')}${put('two', 'Content-Encoding: gzip\r\n', 'abc')}${get('three')}${get('four')}`);
    await until(() => got.closed);
    expect(events).toEqual(['one begins', 'one ends', 'two begins', 'two ends']);
    expect(statuses(got.text)).toEqual(['200', '415']);
  });

  it('behind one that asks to close are carried out by nobody', async () => {
    const { dial, events } = await start();
    const { got } = await dial(`${get('one', 'Connection: close\r\n')}${get('two')}`);
    await until(() => got.closed);
    expect(events).toEqual(['one begins', 'one ends']);
    expect(statuses(got.text)).toEqual(['200']);
  });

  it('behind a stream that breaks off are carried out by nobody, and behind one that does not they are', async () => {
    async function* source(fails: boolean): AsyncIterable<Uint8Array> {
      yield Buffer.from('[1');
      await new Promise((resolve) => setImmediate(resolve));
      yield Buffer.from(',2');
      if (fails) throw new Error('broke off');
      yield Buffer.from(']');
    }
    const { dial, events } = await start((received) =>
      Promise.resolve({
        ...bytes(''),
        body: { kind: 'stream', stream: source(received.target.endsWith('bad')), finish: () => Promise.resolve() },
      }),
    );
    const { got } = await dial(`${get('good')}${get('bad')}${get('three')}`);
    await until(() => got.closed);
    expect(events).toEqual(['good begins', 'good ends', 'bad begins', 'bad ends']);
    expect(got.text.split('0\r\n\r\n')).toHaveLength(2);
  });

  it('are dropped with a client that has gone', async () => {
    const { dial, events, release } = await start();
    const { socket, got } = await dial(`${get('slow')}${get('two')}`);
    await until(() => events.length === 1);
    socket.resetAndDestroy();
    await until(() => got.closed);
    // Another connection is served meanwhile.
    const other = await dial(get('other'));
    await until(() => statuses(other.got.text).length === 1);
    release();
    await until(() => events.includes('slow ends'));
    const later = await dial(get('later'));
    await until(() => statuses(later.got.text).length === 1);
    expect(events).not.toContain('two begins');
  });

  it('are answered to a client that has closed its half', async () => {
    const { dial, events } = await start();
    const { socket, got } = await dial(`${get('one')}${get('two')}${get('three')}`);
    socket.end();
    await until(() => got.closed);
    expect(events).toEqual(['one begins', 'one ends', 'two begins', 'two ends', 'three begins', 'three ends']);
    expect(statuses(got.text)).toEqual(['200', '200', '200']);
  });

  it.each([
    ['no request', 'no request\r\n\r\n'],
    ['an unknown method', 'FOO /a/fhir HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['two framings', 'PUT /a/fhir/x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc'],
    ['a header that is none', 'GET /a/fhir/x HTTP/1.1\r\nHost: x\r\nX Y: 1\r\n\r\n'],
  ])('of which the last is %s are answered to a client that has closed its half meanwhile', async (_what, last) => {
    for (const before of ['', get('one'), get('one') + get('two')]) {
      const { dial, release, refusals } = await start(undefined, true);
      const { socket, got } = await dial(before + last);
      socket.end();
      await until(() => refusals.length === 1);
      // Its half has been read to the end, however long the refusal takes.
      const other = await dial(get('other'));
      await until(() => statuses(other.got.text).length === 1);
      release();
      await until(() => got.closed);
      expect(statuses(got.text)).toEqual([...(before.match(/GET/g) ?? []).map(() => '200'), '400']);
    }
  });

  it('and what is none have their answers in order, the last closing', async () => {
    const { dial, events } = await start();
    const { got } = await dial(`${get('one')}${get('two')}\0\r\n\r\n`);
    await until(() => got.closed);
    expect(events).toEqual(['one begins', 'one ends', 'two begins', 'two ends']);
    expect(statuses(got.text)).toEqual(['200', '200', '400']);
  });

  it('of which the last is broken have their answers in order, the broken one its own', async () => {
    const { dial, events } = await start(async (received) => {
      if (!received.hasBody) return bytes('{}');
      const status = await received.readBody(100).then(
        () => 200,
        () => 400,
      );
      return bytes('{}', status);
    });
    const broken = 'PUT /a/fhir/two HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabX';
    const { got } = await dial(`${get('one')}${broken}`);
    await until(() => got.closed);
    expect(events).toEqual(['one begins', 'one ends', 'two begins', 'two ends']);
    expect(statuses(got.text)).toEqual(['200', '400']);
  });

  it('are not begun by a drain, which closes with the answer under way', async () => {
    const { listener, dial, events, release } = await start();
    const { got } = await dial(`${get('slow')}${get('two')}`);
    await until(() => events.length === 1);
    const drained = listener.drain(60_000);
    release();
    await drained;
    await until(() => got.closed);
    expect(events).toEqual(['slow begins', 'slow ends']);
    expect(got.text).toMatch(/connection: close.*\{\}$/is);
  });

  it.each([
    ['requests', get('x', `X-Pad: ${'p'.repeat(8_000)}\r\n`)],
    ['small requests', get('x').repeat(200)],
    ['a body', `${get('x').repeat(30)}PUT /a/fhir/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`],
  ])('are left unread when many wait (%s), and read when they no longer do', async (kind, one) => {
    const { dial, events, release } = await start();
    const { socket, got } = await dial(get('slow'));
    await until(() => events.length === 1);
    const total = 64_000_000;
    const more = kind === 'a body' ? `fa00\r\n${'b'.repeat(64_000)}\r\n` : one.repeat(Math.ceil(64_000 / one.length));
    if (kind === 'a body') socket.write(one);
    for (let sent = 0; sent < total; sent += more.length) socket.write(more);
    // What is handed over stands still when nobody reads: so many looks on end at the same number.
    let [still, before] = [0, 0];
    await until(() => {
      const taken = socket.bytesWritten - socket.writableLength;
      still = taken > 0 && taken === before ? still + 1 : 0;
      before = taken;
      return still === 100;
    });
    expect(socket.writableLength).toBeGreaterThan(total / 2);
    expect(events).toEqual(['slow begins']);
    release();
    const enough = kind === 'a body' ? 32 : 1_000;
    await until(() => events.filter((event) => event.endsWith('ends')).length === enough);
    await until(() => got.closed);
    expect(events.filter((event) => event.endsWith('begins'))).toHaveLength(enough);
  });

  it.each([
    ['it comes first', ''],
    ['it comes behind a request', get('slow')],
  ])('of which one is none and goes on in pieces: %s, and it is refused once', async (_what, before) => {
    const { dial, refusals, release } = await start(undefined, true);
    const { socket, got } = await dial(`${before}no request\r\n\r\n`);
    const other = await dial('');
    for (let piece = 1; piece <= 20; piece += 1) {
      socket.write('nor is this\r\n');
      // Its answer comes after the piece was read.
      other.socket.write(get('other'));
      await until(() => statuses(other.got.text).length === piece);
    }
    release();
    await until(() => got.closed);
    expect(statuses(got.text)).toEqual(before === '' ? ['400'] : ['200', '400']);
    expect(refusals).toEqual(['bad_request']);
  });
});
