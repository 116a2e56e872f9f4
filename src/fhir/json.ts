import { GatewayError } from '../errors.ts';

declare global {
  interface JSON {
    /** Text that `JSON.stringify` prints as it is (ECMAScript proposal json-parse-with-source; in Node since 22). */
    rawJSON(text: string): unknown;
  }
}

/** Any JSON value as `parseJson` gives it. */
export type JsonValue = null | boolean | number | string | JsonNumber | readonly JsonValue[] | JsonObject;

/** A JSON object: without prototype, so that no name finds anything that was not sent. */
export interface JsonObject {
  readonly [name: string]: JsonValue;
}

/**
 * A number whose text would not survive JavaScript: `1.50`, `1e400`, thirty digits. FHIR: the precision of a decimal has meaning
 * (datatypes.html#decimal). Also `JSON.stringify` prints the text.
 */
export class JsonNumber {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  toJSON(): unknown {
    return JSON.rawJSON(this.text);
  }
}

const MAX_DEPTH = 64;
/** A longer name is read as any string. */
const MAX_NAME = 40;
/** Names of letters, by a hash of theirs; a newer one takes the place of an older. A power of two. */
const KNOWN_NAMES: string[] = new Array<string>(1024).fill('');
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Parses JSON so that no other parser can read something else in it.
 *
 * @throws GatewayError `invalid_body` (400) with the position, never the content: not UTF-8, a byte order mark, a repeated member, a
 *   member `__proto__`, `constructor` or `prototype`, more than `maxDepth` (64) levels, a lone surrogate, NUL, anything before or after the value
 */
export function parseJson(bytes: Uint8Array, maxDepth = MAX_DEPTH): JsonValue {
  let text: string;
  try {
    text = UTF8.decode(bytes);
  } catch (cause) {
    throw new GatewayError('invalid_body', 'body is not UTF-8', { cause, fields: [{ field: 'body', problem: 'is not UTF-8' }] });
  }
  return parseJsonText(text, maxDepth);
}

/** `parseJson` for text that is decoded already (a member that holds JSON, a stored value). */
export function parseJsonText(text: string, maxDepth = MAX_DEPTH): JsonValue {
  const reader = new Reader(text, maxDepth);
  const value = reader.value(reader.blank(0), 0);
  const end = reader.blank(reader.position);
  if (end !== text.length) throw reader.fault('something after the value', end);
  return value;
}

/** Parses a JSON object, such as a resource. @throws GatewayError `invalid_body` as `parseJson`, or when it is no object */
export function parseJsonObject(bytes: Uint8Array, maxDepth = MAX_DEPTH): JsonObject {
  const value = parseJson(bytes, maxDepth);
  if (!isJsonObject(value)) {
    throw new GatewayError('invalid_body', 'body is not a JSON object', {
      fields: [{ field: 'body', problem: 'is not a JSON object' }],
    });
  }
  return value;
}

/** Whether a value is a JSON object (and not an array or a number that kept its text). */
export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof JsonNumber);
}

/** Whether a value is a JSON array (`Array.isArray` loses what is in it). */
export function isJsonArray(value: JsonValue | undefined): value is readonly JsonValue[] {
  return Array.isArray(value);
}

/** Prints a value; numbers as they were written. */
export function printJson(value: JsonValue): string {
  return JSON.stringify(value);
}

/** A reader of one text. Each method takes where to begin and leaves `position` behind what it read. */
class Reader {
  readonly #text: string;
  readonly #maxDepth: number;
  position = 0;

  constructor(text: string, maxDepth: number) {
    this.#text = text;
    this.#maxDepth = maxDepth;
  }

  value(start: number, depth: number): JsonValue {
    switch (this.#text.charCodeAt(start)) {
      case 0x22: // "
        return this.#string(start);
      case 0x7b: // {
        return this.#object(start, depth + 1);
      case 0x5b: // [
        return this.#array(start, depth + 1);
      case 0x74: // t
        return this.#word(start, 'true', true);
      case 0x66: // f
        return this.#word(start, 'false', false);
      case 0x6e: // n
        return this.#word(start, 'null', null);
      default:
        return this.#number(start);
    }
  }

