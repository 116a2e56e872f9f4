import { GatewayError, isJsonObject, type JsonObject, type JsonValue } from 'sluis/usecase';
import elements from './anonymous-elements.json' with { type: 'json' };
import { buildComposition, type BuiltDocument, type Sections } from './composition.ts';
import type { EOverdrachtConfig } from './config.ts';
import { isList, objects, text, without } from './json.ts';
import type { Recipe } from './transfer.ts';

const RULES: Readonly<Record<string, { readonly subject: string; readonly keep: readonly string[] } | undefined>> = elements;

/** The parts of a notice that are no section of their own. */
const NOT_A_SECTION: ReadonlySet<string> = new Set(['author', 'interventions']);

/** Keys of `recipe.ids` for what is made from nothing the EHR named. */
export const NOTICE_IDS = { composition: 'composition', patient: 'patient', coverage: 'coverage' } as const;

/**
 * Builds the advance notice: an anonymous Patient, anonymous copies of everything the EHR named, and the Composition (facts §3.3). Nothing in
 * it points to the real patient or to a resource that does.
 *
 * @param sources the real resources by reference, the patient under its own
 * @throws GatewayError `unprocessable` for a type of which no anonymous copy can be made
 */
export function buildAdvanceNotice(
  recipe: Recipe,
  patient: JsonObject,
  sources: ReadonlyMap<string, JsonObject>,
  tenantName: string,
  config: Pick<EOverdrachtConfig, 'codingOrder'>,
): BuiltDocument {
  const patientId = idFor(recipe, NOTICE_IDS.patient);
  const subject = `Patient/${patientId}`;
  const copies: JsonObject[] = [anonymousPatient(patient, patientId)];
  const sections: Record<string, readonly string[]> = {};
  for (const [name, references] of Object.entries(noticeSections(recipe.content))) {
    sections[name] = references.map((reference) => `${typeOf(reference)}/${idFor(recipe, reference)}`);
  }
  for (const [reference, source] of sources) copies.push(anonymousCopy(reference, source, idFor(recipe, reference), subject));
  if ((sections['payers'] ?? []).length === 0) {
    // The profile demands a payer (facts §3.3): one that says nothing about the insured.
    const id = idFor(recipe, NOTICE_IDS.coverage);
    copies.push({ resourceType: 'Coverage', id, beneficiary: { reference: subject }, payor: [{ display: 'Zorgverzekeraar' }] });
    sections['payers'] = [`Coverage/${id}`];
  }
  const [author] = recipe.content['author'] ?? [];
  const composition = buildComposition(
    {
      kind: 'advanceNotice',
      id: idFor(recipe, NOTICE_IDS.composition),
      subject,
      author: author === undefined ? { display: tenantName } : { reference: author },
      at: recipe.at,
      transferDate: recipe.transferDate,
      sections,
    },
    config,
  );
  return [...copies, composition];
}

/** The references of a notice of which an anonymous copy is made, each once. */
export function copiedReferences(content: Sections): readonly string[] {
  return [...new Set(Object.entries(content).flatMap(([name, references]) => (name === 'author' ? [] : references)))];
}

/** The sections as the Composition has them: interventions stand with the problems; without diagnoses the problems are the diagnosis. */
export function noticeSections(content: Sections): Sections {
  const problems = content['problems'] ?? [];
  const sections: Record<string, readonly string[]> = {};
  for (const [name, references] of Object.entries(content)) {
    if (!NOT_A_SECTION.has(name)) sections[name] = references;
  }
  sections['problems'] = [...problems, ...(content['interventions'] ?? [])];
  sections['diagnoses'] ??= problems.filter((reference) => typeOf(reference) === 'Condition');
  return sections;
}

/** Year of birth, four digits of the postcode and gender at most (facts §3.3). */
export function anonymousPatient(patient: JsonObject, id: string): JsonObject {
  const year = /^\d{4}/.exec(text(patient, 'birthDate') ?? '')?.[0];
  const postcode = /^\d{4}/.exec(text(objects(patient, 'address')[0], 'postalCode') ?? '')?.[0];
  const gender = text(patient, 'gender');
  return {
    resourceType: 'Patient',
    id,
    ...(gender === undefined ? {} : { gender }),
    ...(year === undefined ? {} : { birthDate: year }),
    ...(postcode === undefined ? {} : { address: [{ postalCode: postcode }] }),
  };
}

function anonymousCopy(reference: string, source: JsonObject, id: string, subject: string): JsonObject {
  const type = text(source, 'resourceType') ?? '';
  const rule = RULES[type];
  if (rule === undefined) {
    throw new GatewayError('unprocessable', `no anonymous copy can be made of a ${type}`, {
      reason: 'not_anonymous',
      fields: [{ field: reference, problem: `a ${type} cannot be made anonymous` }],
    });
  }
  const copy: Record<string, JsonValue> = { resourceType: type, id };
  const profiles = source['meta'];
  if (isJsonObject(profiles) && profiles['profile'] !== undefined) copy['meta'] = { profile: profiles['profile'] };
  for (const name of rule.keep) {
    const value = source[name];
    if (value !== undefined) copy[name] = coded(value);
  }
  copy[rule.subject] = { reference: subject };
  if (type === 'Coverage') copy['payor'] = [{ display: 'Zorgverzekeraar' }];
  return copy;
}

/** A value without free text where a code says the same, without extensions, element ids, notes, references and their displays. */
function coded(value: JsonValue): JsonValue {
  if (isList(value)) return value.map(coded);
  if (!isJsonObject(value)) return value;
  const kept: Record<string, JsonValue> = {};
  const hasCode = objects(value, 'coding').length > 0;
  for (const [name, member] of Object.entries(
    without(value, 'id', 'extension', 'modifierExtension', 'reference', 'identifier'),
  )) {
    if (name === 'text' && hasCode) continue;
    if (name === 'display' && value['reference'] !== undefined) continue;
    kept[name] = coded(member);
  }
  return kept;
}

function idFor(recipe: Recipe, key: string): string {
  const id = recipe.ids[key];
  if (id === undefined) throw new GatewayError('internal', `the recipe has no id for ${key}`);
  return id;
}

function typeOf(reference: string): string {
  return reference.slice(0, reference.indexOf('/'));
}
