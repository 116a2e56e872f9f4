import { isJsonArray, isJsonObject, type JsonObject, type JsonValue } from '../fhir/json.ts';
import { localReference } from '../fhir/reference.ts';
import type { Proof } from '../pdp/narrow.ts';

/**
 * Whether a resource shows what a permit demands of it. A Reference is compared by what it names (relative, or absolute below the custodian's base,
 * without a version), a Coding as `system|code`, all else as text. An element that repeats must show it in every place, so that a record about two
 * patients is about neither.
 */
export function shows(resource: JsonObject, proofs: readonly Proof[], base: string): boolean {
  return proofs.every(({ element, values }) => {
    const found = valuesAt(resource, element.split('.'));
    return element.startsWith('meta.')
      ? // Labels are sets: one of them is the one that was asked for.
        found.some((value) => values.includes(textOf(value, base) ?? ''))
      : found.length > 0 && found.every((value) => values.includes(textOf(value, base) ?? ''));
  });
}

function valuesAt(value: JsonValue | undefined, path: readonly string[]): readonly JsonValue[] {
  if (value === undefined) return [];
  if (isJsonArray(value)) return value.flatMap((each) => valuesAt(each, path));
  const [name, ...rest] = path;
  if (name === undefined) return [value];
  return isJsonObject(value) && Object.hasOwn(value, name) ? valuesAt(value[name], rest) : [];
}

/** Undefined for what can be compared with nothing. */
function textOf(value: JsonValue, base: string): string | undefined {
  if (typeof value === 'string') return value;
  if (!isJsonObject(value)) return undefined;
  const { reference, system, code } = value;
  if (typeof reference === 'string') {
    const local = localReference(reference, base);
    return local === undefined ? undefined : `${local.type}/${local.id}`;
  }
  return typeof code === 'string' ? `${typeof system === 'string' ? system : ''}|${code}` : undefined;
}
