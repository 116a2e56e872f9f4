import { describe, expect, it } from '@jest/globals';
import { capabilityStatement, type CapabilityOptions } from '../../src/pdp/capabilities.ts';
import type { Role } from '../../src/usecase/definition.ts';
import { policyVersionOf } from '../../src/usecase/policy-version.ts';
import type { Rule } from '../../src/usecase/rules.ts';
import { SHAPES } from './capability-shape.ts';

const options: CapabilityOptions = {
  base: 'https://gate.example/a/fhir',
  title: 'Notes',
  now: new Date('2026-03-01T09:00:00Z'),
  generations: ['v1', 'v2'],
  authorizationServerUrl: 'https://node.example/oauth2/a',
};
const role = (fhirVersion: 'STU3' | 'R4', rules: readonly Omit<Rule, 'id'>[], more: Partial<Role> = {}): Role => ({
  id: 'sender',
  purpose: 'notes-sender',
  scopes: ['notes.read'],
  fhirVersion,
  rules: rules.map((rule, index) => ({ id: `rule-${String(index)}`, ...rule })),
  ...more,
});
const stated = (of: Role, more: Partial<CapabilityOptions> = {}) =>
  SHAPES[of.fhirVersion].parse(capabilityStatement(of, { ...options, ...more }));
const restOf = (of: Role, more: Partial<CapabilityOptions> = {}) => stated(of, more).rest[0];
const resourceOf = (of: Role, type: string) => restOf(of)?.resource?.find((each) => each.type === type);

const patient = ['Patient'];
const notes = ['Observation'];
const patients = { from: 'parameter', parameters: ['patient'], element: 'subject' } as const;
const EVERYTHING: readonly Omit<Rule, 'id'>[] = [
  { interaction: 'capabilities', types: [] },
  { interaction: 'read', types: [...patient, ...notes], title: 'one of the patient’s' },
  { interaction: 'vread', types: notes },
  { interaction: 'history-instance', types: notes },
  { interaction: 'history-type', types: notes },
  { interaction: 'history-system', types: [] },
  { interaction: 'search-system', types: [], parameters: { _lastUpdated: { any: true }, _count: { any: true } } },
  { interaction: 'search-type', types: notes, patient: patients, parameters: { 'code:in': { any: true }, _sort: { any: true } } },
  {
    interaction: 'search-type',
    types: notes,
    patient: patients,
    includes: { match: 'subset', values: ['Observation:subject'], types: patient },
    revincludes: { match: 'subset', values: ['Provenance:target'], types: ['Provenance'] },
  },
  {
    interaction: 'search-compartment',
    types: ['Condition'],
    patient: { from: 'path' },
    parameters: { code: { any: true, optional: true } },
    narrow: [{ parameter: 'patient', with: 'patient', element: 'subject' }],
  },
  { interaction: 'create', types: notes },
  { interaction: 'update', types: notes, ifMatch: 'required' },
  { interaction: 'patch', types: notes },
  { interaction: 'delete', types: notes },
  { interaction: 'conditional-create', types: notes, parameters: { identifier: { any: true } } },
  { interaction: 'conditional-update', types: notes, parameters: { identifier: { any: true } } },
  { interaction: 'conditional-patch', types: notes, parameters: { identifier: { any: true } } },
  { interaction: 'conditional-delete', types: notes, parameters: { identifier: { any: true } } },
  { interaction: 'bundle', types: [] },
  { interaction: 'operation-instance', types: ['Composition', 'Observation'], operation: 'document', title: 'a document' },
  { interaction: 'operation-type', types: ['Composition'], operation: 'document', title: 'any document' },
  { interaction: 'operation-type', types: notes, operation: 'validate' },
  { interaction: 'operation-system', types: [], operation: 'meta' },
];

