import { GatewayError } from '../errors.ts';
import { equalJson } from './json-equal.ts';
import { isJsonArray, isJsonObject, JsonNumber, type JsonObject, type JsonValue } from './json.ts';

/** One step of a JSON Patch (RFC 6902 §4); places are RFC 6901 pointers, decoded, and never the whole document. */
export type JsonPatchStep =
  | { readonly op: 'add' | 'replace' | 'test'; readonly path: Pointer; readonly value: JsonValue }
  | { readonly op: 'remove'; readonly path: Pointer }
  | { readonly op: 'move' | 'copy'; readonly path: Pointer; readonly from: Pointer };

export type JsonPatch = readonly JsonPatchStep[];

/** Reference tokens, outermost first. */
export type Pointer = readonly [string, ...string[]];

/** What a patch makes of a resource, or which of its steps cannot be taken. */
export type Patched =
  { readonly outcome: 'patched'; readonly resource: JsonObject } | { readonly outcome: 'unfit'; readonly step: number };

const MAX_STEPS = 100;
/** Values in the result, and characters of all its texts and names: copies of copies grow without end. */
const MAX_VALUES = 50_000;
const MAX_CHARACTERS = 8 * 1024 * 1024;
const MAX_DEPTH = 64;
const MEMBERS: ReadonlySet<string> = new Set(['op', 'path', 'from', 'value']);
const NEVER: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

/**
 * Reads a JSON Patch document.
 * @throws GatewayError `invalid_body` (400) that names the member: no list, more than 100 steps, an unknown `op`, a pointer that is none, a member too much
 */
export function parseJsonPatch(document: JsonValue): JsonPatch {
  if (!isJsonArray(document)) throw fault('patch', 'must be a list of steps');
  if (document.length === 0 || document.length > MAX_STEPS) throw fault('patch', `must have 1 to ${String(MAX_STEPS)} steps`);
  return document.map((step, index) => parseStep(step, `[${String(index)}]`));
}

function parseStep(step: JsonValue, field: string): JsonPatchStep {
  if (!isJsonObject(step)) throw fault(field, 'must be an object');
  for (const name of Object.keys(step))
    if (!MEMBERS.has(name)) throw fault(field, 'has a member besides op, path, from and value');
  const { op, value } = step;
  const path = parsePointer(step['path'], `${field}.path`);
  if (op === 'remove') return { op, path };
  if (op === 'add' || op === 'replace' || op === 'test') {
    if (value === undefined) throw fault(`${field}.value`, 'is missing');
    return { op, path, value };
  }
  if (op !== 'move' && op !== 'copy') throw fault(`${field}.op`, 'must be add, remove, replace, move, copy or test');
  const from = parsePointer(step['from'], `${field}.from`);
  if (op === 'move' && from.length < path.length && from.every((token, at) => token === path[at]))
    throw fault(`${field}.path`, 'lies inside from');
  return { op, path, from };
}

// RFC 6901 §3 and §4: `~` is followed by 0 or 1, and `~1` is decoded before `~0` (attack case R5).
function parsePointer(text: JsonValue | undefined, field: string): Pointer {
  if (typeof text !== 'string') throw fault(field, 'is missing');
  if (!/^(?:\/(?:[^~/]|~[01])*)+$/u.test(text)) throw fault(field, 'must be a JSON Pointer below the resource, such as /status');
  const [first = '', ...rest] = text
    .slice(1)
    .split('/')
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
  if ([first, ...rest].some((token) => NEVER.has(token))) throw fault(field, 'names what is no element');
  return [first, ...rest];
}

/** Takes the steps one after the other; the resource itself is left as it is. */
export function applyJsonPatch(resource: JsonObject, patch: JsonPatch): Patched {
  let document: JsonValue = resource;
  for (const [step, each] of patch.entries()) {
    const next = take(document, each);
    if (next === undefined || !isSmall(next)) return { outcome: 'unfit', step };
    document = next;
  }
  return isJsonObject(document) ? { outcome: 'patched', resource: document } : { outcome: 'unfit', step: patch.length - 1 };
}

