import { isMemberOf } from '../fhir/choice.ts';
import { equalJson } from '../fhir/json-equal.ts';
import type { JsonPatch } from '../fhir/json-patch.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../fhir/json.ts';
import type { ChangeGuard } from '../usecase/decision.ts';

/** What is wrong with a proposed version, by the guard of a rule; undefined when it may be written. */
export interface ChangeFault {
  /** snake_case, for the operator and the caller: it is the caller's own write. */
  readonly reason: 'element_not_changeable' | 'state_not_allowed' | 'label_not_changeable' | 'meta_unreadable';
  /** FHIR path expressions of the places. */
  readonly expression: readonly string[];
}

/** Labels carry access decisions (attack case C9): they are the custodian's, unless the guard names them. */
const LABELS: readonly string[] = ['security', 'tag'];

/** `link` says that two of these are one person, which widens what can be seen of both: a right of its own (attack case C15). */
const LINKED: ReadonlySet<string> = new Set(['Patient', 'Person', 'RelatedPerson']);

/**
 * Compares a proposed version with the stored one: only the elements that the guard names may differ, codes only by its steps. Numbers are compared by
 * their text. `id` is that of the path, `meta.versionId` and `meta.lastUpdated` are the server's.
 */
export function judgeChanges(guard: ChangeGuard, stored: JsonObject, proposed: JsonObject): ChangeFault | undefined {
  const type = typeof proposed['resourceType'] === 'string' ? proposed['resourceType'] : '';
  if (hasUnreadableMeta(proposed)) return { reason: 'meta_unreadable', expression: [`${type}.meta`] };
  const changed = changedElements(stored, proposed);
  const allowed = (name: string): boolean => mayChange(guard, type, name);
  const beyond = changed.filter((name) => name !== 'meta' && !allowed(name));
  if (beyond.length > 0) return { reason: 'element_not_changeable', expression: beyond.map((name) => `${type}.${name}`) };
  const labels = LABELS.filter(
    (name) => !guard.changed.includes(`meta.${name}`) && !same(label(stored, name), label(proposed, name)),
  );
  if (labels.length > 0) return { reason: 'label_not_changeable', expression: labels.map((name) => `${type}.meta.${name}`) };
  const metas = allowed('meta') ? [] : changedElements(ownMeta(stored), ownMeta(proposed));
  if (metas.length > 0) return { reason: 'element_not_changeable', expression: metas.map((name) => `${type}.meta.${name}`) };
  const left = stateLeft(guard, stored, proposed);
  if (left !== undefined) return { reason: 'state_not_allowed', expression: [`${type}.${left}`] };
  return undefined;
}

function mayChange({ changed }: ChangeGuard, type: string, name: string): boolean {
  if (changed.some((element) => isMemberOf(element, name))) return true;
  return changed.includes('*') && !(name === 'link' && LINKED.has(type));
}

/** The first code that did not stay and was changed by no step. */
function stateLeft({ states = [] }: ChangeGuard, stored: JsonObject, proposed: JsonObject): string | undefined {
  const members = Object.keys({ ...stored, ...proposed }).map((name) => name.replace(/^_/, ''));
  for (const { element, steps } of states) {
    for (const name of members.filter((each) => isMemberOf(element, each))) {
      const [from, to] = [stored[name], proposed[name]];
      // What stands beside a code can say that it is none (`data-absent-reason`).
      const isStep = same(from, to) || steps.some((step) => step.from === from && step.to === to);
      if (!isStep || !same(stored[`_${name}`], proposed[`_${name}`])) return name;
    }
  }
  return undefined;
}

/** The first place of a patch that no guard would let change, whatever stands there; undefined when there is none. */
export function placeBeyond(guard: ChangeGuard, type: string, patch: JsonPatch): string | undefined {
  for (const { path } of patch) {
    const [first, second] = path;
    const name = first.replace(/^_/, '');
    const isLabel = second === undefined || LABELS.includes(second);
    const allowed =
      name === 'meta' && isLabel
        ? second !== undefined && guard.changed.includes(`meta.${second}`)
        : mayChange(guard, type, name);
    if (!allowed) return second !== undefined && name === 'meta' ? `${type}.meta.${second}` : `${type}.${name}`;
  }
  return undefined;
}

/** The top elements that differ; a primitive and its `_name` are one element. */
export function changedElements(stored: JsonObject, proposed: JsonObject): readonly string[] {
  const names = new Set([...Object.keys(stored), ...Object.keys(proposed)]);
  const changed = new Set<string>();
  for (const name of names) {
    if (!same(stored[name], proposed[name])) changed.add(name.startsWith('_') ? name.slice(1) : name);
  }
  return [...changed];
}

/** The proposed version as it is written: the labels are the stored ones unless they may change, version and time are the server's to say. */
export function withServersMeta(proposed: JsonObject): JsonObject {
  const meta = proposed['meta'];
  if (!isJsonObject(meta)) return proposed;
  const { versionId: _version, lastUpdated: _time, ...rest } = meta;
  const { meta: _meta, ...others } = proposed;
  return Object.keys(rest).length === 0 ? others : { ...others, meta: rest };
}

/** Some servers read a list of one as the one: labels would come along unseen (attack case C9). */
export function hasUnreadableMeta({ meta }: JsonObject): boolean {
  return meta !== undefined && !isJsonObject(meta);
}

/** `meta` without labels, which are judged on their own, and without what the server says. */
function ownMeta(resource: JsonObject): JsonObject {
  const meta = resource['meta'];
  if (!isJsonObject(meta)) return {};
  const { security: _security, tag: _tag, versionId: _version, lastUpdated: _time, ...rest } = meta;
  return rest;
}

/** Labels that a new resource would bring along. */
export function labelsOf(resource: JsonObject): readonly string[] {
  return LABELS.filter((name) => label(resource, name) !== undefined);
}

function label(resource: JsonObject, name: string): JsonValue | undefined {
  const meta = resource['meta'];
  return isJsonObject(meta) ? meta[name] : undefined;
}

/** A number by its text. */
function same(one: JsonValue | undefined, other: JsonValue | undefined): boolean {
  return equalJson(one, other, 'by-text');
}
