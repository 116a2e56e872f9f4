import { isListing, type InteractionKind } from '../fhir/interaction.ts';
import { parseInclude, type Include } from '../fhir/parameter-values.ts';
import { isKnownParameter, searchParameterNames, searchParameterType, type ParameterUse } from '../fhir/parameter-names.ts';
import { parseParameter } from '../fhir/parameter.ts';
import { isId, isResourceType, type FhirVersion } from '../fhir/version.ts';
import type { Role, UseCase } from './definition.ts';
import { conflictFaults } from './check-conflicts.ts';
import { reservedClaimsOf } from './claims.ts';
import { obligationFaults } from './check-obligations.ts';
import { roleShapeFaults, ruleShapeFaults } from './rule-shape.ts';
import type { IncludeRule, ParameterRule, PatientRule, Rule } from './rules.ts';

const WITHOUT_TYPE: ReadonlySet<InteractionKind> = new Set([
  'history-system',
  'search-system',
  'capabilities',
  'bundle',
  'options',
  'operation-system',
]);
const OPERATIONS: ReadonlySet<InteractionKind> = new Set(['operation-instance', 'operation-type', 'operation-system']);
const SEARCHES: ReadonlySet<InteractionKind> = new Set(['search-type', 'search-system', 'search-compartment']);
const INSTANCES: ReadonlySet<InteractionKind> = new Set([
  'read',
  'vread',
  'update',
  'patch',
  'delete',
  'history-instance',
  'operation-instance',
]);
const CHANGES: ReadonlySet<InteractionKind> = new Set(['update', 'patch']);
/** A conditional write is a search and then the write of what was found: each by its own rule. */
const CONDITIONALS: ReadonlyMap<InteractionKind, InteractionKind> = new Map([
  ['conditional-create', 'create'],
  ['conditional-update', 'update'],
  ['conditional-patch', 'patch'],
  ['conditional-delete', 'delete'],
]);

/**
 * Everything that is wrong with the roles and rules of a use case, each with its role, rule and field, what is wrong and what is allowed. An integrator sees all of it
 * before anything starts.
 */
export function ruleFaults(
  useCase: Pick<UseCase, 'id' | 'roles' | 'writes' | 'reviews' | 'filters' | 'answers'>,
): readonly string[] {
  return useCase.roles.flatMap((role) => {
    const shape = roleShapeFaults(role).map((fault) => `${useCase.id}/${role.id}: ${fault}`);
    // Nothing more can be said of what is no role, or no rule.
    if (shape.length > 0) return shape;
    const seen = new Set<string>();
    const claims = reservedClaimsOf(role).map(
      (claim) => `${useCase.id}/${role.id} reads the claim ${claim}, which is a member of the protocol and never a claim`,
    );
    const rules = role.rules.flatMap((rule, index) => {
      const misshapen = ruleShapeFaults(rule);
      const id = idOf(rule);
      const faults = [
        ...(id !== undefined && seen.has(id) ? ['id: stands twice in the role'] : []),
        ...(misshapen.length > 0 ? misshapen : faultsOf(rule, role, useCase)),
      ];
      if (id !== undefined) seen.add(id);
      return faults.map((fault) => `${useCase.id}/${role.id}/${id ?? `rules[${String(index)}]`}: ${fault}`);
    });
    return [...claims, ...rules];
  });
}

/** What is no rule yet may have no id: it is named by its place. */
function idOf(rule: unknown): string | undefined {
  return typeof rule === 'object' && rule !== null && 'id' in rule && typeof rule.id === 'string' ? rule.id : undefined;
}

function faultsOf(rule: Rule, role: Role, useCase: Parameters<typeof ruleFaults>[0]): readonly string[] {
  return [
    ...shapeFaults(rule, role),
    ...Object.entries(rule.parameters ?? {}).flatMap(([key, wanted]) => parameterFaults(key, wanted, rule, role)),
    ...includeFaults('includes', rule.includes, rule, role),
    ...includeFaults('revincludes', rule.revincludes, rule, role),
    ...(rule.patient === undefined ? [] : patientFaults(rule.patient, rule, role)),
    ...narrowFaults(rule, role),
    ...conflictFaults(rule, role.fhirVersion),
    ...conditionalFaults(rule, role),
    ...obligationFaults(rule, useCase),
  ];
}

