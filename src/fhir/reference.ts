import { isJsonArray, isJsonObject, type JsonObject, type JsonValue } from './json.ts';
import { isId, isResourceType } from './version.ts';

/** A resource of the custodian, named. */
export interface LocalReference {
  readonly type: string;
  readonly id: string;
  readonly versionId?: string;
}

/**
 * What a reference's text can be. Only `local` names something at the custodian; `foreign` is never followed; `invalid` is what nobody
 * can read in one way.
 */
export type Reference =
  | ({ readonly kind: 'local' } & LocalReference)
  | { readonly kind: 'contained'; readonly id: string }
  | { readonly kind: 'urn'; readonly urn: string }
  | { readonly kind: 'conditional'; readonly type: string; readonly query: string }
  | { readonly kind: 'foreign'; readonly url: string }
  | { readonly kind: 'invalid' };

/**
 * Reads a reference: `Type/id`, `/Type/id`, `[base]/Type/id`, each with or without `/_history/v`; `#id`; `urn:…`; `Type?query`; any
 * other absolute URL. Letter case is exact, nothing is decoded, dots are not resolved.
 *
 * @param base the custodian's FHIR base, absolute, without a slash at its end; without one every absolute URL is foreign
 */
export function parseReference(text: string, base?: string): Reference {
  if (text.startsWith('#')) {
    // `#` alone is the resource that contains this one.
    const id = text.slice(1);
    return id === '' || isId(id) ? { kind: 'contained', id } : { kind: 'invalid' };
  }
  if (text.startsWith('urn:'))
    return /^urn:[a-z0-9][a-z0-9-]{0,31}:[!-~]+$/i.test(text) ? { kind: 'urn', urn: text } : { kind: 'invalid' };
  if (base !== undefined && text.startsWith(base) && text.charAt(base.length) === '/') {
    const local = parseLocal(text.slice(base.length + 1));
    return local === undefined ? { kind: 'invalid' } : { kind: 'local', ...local };
  }
  if (/^[a-z][a-z0-9+.-]*:/i.test(text)) return { kind: 'foreign', url: text };
  const local = parseLocal(text.startsWith('/') ? text.slice(1) : text);
  return local === undefined ? parseConditional(text) : { kind: 'local', ...local };
}

/** The custodian's resource that a reference names; undefined when it names none. */
export function localReference(text: string, base?: string): LocalReference | undefined {
  const reference = parseReference(text, base);
  if (reference.kind !== 'local') return undefined;
  const { type, id, versionId } = reference;
  return versionId === undefined ? { type, id } : { type, id, versionId };
}

/** `Type/id`, without the version: what grants and comparisons use. */
export function printReference(reference: LocalReference): string {
  return `${reference.type}/${reference.id}`;
}

function parseLocal(path: string): LocalReference | undefined {
  const [type = '', id = '', history, versionId, ...surplus] = path.split('/');
  if (!isType(type) || !isId(id) || surplus.length > 0) return undefined;
  if (history === undefined) return { type, id };
  return history === '_history' && versionId !== undefined && isId(versionId) ? { type, id, versionId } : undefined;
}

function parseConditional(text: string): Reference {
  const mark = text.indexOf('?');
  const type = text.slice(0, Math.max(mark, 0));
  return mark > 0 && isType(type) && mark < text.length - 1
    ? { kind: 'conditional', type, query: text.slice(mark + 1) }
    : { kind: 'invalid' };
}

// A type that exists in either version: which one the custodian speaks does not change what a text means.
function isType(text: string): boolean {
  return isResourceType('STU3', text) || isResourceType('R4', text);
}

/** One place in a resource where another is named. */
export interface FoundReference {
  /** Where, as in FHIRPath: `section[0].entry[1].reference`, `content[0].attachment.url`. */
  readonly path: string;
  /** The text as it stands; read it with `parseReference`. */
  readonly value: string;
  /** An Attachment's `url` is a uri and no Reference, but may name a Binary all the same (eoverdracht.md §3.5). */
  readonly element: 'Reference' | 'Attachment';
}

/** The names under which an Attachment stands in the resources of STU3 and R4. */
const ATTACHMENTS: ReadonlySet<string> = new Set([
  'attachment',
  'content',
  'contentAttachment',
  'image',
  'photo',
  'presentedForm',
  'sourceAttachment',
  'valueAttachment',
  'answerAttachment',
  'document',
]);

/**
 * Every reference in a resource, nested sections, contained resources and extensions included, in document order; and every attachment's
 * `url`. Logical references (an `identifier` only) name nothing and are not among them.
 */
export function* references(resource: JsonObject): Iterable<FoundReference> {
  yield* walk(resource, '', '');
}

function* walk(value: JsonValue, path: string, name: string): Iterable<FoundReference> {
  if (isJsonArray(value)) {
    let index = 0;
    for (const item of value) {
      yield* walk(item, `${path}[${String(index)}]`, name);
      index += 1;
    }
    return;
  }
  if (!isJsonObject(value)) return;
  for (const key of Object.keys(value)) {
    const member = value[key];
    if (member === undefined) continue;
    const memberPath = path === '' ? key : `${path}.${key}`;
    if (typeof member !== 'string') yield* walk(member, memberPath, key);
    else if (key === 'reference') yield { path: memberPath, value: member, element: 'Reference' };
    else if (key === 'url' && ATTACHMENTS.has(name)) yield { path: memberPath, value: member, element: 'Attachment' };
  }
}
