import { isMemberOf } from '../fhir/choice.ts';
import { isJsonArray, isJsonObject, type JsonObject, type JsonValue } from '../fhir/json.ts';
import type { FhirVersion } from '../fhir/version.ts';

/** The label of a resource that is not whole (R4 and STU3: value set `meta.tag`, "Elements"). */
const SUBSETTED: Readonly<Record<FhirVersion, string>> = {
  STU3: 'http://hl7.org/fhir/v3/ObservationValue',
  R4: 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue',
};

/**
 * Takes elements out of every resource of an answer, in entries, nested and contained ones too. What lost one is marked SUBSETTED, and loses its narrative:
 * that may say the same again.
 * @param elements from the type: `Patient.name`, `Observation.component.valueString`; a choice by its own name is every one of it: `Observation.value`
 * @returns the same object when nothing had to go
 */
export function redact(answer: JsonObject, elements: readonly string[], version: FhirVersion): JsonObject {
  if (elements.length === 0) return answer;
  const paths = elements.map((element) => element.split('.'));
  return asObject(redactValue(answer, paths, version), answer);
}

function redactValue(value: JsonValue, paths: readonly (readonly string[])[], version: FhirVersion): JsonValue {
  if (isJsonArray(value)) return mapped(value, (each) => redactValue(each, paths, version));
  if (!isJsonObject(value)) return value;
  let result: JsonObject = value;
  const type = value['resourceType'];
  if (typeof type === 'string') {
    for (const [first, ...rest] of paths) if (first === type) result = asObject(without(result, rest), result);
    if (result !== value) result = marked(result, version);
  }
  const entries = Object.entries(result).map(([name, member]) => [name, redactValue(member, paths, version)] as const);
  if (entries.every(([name, member]) => member === result[name])) return result;
  const redacted: JsonObject = Object.fromEntries(entries);
  // The narrative of a resource tells of those that it contains.
  return typeof type === 'string' && redacted['contained'] !== result['contained'] ? marked(redacted, version) : redacted;
}

/**
 * What is left without the element. What a primitive has besides its value, an id and extensions, stands in a twin with `_` before the name: it goes with the
 * primitive, and a path goes on in both.
 */
function without(value: JsonValue, path: readonly string[]): JsonValue {
  if (isJsonArray(value)) {
    const left = mapped(value, (each) => without(each, path));
    return left === value ? value : left.filter((each, index) => each === value[index] || !isEmpty(each));
  }
  if (!isJsonObject(value)) return value;
  const [element, ...rest] = path;
  if (element === undefined) return value;
  let left = value;
  for (const name of namesOf(value, element)) left = withoutMember(left, name, rest);
  return left;
}

/** The members that an element may stand under. */
function namesOf(value: JsonObject, element: string): ReadonlySet<string> {
  const names = Object.keys(value).map((name) => (name.startsWith('_') ? name.slice(1) : name));
  return new Set(names.filter((name) => isMemberOf(element, name)));
}

function withoutMember(value: JsonObject, name: string, rest: readonly string[]): JsonObject {
  const twin = `_${name}`;
  if (rest.length === 0) return withoutMembers(value, [name, twin]);
  const left = replaced(value, name, (member) => without(member, rest));
  return together(
    replaced(left, twin, (member) => withoutTwin(member, rest)),
    name,
    twin,
  );
}

/** Items of a list of primitives of which neither a value nor anything else is left. */
function together(value: JsonObject, name: string, twin: string): JsonObject {
  const { [name]: primitives, [twin]: twins = [] } = value;
  if (!isJsonArray(primitives) || !isJsonArray(twins)) return value;
  const isLeft = (_each: JsonValue, index: number): boolean =>
    (primitives[index] ?? null) !== null || (twins[index] ?? null) !== null;
  if (primitives.every(isLeft)) return value;
  return replaced(
    replaced(value, name, () => primitives.filter(isLeft)),
    twin,
    () => twins.filter(isLeft),
  );
}

function replaced(value: JsonObject, name: string, change: (member: JsonValue) => JsonValue): JsonObject {
  const member = Object.hasOwn(value, name) ? value[name] : undefined;
  if (member === undefined) return value;
  const left = change(member);
  if (left === member) return value;
  // FHIR's JSON has no empty objects and lists.
  return isEmpty(left) ? withoutMembers(value, [name]) : { ...value, [name]: left };
}

/** In the twin of a list each item stands at the place of its primitive: one that is empty leaves null there, and a list of nothing else goes (json.html). */
function withoutTwin(value: JsonValue, path: readonly string[]): JsonValue {
  if (!isJsonArray(value)) return without(value, path);
  const left = mapped(value, (each) => {
    const item = without(each, path);
    return item !== each && isEmpty(item) ? null : item;
  });
  return left !== value && left.every((each) => each === null) ? [] : left;
}

function withoutMembers(value: JsonObject, names: readonly string[]): JsonObject {
  return Object.fromEntries(Object.entries(value).filter(([key]) => !names.includes(key)));
}

function isEmpty(value: JsonValue): boolean {
  return isJsonArray(value) ? value.length === 0 : isJsonObject(value) && Object.keys(value).length === 0;
}

function marked(resource: JsonObject, version: FhirVersion): JsonObject {
  const { text: _text, ...rest } = resource;
  const meta = isJsonObject(rest['meta']) ? rest['meta'] : {};
  const tags = isJsonArray(meta['tag']) ? meta['tag'] : [];
  const isMarked = tags.some((tag) => isJsonObject(tag) && tag['code'] === 'SUBSETTED');
  return isMarked ? rest : { ...rest, meta: { ...meta, tag: [...tags, { system: SUBSETTED[version], code: 'SUBSETTED' }] } };
}

function mapped(list: readonly JsonValue[], change: (each: JsonValue) => JsonValue): readonly JsonValue[] {
  const result = list.map(change);
  return result.some((each, index) => each !== list[index]) ? result : list;
}

function asObject(value: JsonValue, otherwise: JsonObject): JsonObject {
  return isJsonObject(value) ? value : otherwise;
}
