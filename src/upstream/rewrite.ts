/** What is rewritten to what. */
export interface Bases {
  /** The custodian's FHIR base, no trailing slash. */
  readonly upstream: string;
  /** Ours, by which others know it, no trailing slash. */
  readonly public: string;
}

/** Rewrites a body as it passes: bytes in, bytes out. */
export interface Rewriter {
  /** What can be said of the body so far; the end of the chunk may be kept back. */
  push(chunk: Buffer): Buffer;
  /** The rest. */
  end(): Buffer;
}

const EMPTY = Buffer.alloc(0);
const BACKSLASH = 0x5c;
const SLASH = 0x2f;
const LOWER_U = 0x75;

/**
 * Rewrites the custodian's base to ours in JSON text, without parsing it: numbers stay as they were written. Finds the base as it is, with
 * `\/` or any `\uXXXX` for a character, and percent-encoded in another URL's query (attack cases X1, X3). The base must end there: `/fhir` is
 * not found in `/fhir2`. The base has characters that JSON knows in strings only, so a find is inside a string.
 */
export function createRewriter(bases: Bases): Rewriter {
  const forms = formsOf(bases);
  const plain = createPass(forms.plain);
  const encoded = createPass(forms.encoded);
  return {
    push: (chunk) => encoded.push(plain.push(chunk)),
    end: () => {
      const last = encoded.push(plain.end());
      const rest = encoded.end();
      return rest.length === 0 ? last : Buffer.concat([last, rest]);
    },
  };
}

interface Form {
  readonly needle: Buffer;
  readonly replacement: Buffer;
}

// A tenant's bases are one object for its life; each request has a rewriter.
const KNOWN_FORMS = new WeakMap<Bases, { readonly plain: Form; readonly encoded: Form }>();

function formsOf(bases: Bases): { readonly plain: Form; readonly encoded: Form } {
  let forms = KNOWN_FORMS.get(bases);
  if (forms === undefined) {
    const form = (from: string, to: string): Form => ({ needle: Buffer.from(from), replacement: Buffer.from(to) });
    forms = {
      plain: form(bases.upstream, bases.public),
      encoded: form(encodeURIComponent(bases.upstream), encodeURIComponent(bases.public)),
    };
    KNOWN_FORMS.set(bases, forms);
  }
  return forms;
}

/** `createRewriter` for a body that is there already: nothing has to be kept back for a piece to come. */
export function rewriteBody(body: Buffer, bases: Bases): Buffer {
  const { plain, encoded } = formsOf(bases);
  return pass(pass(body, plain, true).bytes, encoded, true).bytes;
}

/** A `Location` or `Content-Location` in our words; undefined for one that is not below the custodian's base: nobody needs that. */
export function rewriteHeader(value: string, bases: Bases): string | undefined {
  const { upstream, public: ours } = bases;
  if (startsBelow(value, upstream)) return ours + value.slice(upstream.length);
  const path = new URL(upstream).pathname;
  if (path !== '/' && startsBelow(value, path)) return ours + value.slice(path.length);
  // Relative to the base: `Task/1/_history/2`.
  return /^[A-Z][A-Za-z]*(\/|$)/.test(value) ? `${ours}/${value}` : undefined;
}

function startsBelow(value: string, base: string): boolean {
  if (!value.startsWith(base)) return false;
  const next = value.charAt(base.length);
  return next === '' || next === '/' || next === '?';
}

/** What can be said of a buffer: its bytes, rewritten, up to `end`. */
function pass(buffer: Buffer, { needle, replacement }: Form, final: boolean): { readonly bytes: Buffer; readonly end: number } {
  // Escapes that can hide a base are rare (`\"` and `\n` are not): without them the search is native code.
  const escaped = buffer.includes(BACKSLASH) && (buffer.includes('\\/') || buffer.includes('\\u00'));
  const tail = final ? buffer.length : tailStart(buffer, needle);
  const finds = escaped ? findEscaped(buffer, tail, needle, final) : findPlain(buffer, tail, needle, final);
  // A find may reach into the tail; what is found is not looked at again.
  const end = Math.max(tail, finds.at(-1) ?? 0);
  if (finds.length === 0) return { bytes: end === buffer.length ? buffer : buffer.subarray(0, end), end };
  const parts: Buffer[] = [];
  let from = 0;
  for (let index = 0; index < finds.length; index += 2) {
    parts.push(buffer.subarray(from, finds[index]), replacement);
    from = finds[index + 1] ?? from;
  }
  parts.push(buffer.subarray(from, end));
  return { bytes: Buffer.concat(parts), end };
}

