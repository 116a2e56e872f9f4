import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { JsonValue } from '../../src/fhir/json.ts';
import { readIntrospectionV2 } from '../../src/nuts/introspection.ts';
import { mapClaims, NOBODY, type Asker, type Mapped } from '../../src/token/claims.ts';
import { NO_CLAIMS } from '../../src/token/facts.ts';
import { RESERVED_CLAIMS } from '../../src/usecase/claims.ts';
import { defineUseCase, permitByRule, type Role } from '../../src/usecase/index.ts';
import { createRegistry } from '../../src/usecase/registry.ts';

const role = (change: Partial<Role> = {}): Role => ({
  id: 'reader',
  purpose: '',
  scopes: ['chart'],
  fhirVersion: 'R4',
  rules: [],
  ...change,
});
const subject = { organization: NOBODY, scopes: ['chart'], claims: NO_CLAIMS, credentials: [] };
const asker = (claims: Record<string, JsonValue>, proof?: Asker['proof']): Asker => ({
  subject,
  claims: new Map(Object.entries(claims)),
  ...(proof === undefined ? {} : { proof }),
});
const map = (claims: Record<string, JsonValue>, change: Partial<Role> = {}): Mapped =>
  mapClaims(role(change), asker({ organization_did: 'did:web:x', ...claims }));

describe('the organisation that asks with a v2 token', () => {
  it.each<[string, Record<string, JsonValue>, string]>([
    ['its DID', { organization_did: 'did:web:x', organization_ura: '1', organization_name: 'X' }, 'did:web:x'],
    ['its id', { organization_id: '7', organization_ura: '1' }, '7'],
    ['its URA', { organization_ura: '00000001', organization_name: 'X' }, '00000001'],
    ['its name, where a policy gives nothing else', { organization_name: 'Caresoft B.V.' }, 'Caresoft B.V.'],
    ['the next, when a field was optional and absent', { organization_did: null, organization_ura: '1' }, '1'],
    ['nobody, without any of these: client_id is nobody’s proof', { client_id: 'https://x' }, ''],
  ])('is %s', (_what, claims, id) => {
    const { subject: mapped, fault } = mapClaims(role(), asker(claims));
    expect([mapped.organization.id, fault]).toEqual([id, undefined]);
  });

  it('is what the role says, and only that', () => {
    const named = role({ organization: { id: 'care_provider', name: 'care_provider_name' } });
    expect(
      mapClaims(named, asker({ care_provider: '1', care_provider_name: 'X', organization_did: 'did:web:x' })).subject
        .organization,
    ).toEqual({
      id: '1',
      name: 'X',
    });
    expect(mapClaims(named, asker({ organization_did: 'did:web:x' })).subject.organization.id).toBe('');
  });

  it.each<[string, JsonValue]>([
    ['a list (T31)', ['00000001', '00000002']],
    ['a list of one (T31)', ['00000001']],
    ['an object', { id: '1' }],
    ['a number: its leading zeros are lost (T31)', 1],
    ['true', true],
    ['empty', ''],
    ['a blank', ' '],
    ['with a blank at its end', '00000001 '],
    ['with a line end', '0000\n0001'],
    ['with a character that nobody sees', '0000\u200b0001'],
    ['longer than 256', '1'.repeat(257)],
    ['like a DID, which is not what a URA is', 'did:nuts:somebody'],
  ])('is nobody, and the request a denial, when the claim is %s', (_what, value) => {
    const { subject: mapped, fault } = mapClaims(role(), asker({ organization_ura: value }));
    expect([mapped.organization.id, fault?.code]).toEqual(['', 'claim_malformed']);
  });

  it('never has a DID’s place without being one', () => {
    expect(mapClaims(role(), asker({ organization_did: 'Caresoft' })).fault?.code).toBe('claim_malformed');
  });
});

