import { hash, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { Metrics } from '../metrics.ts';
import type { IntrospectionV2 } from '../nuts/introspection.ts';
import type { Tenant } from '../tenant/tenant.ts';
import type { PresentedToken } from './bearer.ts';
import { factsOfV2, parseIntrospectionV1, type Introspected, type TokenFacts } from './facts.ts';

/** The part of the tenant's Nuts node that introspection needs; `nuts` has it. */
export interface IntrospectionNode {
  /** The parsed JSON of the v1 answer, whatever it is. @throws GatewayError `node_unavailable` */
  introspectV1(tenant: Tenant, token: string): Promise<unknown>;
  /** What the node says about a v2 token. @throws GatewayError `node_unavailable` */
  introspectV2(tenant: Tenant, token: string): Promise<IntrospectionV2>;
  /** Whether the node's last `/health`, at most 5 s old, was answered with 200. */
  isHealthy(tenant: Tenant): Promise<boolean>;
}

/** A token that the tenant's node calls active. */
export interface IntrospectedToken {
  readonly facts: TokenFacts;
  /** First 128 bits of the token's SHA-256, hexadecimal, for the audit trail. */
  readonly tokenHash: string;
}

export interface Introspection {
  /**
   * Asks the tenant's node about a token, or remembers what it said at most `introspectionCacheMs` ago.
   * @param fresh for writes: what was said before does not count
   * @throws GatewayError `token_invalid` (401) when it is not active, `node_unavailable` (503) when that cannot be known
   */
  introspect(tenant: Tenant, presented: PresentedToken, fresh: boolean): Promise<IntrospectedToken>;
}

export interface IntrospectionOptions {
  readonly node: IntrospectionNode;
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** Active tokens remembered, over all tenants. Default 20,000. */
  readonly maxTokens?: number;
  /** Inactive tokens remembered for 2 s, per tenant. Default 1,000. */
  readonly maxInactivePerTenant?: number;
}

const NEGATIVE_MS = 2_000;

type Generation = TokenFacts['generation'];

interface Remembered {
  readonly token: IntrospectedToken;
  readonly sinceMs: number;
  readonly untilMs: number;
}

/** Creates the one introspection of the process: router by the token's shape, cache of facts, one call in flight per token. */
export function createIntrospection(options: IntrospectionOptions): Introspection {
  const { node, clock, metrics } = options;
  // Whoever reads the memory of this process, or a dump, finds no tokens and cannot test for one (attack case T26).
  const secret = randomBytes(32).toString('base64');
  const active = new LRUCache<string, Remembered>({ max: options.maxTokens ?? 20_000 });
  const inactive = new Map<string, LRUCache<string, number>>();
  const inFlight = new Map<string, Promise<IntrospectedToken>>();

  function keyOf(tenant: Tenant, generation: Generation, token: string): string {
    // Lengths first, so that no two of them are the same text (attack case TN6). The key is only ever compared here, and the secret has one
    // length, so that a hash over all of it is as good as an HMAC, at a fifth of its price: this is paid on every request.
    const { id, node: at } = tenant;
    return hash('sha256', `${secret}${generation}${id.length}:${id}${at.url.length}:${at.url}${token}`, 'base64');
  }

  function isKnownInactive(tenant: Tenant, key: string, nowMs: number): boolean {
    const sinceMs = inactive.get(tenant.id)?.get(key);
    return sinceMs !== undefined && nowMs >= sinceMs && nowMs < sinceMs + NEGATIVE_MS;
  }

  function rememberInactive(tenant: Tenant, key: string, nowMs: number): void {
    let ofTenant = inactive.get(tenant.id);
    if (ofTenant === undefined) {
      ofTenant = new LRUCache({ max: options.maxInactivePerTenant ?? 1_000 });
      inactive.set(tenant.id, ofTenant);
    }
    ofTenant.set(key, nowMs);
  }

  function rememberActive(tenant: Tenant, key: string, token: IntrospectedToken, nowMs: number): void {
    const untilMs = Math.min(nowMs + tenant.node.introspectionCacheMs, token.facts.expiresAt * 1000);
    // Also false for an `exp` that is no number.
    if (untilMs > nowMs) active.set(key, { token, sinceMs: nowMs, untilMs });
  }

  async function ask(tenant: Tenant, generation: Generation, key: string, token: string): Promise<IntrospectedToken> {
    const askedMs = clock.now().getTime();
    const introspected = await askNode(tenant, generation, token);
    if (!introspected.active) {
      // A sick v1 node calls every token inactive; a v2 node says that it is sick (nuts-node-api.md §1.1, §1.3).
      if (generation === 'v1' && !(await isHealthy(tenant))) {
        metrics.introspections.inc({ tenant: tenant.id, result: 'failed' });
        throw unavailable('the node calls the token inactive, but is not healthy');
      }
      rememberInactive(tenant, key, clock.now().getTime());
      metrics.introspections.inc({ tenant: tenant.id, result: 'inactive' });
      throw inactiveToken();
    }
    metrics.introspections.inc({ tenant: tenant.id, result: 'active' });
    const tokenHash = hash('sha256', token, 'hex').slice(0, 32);
    const result = Object.freeze({ facts: introspected.facts, tokenHash });
    rememberActive(tenant, key, result, askedMs);
    return result;
  }

  async function askNode(tenant: Tenant, generation: Generation, token: string): Promise<Introspected> {
    try {
      switch (generation) {
        case 'v1':
          return parseIntrospectionV1(await node.introspectV1(tenant, token));
        case 'v2':
          return factsOfV2(await node.introspectV2(tenant, token));
      }
    } catch (cause) {
      metrics.introspections.inc({ tenant: tenant.id, result: 'failed' });
      if (cause instanceof GatewayError && cause.code === 'node_unavailable') throw cause;
      throw unavailable('introspection failed', cause);
    }
  }

  async function isHealthy(tenant: Tenant): Promise<boolean> {
    try {
      return await node.isHealthy(tenant);
    } catch {
      return false;
    }
  }

  return {
    introspect: async (tenant, presented, fresh) => {
      const { scheme, token } = presented;
      const generation = generationOf(token);
      // Each at its own endpoint only, and nobody here can say that one of another generation is good. No v1 token is bound to a key.
      if (!tenant.node.generations.includes(generation) || (generation === 'v1' && scheme === 'dpop')) throw inactiveToken();
      const key = keyOf(tenant, generation, token);
      const nowMs = clock.now().getTime();
      if (isKnownInactive(tenant, key, nowMs)) throw inactiveToken();
      if (fresh || tenant.node.introspectionCacheMs <= 0) return ask(tenant, generation, key, token);
      const known = active.get(key);
      if (known !== undefined && nowMs >= known.sinceMs && nowMs < known.untilMs) {
        metrics.introspections.inc({ tenant: tenant.id, result: 'cached' });
        return known.token;
      }
      let asking = inFlight.get(key);
      if (asking === undefined) {
        asking = ask(tenant, generation, key, token).finally(() => inFlight.delete(key));
        inFlight.set(key, asking);
      }
      return asking;
    },
  };
}

/** v1 tokens are JWTs, three parts; everything else is v2 and opaque. */
export function generationOf(token: string): Generation {
  return /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/.test(token) ? 'v1' : 'v2';
}

function inactiveToken(): GatewayError {
  return new GatewayError('token_invalid', 'token is not active');
}

function unavailable(message: string, cause?: unknown): GatewayError {
  return new GatewayError('node_unavailable', message, { retryAfterSeconds: 5, ...(cause === undefined ? {} : { cause }) });
}
