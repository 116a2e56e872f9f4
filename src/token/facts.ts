import { z } from 'zod';
import { GatewayError } from '../errors.ts';
import type { JsonValue } from '../fhir/json.ts';
import type { IntrospectionV2 } from '../nuts/introspection.ts';
import type { AssuranceLevel, GrantedResource, ProvenUser } from '../usecase/subject.ts';

/**
 * What the node said about a token: facts, parsed once, frozen, and judged anew on every request. Whether they permit anything depends on
 * the moment, the tenant and the request.
 */
export type TokenFacts = TokenFactsV1 | TokenFactsV2;

export interface TokenFactsV1 {
  readonly generation: 'v1';
  /** The authorizer; must be the tenant. */
  readonly issuer: unknown;
  /** The organisation that asks; empty when the node named none. */
  readonly requester: string;
  readonly audience: unknown;
  /** The v1 `service`, `purposeOfUse`. */
  readonly purpose: string;
  /** Seconds since 1970; anything but a positive whole number is kept as NaN. */
  readonly issuedAt: number;
  readonly expiresAt: number;
  readonly user?: ProvenUser;
  /** Ids of all credentials that the token's maker supplied. */
  readonly credentialIds: ReadonlySet<string>;
  /** Those that the node could resolve and found valid, as they came. */
  readonly credentials: readonly ResolvedCredential[];
}

export interface TokenFactsV2 {
  readonly generation: 'v2';
  /** Must be the tenant's authorization server URL. */
  readonly issuer: unknown;
  readonly audience: unknown;
  /** RFC 6749 §3.3: what stood between single blanks, each once. */
  readonly scopes: readonly string[];
  /** As in v1. */
  readonly issuedAt: number;
  readonly expiresAt: number;
  /** Undefined when the node says none; else NaN for anything but a positive whole number. */
  readonly notBefore: number | undefined;
  /** Thumbprint of the key that the token is bound to (RFC 9449 §6.2): then a proof is needed, else forbidden. */
  readonly jkt?: string;
  /** What presentation definitions made of credentials, unjudged; a policy sees what its role lists (`token/claims.ts`). */
  readonly claims: ReadonlyMap<string, JsonValue>;
}

/** A credential as the node resolved it, read but not judged. What could not be read is `undefined` and fails every comparison. */
export interface ResolvedCredential {
  readonly id: string | undefined;
  readonly types: readonly string[];
  readonly issuer: string | undefined;
  readonly subject: string | undefined;
  readonly purpose: string | undefined;
  readonly issuedAtMs: number;
  /** Infinity when it has no end; NaN when the end cannot be read. */
  readonly expiresAtMs: number;
  readonly resources: readonly GrantedResource[];
}

export type Introspected = { readonly active: false } | { readonly active: true; readonly facts: TokenFacts };

/**
 * Parses a v1 answer (nuts-node-api.md §1.1). Only `active: true`, the boolean, is active.
 * @throws GatewayError `node_unavailable` (503) when it is no JSON object: then it is not the node that spoke
 */
export function parseIntrospectionV1(answer: unknown): Introspected {
  const parsed = anObject.safeParse(answer);
  if (!parsed.success)
    throw new GatewayError('node_unavailable', 'introspection answer is no JSON object', { retryAfterSeconds: 5 });
  const said = parsed.data;
  if (said['active'] !== true) return { active: false };
  const user = provenUser(said);
  const facts: TokenFactsV1 = {
    generation: 'v1',
    issuer: said['iss'],
    requester: text(said['sub']) ?? '',
    audience: said['aud'],
    purpose: text(said['service']) ?? '',
    issuedAt: seconds(said['iat']),
    expiresAt: seconds(said['exp']),
    ...(user === undefined ? {} : { user }),
    credentialIds: new Set(list(said['vcs']).flatMap((id) => text(id) ?? [])),
    credentials: Object.freeze(list(said['resolvedVCs']).map(readCredential)),
  };
  return { active: true, facts: Object.freeze(facts) };
}

