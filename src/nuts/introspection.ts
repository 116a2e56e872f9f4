import { z } from 'zod';
import { GatewayError } from '../errors.ts';
import { parseJson } from '../fhir/json.ts';

/**
 * A node's answer about a v1 token, in the node's own names (facts: `iss` is the authorizer, `sub` the requester, `service` the purpose,
 * times in seconds since 1970 and unjudged). Types are checked, nothing else; names that no v1 node gives are left out.
 */
export type IntrospectionV1 = z.infer<typeof v1>;

/** A node's answer about a v2 token. No v2 code exists yet; the shape is fixed for what will be built on it. */
export type IntrospectionV2 =
  | { readonly active: false }
  | {
      readonly active: true;
      /** The authorization server URL of the tenant. */
      readonly iss: string;
      readonly client_id: string;
      readonly scope: string;
      readonly iat: number;
      readonly exp: number;
      readonly cnf?: { readonly jkt: string };
      readonly claims: ReadonlyMap<string, unknown>;
    };

// A JWT credential comes as text; no v1 credential is one, and it counts for nothing.
const credential = z.record(z.string(), z.unknown());
const text = z.string().optional();

const v1 = z.discriminatedUnion('active', [
  z.object({ active: z.literal(false) }),
  z.object({
    active: z.literal(true),
    // What these five are worth is judged with the token (attack cases T6, T9, T10): a wrong one is the token's fault, 401.
    iss: z.unknown(),
    sub: z.unknown(),
    aud: z.unknown(),
    iat: z.unknown(),
    exp: z.unknown(),
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
  let cause: unknown;
  try {
    const parsed = v1.safeParse(parseJson(body));
    if (parsed.success) return parsed.data;
    // Names and kinds only: zod's messages name no values.
    cause = parsed.error;
  } catch (error) {
    cause = error;
  }
  throw new GatewayError('node_unavailable', 'the Nuts node gave no answer to introspection that can be read', {
    cause,
    retryAfterSeconds: 5,
  });
}
