import { describe, expect, it } from '@jest/globals';
import type { AccessRequest, Grant, PolicyInformation } from 'sluis/usecase';
import useCase from './index.ts';

// One request that is permitted, and for every denial the one difference that matters.

const now = new Date('2026-03-01T09:00:00Z');

const base: AccessRequest = {
  subject: {
    organization: { id: 'did:nuts:requester' },
    user: { id: 'u1', initials: 'J.', familyName: 'Vos', level: 'low' },
    scopes: ['template-holder'],
    claims: new Map(),
    credentials: [],
  },
  action: { kind: 'read', type: 'Observation', id: '1', head: false, parameters: [] },
  resource: { path: '/Observation/1', type: 'Observation', id: '1' },
  context: {
    tenantId: 'oost',
    custodian: 'did:nuts:custodian',
    role: 'holder',
    purpose: 'template-holder',
    rule: 'observation-read',
    now,
    grants: 'ledger',
  },
};

const grant: Grant = {
  id: 'grant-1',
  requester: 'did:nuts:requester',
  purpose: 'template-holder',
  state: 'live',
  kind: 'reading',
  recordId: 'record-1',
  resources: [{ path: '/Observation/1', operations: ['read'], userContext: true }],
  patient: 'Patient/1',
  expiresAt: new Date('2026-04-01T09:00:00Z'),
};

function knowing(...grants: readonly Grant[]): PolicyInformation {
  return {
    grants: (path) => Promise.resolve(grants.filter(({ resources }) => resources.some((entry) => entry.path === path))),
    grantOfCredential: () => Promise.resolve(undefined),
    read: () => Promise.resolve(undefined),
    record: () => Promise.resolve(undefined),
  };
}

const config = useCase.parseConfig(undefined);

describe('read by grant', () => {
  it('permits the read of what was granted', async () => {
    expect(await useCase.decide(base, config, knowing(grant))).toMatchObject({
      effect: 'permit',
      grantId: 'grant-1',
      patient: { reference: 'Patient/1', proof: 'grant' },
    });
  });

  it.each<[string, readonly Grant[]]>([
    ['there is no grant', []],
    ['the grant is not live yet', [{ ...grant, state: 'pending' }]],
    ['the grant has ended', [{ ...grant, state: 'ended' }]],
    ['the grant has expired', [{ ...grant, expiresAt: now }]],
    ['the grant is for another operation', [{ ...grant, resources: [{ ...grant.resources[0]!, operations: ['update'] }] }]],
    ['the grant is for another resource', [{ ...grant, resources: [{ ...grant.resources[0]!, path: '/Observation/12' }] }]],
  ])('denies it when %s', async (_when, grants) => {
    const decision = await useCase.decide(base, config, knowing(...grants));
    expect(decision).toEqual({ effect: 'deny', reason: { code: 'no_live_grant', text: 'no live grant names this path' } });
  });

  it('denies it without a user, and says so because the grant is the caller’s own', async () => {
    const { user: _user, ...organizationOnly } = base.subject;
    const decision = await useCase.decide({ ...base, subject: organizationOnly }, config, knowing(grant));
    expect(decision).toMatchObject({ effect: 'deny', reason: { public: 'user_context_required' } });
  });

  it('permits it without a user where the tenant has it so', async () => {
    const { user: _user, ...organizationOnly } = base.subject;
    const relaxed = useCase.parseConfig({ userRequired: false });
    expect(await useCase.decide({ ...base, subject: organizationOnly }, relaxed, knowing(grant))).toMatchObject({
      effect: 'permit',
    });
  });

  it('denies every other interaction, whatever is granted', async () => {
    const decision = await useCase.decide(
      { ...base, action: { kind: 'delete', type: 'Observation', id: '1' } },
      config,
      knowing(grant),
    );
    expect(decision).toMatchObject({ effect: 'deny', reason: { code: 'interaction_not_offered' } });
  });

  it('refuses a setting that it does not know', () => {
    expect(() => useCase.parseConfig({ userRequird: false })).toThrow(/userRequird/);
  });
});
