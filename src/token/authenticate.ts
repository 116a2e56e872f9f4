import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { Tenant } from '../tenant/tenant.ts';
import type { Subject } from '../usecase/subject.ts';
import { parseAuthorization } from './bearer.ts';
import { filterCredentials, type DroppedCredential } from './credentials.ts';
import { NO_CLAIMS, type TokenFacts } from './facts.ts';
import type { Introspection } from './introspection.ts';

/** Who asks, verified for this tenant and this moment. */
export interface AuthenticatedCaller {
  readonly subject: Subject;
  /** What the token is for: the one purpose (v1), or the scopes (v2). */
  readonly purposes: readonly string[];
  readonly tokenHash: string;
  /** Credentials of the token that do not count, and why: for the operator. */
  readonly dropped: readonly DroppedCredential[];
}

export interface Authenticator {
  /**
   * @param authorization the header's value
   * @param fresh for writes: a remembered introspection does not count
   * @throws GatewayError `token_missing`, `token_invalid` (401), `node_unavailable` (503)
   */
  authenticate(tenant: Tenant, authorization: string | undefined, fresh: boolean): Promise<AuthenticatedCaller>;
}

export interface AuthenticatorOptions {
  readonly introspection: Introspection;
  readonly clock: Clock;
  /** A token with a longer life is not accepted. Default one hour (a node in strict mode gives 60 s). */
  readonly maxTokenLifeSeconds?: number;
}

const MAX_SKEW_SECONDS = 60;
const DEFAULT_MAX_LIFE_SECONDS = 3_600;

/** Creates the authenticator. Everything about the moment, the tenant and the token's purpose is judged on every request, cached facts or not. */
export function createAuthenticator(options: AuthenticatorOptions): Authenticator {
  const maxLifeSeconds = options.maxTokenLifeSeconds ?? DEFAULT_MAX_LIFE_SECONDS;
  return {
    authenticate: async (tenant, authorization, fresh) => {
      const presented = parseAuthorization(authorization);
      const { facts, tokenHash } = await options.introspection.introspect(tenant, presented, fresh);
      const nowMs = options.clock.now().getTime();
      const fault = tokenFault(facts, tenant, nowMs, maxLifeSeconds);
      if (fault !== undefined) throw new GatewayError('token_invalid', fault);
      const { genuine, dropped } = filterCredentials(facts, tenant.identity.did, nowMs);
      // Without a purpose no role is selected, which is a denial (eoverdracht.md §10, 6).
      const purposes = Object.freeze(facts.purpose === '' ? [] : [facts.purpose]);
      const subject: Subject = {
        organization: Object.freeze({ id: facts.requester }),
        scopes: purposes,
        claims: NO_CLAIMS,
        credentials: Object.freeze(genuine),
        ...(facts.user === undefined ? {} : { user: facts.user }),
      };
      return { subject: Object.freeze(subject), purposes, tokenHash, dropped };
    },
  };
}

/** Why a token that its node calls active is not accepted (nuts-node-api.md §1.1, attack cases T4 to T10); undefined when it is. */
export function tokenFault(facts: TokenFacts, tenant: Tenant, nowMs: number, maxLifeSeconds: number): string | undefined {
  // A string and the same: no list, no other case, no slash at its end.
  if (tenant.identity.did === '' || facts.issuer !== tenant.identity.did) return 'token is of another issuer';
  if (!isForUs(facts.audience, tenant)) return 'token is for another audience';
  const { issuedAt, expiresAt } = facts;
  // Written so that NaN fails.
  if (!(expiresAt * 1000 > nowMs)) return 'token has expired';
  if (!(issuedAt * 1000 <= nowMs + MAX_SKEW_SECONDS * 1000)) return 'token is from the future';
  if (!(expiresAt - issuedAt > 0 && expiresAt - issuedAt <= maxLifeSeconds)) return 'token lives too long';
  return undefined;
}

// v1 nodes say "" (nuts-node-api.md §1.1); a token that names an audience names us.
function isForUs(audience: unknown, tenant: Tenant): boolean {
  if (audience === undefined || audience === null || audience === '') return true;
  if (Array.isArray(audience)) return audience.length === 1 && typeof audience[0] === 'string' && isForUs(audience[0], tenant);
  return audience === tenant.identity.did || audience === tenant.publicUrl || audience === `${tenant.publicUrl}/fhir`;
}
