import type {
  AccessRequest,
  AuthorizationCredential,
  Grant,
  GrantedResource,
  Interaction,
  JsonObject,
  PolicyInformation,
  ProvenUser,
} from 'sluis/usecase';
import { PURPOSE } from './transfer.ts';

/** Requests, credentials and grants for tests of the policy: a base that is permitted, and the difference that matters. */

export const now = new Date('2026-03-01T09:00:00Z');
export const user: ProvenUser = { id: 'u1', initials: 'J.', familyName: 'Vos', level: 'low' };

export const T1 = '/Task/T1';
export const A1 = '/Composition/A1';
export const N1 = '/Composition/N1';

export const taskEntry: GrantedResource = { path: T1, operations: ['read', 'update'], userContext: false };

/** Entries of a document: its Composition and what it refers to. */
export function documentEntries(composition: string, ...others: readonly string[]): readonly GrantedResource[] {
  return [
    { path: composition, operations: ['read', 'document'], userContext: true, assuranceLevel: 'low' },
    ...others.map((path): GrantedResource => ({ path, operations: ['read'], userContext: true, assuranceLevel: 'low' })),
  ];
}

export function credential(id: string, resources: readonly GrantedResource[]): AuthorizationCredential {
  return { id, resources };
}

export function grantFor(credentialId: string, resources: readonly GrantedResource[], more: Partial<Grant> = {}): Grant {
  return {
    id: `grant-${credentialId}`,
    requester: 'did:nuts:r1',
    purpose: PURPOSE,
    state: 'live',
    kind: 'task',
    recordId: 'transfer-1',
    resources,
    credentialId,
    patient: 'Patient/p1',
    ...more,
  };
}

export interface RequestDifference {
  readonly requester?: string;
  readonly role?: string;
  readonly user?: ProvenUser;
  readonly credentials?: readonly AuthorizationCredential[];
  readonly mode?: 'ledger' | 'credential';
  readonly at?: Date;
}

export function requestFor(action: Interaction, difference: RequestDifference = {}): AccessRequest {
  const path = 'id' in action ? `/${action.type}/${action.id}` : 'type' in action ? `/${action.type}` : '/';
  return {
    subject: {
      organization: { id: difference.requester ?? 'did:nuts:r1' },
      ...(difference.user === undefined ? {} : { user: difference.user }),
      scopes: [PURPOSE],
      claims: new Map(),
      credentials: difference.credentials ?? [],
    },
    action,
    resource: { path, ...('type' in action ? { type: action.type } : {}), ...('id' in action ? { id: action.id } : {}) },
    context: {
      tenantId: 'oost',
      custodian: 'did:nuts:sender',
      role: difference.role ?? 'sender',
      purpose: PURPOSE,
      rule: 'rule',
      now: difference.at ?? now,
      grants: difference.mode ?? 'ledger',
    },
  };
}

/** A ledger that answers as the gate's: grants of the requester that name the path. */
export function ledger(
  grants: readonly Grant[],
  records: ReadonlyMap<string, unknown> = new Map(),
  resources: ReadonlyMap<string, JsonObject> = new Map(),
): PolicyInformation {
  return {
    grants: (path) => Promise.resolve(grants.filter((grant) => grant.resources.some((entry) => entry.path === path))),
    grantOfCredential: (id) => Promise.resolve(grants.find((grant) => grant.credentialId === id)),
    read: (type, id) => Promise.resolve(resources.get(`${type}/${id}`)),
    record: (_kind, id) => Promise.resolve(records.get(id)),
  };
}

export function read(path: string, more: { readonly head?: boolean; readonly key?: string } = {}): Interaction {
  const [, type = '', id = ''] = path.split('/');
  const parameters = more.key === undefined ? [] : [{ key: more.key, name: more.key, values: ['true'] }];
  return { kind: 'read', type, id, head: more.head ?? false, parameters };
}

export function document(path: string, more: { readonly method?: 'GET' | 'POST'; readonly key?: string } = {}): Interaction {
  const [, type = '', id = ''] = path.split('/');
  const parameters = more.key === undefined ? [] : [{ key: more.key, name: more.key, values: ['true'] }];
  return { kind: 'operation-instance', type, id, operation: '$document', method: more.method ?? 'GET', head: false, parameters };
}

export function update(path: string): Interaction {
  const [, type = '', id = ''] = path.split('/');
  return { kind: 'update', type, id };
}
