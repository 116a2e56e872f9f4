/** Access tokens of generation v2: opaque, 900 s, in memory (facts §1.3): `storeToken`, `introspectOpaque`. */
import { randomBytes } from 'node:crypto';

import type { NodeContext } from '../context.ts';
import { sorted, type Json } from '../json.ts';
import { NodeProblem } from '../problem.ts';
import { claimsOf } from './exchange.ts';
import type { StoredToken } from './store.ts';

export const OPAQUE_LIFE_S = 900;

/** Claims that a definition must not use; others, such as `cnf`, replace the real value without a word. */
const RESERVED = ['iss', 'sub', 'exp', 'iat', 'active', 'client_id', 'scope'];

export function storeToken(context: NodeContext, token: Omit<StoredToken, 'issuedAt' | 'expires'>): string {
  const text = randomBytes(32).toString('base64url');
  const issuedAt = Math.floor(context.clock.now().getTime() / 1000);
  context.iam.tokens.set(text, { ...token, issuedAt, expires: issuedAt + OPAQUE_LIFE_S });
  return text;
}

/** Gives a token another life, counted from now; one that has ended by then was made a usual life earlier. */
export function changeLife(context: NodeContext, token: string, expiresInS: number): void {
  const known = context.iam.tokens.get(token);
  if (known === undefined) return;
  const now = Math.floor(context.clock.now().getTime() / 1000);
  const issuedAt = now + Math.min(0, expiresInS - OPAQUE_LIFE_S);
  context.iam.tokens.set(token, { ...known, issuedAt, expires: now + expiresInS });
}

/** The introspection answer, plain with claims or `extended` with the evidence. Errors: 500 for a definition with reserved ids. */
export function introspectOpaque(context: NodeContext, text: string, extended: boolean): Json {
  const token = context.iam.tokens.get(text);
  if (token === undefined) return { active: false };
  if (token.expires * 1000 <= context.clock.now().getTime()) {
    context.iam.tokens.delete(text);
    return { active: false };
  }
  const claims: Record<string, unknown> = {};
  for (const definition of Object.values(token.definitions)) Object.assign(claims, claimsOf(definition, token.chosen));
  const reserved = RESERVED.find((name) => Object.hasOwn(claims, name));
  if (reserved !== undefined) {
    throw new NodeProblem(500, `IntrospectAccessToken: InputDescriptorConstraintIdMap contains reserved claim name: ${reserved}`);
  }
  const fixed = {
    active: true,
    client_id: token.clientId,
    ...(token.thumbprint === undefined ? {} : { cnf: { jkt: token.thumbprint } }),
    exp: token.expires,
    iat: token.issuedAt,
    iss: token.issuer,
    scope: token.scope,
  };
  if (!extended) return sorted({ ...fixed, ...claims });
  return sorted({
    ...fixed,
    vps: token.presentations,
    presentation_definitions: token.definitions,
    presentation_submissions: token.submissions,
  });
}
