import { isListing, type Interaction } from '../fhir/interaction.ts';
import { withValues } from '../fhir/operation-input.ts';
import { SHORTENING } from '../fhir/parameter-names.ts';
import { parseParameter, type Parameter } from '../fhir/parameter.ts';
import type { FhirVersion } from '../fhir/version.ts';
import type { Narrowing } from '../usecase/decision.ts';
import type { Rule } from '../usecase/rules.ts';
import { patientOf } from './patient.ts';
import type { RuleFault } from './rules.ts';

/** What every entry of an answer that was matched (and the resource of a read) must show, else nothing of the answer leaves. */
export interface Proof {
  /** Path from the resource: `subject` (a Reference), `id`, `status`, `meta.tag`. */
  readonly element: string;
  /** Any of these: `Patient/1`, a code, `system|code`. */
  readonly values: readonly string[];
  /** The parameter that says it, for the self link of a GET. */
  readonly parameter?: string;
}

/** What a rule and its obligations make of the parameters. */
export interface Narrowed {
  readonly interaction: Interaction;
  readonly proofs: readonly Proof[];
}

interface Wanted {
  readonly version: FhirVersion;
  readonly rule: Rule;
  /** `Patient/[id]` */
  readonly patient: string | undefined;
  readonly narrowings: readonly Narrowing[];
  readonly maxCount: number | undefined;
}

/**
 * The interaction as it goes upstream: patient parameters in one form, narrowings added (each an AND of its own), the page bounded. The caller's
 * own value on a narrowing key is a conflict unless it means the same (attack case Q38).
 */
export function narrow(interaction: Interaction, wanted: Wanted): Narrowed | RuleFault {
  const { rule, patient, narrowings, maxCount } = wanted;
  const proofs = [...ruleProofs(interaction, rule, patient), ...narrowings];
  if (!('parameters' in interaction)) {
    if (maxCount !== undefined) return pageless;
    return narrowings.length === 0 ? { interaction, proofs } : unfit;
  }
  // What is proved on the answer must be in it (attack cases Q25, Q50).
  if (proofs.length > 0 && interaction.parameters.some(({ key }) => SHORTENING.has(key)))
    return { code: 'obligation_unfit', text: 'a proof needs all elements: no _elements and no _summary' };
  let parameters = interaction.parameters;
  if (rule.patient?.from === 'parameter') parameters = inOneForm(parameters, rule.patient.parameters, wanted.version);
  if (narrowings.length > 0) {
    if (!('via' in interaction)) return unfit;
    const added = withNarrowings(parameters, narrowings, wanted.version);
    if ('code' in added) return added;
    parameters = added;
  }
  // A read has no pages: `_count` would make a request of it that is none (FHIR knows it for searches and histories).
  if (maxCount !== undefined && !isListing(interaction.kind)) return pageless;
  if (maxCount !== undefined) parameters = bounded(parameters, maxCount, wanted.version);
  if (parameters === interaction.parameters) return { interaction, proofs };
  if (!('input' in interaction)) return { interaction: { ...interaction, parameters }, proofs };
  // Of an operation by POST the body goes up: it says what was judged.
  const values = new Map(patientNames(rule).flatMap((name) => patientValue(parameters, name)));
  return { interaction: { ...interaction, parameters, input: withValues(interaction.input, values) }, proofs };
}

function patientNames({ patient }: Rule): readonly string[] {
  return patient?.from === 'parameter' ? patient.parameters : [];
}

function patientValue(parameters: readonly Parameter[], name: string): readonly (readonly [string, string])[] {
  const value = parameters.find(({ key }) => key === name)?.values[0];
  return value === undefined ? [] : [[name, value]];
}

const unfit: RuleFault = { code: 'narrowing_unfit', text: 'only a search can be narrowed' };

const pageless: RuleFault = { code: 'obligation_unfit', text: 'only a search or a history has pages' };

function ruleProofs(interaction: Interaction, rule: Rule, patient: string | undefined): readonly Proof[] {
  if (patient === undefined || rule.patient === undefined) return [];
  const { element, parameter } = proofElement(interaction, rule.patient);
  if (element === undefined) return [];
  const value = element === 'id' ? patient.slice('Patient/'.length) : patient;
  return [{ element, values: [value], ...(parameter === undefined ? {} : { parameter }) }];
}

function proofElement(
  interaction: Interaction,
  rule: NonNullable<Rule['patient']>,
): { readonly element?: string; readonly parameter?: string } {
  if (rule.from === 'look-up') return { element: rule.element };
  if (rule.from !== 'parameter' || !('parameters' in interaction)) return {};
  const used = interaction.parameters.find(({ key }) => rule.parameters.includes(key));
  return { element: rule.element, ...(used === undefined ? {} : { parameter: used.key }) };
}

/** `patient=1`, `subject=Patient/1`: the patient as a relative reference, which no server can take for another type; the same said twice, once. */
function inOneForm(parameters: readonly Parameter[], names: readonly string[], version: FhirVersion): readonly Parameter[] {
  const seen = new Set<string>();
  return parameters.flatMap((parameter) => {
    if (!names.includes(parameter.key)) return parameter;
    if (seen.has(parameter.key)) return [];
    seen.add(parameter.key);
    const value = parameter.key === '_id' ? parameter.values[0] : patientOf(parameter);
    return parseParameter({ name: parameter.key, value: value ?? '' }, version);
  });
}

function withNarrowings(
  parameters: readonly Parameter[],
  narrowings: readonly Narrowing[],
  version: FhirVersion,
): readonly Parameter[] | RuleFault {
  const added = [...parameters];
  for (const { parameter, values } of narrowings) {
    const ours = parseParameter({ name: parameter, value: values.join(',') }, version);
    const theirs = parameters.filter(({ name }) => name === ours.name);
    if (theirs.some((each) => !isSame(each, ours)))
      return { code: 'narrowing_conflict', text: `${parameter} is not the caller’s to say` };
    if (theirs.length === 0) added.push(ours);
  }
  return added;
}

function isSame(theirs: Parameter, ours: Parameter): boolean {
  return (
    theirs.key === ours.key &&
    theirs.values.length === ours.values.length &&
    theirs.values.every((value) => ours.values.includes(value))
  );
}

function bounded(parameters: readonly Parameter[], maxCount: number, version: FhirVersion): readonly Parameter[] {
  const asked = parameters.find(({ key }) => key === '_count');
  // Beyond 2^53 a number loses digits, and never becomes smaller than a maximum.
  if (asked !== undefined && Number(asked.values[0]) <= maxCount) return parameters;
  const ours = parseParameter({ name: '_count', value: String(maxCount) }, version);
  return asked === undefined ? [...parameters, ours] : parameters.map((each) => (each === asked ? ours : each));
}
