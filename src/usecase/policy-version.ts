import { hash } from 'node:crypto';
import { types } from 'node:util';
import type { Role } from './definition.ts';

const KNOWN = new WeakMap<Role, string>();

/**
 * Names the version of what a role declares: 16 hexadecimal digits. Links to further pages are bound to it, and its CapabilityStatement shows it.
 *
 * It covers every field of the role that is data, at every depth: purpose, scopes, claims, proof, and of each rule all its conditions, titles too; the
 * order of a list counts, the order of an object's fields does not, a regular expression counts by source and flags. It does not see functions, so not
 * what the use case's own code (`decide`, `reviews`, `filters`, `answers`) makes of a request, nor a tenant's settings. Two processes that have loaded
 * the same declaration name the same version.
 */
export function policyVersionOf(role: Role): string {
  let version = KNOWN.get(role);
  if (version === undefined) {
    version = hash('sha256', canonical(role), 'hex').slice(0, 16);
    KNOWN.set(role, version);
  }
  return version;
}

/** JSON with sorted names. A regular expression begins with a slash, which no JSON does; what is no data is absent, in a list it keeps its place. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((each) => (isData(each) ? canonical(each) : '-')).join(',')}]`;
  if (types.isRegExp(value)) return `/${JSON.stringify([value.source, value.flags])}`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const fields = Object.entries(value)
    .filter(([, each]) => isData(each))
    .sort(([one], [other]) => (one < other ? -1 : 1));
  return `{${fields.map(([name, each]) => `${JSON.stringify(name)}:${canonical(each)}`).join(',')}}`;
}

function isData(value: unknown): boolean {
  return value !== undefined && typeof value !== 'function' && typeof value !== 'symbol';
}
