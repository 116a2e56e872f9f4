import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createServer, type RequestListener, type Server } from 'node:http';
import { once } from 'node:events';
import type { MovableClock } from '../../src/clock.ts';
import { GatewayError } from '../../src/errors.ts';
import { createLogger } from '../../src/log.ts';
import { createMetrics } from '../../src/metrics.ts';
import { createNode } from '../../src/nuts/node.ts';
import type { Tenant } from '../../src/tenant/tenant.ts';
import { createAuthenticator } from '../../src/token/authenticate.ts';
import { createIntrospection } from '../../src/token/introspection.ts';
import { createStandingClock } from '../support/clock.ts';
import { until } from '../support/until.ts';
import { tenantOf } from './support.ts';

const IDS = ['a', 'b', 'impatient'] as const;
type Id = (typeof IDS)[number];
/** Nobody waits so long here: who is answered was answered by something else than this. */
const NEVER_MS = 120_000;
const logger = createLogger('silent');
const URL_OF = (id: Id): string => `https://node.example/oauth2/${id}`;

interface Outcome {
  readonly answer: string;
  readonly retryAfterSeconds?: number | undefined;
}
interface Call {
  readonly token: string;
  readonly outcome: Promise<Outcome>;
}

/** `a` and `impatient` have one dead node each, `b` one that works. All is new for each test. */
describe('a dead node (one tenant’s)', () => {
  let closers: (() => unknown)[];
  let clock: MovableClock;
  /** Tokens that the dead nodes were asked about, as far as they have read. */
  let asked: Set<string>;
  /** It takes connections and says nothing, or ends them without a word, or works. */
  let dead: 'silent' | 'hangs up' | 'works';
  let servers: Map<Id, Server>;
  let ask: (id: Id) => Call;

  beforeEach(async () => {
    closers = [];
    clock = createStandingClock();
    asked = new Set();
    dead = 'silent';
    servers = new Map();
    const nowS = clock.now().getTime() / 1000;
    const active = (id: Id) => JSON.stringify({ active: true, iss: URL_OF(id), scope: 'x', iat: nowS, exp: nowS + 60 });
    const tenants = new Map<string, Tenant>();
    for (const id of IDS) {
      const works: RequestListener = (_request, response) => response.end(active(id));
      const isDead: RequestListener = (request, response) => {
        request.on('data', (chunk: Buffer) => {
          asked.add(chunk.toString().replace('token=', ''));
          if (dead === 'hangs up') request.socket.destroy();
          if (dead === 'works') works(request, response);
        });
      };
      const server = createServer(id === 'b' ? works : isDead).listen(0, '127.0.0.1');
      servers.set(id, server);
      await once(server, 'listening');
      closers.push(
        () => server.close(),
        () => server.closeAllConnections(),
      );
      const address = server.address();
      const url = `http://127.0.0.1:${String(typeof address === 'object' && address !== null ? address.port : 0)}`;
      const introspectionTimeoutMs = id === 'impatient' ? 100 : NEVER_MS;
      const node = { url, generations: ['v2'] as const, introspectionTimeoutMs, introspectionCacheMs: 0 };
      tenants.set(id, tenantOf(id, { did: '', url: URL_OF(id), node }));
    }
    const nodes = new Map([...tenants].map(([id, tenant]) => [id, createNode({ tenant, clock, logger })]));
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
    ask = (id) => {
      count += 1;
      const token = `token-${String(count)}`;
      const request = { authorization: `Bearer ${token}`, dpop: undefined, method: 'GET', target: `/${id}/fhir/Task/1` };
      const outcome = authenticator.authenticate(tenants.get(id)!, request, false).then(
        () => ({ answer: 'accepted' }),
        (error: unknown) => {
          if (!(error instanceof GatewayError)) throw error;
          return { answer: error.code, retryAfterSeconds: error.options.retryAfterSeconds };
        },
      );
      return { token, outcome };
    };
  });
  // Ends what a failed test left waiting as well.
  afterEach(async () => {
    for (const close of closers) await close();
  });

  const askAll = (id: Id, count: number): readonly Call[] => Array.from({ length: count }, () => ask(id));
  const outcomes = (calls: readonly Call[]): Promise<readonly Outcome[]> => Promise.all(calls.map(({ outcome }) => outcome));
  const answers = async (calls: readonly Call[]) => new Set((await outcomes(calls)).map(({ answer }) => answer));
  /** From now on the dead nodes end what they were asked without a word. */
  const hangUp = (): void => {
    dead = 'hangs up';
    servers.get('a')?.closeAllConnections();
  };
  /** Fails until it is left alone. */
  const failRepeatedly = async (): Promise<void> => {
    hangUp();
    expect(await answers(askAll('a', 5))).toEqual(new Set(['node_unavailable']));
  };

  it('changes nothing for another’s: its callers wait for theirs and for no other', async () => {
    let ended = 0;
    const waiting = askAll('a', 100);
    for (const { outcome } of waiting) void outcome.finally(() => (ended += 1));
    await until(() => asked.size > 0);
    expect(await answers(askAll('b', 20))).toEqual(new Set(['accepted']));
    expect(ended).toBe(0);
    hangUp();
    expect(await answers(waiting)).toEqual(new Set(['node_unavailable']));
  });

  it('is left alone once it has failed repeatedly: 503 without asking it, with the time after which to come back', async () => {
    await failRepeatedly();
    // Whoever asked it now would wait for ever.
    dead = 'silent';
    const refused = askAll('a', 20);
    for (const { answer, retryAfterSeconds } of await outcomes(refused))
      expect({ answer, retryAfterSeconds }).toEqual({ answer: 'node_unavailable', retryAfterSeconds: 2 });
    expect(refused.filter(({ token }) => asked.has(token))).toEqual([]);
    expect(await answers(askAll('b', 1))).toEqual(new Set(['accepted']));
  });

  it('is left alone too when it fails by saying nothing in the time that its tenant allows', async () => {
    for (let i = 0; i < 5; i += 1)
      expect(await ask('impatient').outcome).toMatchObject({ answer: 'node_unavailable', retryAfterSeconds: 5 });
    const { token, outcome } = ask('impatient');
    expect(await outcome).toEqual({ answer: 'node_unavailable', retryAfterSeconds: 2 });
    expect(asked).not.toContain(token);
  });

  it('is tried by one caller after a while, and by all once that one was answered', async () => {
    await failRepeatedly();
    dead = 'silent';
    clock.advance(3);
    const tried = ask('a');
    await until(() => asked.has(tried.token));
    // While that one waits.
    const other = ask('a');
    expect(await other.outcome).toEqual({ answer: 'node_unavailable', retryAfterSeconds: 2 });
    expect(asked).not.toContain(other.token);
    hangUp();
    expect((await tried.outcome).answer).toBe('node_unavailable');
    dead = 'works';
    clock.advance(3);
    expect((await ask('a').outcome).answer).toBe('accepted');
    expect(await answers(askAll('a', 10))).toEqual(new Set(['accepted']));
  });
});
