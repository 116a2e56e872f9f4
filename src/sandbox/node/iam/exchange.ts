/** Matching credentials with a presentation definition, on the holder's and on the server's side: `choose`, `conforms`, `claimsOf`. */
import { isObject, list } from '../json.ts';
import { NodeProblem } from '../problem.ts';
import { formatOf, viewOf } from './any-credential.ts';
import type { Definition, Descriptor, Field, Filter } from './definition.ts';
import { valueAt } from './json-path.ts';
import type { AnyCredential } from './store.ts';

/** Credentials by the id of the input descriptor that each fulfils. */
export type Chosen = Readonly<Record<string, AnyCredential>>;

/** The first fit for each descriptor; `missing` names the first for which there is none and one is needed. */
export function choose(
  definition: Definition,
  credentials: readonly AnyCredential[],
): { readonly chosen: Chosen; readonly missing?: string } {
  const chosen: Record<string, AnyCredential> = {};
  for (const descriptor of definition.input_descriptors) {
    const fit = credentials.find((credential) => fits(definition, descriptor, credential));
    if (fit !== undefined) chosen[descriptor.id] = fit;
  }
  const missing = unmet(definition, chosen);
  return missing === undefined ? { chosen } : { chosen, missing };
}

/** Whether what was presented is what the definition asks for, each under its descriptor and no other. */
export function conforms(definition: Definition, presented: Chosen): boolean {
  const known = new Map(definition.input_descriptors.map((descriptor) => [descriptor.id, descriptor]));
  const eachFits = Object.entries(presented).every(([id, credential]) => {
    const descriptor = known.get(id);
    return descriptor !== undefined && fits(definition, descriptor, credential);
  });
  return eachFits && unmet(definition, presented) === undefined;
}

/** The first descriptor or group that has too few (or too many) credentials. */
function unmet(
  { input_descriptors: descriptors, submission_requirements: requirements }: Definition,
  chosen: Chosen,
): string | undefined {
  if (requirements === undefined) return descriptors.find(({ id }) => chosen[id] === undefined)?.id;
  for (const { rule, from, count, min, max } of requirements) {
    const members = descriptors.filter(({ group }) => group?.includes(from) === true);
    const met = members.filter(({ id }) => chosen[id] !== undefined).length;
    const [least, most] = rule === 'all' ? [members.length, members.length] : [count ?? min ?? 0, count ?? max ?? members.length];
    if (met < least || met > most) return members.find(({ id }) => chosen[id] === undefined)?.id ?? from;
  }
  return undefined;
}

function fits(definition: Definition, descriptor: Descriptor, credential: AnyCredential): boolean {
  const allowed = descriptor.format ?? definition.format;
  if (allowed !== undefined && !Object.hasOwn(allowed, formatOf(credential))) return false;
  const view = viewOf(credential);
  return (descriptor.constraints?.fields ?? []).every((field) => match(field, view).ok);
}

type Match = { readonly ok: true; readonly value: unknown } | { readonly ok: false };

/** An absent optional value is `null`; one that is there must match. */
function match(field: Field, view: unknown): Match {
  let isPresent = false;
  for (const path of field.path) {
    const value = valueAt(view, path);
    if (value === undefined) continue;
    isPresent = true;
    const result = field.filter === undefined ? ({ ok: true, value } as const) : filtered(field.filter, value);
    if (result.ok) return result;
  }
  return !isPresent && field.optional === true ? { ok: true, value: null } : { ok: false };
}

function filtered(filter: Filter, value: unknown): Match {
  if (Array.isArray(value)) {
    const some = filter.type === 'array' || list(value).some((entry) => filtered(filter, entry).ok);
    return some ? { ok: true, value } : { ok: false };
  }
  if (isObject(value)) throw new NodeProblem(500, 'unsupported filter: objects are not supported');
  if (typeof value !== filter.type) return { ok: false };
  if (filter.const !== undefined && filter.const !== value) return { ok: false };
  if (filter.enum?.includes(value) === false) return { ok: false };
  if (filter.pattern === undefined || typeof value !== 'string') return { ok: true, value };
  const found = new RegExp(filter.pattern).exec(value);
  if (found === null) return { ok: false };
  if (found.length > 2) throw new NodeProblem(500, "can't return results from multiple regex capture groups");
  return { ok: true, value: found[1] ?? found[0] };
}

/** The values of all fields that have an id. */
export function claimsOf(definition: Definition, chosen: Chosen): Record<string, unknown> {
  const claims: Record<string, unknown> = {};
  for (const descriptor of definition.input_descriptors) {
    const credential = chosen[descriptor.id];
    if (credential === undefined) continue;
    const view = viewOf(credential);
    for (const field of descriptor.constraints?.fields ?? []) {
      if (field.id === undefined) continue;
      const result = match(field, view);
      claims[field.id] = result.ok ? result.value : null;
    }
  }
  return claims;
}
