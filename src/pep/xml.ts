import { GatewayError } from '../errors.ts';
import { createBaseMatcher } from './base-matcher.ts';

/** Looks through XML as it passes: bytes in, the same bytes out. */
export interface XmlScanner {
  /**
   * What may leave of the stream so far; what may be the beginning of something forbidden is kept back.
   * @throws GatewayError `upstream_failed` at the first thing that may not leave; nothing of it has
   */
  push(chunk: Buffer): Buffer;
  /** The rest. @throws GatewayError as `push`, and for a character that is not whole */
  end(): Buffer;
}

/** Reasons of an answer that is cut off for what it holds. */
export const XML_FAULTS: ReadonlySet<string> = new Set(['xml_names_the_server', 'xml_forbidden_markup', 'xml_unreadable']);

const EMPTY = Buffer.alloc(0);
const AMPERSAND = 0x26;
const SEMICOLON = 0x3b;
const LESS = 0x3c;
const EXCLAMATION = 0x21;
const QUESTION = 0x3f;
/** Longer than any reference needs to be, leading zeros and all. */
const MAX_REFERENCE = 32;
/** Longer than any spelling of a base that is a spelling and no game. */
const MAX_KEPT_BYTES = 16_384;

/**
 * Creates a scanner of the text after the XML declaration. What it looks at is the text as a reader has it, character and entity references
 * resolved, attributes and elements alike (`base-matcher.ts` then sees through percent forms). Markup that FHIR has no need of, and that could
 * hide or fetch something, ends the stream: DTDs, CDATA sections, comments, processing instructions (xml.html). So does what is not UTF-8, and
 * a reference that an XML reader without a DTD does not know: two readers could see two things in it.
 */
export function createXmlScanner(base: string): XmlScanner {
  const matcher = createBaseMatcher(base);
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const isPlain = Uint8Array.from({ length: 256 }, (_each, byte) =>
    byte === AMPERSAND || byte === LESS || isForbiddenControl(byte) || matcher.canStart(byte) ? 0 : 1,
  );
  /** Where `kept` begins in the stream. */
  let offset = 0;
  let kept: Buffer = EMPTY;
  let reference: { readonly start: number; text: string } | undefined;
  let less: number | undefined;

  const look = (byte: number, start: number): void => {
    if (matcher.feed(byte, start)) throw fault('xml_names_the_server', 'the address of the FHIR server');
    const pending = matcher.pending();
    if (pending !== undefined && start - pending > MAX_KEPT_BYTES) throw fault('xml_unreadable', 'an endless spelling');
  };

  const step = (byte: number, at: number): void => {
    if (isForbiddenControl(byte)) throw fault('xml_unreadable', 'a control character');
    if (reference !== undefined) {
      if (byte === SEMICOLON) {
        for (const each of resolve(reference.text)) look(each, reference.start);
        reference = undefined;
      } else if (reference.text.length === MAX_REFERENCE) throw badReference();
      else reference.text += String.fromCharCode(byte);
      return;
    }
    if (less !== undefined) {
      if (byte === EXCLAMATION || byte === QUESTION)
        throw fault('xml_forbidden_markup', 'a DTD, a CDATA section, a comment or a processing instruction');
      less = undefined;
    }
    if (byte === AMPERSAND) {
      reference = { start: at, text: '' };
      return;
    }
    if (byte === LESS) less = at;
    look(byte, at);
  };

  const push = (chunk: Buffer): Buffer => {
    decode(() => decoder.decode(chunk, { stream: true }));
    const buffer = kept.length === 0 ? chunk : Buffer.concat([kept, chunk]);
    let at = kept.length;
    while (at < buffer.length) {
      // Most of a resource is no beginning of anything.
      if (reference === undefined && less === undefined && matcher.pending() === undefined)
        while (at < buffer.length && isPlain[buffer[at] ?? 0] === 1) at += 1;
      if (at < buffer.length) step(buffer[at] ?? 0, offset + at);
      at += 1;
    }
    const hold =
      Math.min(reference?.start ?? Infinity, less ?? Infinity, matcher.pending() ?? Infinity, offset + buffer.length) - offset;
    kept = buffer.subarray(hold);
    offset += hold;
    return buffer.subarray(0, hold);
  };

  return {
    push,
    end: () => {
      decode(() => decoder.decode());
      if (reference !== undefined) throw badReference();
      if (matcher.end()) throw fault('xml_names_the_server', 'the address of the FHIR server');
      const rest = kept;
      kept = EMPTY;
      return rest;
    },
  };
}

function decode(read: () => string): void {
  try {
    read();
  } catch (cause) {
    throw fault('xml_unreadable', 'bytes that are not UTF-8', cause);
  }
}

/** XML 1.0 §2.2: of the control characters tab, line feed and carriage return only. */
function isForbiddenControl(byte: number): boolean {
  return byte < 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d;
}

// XML 1.0 §4.6: those that are known without a DTD.
const ENTITIES: ReadonlyMap<string, string> = new Map([
  ['amp', '&'],
  ['lt', '<'],
  ['gt', '>'],
  ['quot', '"'],
  ['apos', "'"],
]);

