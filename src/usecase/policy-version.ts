import { hash } from 'node:crypto';
import type { Role } from './definition.ts';

const KNOWN = new WeakMap<Role, string>();

/** Names the version of a role's rules: 16 hexadecimal digits that change whenever the rules do. Links to further pages are bound to it. */
export function policyVersionOf(role: Role): string {
  let version = KNOWN.get(role);
  if (version === undefined) {
    const text = JSON.stringify(role, (_name, value: unknown) =>
      value instanceof RegExp ? `${value.source}/${value.flags}` : value,
    );
    version = hash('sha256', text, 'hex').slice(0, 16);
    KNOWN.set(role, version);
  }
  return version;
}
