import { GatewayError } from '../errors.ts';
import type { Interaction, PatchFormat } from './interaction.ts';
import { invalidParameter, type QueryPair } from './target.ts';
import { FHIR_VERSION_PARAMETER, type FhirVersion } from './version.ts';

/**
 * What the answer will be: FHIR JSON, (a Binary read) the bytes with their stored type, FHIR XML and nothing else, or `xml-first`: XML, and
 * JSON where XML cannot be had.
 */
export type AnswerFormat = 'json' | 'raw' | 'xml' | 'xml-first';

/** What a request body is. */
export type BodyFormat = 'json' | 'form';

/** The one value for `Accept` and `Content-Type` that Sluis itself sends for JSON. */
export const FHIR_JSON = 'application/fhir+json';
/** The one value for `Accept` and `Content-Type` that Sluis itself sends for XML. */
export const FHIR_XML = 'application/fhir+xml';
/** The one value for `Content-Type` of a search by POST. */
export const FORM = 'application/x-www-form-urlencoded';

const FHIR_JSON_TYPES: ReadonlySet<string> = new Set(['application/fhir+json', 'application/json+fhir']);
const JSON_TYPES: ReadonlySet<string> = new Set([...FHIR_JSON_TYPES, 'application/json', 'text/json']);
// `json`, and `+` unescaped in a query, which reads as a space: so many clients send it that refusing helps nobody.
const JSON_FORMATS: ReadonlySet<string> = new Set([...JSON_TYPES, 'json', 'application/fhir json', 'application/json fhir']);
const FHIR_XML_TYPES: ReadonlySet<string> = new Set([FHIR_XML, 'application/xml+fhir']);
const XML_TYPES: ReadonlySet<string> = new Set([...FHIR_XML_TYPES, 'application/xml', 'text/xml']);
const XML_FORMATS: ReadonlySet<string> = new Set([...XML_TYPES, 'xml', 'application/fhir xml', 'application/xml fhir']);
const MAX_RANGES = 32;

/** What says in which format an answer is wanted. */
export interface AnswerRequest {
  readonly interaction: Interaction;
  readonly version: FhirVersion;
  /** The tenant's: whether one resource may leave as XML. Default `none`. */
  readonly xml?: 'none' | 'relative';
  /** The header; several joined with commas. */
  readonly accept: string | undefined;
  /** `_format` and `_pretty` are found in here, and in the form of a search. */
  readonly query: readonly QueryPair[];
  readonly form?: readonly QueryPair[];
}

/**
 * Resolves `Accept` and `_format` to one exact format, which is all that the upstream is told. `_format` rules where there is one
 * (http.html, "Content Types and encodings"). XML is for one resource of a tenant that allows it; who takes both as gladly gets JSON.
 * @throws GatewayError `not_acceptable` (406): XML, Turtle, NDJSON, HTML, another FHIR version, or a header of which nothing can be read;
 *   `invalid_parameter` (400): `_format` or `_pretty` twice, or a `_pretty` that is not `true` or `false`
 */
export function resolveAnswerFormat(request: AnswerRequest): AnswerFormat {
  const format = formatParameter(request);
  const { accept, interaction, version } = request;
  const isRead = interaction.kind === 'read' || interaction.kind === 'vread';
  const xml = isRead && request.xml === 'relative';
  if (format !== undefined) {
    if (isFormat(format, JSON_FORMATS, version)) return 'json';
    if (xml && isFormat(format, XML_FORMATS, version)) return 'xml';
    throw notAcceptable(xml);
  }
  const binary = isRead && interaction.type === 'Binary';
  if (accept === undefined || accept === '*/*') return binary ? 'raw' : 'json';
  if (!binary && accept === FHIR_JSON) return 'json';
  const ranges = parseAccept(accept, xml);
  if (ranges === 'none') return binary ? 'raw' : 'json';
  return binary ? binaryFormat(ranges, version, xml) : resourceFormat(ranges, version, xml);
}

