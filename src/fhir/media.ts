import { GatewayError } from '../errors.ts';
import type { Interaction } from './interaction.ts';
import type { QueryPair } from './target.ts';
import { FHIR_VERSION_PARAMETER, type FhirVersion } from './version.ts';

/** What the answer will be: FHIR JSON, or (a Binary read) the bytes with their stored type. */
export type AnswerFormat = 'json' | 'raw';

/** What a request body is. */
export type BodyFormat = 'json' | 'form' | 'json-patch';

/** The one value for `Accept` and `Content-Type` that Sluis itself sends for JSON. */
export const FHIR_JSON = 'application/fhir+json';
/** The one value for `Content-Type` of a search by POST. */
export const FORM = 'application/x-www-form-urlencoded';

const FHIR_JSON_TYPES: ReadonlySet<string> = new Set(['application/fhir+json', 'application/json+fhir']);
const JSON_TYPES: ReadonlySet<string> = new Set([...FHIR_JSON_TYPES, 'application/json', 'text/json']);
// `json`, and `+` unescaped in a query, which reads as a space: so many clients send it that refusing helps nobody.
const JSON_FORMATS: ReadonlySet<string> = new Set([...JSON_TYPES, 'json', 'application/fhir json', 'application/json fhir']);
const MAX_RANGES = 32;

export interface AnswerRequest {
  readonly interaction: Interaction;
  readonly version: FhirVersion;
  /** The header; several joined with commas. */
  readonly accept: string | undefined;
  /** `_format` and `_pretty` are found in here, and in the form of a search. */
  readonly query: readonly QueryPair[];
  readonly form?: readonly QueryPair[];
}

/**
 * Resolves `Accept` and `_format` to one exact format, which is all that the upstream is told. `_format` rules where there is one
 * (http.html, "Content Types and encodings").
 * @throws GatewayError `not_acceptable` (406): XML, Turtle, NDJSON, HTML, another FHIR version, or a header that cannot be read;
 *   `invalid_parameter` (400): `_format` twice, or a `_pretty` that is not `true` or `false`
 */
export function resolveAnswerFormat(request: AnswerRequest): AnswerFormat {
  const format = formatParameter(request);
  if (format !== undefined) {
    if (isJsonFormat(format, request.version)) return 'json';
    throw notAcceptable();
  }
  const { accept, interaction } = request;
  const binary = (interaction.kind === 'read' || interaction.kind === 'vread') && interaction.type === 'Binary';
  if (accept === undefined || accept === '*/*') return binary ? 'raw' : 'json';
  if (!binary && accept === FHIR_JSON) return 'json';
  const ranges = parseAccept(accept);
  return binary ? binaryFormat(ranges, request.version) : jsonFormat(ranges, request.version);
}

function jsonFormat(ranges: readonly MediaRange[], version: FhirVersion): AnswerFormat {
  // RFC 9110 §12.5.1: the most specific range that matches a type rules for it.
  const exact = ranges.filter((range) => JSON_TYPES.has(range.type));
  if (exact.length > 0) {
    if (exact.some((range) => range.q > 0 && isVersion(range, version))) return 'json';
    throw notAcceptable();
  }
  const wide = ranges.find((range) => range.type === 'application/*') ?? ranges.find((range) => range.type === '*/*');
  if (wide === undefined || wide.q === 0) throw notAcceptable();
  return 'json';
}

// Binary is a resource for those who name FHIR's own type, bytes for all others (real-servers.md §1.4, http.html "Binary").
function binaryFormat(ranges: readonly MediaRange[], version: FhirVersion): AnswerFormat {
  let resource = 0;
  let bytes = 0;
  for (const range of ranges) {
    if (FHIR_JSON_TYPES.has(range.type)) {
      if (isVersion(range, version)) resource = Math.max(resource, range.q);
    } else if (!isOtherFormat(range.type)) {
      bytes = Math.max(bytes, range.q);
    }
  }
  if (resource > 0 && resource >= bytes) return 'json';
  if (bytes > 0) return 'raw';
  throw notAcceptable();
}

function isOtherFormat(type: string): boolean {
  return (
    type === 'application/fhir+xml' ||
    type === 'application/xml+fhir' ||
    type === 'application/fhir+turtle' ||
    type === 'application/fhir+ndjson'
  );
}

interface MediaRange {
  readonly type: string;
  readonly q: number;
  readonly fhirVersion?: string;
}

function isVersion(range: MediaRange, version: FhirVersion): boolean {
  return range.fhirVersion === undefined || range.fhirVersion === FHIR_VERSION_PARAMETER[version];
}

const TOKEN = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;
const Q = /^(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)$/;

function parseAccept(accept: string): readonly MediaRange[] {
  // RFC 9110 §5.6.1.2: empty list elements are ignored.
  const parts = accept
    .toLowerCase()
    .split(',')
    .filter((part) => trim(part) !== '');
  if (parts.length > MAX_RANGES) throw notAcceptable();
  return parts.map(parseRange);
}