function take(document: JsonValue, step: JsonPatchStep): JsonValue | undefined {
  switch (step.op) {
    case 'add':
      return changed(document, step.path, (at, token) => added(at, token, step.value));
    case 'replace':
      return changed(document, step.path, (at, token) => {
        const without = removed(at, token);
        return without === undefined ? undefined : added(without, token, step.value);
      });
    case 'test': {
      const found = valueAt(document, step.path);
      return found !== undefined && equalJson(found, step.value, 'by-value') ? document : undefined;
    }
    case 'remove':
      return changed(document, step.path, removed);
    case 'move': {
      const moved = valueAt(document, step.from);
      const without = moved === undefined ? undefined : changed(document, step.from, removed);
      if (moved === undefined || without === undefined) return undefined;
      return changed(without, step.path, (at, token) => added(at, token, moved));
    }
    case 'copy': {
      const copied = valueAt(document, step.from);
      return copied === undefined ? undefined : changed(document, step.path, (at, token) => added(at, token, copied));
    }
  }
}

/** The document with one container changed; undefined where the place is not there. */
function changed(
  value: JsonValue,
  [token, ...rest]: Pointer,
  change: (container: JsonValue, token: string) => JsonValue | undefined,
): JsonValue | undefined {
  const [next, ...more] = rest;
  if (next === undefined) return change(value, token);
  const inner = memberOf(value, token);
  const made = inner === undefined ? undefined : changed(inner, [next, ...more], change);
  if (made === undefined) return undefined;
  return isJsonArray(value) ? value.with(Number(token), made) : { ...(value as JsonObject), [token]: made };
}

function valueAt(document: JsonValue, path: Pointer): JsonValue | undefined {
  let value: JsonValue | undefined = document;
  for (const token of path) {
    value = memberOf(value, token);
    if (value === undefined) return undefined;
  }
  return value;
}

function memberOf(value: JsonValue, token: string): JsonValue | undefined {
  if (isJsonArray(value)) return isIndex(token) ? value[Number(token)] : undefined;
  return isJsonObject(value) && Object.hasOwn(value, token) ? value[token] : undefined;
}

// RFC 6901 §4: digits without a leading zero.
function isIndex(token: string): boolean {
  return /^(?:0|[1-9]\d{0,8})$/.test(token);
}

function added(container: JsonValue, token: string, value: JsonValue): JsonValue | undefined {
  if (isJsonObject(container)) return { ...container, [token]: value };
  if (!isJsonArray(container)) return undefined;
  const at = token === '-' ? container.length : isIndex(token) ? Number(token) : -1;
  return at < 0 || at > container.length ? undefined : container.toSpliced(at, 0, value);
}

function removed(container: JsonValue, token: string): JsonValue | undefined {
  if (memberOf(container, token) === undefined) return undefined;
  if (isJsonArray(container)) return container.toSpliced(Number(token), 1);
  const { [token]: _gone, ...rest } = container as JsonObject;
  return rest;
}

function isSmall(document: JsonValue): boolean {
  let left = MAX_VALUES;
  let characters = MAX_CHARACTERS;
  const fits = (value: JsonValue, depth: number): boolean => {
    left -= 1;
    if (typeof value === 'string') characters -= value.length;
    else if (value instanceof JsonNumber) characters -= value.text.length;
    if (left < 0 || characters < 0 || depth > MAX_DEPTH) return false;
    if (isJsonArray(value)) return value.every((each) => fits(each, depth + 1));
    if (!isJsonObject(value)) return true;
    return Object.entries(value).every(([name, each]) => {
      characters -= name.length;
      return fits(each, depth + 1);
    });
  };
  return fits(document, 0);
}

function fault(field: string, problem: string): GatewayError {
  return new GatewayError('invalid_body', `${field} ${problem}`, { fields: [{ field, problem }] });
}
