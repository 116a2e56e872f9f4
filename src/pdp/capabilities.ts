import { FHIR_JSON } from '../fhir/media.ts';
import type { JsonObject } from '../fhir/json.ts';
import { searchParameterType } from '../fhir/parameter-names.ts';
import type { Role } from '../usecase/definition.ts';
import { policyVersionOf } from '../usecase/policy-version.ts';
import type { IncludeRule, Rule } from '../usecase/rules.ts';
import { securityOf, type TokenSource } from './capability-security.ts';

export interface CapabilityOptions extends TokenSource {
  /** Our FHIR base of the tenant, without a slash at its end. */
  readonly base: string;
  /** What the use case is called. */
  readonly title: string;
  /** Of the first call for a role: a later one does not change the statement's date. */
  readonly now: Date;
}

const FHIR_VERSIONS = { STU3: '3.0.2', R4: '4.0.1' } as const;
const TYPE_INTERACTIONS: ReadonlySet<string> = new Set([
  'read',
  'vread',
  'update',
  'patch',
  'delete',
  'history-instance',
  'history-type',
  'create',
  'search-type',
]);
const PATCHES: ReadonlySet<string> = new Set(['patch', 'conditional-patch']);
/** Operations that HL7 defines once for all types, as `Resource-…` (resource-operations.html). */
const OF_EVERY_TYPE: ReadonlySet<string> = new Set(['convert', 'graphql', 'meta', 'meta-add', 'meta-delete', 'validate']);

/** When a role was first shown: it cannot change as long as the process runs, so the date of its statement does not either. */
const SINCE = new WeakMap<Role, Date>();

/**
 * The CapabilityStatement of one role: what its rules let its callers ask, and nothing of the server behind the gate. It is the same at every call; its
 * `version` is that of the policy, and changes with the rules. (capabilitystatement.html of STU3 and R4; STU3 has operations at the system only, and no
 * resource without an interaction.)
 */
export function capabilityStatement(role: Role, options: CapabilityOptions): JsonObject {
  const isStu3 = role.fhirVersion === 'STU3';
  const since = SINCE.get(role) ?? options.now;
  SINCE.set(role, since);
  const types = [...new Set(role.rules.flatMap((rule) => rule.types))].sort();
  const resources = types.map((type) => resourceOf(role, type));
  const listable = isStu3 ? resources.filter((resource) => 'interaction' in resource) : resources;
  return {
    resourceType: 'CapabilityStatement',
    version: policyVersionOf(role),
    status: 'active',
    date: since.toISOString(),
    kind: 'instance',
    software: { name: 'Sluis' },
    implementation: { description: `${options.title}: ${role.id}`, url: options.base },
    fhirVersion: FHIR_VERSIONS[role.fhirVersion],
    ...(isStu3 ? { acceptUnknown: 'no' } : {}),
    format: [FHIR_JSON],
    ...(role.rules.some(({ interaction }) => PATCHES.has(interaction)) ? { patchFormat: ['application/json-patch+json'] } : {}),
    rest: [
      {
        mode: 'server',
        ...unlisted(role, listable),
        security: securityOf(role, options),
        ...listed('resource', listable),
        ...listed('interaction', systemInteractions(role.rules)),
        ...listed(
          'searchParam',
          searchParameters(
            role,
            undefined,
            role.rules.filter(({ interaction }) => interaction === 'search-system'),
          ),
        ),
        ...listed(
          'operation',
          isStu3 ? operationsOfStu3(role.rules) : operationsOf(role.rules.filter((rule) => rule.types.length === 0)),
        ),
        ...listed('compartment', role.rules.some(isOfCompartment) ? ['http://hl7.org/fhir/CompartmentDefinition/patient'] : []),
      },
    ],
  };
}

function resourceOf(role: Role, type: string): JsonObject {
  const rules = role.rules.filter((rule) => rule.types.includes(type));
  const has = (kind: Rule['interaction']): boolean => rules.some(({ interaction }) => interaction === kind);
  const kinds = [...new Set(rules.map(({ interaction }) => interaction))].filter((kind) => TYPE_INTERACTIONS.has(kind));
  return {
    type,
    ...listed(
      'interaction',
      kinds.map((code) => ({ code, ...documented(rules.filter(({ interaction }) => interaction === code)) })),
    ),
    ...(rules.some(isOfCompartment) ? { documentation: `Searched in a compartment: ${inCompartment(type)}` } : {}),
    ...(rules.some(needsVersion) ? { versioning: 'versioned-update' } : {}),
    readHistory: has('vread'),
    // What is not there is not made by an update.
    updateCreate: false,
    conditionalCreate: has('conditional-create'),
    conditionalUpdate: has('conditional-update'),
    conditionalDelete: has('conditional-delete') ? 'single' : 'not-supported',
    ...listed(
      'searchInclude',
      valuesOf(rules, ({ includes }) => includes),
    ),
    ...listed(
      'searchRevInclude',
      valuesOf(rules, ({ revincludes }) => revincludes),
    ),
    ...listed('searchParam', searchParameters(role, type, rules)),
    ...listed('operation', role.fhirVersion === 'STU3' ? [] : operationsOf(rules, type)),
  };
}

