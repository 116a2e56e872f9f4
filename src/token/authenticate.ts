import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { JsonValue } from '../fhir/json.ts';
import type { ProofIds } from '../store/proof-ids.ts';
import { DEFAULT_MAX_TOKEN_LIFE_SECONDS, type Tenant } from '../tenant/tenant.ts';
import type { Subject } from '../usecase/subject.ts';
import { parseAuthorization, type PresentedToken } from './bearer.ts';
import { NOBODY } from './claims.ts';
import { filterCredentials, type DroppedCredential } from './credentials.ts';
import { dpopChallenge, invalidProof, PROOF_MAX_AGE_MS, PROOF_MAX_AHEAD_MS, verifyProof } from './dpop.ts';
import { NO_CLAIMS, type TokenFacts, type TokenFactsV1, type TokenFactsV2 } from './facts.ts';
import { publicAddress } from './htu.ts';
import type { Introspection } from './introspection.ts';

/** Who asks, verified for this tenant and this moment. */
export interface AuthenticatedCaller {
  /** Complete for v1; a v2 token names its organisation in claims, which `mapClaims` reads once the role is known. */
  readonly subject: Subject;
  /** What the token is for: the one purpose (v1), or the scopes (v2). */
  readonly purposes: readonly string[];
  /** v2: all claims, unjudged. A policy never sees these, but what `mapClaims` makes of them. */
  readonly claims?: ReadonlyMap<string, JsonValue>;
  /** Thumbprint of the key that the token is bound to and the caller has proved to hold. */
  readonly proof?: { readonly jkt: string };
  readonly tokenHash: string;
  /** Credentials of the token that do not count, and why: for the operator. */
  readonly dropped: readonly DroppedCredential[];
}

/** What a request shows of who asks, as it came; the edge has refused repeated headers. */
export interface PresentedRequest {
  /** The `Authorization` header's value. */
  readonly authorization: string | undefined;
  /** The `DPoP` header's value. */
  readonly dpop: string | undefined;
  /** In the request line, exact case. */
  readonly method: string;
  /** In the request line, `/{tenant}/…`. */
  readonly target: string;
}

export interface Authenticator {
  /**
   * @param fresh for writes: a remembered introspection does not count
   * @throws GatewayError `token_missing`, `token_invalid` (401), `node_unavailable`, `unavailable` (503)
   */
  authenticate(tenant: Tenant, request: PresentedRequest, fresh: boolean): Promise<AuthenticatedCaller>;
  /**
   * Who a token speaks for, for an operator's question: a proof is neither asked nor used up, whatever the token is bound to. Never for a caller.
   * @throws GatewayError as `authenticate`
   */
  identify(tenant: Tenant, authorization: string, fresh: boolean): Promise<AuthenticatedCaller>;
}

export interface AuthenticatorOptions {
  readonly introspection: Introspection;
  readonly proofIds: ProofIds;
  readonly clock: Clock;
}

const MAX_SKEW_SECONDS = 60;
const NO_CREDENTIALS: Subject['credentials'] = Object.freeze([]);
const NONE_DROPPED: readonly DroppedCredential[] = Object.freeze([]);

