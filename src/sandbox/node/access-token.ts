/** Access tokens of generation v1: `at+jwt`, 60 s, ES256, introspected by the node that made them only (facts §1.1). */
import { compactVerify, decodeProtectedHeader, SignJWT } from 'jose';

import type { NodeContext } from './context.ts';
import { checkContent } from './credential-rules.ts';
import { isValidAt, SKEW_MS, type VC } from './credential.ts';
import { isObject, list, text, type Json } from './json.ts';
import type { UserClaims } from './session-types.ts';
import type { SigningKey } from './key.ts';

export const TOKEN_LIFE_S = 60;
const ALGORITHMS = ['ES256', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512', 'EdDSA', 'RS256'];

export interface TokenContent {
  readonly authorizer: string;
  readonly requester: string;
  readonly service: string;
  /** Ids of the credentials that came with the grant. */
  readonly credentialIds: readonly string[];
  readonly user?: UserClaims;
  /** Seconds since 1970. */
  readonly issuedAt: number;
  readonly expires: number;
}

export async function signAccessToken(key: SigningKey, content: TokenContent): Promise<string> {
  const { authorizer, requester, service, credentialIds, user, issuedAt, expires } = content;
  return new SignJWT({
    ...user,
    // A node writes one empty audience, and shows it as "".
    aud: [''],
    exp: expires,
    iat: issuedAt,
    iss: authorizer,
    service,
    sub: requester,
    ...(credentialIds.length === 0 ? {} : { vcs: [...credentialIds] }),
  })
    .setProtectedHeader({ alg: 'ES256', kid: key.kid, typ: 'at+jwt' })
    .sign(key.privateKey);
}

/** Go's zero time, which a token without `exp` or `iat` shows. */
const ZERO_TIME_S = -62135596800;

/** The introspection answer; `{active: false}` for whatever is wrong, as a node never says what. */
export async function introspect(context: NodeContext, token: string): Promise<Json> {
  const claims = await verifiedClaims(context, token);
  if (claims === undefined) return { active: false };
  const ids = list(claims['vcs']).filter((id) => typeof id === 'string');
  const resolved = ids.map((id) => resolveForToken(context, id)).filter((credential) => credential !== undefined);
  return {
    active: true,
    ...pick(claims, ['assurance_level']),
    aud: '',
    ...pick(claims, ['email']),
    exp: claims['exp'] ?? ZERO_TIME_S,
    ...pick(claims, ['family_name']),
    iat: claims['iat'] ?? ZERO_TIME_S,
    ...pick(claims, ['initials']),
    iss: claims['iss'],
    ...pick(claims, ['prefix']),
    // Never [], and absent when the grant had no credentials.
    ...(ids.length === 0 ? {} : { resolvedVCs: resolved.length === 0 ? null : resolved }),
    service: claims['service'],
    sub: claims['sub'],
    ...pick(claims, ['user_role', 'username']),
    ...(ids.length === 0 ? {} : { vcs: ids }),
  };
}

/** The token's claims when this node made it and its times hold (skew 5 s); lifetime and presence of `exp` are not judged. */
export async function verifiedClaims(context: NodeContext, token: string): Promise<Json | undefined> {
  try {
    const header = decodeProtectedHeader(token);
    if (header.typ !== 'at+jwt' || header.kid === undefined) return undefined;
    const key = context.store.keys.get(header.kid);
    if (key === undefined || context.network.publicKey(header.kid) === undefined) return undefined;
    const { payload } = await compactVerify(token, key.publicKey, { algorithms: ALGORITHMS });
    const claims: unknown = JSON.parse(new TextDecoder().decode(payload));
    if (!isObject(claims)) return undefined;
    const complete = (['iss', 'sub', 'service'] as const).every((name) => (text(claims, name) ?? '') !== '');
    if (!complete || claims['iss'] !== header.kid.split('#')[0]) return undefined;
    return timesHold(claims, context.clock.now().getTime()) === undefined ? claims : undefined;
  } catch {
    return undefined;
  }
}

/** The first of `exp`, `iat`, `nbf` that does not hold at `nowMs`; absent ones do. A text is never a time. */
export function timesHold(claims: Json, nowMs: number): 'exp' | 'iat' | 'nbf' | undefined {
  const check = (name: 'exp' | 'iat' | 'nbf', holds: (ms: number) => boolean): boolean => {
    const value = claims[name];
    return value === undefined || (typeof value === 'number' && holds(value * 1000));
  };
  if (!check('exp', (exp) => nowMs - SKEW_MS < exp)) return 'exp';
  if (!check('iat', (iat) => iat <= nowMs + SKEW_MS)) return 'iat';
  if (!check('nbf', (nbf) => nbf <= nowMs + SKEW_MS)) return 'nbf';
  return undefined;
}

/** A credential as introspection finds it: here, valid now, not revoked, trusted, of sound content; else left out silently. */
function resolveForToken(context: NodeContext, id: string): VC | undefined {
  const { network, store, clock } = context;
  const credential = network.find(store, id);
  if (credential === undefined || network.revocations.has(id)) return undefined;
  if (!isValidAt(credential, clock.now()) || !network.isTrusted(store, credential)) return undefined;
  try {
    checkContent(credential);
  } catch {
    return undefined;
  }
  return credential;
}

function pick(claims: Json, keys: readonly (keyof UserClaims)[]): Json {
  return Object.fromEntries(keys.filter((key) => typeof claims[key] === 'string').map((key) => [key, claims[key]]));
}
