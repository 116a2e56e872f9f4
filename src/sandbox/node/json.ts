/** JSON as the simulated node handles it: readers that never throw, and the one canonical text that signatures are made over. */
export type Json = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The member as text, or `undefined` when it is absent or something else. */
export function text(object: Json, key: string): string | undefined {
  const value = object[key];
  return typeof value === 'string' ? value : undefined;
}

/** One or many as a list: JSON-LD collapses lists of one (facts §0.4). */
export function list(value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? (value as readonly unknown[]) : [value];
}

/** A list of one becomes its bare entry, as a real node does with `credentialSubject`, `proof` and `verifiableCredential`. */
export function collapse(value: unknown): unknown {
  const entries = list(value);
  return entries.length === 1 ? entries[0] : value;
}

/** Text with sorted keys, without the members that are `undefined`: equal values give equal texts, whatever way they travelled. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (!isObject(value)) return JSON.stringify(value);
  const members = Object.keys(value)
    .filter((key) => value[key] !== undefined)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`);
  return `{${members.join(',')}}`;
}

/** The same value with sorted keys all the way down (what a real node answers for credentials and introspection). */
export function sorted(value: Json): Json {
  return JSON.parse(canonical(value)) as Json;
}
