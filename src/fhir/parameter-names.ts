import type { Parameter } from './parameter.ts';
import searchParameters from './search-parameters.json' with { type: 'json' };
import { isResourceType, type FhirVersion } from './version.ts';

/** Where a parameter stands; each place has its own closed list of names. */
export type ParameterUse = 'none' | 'read' | 'history' | 'search' | 'criteria' | 'operation' | 'capabilities';

/** How a search parameter compares (search.html, "Search Parameter Types"). */
export type SearchParameterType =
  'composite' | 'date' | 'number' | 'quantity' | 'reference' | 'string' | 'token' | 'uri' | 'special';

/** With one of these a resource comes without some of its elements: nothing can be proved on it, or filtered by. */
export const SHORTENING: ReadonlySet<string> = new Set(['_elements', '_summary']);
const HISTORY: ReadonlySet<string> = new Set(['_count', '_since', '_at', '_list', ...SHORTENING]);

/** Parameters of every type (search.html, "Parameters for all resources"). */
const COMMON: ReadonlyMap<string, SearchParameterType> = new Map([
  ['_id', 'token'],
  ['_lastUpdated', 'date'],
  ['_tag', 'token'],
  ['_profile', 'uri'],
  ['_security', 'token'],
  ['_source', 'uri'],
  ['_text', 'string'],
  ['_content', 'string'],
  ['_list', 'special'],
  ['_has', 'special'],
  ['_type', 'special'],
  ['_query', 'special'],
  ['_filter', 'special'],
]);
/** How a result looks, and what comes along (search.html, "Search result parameters"). */
const RESULT: ReadonlySet<string> = new Set([
  '_sort',
  '_count',
  '_include',
  '_revinclude',
  '_total',
  '_contained',
  '_containedType',
  ...SHORTENING,
]);
/** What servers put into the links of a page: known, so that policy denies them (attack case P23); only sealed links are ever followed. */
const PAGING: ReadonlySet<string> = new Set(['_getpages', '_getpagesoffset', '_pageId', '_bundletype']);
/** Ours: a link to a further page, sealed by the gate. It stands alone, and never goes upstream. */
export const CONTINUATION = '_continuation';
/** Of both versions (search.html, "Modifiers"); `:[type]` is a resource type. `recurse` is the older word for `iterate`. */
const MODIFIERS: ReadonlySet<string> = new Set([
  'missing',
  'exact',
  'contains',
  'text',
  'not',
  'above',
  'below',
  'in',
  'not-in',
  'of-type',
  'identifier',
  'type',
  'iterate',
  'recurse',
]);

type Names = ReadonlyMap<string, SearchParameterType>;
const NAMES: Readonly<Record<FhirVersion, ReadonlyMap<string, Names>>> = {
  STU3: namesByType(searchParameters.STU3),
  R4: namesByType(searchParameters.R4),
};
const ALL_NAMES: Readonly<Record<FhirVersion, Names>> = {
  STU3: new Map([...NAMES.STU3.values()].flatMap((names) => [...names])),
  R4: new Map([...NAMES.R4.values()].flatMap((names) => [...names])),
};

/**
 * How a search parameter of a resource type compares; undefined for an unknown one. Without `type` (search over several types) the names
 * of all types are known.
 */
export function searchParameterType(
  version: FhirVersion,
  type: string | undefined,
  name: string,
): SearchParameterType | undefined {
  const names = type === undefined ? ALL_NAMES[version] : NAMES[version].get(type);
  return COMMON.get(name) ?? names?.get(name);
}

/** The search parameters of a resource type, without those of every type. */
export function searchParameterNames(version: FhirVersion, type: string): readonly string[] {
  return [...(NAMES[version].get(type)?.keys() ?? [])].filter((name) => !COMMON.has(name)).sort();
}