function resourceFormat(ranges: readonly MediaRange[], version: FhirVersion, xml: boolean): AnswerFormat {
  const json = jsonQuality(ranges, version);
  const asXml = xml ? quality(ranges, XML_TYPES, version) : 0;
  if (asXml > json) return json > 0 ? 'xml-first' : 'xml';
  if (json > 0) return 'json';
  throw notAcceptable(xml);
}

/** RFC 9110 §12.5.1: the most specific range that matches a type rules for it. */
function jsonQuality(ranges: readonly MediaRange[], version: FhirVersion): number {
  if (ranges.some((range) => JSON_TYPES.has(range.type))) return quality(ranges, JSON_TYPES, version);
  const wide = ranges.find((range) => range.type === 'application/*') ?? ranges.find((range) => range.type === '*/*');
  return wide?.q ?? 0;
}

function quality(ranges: readonly MediaRange[], types: ReadonlySet<string>, version: FhirVersion): number {
  let best = 0;
  for (const range of ranges) if (types.has(range.type) && isVersion(range, version)) best = Math.max(best, range.q);
  return best;
}

// Binary is a resource for those who name FHIR's own type, bytes for all others (real-servers.md §1.4, http.html "Binary").
function binaryFormat(ranges: readonly MediaRange[], version: FhirVersion, xml: boolean): AnswerFormat {
  const json = quality(ranges, FHIR_JSON_TYPES, version);
  const asXml = xml ? quality(ranges, FHIR_XML_TYPES, version) : 0;
  let bytes = 0;
  for (const { type, q } of ranges) if (!FHIR_JSON_TYPES.has(type) && !isOtherFormat(type)) bytes = Math.max(bytes, q);
  if (asXml > json && asXml >= bytes) return json > 0 ? 'xml-first' : 'xml';
  if (json > 0 && json >= bytes) return 'json';
  if (bytes > 0) return 'raw';
  throw notAcceptable(xml);
}

