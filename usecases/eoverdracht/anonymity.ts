import { isJsonObject, parseReference, type FieldProblem, type JsonObject, type JsonValue } from 'sluis/usecase';
import { isList, object, objects, text } from './json.ts';

const BSN_SYSTEM = 'http://fhir.nl/fhir/NamingSystem/bsn';

/** All that a Patient in a notice may have (facts §3.3). */
const PATIENT_ELEMENTS: ReadonlySet<string> = new Set(['resourceType', 'id', 'meta', 'gender', 'birthDate', 'address', 'active']);
const ADDRESS_ELEMENTS: ReadonlySet<string> = new Set(['postalCode', 'country', 'use', 'type']);

/** Types whose identifiers and texts are about care providers, not about the patient. */
const ABOUT_PROVIDERS: ReadonlySet<string> = new Set(['Organization', 'Practitioner', 'PractitionerRole', 'Composition']);

/** Elements that hold free text, or a number by which an insurer knows the insured. */
const FREE_TEXT: ReadonlySet<string> = new Set(['text', 'note', 'comment', 'contained']);
const INSURED: ReadonlySet<string> = new Set(['subscriberId', 'subscriber', 'policyHolder', 'identifier']);

/** Values of a code system or of the structure: no name gets in there, but a name may sound like one of them. */
const CODED = /(coding\[\d+\]\.display|reference|resourceType|system|code|status|url|profile\[\d+\])$/;

/** Shorter pieces of a name occur in ordinary words. */
const SHORTEST_NAME = 3;

/**
 * Whether a notice keeps the patient unknown: no basis for personal data exists before the assignment (Bolt §3.2, §4.2.2). Looks at the
 * structure, and for everything by which the real patient is known.
 *
 * @param resources the Composition and everything that it refers to, by reference
 * @param patient the real patient, with its reference
 * @returns the places that are not anonymous; empty when there are none
 */
export function anonymityProblems(
  resources: ReadonlyMap<string, JsonObject>,
  patient: { readonly reference: string; readonly resource: JsonObject },
  base?: string,
): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  const known = identifyingTexts(patient.resource);
  if (resources.has(patient.reference))
    problems.push({ field: patient.reference, problem: 'is the patient that is to be transferred' });
  for (const [reference, resource] of resources) {
    if (reference === patient.reference) continue;
    problems.push(...structureProblems(reference, resource));
    for (const [path, value] of texts(resource, '')) {
      const field = `${reference}: ${path}`;
      const named = parseReference(value, base);
      if (path.endsWith('reference') && named.kind === 'local' && `${named.type}/${named.id}` === patient.reference) {
        problems.push({ field, problem: 'refers to the patient that is to be transferred' });
      } else if (path.endsWith('system') && value === BSN_SYSTEM) {
        problems.push({ field, problem: 'is a citizen service number' });
      } else if (!CODED.test(path) && known.some((each) => containsWord(value, each))) {
        problems.push({ field, problem: 'holds something by which the patient is known' });
      }
    }
  }
  return problems;
}

function structureProblems(reference: string, resource: JsonObject): readonly FieldProblem[] {
  const type = text(resource, 'resourceType') ?? '';
  if (type === 'Patient') return patientProblems(reference, resource);
  if (type === 'RelatedPerson' || type === 'Person') return [{ field: reference, problem: 'is a person near the patient' }];
  const problems: FieldProblem[] = [];
  for (const name of Object.keys(resource)) {
    if (FREE_TEXT.has(name) && (type === 'Composition' || !ABOUT_PROVIDERS.has(type)))
      problems.push({ field: `${reference}: ${name}`, problem: 'free text cannot be shown to be anonymous' });
    if (!ABOUT_PROVIDERS.has(type) && INSURED.has(name)) {
      problems.push({ field: `${reference}: ${name}`, problem: 'links to the real patient' });
    }
  }
  for (const [path, value] of personReferences(resource, '')) {
    if (value['display'] !== undefined)
      problems.push({ field: `${reference}: ${path}.display`, problem: 'may name the patient' });
    if (value['identifier'] !== undefined)
      problems.push({ field: `${reference}: ${path}.identifier`, problem: 'may identify the patient' });
  }
  if (type === 'Composition') problems.push(...sectionProblems(reference, resource, 'section'));
  return problems;
}

