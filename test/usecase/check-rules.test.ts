import { describe, expect, it } from '@jest/globals';
import { isCarriedOut } from '../../src/pdp/obligations.ts';
import { NEVER_CARRIED_OUT, ruleFaults } from '../../src/usecase/check-rules.ts';
import { defineUseCase, permitByRule, type Rule } from '../../src/usecase/index.ts';
import chart from '../attack/chart/index.ts';

const faults = (...rules: readonly Rule[]) =>
  ruleFaults(
    defineUseCase({
      id: 'x',
      title: 'X',
      parseConfig: () => undefined,
      decide: permitByRule,
      roles: [{ id: 'r', purpose: 'p', scopes: [], fhirVersion: 'R4', rules }],
    }),
  );
const search: Rule = { id: 's', interaction: 'search-type', types: ['Observation'] };

describe('the rules of a use case', () => {
  it('hold where nothing is wrong with them', () => {
    expect(ruleFaults(chart)).toEqual([]);
  });

  it.each<[string, Rule, string]>([
    ['an id with blanks', { ...search, id: 'a b' }, 'x/r/a b: id: must be lower-case letters, digits and hyphens'],
    ['a type of another version', { ...search, types: ['ProcedureRequest'] }, 'types: ProcedureRequest is no type of R4'],
    ['no type', { ...search, types: [] }, 'types: search-type needs at least one'],
    ['a type where none is', { id: 'm', interaction: 'capabilities', types: ['Task'] }, 'types: capabilities has none'],
    [
      'what is never carried out',
      { id: 'd', interaction: 'delete', types: ['Task'] },
      'interaction: the gate does not carry out delete',
    ],
    [
      'an unknown parameter',
      { ...search, parameters: { foo: { any: true } } },
      'parameters.foo: is no parameter of search-type Observation',
    ],
    ['an empty list', { ...search, parameters: { code: { oneOf: [] } } }, 'parameters.code: oneOf names nothing'],
    [
      'an include that is none',
      { ...search, includes: { match: 'subset', values: ['subject'], types: ['Patient'] } },
      'includes: subject must be Type:parameter or Type:parameter:Target',
    ],
    [
      'an include of another type',
      { ...search, includes: { match: 'subset', values: ['Observation:subject:Group'], types: ['Patient'] } },
      'includes: Observation:subject:Group brings Group, which is not among types',
    ],
    [
      'a patient from elsewhere',
      { ...search, patient: { from: 'body', element: 'subject' } },
      'patient.from: body is for create and update',
    ],
    [
      'a patient that is none',
      { ...search, patient: { from: 'parameter', parameters: ['patient'], element: 'subject', is: ['mine'] } },
      'patient.is: mine must be Patient/[id]',
    ],
    [
      'a compartment that nothing proves',
      { id: 'c', interaction: 'search-compartment', types: ['Observation'], patient: { from: 'path' } },
      'narrow: a compartment needs one with patient',
    ],
    [
      'a review that is not there',
      { ...search, obligations: [{ kind: 'review', review: 'r' }] },
      'obligations: the use case has no review r',
    ],
    [
      'an operation by POST',
      { id: 'o', interaction: 'operation-type', types: ['Patient'], operation: 'match', methods: ['POST'] },
      'methods: operations are carried out by GET only',
    ],
  ])('do not hold with %s', (_what, rule, fault) => {
    expect(faults(rule).join('\n')).toContain(fault);
  });

  it('tell all faults at once', () => {
    expect(faults({ ...search, id: 'A', types: ['X'] }, { ...search, maxCount: 0 }, search)).toHaveLength(4);
  });

  it('are refused for exactly what the gate never carries out', () => {
    const all = [
      'patch',
      'delete',
      'conditional-update',
      'conditional-patch',
      'conditional-delete',
      'conditional-create',
    ] as const;
    for (const kind of all)
      expect([kind, NEVER_CARRIED_OUT.has(kind), isCarriedOut({ kind, type: 'Task', id: '1', criteria: [] })]).toEqual([
        kind,
        true,
        false,
      ]);
    expect(NEVER_CARRIED_OUT.size).toBe(all.length + 1);
  });
});
