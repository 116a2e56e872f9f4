import {
  reachesLevel,
  type AccessRequest,
  type AuthorizationCredential,
  type Grant,
  type GrantedResource,
  type PolicyInformation,
  type ProvenUser,
} from 'sluis/usecase';
import type { EOverdrachtConfig } from './config.ts';

/** What a requester wants with one resource, in the words of a credential (RFC014 §3.2.4). */
export interface Wish {
  /** Canonical: `/Task/123`. */
  readonly path: string;
  readonly type: string;
  readonly operation: string;
}

/** Whether credential and ledger together entitle somebody, and by what; or what is missing. */
export type Entitlement =
  | { readonly entitled: true; readonly credential: AuthorizationCredential; readonly grant?: Grant }
  | { readonly entitled: false; readonly code: Missing; readonly ownLiveGrant: boolean };

/** What is missing, from the first thing to the last. */
export type Missing = 'no_credential' | 'grant_ended' | 'no_live_grant' | 'user_missing' | 'level_too_low';

const DAY_MS = 86_400_000;

/**
 * Facts §6.5: one entry of one credential must satisfy path, operation, user and level together (no mixing), and so must one entry of a live
 * grant (design §12: the ledger rules). A credential that mirrors an ended grant counts for nothing. Where the tenant takes over from other
 * software (`grants: credential`) credentials count alone, except those whose grant we ended ourselves.
 */
export async function entitle(
  request: AccessRequest,
  wish: Wish,
  config: Pick<EOverdrachtConfig, 'lenientTypeCase'>,
  information: PolicyInformation,
): Promise<Entitlement> {
  const { user, credentials } = request.subject;
  const named = credentials.filter((credential) => entries(credential.resources, wish, config.lenientTypeCase).length > 0);
  if (named.length === 0) return { entitled: false, code: 'no_credential', ownLiveGrant: false };
  const known = await information.grants(wish.path);
  const alive: AuthorizationCredential[] = [];
  for (const credential of named) {
    const mirrored =
      known.find((grant) => grant.credentialId === credential.id) ?? (await mirrorOf(credential, request, information));
    if (mirrored?.state !== 'ended') alive.push(credential);
  }
  if (alive.length === 0) return { entitled: false, code: 'grant_ended', ownLiveGrant: false };
  const live = known.filter((grant) => isLive(grant, request) && entries(grant.resources, wish, false).length > 0);
  if (request.context.grants === 'ledger' && live.length === 0)
    return { entitled: false, code: 'no_live_grant', ownLiveGrant: false };

  let code: Missing = 'user_missing';
  for (const credential of alive) {
    for (const entry of entries(credential.resources, wish, config.lenientTypeCase)) {
      const lack = userLack(entry, wish, user);
      if (lack !== undefined) {
        code = lack;
        continue;
      }
      if (request.context.grants === 'credential') return { entitled: true, credential };
      for (const grant of live) {
        const lacks = entries(grant.resources, wish, false).map((each) => userLack(each, wish, user));
        if (lacks.includes(undefined)) return { entitled: true, credential, grant };
        code = lacks.find((each) => each !== undefined) ?? code;
      }
    }
  }
  return { entitled: false, code, ownLiveGrant: live.length > 0 };
}

/** With credentials alone the ledger is asked by credential: what we ended stays ended. */
async function mirrorOf(
  credential: AuthorizationCredential,
  request: AccessRequest,
  information: PolicyInformation,
): Promise<Grant | undefined> {
  return request.context.grants === 'credential' ? information.grantOfCredential(credential.id) : undefined;
}

function isLive(grant: Grant, request: AccessRequest): boolean {
  return (
    grant.state === 'live' &&
    grant.requester === request.subject.organization.id &&
    grant.purpose === request.context.purpose &&
    (grant.expiresAt === undefined || grant.expiresAt > request.context.now)
  );
}

/** The entries that name the path and the operation. Exact, whole and case-sensitive; operations in any case (facts §5.7). */
function entries(resources: readonly GrantedResource[], wish: Wish, lenientTypeCase: boolean): readonly GrantedResource[] {
  return resources.filter(
    (entry) =>
      namesPath(entry.path, wish, lenientTypeCase) &&
      entry.operations.some((operation) => operation.toLowerCase() === wish.operation),
  );
}

function namesPath(path: string, wish: Wish, lenientTypeCase: boolean): boolean {
  const rooted = path.startsWith('/') ? path : `/${path}`;
  if (rooted === wish.path) return true;
  if (!lenientTypeCase) return false;
  // The wish's type is exact, so a type segment that differs in case only means the same type; the id stays as it is.
  const [, type, ...rest] = rooted.split('/');
  return type?.toLowerCase() === wish.type.toLowerCase() && `/${wish.type}/${rest.join('/')}` === wish.path;
}

/** No medical resource without a user, whatever an entry says (facts §5.7). */
function userLack(
  entry: GrantedResource,
  wish: Wish,
  user: ProvenUser | undefined,
): 'user_missing' | 'level_too_low' | undefined {
  if (!entry.userContext && wish.type === 'Task') return undefined;
  if (user === undefined) return 'user_missing';
  return reachesLevel(user.level, entry.assuranceLevel ?? 'low') ? undefined : 'level_too_low';
}

/** Days after a moment. */
export function daysAfter(now: Date, days: number): Date {
  return new Date(now.getTime() + days * DAY_MS);
}