/** Whether FHIR knows a name at all, in either version and wherever it stands. */
export function isParameterName(name: string): boolean {
  return (
    COMMON.has(name) ||
    RESULT.has(name) ||
    HISTORY.has(name) ||
    ALL_NAMES.STU3.has(name) ||
    ALL_NAMES.R4.has(name) ||
    name === '_format' ||
    name === '_pretty'
  );
}

/**
 * Whether a parameter is known for its place: name, modifier, chain. What is unknown is refused (400) rather than dropped: a server that
 * ignores it would answer more than was asked for (attack case Q41).
 */
export function isKnownParameter(parameter: Parameter, use: ParameterUse, version: FhirVersion, type?: string): boolean {
  switch (use) {
    case 'none':
      return false;
    case 'read':
      return SHORTENING.has(parameter.key);
    case 'history':
      return HISTORY.has(parameter.key) || parameter.key === CONTINUATION;
    case 'capabilities':
      return SHORTENING.has(parameter.key) || (version === 'R4' && parameter.key === 'mode');
    case 'operation':
      // Each operation has its own; which ones a caller may use is the policy's list. The underscore is FHIR's own (search.html).
      return (
        !parameter.name.startsWith('_') ||
        COMMON.has(parameter.name) ||
        RESULT.has(parameter.name) ||
        HISTORY.has(parameter.name) ||
        parameter.key === CONTINUATION
      );
    case 'criteria':
      return isKnownSelection(parameter, version, type);
    case 'search':
      return (
        (RESULT.has(parameter.name) && isKnownResult(parameter)) ||
        parameter.key === CONTINUATION ||
        (type === undefined && PAGING.has(parameter.key)) ||
        isKnownSelection(parameter, version, type)
      );
  }
}

function isKnownResult(parameter: Parameter): boolean {
  if (parameter.chain !== undefined) return false;
  const including = parameter.name === '_include' || parameter.name === '_revinclude';
  return (
    parameter.modifier === undefined || (including && (parameter.modifier === 'iterate' || parameter.modifier === 'recurse'))
  );
}

function isKnownSelection(parameter: Parameter, version: FhirVersion, type: string | undefined): boolean {
  const { name, modifier, chain, reverse } = parameter;
  if (reverse !== undefined) {
    const hops = reverse.every((hop) => searchParameterType(version, hop.type, hop.reference) === 'reference');
    return hops && chain?.[0] !== undefined && isKnownChain(chain, reverse.at(-1)?.type, version);
  }
  if (name === '_has') return false;
  return isKnownChain([{ name, ...(modifier === undefined ? {} : { modifier }) }, ...(chain ?? [])], type, version);
}

function isKnownChain(
  links: readonly { readonly name: string; readonly modifier?: string }[],
  type: string | undefined,
  version: FhirVersion,
): boolean {
  let owner = type;
  let remaining = links.length;
  for (const { name, modifier } of links) {
    remaining -= 1;
    const kind = searchParameterType(version, owner, name);
    if (kind === undefined) return false;
    const typed = modifier !== undefined && isResourceType(version, modifier);
    if (typed && kind !== 'reference') return false;
    // Before a dot there is a reference, and its modifier can only say of which type.
    if (remaining > 0 && (kind !== 'reference' || (modifier !== undefined && !typed))) return false;
    if (modifier !== undefined && !typed && !MODIFIERS.has(modifier)) return false;
    owner = typed ? modifier : undefined;
  }
  return true;
}

function namesByType(byType: Readonly<Record<string, Readonly<Record<string, string>>>>): ReadonlyMap<string, Names> {
  return new Map(
    Object.entries(byType).map(([type, kinds]) => [
      type,
      new Map(Object.entries(kinds).flatMap(([kind, names]) => names.split(' ').map((name) => [name, toKind(kind)] as const))),
    ]),
  );
}

function toKind(text: string): SearchParameterType {
  switch (text) {
    case 'composite':
    case 'date':
    case 'number':
    case 'quantity':
    case 'reference':
    case 'string':
    case 'token':
    case 'uri':
      return text;
    default:
      return 'special';
  }
}
