import type { AuthorizationCredential } from '../usecase/subject.ts';
import type { ResolvedCredential, TokenFactsV1 } from './facts.ts';

/** Why a credential of a token does not count; for the operator (`explain`, the log). */
export type DroppedReason =
  | 'no_id'
  | 'not_in_vcs'
  | 'not_resolved'
  | 'other_type'
  | 'other_issuer'
  | 'other_subject'
  | 'other_purpose'
  | 'not_yet_issued'
  | 'expired';

export interface DroppedCredential {
  readonly id?: string;
  readonly reason: DroppedReason;
}

export interface FilteredCredentials {
  readonly genuine: readonly AuthorizationCredential[];
  readonly dropped: readonly DroppedCredential[];
}

const TYPE = 'NutsAuthorizationCredential';

/**
 * The credentials of a token that count: the node checks neither type nor issuer, subject and purpose of what it resolves
 * (eoverdracht.md §6.4, nuts-node-api.md §1.4), so all of it is checked here, on every request.
 *
 * @param custodian the tenant's DID, that the token's issuer was found to be
 */
export function filterCredentials(facts: TokenFactsV1, custodian: string, nowMs: number): FilteredCredentials {
  const genuine: AuthorizationCredential[] = [];
  const dropped: DroppedCredential[] = [];
  for (const credential of facts.credentials) {
    const { id } = credential;
    if (id === undefined || id === '') {
      dropped.push({ reason: 'no_id' });
      continue;
    }
    const reason = fault(credential, id, facts, custodian, nowMs);
    if (reason !== undefined) dropped.push({ id, reason });
    else genuine.push(accepted(credential, id));
  }
  if (facts.credentialIds.size > facts.credentials.length) {
    const resolved = new Set(facts.credentials.map((credential) => credential.id));
    for (const id of facts.credentialIds) if (!resolved.has(id)) dropped.push({ id, reason: 'not_resolved' });
  }
  return { genuine, dropped };
}

function fault(
  credential: ResolvedCredential,
  id: string,
  facts: TokenFactsV1,
  custodian: string,
  nowMs: number,
): DroppedReason | undefined {
  if (!facts.credentialIds.has(id)) return 'not_in_vcs';
  if (!credential.types.includes(TYPE)) return 'other_type';
  if (credential.issuer !== custodian) return 'other_issuer';
  // Two absent values are not equal (attack case T34).
  if (facts.requester === '' || credential.subject !== facts.requester) return 'other_subject';
  if (facts.purpose === '' || credential.purpose !== facts.purpose) return 'other_purpose';
  // Written so that a moment that cannot be read (NaN) fails.
  if (!(credential.issuedAtMs <= nowMs)) return 'not_yet_issued';
  if (!(credential.expiresAtMs > nowMs)) return 'expired';
  return undefined;
}

const ACCEPTED = new WeakMap<ResolvedCredential, AuthorizationCredential>();

// One frozen object per cached credential, however often its token is used.
function accepted(credential: ResolvedCredential, id: string): AuthorizationCredential {
  const known = ACCEPTED.get(credential);
  if (known !== undefined) return known;
  const { resources, expiresAtMs } = credential;
  const made = Object.freeze({ id, resources, ...(expiresAtMs === Infinity ? {} : { expiresAt: new Date(expiresAtMs) }) });
  ACCEPTED.set(credential, made);
  return made;
}
