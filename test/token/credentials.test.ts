import { describe, expect, it } from '@jest/globals';
import { filterCredentials } from '../../src/token/credentials.ts';
import { clock, credential, CUSTODIAN, factsOf, REQUESTER } from './support.ts';

const ID = `${CUSTODIAN}#1`;

function filter(resolved: unknown, change: object = {}): ReturnType<typeof filterCredentials> {
  return filterCredentials(factsOf({ vcs: [ID], resolvedVCs: resolved, ...change }), CUSTODIAN, clock.now().getTime());
}
const hours = (count: number): string => new Date(clock.now().getTime() + count * 3_600_000).toISOString();

describe('a credential of a token', () => {
  it('counts when its type, issuer, subject, purpose and time are right', () => {
    const { genuine, dropped } = filter([credential()]);
    expect(dropped).toEqual([]);
    expect(genuine).toHaveLength(1);
    expect(genuine[0]).toMatchObject({ id: ID, resources: [{ path: '/Task/1', operations: ['read'], userContext: false }] });
    expect(Object.isFrozen(genuine[0])).toBe(true);
  });

  it('counts whether the node prints a list or the one in it', () => {
    const subject = credential()['credentialSubject'];
    const one = { path: '/Task/1', operations: 'read', userContext: false };
    for (const each of [
      credential({ credentialSubject: [subject] }),
      credential({ type: 'NutsAuthorizationCredential' }),
      credential({ issuer: { id: CUSTODIAN } }),
      credential({}, { resources: one }),
    ]) {
      const { genuine } = filter([each]);
      expect(genuine).toHaveLength(1);
      expect(genuine[0]?.resources).toEqual([{ ...one, operations: ['read'] }]);
    }
    expect(filter(credential()).genuine).toHaveLength(1);
  });

  it('counts without an end, and gets its slash and its letters (checks 26, 50)', () => {
    const { genuine } = filter([
      credential({ expirationDate: undefined }, { resources: [{ path: 'Task/1', operations: ['READ', 'Update'] }] }),
    ]);
    expect(genuine[0]).toEqual({
      id: ID,
      resources: [{ path: '/Task/1', operations: ['read', 'update'], userContext: false }],
    });
  });

  it.each<[string, string, object, object]>([
    ['the type is another (check 21)', 'other_type', { type: ['VerifiableCredential', 'NutsOrganizationCredential'] }, {}],
    ['the type differs in letter case', 'other_type', { type: 'nutsauthorizationcredential' }, {}],
    ['somebody else issued it (check 17)', 'other_issuer', { issuer: 'did:nuts:somebody' }, {}],
    ['the requester issued it to itself (check 17)', 'other_issuer', { issuer: REQUESTER }, {}],
    ['the issuer is an object of somebody else', 'other_issuer', { issuer: { id: 'did:nuts:somebody' } }, {}],
    ['it has no issuer', 'other_issuer', { issuer: undefined }, {}],
    ['its subject is somebody else, the confused deputy (check 16)', 'other_subject', {}, { id: 'did:nuts:other' }],
    ['it has no subject (T34)', 'other_subject', {}, { id: undefined }],
    ['it has two subjects', 'other_subject', { credentialSubject: [{ id: REQUESTER }, { id: REQUESTER }] }, {}],
    ['its purpose is another (check 18)', 'other_purpose', {}, { purposeOfUse: 'notes-receiver' }],
    ['it has no purpose', 'other_purpose', {}, { purposeOfUse: undefined }],
    ['it is not valid yet (check 19)', 'not_yet_issued', { issuanceDate: hours(1) }, {}],
    ['its beginning cannot be read', 'not_yet_issued', { issuanceDate: 'yesterday' }, {}],
    ['it has no beginning', 'not_yet_issued', { issuanceDate: undefined }, {}],
    ['it has expired (check 19)', 'expired', { expirationDate: hours(-0.001) }, {}],
    ['its end cannot be read', 'expired', { expirationDate: '2099-13-45' }, {}],
    ['its end is a number', 'expired', { expirationDate: 4_102_444_800 }, {}],
    ['its id is not in the token', 'not_in_vcs', { id: `${CUSTODIAN}#2` }, {}],
    ['it has no id', 'no_id', { id: undefined }, {}],
    ['its id is empty', 'no_id', { id: '' }, {}],
  ])('counts for nothing when %s: %s', (_what, reason, change, subject) => {
    const { genuine, dropped } = filter([credential(change, subject)]);
    expect(genuine).toEqual([]);
    expect(dropped[0]?.reason).toBe(reason);
  });

  it('that was revoked is only named, not resolved, and counts for nothing (check 20)', () => {
    expect(filter([])).toEqual({ genuine: [], dropped: [{ id: ID, reason: 'not_resolved' }] });
    expect(filter(null)).toEqual({ genuine: [], dropped: [{ id: ID, reason: 'not_resolved' }] });
  });

  it('that comes as text counts for nothing, and spoils nothing beside it', () => {
    const { genuine, dropped } = filter(['eyJ.a.b', credential()]);
    expect(genuine).toHaveLength(1);
    expect(dropped).toEqual([{ reason: 'no_id' }]);
  });

  it('with a line that cannot be read has no such line', () => {
    const lines = [
      { operations: ['read'] },
      { path: '', operations: ['read'] },
      { path: 7, operations: ['read'] },
      { path: '/Task/2', operations: ['read'], userContext: 'false' },
      { path: '/Task/3', operations: ['read'], assuranceLevel: 'none' },
      'x',
      { path: '/Task/4', operations: ['read'] },
    ];
    expect(filter([credential({}, { resources: lines })]).genuine[0]?.resources.map(({ path }) => path)).toEqual(['/Task/4']);
  });

  it('counts for nothing at a token without a requester, and for another purpose of the token (T34)', () => {
    expect(filter([credential({}, { id: '' })], { sub: undefined }).dropped[0]?.reason).toBe('other_subject');
    expect(filter([credential({}, { purposeOfUse: '' })], { service: undefined }).dropped[0]?.reason).toBe('other_purpose');
  });

  it('is judged at the moment of the request: what counted a minute ago may have ended', () => {
    const facts = factsOf({ vcs: [ID], resolvedVCs: [credential()] });
    const now = clock.now().getTime();
    expect(filterCredentials(facts, CUSTODIAN, now).genuine).toHaveLength(1);
    expect(filterCredentials(facts, CUSTODIAN, now + 61_000).genuine).toEqual([]);
    expect(filterCredentials(facts, 'did:nuts:b', now).genuine).toEqual([]);
  });
});

describe('a user in a token', () => {
  const whole = { family_name: 'Vos', initials: 'J.', username: 'j.vos', assurance_level: 'low' };

  it('is proven by name, initials, an id and a level (checks 53, 54)', () => {
    expect(factsOf(whole).user).toEqual({ id: 'j.vos', familyName: 'Vos', initials: 'J.', level: 'low' });
    expect(factsOf({ ...whole, username: '', email: 'j@example.org' }).user?.id).toBe('j@example.org');
  });

  it.each([
    ['family_name', ''],
    ['family_name', '  '],
    ['initials', ''],
    ['username', ''],
    ['assurance_level', ''],
    ['assurance_level', 'none'],
    ['assurance_level', ['high']],
  ])('is no user when %s is %j (checks 53, 55)', (name, value) => {
    expect(factsOf({ ...whole, [name]: value }).user).toBeUndefined();
  });
});
