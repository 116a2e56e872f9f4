import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { createFaultInjector } from '../../src/sandbox/faults.ts';
import { startRelay } from '../../src/sandbox/relay.ts';
import type { Relay } from '../../src/sandbox/relay.ts';

const BODY = 'x'.repeat(1000);

/** Speaks raw bytes and gives what came back until the connection ended. */
function raw(port: number, text: string): Promise<string> {
  return new Promise((resolve) => {
    let received = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(text, 'latin1'));
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => (received += chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      resolve(received);
    });
  });
}

const get = (path: string, method = 'GET'): string => `${method} ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`;

describe('an injected fault', () => {
  const faults = createFaultInjector();
  let server: Server;
  let port = 0;
  let worked: string[] = [];
  let workedAt = 0;

  beforeEach(async () => {
    worked = [];
    faults.clear();
    server = createServer((req, res) => {
      void faults.handle(req, res, () => {
        worked.push(`${req.method ?? ''} ${req.url ?? ''}`);
        workedAt = performance.now();
        res.writeHead(201, { 'content-type': 'text/plain', 'content-length': BODY.length });
        res.write(BODY.slice(0, 600));
        res.end(BODY.slice(600));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    port = (server.address() as AddressInfo).port;
  });
  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });

  it('is absent: the answer is whole', async () => {
    const answer = await raw(port, get('/a'));
    expect(answer).toMatch(/^HTTP\/1\.1 201 /);
    expect(answer.endsWith(BODY)).toBe(true);
  });

  it('down: no byte comes back and no work is done', async () => {
    faults.set({ kind: 'down' });
    expect(await raw(port, get('/a'))).toBe('');
    expect(worked).toEqual([]);
  });

  it('slow: the work is done after the delay, not before', async () => {
    faults.set({ kind: 'slow', delayMs: 150 });
    const start = performance.now();
    expect(await raw(port, get('/a'))).toMatch(/^HTTP\/1\.1 201 /);
    expect(worked).toEqual(['GET /a']);
    expect(workedAt - start).toBeGreaterThan(140);
  });

  it('status: that status, 500 by default, and no work', async () => {
    faults.set({ kind: 'status', status: 429 });
    expect(await raw(port, get('/a'))).toMatch(/^HTTP\/1\.1 429 /);
    faults.set({ kind: 'status' });
    expect(await raw(port, get('/a'))).toMatch(/^HTTP\/1\.1 500 /);
    expect(worked).toEqual([]);
  });

  it('garbage: 200, says JSON, and is none', async () => {
    faults.set({ kind: 'garbage' });
    const answer = await raw(port, get('/a'));
    expect(answer).toMatch(/^HTTP\/1\.1 200 [^]*application\/json/);
    expect(() => JSON.parse(answer.split('\r\n\r\n')[1] ?? '') as unknown).toThrow(SyntaxError);
    expect(worked).toEqual([]);
  });

  it('truncate: the work is done, the head promises more than comes', async () => {
    faults.set({ kind: 'truncate' });
    const answer = await raw(port, get('/a'));
    expect(answer).toMatch(/^HTTP\/1\.1 201 [^]*content-length: 1000/i);
    expect(answer.split('\r\n\r\n')[1]).toBe(BODY.slice(0, 500));
    expect(worked).toEqual(['GET /a']);
  });

  it('lose-answer: the work is done and not a byte comes back', async () => {
    faults.set({ kind: 'lose-answer' });
    expect(await raw(port, get('/a', 'PUT'))).toBe('');
    expect(worked).toEqual(['PUT /a']);
  });

  it('hits only what it matches, and only so many times', async () => {
    faults.set({ kind: 'status', status: 503, match: { method: 'put', path: '/Task' }, times: 2 });
    const statuses = [];
    for (const request of [
      get('/Task/1'),
      get('/Patient/1', 'PUT'),
      get('/Task/1', 'PUT'),
      get('/Task/2', 'PUT'),
      get('/Task/1', 'PUT'),
    ]) {
      statuses.push((await raw(port, request)).slice(9, 12));
    }
    expect(statuses).toEqual(['201', '201', '503', '503', '201']);
  });

  it('yields to a newer one, replaces one with the same match, and ends with clear', async () => {
    faults.set({ kind: 'status', status: 500 });
    faults.set({ kind: 'status', status: 503, match: { path: '/a' } });
    faults.set({ kind: 'status', status: 504, match: { path: '/a' } });
    expect((await raw(port, get('/a'))).slice(9, 12)).toBe('504');
    expect((await raw(port, get('/b'))).slice(9, 12)).toBe('500');
    faults.clear();
    expect((await raw(port, get('/a'))).slice(9, 12)).toBe('201');
  });
});

describe('the relay before a receiver', () => {
  const faults = createFaultInjector();
  let server: Server;
  let relay: Relay;
  let seen: { target: string; rawHeaders: readonly string[]; body: string }[] = [];
  const port = (): number => Number(new URL(relay.url).port);

  beforeEach(async () => {
    seen = [];
    faults.clear();
    server = createServer((req, res) => {
      let body = '';
      req.setEncoding('latin1');
      req.on('data', (chunk: string) => (body += chunk));
      req.on('end', () => {
        seen.push({ target: req.url ?? '', rawHeaders: req.rawHeaders, body });
        res.sendDate = false;
        res.writeHead(202, 'Taken', ['X-One', '1', 'x-ONE', '2', 'Content-Length', '4']);
        res.end('\u0001byt');
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    relay = await startRelay({ target: `http://127.0.0.1:${(server.address() as AddressInfo).port}/tenant`, faults });
  });
  afterEach(async () => {
    await relay.close();
    server.closeAllConnections();
    server.close();
  });

  it('passes target, header lines and bodies unchanged in both directions', async () => {
    const head =
      'POST /a//b/%2e%2E?q=%C3%A9&q HTTP/1.1\r\nHost: Elsewhere:1\r\nx-A: 1\r\nX-a: 2\r\nContent-Length: 3\r\nConnection: close\r\n\r\n';
    const answer = await raw(port(), `${head}a\u00ffb`);
    expect(seen).toEqual([
      {
        target: '/a//b/%2e%2E?q=%C3%A9&q',
        rawHeaders: ['Host', 'Elsewhere:1', 'x-A', '1', 'X-a', '2', 'Content-Length', '3', 'Connection', 'close'],
        body: 'a\u00ffb',
      },
    ]);
    expect(answer).toMatch(/^HTTP\/1\.1 202 Taken\r\nX-One: 1\r\nx-ONE: 2\r\nContent-Length: 4\r\n/);
    expect(answer.endsWith('\u0001byt')).toBe(true);
    expect(answer).not.toMatch(/^date:/im);
  });

  it('lose-answer: the receiver has worked, the caller knows nothing', async () => {
    faults.set({ kind: 'lose-answer' });
    expect(await raw(port(), get('/n', 'POST'))).toBe('');
    expect(seen).toHaveLength(1);
  });

  it('down: the receiver hears nothing', async () => {
    faults.set({ kind: 'down' });
    expect(await raw(port(), get('/n', 'POST'))).toBe('');
    expect(seen).toEqual([]);
  });

  it('destroys the connection where nobody listens behind it', async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    expect(await raw(port(), get('/n'))).toBe('');
  });
});
