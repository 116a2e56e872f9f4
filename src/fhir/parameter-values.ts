import { GatewayError } from '../errors.ts';
import { dateFault } from './date-value.ts';
import { searchParameterType } from './parameter-names.ts';
import { describe, splitPrefix, type Parameter } from './parameter.ts';
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
 * Whether the values of a parameter have the form that their type asks for. A server may read a malformed one as none at all
 * (real-servers.md §1.1.7), or split it where we did not (`patient=1;_revinclude=…`). Modifiers change the type, so that only
 * `:missing` and `:[type]` are looked at; chains end where the type is not known for sure, and are left to policy.
 * @throws GatewayError `invalid_parameter` (400) for a date, of which more can be said than that it is malformed
 */
export function hasValidValues(parameter: Parameter, version: FhirVersion, type: string | undefined): boolean {
  const { name, modifier, chain, values } = parameter;
  if (chain !== undefined) return true;
  if (modifier === 'missing') return values.length === 1 && (values[0] === 'true' || values[0] === 'false');
  if (name.startsWith('_') && !hasValidOwnValues(parameter, version)) return false;
  if (type === undefined && !name.startsWith('_')) return true;
  switch (searchParameterType(version, type, name)) {
    case 'reference':
      return (modifier !== undefined && !isResourceType(version, modifier)) || values.every(isReferenceValue);
    case 'date':
      return areDates(parameter);
    case 'number':
      return values.every((value) => NUMBER.test(splitPrefix(value).rest));
    case 'quantity':
      return values.every((value) => NUMBER.test(splitPrefix(value).rest.split('|', 1)[0] ?? ''));
    case 'composite':
    case 'string':
    case 'token':
    case 'uri':
    case 'special':
    case undefined:
      return true;
  }
}

function areDates({ key, values }: Parameter): true {
  for (const value of values) {
    const problem = dateFault(splitPrefix(value).rest);
    if (problem === undefined) continue;
    const field = describe(key);
    throw new GatewayError('invalid_parameter', `${field} ${problem}`, { fields: [{ field, problem }] });
  }
  return true;
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
function hasValidOwnValues(parameter: Parameter, version: FhirVersion): boolean {
  const { name, modifier, values } = parameter;
  const codes = CODES.get(name);
  if (codes !== undefined) return values.length === 1 && codes.has(values[0] ?? '');
  switch (name) {
    case '_count':
      return values.length === 1 && /^(?:0|[1-9][0-9]{0,8})$/.test(values[0] ?? '');
    case '_id':
      return modifier !== undefined || values.every(isId);
    case '_type':
      return values.every((value) => isResourceType(version, value));
    case '_elements':
      return values.every((value) => /^[A-Za-z][A-Za-z0-9]*(?:\.[A-Za-z][A-Za-z0-9]*)*$/.test(value));
    case '_sort':
      return values.every((value) => /^-?[A-Za-z_][A-Za-z0-9_-]*$/.test(value));
    case '_since':
    case '_at':
      return values.length === 1 && areDates(parameter);
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
