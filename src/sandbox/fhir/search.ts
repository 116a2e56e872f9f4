import { z } from 'zod';
import searchParameters from './search-parameters.json' with { type: 'json' };
import { FhirFailure } from './reply.ts';
import { isObject, localReference, valuesAt } from './resource.ts';
import type { Resource } from './resource.ts';
import type { ResourceStore } from './store.ts';

type ParameterKind = 'token' | 'reference' | 'date' | 'string';
interface SearchParameter {
  readonly kind: ParameterKind;
  readonly paths: readonly string[];
}

const tableSchema = z.record(
  z.string(),
  z.record(
    z.string(),
    z
      .tuple([z.enum(['token', 'reference', 'date', 'string'])], z.string())
      .transform(([kind, ...paths]): SearchParameter => ({ kind, paths })),
  ),
);
const TABLE = tableSchema.parse(searchParameters);

/** The declared search parameters of a type, by name. */
export function searchParametersOf(type: string): Readonly<Record<string, SearchParameter>> {
  return { ...TABLE['*'], ...TABLE[type] };
}

export interface SearchResult {
  readonly matches: readonly Resource[];
  /** What `_include` and `_revinclude` add to a page of the matches; none of it is a match. */
  readonly included: (matches: readonly Resource[]) => readonly Resource[];
}

/**
 * Searches one type. Repeated parameters are ANDed, commas ORed. As on real servers, a parameter that begins with `_` and is not
 * known, and one without a value, silently does nothing; any other unknown one is a 400 that lists the known ones. An unknown
 * modifier finds nothing.
 */
export function searchType(store: ResourceStore, type: string, query: URLSearchParams, base: string): SearchResult {
  const known = searchParametersOf(type);
  let matches = store.live(type);
  for (const [key, value] of query) {
    const [name = '', modifier] = key.split(':', 2);
    const parameter = known[name];
    if (value === '' || (parameter === undefined && name.startsWith('_'))) continue;
    if (parameter === undefined) {
      throw new FhirFailure(
        400,
        'processing',
        `SIM-0524: Unknown search parameter "${name}" for resource type "${type}". Valid search parameters for this search are: [${Object.keys(known).sort().join(', ')}]`,
      );
    }
    matches = matches.filter((resource) => matchesParameter(resource, parameter, modifier, value, base));
  }
  const sorted = sortBy(matches, query.get('_sort'), known);
  // Once, so that a wrong _include is refused also where nothing matches.
  included(store, [], query);
  return { matches: sorted, included: (page) => included(store, page, query) };
}

function matchesParameter(
  resource: Resource,
  { kind, paths }: SearchParameter,
  modifier: string | undefined,
  value: string,
  base: string,
): boolean {
  const found = paths.flatMap((path) => valuesAt(resource, path));
  if (modifier === 'missing') return (found.length === 0) === (value === 'true');
  const wanted = value.split(/(?<!\\),/).map((part) => part.replaceAll('\\,', ','));
  const some = (test: (item: unknown, one: string) => boolean): boolean =>
    wanted.some((one) => found.some((item) => test(item, one)));
  switch (kind) {
    case 'token':
      if (modifier === 'not') return !some(matchesToken);
      return modifier === undefined && some(matchesToken);
    case 'reference':
      if (modifier === 'identifier') return some((item, one) => isObject(item) && matchesToken(item['identifier'], one));
      if (modifier !== undefined && !/^[A-Z]/.test(modifier)) return false;
      return some((item, one) => matchesReference(item, one, modifier, base));
    case 'date':
      return modifier === undefined && some(matchesDate);
    case 'string':
      return some((item, one) => matchesString(item, one, modifier));
  }
}

function matchesToken(item: unknown, wanted: string): boolean {
  if (isObject(item) && Array.isArray(item['coding'])) return item['coding'].some((coding) => matchesToken(coding, wanted));
  const system = isObject(item) ? item['system'] : undefined;
  const code = isObject(item) ? (item['code'] ?? item['value']) : typeof item === 'boolean' ? String(item) : item;
  const bar = wanted.indexOf('|');
  if (bar < 0) return code === wanted;
  const wantedCode = wanted.slice(bar + 1);
  return (wantedCode === '' || code === wantedCode) && (bar === 0 ? system === undefined : system === wanted.slice(0, bar));
}

function matchesReference(item: unknown, wanted: string, type: string | undefined, base: string): boolean {
  const reference = isObject(item) ? item['reference'] : undefined;
  if (typeof reference !== 'string') return false;
  const stored = localReference(reference) ?? reference;
  const relative = wanted.startsWith(`${base}/`) ? wanted.slice(base.length + 1) : wanted;
  if (type !== undefined) return stored === (relative.startsWith(`${type}/`) ? relative : `${type}/${relative}`);
  return relative.includes('/') ? stored === relative : stored.endsWith(`/${relative}`);
}

function matchesString(item: unknown, wanted: string, modifier: string | undefined): boolean {
  if (Array.isArray(item)) return item.some((part) => matchesString(part, wanted, modifier));
  if (isObject(item)) return Object.values(item).some((part) => matchesString(part, wanted, modifier));
  if (typeof item !== 'string') return false;
  const [one, other] = [item.toLowerCase(), wanted.toLowerCase()];
  switch (modifier) {
    case undefined:
      return one.startsWith(other);
    case 'contains':
      return one.includes(other);
    case 'exact':
      return item === wanted;
    default:
      return false;
  }
}