/** The facts of a v2 answer that was read (`nuts/introspection.ts`). */
export function factsOfV2(said: IntrospectionV2): Introspected {
  if (!said.active) return { active: false };
  const facts: TokenFactsV2 = {
    generation: 'v2',
    issuer: said.iss,
    audience: said.aud,
    scopes: Object.freeze([...new Set((said.scope ?? '').split(' '))].filter((scope) => scope !== '')),
    issuedAt: seconds(said.iat),
    expiresAt: seconds(said.exp),
    notBefore: said.nbf === undefined ? undefined : seconds(said.nbf),
    ...(said.cnf === undefined ? {} : { jkt: said.cnf.jkt }),
    claims: said.claims,
  };
  return { active: true, facts: Object.freeze(facts) };
}

const anObject = z.record(z.string(), z.unknown());
const LEVELS: ReadonlySet<string> = new Set<AssuranceLevel>(['low', 'substantial', 'high']);

/** Facts eOverdracht §6.2: `""` counts as absent everywhere, and a user without a level is no proven user. */
function provenUser(said: Readonly<Record<string, unknown>>): ProvenUser | undefined {
  const familyName = filled(said['family_name']);
  const initials = filled(said['initials']);
  const id = filled(said['username']) ?? filled(said['email']);
  const level = said['assurance_level'];
  if (familyName === undefined || initials === undefined || id === undefined || !isLevel(level)) return undefined;
  const prefix = filled(said['prefix']);
  const role = filled(said['user_role']);
  return Object.freeze({
    id,
    initials,
    familyName,
    level,
    ...(prefix === undefined ? {} : { prefix }),
    ...(role === undefined ? {} : { role }),
  });
}

// Object or array everywhere: the node prints a list of one as the one (nuts-node-api.md §0.4).
function readCredential(value: unknown): ResolvedCredential {
  const credential = anObject.safeParse(value).data ?? {};
  const [subject, ...more] = list(credential['credentialSubject']).map((each) => anObject.safeParse(each).data);
  // Two subjects could be read in two ways.
  const about = more.length === 0 ? subject : undefined;
  const issuer = credential['issuer'];
  const resources = list(about?.['resources']).flatMap((each) => readResource(each) ?? []);
  return Object.freeze({
    id: text(credential['id']),
    types: Object.freeze(list(credential['type']).flatMap((type) => text(type) ?? [])),
    issuer: text(issuer) ?? text(anObject.safeParse(issuer).data?.['id']),
    subject: text(about?.['id']),
    purpose: text(about?.['purposeOfUse']),
    issuedAtMs: instant(credential['issuanceDate'] ?? credential['validFrom'], NaN),
    expiresAtMs: instant(credential['expirationDate'] ?? credential['validUntil'], Infinity),
    resources: Object.freeze(resources),
  });
}

/** Undefined for a line that cannot be read: it grants nothing. */
function readResource(value: unknown): GrantedResource | undefined {
  const resource = anObject.safeParse(value).data;
  const path = text(resource?.['path']);
  if (resource === undefined || path === undefined || path === '') return undefined;
  const userContext = resource['userContext'] ?? false;
  const level = resource['assuranceLevel'];
  if (typeof userContext !== 'boolean' || (level !== undefined && level !== null && !isLevel(level))) return undefined;
  return Object.freeze({
    // eoverdracht.md §5.7: a missing leading slash is added, nothing else is touched.
    path: path.startsWith('/') ? path : `/${path}`,
    operations: Object.freeze(list(resource['operations']).flatMap((operation) => text(operation)?.toLowerCase() ?? [])),
    userContext,
    ...(isLevel(level) ? { assuranceLevel: level } : {}),
  });
}

function list(value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? value : [value];
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function filled(value: unknown): string | undefined {
  return typeof value === 'string' && value.trim() !== '' ? value : undefined;
}

function isLevel(value: unknown): value is AssuranceLevel {
  return typeof value === 'string' && LEVELS.has(value);
}

function seconds(value: unknown): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : NaN;
}

const INSTANT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/;

function instant(value: unknown, absent: number): number {
  if (value === undefined || value === null) return absent;
  return typeof value === 'string' && INSTANT.test(value) ? Date.parse(value) : NaN;
}

/** Claims that a policy may see: none exist in v1. */
export const NO_CLAIMS: ReadonlyMap<string, JsonValue> = new Map();