describe('claims of a v2 token', () => {
  it('are seen when they are on the role’s list, and no others', () => {
    const { subject: mapped, fault } = map(
      { patient_bsn: '999', employee_role: 'Nurse' },
      { claims: { employee_role: { type: 'string' } } },
    );
    expect(fault).toBeUndefined();
    expect([...mapped.claims]).toEqual([['employee_role', 'Nurse']]);
  });

  it.each<[string, Role['claims'] & object, JsonValue]>([
    ['text', { c: { type: 'string' } }, 'x'],
    ['text of a form', { c: { type: 'string', pattern: /\d{3}/ } }, '123'],
    ['a list', { c: { type: 'string-list' } }, ['x', 'y']],
    ['an empty list', { c: { type: 'string-list' } }, []],
    ['a number', { c: { type: 'number' } }, 5],
    ['a truth value', { c: { type: 'boolean' } }, false],
  ])('of the right type are seen: %s', (_what, claims, value) => {
    const { subject: mapped, fault } = map({ c: value }, { claims });
    expect([mapped.claims.get('c'), fault]).toEqual([value, undefined]);
  });

  it.each<[string, Role['claims'] & object, JsonValue]>([
    ['a list for text', { c: { type: 'string' } }, ['x']],
    ['a number for text', { c: { type: 'string' } }, 1],
    ['text for a list', { c: { type: 'string-list' } }, 'x'],
    ['a list of other things', { c: { type: 'string-list' } }, ['x', 1]],
    ['text for a number', { c: { type: 'number' } }, '1'],
    ['text for a truth value', { c: { type: 'boolean' } }, 'true'],
    ['an object', { c: { type: 'string' } }, {}],
    ['text of another form', { c: { type: 'string', pattern: /\d{3}/ } }, '1234'],
    ['text with more lines, whatever the flags', { c: { type: 'string', pattern: /^\d{3}$/m } }, '123\nx'],
    ['a list with one of another form', { c: { type: 'string-list', pattern: /\d/ } }, ['1', '22']],
  ])('of a wrong type are a denial: %s', (_what, claims, value) => {
    const { subject: mapped, fault } = map({ c: value }, { claims });
    expect([mapped.claims.size, fault?.code]).toEqual([0, 'claim_malformed']);
    expect(fault?.text).not.toContain('123');
  });

  it('may be required: one that is missing, or null, is a denial', () => {
    const claims = { employee_identifier: { type: 'string', required: true } } as const;
    expect(map({ employee_identifier: '1' }, { claims }).fault).toBeUndefined();
    expect(map({}, { claims }).fault?.code).toBe('claim_missing');
    expect(map({ employee_identifier: null }, { claims }).fault?.code).toBe('claim_missing');
    expect(map({}, { claims: { employee_identifier: { type: 'string' } } }).fault).toBeUndefined();
  });

  it('cannot be changed by a policy', () => {
    const { claims } = map({ c: ['x'] }, { claims: { c: { type: 'string-list' } } }).subject;
    expect(() => (claims as Map<string, unknown>).set('c', 'y')).toThrow(TypeError);
    expect(() => (claims.get('c') as unknown[]).push('y')).toThrow(TypeError);
  });

  it('of any shape never give a subject that says more than the list', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (said) => {
        const claims = new Map(Object.entries(said as Record<string, JsonValue>));
        const mapped = mapClaims(role({ claims: { a: { type: 'string' }, b: { type: 'number' } } }), { subject, claims });
        expect([...mapped.subject.claims.keys()].every((name) => name === 'a' || name === 'b')).toBe(true);
        expect(['undefined', 'string']).toContain(typeof mapped.subject.claims.get('a'));
        expect(mapped.subject.scopes).toEqual(['chart']);
      }),
    );
  });
});

describe('members of the protocol', () => {
  it.each([...RESERVED_CLAIMS])('are no claims: a role that reads %s is not loaded (T30)', (name) => {
    const load = (change: Partial<Role>) =>
      createRegistry([
        defineUseCase({ id: 'chart', title: '', roles: [role(change)], parseConfig: () => undefined, decide: permitByRule }),
      ]);
    // As JSON has it: written in code, `__proto__` would be no member.
    const claims = Object.fromEntries([[name, { type: 'string' as const }]]);
    expect(() => load({ claims })).toThrow(`chart/reader reads the claim ${name}`);
    expect(() => load({ organization: { id: name } })).toThrow(name);
    expect(() => load({ claims: { employee_role: { type: 'string' } } })).not.toThrow();
  });

  it('are never among the claims of an answer, whatever a policy’s fields are called (T30)', () => {
    const said = { active: true, iss: 'i', scope: 's', client_id: 'c', vps: [], token_type: 't', employee_role: 'Nurse' };
    const answer = readIntrospectionV2(Buffer.from(JSON.stringify(said)));
    expect(answer.active && [...answer.claims]).toEqual([['employee_role', 'Nurse']]);
  });
});

describe('a role that asks a proof', () => {
  it('does not take an unbound token, of either generation', () => {
    const strict = role({ proof: 'required' });
    expect(mapClaims(strict, asker({ organization_did: 'did:web:x' })).fault?.code).toBe('proof_required');
    expect(mapClaims(strict, { subject }).fault?.code).toBe('proof_required');
    expect(mapClaims(strict, asker({ organization_did: 'did:web:x' }, { jkt: 'k' })).fault).toBeUndefined();
    expect(mapClaims(role(), { subject }).fault).toBeUndefined();
  });
});

describe('the person that asks with a v2 token', () => {
  const user = { id: 'employee_identifier', name: 'employee_name', role: 'employee_role' };
  const person = { employee_identifier: '123456', employee_name: 'John Doe', employee_role: 'Nurse' };

  it('is whom the claims name that the role names, at level low (RFC019)', () => {
    expect(map(person, { user }).subject.user).toEqual({
      id: '123456',
      initials: '',
      familyName: 'John Doe',
      role: 'Nurse',
      level: 'low',
    });
    expect(map({ ...person, employee_role: null }, { user }).subject.user).not.toHaveProperty('role');
  });

  it.each<[string, Record<string, JsonValue>, Partial<Role>]>([
    ['the role names no claims for one', person, {}],
    ['there is no id', { ...person, employee_identifier: null }, { user }],
    ['there is no name', { employee_identifier: '123456' }, { user }],
  ])('is nobody where %s (T33)', (_why, claims, change) => {
    const { subject: mapped, fault } = map(claims, change);
    expect([mapped.user, fault]).toEqual([undefined, undefined]);
  });

  it.each<[string, JsonValue]>([
    ['a list', ['123456', '654321']],
    ['a number', 123456],
    ['empty', ''],
  ])('is a denial where a claim of it is %s (T31)', (_what, value) => {
    const { subject: mapped, fault } = map({ ...person, employee_identifier: value }, { user });
    expect([mapped.user, fault?.code]).toEqual([undefined, 'claim_malformed']);
  });
});