function narrowFaults(rule: Rule, role: Role): readonly string[] {
  const { interaction, types, narrow = [], obligations = [] } = rule;
  const added = [...narrow, ...obligations.flatMap((each) => (each.kind === 'narrow' ? [each] : []))];
  return [
    ...(narrow.length === 0 || SEARCHES.has(interaction) ? [] : [`narrow: is for searches, not for ${interaction}`]),
    ...added
      .filter(({ parameter }) => typeof parameter === 'string' && !isKnown(parameter, rule, role))
      .map(({ parameter }) => `narrow: ${parameter} is no search parameter of ${types.join(' ')}`),
    ...narrow
      .filter(
        (each) => each.with === 'patient' && isKnown(each.parameter, rule, role) && !namesPatient(each.parameter, rule, role),
      )
      .map(({ parameter }) => `narrow: ${parameter} names no patient; a reference without modifier does, or _id of Patient`),
    ...(narrow.some(({ element }) => element === '') ? ['narrow: needs an element'] : []),
  ];
}

function shapeFaults(rule: Rule, { fhirVersion }: Role): readonly string[] {
  const { id, interaction, types, operation, methods, instance, maxCount, ifMatch } = rule;
  const faults: string[] = [];
  const insist = (holds: boolean, fault: string): void => {
    if (!holds) faults.push(fault);
  };
  insist(/^[a-z][a-z0-9-]*$/.test(id), 'id: must be lower-case letters, digits and hyphens');
  // What has been seen cannot be unsaid, nor made up (attack case C11).
  insist(
    !types.includes('AuditEvent') || isListing(interaction) || interaction === 'read' || interaction === 'vread',
    `types: AuditEvent is written by nobody; ${interaction} of it cannot be permitted`,
  );
  for (const type of types) insist(isResourceType(fhirVersion, type), `types: ${type} is no type of ${fhirVersion}`);
  insist(
    WITHOUT_TYPE.has(interaction) === (types.length === 0),
    `types: ${interaction} ${types.length === 0 ? 'needs at least one' : 'has none'}`,
  );
  insist(
    OPERATIONS.has(interaction) === (operation !== undefined),
    `operation: ${operation === undefined ? 'is missing' : 'is for operations'}`,
  );
  insist(operation === undefined || /^[a-z][a-z0-9.-]{0,63}$/.test(operation), 'operation: must be a name without $');
  insist(methods === undefined || methods.length > 0, 'methods: must name GET or POST');
  insist(
    methods === undefined || SEARCHES.has(interaction) || OPERATIONS.has(interaction),
    `methods: ${interaction} has one method`,
  );
  insist(instance === undefined || INSTANCES.has(interaction), `instance: ${interaction} names no id`);
  if (Array.isArray(instance)) for (const each of instance) insist(isId(String(each)), `instance: ${String(each)} is no id`);
  insist(maxCount === undefined || (Number.isInteger(maxCount) && maxCount >= 1), 'maxCount: must be a whole number from 1');
  insist(maxCount === undefined || isListing(interaction), `maxCount: ${interaction} has no pages`);
  insist(
    ifMatch === undefined || CHANGES.has(interaction) || interaction === 'delete',
    `ifMatch: is for update, patch and delete, not for ${interaction}`,
  );
  return faults;
}

function conditionalFaults({ interaction, types, parameters, patient }: Rule, { rules }: Role): readonly string[] {
  const write = CONDITIONALS.get(interaction);
  if (write === undefined) return [];
  const faults = types.flatMap((type) =>
    (['search-type', write] as const)
      .filter((needed) => !rules.some((rule) => rule.interaction === needed && rule.types.includes(type)))
      .map((needed) => `interaction: ${interaction} of ${type} needs a rule for ${needed} of ${type}, by which it is judged`),
  );
  for (const type of types) faults.push(...criteriaFaults(parameters ?? {}, type, rules));
  if (patient !== undefined) faults.push(`patient: the rules for search-type and ${write} say whose data it is about`);
  if (Object.keys(parameters ?? {}).length === 0) faults.push('parameters: must list the criteria, by which it is conditional');
  return faults;
}

