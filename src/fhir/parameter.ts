import type { GatewayError } from '../errors.ts';
import { isResourceType, type FhirVersion } from './version.ts';
import { invalidParameter, type QueryPair } from './target.ts';

/**
 * One parameter of a search, history, operation or read. Parameters of one request are a list: entries are ANDed, `values` within one
 * are ORed, and nothing is merged, so that policy sees what the server would.
 */
export interface Parameter {
  /** The name side as written, the key that rules compare: `patient`, `name:contains`, `_include:iterate`, `subject:Patient.name`. */
  readonly key: string;
  /** What comes first in the key: `patient`, `_include`, `subject`, `_has`. */
  readonly name: string;
  /** After the first colon: `exact`, `missing`, `iterate`, or a resource type (`subject:Patient`). */
  readonly modifier?: string;
  /** What is reached through references, outermost first: `subject:Patient.organization.name` has `organization` and `name`. */
  readonly chain?: readonly ChainLink[];
  /** `_has:Observation:patient:code`: each hop back, then `chain` holds the `code`. */
  readonly reverse?: readonly ReverseLink[];
  /** The alternatives, at least one, none empty. FHIR's escapes (`\,` `\|` `\$` `\\`; search.html, "Escaping") are kept. */
  readonly values: readonly string[];
}

/** One name of a chain, and what it is limited to (`Patient`, `exact`). */
export interface ChainLink {
  readonly name: string;
  readonly modifier?: string;
}

/** One hop of `_has`: the type that refers, and the search parameter by which it does. */
export interface ReverseLink {
  readonly type: string;
  readonly reference: string;
}

/** A value's comparison (`ge2020-01-01`), for parameters of type date, number and quantity. */
export type Prefix = 'eq' | 'ne' | 'gt' | 'lt' | 'ge' | 'le' | 'sa' | 'eb' | 'ap';

const PREFIXES: ReadonlySet<string> = new Set<Prefix>(['eq', 'ne', 'gt', 'lt', 'ge', 'le', 'sa', 'eb', 'ap']);
const NAME = /^[A-Za-z_][A-Za-z0-9_-]{0,63}$/;
const MODIFIER = /^[A-Za-z][A-Za-z-]{0,63}$/;
const MAX_CHAIN = 8;

/**
 * Parses one pair.
 * @throws GatewayError `invalid_parameter` (400): a malformed name, an escape that FHIR does not know, an empty alternative
 */
export function parseParameter(pair: QueryPair, version: FhirVersion): Parameter {
  const { name: key, value } = pair;
  const values = splitAlternatives(key, value);
  if (NAME.test(key)) return { key, name: key, values };
  if (key.startsWith('_has:')) return { key, name: '_has', ...parseReverse(key, version), values };
  const links = key.split('.');
  if (links.length > MAX_CHAIN) throw invalidName(key);
  const [first, ...chain] = links.map((link) => parseLink(key, link));
  if (first === undefined) throw invalidName(key);
  return chain.length === 0 ? { key, ...first, values } : { key, ...first, chain, values };
}

function parseLink(key: string, link: string): ChainLink {
  const colon = link.indexOf(':');
  if (colon === -1) {
    if (!NAME.test(link)) throw invalidName(key);
    return { name: link };
  }
  const name = link.slice(0, colon);
  const modifier = link.slice(colon + 1);
  if (!NAME.test(name) || !MODIFIER.test(modifier)) throw invalidName(key);
  return { name, modifier };
}

// `_has:Observation:patient:code`, `_has:Observation:patient:_has:AuditEvent:entity:agent`
function parseReverse(
  key: string,
  version: FhirVersion,
): { readonly reverse: readonly ReverseLink[]; readonly chain: readonly ChainLink[] } {
  const parts = key.split(':');
  const reverse: ReverseLink[] = [];
  let at = 0;
  while (parts[at] === '_has' && reverse.length < MAX_CHAIN) {
    const type = parts[at + 1] ?? '';
    const reference = parts[at + 2] ?? '';
    if (!isResourceType(version, type) || !NAME.test(reference)) throw invalidName(key);
    reverse.push({ type, reference });
    at += 3;
  }
  const chain = parts
    .slice(at)
    .join(':')
    .split('.')
    .map((link) => parseLink(key, link));
  if (chain.length > MAX_CHAIN) throw invalidName(key);
  return { reverse, chain };
}

function splitAlternatives(key: string, value: string): readonly string[] {
  if (!value.includes('\\') && !value.includes(',')) return [value];
  const values: string[] = [];
  let start = 0;
  for (let index = 0; index < value.length; index += 1) {
    const character = value.charAt(index);
    if (character === '\\') {
      const next = value.charAt(index + 1);
      if (next !== ',' && next !== '|' && next !== '$' && next !== '\\')
        throw invalidParameter(shownName(key), 'has an escape that FHIR does not know');
      index += 1;
    } else if (character === ',') {
      values.push(value.slice(start, index));
      start = index + 1;
    }
  }
  values.push(value.slice(start));
  if (values.includes('')) throw invalidParameter(shownName(key), 'has an empty alternative');
  return values;
}

/** The pair that `parseParameter` reads as this parameter. */
export function printParameter(parameter: Parameter): QueryPair {
  return { name: parameter.key, value: parameter.values.join(',') };
}

/** Splits a date, number or quantity value into its comparison and the rest; without prefix it is `eq`. */
export function splitPrefix(value: string): { readonly prefix: Prefix; readonly rest: string } {
  const prefix = value.slice(0, 2);
  return isPrefix(prefix) ? { prefix, rest: value.slice(2) } : { prefix: 'eq', rest: value };
}

function isPrefix(text: string): text is Prefix {
  return PREFIXES.has(text);
}

function invalidName(key: string): GatewayError {
  return invalidParameter(shownName(key), 'is not a well-formed parameter name');
}

/** A parameter name that may stand in a message: as it is when it is plain, else only that it is not. */
export function shownName(key: string): string {
  // A number may be somebody's.
  return /^[A-Za-z0-9_.:-]{1,64}$/.test(key) && !/\d{6}/.test(key) ? key : 'a parameter';
}
