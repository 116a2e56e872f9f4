import type { JsonObject } from '../fhir/json.ts';
import type { Role } from '../usecase/definition.ts';

/** Where a tenant's callers get their tokens. */
export interface TokenSource {
  /** Absent: both. */
  readonly generations?: readonly ('v1' | 'v2')[];
  /** Of generation v2. */
  readonly authorizationServerUrl?: string | undefined;
}

const SERVICES = {
  STU3: 'http://hl7.org/fhir/restful-security-service',
  R4: 'http://terminology.hl7.org/CodeSystem/restful-security-service',
} as const;

/** `rest.security`: who gives the tokens that this role is for, and how they are shown (RFC 6750, RFC 9449). */
export function securityOf(role: Role, source: TokenSource): JsonObject {
  return {
    cors: false,
    service: [
      {
        coding: [{ system: SERVICES[role.fhirVersion], code: 'OAuth', display: 'OAuth' }],
        text: 'OAuth 2.0 access tokens of the custodian’s Nuts node',
      },
    ],
    description: describe(role, source),
  };
}

function describe({ purpose, scopes, proof }: Role, { generations = ['v1', 'v2'], authorizationServerUrl }: TokenSource): string {
  const said = ['Every request needs an access token that the Nuts node of the custodian has given.'];
  // Only v2 binds tokens to keys.
  if (generations.includes('v1') && proof !== 'required')
    said.push(`Generation v1: a token for the service ${purpose}, shown as "Authorization: Bearer".`);
  if (generations.includes('v2') && scopes.length > 0) {
    const server = authorizationServerUrl === undefined ? '' : ` from the authorization server ${authorizationServerUrl}`;
    const bound = 'shown as "Authorization: DPoP", with a proof for each request in the header DPoP (RFC 9449)';
    const what = `Generation v2: a token${server} with the scope ${scopes.join(' or ')}`;
    said.push(
      proof === 'required'
        ? `${what}. It must be bound to a key, and is ${bound}.`
        : `${what}, shown as "Authorization: Bearer". It may be bound to a key, and is then ${bound}.`,
    );
  }
  return said.join(' ');
}