function systemInteractions(rules: readonly Rule[]): readonly JsonObject[] {
  const codes = rules.flatMap(({ interaction }) => {
    if (interaction === 'bundle') return ['batch', 'transaction'];
    return interaction === 'search-system' || interaction === 'history-system' ? [interaction] : [];
  });
  return [...new Set(codes)].map((code) => ({ code }));
}

/** A CapabilityStatement has no place for modifiers and chains: they are told in words. How a result looks is no search parameter. */
function searchParameters({ fhirVersion }: Role, type: string | undefined, rules: readonly Rule[]): readonly JsonObject[] {
  const keys = [...new Set(rules.flatMap(searchKeys))].sort();
  const names = [...new Set(keys.map(nameOf))].sort();
  return names.flatMap((name) => {
    const kind = searchParameterType(fhirVersion, type, name);
    const asked = keys.filter((key) => nameOf(key) === name);
    const isPlain = asked.length === 1 && asked[0] === name;
    return kind === undefined
      ? []
      : [{ name, type: kind, ...(isPlain ? {} : { documentation: `Asked as ${asked.join(' or ')}` }) }];
  });
}

function searchKeys({ interaction, parameters, patient }: Rule): readonly string[] {
  if (interaction !== 'search-type' && interaction !== 'search-compartment' && interaction !== 'search-system') return [];
  const named = Object.keys(parameters ?? {});
  return patient?.from === 'parameter' ? [...named, ...patient.parameters] : named;
}

function nameOf(key: string): string {
  return key.split(/[:.]/, 1)[0] ?? key;
}

/** Each operation once, whether it is for instances, for the type, or both. */
function operationsOf(rules: readonly Rule[], type?: string): readonly JsonObject[] {
  return operationNames(rules).map((name) => ({
    name,
    definition: definitionOf(name, type),
    ...documented(rules.filter(({ operation }) => operation === name)),
  }));
}

/** At the system, each with every type that it is for. */
function operationsOfStu3(rules: readonly Rule[]): readonly JsonObject[] {
  return operationNames(rules).flatMap((name) => {
    const of = rules.filter(({ operation }) => operation === name);
    const types = of.flatMap<string | undefined>((rule) => (rule.types.length === 0 ? [undefined] : rule.types));
    const definitions = new Set(types.map((type) => definitionOf(name, type)));
    return [...definitions].map((reference) => ({ name, definition: { reference } }));
  });
}

function operationNames(rules: readonly Rule[]): readonly string[] {
  return [...new Set(rules.flatMap(({ operation }) => operation ?? []))];
}

function definitionOf(name: string, type: string | undefined): string {
  const on = type === undefined || OF_EVERY_TYPE.has(name) ? 'Resource' : type;
  return `http://hl7.org/fhir/OperationDefinition/${on}-${name}`;
}

/** What STU3 can only say in words. */
function unlisted({ rules }: Role, listable: readonly JsonObject[]): JsonObject {
  const known = new Set(listable.map(({ type }) => type));
  const said = rules.flatMap((rule) => {
    const types = rule.types.filter((type) => !known.has(type));
    if (rule.operation !== undefined) return types.map((type) => `${type} by $${rule.operation ?? ''}`);
    return isOfCompartment(rule) ? types.map((type) => `${type} in a compartment, ${inCompartment(type)}`) : [];
  });
  return said.length === 0 ? {} : { documentation: `Besides the resources listed: ${[...new Set(said)].join('; ')}` };
}

/** The code is about updates; a deletion that needs a version has none. */
function needsVersion({ interaction, ifMatch }: Rule): boolean {
  return ifMatch === 'required' && interaction !== 'delete';
}

function isOfCompartment({ interaction }: Rule): boolean {
  return interaction === 'search-compartment';
}

function inCompartment(type: string): string {
  return `Patient/[id]/${type}`;
}

function documented(rules: readonly Rule[]): JsonObject {
  const titles = [...new Set(rules.flatMap(({ title }) => title ?? []))];
  return titles.length === 0 ? {} : { documentation: titles.join('; ') };
}

function valuesOf(rules: readonly Rule[], of: (rule: Rule) => IncludeRule | undefined): readonly string[] {
  return [...new Set(rules.flatMap((rule) => of(rule)?.values ?? []))];
}

/** FHIR's JSON has no empty lists. */
function listed(name: string, list: readonly (JsonObject | string)[]): JsonObject {
  return list.length === 0 ? {} : { [name]: list };
}
