import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { definitionSchema, type Definition } from '../../../../src/sandbox/node/iam/definition.ts';
import { choose, claimsOf, conforms } from '../../../../src/sandbox/node/iam/exchange.ts';
import { valueAt } from '../../../../src/sandbox/node/iam/json-path.ts';

const credential = (organization: object, type = 'NutsOrganizationCredential') => ({
  type: ['VerifiableCredential', type],
  issuer: 'did:web:issuer.example',
  credentialSubject: { id: 'did:web:holder.example', organization },
});

const definition = (fields: object[], more: object = {}): Definition =>
  definitionSchema.parse({ id: 'pd', input_descriptors: [{ id: 'one', constraints: { fields } }], ...more });

const field = (path: string, filter?: object, more: object = {}) => ({
  id: 'x',
  path: [path],
  ...(filter ? { filter } : {}),
  ...more,
});
const NAME = '$.credentialSubject.organization.name';

/** The claim `x` of a credential with that name, `undefined` when it does not match. */
function claim(name: unknown, filter?: object, more: object = {}): unknown {
  const wanted = definition([field(NAME, filter, more)]);
  const { chosen, missing } = choose(wanted, [credential(name === undefined ? {} : { name })]);
  return missing === undefined ? claimsOf(wanted, chosen)['x'] : undefined;
}

describe('a field of a presentation definition', () => {
  it.each([
    ['a text', 'Care', { type: 'string' }, 'Care'],
    ['a constant', 'Care', { type: 'string', const: 'Care' }, 'Care'],
    ['one of a list', 'Care', { type: 'string', enum: ['Cure', 'Care'] }, 'Care'],
    ['a pattern, anywhere', 'Caresoft', { type: 'string', pattern: 'soft' }, 'soft'],
    ['its group', 'Caresoft B.V.', { type: 'string', pattern: '^(\\S+) ' }, 'Caresoft'],
    ['a number', 7, { type: 'number' }, 7],
    ['a list with a match', ['a', 'Care'], { type: 'string', const: 'Care' }, ['a', 'Care']],
    ['an object without a filter', { a: 1 }, undefined, { a: 1 }],
  ])('matches %s', (_, value, filter, expected) => {
    expect(claim(value, filter)).toEqual(expected);
  });

  it.each([
    ['another text', 'Cure', { type: 'string', const: 'Care' }],
    ['another type', 7, { type: 'string' }],
    ['none of a list', 'Cure', { type: 'string', enum: ['Care'] }],
    ['a list without a match', ['a'], { type: 'string', const: 'Care' }],
    ['nothing', undefined, { type: 'string' }],
  ])('does not match %s', (_, value, filter) => {
    expect(claim(value, filter)).toBeUndefined();
  });

  it('that is optional may be absent, then it is null; what is there must match', () => {
    expect(claim(undefined, { type: 'string' }, { optional: true })).toBeNull();
    expect(claim('Cure', { type: 'string', const: 'Care' }, { optional: true })).toBeUndefined();
  });

  it('fails as at a real node for a filter on an object, for two groups, and for a path in single quotes', () => {
    expect(() => claim({ a: 1 }, { type: 'string' })).toThrow('unsupported filter');
    expect(() => claim('ab', { type: 'string', pattern: '(a)(b)' })).toThrow('multiple regex capture groups');
    expect(() => choose(definition([field("$['type']")]), [credential({})])).toThrow('invalid JSON path');
  });

  it('is looked for at each of its paths', () => {
    const wanted = definition([
      { id: 'x', path: ['$.credentialSubject[0].organization.name', NAME], filter: { type: 'string' } },
    ]);
    expect(claimsOf(wanted, choose(wanted, [credential({ name: 'Care' })]).chosen)).toEqual({ x: 'Care' });
  });
});

describe('which credentials are wanted', () => {
  const descriptor = (id: string, type: string, group: string) => ({
    id,
    group: [group],
    constraints: { fields: [{ path: ['$.type'], filter: { type: 'string', const: type } }] },
  });
  const both = (requirements: object[]): Definition =>
    definitionSchema.parse({
      id: 'pd',
      input_descriptors: [descriptor('organization', 'Org', 'o'), descriptor('employee', 'Emp', 'e')],
      ...(requirements.length === 0 ? {} : { submission_requirements: requirements }),
    });
  const [org, emp] = [credential({}, 'Org'), credential({}, 'Emp')];

  it('all of them without requirements', () => {
    expect(choose(both([]), [org])).toMatchObject({ missing: 'employee' });
    expect(choose(both([]), [emp, org]).chosen).toEqual({ organization: org, employee: emp });
  });

  it('those that a requirement names, as many as it says', () => {
    const optional = both([
      { rule: 'all', from: 'o' },
      { rule: 'pick', from: 'e', min: 0, max: 1 },
    ]);
    expect(choose(optional, [org])).toEqual({ chosen: { organization: org } });
    expect(choose(optional, [emp])).toMatchObject({ missing: 'organization' });
    const one = both([{ rule: 'pick', from: 'e', count: 1 }]);
    expect(choose(one, [org])).toMatchObject({ missing: 'employee' });
  });

  it('of the formats that the definition or the descriptor allows', () => {
    const wanted = definition([], { format: { jwt_vc: { alg: ['ES256'] } } });
    expect(choose(wanted, [org])).toMatchObject({ missing: 'one' });
    expect(choose({ ...wanted, format: { ldp_vc: {} } }, [org])).toEqual({ chosen: { one: org } });
  });

  it('and a server takes nothing under another descriptor, and nothing more than is asked', () => {
    expect(conforms(both([]), { organization: org, employee: emp })).toBe(true);
    expect(conforms(both([]), { organization: emp, employee: org })).toBe(false);
    expect(conforms(both([]), { organization: org })).toBe(false);
    expect(conforms(both([]), { organization: org, employee: emp, other: org })).toBe(false);
  });
});

describe('a JSON path', () => {
  it('leads through members and lists to what is there, whatever the names', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.string({ minLength: 1 }).filter((name) => !/["\]]/.test(name)),
          { maxLength: 5 },
        ),
        fc.integer(),
        (names, leaf) => {
          const root = names.reduceRight<unknown>((value, name) => ({ [name]: [value] }), leaf);
          const path = names.map((name) => `["${name}"][0]`).join('');
          expect(valueAt(root, `$${path}`)).toBe(leaf);
          expect(valueAt(root, `$${path}["nowhere"]`)).toBeUndefined();
        },
      ),
    );
  });
});