function isOtherFormat(type: string): boolean {
  return FHIR_XML_TYPES.has(type) || type === 'application/fhir+turtle' || type === 'application/fhir+ndjson';
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
// Without the digit before the dot too: a widespread client sends `q=.2` with every request.
const Q = /^(?:0?\.[0-9]{1,3}|0\.?|1(?:\.0{0,3})?)$/;

/**
 * The ranges that can be read; `none` when the header says nothing, which is as if it were absent (RFC 9110 §12.5.1). One that cannot be read is left out:
 * what is acceptable decides nothing about rights.
 * @throws GatewayError `not_acceptable` (406) when there are too many, or none of them can be read
 */
function parseAccept(accept: string, xml: boolean): readonly MediaRange[] | 'none' {
  // RFC 9110 §5.6.1.2: empty list elements are ignored.
  const parts = accept
    .toLowerCase()
    .split(',')
    .filter((part) => trim(part) !== '');
  if (parts.length === 0) return 'none';
  const ranges = parts.length > MAX_RANGES ? [] : parts.flatMap((part) => parseRange(part) ?? []);
  if (ranges.length === 0) throw notAcceptable(xml);
  return ranges;
}

function parseRange(text: string): MediaRange | undefined {
  const [said = '', ...parameters] = text.split(';').map(trim);
  const type = said === '*' ? '*/*' : said;
  const [main = '', sub = '', more] = type.split('/');
  if (!TOKEN.test(main) || !TOKEN.test(sub) || more !== undefined) return undefined;
  let q = 1;
  let fhirVersion: string | undefined;
  for (const parameter of parameters) {
    // RFC 9110 §5.6.6: a semicolon with nothing behind it is allowed.
    if (parameter === '') continue;
    const equals = parameter.indexOf('=');
    const name = parameter.slice(0, equals);
    const value = parameter.slice(equals + 1);
    if (equals === -1 || !TOKEN.test(name)) return undefined;
    if (name === 'q') {
      if (!Q.test(value)) return undefined;
      q = Number(value);
    } else if (name === 'fhirversion') {
      fhirVersion = unquote(value);
    }
  }
  return fhirVersion === undefined ? { type, q } : { type, q, fhirVersion };
}

function formatParameter(request: AnswerRequest): string | undefined {
  const seen = new Map<string, string>();
  for (const pairs of [request.query, request.form ?? []]) {
    for (const { name, value } of pairs) {
      if (name !== '_format' && name !== '_pretty') continue;
      if (seen.has(name)) throw invalidParameter(name, 'occurs twice');
      if (name === '_pretty' && value !== 'true' && value !== 'false') throw invalidParameter(name, 'must be true or false');
      seen.set(name, value);
    }
  }
  return seen.get('_format');
}

function isFormat(format: string, formats: ReadonlySet<string>, version: FhirVersion): boolean {
  const [type = '', parameter, more] = format.toLowerCase().split(';').map(trim);
  if (!formats.has(type) || more !== undefined) return false;
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
  const type = readContentType(contentType, version) ?? '';
  switch (interaction.kind) {
    case 'search-type':
    case 'search-system':
    case 'search-compartment':
      if (type === FORM) return 'form';
      throw unsupported(FORM);
    case 'patch':
    case 'conditional-patch':
      if (interaction.format === 'json-patch' || interaction.format === 'fhirpath-patch') return 'json';
      throw unsupported('application/json-patch+json', ['application/json-patch+json']);
    case 'read':
    case 'vread':
    case 'delete':
    case 'conditional-delete':
    case 'history-instance':
    case 'history-type':
    case 'history-system':
    case 'capabilities':
    case 'options':
      throw unsupported(undefined);
    case 'create':
    case 'update':
    case 'conditional-create':
    case 'conditional-update':
    case 'bundle':
    case 'operation-instance':
    case 'operation-type':
    case 'operation-system':
      if (JSON_BODIES.has(type)) return 'json';
      throw unsupported(FHIR_JSON);
  }
}

/**
 * In what a patch is written, by its `Content-Type`; undefined for what names none. FHIRPath Patch is a `Parameters` resource (patch.html, R4);
 * `application/json` and merge patch say nothing that FHIR knows (attack cases R8, R9).
 */
export function resolvePatchFormat(contentType: string | undefined, version: FhirVersion): PatchFormat | undefined {
  switch (readContentType(contentType, version)) {
    case 'application/json-patch+json':
      return 'json-patch';
    case 'application/xml-patch+xml':
      return 'xml-patch';
    case FHIR_JSON:
      return version === 'R4' ? 'fhirpath-patch' : undefined;
    case undefined:
    default:
      return undefined;
  }
}

function readContentType(contentType: string | undefined, version: FhirVersion): string | undefined {
  if (contentType === undefined) return undefined;
  const [type = '', ...parameters] = contentType.toLowerCase().split(';');
  const seen = new Set<string>();
  for (const text of parameters) {
    const parameter = text.startsWith(' ') ? text.slice(1) : text;
    const name = parameter.slice(0, parameter.indexOf('='));
    const value = unquote(parameter.slice(name.length + 1));
    if (seen.has(name)) return undefined;
    seen.add(name);
    const known =
      (name === 'charset' && value === 'utf-8') || (name === 'fhirversion' && value === FHIR_VERSION_PARAMETER[version]);
    if (!known) return undefined;
  }
  return type;
}

/** By hand: an expression that looks for blanks at the end takes the square of those in the middle. */
function trim(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text.charCodeAt(start))) start += 1;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end -= 1;
  return text.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

function unquote(text: string): string {
  return text.length > 1 && text.startsWith('"') && text.endsWith('"') ? text.slice(1, -1) : text;
}

function notAcceptable(xml = false): GatewayError {
  return new GatewayError('not_acceptable', 'no format that we speak is acceptable', {
    fields: [{ field: 'Accept', problem: `must allow ${FHIR_JSON}${xml ? ` or ${FHIR_XML}` : ''}` }],
  });
}

/** RFC 5789 §2.2: who patches learns in what. */
function unsupported(allowed: string | undefined, acceptPatch?: readonly string[]): GatewayError {
  const problem =
    allowed === undefined ? 'is of no use: there is no body' : `must be ${allowed}, in UTF-8 and of this FHIR version`;
  return new GatewayError('unsupported_media_type', `Content-Type ${problem}`, {
    fields: [{ field: 'Content-Type', problem }],
    ...(acceptPatch === undefined ? {} : { acceptPatch }),
  });
}