/** Creates the authenticator. Everything about the moment, the tenant, the token's purpose and its proof is judged on every request, cached facts or not. */
export function createAuthenticator(options: AuthenticatorOptions): Authenticator {
  const { introspection, proofIds, clock } = options;

  /** RFC 9449 §7.1: a bound token with a proof, an unbound one without the scheme, and neither taken for the other. */
  async function prove(
    tenant: Tenant,
    presented: PresentedToken,
    request: PresentedRequest,
    jkt: string,
  ): Promise<{ readonly jkt: string }> {
    if (presented.scheme !== 'dpop') {
      throw new GatewayError('token_invalid', 'the token is bound to a key, and was shown as a bearer token', {
        reason: 'proof_missing',
        challenge: dpopChallenge('invalid_token'),
      });
    }
    if (request.dpop === undefined) throw invalidProof('is missing');
    const { jti, issuedAtMs } = await verifyProof({
      proof: request.dpop,
      method: request.method,
      url: publicAddress(tenant.publicUrl, request.target),
      token: presented.token,
      jkt,
      nowMs: clock.now().getTime(),
    });
    // Until no gate would take it for its age, also one whose clock is as far off as a caller's may be.
    const expiresAt = new Date(issuedAtMs + PROOF_MAX_AGE_MS + 2 * PROOF_MAX_AHEAD_MS);
    if (!(await proofIds.use({ tenant: tenant.id, jkt, jti, expiresAt }))) throw invalidProof('was used before');
    return { jkt };
  }

  function accept(facts: TokenFacts, tenant: Tenant): number {
    const nowMs = clock.now().getTime();
    const fault = tokenFault(facts, tenant, nowMs);
    if (fault !== undefined) throw new GatewayError('token_invalid', fault);
    return nowMs;
  }

  return {
    authenticate: async (tenant, request, fresh) => {
      const presented = parseAuthorization(request.authorization);
      try {
        const { facts, tokenHash } = await introspection.introspect(tenant, presented, fresh);
        const nowMs = accept(facts, tenant);
        switch (facts.generation) {
          case 'v1':
            return callerOfV1(facts, tenant, tokenHash, nowMs);
          case 'v2': {
            const caller = callerOfV2(facts, tokenHash);
            if (facts.jkt !== undefined) {
              const proof = await prove(tenant, presented, request, facts.jkt);
              // Checking and writing took time.
              accept(facts, tenant);
              return { ...caller, proof };
            }
            // False safety (attack case D3): whoever shows it so believes that it is bound.
            if (presented.scheme === 'dpop') throw new GatewayError('token_invalid', 'the token is bound to no key');
            return caller;
          }
        }
      } catch (error) {
        throw presented.scheme === 'dpop' ? challenged(error) : error;
      }
    },
    identify: async (tenant, authorization, fresh) => {
      const { facts, tokenHash } = await introspection.introspect(tenant, parseAuthorization(authorization), fresh);
      const nowMs = accept(facts, tenant);
      if (facts.generation === 'v1') return callerOfV1(facts, tenant, tokenHash, nowMs);
      const caller = callerOfV2(facts, tokenHash);
      return facts.jkt === undefined ? caller : { ...caller, proof: { jkt: facts.jkt } };
    },
  };
}

function callerOfV1(facts: TokenFactsV1, tenant: Tenant, tokenHash: string, nowMs: number): AuthenticatedCaller {
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
}

function callerOfV2({ scopes, claims }: TokenFactsV2, tokenHash: string): AuthenticatedCaller {
  const subject: Subject = { organization: NOBODY, scopes, claims: NO_CLAIMS, credentials: NO_CREDENTIALS };
  return { subject: Object.freeze(subject), purposes: scopes, claims, tokenHash, dropped: NONE_DROPPED };
}

/** Who uses the scheme DPoP is answered in it (RFC 9449 §7.1). */
function challenged(error: unknown): unknown {
  if (!(error instanceof GatewayError) || error.code !== 'token_invalid' || error.options.challenge !== undefined) return error;
  return new GatewayError(error.code, error.message, { ...error.options, challenge: dpopChallenge('invalid_token') });
}

/** Why a token that its node calls active is not accepted (nuts-node-api.md §1.1, §1.4, attack cases T4 to T10); undefined when it is. */
export function tokenFault(facts: TokenFacts, tenant: Tenant, nowMs: number): string | undefined {
  const issuer = facts.generation === 'v1' ? tenant.identity.did : tenant.identity.authorizationServerUrl;
  // A string and the same: no list, no other case, no slash at its end.
  if (issuer === undefined || issuer === '' || facts.issuer !== issuer) return 'token is of another issuer';
  if (!isForUs(facts.audience, tenant)) return 'token is for another audience';
  const { issuedAt, expiresAt } = facts;
  // Written so that NaN fails.
  if (!(expiresAt * 1000 > nowMs)) return 'token has expired';
  if (!(issuedAt * 1000 <= nowMs + MAX_SKEW_SECONDS * 1000)) return 'token is from the future';
  const longest = tenant.node.maxTokenLifeSeconds ?? DEFAULT_MAX_TOKEN_LIFE_SECONDS;
  if (!(expiresAt - issuedAt > 0 && expiresAt - issuedAt <= longest)) return 'token lives too long';
  if (facts.generation === 'v2' && facts.notBefore !== undefined && !(facts.notBefore * 1000 <= nowMs + MAX_SKEW_SECONDS * 1000))
    return 'token is not valid yet';
  return undefined;
}

// v1 nodes say "" (nuts-node-api.md §1.1), v2 nodes nothing; a token that names an audience names us.
function isForUs(audience: unknown, tenant: Tenant): boolean {
  if (audience === undefined || audience === null || audience === '') return true;
  if (Array.isArray(audience)) return audience.length === 1 && typeof audience[0] === 'string' && isForUs(audience[0], tenant);
  return audience === tenant.identity.did || audience === tenant.publicUrl || audience === `${tenant.publicUrl}/fhir`;
}