/** Criteria that no search takes, and searches that want what no criteria may say: with these it could never match. */
function criteriaFaults(criteria: NonNullable<Rule['parameters']>, type: string, rules: readonly Rule[]): readonly string[] {
  const searches = rules.filter(({ interaction, types }) => interaction === 'search-type' && types.includes(type));
  if (searches.length === 0) return [];
  const takes = ({ parameters = {}, patient }: Rule, key: string): boolean =>
    Object.hasOwn(parameters, key) || (patient?.from === 'parameter' && patient.parameters.includes(key));
  const wants = ({ parameters = {}, patient }: Rule): readonly string[] => [
    ...Object.keys(parameters).filter((key) => parameters[key]?.optional !== true && !Object.hasOwn(criteria, key)),
    ...(patient?.from === 'parameter' && !patient.parameters.some((key) => Object.hasOwn(criteria, key))
      ? [patient.parameters.join(' or ')]
      : []),
  ];
  const faults = Object.keys(criteria)
    .filter((key) => !searches.some((search) => takes(search, key)))
    .map((key) => `parameters.${key}: stands in no rule for search-type of ${type}, by which criteria are judged`);
  const lacking = searches.map((search) => `${search.id} wants ${wants(search).join(' and ')}`);
  if (searches.every((search) => wants(search).length > 0))
    faults.push(`parameters: no rule for search-type of ${type} takes these criteria: ${lacking.join('; ')}`);
  return faults;
}

function useOf({ interaction }: Rule): ParameterUse {
  if (SEARCHES.has(interaction)) return 'search';
  if (CONDITIONALS.has(interaction)) return 'criteria';
  if (OPERATIONS.has(interaction)) return 'operation';
  if (isListing(interaction)) return 'history';
  if (interaction === 'read' || interaction === 'vread') return 'read';
  return interaction === 'capabilities' ? 'capabilities' : 'none';
}

function isKnown(key: string, rule: Rule, { fhirVersion }: Role): boolean {
  try {
    const parameter = parseParameter({ name: key, value: 'x' }, fhirVersion);
    const types: readonly (string | undefined)[] = rule.types.length === 0 ? [undefined] : rule.types;
    return types.every((type) => isKnownParameter(parameter, useOf(rule), fhirVersion, type));
  } catch {
    return false;
  }
}

function parameterFaults(key: string, wanted: ParameterRule, rule: Rule, role: Role): readonly string[] {
  const field = `parameters.${key}`;
  const faults = isKnown(key, rule, role)
    ? []
    : [`${field}: is no parameter of ${rule.interaction} ${rule.types.join(' ')}`.trimEnd() + namesInstead(key, rule, role)];
  // As a parameter it would say nothing of the types that come along.
  if (key === '_include' || key === '_revinclude')
    faults.push(`${field}: is said by ${key.slice(1)}s, with its values and types`);
  if ('oneOf' in wanted && wanted.oneOf.length === 0) faults.push(`${field}: oneOf names nothing`);
  if ('subsetOf' in wanted && wanted.subsetOf.length === 0) faults.push(`${field}: subsetOf names nothing`);
  if ('equals' in wanted && (wanted.equals.length === 0 || wanted.equals.some((values) => values.length === 0)))
    faults.push(`${field}: equals names nothing`);
  if ('range' in wanted && !(wanted.range[0] <= wanted.range[1])) faults.push(`${field}: the range is empty`);
  if ('pattern' in wanted && !(wanted.pattern instanceof RegExp)) faults.push(`${field}: pattern must be a regular expression`);
  return faults;
}

/** What a plain name could have been. */
function namesInstead(key: string, rule: Rule, { fhirVersion }: Role): string {
  const [type, ...others] = rule.types;
  if (type === undefined || others.length > 0 || !/^[a-z-]+$/i.test(key) || !SEARCHES.has(rule.interaction)) return '';
  return `; there are ${searchParameterNames(fhirVersion, type).join(' ')}`;
}

