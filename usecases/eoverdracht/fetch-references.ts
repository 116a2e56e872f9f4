import { parseReference, printReference, references, type JsonObject } from 'sluis/usecase';
import codes from './codes.json' with { type: 'json' };
import { referenceText, text } from './json.ts';

/** What one resource of a document points to. */
export interface Pointed {
  /** `Type/id` at the sender, each once, Binaries left out: they are fetched one by one, by their own grant (facts §3.4). */
  readonly local: readonly string[];
  /** What cannot be followed: another server, a search, a text that is no reference. */
  readonly unusable: readonly string[];
}

const ABOUT_ONE_PATIENT: ReadonlySet<string> = new Set(codes.aboutOnePatient);
const SUBJECT_ELEMENTS = ['subject', 'patient', 'beneficiary'] as const;

/** Other persons' records, earlier versions, other orders: no part of this document (facts §3.6 step 2). */
const STOP = /(?:^|\.)(?:link|partOf|replaces|basedOn|relatesTo)(?:\[\d+\])?(?:\.|$)/;
const NEVER: ReadonlySet<string> = new Set(['Binary', 'Task', 'Bundle']);

/** The references of a resource: sections in depth, extensions, contained resources. `base` is the sender's FHIR base. */
export function pointsTo(resource: JsonObject, base: string): Pointed {
  const local = new Set<string>();
  const unusable = new Set<string>();
  for (const { path, value, element } of references(resource)) {
    if (STOP.test(path)) continue;
    const parsed = parseReference(value, base);
    if (parsed.kind === 'local') {
      if (!NEVER.has(parsed.type)) local.add(printReference(parsed));
    } else if (parsed.kind === 'urn') local.add(value);
    else if (parsed.kind !== 'contained' && element === 'Reference') unusable.add(value);
  }
  return { local: [...local], unusable: [...unusable] };
}

/** `Patient/…` that a Composition is about; undefined when it names none at the sender. */
export function subjectOf(composition: JsonObject, base: string): string | undefined {
  const subject = localText(referenceText(composition, 'subject'), base);
  return subject?.startsWith('Patient/') === true ? subject : undefined;
}

/** Whether a resource is about another patient than the document. One that names nobody is not. */
export function isAboutAnother(resource: JsonObject, subject: string, base: string): boolean {
  const type = text(resource, 'resourceType') ?? '';
  if (type === 'Patient') return `Patient/${text(resource, 'id') ?? ''}` !== subject;
  if (!ABOUT_ONE_PATIENT.has(type)) return false;
  return SUBJECT_ELEMENTS.some((element) => {
    const named = referenceText(resource, element);
    if (named === undefined || named.startsWith('#') || named.startsWith('urn:')) return false;
    const local = localText(named, base);
    return local === undefined || (local.startsWith('Patient/') && local !== subject);
  });
}

function localText(reference: string | undefined, base: string): string | undefined {
  if (reference === undefined) return undefined;
  const parsed = parseReference(reference, base);
  return parsed.kind === 'local' ? printReference(parsed) : undefined;
}
