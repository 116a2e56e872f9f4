import { afterEach, describe, expect, it } from '@jest/globals';
import { createServer, type RequestListener, type Server } from 'node:http';
import { once } from 'node:events';
import { GatewayError } from '../../src/errors.ts';
import { createLogger } from '../../src/log.ts';
import { createMetrics } from '../../src/metrics.ts';
import { createNode } from '../../src/nuts/node.ts';
import type { Tenant } from '../../src/tenant/tenant.ts';
import { createAuthenticator } from '../../src/token/authenticate.ts';
import { createIntrospection } from '../../src/token/introspection.ts';
import { clock, CUSTODIAN, nowSeconds, PURPOSE, REQUESTER, said, tenantOf } from './support.ts';

const TOKEN = 'eyJ.1.sig';
const metrics = createMetrics(false);
const shows = (authorization: string) => ({ authorization, dpop: undefined, method: 'GET', target: '/a/fhir/Task/1' });

/** An authenticator at a node that says what it is told. */
function setUp(answer: (tenant: Tenant, token: string) => unknown = () => said()) {
  const node = { asked: 0, healthy: true };
  const introspection = createIntrospection({
    clock,
    metrics,
    maxInactivePerTenant: 10,
    node: {
      introspectV1: async (tenant, token) => {
        node.asked += 1;
        await Promise.resolve();
        return answer(tenant, token);
      },
      introspectV2: () => {
        node.asked += 1;
        return Promise.resolve({ active: false });
      },
      isHealthy: () => Promise.resolve(node.healthy),
    },
  });
  const authenticator = createAuthenticator({ introspection, clock, proofIds: { use: () => Promise.resolve(false) } });
  const ask = async (tenant = tenantOf(), token = TOKEN, fresh = false): Promise<string> => {
    try {
      await authenticator.authenticate(tenant, shows(`Bearer ${token}`), fresh);
      return 'accepted';
    } catch (error) {
      return error instanceof GatewayError ? error.code : String(error);
    }
  };
  return { node, ask, authenticator };
}

describe('a token that its node calls active', () => {
  it('gives the organisation, the purpose and a hash, and nothing of the token itself', async () => {
    const { authenticator } = setUp();
    const caller = await authenticator.authenticate(tenantOf(), shows(`Bearer ${TOKEN}`), false);
    expect(caller).toMatchObject({
      purposes: [PURPOSE],
      dropped: [],
      subject: { organization: { id: REQUESTER }, credentials: [] },
    });
    expect(caller.tokenHash).toMatch(/^[0-9a-f]{32}$/);
    expect(JSON.stringify(caller)).not.toContain(TOKEN);
    expect(Object.isFrozen(caller.subject)).toBe(true);
  });

  it.each<[string, object]>([
    ['an empty audience', { aud: '' }],
    ['no audience', { aud: undefined }],
    ['our DID as audience', { aud: CUSTODIAN }],
    ['our address as audience', { aud: 'https://gate.example/a' }],
    ['a clock that is a minute ahead', { iat: nowSeconds() + 55, exp: nowSeconds() + 110 }],
  ])('is accepted with %s', async (_what, change) => {
    expect(await setUp(() => said(change)).ask()).toBe('accepted');
  });

  it.each<[string, object]>([
    ['T4 expired', { exp: nowSeconds() - 1, iat: nowSeconds() - 61 }],
    ['T6 exp as text', { exp: String(nowSeconds() + 60) }],
    ['T6 exp negative', { exp: -5 }],
    ['T6 exp zero', { exp: 0 }],
    ['T6 exp in milliseconds', { exp: (nowSeconds() + 60) * 1000 }],
    ['T6 exp beyond numbers', { exp: 1e20 }],
    ['T6 exp not a number', { exp: NaN }],
    ['T6 exp a fraction', { exp: nowSeconds() + 0.5 }],
    ['T6 exp missing', { exp: undefined }],
    ['T7 iat in the future', { iat: nowSeconds() + 120, exp: nowSeconds() + 150 }],
    ['T7 iat missing', { iat: undefined }],
    ['T7 iat as text', { iat: String(nowSeconds()) }],
    ['T7 iat after exp', { iat: nowSeconds() + 50, exp: nowSeconds() + 40 }],
    ['lives for a day', { exp: nowSeconds() + 86_400 }],
    ['T8 of another tenant', { iss: 'did:nuts:b' }],
    ['T9 iss missing', { iss: undefined }],
    ['T9 iss a list', { iss: [CUSTODIAN] }],
    ['T9 iss with a slash', { iss: `${CUSTODIAN}/` }],
    ['T9 iss in another case', { iss: CUSTODIAN.toUpperCase() }],
    ['T9 iss with dots', { iss: `${CUSTODIAN}/a/../b` }],
    ['T9 iss with a blank', { iss: `${CUSTODIAN} ` }],
    ['T10 aud of another', { aud: 'https://other.example' }],
    ['T10 aud ours among others', { aud: [CUSTODIAN, 'https://other.example'] }],
    ['T10 aud a number', { aud: 7 }],
    ['T10 aud an empty list', { aud: [] }],
  ])('is not accepted all the same: %s', async (_what, change) => {
    expect(await setUp(() => said(change)).ask()).toBe('token_invalid');
  });

  it('lives no longer than its tenant allows, to the second', async () => {
    const ask = (life: number, maxTokenLifeSeconds?: number) => {
      const iat = nowSeconds() - 10;
      const node = maxTokenLifeSeconds === undefined ? {} : { maxTokenLifeSeconds };
      return setUp(() => said({ iat, exp: iat + life })).ask(tenantOf('a', { node }));
    };
    expect(await Promise.all([ask(60, 60), ask(900, 900), ask(3600), ask(7200, 7200)])).toEqual(Array(4).fill('accepted'));
    expect(await Promise.all([ask(61, 60), ask(901, 900), ask(3601), ask(7201, 7200)])).toEqual(Array(4).fill('token_invalid'));
  });

  it('of an organisation is not accepted at a tenant without an identity (T34)', async () => {
    expect(await setUp(() => said({ iss: '' })).ask(tenantOf('a', { did: '' }))).toBe('token_invalid');
  });
});

