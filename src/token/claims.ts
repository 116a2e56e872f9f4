import { isJsonArray, type JsonValue } from '../fhir/json.ts';
import type { Reason } from '../usecase/decision.ts';
import type { Role } from '../usecase/definition.ts';
import type { ClaimRule } from '../usecase/rules.ts';
import type { Organization, ProvenUser, Subject } from '../usecase/subject.ts';

/** Who presented a token, before the role is known that it is for. `AuthenticatedCaller` is one. */
export interface Asker {
  /** Complete for v1; for v2 without organisation and claims, which depend on the role. */
  readonly subject: Subject;
  /** v2: all claims of the token, unjudged. Absent: v1. */
  readonly claims?: ReadonlyMap<string, JsonValue>;
  /** The key that the caller has proved to hold. */
  readonly proof?: { readonly jkt: string };
}

/** The subject as a role sees it, and why that role does not take the token, if so. */
export interface Mapped {
  readonly subject: Subject;
  /** `proof_required`, `claim_missing`, `claim_malformed`: a denial, for the operator. */
  readonly fault?: Reason;
}

/**
 * Makes the subject that a role's policy may see: the organisation from the claims that the role names, and of the other claims those on its
 * list, each of the type that is asked. Nothing is ever converted: `["1"]` is no `1`, and a number is no URA (attack case T31).
 */
export function mapClaims(role: Role, asker: Asker): Mapped {
  const unproven = role.proof === 'required' && asker.proof === undefined;
  if (asker.claims === undefined) {
    return unproven ? { subject: asker.subject, fault: UNPROVEN } : { subject: asker.subject };
  }
  const said = asker.claims;
  const organization = organizationOf(role, said);
  const claims = new Map<string, JsonValue>();
  let fault = unproven ? UNPROVEN : 'code' in organization ? organization : undefined;
  for (const [name, rule] of Object.entries(role.claims ?? {})) {
    const value = said.get(name);
    // A field that was optional and absent comes as null (nuts-node-api.md §1.3).
    if (value === undefined || value === null) {
      if (rule.required === true) fault ??= { code: 'claim_missing', text: `the token has no claim ${name}` };
    } else if (!isAsAsked(value, rule)) {
      fault ??= { code: 'claim_malformed', text: `the claim ${name} is not the ${rule.type} that ${role.id} asks` };
    } else {
      claims.set(name, isJsonArray(value) ? Object.freeze([...value]) : value);
    }
  }
  const user = userOf(role, said);
  if (user !== undefined && 'code' in user) fault ??= user;
  const subject: Subject = Object.freeze({
    ...asker.subject,
    ...(user === undefined || 'code' in user ? {} : { user }),
    organization: 'code' in organization ? NOBODY : organization,
    claims: frozen(claims),
  });
  return fault === undefined ? { subject } : { subject, fault };
}

/** No organisation: the gate denies it (`no_requester`). */
export const NOBODY: Organization = Object.freeze({ id: '' });

const UNPROVEN: Reason = { code: 'proof_required', text: 'the role takes only tokens that are bound to a key' };

/**
 * Where a role does not say which claims name the organisation: the first of these that is present. An organisation is named by a DID only in
 * `organization_did`: a URA or a name that looks like one would be taken for somebody else in the ledger of grants.
 */
const USUAL_IDS = ['organization_did', 'organization_id', 'organization_ura', 'organization_name'] as const;
const NAME = 'organization_name';
const URA = 'organization_ura';

function organizationOf(role: Role, said: ReadonlyMap<string, JsonValue>): Organization | Reason {
  const names = role.organization ?? { id: USUAL_IDS.find((name) => isPresent(said.get(name))) ?? '', name: NAME, ura: URA };
  const id = said.get(names.id);
  if (!isPresent(id)) return NOBODY;
  if (!isName(id)) return malformed(names.id);
  if (role.organization === undefined && id.startsWith('did:') !== (names.id === 'organization_did')) return malformed(names.id);
  const name = names.name === undefined ? undefined : said.get(names.name);
  const ura = names.ura === undefined ? undefined : said.get(names.ura);
  if (isPresent(name) && !isName(name)) return malformed(names.name ?? '');
  if (isPresent(ura) && !isName(ura)) return malformed(names.ura ?? '');
  return Object.freeze({ id, ...(isName(name) ? { name } : {}), ...(isName(ura) ? { ura } : {}) });
}

function malformed(claim: string): Reason {
  return { code: 'claim_malformed', text: `the claim ${claim} names no organisation` };
}

/** The person, whole or not at all: half a person is none, and a claim that is no name is nobody's (attack cases T31, T33). */
function userOf(role: Role, said: ReadonlyMap<string, JsonValue>): ProvenUser | Reason | undefined {
  const names = role.user;
  if (names === undefined) return undefined;
  const id = said.get(names.id);
  const name = said.get(names.name);
  if (!isPresent(id) || !isPresent(name)) return undefined;
  const title = names.role === undefined ? undefined : said.get(names.role);
  if (!isName(id) || !isName(name) || (isPresent(title) && !isName(title)))
    return { code: 'claim_malformed', text: `the claims ${names.id} and ${names.name} name no person` };
  return Object.freeze({ id, initials: '', familyName: name, level: 'low', ...(isName(title) ? { role: title } : {}) });
}

function isPresent(value: JsonValue | undefined): boolean {
  return value !== undefined && value !== null;
}

/** One line of text without blanks around it; two that look alike are two. */
function isName(value: JsonValue | undefined): value is string {
  return typeof value === 'string' && value.length <= 256 && /^[^\s\p{C}](?:[^\p{C}\p{Zl}\p{Zp}]*[^\s\p{C}])?$/u.test(value);
}

function isAsAsked(value: JsonValue, rule: ClaimRule): boolean {
  switch (rule.type) {
    case 'string':
      return isText(value, rule.pattern);
    case 'string-list':
      return isJsonArray(value) && value.every((each) => isText(each, rule.pattern));
    case 'number':
      return typeof value === 'number';
    case 'boolean':
      return typeof value === 'boolean';
  }
}

function isText(value: JsonValue, pattern: RegExp | undefined): boolean {
  if (typeof value !== 'string') return false;
  // Whole, whatever anchors the expression has (nuts-node-api.md §1.4).
  return pattern === undefined || whole(pattern).test(value);
}

const WHOLE = new WeakMap<RegExp, RegExp>();

function whole(pattern: RegExp): RegExp {
  const known = WHOLE.get(pattern);
  if (known !== undefined) return known;
  const made = new RegExp(`^(?:${pattern.source})$`, pattern.flags.replace(/[gmy]/g, ''));
  WHOLE.set(pattern, made);
  return made;
}

/** A map that cannot be changed: `Object.freeze` alone does not stop `set`. */
function frozen(map: Map<string, JsonValue>): ReadonlyMap<string, JsonValue> {
  const refuse = (): never => {
    throw new TypeError('claims cannot be changed');
  };
  return Object.freeze(Object.assign(map, { set: refuse, delete: refuse, clear: refuse }));
}