function patientProblems(reference: string, patient: JsonObject): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  for (const name of Object.keys(patient)) {
    if (!PATIENT_ELEMENTS.has(name)) problems.push({ field: `${reference}: ${name}`, problem: 'not in an anonymous Patient' });
  }
  const birthDate = text(patient, 'birthDate');
  if (birthDate !== undefined && !/^\d{4}$/.test(birthDate)) {
    problems.push({ field: `${reference}: birthDate`, problem: 'more than the year of birth' });
  }
  for (const [index, address] of objects(patient, 'address').entries()) {
    for (const name of Object.keys(address)) {
      if (!ADDRESS_ELEMENTS.has(name)) {
        problems.push({
          field: `${reference}: address[${String(index)}].${name}`,
          problem: 'more than four digits of the postcode',
        });
      }
    }
    const postcode = text(address, 'postalCode');
    if (postcode !== undefined && !/^\d{4}$/.test(postcode)) {
      problems.push({
        field: `${reference}: address[${String(index)}].postalCode`,
        problem: 'more than four digits of the postcode',
      });
    }
  }
  return problems;
}

function sectionProblems(reference: string, parent: JsonObject, path: string): readonly FieldProblem[] {
  return objects(parent, 'section').flatMap((section, index) => {
    const place = `${path}[${String(index)}]`;
    const narrative =
      object(section, 'text') === undefined
        ? []
        : [{ field: `${reference}: ${place}.text`, problem: 'free text cannot be shown to be anonymous' }];
    return [...narrative, ...sectionProblems(reference, section, `${place}.section`)];
  });
}

/** Elements in which a resource names its patient. */
function* personReferences(value: JsonValue, path: string): Iterable<readonly [string, JsonObject]> {
  if (isList(value)) {
    for (const [index, item] of value.entries()) yield* personReferences(item, `${path}[${String(index)}]`);
    return;
  }
  if (!isJsonObject(value)) return;
  for (const [name, member] of Object.entries(value)) {
    const place = path === '' ? name : `${path}.${name}`;
    if (['subject', 'patient', 'beneficiary'].includes(name) && isJsonObject(member)) yield [place, member];
    yield* personReferences(member, place);
  }
}

function* texts(value: JsonValue, path: string): Iterable<readonly [string, string]> {
  if (typeof value === 'string') yield [path, value];
  else if (isList(value)) for (const [index, item] of value.entries()) yield* texts(item, `${path}[${String(index)}]`);
  else if (isJsonObject(value))
    for (const [name, member] of Object.entries(value)) yield* texts(member, path === '' ? name : `${path}.${name}`);
}

/** What the patient is known by: names, numbers, telephone, street, whole postcode and date of birth. */
function identifyingTexts(patient: JsonObject): readonly string[] {
  const found: (string | undefined)[] = [];
  for (const name of objects(patient, 'name')) {
    found.push(text(name, 'family'), text(name, 'text'), ...strings(name['given']));
    for (const own of extensionTexts(name)) found.push(own);
  }
  for (const identifier of objects(patient, 'identifier')) found.push(text(identifier, 'value'));
  for (const telecom of objects(patient, 'telecom')) found.push(text(telecom, 'value'));
  for (const address of objects(patient, 'address')) {
    const postcode = text(address, 'postalCode');
    found.push(...strings(address['line']), postcode !== undefined && postcode.length > 4 ? postcode : undefined);
  }
  const birthDate = text(patient, 'birthDate');
  if (birthDate !== undefined && birthDate.length > 4) found.push(birthDate);
  return [
    ...new Set(
      found
        .filter((each) => each !== undefined && each.trim().length >= SHORTEST_NAME)
        .map((each) => (each ?? '').trim().toLowerCase()),
    ),
  ];
}

/** Own name and partner's name stand in extensions of `_family` (nl-core). */
function extensionTexts(name: JsonObject): readonly string[] {
  return objects(object(name, '_family'), 'extension').flatMap((extension) => strings(extension['valueString']));
}

function strings(value: JsonValue | undefined): readonly string[] {
  if (typeof value === 'string') return [value];
  return isList(value) ? value.filter((item) => typeof item === 'string') : [];
}

/** Whole words only: `Vries` is found in `mevr. De Vries`, not in `vriesweer`. */
function containsWord(value: string, word: string): boolean {
  const lower = value.toLowerCase();
  for (let at = lower.indexOf(word); at !== -1; at = lower.indexOf(word, at + 1)) {
    if (!isLetter(lower.charAt(at - 1)) && !isLetter(lower.charAt(at + word.length))) return true;
  }
  return false;
}

function isLetter(character: string): boolean {
  return /[\p{L}\p{N}]/u.test(character);
}