  /** The first position from `start` that is no white space (RFC 8259 §2). */
  blank(start: number): number {
    const text = this.#text;
    let at = start;
    for (;;) {
      const code = text.charCodeAt(at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return at;
      at += 1;
    }
  }

  fault(problem: string, at: number): GatewayError {
    const where = `has ${problem} at character ${String(at)}`;
    return new GatewayError('invalid_body', `JSON ${where}`, { fields: [{ field: 'body', problem: where }] });
  }

  #object(start: number, depth: number): JsonObject {
    if (depth > this.#maxDepth) throw this.fault('too many levels', start);
    const object: Record<string, JsonValue> = { __proto__: null };
    let at = this.blank(start + 1);
    if (this.#text.charCodeAt(at) === 0x7d) {
      this.position = at + 1;
      return object;
    }
    for (;;) {
      if (this.#text.charCodeAt(at) !== 0x22) throw this.fault('no member name', at);
      const name = this.#name(at);
      if (name in object) throw this.fault('a repeated member', at);
      if (name === '__proto__' || name === 'constructor' || name === 'prototype')
        throw this.fault('a member that is not FHIR', at);
      at = this.blank(this.position);
      if (this.#text.charCodeAt(at) !== 0x3a) throw this.fault('no colon', at);
      object[name] = this.value(this.blank(at + 1), depth);
      at = this.blank(this.position);
      const code = this.#text.charCodeAt(at);
      if (code === 0x7d) {
        this.position = at + 1;
        return object;
      }
      if (code !== 0x2c) throw this.fault('no comma', at);
      at = this.blank(at + 1);
    }
  }

  /** A member's name: as `#string`, but one of letters only is mostly one that was seen before, and need not be made anew. */
  #name(start: number): string {
    const text = this.#text;
    let at = start + 1;
    let hash = 0;
    for (;;) {
      const code = text.charCodeAt(at);
      if (code === 0x22) break;
      const letter = code | 0x20;
      if (!((letter >= 0x61 && letter <= 0x7a && code < 0x80) || code === 0x5f) || at - start > MAX_NAME)
        return this.#string(start);
      hash = (Math.imul(hash, 31) + code) | 0;
      at += 1;
    }
    this.position = at + 1;
    const slot = hash & (KNOWN_NAMES.length - 1);
    const known = KNOWN_NAMES[slot] ?? '';
    if (known.length === at - start - 1 && text.startsWith(known, start + 1)) return known;
    const name = text.slice(start + 1, at);
    KNOWN_NAMES[slot] = name;
    return name;
  }

  #array(start: number, depth: number): readonly JsonValue[] {
    if (depth > this.#maxDepth) throw this.fault('too many levels', start);
    const array: JsonValue[] = [];
    let at = this.blank(start + 1);
    if (this.#text.charCodeAt(at) === 0x5d) {
      this.position = at + 1;
      return array;
    }
    for (;;) {
      array.push(this.value(at, depth));
      at = this.blank(this.position);
      const code = this.#text.charCodeAt(at);
      if (code === 0x5d) {
        this.position = at + 1;
        return array;
      }
      if (code !== 0x2c) throw this.fault('no comma', at);
      at = this.blank(at + 1);
    }
  }

  #string(start: number): string {
    const text = this.#text;
    let at = start + 1;
    let from = at;
    let read = '';
    for (;;) {
      const code = text.charCodeAt(at);
      if (code === 0x22) {
        this.position = at + 1;
        return read === '' ? text.slice(from, at) : read + text.slice(from, at);
      }
      if (code === 0x5c) {
        read += text.slice(from, at);
        read += this.#escape(at);
        at = from = this.position;
      } else if (code >= 0x20 && (code < 0xd800 || code > 0xdfff)) {
        at += 1;
      } else if (code >= 0xd800 && code <= 0xdbff && isLow(text.charCodeAt(at + 1))) {
        at += 2;
      } else {
        // NaN, the end of the text, comes here too.
        throw this.fault(code < 0x20 ? 'a control character' : code > 0x20 ? 'a lone surrogate' : 'no end of a string', at);
      }
    }
  }

  #escape(start: number): string {
    this.position = start + 2;
    switch (this.#text.charCodeAt(start + 1)) {
      case 0x22:
        return '"';
      case 0x5c:
        return '\\';
      case 0x2f:
        return '/';
      case 0x62:
        return '\b';
      case 0x66:
        return '\f';
      case 0x6e:
        return '\n';
      case 0x72:
        return '\r';
      case 0x74:
        return '\t';
      case 0x75:
        return this.#unicode(start);
      default:
        throw this.fault('an unknown escape', start);
    }
  }

  #unicode(start: number): string {
    const code = this.#hex(start + 2);
    this.position = start + 6;
    if (code === 0) throw this.fault('a NUL', start);
    if (code < 0xd800 || code > 0xdfff) return String.fromCharCode(code);
    // A pair is written as two escapes; every other surrogate is a lone one.
    if (code > 0xdbff || this.#text.charCodeAt(start + 6) !== 0x5c || this.#text.charCodeAt(start + 7) !== 0x75) {
      throw this.fault('a lone surrogate', start);
    }
    const low = this.#hex(start + 8);
    if (!isLow(low)) throw this.fault('a lone surrogate', start);
    this.position = start + 12;
    return String.fromCharCode(code, low);
  }

  #hex(start: number): number {
    const digits = this.#text.slice(start, start + 4);
    if (!/^[0-9A-Fa-f]{4}$/.test(digits)) throw this.fault('an unknown escape', start);
    return Number.parseInt(digits, 16);
  }

  #number(start: number): number | JsonNumber {
    const text = this.#text;
    let at = start;
    if (text.charCodeAt(at) === 0x2d) at += 1;
    const whole = at;
    at = this.#digits(at);
    if (text.charCodeAt(whole) === 0x30 && at > whole + 1) throw this.fault('a number that begins with zero', start);
    if (text.charCodeAt(at) === 0x2e) at = this.#digits(at + 1);
    const exponent = text.charCodeAt(at);
    if (exponent === 0x65 || exponent === 0x45) {
      const sign = text.charCodeAt(at + 1);
      at = this.#digits(sign === 0x2b || sign === 0x2d ? at + 2 : at + 1);
    }
    this.position = at;
    const written = text.slice(start, at);
    const number = Number(written);
    return String(number) === written ? number : new JsonNumber(written);
  }

  #digits(start: number): number {
    const text = this.#text;
    let at = start;
    for (;;) {
      const code = text.charCodeAt(at);
      if (!(code >= 0x30 && code <= 0x39)) break;
      at += 1;
    }
    if (at === start) throw this.fault('no value', start);
    return at;
  }

  #word<T extends boolean | null>(start: number, word: string, value: T): T {
    if (!this.#text.startsWith(word, start)) throw this.fault('no value', start);
    this.position = start + word.length;
    return value;
  }
}

function isLow(code: number): boolean {
  return code >= 0xdc00 && code <= 0xdfff;
}
