import type { Parameter } from './parameter.ts';
import { isId, isResourceType, type FhirVersion } from './version.ts';

/** `_include` or `_revinclude`, whole: `Observation:subject:Patient`. A missing `target` means every target (attack case Q13). */
export interface Include {
  readonly source: string;
  /** A search parameter of type reference, or `*` for all. */
  readonly parameter: string;
  readonly target?: string;
}

/** These say one thing about a whole result: twice, servers take the first, the last, or both. */
const SINGLE: ReadonlySet<string> = new Set([
  '_sort',
  '_count',
  '_total',
  '_summary',
  '_elements',
  '_contained',
  '_containedType',
  '_since',
  '_at',
  '_query',
]);
const CODES: ReadonlyMap<string, ReadonlySet<string>> = new Map([
  ['_summary', new Set(['true', 'false', 'text', 'data', 'count'])],
  ['_total', new Set(['none', 'estimate', 'accurate'])],
  ['_contained', new Set(['true', 'false', 'both'])],
  ['_containedType', new Set(['container', 'contained'])],
]);

/** Whether a list repeats what can be said only once. */
export function repeatsSingle(parameters: readonly Parameter[]): boolean {
  if (parameters.length < 2) return false;
  const seen = new Set<string>();
  for (const { name } of parameters) {
    if (!SINGLE.has(name)) continue;
    if (seen.has(name)) return true;
    seen.add(name);
  }
  return false;
}

/**
 * Whether the values of one of FHIR's own parameters (`_…`) have that parameter's form, and a `:missing` its boolean: a server may read
 * a malformed one as none at all (real-servers.md §1.1.7). The values of a type's own parameters are for policy to read.
 */
export function hasValidValues(parameter: Parameter, version: FhirVersion): boolean {
  const { name, values } = parameter;
  if (parameter.modifier === 'missing') return values.length === 1 && (values[0] === 'true' || values[0] === 'false');
  if (!name.startsWith('_') || parameter.chain !== undefined) return true;
  const codes = CODES.get(name);
  if (codes !== undefined) return values.length === 1 && codes.has(values[0] ?? '');
  switch (name) {
    case '_count':
      return values.length === 1 && /^(?:0|[1-9][0-9]{0,8})$/.test(values[0] ?? '');
    case '_id':
      return parameter.modifier !== undefined || values.every(isId);
    case '_type':
      return values.every((value) => isResourceType(version, value));
    case '_elements':
      return values.every((value) => /^[A-Za-z][A-Za-z0-9]*(?:\.[A-Za-z][A-Za-z0-9]*)*$/.test(value));
    case '_sort':
      return values.every((value) => /^-?[A-Za-z_][A-Za-z0-9_-]*$/.test(value));
    case '_include':
    case '_revinclude':
      return values.length === 1 && (values[0] === '*' || parseInclude(values[0] ?? '', version) !== undefined);
    default:
      return true;
  }
}

/** Reads the value of an `_include` or `_revinclude`; undefined when it is malformed (a bare `*` has no source and is none). */
export function parseInclude(value: string, version: FhirVersion): Include | undefined {
  const [source = '', parameter = '', target, ...surplus] = value.split(':');
  if (surplus.length > 0 || !isResourceType(version, source)) return undefined;
  if (parameter !== '*' && !/^[A-Za-z_][A-Za-z0-9_-]*$/.test(parameter)) return undefined;
  if (target === undefined) return { source, parameter };
  return isResourceType(version, target) ? { source, parameter, target } : undefined;
}