/** The bytes that a reference stands for. */
function resolve(text: string): Uint8Array {
  const entity = ENTITIES.get(text);
  if (entity !== undefined) return Buffer.from(entity);
  const match = /^#(?:x([0-9A-Fa-f]+)|([0-9]+))$/.exec(text);
  const [, hex, decimal] = match ?? [];
  const code = hex === undefined ? Number.parseInt(decimal ?? '', 10) : Number.parseInt(hex, 16);
  if (!isXmlCharacter(code)) throw badReference();
  return Buffer.from(String.fromCodePoint(code));
}

/** XML 1.0 §2.2. */
function isXmlCharacter(code: number): boolean {
  if (code < 0x20) return code === 0x09 || code === 0x0a || code === 0x0d;
  return code <= 0xd7ff || (code >= 0xe000 && code <= 0xfffd) || (code >= 0x10000 && code <= 0x10ffff);
}

function badReference(): GatewayError {
  return fault('xml_unreadable', 'a reference that XML without a DTD does not know');
}

function fault(reason: string, what: string, cause?: unknown): GatewayError {
  return new GatewayError('upstream_failed', `the XML of the FHIR server has ${what}`, {
    reason,
    ...(cause === undefined ? {} : { cause }),
  });
}

/** The resource that was asked for, and the base that may not occur in it. */
export interface ExpectedXml {
  readonly type: string;
  readonly id: string;
  readonly base: string;
}

/** Within this much the resource must have said what it is. */
const MAX_HEAD_BYTES = 8_192;
const DECLARATION =
  /^(?:\xef\xbb\xbf)?(?:<\?xml[ \t\r\n]+version[ \t\r\n]*=[ \t\r\n]*(?:"1\.0"|'1\.0')(?:[ \t\r\n]+encoding[ \t\r\n]*=[ \t\r\n]*(?:"utf-8"|'utf-8'))?(?:[ \t\r\n]+standalone[ \t\r\n]*=[ \t\r\n]*(?:"(?:yes|no)"|'(?:yes|no)'))?[ \t\r\n]*\?>)?/i;
const START =
  /^[ \t\r\n]*<([A-Z][A-Za-z]*)((?:[ \t\r\n]+[A-Za-z_:][A-Za-z0-9_:.-]*[ \t\r\n]*=[ \t\r\n]*(?:"[^"<]*"|'[^'<]*'))*)[ \t\r\n]*>[ \t\r\n]*<id[ \t\r\n]+value[ \t\r\n]*=[ \t\r\n]*(?:"([^"<&]*)"|'([^'<&]*)')[ \t\r\n]*\/?>/;
const FHIR_NAMESPACE = /[ \t\r\n]xmlns[ \t\r\n]*=[ \t\r\n]*["']http:\/\/hl7\.org\/fhir["']/;

/**
 * A resource in XML as it passes: UTF-8, of FHIR's namespace, the one that was asked for (its `id` is its first element; attack case X9), and
 * scanned to its end.
 * @throws GatewayError `upstream_failed`, before the byte that may not leave
 */
export async function* plainXml(body: AsyncIterable<Buffer>, expected: ExpectedXml): AsyncIterable<Buffer> {
  const scanner = createXmlScanner(expected.base);
  let head: Buffer = EMPTY;
  let isKnown = false;
  for await (const chunk of body) {
    if (isKnown) {
      const bytes = scanner.push(chunk);
      if (bytes.length > 0) yield bytes;
      continue;
    }
    head = head.length === 0 ? chunk : Buffer.concat([head, chunk]);
    const declarationLength = readHead(head, expected);
    if (declarationLength === undefined) {
      if (head.length > MAX_HEAD_BYTES) throw judgeUnknown(head, scanner);
      continue;
    }
    isKnown = true;
    yield Buffer.concat([head.subarray(0, declarationLength), scanner.push(head.subarray(declarationLength))]);
  }
  if (!isKnown) throw judgeUnknown(head, scanner);
  const rest = scanner.end();
  if (rest.length > 0) yield rest;
}

/** The length of mark and declaration; undefined as long as the resource that was asked for has not shown itself. */
function readHead(head: Buffer, { type, id }: ExpectedXml): number | undefined {
  const text = head.toString('latin1', 0, MAX_HEAD_BYTES);
  const declaration = DECLARATION.exec(text)?.[0] ?? '';
  const start = START.exec(text.slice(declaration.length));
  if (start === null) return undefined;
  const [, name, attributes = '', double, single] = start;
  if (name !== type || (double ?? single) !== id || !FHIR_NAMESPACE.test(attributes)) return undefined;
  return declaration.length;
}

/** Why what came is not the resource that was asked for. */
function judgeUnknown(head: Buffer, scanner: XmlScanner): GatewayError {
  const text = head.toString('latin1', 0, MAX_HEAD_BYTES);
  const declaration = DECLARATION.exec(text)?.[0] ?? '';
  if (declaration === '' && /^(?:\xef\xbb\xbf)?<\?xml[ \t\r\n]/.test(text)) {
    return fault('xml_unreadable', 'a declaration of another version or encoding than 1.0 and UTF-8');
  }
  try {
    scanner.push(head.subarray(declaration.length));
  } catch (error) {
    if (error instanceof GatewayError) return error;
    throw error;
  }
  return new GatewayError('upstream_failed', 'the FHIR server answered with another resource', {
    reason: 'upstream_other_resource',
  });
}
