import { isJsonObject, type JsonObject, type JsonValue } from 'sluis/usecase';

/** A member that is text, else undefined. */
export function text(object: JsonObject | undefined, name: string): string | undefined {
  const value = object?.[name];
  return typeof value === 'string' ? value : undefined;
}

/** A member that is an object, else undefined. */
export function object(parent: JsonObject | undefined, name: string): JsonObject | undefined {
  const value = parent?.[name];
  return isJsonObject(value) ? value : undefined;
}

/** The members of an array that are objects; a single object counts as an array of one, everything else as none. */
export function objects(parent: JsonObject | undefined, name: string): readonly JsonObject[] {
  const value = parent?.[name];
  if (isList(value)) return value.filter(isJsonObject);
  return isJsonObject(value) ? [value] : [];
}

/** Whether a value is an array. */
export function isList(value: JsonValue | undefined): value is readonly JsonValue[] {
  return Array.isArray(value);
}

/** A copy without some members. */
export function without(source: JsonObject, ...names: readonly string[]): Record<string, JsonValue> {
  return Object.fromEntries(Object.entries(source).filter(([name]) => !names.includes(name)));
}

/** `{reference}` of a FHIR Reference. */
export function referenceText(parent: JsonObject | undefined, name: string): string | undefined {
  return text(object(parent, name), 'reference');
}

/**
 * A text that is equal for values that mean the same: members sorted; empty text, arrays and objects, and null, taken for absent
 * (facts §2.6 step 4).
 */
export function canonical(value: JsonValue | undefined): string {
  const reduced = reduce(value);
  return reduced === undefined ? '' : JSON.stringify(reduced);
}

function reduce(value: JsonValue | undefined): unknown {
  if (value === undefined || value === null || value === '') return undefined;
  if (isList(value)) {
    const items = value.map(reduce).filter((item) => item !== undefined);
    return items.length === 0 ? undefined : items;
  }
  if (!isJsonObject(value)) return value;
  const members: [string, unknown][] = [];
  for (const name of Object.keys(value).sort()) {
    const member = reduce(value[name]);
    if (member !== undefined) members.push([name, member]);
  }
  return members.length === 0 ? undefined : Object.fromEntries(members);
}
