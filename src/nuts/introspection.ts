import { z } from 'zod';
import { GatewayError } from '../errors.ts';
import { isJsonObject, parseJson, type JsonValue } from '../fhir/json.ts';
import { RESERVED_CLAIMS } from '../usecase/claims.ts';

/**
 * A node's answer about a v1 token, in the node's own names (facts: `iss` is the authorizer, `sub` the requester, `service` the purpose,
 * times in seconds since 1970 and unjudged). Types are checked, nothing else; names that no v1 node gives are left out.
 */
export type IntrospectionV1 = z.infer<typeof v1>;

/**
 * A node's answer about a v2 token (nuts-node-api.md §1.3). Protocol members are unjudged where the token answers for them; `scope` and `cnf`
 * have the types that they must have. `client_id` is left out: nobody has proved it.
 */
export type IntrospectionV2 =
  | { readonly active: false }
  | {
      readonly active: true;
      readonly iss?: unknown;
      readonly aud?: unknown;
      readonly iat?: unknown;
      readonly exp?: unknown;
      readonly nbf?: unknown;
      readonly scope?: string;
      readonly cnf?: { readonly jkt: string };
      /** Every other member, by name: fields of presentation definitions. Never a member of the protocol. */
      readonly claims: ReadonlyMap<string, JsonValue>;
    };

// A JWT credential comes as text; no v1 credential is one, and it counts for nothing.
const credential = z.record(z.string(), z.unknown());
const text = z.string().optional();

const v1 = z.discriminatedUnion('active', [
  z.object({ active: z.literal(false) }),
  z.object({
    active: z.literal(true),
    // What these five are worth is judged with the token (attack cases T6, T9, T10): a wrong or absent one is the token's fault, 401.
    iss: z.unknown().optional(),
    sub: z.unknown().optional(),
    aud: z.unknown().optional(),
    iat: z.unknown().optional(),
    exp: z.unknown().optional(),
    // A token for nothing is no node's fault: the policy denies it.
    service: z.string().exactOptional(),
    vcs: z.array(z.string()).optional(),
    resolvedVCs: z.array(z.union([credential, z.string()])).nullish(),
    initials: text,
    prefix: text,
    family_name: text,
    email: text,
    username: text,
    user_role: text,
    assurance_level: z.enum(['low', 'substantial', 'high', '']).optional(),
  }),
]);

/**
 * Reads the body of `POST /internal/auth/v1/accesstoken/introspect`.
 * @throws GatewayError `node_unavailable` when it is nothing that a node says: then it is not known whether the token is good
 */
export function readIntrospectionV1(body: Uint8Array): IntrospectionV1 {
  return read(body, (said) => v1.parse(said));
}

const v2 = z.discriminatedUnion('active', [
  z.object({ active: z.literal(false) }),
  z.object({
    active: z.literal(true),
    iss: z.unknown().optional(),
    aud: z.unknown().optional(),
    iat: z.unknown().optional(),
    exp: z.unknown().optional(),
    nbf: z.unknown().optional(),
    // A token for nothing is no node's fault: the policy denies it.
    scope: z.string().exactOptional(),
    // A policy with a field of this name shadows the real one ("cnf":"Caresoft B.V."), and `null` may hide a binding: never an unbound token.
    cnf: z.strictObject({ jkt: z.string().min(1) }).exactOptional(),
  }),
]);

/**
 * Reads the body of `POST /internal/auth/v2/accesstoken/introspect`.
 * @throws GatewayError `node_unavailable` when it is nothing that a node says, or a field of a policy shadows `cnf` or `scope`
 */
export function readIntrospectionV2(body: Uint8Array): IntrospectionV2 {
  return read(body, (said) => {
    const answer = v2.parse(said);
    if (!answer.active) return answer;
    const all = isJsonObject(said) ? Object.entries(said) : [];
    return { ...answer, claims: new Map(all.filter(([name]) => !RESERVED_CLAIMS.has(name))) };
  });
}

function read<Answer>(body: Uint8Array, parse: (said: JsonValue) => Answer): Answer {
  try {
    return parse(parseJson(body));
  } catch (cause) {
    // Names and kinds only: zod's messages name no values.
    throw new GatewayError('node_unavailable', 'the Nuts node gave no answer to introspection that can be read', {
      cause,
      retryAfterSeconds: 5,
    });
  }
}