describe.each(['STU3', 'R4'] as const)('a CapabilityStatement of %s', (version) => {
  const all = role(version, EVERYTHING);

  it('is valid with every kind of rule, and with none', () => {
    expect(() => stated(all)).not.toThrow();
    expect(() => stated(role(version, []))).not.toThrow();
    for (const rule of EVERYTHING) expect(() => stated(role(version, [rule]))).not.toThrow();
  });

  it('names the version of the policy, and another when the rules change', () => {
    expect(stated(all).version).toBe(policyVersionOf(all));
    expect(stated(role(version, EVERYTHING.slice(1))).version).not.toBe(stated(all).version);
  });

  it('says the same at every call, its date too', () => {
    const first = stated(all);
    expect(stated(all, { now: new Date('2026-03-02T09:00:00Z') })).toEqual(first);
    expect(Date.parse(first.date)).toBeLessThanOrEqual(options.now.getTime());
  });

  it('says what each interaction is, each once, with what its rules are called', () => {
    const { interaction } = resourceOf(all, 'Observation') ?? {};
    expect(interaction?.map((each) => each.code).sort()).toEqual(
      ['create', 'delete', 'history-instance', 'history-type', 'patch', 'read', 'search-type', 'update', 'vread'].sort(),
    );
    expect(interaction).toContainEqual({ code: 'read', documentation: 'one of the patient’s' });
    expect(
      restOf(all)
        ?.interaction?.map((each) => each.code)
        .sort(),
    ).toEqual(['batch', 'history-system', 'search-system', 'transaction']);
    const two = role(version, [
      { interaction: 'read', types: notes, title: 'mine' },
      { interaction: 'read', types: notes, title: 'yours' },
      { interaction: 'read', types: notes, title: 'mine' },
    ]);
    expect(resourceOf(two, 'Observation')?.interaction).toEqual([{ code: 'read', documentation: 'mine; yours' }]);
  });

  it('says how writes are done, and that none makes an id of the caller’s', () => {
    expect(resourceOf(all, 'Observation')).toMatchObject({
      versioning: 'versioned-update',
      readHistory: true,
      updateCreate: false,
      conditionalCreate: true,
      conditionalUpdate: true,
      conditionalDelete: 'single',
    });
    expect(resourceOf(all, 'Patient')).toMatchObject({
      readHistory: false,
      updateCreate: false,
      conditionalCreate: false,
      conditionalUpdate: false,
      conditionalDelete: 'not-supported',
    });
    expect(resourceOf(all, 'Patient')).not.toHaveProperty('versioning');
    const versioned = (interaction: 'update' | 'patch' | 'delete') =>
      resourceOf(role(version, [{ interaction, types: notes, ifMatch: 'required' }]), 'Observation')?.versioning;
    expect([versioned('update'), versioned('patch'), versioned('delete')]).toEqual([
      'versioned-update',
      'versioned-update',
      undefined,
    ]);
  });

  it('names the format of a patch exactly where there is one', () => {
    expect(stated(all).patchFormat).toEqual(['application/json-patch+json']);
    const conditional = role(version, [{ interaction: 'conditional-patch', types: notes }]);
    expect(stated(conditional).patchFormat).toEqual(['application/json-patch+json']);
    expect(stated(role(version, [{ interaction: 'update', types: notes }]))).not.toHaveProperty('patchFormat');
  });

  it('says what can be searched by and what comes along, of the system too', () => {
    const { searchParam, searchInclude, searchRevInclude } = resourceOf(all, 'Observation') ?? {};
    expect(searchParam).toEqual([
      { name: 'code', type: 'token', documentation: 'Asked as code:in' },
      { name: 'patient', type: 'reference' },
    ]);
    expect([searchInclude, searchRevInclude]).toEqual([['Observation:subject'], ['Provenance:target']]);
    expect(restOf(all)?.searchParam).toEqual([{ name: '_lastUpdated', type: 'date' }]);
  });

  it('names the compartment, and its types as what they are', () => {
    expect(restOf(all)?.compartment).toEqual(['http://hl7.org/fhir/CompartmentDefinition/patient']);
    expect(restOf(role(version, [{ interaction: 'read', types: notes }]))).not.toHaveProperty('compartment');
    const both = role(version, [...EVERYTHING, { interaction: 'read', types: ['Condition'] }]);
    expect(resourceOf(both, 'Condition')).toMatchObject({
      documentation: 'Searched in a compartment: Patient/[id]/Condition',
      searchParam: [{ name: 'code', type: 'token' }],
    });
  });

  it('says who gives tokens, and how they are shown', () => {
    const { security } = restOf(all) ?? {};
    expect(security).toMatchObject({ cors: false, service: [{ coding: [{ code: 'OAuth' }] }] });
    expect(security?.description).toContain('Nuts node');
    expect(security?.description).toContain('notes-sender');
    expect(security?.description).toContain('https://node.example/oauth2/a');
    expect(security?.description).toContain('notes.read');
    expect(security?.description).toContain('DPoP');
    const v1 = restOf(all, { generations: ['v1'] })?.security.description ?? '';
    expect([v1.includes('DPoP'), v1.includes('notes.read'), v1.includes('notes-sender')]).toEqual([false, false, true]);
    const v2 = restOf(all, { generations: ['v2'] })?.security.description ?? '';
    expect([v2.includes('DPoP'), v2.includes('notes.read'), v2.includes('notes-sender')]).toEqual([true, true, false]);
    expect(v2).toContain('may be bound');
    const strict = restOf({ ...all, proof: 'required' }, { generations: ['v2'] })?.security.description;
    expect(strict).toContain('must be bound');
  });

  it('names nothing of the server behind, and nothing twice', () => {
    const { rest } = stated(all);
    const lists = rest.flatMap(({ resource = [], interaction = [], operation = [] }) => [
      resource.map(({ type }) => type),
      interaction.map(({ code }) => code),
      operation.map((each) => JSON.stringify(each.definition)),
      ...resource.map(({ searchParam = [] }) => searchParam.map(({ name }) => name)),
    ]);
    for (const list of lists) expect(new Set(list).size).toBe(list.length);
    expect(JSON.stringify(rest)).not.toContain('127.0.0.1');
  });
});

