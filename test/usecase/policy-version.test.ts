import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { isDeepStrictEqual } from 'node:util';
import type { Role } from '../../src/usecase/definition.ts';
import { policyVersionOf } from '../../src/usecase/policy-version.ts';
import type { Rule } from '../../src/usecase/rules.ts';

const rule: Rule = {
  id: 'by-code',
  interaction: 'search-type',
  types: ['Observation'],
  parameters: { code: { pattern: /^a+$/u }, _sort: { oneOf: ['date', '-date'], optional: true } },
  patient: { from: 'parameter', parameters: ['patient'], element: 'subject' },
};
const role = (difference: Partial<Role> = {}): Role => ({
  id: 'desk',
  purpose: 'desk',
  scopes: ['a', 'b'],
  fhirVersion: 'R4',
  rules: [rule],
  ...difference,
});
const withRule = (difference: Partial<Rule>): Role => role({ rules: [{ ...rule, ...difference }] });
const here = policyVersionOf(role());

/** The same value with the fields of every object in another order. */
function turned(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(turned);
  if (typeof value !== 'object' || value === null || value instanceof RegExp) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([name, each]) => [name, turned(each)]),
  );
}

describe('the version of a policy', () => {
  it('is sixteen hexadecimal digits', () => {
    expect(here).toMatch(/^[0-9a-f]{16}$/);
  });

  it('is the same in whatever order the fields of an object stand, at every depth', () => {
    expect(policyVersionOf(turned(role()) as Role)).toBe(here);
  });

  it('is the same for a field that is absent and one that is undefined', () => {
    expect(policyVersionOf({ ...role(), claims: undefined } as unknown as Role)).toBe(here);
  });

  it('does not see functions, nor another object of the same content', () => {
    expect(policyVersionOf({ ...role(), helper: () => true } as Role)).toBe(here);
    expect(policyVersionOf(structuredClone(role()))).toBe(here);
  });

  it.each<[string, Role]>([
    ['the order of a list', role({ scopes: ['b', 'a'] })],
    ['the order of rules', role({ rules: [{ ...rule, id: 'first' }, rule] })],
    ['a pattern', withRule({ parameters: { ...rule.parameters, code: { pattern: /^a*$/u } } })],
    ['the flags of a pattern', withRule({ parameters: { ...rule.parameters, code: { pattern: /^a+$/iu } } })],
    ['a text that looks like a pattern', withRule({ parameters: { ...rule.parameters, code: { oneOf: ['/^a+$/u'] } } })],
    ['a condition', withRule({ user: 'required' })],
    ['a title', withRule({ title: 'Another' })],
    ['the FHIR version', role({ fhirVersion: 'STU3' })],
  ])('is another for another role: %s', (_what, other) => {
    expect(policyVersionOf(other)).not.toBe(here);
  });

  it('does not take a text for the expression that it spells', () => {
    const claims = (pattern: unknown): Role => role({ claims: { a: { type: 'string', pattern } } } as unknown as Partial<Role>);
    const spelt: unknown[] = [
      '/x/u',
      'x/u',
      '{"regexp":["x","u"]}',
      { regexp: ['x', 'u'] },
      { source: 'x', flags: 'u' },
      {},
      null,
    ];
    const versions = [/x/u, ...spelt].map((pattern) => policyVersionOf(claims(pattern)));
    expect(new Set(versions).size).toBe(versions.length);
  });

  it('tells apart whatever JSON tells apart, and nothing else', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (one, other) => {
        const version = (claims: unknown): string => policyVersionOf(role({ claims } as unknown as Partial<Role>));
        expect(version(turned(one))).toBe(version(one));
        return (version(one) === version(other)) === isDeepStrictEqual(plain(one), plain(other));
      }),
    );
  });
});

/** Without what JSON does not know, such as -0. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}
