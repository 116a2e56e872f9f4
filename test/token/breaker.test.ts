import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createServer, type RequestListener, type Server } from 'node:http';
import { once } from 'node:events';
import { GatewayError } from '../../src/errors.ts';
import { createLogger } from '../../src/log.ts';
import { createMetrics } from '../../src/metrics.ts';
import { createNode } from '../../src/nuts/node.ts';
import type { Tenant } from '../../src/tenant/tenant.ts';
import { createAuthenticator } from '../../src/token/authenticate.ts';
import { createIntrospection } from '../../src/token/introspection.ts';
import { clock, nowSeconds, tenantOf } from './support.ts';

const TIMEOUT_MS = 300;
const URL_OF = (id: string): string => `https://node.example/oauth2/${id}`;

describe('a dead node (one tenant’s)', () => {
  const closers: (() => unknown)[] = [];
  /** Tokens that the dead node was asked about, as far as it has read. */
  const asked = new Set<string>();
  const state = { dead: true };
  let ask: (
    id: 'a' | 'b',
  ) => Promise<{ readonly token: string; readonly answer: string; readonly ms: number; readonly retryAfterSeconds?: number }>;

  beforeAll(async () => {
    const active = (id: string) =>
      JSON.stringify({ active: true, iss: URL_OF(id), scope: 'x', iat: nowSeconds(), exp: nowSeconds() + 60 });
    const tenants = new Map<string, Tenant>();
    const serve = async (id: 'a' | 'b', handler: RequestListener) => {
      const server: Server = createServer(handler).listen(0, '127.0.0.1');
      await once(server, 'listening');
      const address = server.address();
      const url = `http://127.0.0.1:${String(typeof address === 'object' && address !== null ? address.port : 0)}`;
      closers.push(
        () => server.close(),
        () => server.closeAllConnections(),
      );
      const node = { url, generations: ['v2'] as const, introspectionTimeoutMs: TIMEOUT_MS, introspectionCacheMs: 0 };
      tenants.set(id, tenantOf(id, { did: '', url: URL_OF(id), node }));
    };
    // It takes connections and says nothing.
    await serve('a', (request, response) => {
      request.on('data', (chunk: Buffer) => asked.add(chunk.toString().replace('token=', '')));
      if (!state.dead) response.end(active('a'));
    });
    await serve('b', (_request, response) => response.end(active('b')));
    const nodes = new Map(
      [...tenants].map(([id, tenant]) => [id, createNode({ tenant, clock, logger: createLogger('silent') })]),
    );
    closers.unshift(...[...nodes.values()].map((node) => () => node.close()));
    const introspection = createIntrospection({
      clock,
      metrics: createMetrics(false),
      node: {
        introspectV1: (tenant, token) => nodes.get(tenant.id)!.introspectV1(token),
        introspectV2: (tenant, token) => nodes.get(tenant.id)!.introspectV2(token),
        isHealthy: (tenant) => nodes.get(tenant.id)!.isHealthy(),
      },
    });
    const authenticator = createAuthenticator({ introspection, clock, proofIds: { use: () => Promise.resolve(true) } });
    let count = 0;
    ask = async (id) => {
      count += 1;
      const token = `token-${String(count)}`;
      const started = performance.now();
      const request = {
        authorization: `Bearer ${token}`,
        dpop: undefined,
        method: 'GET',
        target: `/${id}/fhir/Task/1`,
      };
      const outcome = await authenticator.authenticate(tenants.get(id)!, request, false).then(
        () => ({ answer: 'accepted' }),
        (error: unknown) => {
          if (!(error instanceof GatewayError)) throw error;
          return { answer: error.code, retryAfterSeconds: error.options.retryAfterSeconds ?? 0 };
        },
      );
      return { ...outcome, token, ms: performance.now() - started };
    };
    await ask('b');
  });
  afterAll(async () => {
    for (const close of closers) await close();
  });

  it('changes nothing for another’s: its callers wait for theirs and for no other', async () => {
    const dead = Array.from({ length: 100 }, () => ask('a'));
    const others = await Promise.all(Array.from({ length: 20 }, () => ask('b')));
    expect(others.every(({ answer }) => answer === 'accepted')).toBe(true);
    expect(Math.max(...others.map(({ ms }) => ms))).toBeLessThan(TIMEOUT_MS * 0.7);
    expect(new Set((await Promise.all(dead)).map(({ answer }) => answer))).toEqual(new Set(['node_unavailable']));
  });

  it('is left alone once it has failed repeatedly: 503 at once, with the time after which to come back', async () => {
    const refused = await Promise.all(Array.from({ length: 20 }, () => ask('a')));
    for (const { token, answer, ms, retryAfterSeconds } of refused) {
      expect(answer).toBe('node_unavailable');
      expect(ms).toBeLessThan(TIMEOUT_MS / 2);
      expect(retryAfterSeconds).toBeGreaterThan(0);
      expect(asked).not.toContain(token);
    }
  });

  it('is tried by one caller after a while, and by all once that one was answered', async () => {
    clock.advance(3);
    const waiting = ask('a');
    const other = await ask('a');
    expect(other.ms).toBeLessThan(TIMEOUT_MS / 2);
    const tried = await waiting;
    expect(tried.answer).toBe('node_unavailable');
    expect([asked.has(tried.token), asked.has(other.token)]).toEqual([true, false]);
    state.dead = false;
    clock.advance(3);
    expect((await ask('a')).answer).toBe('accepted');
    const all = await Promise.all(Array.from({ length: 10 }, () => ask('a')));
    expect(all.every(({ answer }) => answer === 'accepted')).toBe(true);
  });
});
