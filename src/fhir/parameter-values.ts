import { dateFault } from './date-value.ts';
import { searchParameterType } from './parameter-names.ts';
import { splitPrefix, type Parameter } from './parameter.ts';
import { localReference } from './reference.ts';
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
 * What is wrong with the values of a parameter, in words that hold nothing of them; undefined when they have the form that their type asks for. A server may
 * read a malformed one as none at all (real-servers.md §1.1.7), or split it where we did not (`patient=1;_revinclude=…`). Modifiers change the type, so that
 * only `:missing` and `:[type]` are looked at; chains end where the type is not known for sure, and are left to policy.
 */
export function valueFault(parameter: Parameter, version: FhirVersion, type: string | undefined): string | undefined {
  const { name, modifier, chain, values } = parameter;
  if (chain !== undefined) return undefined;
  if (modifier === 'missing')
    return values.length === 1 && (values[0] === 'true' || values[0] === 'false') ? undefined : 'must be true or false';
  const own = name.startsWith('_') ? ownValueFault(parameter, version) : undefined;
  if (own !== undefined) return own;
  if (type === undefined && !name.startsWith('_')) return undefined;
  switch (searchParameterType(version, type, name)) {
    case 'reference':
      return (modifier !== undefined && !isResourceType(version, modifier)) || values.every(isReferenceValue)
        ? undefined
        : 'must be an id, a reference such as Patient/1, or an absolute URL';
    case 'date':
      return datesFault(values);
    case 'number':
      return values.every((value) => NUMBER.test(splitPrefix(value).rest)) ? undefined : 'must be a number';
    case 'quantity':
      return values.every((value) => NUMBER.test(splitPrefix(value).rest.split('|', 1)[0] ?? ''))
        ? undefined
        : 'must begin with a number';
    case 'composite':
    case 'string':
    case 'token':
    case 'uri':
    case 'special':
    case undefined:
      return undefined;
  }
}

function datesFault(values: readonly string[]): string | undefined {
  for (const value of values) {
    const fault = dateFault(splitPrefix(value).rest);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

const NUMBER = /^[+-]?[0-9]{1,32}(?:\.[0-9]{1,32})?(?:[eE][+-]?[0-9]{1,4})?$/;
const ABSOLUTE = /^(?:https?:\/\/|urn:|did:)[!-~]+$/;

// Bare id, `Type/id`, either with a version, an absolute URL (which a policy has to permit). An id has no comma (attack case Q4).
function isReferenceValue(value: string): boolean {
  return (
    isId(value) || (ABSOLUTE.test(value) ? !value.includes('\\') : localReference(value) !== undefined && !value.startsWith('/'))
  );
}

/** The forms of FHIR's own parameters. */
function ownValueFault({ name, modifier, values }: Parameter, version: FhirVersion): string | undefined {
  const [only = ''] = values;
  const once = (isRight: boolean, form: string): string | undefined =>
    values.length === 1 && isRight ? undefined : `must be ${form}, once`;
  const each = (isRight: (value: string) => boolean, form: string): string | undefined =>
    values.every(isRight) ? undefined : `must be ${form}`;
  const codes = CODES.get(name);
  if (codes !== undefined) return once(codes.has(only), `one of ${[...codes].join(', ')}`);
  switch (name) {
    case '_count':
      // However long: who asks for too many gets as many as the rule has (attack case Q29).
      return once(/^(?:0|[1-9][0-9]*)$/.test(only), 'a whole number');
    case '_id':
      return modifier === undefined ? each(isId, 'an id') : undefined;
    case '_type':
      return each((value) => isResourceType(version, value), 'resource types of the version');
    case '_elements':
      return each((value) => /^[A-Za-z][A-Za-z0-9]*(?:\.[A-Za-z][A-Za-z0-9]*)*$/.test(value), 'names of elements');
    case '_sort':
      return each(
        (value) => /^-?[A-Za-z_][A-Za-z0-9_-]*$/.test(value),
        'names of search parameters, each perhaps with - before it',
      );
    case '_since':
    case '_at':
      return values.length === 1 ? datesFault(values) : 'must be a date, once';
    case '_include':
    case '_revinclude':
      return once(only === '*' || parseInclude(only, version) !== undefined, 'Type:parameter or Type:parameter:Target');
    default:
      return undefined;
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
