import { interactionType, type Interaction } from '../fhir/interaction.ts';
import { isJsonArray, isJsonObject, type JsonObject, type JsonValue } from '../fhir/json.ts';
import type { Parameter } from '../fhir/parameter.ts';
import { localReference, parseReference, printReference, references } from '../fhir/reference.ts';
import { isId } from '../fhir/version.ts';
import type { Grant, PolicyInformation } from '../usecase/access.ts';
import type { PatientContext } from '../usecase/decision.ts';
import type { PatientRule } from '../usecase/rules.ts';
import { parametersOf, type RuleFault } from './rules.ts';

/** What the patient of a request may be read from. */
export interface PatientSources {
  readonly interaction: Interaction;
  /** What is to be written. */
  readonly body: JsonObject | undefined;
  /** The live grant by which the request would be permitted. */
  grant(): Promise<Grant | undefined>;
  readonly information: Pick<PolicyInformation, 'read'>;
}

/** The patient of a request by a rule; a fault when there is none, more than one, or another than the rule has. */
export function establishPatient(
  rule: PatientRule,
  sources: PatientSources,
): PatientContext | RuleFault | Promise<PatientContext | RuleFault> {
  switch (rule.from) {
    case 'path':
      return judged(rule, 'path', fromPath(sources.interaction));
    case 'parameter': {
      const named = fromParameters(rule.parameters, sources.interaction);
      return typeof named === 'string' || named === undefined ? judged(rule, 'parameter', named) : named;
    }
    case 'body':
      return judged(rule, 'body', sources.body === undefined ? undefined : soleWrittenPatient(sources.body, rule.element));
    case 'look-up':
      return fromStored(rule, rule.element, sources);
    case 'grant':
      return sources.grant().then((grant) => judged(rule, 'grant', grant?.patient));
  }
}

/** Whether no patient was found, and why. */
export function isFault(found: PatientContext | RuleFault): found is RuleFault {
  return 'code' in found;
}

function judged(rule: PatientRule, proof: PatientContext['proof'], reference: string | undefined): PatientContext | RuleFault {
  if (reference === undefined) return { code: 'patient_not_named', text: `no patient is named by the request (${proof})` };
  if (rule.is !== undefined && !rule.is.includes(reference))
    return { code: 'patient_not_in_rule', text: 'the patient is none of the rule' };
  return { reference, proof };
}

function fromPath(interaction: Interaction): string | undefined {
  if (interaction.kind === 'search-compartment') {
    const { type, id } = interaction.compartment;
    return type === 'Patient' ? `Patient/${id}` : undefined;
  }
  return interactionType(interaction) === 'Patient' && 'id' in interaction ? `Patient/${interaction.id}` : undefined;
}

function fromParameters(names: readonly string[], interaction: Interaction): string | RuleFault | undefined {
  let patient: string | undefined;
  for (const parameter of parametersOf(interaction)) {
    if (!names.includes(parameter.key)) continue;
    const named = patientOf(parameter);
    // All aliases are judged, and all must agree (attack cases Q36, Q43).
    if (named === undefined)
      return { code: 'patient_ambiguous', text: `${parameter.key} must name one patient, as an id or Patient/[id]` };
    if (patient !== undefined && patient !== named)
      return { code: 'patient_ambiguous', text: `${names.join(', ')} name two patients` };
    patient = named;
  }
  return patient;
}

/** `Patient/[id]` of a parameter that names one patient: a bare id, or a relative reference without a version (attack case Q35). */
export function patientOf(parameter: Parameter): string | undefined {
  const [value = '', ...others] = parameter.values;
  if (others.length > 0) return undefined;
  if (isId(value)) return `Patient/${value}`;
  return parameter.key === '_id' ? undefined : patientIn(value);
}

function patientIn(reference: string): string | undefined {
  const local = localReference(reference);
  return local?.type === 'Patient' && local.versionId === undefined && reference === printReference(local)
    ? reference
    : undefined;
}