function includeFaults(
  field: 'includes' | 'revincludes',
  include: IncludeRule | undefined,
  rule: Rule,
  { fhirVersion }: Role,
): readonly string[] {
  if (include === undefined) return [];
  const faults: string[] = [];
  if (!SEARCHES.has(rule.interaction)) faults.push(`${field}: are for searches`);
  if (include.values.length === 0 || include.types.length === 0)
    faults.push(`${field}: needs values and the types that come along`);
  for (const type of include.types)
    if (!isResourceType(fhirVersion, type)) faults.push(`${field}.types: ${type} is no type of ${fhirVersion}`);
  for (const value of include.values) {
    const parsed = parseInclude(value, fhirVersion);
    if (parsed === undefined) faults.push(`${field}: ${value} must be Type:parameter or Type:parameter:Target`);
    else if (field === 'includes' && rule.types.length > 0 && !rule.types.includes(parsed.source))
      faults.push(`${field}: ${value} must begin with a type of the rule`);
    else if (!isReference(parsed, fhirVersion))
      faults.push(`${field}: ${value} goes by ${parsed.parameter}, which is no reference of ${parsed.source}`);
    else if (
      field === 'revincludes' &&
      parsed.target !== undefined &&
      rule.types.length > 0 &&
      !rule.types.includes(parsed.target)
    )
      faults.push(`${field}: ${value} must end with a type of the rule`);
    else if (field === 'includes' && parsed.target !== undefined && !include.types.includes(parsed.target))
      faults.push(`${field}: ${value} brings ${parsed.target}, which is not among types`);
    else if (field === 'revincludes' && !include.types.includes(parsed.source))
      faults.push(`${field}: ${value} brings ${parsed.source}, which is not among types`);
  }
  return faults;
}

function isReference({ source, parameter }: Include, version: FhirVersion): boolean {
  return parameter === '*' || searchParameterType(version, source, parameter) === 'reference';
}

function patientFaults(patient: PatientRule, rule: Rule, role: Role): readonly string[] {
  const faults: string[] = [];
  const { interaction, types } = rule;
  if ('element' in patient && !/^[a-zA-Z]+(?:\.[a-zA-Z]+)*$/.test(patient.element))
    faults.push('patient.element: must be a path such as subject');
  switch (patient.from) {
    case 'path':
      if (interaction !== 'search-compartment' && !(INSTANCES.has(interaction) && types.every((type) => type === 'Patient')))
        faults.push('patient.from: path is for instances of Patient and for compartments');
      // A server that ignores the compartment would not be noticed.
      if (interaction === 'search-compartment' && rule.narrow?.some((each) => each.with === 'patient') !== true)
        faults.push('narrow: a compartment needs one with patient, by which each entry of the answer is proved');
      break;
    case 'parameter':
      if (!SEARCHES.has(interaction) && !OPERATIONS.has(interaction))
        faults.push('patient.from: parameter is for searches and operations');
      if (patient.parameters.length === 0) faults.push('patient.parameters: names nothing');
      for (const key of patient.parameters)
        if (!isKnown(key, rule, role)) faults.push(`patient.parameters: ${key} is no parameter of ${types.join(' ')}`);
        else if (!namesPatient(key, rule, role))
          faults.push(`patient.parameters: ${key} names no patient; a reference without modifier does, or _id of Patient`);
      break;
    case 'body':
      if (interaction !== 'create' && interaction !== 'update') faults.push('patient.from: body is for create and update');
      break;
    case 'look-up':
      if (!INSTANCES.has(interaction)) faults.push('patient.from: look-up needs an interaction with an id');
      break;
    case 'grant':
      break;
  }
  return faults;
}

function namesPatient(key: string, { types }: Rule, { fhirVersion }: Role): boolean {
  if (key === '_id') return types.every((type) => type === 'Patient');
  const among: readonly (string | undefined)[] = types.length === 0 ? [undefined] : types;
  return among.every((type) => searchParameterType(fhirVersion, type, key) === 'reference');
}
