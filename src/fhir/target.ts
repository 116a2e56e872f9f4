import { GatewayError } from '../errors.ts';

/** One `name=value` of a query or form, decoded once. Order is kept; a name may occur again. */
export interface QueryPair {
  readonly name: string;
  readonly value: string;
}

/** A request target read in the only way it can be read. Nothing in it is encoded any more. */
export interface Target {
  readonly segments: readonly string[];
  readonly query: readonly QueryPair[];
}

const MAX_TARGET_BYTES = 4096;
const MAX_SEGMENTS = 32;
const MAX_PAIRS = 100;
const NO_PAIRS: readonly QueryPair[] = Object.freeze([]);

// What may stand in a path as it came, and what an escape in a path may decode to: the characters of types, ids, tenants and
// operations. An upstream may decode a second time (real-servers.md §0.1), so nothing else is ever let through.
const RAW_PATH = table("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~$*!'()+,=:@&");
const DECODED_PATH = table('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~$*');
// RFC 3986 §3.4, and the bar, which every FHIR client sends as it is (`identifier=system|value`).
const RAW_QUERY = table("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~$*!'()+,=:@&/?;|");

/**
 * Reads a request target in origin form (`/a/fhir/Task/1?x=y`), decoding percent-escapes exactly once.
 *
 * @param raw what stands in the request line, untouched
 * @param baseSegments how many segments the FHIR base has: directly after it, and nowhere else, one slash may end the path,
 *   because FHIR writes system-level requests `[base]/?…`
 * @throws GatewayError `invalid_target`, `invalid_parameter` (400), `target_too_long` (414)
 */
export function parseTarget(raw: string, baseSegments = 2): Target {
  if (raw.length > MAX_TARGET_BYTES) throw new GatewayError('target_too_long', `target of ${String(raw.length)} bytes`);
  // Absolute form, authority form and `*` name something else than a path of ours (RFC 9112 §3.2).
  if (raw.charCodeAt(0) !== 0x2f) throw invalidTarget('is not in origin form');
  const mark = raw.indexOf('?');
  const path = mark === -1 ? raw : raw.slice(0, mark);
  return { segments: parsePath(path, baseSegments), query: mark === -1 ? NO_PAIRS : parseQuery(raw.slice(mark + 1)) };
}

function parsePath(path: string, baseSegments: number): readonly string[] {
  const segments = path.split('/');
  segments.shift();
  if (segments.length > MAX_SEGMENTS) throw new GatewayError('target_too_long', `path of ${String(segments.length)} segments`);
  if (segments.at(-1) === '' && segments.length === baseSegments + 1) segments.pop();
  for (let index = 0; index < segments.length; index += 1) {
    segments[index] = parseSegment(segments[index] ?? '');
  }
  return segments;
}

function parseSegment(raw: string): string {
  let escaped = false;
  for (let index = 0; index < raw.length; index += 1) {
    const code = raw.charCodeAt(index);
    if (code === 0x25) escaped = true;
    else if (RAW_PATH[code] !== 1) throw invalidTarget('has a character that a path cannot have');
  }
  const segment = escaped ? unescapeSegment(raw) : raw;
  if (segment === '') throw invalidTarget('has an empty segment');
  if (segment === '.' || segment === '..') throw invalidTarget('has a dot segment');
  return segment;
}

function unescapeSegment(raw: string): string {
  let text = '';
  for (let index = 0; index < raw.length; index += 1) {
    if (raw.charCodeAt(index) !== 0x25) {
      text += raw.charAt(index);
      continue;
    }
    const code = hexByte(raw, index + 1);
    // %2F, %5C, %00, %25, %3B and everything that is not ASCII.
    if (code === -1 || DECODED_PATH[code] !== 1) throw invalidTarget('has an escape that a path cannot have');
    text += String.fromCharCode(code);
    index += 2;
  }
  return text;
}

/**
 * Reads a query or a form body (`application/x-www-form-urlencoded`) as a flat list: no brackets, no objects, `+` is a space.
 *
 * @throws GatewayError `invalid_parameter` (400): no `=`, empty name or value, bad escape, not UTF-8, control character, more than
 *   100 pairs, or an `access_token` (RFC 6750 §2.3: never in a URI); the value is never in the message
 */
export function parseQuery(raw: string): readonly QueryPair[] {
  if (raw === '') return NO_PAIRS;
  const pairs: QueryPair[] = [];
  let start = 0;
  while (start <= raw.length) {
    let end = raw.indexOf('&', start);
    if (end === -1) end = raw.length;
    if (pairs.length === MAX_PAIRS) throw invalidParameter('query', `has more than ${String(MAX_PAIRS)} parameters`);
    pairs.push(parsePair(raw, start, end));
    start = end + 1;
  }
  return pairs;
}

function parsePair(raw: string, start: number, end: number): QueryPair {
  let equals = -1;
  for (let index = start; index < end; index += 1) {
    const code = raw.charCodeAt(index);
    if (code === 0x3d && equals === -1) equals = index;
    else if (code !== 0x25 && RAW_QUERY[code] !== 1) throw invalidParameter('query', 'has a character that must be escaped');
  }
  // A server may take a name without value for "no restriction" (real-servers.md §1.1.7).
  if (equals === -1) throw invalidParameter('query', 'has a parameter without "="');
  const name = decodeForm(raw.slice(start, equals));
  if (name === '') throw invalidParameter('query', 'has a parameter without a name');
  if (name.toLowerCase() === 'access_token')
    throw invalidParameter('access_token', 'a token belongs in the Authorization header');
  const value = decodeForm(raw.slice(equals + 1, end));
  if (value === '') throw invalidParameter('query', 'has a parameter without a value');
  return { name, value };
}

function decodeForm(raw: string): string {
  if (!raw.includes('%') && !raw.includes('+')) return raw;
  let text: string;
  try {
    text = decodeURIComponent(raw.replaceAll('+', ' '));
  } catch (cause) {
    throw new GatewayError('invalid_parameter', 'query has an escape that is not UTF-8', {
      cause,
      fields: [{ field: 'query', problem: 'has a malformed escape' }],
    });
  }
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code < 0x20 || code === 0x7f) throw invalidParameter('query', 'has a control character');
  }
  return text;
}

/** Prints pairs as a query or form body, the one canonical way: everything but RFC 3986's unreserved characters is escaped. */
export function printQuery(pairs: Iterable<QueryPair>): string {
  let text = '';
  for (const { name, value } of pairs) {
    text += `${text === '' ? '' : '&'}${encode(name)}=${encode(value)}`;
  }
  return text;
}

function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`);
}

function hexByte(text: string, index: number): number {
  const digits = text.slice(index, index + 2);
  return /^[0-9A-Fa-f]{2}$/.test(digits) ? Number.parseInt(digits, 16) : -1;
}

function table(characters: string): Uint8Array {
  const allowed = new Uint8Array(128);
  for (const character of characters) allowed[character.charCodeAt(0)] = 1;
  return allowed;
}

function invalidTarget(problem: string): GatewayError {
  return new GatewayError('invalid_target', `request target ${problem}`, { fields: [{ field: 'path', problem }] });
}

/** The refusal of a parameter: which one (nothing of its value), and what is wrong or allowed. */
export function invalidParameter(field: string, problem: string): GatewayError {
  return new GatewayError('invalid_parameter', `${field} ${problem}`, { fields: [{ field, problem }] });
}
