import type { InteractionKind } from '../fhir/interaction.ts';
import { searchParameterType } from '../fhir/parameter-names.ts';
import { valueFault } from '../fhir/parameter-values.ts';
import { parseParameter, type Parameter } from '../fhir/parameter.ts';
import type { FhirVersion } from '../fhir/version.ts';
import type { NarrowRule, ParameterRule, Rule } from './rules.ts';

/** Interactions that a grant has a word for (`pdp/operation.ts`); of operations there is one, `document` of a Composition. */
const GRANTABLE: ReadonlySet<InteractionKind> = new Set([
  'read',
  'vread',
  'update',
  'patch',
  'delete',
  'create',
  'history-instance',
  'search-type',
]);

/** Conditions of one rule that contradict each other, or what the grammar takes at all: with them it could never match. */
export function conflictFaults(rule: Rule, version: FhirVersion): readonly string[] {
  return [
    ...Object.entries(rule.parameters ?? {}).flatMap(([key, wanted]) => valueFaults(key, wanted, rule, version)),
    ...narrowFaults(rule),
    ...grantFaults(rule),
    ...patientConflicts(rule),
    ...onlyOneFaults(rule),
  ];
}

/** Fixed values that no request can have: it was refused before, or read as other values. */
function valueFaults(key: string, wanted: ParameterRule, rule: Rule, version: FhirVersion): readonly string[] {
  const types: readonly (string | undefined)[] = rule.types.length === 0 ? [undefined] : rule.types;
  const problems = fixedValues(wanted).flatMap((value) => {
    const parameter = parsed(key, value, version);
    if (parameter === undefined) return [`${value} is no value: FHIR escapes are \\, \\| \\$ \\\\`];
    if (parameter.values.length > 1)
      return [
        `${value} is read as ${String(parameter.values.length)} values: each stands by itself, several at once in equals; a comma is written as \\,`,
      ];
    return [...new Set(types.flatMap((type) => faultOf(parameter, version, type, rule) ?? []))].map(
      (fault) => `${value} ${fault}`,
    );
  });
  return problems.map((problem) => `parameters.${key}: ${problem}`);
}

function faultOf(parameter: Parameter, version: FhirVersion, type: string | undefined, rule: Rule): string | undefined {
  if (rule.interaction.startsWith('operation-')) return undefined;
  const fault = valueFault(parameter, version, type);
  if (fault !== undefined || parameter.key !== '_sort') return fault;
  const name = (parameter.values[0] ?? '').replace(/^-/, '');
  return name === '_score' || searchParameterType(version, type, name) !== undefined
    ? undefined
    : `sorts by what is no search parameter of ${type ?? 'any type'}`;
}

function fixedValues(wanted: ParameterRule): readonly string[] {
  if ('oneOf' in wanted) return wanted.oneOf;
  if ('subsetOf' in wanted) return wanted.subsetOf;
  return 'equals' in wanted ? wanted.equals.flat() : [];
}

function parsed(key: string, value: string, version: FhirVersion): Parameter | undefined {
  try {
    return parseParameter({ name: key, value }, version);
  } catch {
    return undefined;
  }
}

function narrowFaults({ narrow = [], obligations = [], parameters = {} }: Rule): readonly string[] {
  const faults: string[] = [];
  const all: readonly NarrowRule[] = [
    ...narrow,
    ...obligations.flatMap((each) =>
      each.kind === 'narrow' && Array.isArray(each.values) ? [{ ...each, with: each.values }] : [],
    ),
  ];
  const said = new Map<string, string>();
  for (const { parameter, with: wanted } of all) {
    const values = JSON.stringify(wanted);
    if ((said.get(parameter) ?? values) !== values) faults.push(`narrow: ${parameter} is narrowed twice, to different values`);
    said.set(parameter, values);
    const asked = Object.hasOwn(parameters, parameter) ? parameters[parameter] : undefined;
    if (asked === undefined || asked.optional === true || wanted === 'patient' || !('oneOf' in asked)) continue;
    if (wanted.length !== 1 || !asked.oneOf.includes(wanted[0] ?? ''))
      faults.push(`narrow: ${parameter} must be asked with other values than it is narrowed to`);
  }
  return faults;
}

function grantFaults({ interaction, types, operation, instance, patient }: Rule): readonly string[] {
  const isDocument = interaction === 'operation-instance' && operation === 'document' && types.includes('Composition');
  // A conditional write is judged by the rules of its search and its write.
  if (GRANTABLE.has(interaction) || isDocument || interaction.startsWith('conditional-')) return [];
  const problem = `no grant can name ${[interaction, ...(operation === undefined ? [] : [`$${operation}`])].join(' ')}`;
  return [
    ...(instance === 'granted' ? [`instance: ${problem}`] : []),
    ...(patient?.from === 'grant' ? [`patient.from: ${problem}`] : []),
  ];
}

function patientConflicts({ patient, instance }: Rule): readonly string[] {
  const faults: string[] = [];
  const ids = Array.isArray(instance) ? instance.map(String) : undefined;
  if (
    patient?.from === 'path' &&
    ids !== undefined &&
    patient.is?.some((each) => ids.some((id) => each === `Patient/${id}`)) === false
  )
    faults.push('instance: names none of the patients in patient.is');
  // Of a Patient that is found by its id there is nothing else to prove.
  if (patient?.from === 'parameter' && patient.parameters.includes('_id') && patient.element !== 'id')
    faults.push('patient.element: must be id where _id names the patient');
  return faults;
}

function onlyOneFaults({ obligations = [] }: Rule): readonly string[] {
  const count = (...kinds: readonly string[]): number => obligations.filter(({ kind }) => kinds.includes(kind)).length;
  return [
    ...(count('guard-write', 'guard-changes') > 1
      ? ['obligations: two guards would be two verdicts on one write; leave one']
      : []),
    ...(count('answer-locally') > 1 ? ['obligations: two local answers to one request; leave one'] : []),
  ];
}