/** Compares as ranges: `2024` is the whole year (search.html, "date"). */
function matchesDate(item: unknown, wanted: string): boolean {
  const [, prefix = '', text = ''] = /^(eq|ne|gt|ge|lt|le|sa|eb)?(.+)$/.exec(wanted) ?? [];
  const asked = dateRange(text);
  const stored = isObject(item)
    ? { start: dateRange(item['start'])?.start ?? -Infinity, end: dateRange(item['end'])?.end ?? Infinity }
    : dateRange(item);
  if (asked === undefined) throw new FhirFailure(400, 'processing', `SIM-1882: Invalid date/time format: "${text}"`);
  if (stored === undefined) return false;
  switch (prefix) {
    case 'gt':
      return stored.end > asked.end;
    case 'ge':
      return stored.end > asked.start;
    case 'lt':
      return stored.start < asked.start;
    case 'le':
      return stored.start < asked.end;
    case 'sa':
      return stored.start >= asked.end;
    case 'eb':
      return stored.end <= asked.start;
    case 'ne':
      return !(stored.start >= asked.start && stored.end <= asked.end);
    default:
      return stored.start >= asked.start && stored.end <= asked.end;
  }
}

/** Half-open, in milliseconds since 1970. */
function dateRange(value: unknown): { readonly start: number; readonly end: number } | undefined {
  if (typeof value !== 'string') return undefined;
  const parts = /^(\d{4})(?:-(\d{2})(?:-(\d{2})(T.+)?)?)?$/.exec(value);
  if (parts === null) return undefined;
  const [, year, month, day, time] = parts;
  const start = time === undefined ? Date.UTC(Number(year), Number(month ?? 1) - 1, Number(day ?? 1)) : Date.parse(value);
  if (Number.isNaN(start)) return undefined;
  if (time !== undefined) return { start, end: start + (value.includes('.') ? 1 : 1000) };
  if (day !== undefined) return { start, end: start + 86_400_000 };
  if (month !== undefined) return { start, end: Date.UTC(Number(year), Number(month), 1) };
  return { start, end: Date.UTC(Number(year) + 1, 0, 1) };
}

function sortBy(
  resources: readonly Resource[],
  sort: string | null,
  known: Readonly<Record<string, SearchParameter>>,
): readonly Resource[] {
  if (sort === null || sort === '') return resources;
  const keys = sort
    .split(',')
    .map((part) => ({ descending: part.startsWith('-'), paths: known[part.replace(/^-/, '')]?.paths ?? [] }));
  const key = (resource: Resource, paths: readonly string[]): string =>
    JSON.stringify(paths.flatMap((path) => valuesAt(resource, path)));
  return resources.toSorted((one, other) => {
    for (const { descending, paths } of keys) {
      const order = key(one, paths).localeCompare(key(other, paths));
      if (order !== 0) return descending ? -order : order;
    }
    return 0;
  });
}

/** `_include=Type:parameter`, `_include=*`, and `_revinclude=Type:parameter`; one step, `:iterate` changes nothing. */
function included(store: ResourceStore, matches: readonly Resource[], query: URLSearchParams): readonly Resource[] {
  const found = new Map<string, Resource>();
  const keys = new Set(matches.map((resource) => `${resource.resourceType}/${resource.id}`));
  const add = (resource: Resource | undefined): void => {
    if (resource !== undefined && !keys.has(`${resource.resourceType}/${resource.id}`))
      found.set(`${resource.resourceType}/${resource.id}`, resource);
  };
  const pathsOf = (source: string, name: string | undefined): readonly string[] =>
    Object.entries(searchParametersOf(source)).flatMap(([key, { kind, paths }]) =>
      kind === 'reference' && (name === undefined || key === name) ? paths : [],
    );
  const targets = (resource: Resource, paths: readonly string[]): string[] =>
    paths
      .flatMap((path) => valuesAt(resource, path))
      .flatMap((item) =>
        isObject(item) && typeof item['reference'] === 'string' ? [localReference(item['reference']) ?? ''] : [],
      );

  for (const [key, value] of query) {
    if (!/^_(rev)?include(:|$)/.test(key)) continue;
    const [source = '', name, target] = value.split(':');
    if (value !== '*' && pathsOf(source, name).length === 0)
      throw new FhirFailure(400, 'processing', `SIM-2015: Invalid _include parameter value: "${value}".`);
    if (key.startsWith('_include')) {
      for (const resource of matches) {
        for (const reference of targets(
          resource,
          value === '*'
            ? pathsOf(resource.resourceType, undefined)
            : resource.resourceType === source
              ? pathsOf(source, name)
              : [],
        )) {
          const [type = '', id = ''] = reference.split('/');
          if (target === undefined || type === target) add(store.current(type, id)?.resource);
        }
      }
    } else {
      for (const resource of store.live(value === '*' ? undefined : source)) {
        if (targets(resource, pathsOf(resource.resourceType, name)).some((reference) => keys.has(reference))) add(resource);
      }
    }
  }
  return [...found.values()];
}
