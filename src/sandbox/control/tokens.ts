import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { VC } from '../node/index.ts';
import { CONTROL_HEADER } from '../world/faults.ts';
import type { RunningOrganization, World } from '../world/world.ts';
import { ControlProblem, wrong } from './problem.ts';
import type { TokenRequest } from './requests.ts';

/** The answer of `POST /tokens`. */
export interface TokenAnswer {
  readonly access_token: string;
  readonly token_type: 'bearer';
  /** Seconds; negative for a token that has expired. */
  readonly expires_in: number;
}

const DEFAULT_LIFE_S = 60;
const CREDENTIAL_LIFE_MS = 30 * 86_400_000;

/** Makes a token for `tenant`'s gate (design §11): grants and their credentials first, then the token, signed by the tenant's node. */
export async function makeToken(world: World, request: TokenRequest): Promise<TokenAnswer> {
  if (request.generation === 'v2') {
    throw new ControlProblem(501, 'generation v2 is not here yet: the simulated nodes make v1 tokens', {
      fields: [{ field: 'generation', problem: 'must be v1 for now' }],
    });
  }
  if (request.dpop) throw wrong('dpop', 'is for generation v2: a v1 token is a bearer token');
  const custodian = tenantOf(world, request.tenant);
  const requester = partyOf(world, request.requester);
  // A v1 token names one service; `scope` is its v2 word.
  const purpose = request.purpose ?? request.scope ?? '';
  if (!custodian.services.has(purpose)) {
    custodian.node.register(purpose, {});
    custodian.services.add(purpose);
  }
  const granted = request.grants === undefined ? [] : [await openGrant(world, custodian, requester, purpose, request.grants)];
  const expiresInS = request.expiresInS ?? DEFAULT_LIFE_S;
  const token = await custodian.node.mintToken({
    requester,
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

/** The DID of a party by its name or DID. */
function partyOf(world: World, nameOrDid: string): string {
  const found = world.organizations.find(({ id, did }) => id === nameOrDid || did === nameOrDid);
  if (found !== undefined) return found.did;
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
  const id = z.string().parse(credential['id']);
  await world.gateway.ask({
    type: 'open-grant',
    tenant: custodian.id,
    grant: {
      requester,
      purpose,
      resources: [...resources],
      kind: 'sandbox',
      recordId: randomUUID(),
      expiresAt: expiresAt.toISOString(),
      credentialId: id,
    },
  });
  return credential;
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
