import { describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createClock } from '../../src/clock.ts';
import { parseConfig } from '../../src/config.ts';
import { createMetrics } from '../../src/metrics.ts';
import { createDecisionPoint } from '../../src/pdp/decide.ts';
import { createAuthenticator, type AuthenticatedCaller } from '../../src/token/authenticate.ts';
import { createIntrospection } from '../../src/token/introspection.ts';
import { createRegistry } from '../../src/usecase/registry.ts';
import eoverdracht from '../../usecases/eoverdracht/index.ts';

// What the node says about a token, and what of it counts: cases that no honest node would make a token for.

const file = join(import.meta.dirname, '../../config.example.yaml');
const [tenant] = parseConfig(readFileSync(file, 'utf8'), { file, environment: {} }).tenants;
const custodian = tenant!.identity.did;
const requester = 'did:nuts:GvkzxsezHvEc8nGhgz6Xo3jbqkHwswLmWw3CYtCm7hAW';

const credential = {
  id: `${custodian}#1`,
  type: ['VerifiableCredential', 'NutsAuthorizationCredential'],
  issuer: custodian,
  issuanceDate: new Date(Date.now() - 60_000).toISOString(),
  expirationDate: new Date(Date.now() + 3_600_000).toISOString(),
  credentialSubject: {
    id: requester,
    purposeOfUse: 'eOverdracht-sender',
    resources: [{ path: '/Task/1', operations: ['read'], userContext: false }],
  },
};

const employee = { initials: 'W', family_name: 'XXX_West', username: 'w@example.org', email: '', assurance_level: 'low' };

/** Who asks, as the gate sees it, when the node answers an introspection so. */
async function caller(change: object): Promise<AuthenticatedCaller> {
  const nowS = Math.floor(Date.now() / 1000);
  const answer = {
    active: true,
    iss: custodian,
    sub: requester,
    service: 'eOverdracht-sender',
    iat: nowS - 1,
    exp: nowS + 59,
    vcs: [credential.id],
    resolvedVCs: [credential],
    ...change,
  };
  const clock = createClock();
  const node = {
    introspectV1: () => Promise.resolve(answer),
    introspectV2: () => Promise.resolve({ active: false } as const),
    isHealthy: () => Promise.resolve(true),
  };
  const introspection = createIntrospection({ node, clock, metrics: createMetrics(false) });
  const proofIds = { use: () => Promise.resolve(false) };
  const request = { authorization: 'Bearer a.b.c', dpop: undefined, method: 'GET', target: '/a/fhir/Task/1' };
  return createAuthenticator({ introspection, proofIds, clock }).authenticate(tenant!, request, false);
}

async function counted(change: object): Promise<readonly string[]> {
  return (await caller({ resolvedVCs: [{ ...credential, ...change }] })).subject.credentials.map(({ id }) => id);
}

describe('a token that the node calls active', () => {
  it('without a service is for no use case, which is a denial (check 6)', async () => {
    const { purposes } = await caller({ service: undefined });
    expect(purposes).toEqual([]);
    const decisions = createDecisionPoint({
      registry: createRegistry([eoverdracht]),
      settings: { serves: () => true, configOf: () => undefined },
      sources: {
        matching: () => Promise.resolve([]),
        byCredential: () => Promise.resolve(undefined),
        read: () => Promise.resolve(undefined),
        record: () => Promise.resolve(undefined),
      },
    });
    expect(decisions.select(tenant!, purposes)).toMatchObject({ effect: 'deny', reason: { code: 'purpose_unknown' } });
    expect(decisions.select(tenant!, ['eOverdracht-sender'])).toMatchObject({ role: { id: 'sender' } });
  });

  it('is taken when it is of this tenant', async () => {
    const { subject, purposes } = await caller({});
    expect([subject.organization.id, purposes, subject.credentials.map(({ id }) => id)]).toEqual([
      requester,
      ['eOverdracht-sender'],
      [credential.id],
    ]);
  });

  it.each(['did:nuts:9999999999999999999999999999999999999999999', `${custodian}x`, '', undefined, [custodian]])(
    'is refused with 401 when its issuer is not this tenant: %j (check 7)',
    async (iss) => {
      await expect(caller({ iss })).rejects.toMatchObject({ code: 'token_invalid', status: 401 });
    },
  );
});

describe('a credential of the token', () => {
  const future = new Date(Date.now() + 600_000).toISOString();
  const past = new Date(Date.now() - 600_000).toISOString();
  const about = credential.credentialSubject;

  it.each([
    ['is about somebody else', { credentialSubject: { ...about, id: 'did:nuts:other' } }],
    ['is of another issuer', { issuer: 'did:nuts:other' }],
    ['is for another purpose', { credentialSubject: { ...about, purposeOfUse: 'zorginzage' } }],
    ['has expired', { expirationDate: past }],
    ['is not valid yet', { issuanceDate: future }],
    ['is of another type, whatever it lists', { type: ['VerifiableCredential', 'NutsOrganizationCredential'] }],
  ])('counts for nothing when it %s (checks 16, 17, 18, 19, 21)', async (_when, change) => {
    expect(await counted(change)).toEqual([]);
    expect(await counted({})).toEqual([credential.id]);
  });
});

describe('the user of a token', () => {
  it('may be an employee without an e-mail address, at level low (check 54)', async () => {
    expect((await caller(employee)).subject.user).toMatchObject({ id: 'w@example.org', familyName: 'XXX_West', level: 'low' });
  });

  it('is none when all claims are empty (check 53)', async () => {
    const empty = { initials: '', prefix: '', family_name: '', username: '', email: '', assurance_level: '' };
    expect((await caller(empty)).subject.user).toBeUndefined();
  });

  it('is none with an e-mail address alone, and none without a level (checks 55, 56)', async () => {
    expect((await caller({ email: 'w@example.org', assurance_level: 'low' })).subject.user).toBeUndefined();
    expect((await caller({ ...employee, assurance_level: '' })).subject.user).toBeUndefined();
  });
});