function parseRange(text: string): MediaRange {
  const [type = '', ...parameters] = text.split(';').map(trim);
  const [main = '', sub = '', more] = type.split('/');
  if (!TOKEN.test(main) || !TOKEN.test(sub) || more !== undefined) throw notAcceptable();
  let q = 1;
  let fhirVersion: string | undefined;
  for (const parameter of parameters) {
    const equals = parameter.indexOf('=');
    const name = parameter.slice(0, equals);
    const value = parameter.slice(equals + 1);
    if (equals === -1 || !TOKEN.test(name)) throw notAcceptable();
    if (name === 'q') {
      if (!Q.test(value)) throw notAcceptable();
      q = Number(value);
    } else if (name === 'fhirversion') {
      fhirVersion = unquote(value);
    }
  }
  return fhirVersion === undefined ? { type, q } : { type, q, fhirVersion };
}

function formatParameter(request: AnswerRequest): string | undefined {
  let format: string | undefined;
  for (const pairs of [request.query, request.form ?? []]) {
    for (const { name, value } of pairs) {
      if (name === '_format') {
        if (format !== undefined) throw invalidParameter('_format', 'occurs twice');
        format = value;
      } else if (name === '_pretty' && value !== 'true' && value !== 'false') {
        throw invalidParameter('_pretty', 'must be true or false');
      }
    }
  }
  return format;
}

function isJsonFormat(format: string, version: FhirVersion): boolean {
  const [type = '', parameter, more] = format.toLowerCase().split(';').map(trim);
  if (!JSON_FORMATS.has(type) || more !== undefined) return false;
  return (
    parameter === undefined || parameter === 'charset=utf-8' || parameter === `fhirversion=${FHIR_VERSION_PARAMETER[version]}`
  );
}

const JSON_BODIES: ReadonlySet<string> = new Set(['application/fhir+json', 'application/json', 'application/json+fhir']);

/**
 * Says what the body of an interaction is, from its `Content-Type`, read so that no other reader can see another type in it: an allowed
 * type, then at most `; charset=utf-8` and `; fhirVersion=…`.
 * @throws GatewayError `unsupported_media_type` (415) for everything else: XML, none, another charset, stray blanks, a type that is not
 *   this interaction's
 */
export function resolveBodyFormat(contentType: string | undefined, interaction: Interaction, version: FhirVersion): BodyFormat {
  const type = parseContentType(contentType, version);
  switch (interaction.kind) {
    case 'search-type':
    case 'search-system':
    case 'search-compartment':
      if (type === FORM) return 'form';
      break;
    case 'patch':
    case 'conditional-patch':
      // FHIRPath patch is a Parameters resource; R4 patch.html. `application/json` says neither (attack case R9).
      if (type === 'application/json-patch+json') return 'json-patch';
      if (type === FHIR_JSON && version === 'R4') return 'json';
      break;
    case 'read':
    case 'vread':
    case 'delete':
    case 'conditional-delete':
    case 'history-instance':
    case 'history-type':
    case 'history-system':
    case 'capabilities':
    case 'options':
      break;
    case 'create':
    case 'update':
    case 'conditional-create':
    case 'conditional-update':
    case 'bundle':
    case 'operation-instance':
    case 'operation-type':
    case 'operation-system':
      if (JSON_BODIES.has(type)) return 'json';
      break;
  }
  throw unsupported();
}

function parseContentType(contentType: string | undefined, version: FhirVersion): string {
  if (contentType === undefined) throw unsupported();
  const [type = '', ...parameters] = contentType.toLowerCase().split(';');
  const seen = new Set<string>();
  for (const text of parameters) {
    const parameter = text.startsWith(' ') ? text.slice(1) : text;
    const name = parameter.slice(0, parameter.indexOf('='));
    const value = unquote(parameter.slice(name.length + 1));
    if (seen.has(name)) throw unsupported();
    seen.add(name);
    const known =
      (name === 'charset' && value === 'utf-8') || (name === 'fhirversion' && value === FHIR_VERSION_PARAMETER[version]);
    if (!known) throw unsupported();
  }
  return type;
}

function trim(text: string): string {
  return text.replace(/^[ \t]+|[ \t]+$/g, '');
}

function unquote(text: string): string {
  return text.length > 1 && text.startsWith('"') && text.endsWith('"') ? text.slice(1, -1) : text;
}

function notAcceptable(): GatewayError {
  return new GatewayError('not_acceptable', 'no format that we speak is acceptable', {
    fields: [{ field: 'Accept', problem: `must allow ${FHIR_JSON}` }],
  });
}

function unsupported(): GatewayError {
  return new GatewayError('unsupported_media_type', 'content type is not one of this interaction', {
    fields: [{ field: 'Content-Type', problem: 'is not one that this interaction takes' }],
  });
}

function invalidParameter(field: string, problem: string): GatewayError {
  return new GatewayError('invalid_parameter', `${field} ${problem}`, { fields: [{ field, problem }] });
}
