import { deny, permit, type AccessRequest, type Decision, type Grant, type PolicyInformation } from 'sluis/usecase';
import type { TemplateConfig } from './config.ts';

/**
 * Judges one request. The gate has established who asks (`request.subject`), of whom and for what, and that a rule of the role matches.
 * A pure function of its arguments: the same request and the same look-ups give the same decision.
 */
export async function decide(request: AccessRequest, config: TemplateConfig, information: PolicyInformation): Promise<Decision> {
  // GET [base]/Observation/[id]
  if (request.action.kind !== 'read') return deny('interaction_not_offered');
  const { path } = request.resource;

  // The ledger answers for this tenant and this requester only, with grants in any state: which of them count is for the policy to say.
  const grants = await information.grants(path);
  const grant = grants.find((each) => isLive(each, request.context.now) && names(each, path));
  if (grant === undefined) return deny('no_live_grant', 'no live grant names this path');

  if (config.userRequired && request.subject.user === undefined) {
    // The third argument is what the caller may learn. Only here: its own live grant names the path.
    return deny('user_missing', 'the path needs a proven user', 'user_context_required');
  }
  return permit('granted', {
    grantId: grant.id,
    ...(grant.patient === undefined ? {} : { patient: { reference: grant.patient, proof: 'grant' as const } }),
  });
}

function isLive(grant: Grant, now: Date): boolean {
  return grant.state === 'live' && (grant.expiresAt === undefined || grant.expiresAt > now);
}

function names(grant: Grant, path: string): boolean {
  return grant.resources.some((entry) => entry.path === path && entry.operations.includes('read'));
}
