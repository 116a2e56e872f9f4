import { createClock } from '../../src/clock.ts';
import type { Tenant } from '../../src/tenant/tenant.ts';
import { parseIntrospectionV1, type TokenFactsV1 } from '../../src/token/facts.ts';

export const CUSTODIAN = 'did:nuts:custodian';
export const REQUESTER = 'did:nuts:requester';
export const PURPOSE = 'notes-sender';

export const clock = createClock();
export const nowSeconds = (): number => Math.floor(clock.now().getTime() / 1000);

export function tenantOf(
  id = 'a',
  change: { readonly node?: Partial<Tenant['node']>; readonly did?: string; readonly url?: string } = {},
): Tenant {
  return {
    id,
    name: id,
    identity: {
      did: change.did ?? CUSTODIAN,
      ...(change.url === undefined ? {} : { subject: id, authorizationServerUrl: change.url }),
    },
    publicUrl: `https://gate.example/${id}`,
    node: {
      url: 'http://127.0.0.1:1',
      generations: ['v1'],
      introspectionTimeoutMs: 1_000,
      introspectionCacheMs: 5_000,
      ...change.node,
    },
    fhir: {
      url: 'http://127.0.0.1:1/fhir',
      version: 'STU3',
      login: { kind: 'none' },
      tls: {},
      timeoutMs: 1_000,
      document: 'upstream',
      xml: 'none',
    },
    outbound: {},
    grants: 'ledger',
    useCases: new Map(),
    limits: { concurrentRequests: 64, maxAnswerBytes: 1_000_000, bundleEntries: 20 },
  };
}

/** What a node says about a good token, with one difference. */
export function said(change: object = {}): Record<string, unknown> {
  const iat = nowSeconds();
  return { active: true, iss: CUSTODIAN, sub: REQUESTER, aud: '', service: PURPOSE, iat, exp: iat + 60, ...change };
}

/** A credential that counts, with one difference. */
export function credential(change: object = {}, subject: object = {}): Record<string, unknown> {
  return {
    id: `${CUSTODIAN}#1`,
    type: ['VerifiableCredential', 'NutsAuthorizationCredential'],
    issuer: CUSTODIAN,
    issuanceDate: new Date(clock.now().getTime() - 60_000).toISOString(),
    expirationDate: new Date(clock.now().getTime() + 60_000).toISOString(),
    credentialSubject: {
      id: REQUESTER,
      purposeOfUse: PURPOSE,
      resources: [{ path: '/Task/1', operations: ['read'], userContext: false }],
      ...subject,
    },
    ...change,
  };
}

export function factsOf(change: object = {}): TokenFactsV1 {
  const parsed = parseIntrospectionV1(said(change));
  if (!parsed.active || parsed.facts.generation !== 'v1') throw new Error('inactive');
  return parsed.facts;
}