describe('the operations of a role', () => {
  const definition = (name: string) => `http://hl7.org/fhir/OperationDefinition/${name}`;

  it('stand once with each type in R4, those of the system apart', () => {
    const all = role('R4', EVERYTHING);
    const { rest } = SHAPES.R4.parse(capabilityStatement(all, options));
    const of = (type: string) => rest[0]?.resource?.find((each) => each.type === type)?.operation;
    expect(of('Composition')).toEqual([
      { name: 'document', definition: definition('Composition-document'), documentation: 'a document; any document' },
    ]);
    expect(of('Observation')?.map((each) => each.definition)).toEqual([
      definition('Observation-document'),
      // HL7 defines it for every type at once.
      definition('Resource-validate'),
    ]);
    expect(rest[0]?.operation).toEqual([{ name: 'meta', definition: definition('Resource-meta') }]);
  });

  it('stand once at the system in STU3, each with all its types', () => {
    const { rest } = SHAPES.STU3.parse(capabilityStatement(role('STU3', EVERYTHING), options));
    expect(rest[0]?.operation?.map((each) => each.definition.reference)).toEqual([
      definition('Composition-document'),
      definition('Observation-document'),
      definition('Resource-validate'),
      definition('Resource-meta'),
    ]);
  });

  it('and compartments are all that there is of some types, for which STU3 has a word only', () => {
    const rules: readonly Omit<Rule, 'id'>[] = [
      { interaction: 'operation-instance', types: ['Composition'], operation: 'document' },
      { interaction: 'search-compartment', types: ['Condition'], patient: { from: 'path' } },
    ];
    const types = (version: 'STU3' | 'R4') => restOf(role(version, rules))?.resource?.map(({ type }) => type);
    expect(types('R4')).toEqual(['Composition', 'Condition']);
    expect(types('STU3')).toBeUndefined();
    expect(restOf(role('STU3', rules))?.documentation).toBe(
      'Besides the resources listed: Composition by $document; Condition in a compartment, Patient/[id]/Condition',
    );
  });
});
