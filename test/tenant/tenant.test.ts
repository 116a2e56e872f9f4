import { describe, expect, it } from '@jest/globals';
import { isOwnOrganization, organizationIdsOf, type TenantIdentity } from '../../src/tenant/tenant.ts';

describe('the organisation of a tenant', () => {
  const v1: TenantIdentity = { did: 'did:nuts:a' };
  const v2: TenantIdentity = { did: '', subject: 'a', authorizationServerUrl: 'https://node.example/oauth2/a' };
  const named: TenantIdentity = { ...v2, organizationIds: ['did:web:a', '1'] };

  it('has the names that it has, the DID of v1 first, each once', () => {
    expect([v1, v2, named, { ...named, did: 'did:nuts:a' }, { did: '1', organizationIds: ['1'] }].map(organizationIdsOf)).toEqual(
      [['did:nuts:a'], [], ['did:web:a', '1'], ['did:nuts:a', 'did:web:a', '1'], ['1']],
    );
  });

  it('is itself by id or by URA, and is nobody where nothing is named', () => {
    expect(isOwnOrganization(v1, { id: 'did:nuts:a' })).toBe(true);
    expect(isOwnOrganization(v1, { id: 'did:nuts:b' })).toBe(false);
    expect(isOwnOrganization(named, { id: 'did:web:b', ura: '1' })).toBe(true);
    expect(isOwnOrganization(named, { id: 'did:web:b', ura: '2' })).toBe(false);
    expect(isOwnOrganization(v2, { id: '' })).toBe(false);
    expect(isOwnOrganization(v2, { id: 'https://node.example/oauth2/a' })).toBe(false);
  });
});
