/** Tokens of generation v2 for `POST /tokens`: `makeOpaqueToken`, by a real exchange between the requester's and the tenant's node. */
import type { Policy } from '../node/index.ts';
import { CONTROL_HEADER } from '../world/faults.ts';
import type { RunningOrganization, World } from '../world/world.ts';
import { enterGrant, GRANT_LIFE_MS } from './grants.ts';
import { wrong } from './problem.ts';
import type { TokenAnswer, TokenRequest } from './requests.ts';

const DEFAULT_LIFE_S = 900;

/** The requester's wallet, presentation and token request; the scope gets a policy first when it has none. */
export async function makeOpaqueToken(
  world: World,
  custodian: RunningOrganization,
  requester: RunningOrganization,
  scope: string,
  request: TokenRequest,
): Promise<TokenAnswer> {
  const { node } = custodian;
  if (!node.policies.has(scope)) node.policies.set(scope, sandboxPolicy(scope, requester.node.anchorDid));
  if (request.grants !== undefined) {
    const expiresAt = new Date(world.clock.now().getTime() + GRANT_LIFE_MS);
    await enterGrant(world, custodian, {
      requester: requester.node.subject.did,
      purpose: scope,
      resources: [...request.grants],
      expiresAt,
    });
  }
  const credentials = request.credentials ?? [];
  const isSigned = (credential: Readonly<Record<string, unknown>>): boolean => credential['proof'] !== undefined;
  const tokenType = request.dpop ? 'DPoP' : 'Bearer';
  const answer = await requester.node
    .requestToken({
      server: node.subject.authorizationServerUrl,
      scope,
      tokenType,
      selfAttested: [...credentials.filter((each) => !isSigned(each)), ...employee(request.user)],
      signed: credentials.filter(isSigned),
      headers: { [CONTROL_HEADER]: 'yes' },
    })
    .catch((error: unknown) => {
      throw wrong('credentials', `do not give a token: ${error instanceof Error ? error.message : 'the exchange failed'}`);
    });
  const expiresInS = request.expiresInS ?? DEFAULT_LIFE_S;
  if (request.expiresInS !== undefined) node.setTokenLife(answer.token, expiresInS);
  return {
    access_token: answer.token,
    token_type: tokenType,
    expires_in: expiresInS,
    ...(answer.kid === undefined ? {} : { dpop_kid: answer.kid }),
    ...(answer.privateJwk === undefined ? {} : { dpopJwk: answer.privateJwk }),
  };
}

/** The user as the requester states it; generation v2 has no level of assurance of its own. */
function employee(user: TokenRequest['user']): readonly Readonly<Record<string, unknown>>[] {
  if (user === undefined) return [];
  const { identifier, initials, familyName, roleName } = user;
  return [
    {
      '@context': ['https://www.w3.org/2018/credentials/v1', 'https://nuts.nl/credentials/v1'],
      type: ['VerifiableCredential', 'NutsEmployeeCredential'],
      credentialSubject: {
        identifier,
        name: `${initials} ${familyName}`,
        ...(roleName === undefined ? {} : { roleName }),
      },
    },
  ];
}

const subjectField = (id: string, path: string, optional = false) => ({
  id,
  path: [`$.credentialSubject.${path}`, `$.credentialSubject[0].${path}`],
  ...(optional ? { optional } : {}),
  filter: { type: 'string' as const },
});

const typeField = (type: string) => ({ path: ['$.type'], filter: { type: 'string' as const, const: type } });

/** Who the organisation is, as the sandbox's anchor vouches for it, and who the user is when the requester says so. */
function sandboxPolicy(scope: string, issuer: string): Policy {
  return {
    organization: {
      id: `sandbox_${scope}`,
      name: `Care organisation for ${scope}`,
      input_descriptors: [
        {
          id: 'organization',
          group: ['organization'],
          constraints: {
            fields: [
              typeField('NutsOrganizationCredential'),
              { id: 'organization_issuer', path: ['$.issuer'], filter: { type: 'string', const: issuer } },
              subjectField('organization_did', 'id'),
              subjectField('organization_name', 'organization.name'),
              subjectField('organization_city', 'organization.city'),
              subjectField('organization_ura', 'organization.ura', true),
            ],
          },
        },
        {
          id: 'employee',
          group: ['employee'],
          constraints: {
            fields: [
              typeField('NutsEmployeeCredential'),
              subjectField('employee_identifier', 'identifier'),
              subjectField('employee_name', 'name'),
              subjectField('employee_role', 'roleName', true),
            ],
          },
        },
      ],
      submission_requirements: [
        { rule: 'all', from: 'organization' },
        { rule: 'pick', from: 'employee', min: 0, max: 1 },
      ],
    },
  };
}
