import type { Role } from './definition.ts';

/**
 * Members of an introspection answer that belong to a protocol (RFC 7662 §2.2, RFC 9449 §6.2, nuts-node-api.md §1.3), or to JavaScript. A
 * presentation definition may have a field of such a name and so shadow the real value; nothing of that name is ever a claim.
 */
export const RESERVED_CLAIMS: ReadonlySet<string> = new Set([
  'active',
  'aud',
  'client_id',
  'cnf',
  'exp',
  'iat',
  'iss',
  'jti',
  'nbf',
  'presentation_definitions',
  'presentation_submissions',
  'scope',
  'sub',
  'token_type',
  'username',
  'vps',
  '__proto__',
  'constructor',
  'prototype',
]);

/** The claims that a role reads although they can be none; such a role is not loaded. */
export function reservedClaimsOf(role: Role): readonly string[] {
  const { id, name, ura } = role.organization ?? {};
  const person = role.user;
  const read = [...Object.keys(role.claims ?? {}), id, name, ura, person?.id, person?.name, person?.role];
  return read.filter((claim) => claim !== undefined && RESERVED_CLAIMS.has(claim)) as readonly string[];
}