async function fromStored(
  rule: PatientRule,
  element: string,
  { interaction, information }: PatientSources,
): Promise<PatientContext | RuleFault> {
  const type = interactionType(interaction);
  if (type === undefined || !('id' in interaction)) return judged(rule, 'look-up', undefined);
  const stored = await information.read(type, interaction.id);
  return judged(rule, 'look-up', stored === undefined ? undefined : patientAt(stored, element));
}

/** The patient that the Reference at an element names, relative; undefined for anything else. */
export function patientAt(resource: JsonObject, element: string): string | undefined {
  const reference = objectAt(resource, element)?.['reference'];
  return typeof reference === 'string' ? patientIn(reference) : undefined;
}

function objectAt(resource: JsonObject, element: string): JsonObject | undefined {
  let value: JsonValue | undefined = resource;
  for (const name of element.split('.')) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    value = (value as JsonObject)[name];
  }
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : undefined;
}

/** A Reference that says besides its text whom it means: an identifier, or another type, may be somebody else. */
function namesOtherwise(reference: JsonObject | undefined): boolean {
  return reference !== undefined && (reference['identifier'] !== undefined || (reference['type'] ?? 'Patient') !== 'Patient');
}

/** Systems by which persons are known: whoever is named by one, whatever `type` says, is named (STU3 has no `type`). */
const PERSON_SYSTEMS: ReadonlySet<JsonValue | undefined> = new Set([
  'http://fhir.nl/fhir/NamingSystem/bsn',
  'urn:oid:2.16.840.1.113883.2.4.6.3',
]);

/** What names somebody so that nobody can compare: by an identifier alone, or by a `reference` that is no text. */
function namesUnreadably(value: JsonValue | undefined, isRoot = false): boolean {
  if (isJsonArray(value)) return value.some((each) => namesUnreadably(each));
  if (!isJsonObject(value)) return false;
  const { type, reference, identifier } = value;
  if (type === 'Patient' && reference === undefined && identifier !== undefined) return true;
  // A resource has a list of its own; of a Reference there is one, but some servers read a list of one as the one.
  if (isPersonal(identifier) && !(isRoot && isJsonArray(identifier))) return true;
  if (reference !== undefined && typeof reference !== 'string' && !isReferences(reference)) return true;
  // A Patient inside another resource is somebody without a name to compare.
  return Object.values(value).some((each) => isPatient(each) || namesUnreadably(each));
}

function isPatient(value: JsonValue): boolean {
  if (isJsonArray(value)) return value.some(isPatient);
  return isJsonObject(value) && value['resourceType'] === 'Patient';
}

function isPersonal(identifier: JsonValue | undefined): boolean {
  if (isJsonArray(identifier)) return identifier.some(isPersonal);
  return isJsonObject(identifier) && PERSON_SYSTEMS.has(identifier['system']);
}

/** Some elements of that name hold References themselves (`Consent.provision.data.reference`). */
function isReferences(value: JsonValue): boolean {
  return isJsonArray(value) ? value.every(isJsonObject) : isJsonObject(value);
}

/** The patient at the element, if no other patient is referred to anywhere in what is written (attack case C13). */
export function soleWrittenPatient(resource: JsonObject, element: string): string | undefined {
  const patient = patientAt(resource, element);
  // By an identifier alone somebody is named whom nobody can compare.
  if (patient === undefined || namesOtherwise(objectAt(resource, element)) || namesUnreadably(resource, true)) return undefined;
  for (const { value } of references(resource)) {
    const reference = parseReference(value);
    if (reference.kind === 'contained' || reference.kind === 'urn') continue;
    // A conditional, foreign or unreadable reference may be anybody.
    if (reference.kind !== 'local') return undefined;
    if (reference.type === 'Patient' && `Patient/${reference.id}` !== patient) return undefined;
  }
  return patient;
}