function createPass(form: Form): Rewriter {
  let kept: Buffer = EMPTY;

  const run = (buffer: Buffer, final: boolean): Buffer => {
    const { bytes, end } = pass(buffer, form, final);
    kept = end === buffer.length ? EMPTY : buffer.subarray(end);
    return bytes;
  };

  return {
    push: (chunk) => (chunk.length === 0 ? EMPTY : run(kept.length === 0 ? chunk : Buffer.concat([kept, chunk]), false)),
    end: () => (kept.length === 0 ? EMPTY : run(kept, true)),
  };
}

/** Starts and ends of finds that begin before `end`, in pairs. */
function findPlain(buffer: Buffer, end: number, needle: Buffer, final: boolean): readonly number[] {
  const finds: number[] = [];
  let at = buffer.indexOf(needle);
  while (at !== -1 && at < end) {
    const stop = matchAt(buffer, at, needle, final);
    if (stop > 0) finds.push(at, stop);
    at = buffer.indexOf(needle, stop > 0 ? stop : at + 1);
  }
  return finds;
}

// Reads escapes from the left, so that the second half of `\\` is never taken for the beginning of one.
function findEscaped(buffer: Buffer, end: number, needle: Buffer, final: boolean): readonly number[] {
  const finds: number[] = [];
  const first = needle[0];
  let at = 0;
  while (at < end) {
    const byte = buffer[at];
    if (byte !== first && byte !== BACKSLASH) {
      at += 1;
      continue;
    }
    const stop = matchAt(buffer, at, needle, final);
    if (stop > 0) finds.push(at, stop);
    at = stop > 0 ? stop : byte === BACKSLASH ? at + 2 : at + 1;
  }
  return finds;
}

/** Where the part begins that may be the beginning of a find, or of an escape: it waits for the next chunk. */
function tailStart(buffer: Buffer, needle: Buffer): number {
  const { length } = buffer;
  // An escaped character is six bytes; then one of whatever follows, to see that the base ends.
  const longest = needle.length * 6 + 1;
  const isEscapeNear = buffer.lastIndexOf(BACKSLASH) >= length - longest;
  const first = needle[0];
  for (let at = Math.max(0, length - (isEscapeNear ? longest : needle.length)); at < length; at += 1) {
    const byte = buffer[at];
    if (byte !== first && byte !== BACKSLASH) continue;
    if (byte === BACKSLASH && isEscaped(buffer, at)) continue;
    if (matchAt(buffer, at, needle, false) < 0) return at;
  }
  return length;
}

/** Whether an odd number of backslashes stands before: what is kept back begins with an escape whole, so this buffer tells it all. */
function isEscaped(buffer: Buffer, at: number): boolean {
  let before = at;
  while (before > 0 && buffer[before - 1] === BACKSLASH) before -= 1;
  return (at - before) % 2 === 1;
}

/** The end of the base that begins at `start`; 0 when there is none; -1 when more bytes are needed to know. */
function matchAt(buffer: Buffer, start: number, needle: Buffer, final: boolean): number {
  const { length } = buffer;
  const more = final ? 0 : -1;
  let at = start;
  for (const wanted of needle) {
    if (at >= length) return more;
    if (buffer[at] === wanted) {
      at += 1;
      continue;
    }
    if (buffer[at] !== BACKSLASH) return 0;
    if (at + 1 >= length) return more;
    const escape = buffer[at + 1];
    if (escape === SLASH && wanted === SLASH) {
      at += 2;
      continue;
    }
    if (escape !== LOWER_U) return 0;
    if (at + 6 > length) return more;
    if (Number.parseInt(buffer.toString('latin1', at + 2, at + 6), 16) !== wanted) return 0;
    at += 6;
  }
  if (at >= length) return final ? at : -1;
  return isSegmentByte(buffer[at] ?? 0) ? 0 : at;
}

/**
 * Whether a byte after the base goes on with its last segment, so that it is another one. All else, a quote, `/`, `?`, `#`, `|`, a comma, ends
 * the base: rewriting too much shows nobody anything, rewriting too little shows where the server is. An escape ends it as well.
 */
export function isSegmentByte(byte: number): boolean {
  return (
    (byte >= 0x30 && byte <= 0x39) ||
    (byte >= 0x41 && byte <= 0x5a) ||
    (byte >= 0x61 && byte <= 0x7a) ||
    byte === 0x2d ||
    byte === 0x2e ||
    byte === 0x5f ||
    byte === 0x7e
  );
}
