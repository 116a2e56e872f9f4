import { describe, expect, it } from '@jest/globals';
import { ruleFaults } from '../../src/usecase/check-rules.ts';
import { defineUseCase, permitByRule, type Role, type Rule } from '../../src/usecase/index.ts';
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
      'writes of the audit (C11)',
      { id: 'a', interaction: 'create', types: ['AuditEvent'] },
      'types: AuditEvent is written by nobody; create of it cannot be permitted',
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
      'patient.is.0: must be Patient/[id]',
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
      'an include of another source',
      { ...search, includes: { match: 'subset', values: ['Condition:subject'], types: ['Patient'] } },
      'includes: Condition:subject must begin with a type of the rule',
    ],
    [
      'a patient where none can be named',
      { ...search, patient: { from: 'parameter', parameters: ['code'], element: 'subject' } },
      'patient.parameters: code names no patient',
    ],
    [
      'a guard of what is no change',
      { ...search, obligations: [{ kind: 'guard-changes', changed: ['*'] }] },
      'obligations: guard-changes is for update and patch, not for search-type',
    ],
    [
      'pages where there are none',
      { id: 'p', interaction: 'read', types: ['Task'], obligations: [{ kind: 'max-count', count: 5 }] },
      'obligations: read has no pages',
    ],
  ])('do not hold with %s', (_what, rule, fault) => {
    expect(faults(rule).join('\n')).toContain(fault);
  });

  // No compiler sees a use case outside the repository: a condition under a mistyped name would be no condition.
  it.each<[string, object, string]>([
    ['the patient', { pateint: { from: 'path', is: ['Patient/mine'] } }, 'Unrecognized key: "pateint"'],
    ['the user', { user: 'requird' }, 'user: '],
    ['the ids', { instance: 'grantd' }, 'instance: must be granted, or a list of ids'],
    ['the interaction', { interaction: 'search' }, 'interaction: '],
    ['a method', { methods: ['PUT'] }, 'methods.0: '],
    ['a value', { parameters: { code: { onOf: ['a'] } } }, 'parameters.code: must be exactly one of any, oneOf'],
    ['two values', { parameters: { code: { any: true, oneOf: ['a'] } } }, 'parameters.code: must be exactly one of any, oneOf'],
    ['where the patient stands', { patient: { from: 'pth' } }, 'patient.from: '],
    ['an obligation', { obligations: [{ kind: 'reviw' }] }, 'obligations: reviw is none'],
  ])('do not hold where %s is mistyped', (_what, mistyped, fault) => {
    const rule: unknown = { ...search, ...mistyped };
    expect(faults(rule as Rule).join('\n')).toContain(`x/r/s: ${fault}`);
  });

  // With each of these no request would ever match, and nobody would know why.
  it.each<[string, object, string]>([
    ['a value that is no date', { parameters: { date: { oneOf: ['yesterday'] } } }, 'parameters.date: yesterday must be a date'],
    ['two values in one', { parameters: { code: { oneOf: ['a,b'] } } }, 'parameters.code: a,b is read as 2 values'],
    ['an escape that is none', { parameters: { code: { subsetOf: ['a\\b'] } } }, 'is no value: FHIR escapes are'],
    ['a sort by nothing', { parameters: { _sort: { oneOf: ['-dat'] } } }, 'parameters._sort: -dat sorts by what is no search'],
    ['an include among the parameters', { parameters: { _include: { any: true } } }, 'parameters._include: is said by includes'],
    [
      'an include by no reference',
      { includes: { match: 'subset', values: ['Observation:subjct'], types: ['Patient'] } },
      'includes: Observation:subjct goes by subjct, which is no reference of Observation',
    ],
    [
      'a revinclude that comes back to another type',
      { revincludes: { match: 'subset', values: ['Provenance:target:Patient'], types: ['Provenance'] } },
      'revincludes: Provenance:target:Patient must end with a type of the rule',
    ],
    [
      'two narrowings of one parameter',
      {
        narrow: [{ parameter: 'status', with: ['final'], element: 'status' }],
        obligations: [{ kind: 'narrow', parameter: 'status', values: ['amended'], element: 'status' }],
      },
      'narrow: status is narrowed twice, to different values',
    ],
    [
      'a parameter that must be what it is not narrowed to',
      {
        parameters: { status: { oneOf: ['amended'] } },
        narrow: [{ parameter: 'status', with: ['final'], element: 'status' }],
      },
      'narrow: status must be asked with other values than it is narrowed to',
    ],
    [
      'an unknown parameter in an obligation',
      { obligations: [{ kind: 'narrow', parameter: 'stat', values: ['final'], element: 'status' }] },
      'narrow: stat is no search parameter of Observation',
    ],
    [
      'a narrowing to the patient by a code',
      { narrow: [{ parameter: 'code', with: 'patient', element: 'code' }] },
      'narrow: code names no patient',
    ],
    [
      'two guards',
      {
        interaction: 'update',
        obligations: [
          { kind: 'guard-changes', changed: ['status'] },
          { kind: 'guard-changes', changed: ['note'] },
        ],
      },
      'obligations: two guards',
    ],
    [
      'an id that is none of the patients',
      { interaction: 'read', types: ['Patient'], instance: ['x'], patient: { from: 'path', is: ['Patient/y'] } },
      'instance: names none of the patients in patient.is',
    ],
    [
      'an operation that no grant can name',
      { interaction: 'operation-instance', types: ['Patient'], operation: 'everything', instance: 'granted' },
      'instance: no grant can name operation-instance $everything',
    ],
    [
      'a patient by its id that is proved elsewhere',
      { types: ['Patient'], patient: { from: 'parameter', parameters: ['_id'], element: 'subject' } },
      'patient.element: must be id where _id names the patient',
    ],
    [
      'a redaction of no resource type',
      { obligations: [{ kind: 'redact', elements: ['Observaton.note'] }] },
      'redact.elements.0: must begin with a resource type, exact case',
    ],
  ])('do not hold with %s', (_what, part, fault) => {
    expect(faults({ ...search, ...part }).join('\n')).toContain(fault);
  });

  it('tell a claim that can be none together with what else is wrong', () => {
    const rules: readonly Rule[] = [{ ...search, types: ['Nothing'] }];
    const role: Role = { id: 'r', purpose: 'p', scopes: [], fhirVersion: 'R4', claims: { iss: { type: 'string' } }, rules };
    expect(ruleFaults({ id: 'x', roles: [role] })).toEqual([
      'x/r reads the claim iss, which is a member of the protocol and never a claim',
      'x/r/s: types: Nothing is no type of R4',
    ]);
  });

  it('say of an unknown field and of an unknown parameter which ones there are', () => {
    expect(faults({ ...search, parameter: {} } as Rule).join()).toMatch(
      /Unrecognized key: "parameter"; there are id title .* parameters /,
    );
    expect(faults({ ...search, parameters: { cod: { any: true } } }).join()).toMatch(
      /parameters\.cod: .*; there are .* code .* date /,
    );
  });

  it('are named by their place where they have no id', () => {
    const broken = JSON.parse('[null, {"interaction": "read"}, "x"]') as readonly Rule[];
    const told = faults(search, ...broken);
    for (const place of [1, 2, 3]) expect(told.join('\n')).toContain(`x/r/rules[${String(place)}]: `);
  });

  it('do not hold where the proof that a role demands is mistyped', () => {
    const [role] = chart.roles;
    const mistyped: unknown = { ...role, proof: 'requird' };
    expect(ruleFaults({ id: 'x', roles: [mistyped as Role] }).join()).toContain('x/reader: proof: ');
  });

  it('tell all faults at once', () => {
    expect(faults({ ...search, id: 'A', types: ['X'] }, { ...search, maxCount: 0 }, search)).toHaveLength(4);
  });

  it('of conditional writes need the rules by which they are judged, and criteria', () => {
    const conditional: Rule = { id: 'c', interaction: 'conditional-update', types: ['Observation'] };
    expect(faults(conditional)).toEqual([
      'x/r/c: interaction: conditional-update of Observation needs a rule for search-type of Observation, by which it is judged',
      'x/r/c: interaction: conditional-update of Observation needs a rule for update of Observation, by which it is judged',
      'x/r/c: parameters: must list the criteria, by which it is conditional',
    ]);
    const update: Rule = { id: 'u', interaction: 'update', types: ['Observation'] };
    const whole: Rule = { ...conditional, parameters: { identifier: { any: true }, patient: { any: true } } };
    const found: Rule = { ...search, parameters: { identifier: { any: true, optional: true }, patient: { any: true } } };
    expect(faults(found, update, whole)).toEqual([]);
    expect(faults(search, update, whole)).toEqual(
      ['identifier', 'patient'].map(
        (key) => `x/r/c: parameters.${key}: stands in no rule for search-type of Observation, by which criteria are judged`,
      ),
    );
    const demanding: Rule = { ...found, id: 'd', parameters: { ...found.parameters, code: { any: true } } };
    expect(faults(demanding, update, whole)).toEqual([
      'x/r/c: parameters: no rule for search-type of Observation takes these criteria: d wants code',
    ]);
    expect(faults(demanding, found, update, whole)).toEqual([]);
    const of: Rule = { ...found, patient: { from: 'parameter', parameters: ['subject'], element: 'subject' } };
    expect(faults(of, update, whole)).toEqual([
      'x/r/c: parameters: no rule for search-type of Observation takes these criteria: s wants subject',
    ]);
    expect(faults(found, update, { ...whole, patient: { from: 'grant' } })).toEqual([
      'x/r/c: patient: the rules for search-type and update say whose data it is about',
    ]);
  });
});
