import { isSegmentByte } from '../upstream/rewrite.ts';

/** Looks for the custodian's base in text that comes byte by byte, references already resolved. */
export interface BaseMatcher {
  /** Whether a byte may be the beginning of a find: while nothing is under way, all others may be passed over. */
  canStart(byte: number): boolean;
  /**
   * @param start where in the stream the character began that the byte is of
   * @returns whether the base was found; then nothing from its beginning on may leave
   */
  feed(byte: number, start: number): boolean;
  /** Whether the end of the text ends a find. */
  end(): boolean;
  /** Where the earliest text began that may still become a find; undefined when there is none. */
  pending(): number | undefined;
}

/** What is looked for, in lower case with nothing left percent-encoded, and what may not follow for it to be the base. */
interface Needle {
  readonly bytes: Uint8Array;
  isContinuedBy(byte: number): boolean;
}

/**
 * A find that may be: how far it is, and within which percent forms, the innermost last. They are digits of one number to the base 18: 1 to 16
 * for a form whose first hex digit is known, 17 for one of which the percent sign is; 0 when there is none.
 */
interface Candidate {
  readonly needle: Needle;
  readonly matched: number;
  readonly forms: number;
  readonly start: number;
}

const NONE = 0;
const FORMS = 18;
const AFTER_PERCENT = 17;
const PERCENT = 0x25;
/** Hex digits of a form may be forms themselves, and so on; this deep is nobody's spelling any more. */
const MAX_FORMS = FORMS ** 7;

/**
 * Finds the base without its scheme (`fhir.example:8080/base`), and, because nobody else is known by a port, host and port alone, which is also
 * written out where the base leaves it to its scheme. Letters in either case, any character percent-encoded, any number of times. All ways
 * to read a text are followed at once, so that no `%a` before a host hides the host's first letter.
 */
export function createBaseMatcher(base: string): BaseMatcher {
  const needles = needlesOf(base);
  const starts = new Uint8Array(256);
  starts[PERCENT] = 1;
  for (const { bytes } of needles) {
    const first = bytes[0] ?? 0;
    starts[first] = 1;
    if (first >= 0x61 && first <= 0x7a) starts[first - 32] = 1;
  }
  let live: Candidate[] = [];

  return {
    canStart: (byte) => starts[byte] === 1,
    feed: (byte, start) => {
      if (live.length === 0 && starts[byte] !== 1) return false;
      const next: Candidate[] = [];
      for (const candidate of live) if (advance(candidate, byte, next)) return true;
      if (starts[byte] === 1) for (const needle of needles) advance({ needle, matched: 0, forms: NONE, start }, byte, next);
      live = next;
      return false;
    },
    end: () => live.some(({ needle, matched, forms }) => forms === NONE && matched === needle.bytes.length),
    pending: () => {
      let earliest: number | undefined;
      for (const { start } of live) if (earliest === undefined || start < earliest) earliest = start;
      return earliest;
    },
  };
}

/** Takes a candidate one byte further, in every way there is. @returns whether it is a find */
function advance(candidate: Candidate, byte: number, next: Candidate[]): boolean {
  const { needle, matched, forms } = candidate;
  if (forms === NONE) {
    if (matched === needle.bytes.length) return !needle.isContinuedBy(byte);
    if (lower(byte) === needle.bytes[matched]) keep(next, { ...candidate, matched: matched + 1 });
  }
  // A percent sign may begin a form, whether it stands there or came out of one (`%25`).
  if (byte === PERCENT && forms < MAX_FORMS) keep(next, { ...candidate, forms: forms * FORMS + AFTER_PERCENT });
  const digit = forms === NONE ? undefined : hexDigit(byte);
  if (digit === undefined) return false;
  const known = forms % FORMS;
  const outer = (forms - known) / FORMS;
  if (known !== AFTER_PERCENT) return advance({ ...candidate, forms: outer }, (known - 1) * 16 + digit, next);
  keep(next, { ...candidate, forms: outer * FORMS + digit + 1 });
  return false;
}

/** Two candidates that are equally far have one future; the longer one must be held back. */
function keep(next: Candidate[], candidate: Candidate): void {
  const { needle, matched, forms, start } = candidate;
  const at = next.findIndex((each) => each.needle === needle && each.matched === matched && each.forms === forms);
  const other = next[at];
  if (other === undefined) next.push(candidate);
  else if (start < other.start) next[at] = candidate;
}

function needlesOf(base: string): readonly Needle[] {
  const url = new URL(base);
  const path = url.pathname.replace(/\/$/, '');
  const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port;
  const written = base.slice(base.indexOf('//') + 2);
  const texts = new Map<string, Needle['isContinuedBy']>([[`${url.hostname}:${port}`, isDigit]]);
  for (const text of [url.host + path, written]) {
    // A host of one word, as containers have them, is a word like others unless it stands where a host does.
    const isWord = url.port === '' && !url.hostname.includes('.');
    texts.set(isWord ? `//${text}` : text, isSegmentByte);
  }
  return [...texts].map(([text, isContinuedBy]) => ({ bytes: normalise(text), isContinuedBy }));
}

/** Lower case, and every percent form resolved until none is left, as the text is read. */
function normalise(text: string): Uint8Array {
  let latin1 = Buffer.from(text.toLowerCase()).toString('latin1');
  for (let before = ''; before !== latin1;) {
    before = latin1;
    latin1 = latin1.replace(/%([0-9a-f]{2})/gi, (_form, hex: string) => String.fromCharCode(lower(Number.parseInt(hex, 16))));
  }
  return Buffer.from(latin1, 'latin1');
}

function lower(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte + 32 : byte;
}

function hexDigit(byte: number): number | undefined {
  if (isDigit(byte)) return byte - 0x30;
  const letter = lower(byte);
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : undefined;
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}
