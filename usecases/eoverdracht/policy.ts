import {
  deny,
  permit,
  type AccessRequest,
  type Decision,
  type Interaction,
  type Obligation,
  type PolicyInformation,
} from 'sluis/usecase';
import type { EOverdrachtConfig } from './config.ts';
import { entitle, type Missing, type Wish } from './entitlement.ts';

const READ_PARAMETERS: ReadonlySet<string> = new Set(['_summary', '_elements']);

/** The policy of `eOverdracht-sender` (facts §6.5), after the gate has established who asks, of whom and for what. */
export async function decide(
  request: AccessRequest,
  config: EOverdrachtConfig,
  information: PolicyInformation,
): Promise<Decision> {
  if (request.context.role !== 'sender') return deny('role_has_no_fhir', 'this role gives no access to FHIR');
  const requester = request.subject.organization.id;
  if (requester === '') return deny('no_requester');
  if (requester === request.context.custodian && !config.allowSelf) return deny('requester_is_custodian');
  const wish = toWish(request.action);
  if (wish === undefined) return deny('interaction_not_offered', `${request.action.kind} is not part of eOverdracht`);

  const entitlement = await entitle(request, wish, config, information);
  if (!entitlement.entitled) {
    return deny(entitlement.code, TEXTS[entitlement.code], entitlement.ownLiveGrant ? SHOWN[entitlement.code] : undefined);
  }
  const { credential, grant } = entitlement;
  return permit('granted', {
    obligations: [
      ...obligations(request, wish),
      { kind: 'audit', attributes: { credential: credential.id, ...(grant === undefined ? {} : { transfer: grant.recordId }) } },
    ],
    credentialIds: [credential.id],
    ...(grant === undefined ? {} : { grantId: grant.id }),
    ...(grant?.patient === undefined ? {} : { patient: { reference: grant.patient, proof: 'grant' as const } }),
  });
}

/**
 * What eOverdracht offers at all, whatever a credential lists (facts §5.7): Task read and update, Composition read and document, and the
 * read of everything else. vread, history, create, patch, delete and search are never among it.
 */
export function toWish(action: Interaction): Wish | undefined {
  switch (action.kind) {
    case 'read':
      if (!action.parameters.every((parameter) => READ_PARAMETERS.has(parameter.key))) return undefined;
      return { path: `/${action.type}/${action.id}`, type: action.type, operation: 'read' };
    case 'update':
      return action.type === 'Task' ? { path: `/Task/${action.id}`, type: 'Task', operation: 'update' } : undefined;
    case 'operation-instance':
      // `persist` would store a Bundle, `graph` would change what is in it; a POST could carry either in its body (facts §3.4).
      if (action.type !== 'Composition' || action.operation !== '$document') return undefined;
      if (action.method !== 'GET' || action.parameters.length > 0) return undefined;
      return { path: `/Composition/${action.id}`, type: 'Composition', operation: 'document' };
    case 'vread':
    case 'patch':
    case 'delete':
    case 'history-instance':
    case 'history-type':
    case 'history-system':
    case 'create':
    case 'search-type':
    case 'search-system':
    case 'search-compartment':
    case 'capabilities':
    case 'options':
    case 'bundle':
    case 'operation-type':
    case 'operation-system':
    case 'conditional-create':
    case 'conditional-update':
    case 'conditional-patch':
    case 'conditional-delete':
      return undefined;
  }
}

function obligations(request: AccessRequest, wish: Wish): readonly Obligation[] {
  const list: Obligation[] = [];
  if (wish.operation === 'update') list.push({ kind: 'guard-write', guard: 'task' });
  if (wish.type === 'Task' && request.subject.user === undefined) list.push({ kind: 'review', review: 'task-privacy' });
  if (wish.operation === 'document') list.push({ kind: 'review', review: 'document' });
  return list;
}

const TEXTS: Readonly<Record<Missing, string>> = {
  no_credential: 'no credential of this token names the path with this operation',
  grant_ended: 'the grant that the credential mirrors has ended',
  no_live_grant: 'no live grant of the ledger names the path with this operation',
  user_missing: 'the path needs a proven user',
  level_too_low: 'the level of assurance of the user is too low for the path',
};

const SHOWN: Readonly<Record<Missing, 'user_context_required' | 'assurance_level_too_low' | undefined>> = {
  no_credential: undefined,
  grant_ended: undefined,
  no_live_grant: undefined,
  user_missing: 'user_context_required',
  level_too_low: 'assurance_level_too_low',
};