describe('a token that is not active', () => {
  it.each<[string, unknown]>([
    ['false', { active: false }],
    ['T2 as text', { ...said(), active: 'true' }],
    ['T2 as number', { ...said(), active: 1 }],
    ['T2 missing', { ...said(), active: undefined }],
    ['T2 null', { ...said(), active: null }],
    ['T2 a list', { ...said(), active: [true] }],
  ])('is 401, and only the boolean true is active: %s (check 3)', async (_what, answer) => {
    expect(await setUp(() => answer).ask()).toBe('token_invalid');
  });

  it.each([undefined, null, 'active', 7, true, []])('is 503 when the answer is no object: %j (check 4)', async (answer) => {
    expect(await setUp(() => answer).ask()).toBe('node_unavailable');
  });

  it('is 503 at a sick node, and 401 once the node is well: the 503 is not remembered (T20)', async () => {
    const { node, ask } = setUp(() => ({ active: false }));
    node.healthy = false;
    expect(await ask()).toBe('node_unavailable');
    node.healthy = true;
    expect(await ask()).toBe('token_invalid');
    expect(node.asked).toBe(2);
  });

  it('is remembered for two seconds and no longer, for writes too', async () => {
    const { node, ask } = setUp(() => ({ active: false }));
    for (const fresh of [false, false, true]) expect(await ask(tenantOf(), TOKEN, fresh)).toBe('token_invalid');
    expect(node.asked).toBe(1);
    clock.advance(2);
    expect(await ask()).toBe('token_invalid');
    expect(node.asked).toBe(2);
  });

  it('takes no room without end: of many the first are forgotten, and an active one stays remembered (T27)', async () => {
    const { node, ask } = setUp((_tenant, token) => (token === TOKEN ? said() : { active: false }));
    await ask();
    for (let index = 0; index < 100; index += 1) await ask(tenantOf(), `bad.${String(index)}.x`);
    expect(node.asked).toBe(101);
    await ask(tenantOf(), 'bad.99.x');
    expect(node.asked).toBe(101);
    await ask(tenantOf(), 'bad.0.x');
    expect(node.asked).toBe(102);
    expect(await ask()).toBe('accepted');
    expect(node.asked).toBe(102);
  });

  it('is not asked about when no v1 node could know it: opaque, DPoP, or a tenant of v2 alone', async () => {
    const { node, ask, authenticator } = setUp();
    expect(await ask(tenantOf(), 'opaque')).toBe('token_invalid');
    expect(await ask(tenantOf('a', { node: { generations: ['v2'] } }))).toBe('token_invalid');
    await expect(authenticator.authenticate(tenantOf(), shows(`DPoP ${TOKEN}`), false)).rejects.toMatchObject({
      code: 'token_invalid',
    });
    expect(node.asked).toBe(0);
  });
});

