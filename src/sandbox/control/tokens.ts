import { randomUUID, type JsonWebKey } from 'node:crypto';
import { z } from 'zod';
import type { VC } from '../node/index.ts';
import { CONTROL_HEADER } from '../world/faults.ts';
import type { RunningOrganization, World } from '../world/world.ts';
import { makeOpaqueToken } from './opaque-tokens.ts';
import { wrong } from './problem.ts';
import type { TokenRequest } from './requests.ts';

/** The answer of `POST /tokens`. */
export interface TokenAnswer {
  readonly access_token: string;
  readonly token_type: 'bearer' | 'Bearer' | 'DPoP';
  /** Seconds; negative for a token that has expired. */
  readonly expires_in: number;
  /** With `dpop`: the private key that the token is bound to, and its id at the requester's node. */
  readonly dpopJwk?: JsonWebKey;
  readonly dpop_kid?: string;
}

const DEFAULT_LIFE_S = 60;
const CREDENTIAL_LIFE_MS = 30 * 86_400_000;

/** Makes a token for `tenant`'s gate (design §11): grants and their credentials first, then the token, made by the tenant's node. */
export async function makeToken(world: World, request: TokenRequest): Promise<TokenAnswer> {
  const custodian = tenantOf(world, request.tenant);
  const requester = partyOf(world, request.requester);
  const purpose = request.purpose ?? request.scope ?? '';
  switch (request.generation) {
    case 'v1':
      return makeSignedToken(world, custodian, requester, purpose, request);
    case 'v2':
      return makeOpaqueToken(world, custodian, requester, purpose, request);
  }
}

/** Generation v1: a token that names one service; `scope` is its v2 word. */
async function makeSignedToken(
  world: World,
  custodian: RunningOrganization,
  requester: RunningOrganization,
  purpose: string,
  request: TokenRequest,
): Promise<TokenAnswer> {
  if (request.dpop) throw wrong('dpop', 'is for generation v2: a v1 token is a bearer token');
  if (!custodian.services.has(purpose)) {
    custodian.node.register(purpose, {});
    custodian.services.add(purpose);
  }
  const granted = request.grants === undefined ? [] : [await openGrant(world, custodian, requester.did, purpose, request.grants)];
  const expiresInS = request.expiresInS ?? DEFAULT_LIFE_S;
  const token = await custodian.node.mintToken({
    requester: requester.did,
    purpose,
    credentials: [...(request.credentials ?? []), ...granted],
    ...(request.user === undefined ? {} : { user: request.user }),
    expiresInS,
  });
  return { access_token: token, token_type: 'bearer', expires_in: expiresInS };
}

/** The organisation of a tenant. @throws ControlProblem that says which there are */
export function tenantOf(world: World, id: string): RunningOrganization & Required<Pick<RunningOrganization, 'tenant'>> {
  for (const { tenant, ...organization } of world.organizations) {
    if (organization.id === id && tenant !== undefined) return { ...organization, tenant };
  }
  const known = world.organizations.filter(({ tenant }) => tenant !== undefined).map((each) => each.id);
  throw wrong('tenant', `must be one of ${known.join(', ')}`);
}

/** A party by its name, or its DID of either generation. */
function partyOf(world: World, nameOrDid: string): RunningOrganization {
  const found = world.organizations.find(({ id, did, node }) => [id, did, node.subject.did].includes(nameOrDid));
  if (found !== undefined) return found;
  throw wrong('requester', `must be one of ${world.organizations.map(({ id }) => id).join(', ')}, or the DID of one`);
}

/** A credential of the custodian for the requester, and a live grant in the ledger that it mirrors. */
async function openGrant(
  world: World,
  custodian: RunningOrganization,
  requester: string,
  purpose: string,
  resources: NonNullable<TokenRequest['grants']>,
): Promise<VC> {
  const expiresAt = new Date(world.clock.now().getTime() + CREDENTIAL_LIFE_MS);
  const credential = await issue(custodian, requester, purpose, resources, expiresAt);
  const credentialId = z.string().parse(credential['id']);
  await enterGrant(world, custodian, { requester, purpose, resources: [...resources], expiresAt, credentialId });
  return credential;
}

/** A live grant in the ledger. */
export async function enterGrant(
  world: World,
  custodian: RunningOrganization,
  grant: {
    readonly requester: string;
    readonly purpose: string;
    readonly resources: NonNullable<TokenRequest['grants']>;
    readonly expiresAt: Date;
    readonly credentialId?: string;
  },
): Promise<void> {
  const entry = { ...grant, kind: 'sandbox', recordId: randomUUID(), expiresAt: grant.expiresAt.toISOString() };
  await world.gateway.ask({ type: 'open-grant', tenant: custodian.id, grant: entry });
}

/** As the gateway has it issued (a private NutsAuthorizationCredential). */
async function issue(
  custodian: RunningOrganization,
  subject: string,
  purpose: string,
  resources: NonNullable<TokenRequest['grants']>,
  expiresAt: Date,
): Promise<VC> {
  const answer = await fetch(`${custodian.node.url}/internal/vcr/v2/issuer/vc`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', [CONTROL_HEADER]: 'yes' },
    body: JSON.stringify({
      type: 'NutsAuthorizationCredential',
      issuer: custodian.did,
      expirationDate: expiresAt.toISOString(),
      visibility: 'private',
      credentialSubject: { id: subject, purposeOfUse: purpose, resources },
    }),
  });
  const body: unknown = await answer.json();
  if (answer.status === 200) return z.record(z.string(), z.unknown()).parse(body);
  const problem = z.object({ detail: z.string() }).safeParse(body);
  throw wrong('grants', `cannot be issued as a credential: ${problem.success ? problem.data.detail : `status ${answer.status}`}`);
}
