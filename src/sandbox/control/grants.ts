/** Grants that the control API makes before a token: `openGrant` with the credential that it mirrors, `enterGrant` in the ledger only. */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { VC } from '../node/index.ts';
import { CONTROL_HEADER } from '../world/faults.ts';
import type { RunningOrganization, World } from '../world/world.ts';
import { wrong } from './problem.ts';
import type { TokenRequest } from './requests.ts';

export const GRANT_LIFE_MS = 30 * 86_400_000;

/** A credential of the custodian for the requester, and a live grant in the ledger that it mirrors. */
export async function openGrant(
  world: World,
  custodian: RunningOrganization,
  requester: string,
  purpose: string,
  resources: NonNullable<TokenRequest['grants']>,
): Promise<VC> {
  const expiresAt = new Date(world.clock.now().getTime() + GRANT_LIFE_MS);
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
