import { hash, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { Metrics } from '../metrics.ts';
import type { Tenant } from '../tenant/tenant.ts';
import type { PresentedToken } from './bearer.ts';
import { parseIntrospectionV1, type TokenFacts } from './facts.ts';

/** The part of the tenant's Nuts node that introspection needs; `nuts` has it. */
export interface IntrospectionNode {
  /** The parsed JSON of the v1 answer, whatever it is. @throws GatewayError `node_unavailable` */
  introspectV1(tenant: Tenant, token: string): Promise<unknown>;
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

  function keyOf(tenant: Tenant, token: string): string {
    // Lengths first, so that no two triples are the same text (attack case TN6). The key is only ever compared here, and the secret has one
    // length, so that a hash over all of it is as good as an HMAC, at a fifth of its price: this is paid on every request.
    const { id, node: at } = tenant;
    return hash('sha256', `${secret}${id.length}:${id}${at.url.length}:${at.url}${token}`, 'base64');
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

  async function ask(tenant: Tenant, key: string, token: string): Promise<IntrospectedToken> {
    const askedMs = clock.now().getTime();
    const introspected = await askNode(tenant, token);
    if (!introspected.active) {
      if (!(await isHealthy(tenant))) {
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

  async function askNode(tenant: Tenant, token: string) {
    try {
      return parseIntrospectionV1(await node.introspectV1(tenant, token));
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
      const shape = shapeOf(presented.token);
      // Opaque tokens are generation v2, and nobody here can say that one is good.
      if (shape === 'opaque' || presented.scheme === 'dpop' || !tenant.node.generations.includes('v1')) throw inactiveToken();
      const key = keyOf(tenant, presented.token);
      const nowMs = clock.now().getTime();
      if (isKnownInactive(tenant, key, nowMs)) throw inactiveToken();
      if (fresh || tenant.node.introspectionCacheMs <= 0) return ask(tenant, key, presented.token);
      const known = active.get(key);
      if (known !== undefined && nowMs >= known.sinceMs && nowMs < known.untilMs) {
        metrics.introspections.inc({ tenant: tenant.id, result: 'cached' });
        return known.token;
      }
      let asking = inFlight.get(key);
      if (asking === undefined) {
        asking = ask(tenant, key, presented.token).finally(() => inFlight.delete(key));
        inFlight.set(key, asking);
      }
      return asking;
    },
  };
}

/** v1 tokens are JWTs, three parts; everything else is v2 and opaque. */
export function shapeOf(token: string): 'jwt' | 'opaque' {
  return /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/.test(token) ? 'jwt' : 'opaque';
}

function inactiveToken(): GatewayError {
  return new GatewayError('token_invalid', 'token is not active');
}

function unavailable(message: string, cause?: unknown): GatewayError {
  return new GatewayError('node_unavailable', message, { retryAfterSeconds: 5, ...(cause === undefined ? {} : { cause }) });
}