describe('what a node said', () => {
  it('is remembered for as long as the tenant sets, never for a write, and never when that is nothing', async () => {
    const { node, ask } = setUp();
    await ask();
    await ask();
    expect(node.asked).toBe(1);
    await ask(tenantOf(), TOKEN, true);
    expect(node.asked).toBe(2);
    clock.advance(6);
    await ask();
    expect(node.asked).toBe(3);
    const none = tenantOf('a', { node: { introspectionCacheMs: 0 } });
    await ask(none, 'eyJ.2.sig');
    await ask(none, 'eyJ.2.sig');
    expect(node.asked).toBe(5);
  });

  it('is judged anew at every use: remembered facts expire with the token (T24)', async () => {
    const answer = said({ iat: nowSeconds() - 55, exp: nowSeconds() + 2 });
    const { node, ask } = setUp(() => answer);
    expect(await ask()).toBe('accepted');
    expect(await ask()).toBe('accepted');
    expect(node.asked).toBe(1);
    clock.advance(3);
    expect(await ask()).toBe('token_invalid');
  });

  it('is one tenant’s, and one node’s: the same token is asked about anew for another (T25)', async () => {
    const { node, ask } = setUp();
    expect(await ask(tenantOf('a'))).toBe('accepted');
    expect(await ask(tenantOf('b', { did: 'did:nuts:b' }))).toBe('token_invalid');
    expect(await ask(tenantOf('a', { node: { url: 'http://127.0.0.1:2' } }))).toBe('accepted');
    expect(node.asked).toBe(3);
  });

  it('is waited for by all who ask at once: one call is in flight', async () => {
    const { node, ask } = setUp();
    expect(new Set(await Promise.all(Array.from({ length: 20 }, () => ask())))).toEqual(new Set(['accepted']));
    expect(node.asked).toBe(1);
  });

  it('by failing is not remembered: the next one asks again (T20)', async () => {
    let fails = true;
    const { node, ask } = setUp(() => {
      if (fails) throw new Error('DNS');
      return said();
    });
    expect(await ask()).toBe('node_unavailable');
    fails = false;
    expect(await ask()).toBe('accepted');
    expect(node.asked).toBe(2);
  });
});

describe('a node over the wire', () => {
  const open: Server[] = [];
  afterEach(() => {
    for (const server of open.splice(0)) {
      server.closeAllConnections();
      server.close();
    }
  });

  async function askNode(handler: RequestListener): Promise<unknown> {
    const server = createServer(handler);
    open.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const tenant = tenantOf('a', { node: { url: `http://127.0.0.1:${String(port)}`, introspectionTimeoutMs: 300 } });
    const node = createNode({ tenant, clock, logger: createLogger('silent') });
    const introspection = createIntrospection({
      clock,
      metrics,
      node: {
        introspectV1: (_tenant, token) => node.introspectV1(token),
        introspectV2: (_tenant, token) => node.introspectV2(token),
        isHealthy: () => node.isHealthy(),
      },
    });
    try {
      return await introspection.introspect(tenant, { scheme: 'bearer', token: TOKEN }, false);
    } catch (error) {
      return error;
    } finally {
      await node.close();
    }
  }
  const json = { 'content-type': 'application/json' };

  it('is asked with a form and nothing else, and believed when it answers', async () => {
    let asked = '';
    const answer = await askNode((request, response) => {
      asked = `${request.method ?? ''} ${request.url ?? ''} ${request.headers['content-type'] ?? ''}`;
      response.writeHead(200, json).end(JSON.stringify(said()));
    });
    expect(answer).toMatchObject({ facts: { requester: REQUESTER } });
    expect(asked).toBe('POST /internal/auth/v1/accesstoken/introspect application/x-www-form-urlencoded');
  });

  it.each<[string, RequestListener]>([
    ['500', (_request, response) => response.writeHead(500).end()],
    ['404', (_request, response) => response.writeHead(404).end()],
    ['a redirect (T21)', (_request, response) => response.writeHead(302, { location: 'http://127.0.0.1:9/' }).end()],
    ['HTML', (_request, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>')],
    ['garbage', (_request, response) => response.writeHead(200, json).end('{"active":tru')],
    ['two answers in one', (_request, response) => response.writeHead(200, json).end('{"active":false,"active":true}')],
    ['10 MB', (_request, response) => response.writeHead(200, json).end(' '.repeat(10_000_000))],
    ['nothing, for too long', () => undefined],
    ['a connection that breaks', (request) => request.socket.destroy()],
  ])('is 503 with Retry-After when it answers with %s (T20, check 4)', async (_what, handler) => {
    const error = await askNode(handler);
    expect(error).toBeInstanceOf(GatewayError);
    expect(error).toMatchObject({ code: 'node_unavailable', status: 503 });
    expect((error as GatewayError).options.retryAfterSeconds).toBeGreaterThan(0);
  });
});
