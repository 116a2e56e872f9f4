import { GatewayError } from '../errors.ts';
import { equalJson } from './json-equal.ts';
import { isJsonArray, isJsonObject, JsonNumber, type JsonObject, type JsonValue } from './json.ts';

/** One step of a JSON Patch (RFC 6902 §4); places are RFC 6901 pointers, decoded, and never the whole document. */
export type JsonPatchStep =
  | { readonly op: 'add' | 'replace' | 'test'; readonly path: Pointer; readonly value: JsonValue }
  | { readonly op: 'remove'; readonly path: Pointer }
  | { readonly op: 'move' | 'copy'; readonly path: Pointer; readonly from: Pointer };

/** A JSON Patch, read: its steps in order. */
export type JsonPatch = readonly JsonPatchStep[];

/** Reference tokens, outermost first. */
export type Pointer = readonly [string, ...string[]];

/** What a patch makes of a resource, or which of its steps cannot be taken. */
export type Patched =
  { readonly outcome: 'patched'; readonly resource: JsonObject } | { readonly outcome: 'unfit'; readonly step: number };

const MAX_STEPS = 100;
/** Values, and characters of all texts and names, that all steps together may touch: copies of copies grow without end. */
const MAX_VALUES = 100_000;
const MAX_CHARACTERS = 8 * 1024 * 1024;
const MAX_DEPTH = 64;
const NEVER: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

/**
 * Reads a JSON Patch document.
 * @throws GatewayError `invalid_body` (400) that names the member: no list, more than 100 steps, an unknown `op`, a pointer that is none
 */
export function parseJsonPatch(document: JsonValue): JsonPatch {
  if (!isJsonArray(document)) throw fault('patch', 'must be a list of steps');
  if (document.length > MAX_STEPS) throw fault('patch', `must have at most ${String(MAX_STEPS)} steps`);
  return document.map((step, index) => parseStep(step, `[${String(index)}]`));
}

function parseStep(step: JsonValue, field: string): JsonPatchStep {
  if (!isJsonObject(step)) throw fault(field, 'must be an object');
  // Other members are ignored (RFC 6902 §4).
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

/** Takes the steps one after the other, on a copy: the resource itself is left as it is. */
export function applyJsonPatch(resource: JsonObject, patch: JsonPatch): Patched {
  const copy = createCopier();
  const document = copy(resource, 0);
  if (document === undefined) return { outcome: 'unfit', step: 0 };
  for (const [step, each] of patch.entries()) if (!take(document, each, copy)) return { outcome: 'unfit', step };
  // What was moved about may lie deeper now than anybody reads.
  const whole = createCopier()(document, 0);
  return isJsonObject(whole) ? { outcome: 'patched', resource: whole } : { outcome: 'unfit', step: patch.length - 1 };
}

type Copier = (value: JsonValue, depth: number) => JsonValue | undefined;

/** Copies values until all copies together are too large, or one is too deep: then there is none. */
function createCopier(): Copier {
  let values = MAX_VALUES;
  let characters = MAX_CHARACTERS;
  const copy: Copier = (value, depth) => {
    values -= 1;
    if (typeof value === 'string') characters -= value.length;
    else if (value instanceof JsonNumber) characters -= value.text.length;
    if (values < 0 || characters < 0 || depth > MAX_DEPTH) return undefined;
    if (isJsonArray(value)) {
      const list: JsonValue[] = [];
      for (const each of value) {
        const copied = copy(each, depth + 1);
        if (copied === undefined) return undefined;
        list.push(copied);
      }
      return list;
    }
    if (!isJsonObject(value)) return value;
    const object: Record<string, JsonValue> = {};
    for (const [name, each] of Object.entries(value)) {
      characters -= name.length;
      const copied = copy(each, depth + 1);
      if (copied === undefined) return undefined;
      object[name] = copied;
    }
    return object;
  };
  return copy;
}

/** Takes one step on the document, which is ours to change. @returns whether it could be taken; if not, the document is of no use any more */
function take(document: JsonValue, step: JsonPatchStep, copy: Copier): boolean {
  const { path } = step;
  switch (step.op) {
    case 'add':
      return add(document, path, copy(step.value, path.length));
    case 'replace':
      return remove(document, path) && add(document, path, copy(step.value, path.length));
    case 'test': {
      const found = valueAt(document, path);
      return found !== undefined && equalJson(found, step.value, 'by-value');
    }
    case 'remove':
      return remove(document, path);
    case 'move': {
      const moved = valueAt(document, step.from);
      return remove(document, step.from) && add(document, path, moved);
    }
    case 'copy': {
      const copied = valueAt(document, step.from);
      return copied !== undefined && add(document, path, copy(copied, path.length));
    }
  }
}

/** A list or an object of the copy. */
type Container = JsonValue[] | Record<string, JsonValue>;

function containerAt(document: JsonValue, path: Pointer): Container | undefined {
  const value = valueAt(document, path.slice(0, -1));
  return isJsonArray(value) || isJsonObject(value) ? (value as Container) : undefined;
}

function add(document: JsonValue, path: Pointer, value: JsonValue | undefined): boolean {
  const container = containerAt(document, path);
  const token = path.at(-1) ?? '';
  if (container === undefined || value === undefined) return false;
  if (!Array.isArray(container)) {
    container[token] = value;
    return true;
  }
  const at = token === '-' ? container.length : isIndex(token) ? Number(token) : -1;
  if (at < 0 || at > container.length) return false;
  container.splice(at, 0, value);
  return true;
}

function remove(document: JsonValue, path: Pointer): boolean {
  const container = containerAt(document, path);
  const token = path.at(-1) ?? '';
  if (container === undefined || memberOf(container, token) === undefined) return false;
  if (Array.isArray(container)) container.splice(Number(token), 1);
  else Reflect.deleteProperty(container, token);
  return true;
}

function valueAt(document: JsonValue, path: readonly string[]): JsonValue | undefined {
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

function fault(field: string, problem: string): GatewayError {
  return new GatewayError('invalid_body', `${field} ${problem}`, { fields: [{ field, problem }] });
}
