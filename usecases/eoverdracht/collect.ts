import { GatewayError, isJsonObject, parseReference, printReference, type JsonObject, type JsonValue } from 'sluis/usecase';
import codes from './codes.json' with { type: 'json' };
import type { EOverdrachtConfig } from './config.ts';
import { isList, referenceText, text } from './json.ts';

/** Reads a resource of the custodian; undefined when it is not there. */
export type ReadResource = (type: string, id: string) => Promise<JsonObject | undefined>;

/** A document's resources, as they were found. */
export interface Collection {
  /** `Type/id`, the Composition first, each once. What a Binary holds is not read: it is named here and nowhere else. */
  readonly references: readonly string[];
  /** What was read, by reference. */
  readonly resources: ReadonlyMap<string, JsonObject>;
}

const TYPES: ReadonlySet<string> = new Set(codes.resourceTypes);
const ABOUT_ONE_PATIENT: ReadonlySet<string> = new Set(codes.aboutOnePatient);

/** Never followed: other patients, other organisations, the history of an order (facts §3.6 step 2). */
const STOP: ReadonlySet<string> = new Set(['link', 'partOf', 'replaces', 'basedOn', 'relatesTo']);

/** The elements in which a resource names its patient. */
const SUBJECT_ELEMENTS = ['subject', 'patient', 'beneficiary'] as const;

/** Reads at once. */
const WIDTH = 8;

/**
 * Collects what belongs to a document: from its Composition along every reference, attachment urls included, as deep as the settings say
 * (facts §3.6). Every resource must be about the Composition's subject: mixing patients is the worst possible fault.
 *
 * @param base the custodian's FHIR base: an absolute reference below it is local
 * @throws GatewayError `unprocessable` (`mixed_patients`, `document_too_large`, `unknown_reference`) with the places
 */
export async function collect(
  composition: JsonObject,
  read: ReadResource,
  config: Pick<EOverdrachtConfig, 'collect'>,
  base?: string,
): Promise<Collection> {
  const subject = localText(referenceText(composition, 'subject'), base);
  if (subject?.startsWith('Patient/') !== true) throw mixed([{ field: 'Composition.subject', problem: 'names no patient' }]);
  const own = `Composition/${text(composition, 'id') ?? ''}`;
  const resources = new Map<string, JsonObject>([[own, composition]]);
  const found: string[] = [own];
  const seen = new Set<string>(found);
  let level: readonly string[] = fresh(composition, own, base, subject, seen);
  for (let depth = 1; depth <= config.collect.depth && level.length > 0; depth += 1) {
    const next: string[] = [];
    for (const [reference, resource] of await readAll(level, read)) {
      // A dangling reference is skipped: fixtures of Nictiz have some, and nobody can read what is not there.
      if (resource === undefined) continue;
      found.push(reference);
      if (found.length > config.collect.maxResources) {
        throw new GatewayError('unprocessable', 'the document has too many resources', { reason: 'document_too_large' });
      }
      if (resource === 'unread') continue;
      resources.set(reference, resource);
      assertPatient(reference, resource, subject, base);
      next.push(...fresh(resource, reference, base, subject, seen));
    }
    level = next;
  }
  return { references: found, resources };
}

async function readAll(
  references: readonly string[],
  read: ReadResource,
): Promise<readonly (readonly [string, JsonObject | 'unread' | undefined])[]> {
  const results: (readonly [string, JsonObject | 'unread' | undefined])[] = [];
  for (let index = 0; index < references.length; index += WIDTH) {
    const batch = references.slice(index, index + WIDTH).map(async (reference) => {
      const [type = '', id = ''] = reference.split('/');
      return [reference, type === 'Binary' ? ('unread' as const) : await read(type, id)] as const;
    });
    results.push(...(await Promise.all(batch)));
  }
  return results;
}

/** The references of a resource that are to be followed and were not met before. */
function fresh(
  resource: JsonObject,
  place: string,
  base: string | undefined,
  subject: string,
  seen: Set<string>,
): readonly string[] {
  const list: string[] = [];
  for (const reference of follow(resource, '')) {
    const local = localText(reference, base);
    if (local === undefined) continue;
    const type = local.slice(0, local.indexOf('/'));
    if (type === 'Patient' && local !== subject) throw mixed([{ field: place, problem: 'names another patient' }]);
    if (!TYPES.has(type) || seen.has(local)) continue;
    seen.add(local);
    list.push(local);
  }
  return list;
}

function* follow(value: JsonValue, name: string): Iterable<string> {
  if (isList(value)) {
    for (const item of value) yield* follow(item, name);
    return;
  }
  if (!isJsonObject(value)) return;
  for (const [key, member] of Object.entries(value)) {
    if (STOP.has(key)) continue;
    // An attachment's url is a uri, no Reference (facts §3.5).
    if (typeof member === 'string' && (key === 'reference' || (key === 'url' && name === 'attachment'))) yield member;
    else if (typeof member !== 'string') yield* follow(member, key);
  }
}

function assertPatient(reference: string, resource: JsonObject, subject: string, base: string | undefined): void {
  const type = text(resource, 'resourceType') ?? '';
  if (`${type}/${text(resource, 'id') ?? ''}` !== reference)
    throw mixed([{ field: reference, problem: 'is another resource than was asked' }]);
  if (!ABOUT_ONE_PATIENT.has(type)) return;
  const named = SUBJECT_ELEMENTS.map((element) => referenceText(resource, element)).find((each) => each !== undefined);
  if (named === undefined) throw mixed([{ field: reference, problem: 'names no patient' }]);
  if (localText(named, base) !== subject) throw mixed([{ field: reference, problem: 'is about another patient' }]);
}

/** `Type/id` of a local reference, without a version. */
function localText(reference: string | undefined, base: string | undefined): string | undefined {
  if (reference === undefined) return undefined;
  const parsed = parseReference(reference, base);
  return parsed.kind === 'local' ? printReference(parsed) : undefined;
}

function mixed(fields: readonly { readonly field: string; readonly problem: string }[]): GatewayError {
  return new GatewayError('unprocessable', 'the document is not about one patient only', { reason: 'mixed_patients', fields });
}
