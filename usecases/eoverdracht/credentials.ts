import type { IssuedCredential, RecordReader, Services } from 'sluis/usecase';
import { toStored } from './transfer-store.ts';
import { PURPOSE, resourcesKey, TRANSFER, type Negotiation, type Transfer, type TransferGrant } from './transfer.ts';

/** Two credentials that end further apart than this are not the same one: one is the other's renewal. */
const SAME_EXPIRY_MS = 2 * 86_400_000;

/**
 * Issues the credential of a grant, unless a crash left one behind already: search by natural key first, adopt the lowest id, revoke the
 * surplus (reliability §3.1 rule 4). An answer that was lost, and a 412 after which the credential exists all the same (facts §5.4), are
 * healed by the next attempt.
 * @returns the credential's id
 */
export async function issueOnce(
  services: Services,
  transfer: Transfer,
  negotiation: Negotiation,
  grant: TransferGrant,
): Promise<string> {
  const issued = await services.node.findIssued(negotiation.organization);
  const taken = await credentialsInUse(services.records(TRANSFER), transfer, grant);
  const expiresAt = new Date(grant.expiresAt);
  const candidates = sameRights(issued, grant)
    .filter(
      (each) => !taken.has(each.id) && Math.abs((each.expiresAt ?? expiresAt).getTime() - expiresAt.getTime()) < SAME_EXPIRY_MS,
    )
    .map((each) => each.id)
    .sort();
  const [lowest, ...surplus] = candidates;
  for (const id of surplus) await services.node.revokeCredential(id);
  if (lowest !== undefined) return lowest;
  const { id } = await services.node.issueCredential({
    subject: negotiation.organization,
    purpose: PURPOSE,
    resources: grant.resources,
    expiresAt,
  });
  return id;
}

/** Revokes the credential of an ended grant by its id, and every other one of the same natural key that no grant in force needs. */
export async function revokeAll(
  services: Services,
  transfer: Transfer,
  negotiation: Negotiation,
  grant: TransferGrant,
): Promise<void> {
  const needed = await credentialsInUse(services.records(TRANSFER), transfer, grant);
  if (grant.credentialId !== undefined) await services.node.revokeCredential(grant.credentialId);
  const issued = await services.node.findIssued(negotiation.organization);
  for (const each of sameRights(issued, grant)) {
    if (each.id !== grant.credentialId && !needed.has(each.id)) await services.node.revokeCredential(each.id);
  }
}

/** The credentials among these that say what the grant says and are not revoked. */
export function sameRights(issued: readonly IssuedCredential[], grant: TransferGrant): readonly IssuedCredential[] {
  const key = resourcesKey(grant.resources);
  return issued.filter((each) => !each.revoked && resourcesKey(each.resources) === key);
}

/**
 * Credentials that other grants in force have: of this transfer, and of any other transfer with the same Composition (an EHR may offer the
 * same notice again after a cancellation).
 */
export async function credentialsInUse(
  records: RecordReader,
  transfer: Transfer,
  grant: TransferGrant,
): Promise<ReadonlySet<string>> {
  const others: Transfer[] = [transfer];
  if (grant.composition !== undefined) {
    const { items } = await records.find({ where: { composition: grant.composition }, limit: 100 });
    others.push(...items.map((record) => toStored(record).transfer).filter((other) => other.id !== transfer.id));
  }
  const ids = new Set<string>();
  for (const other of others) {
    for (const negotiation of other.negotiations) {
      for (const each of negotiation.grants) {
        if (each.id !== grant.id && each.state !== 'ended' && each.credentialId !== undefined) ids.add(each.credentialId);
      }
    }
  }
  return ids;
}
