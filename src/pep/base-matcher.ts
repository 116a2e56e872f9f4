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

/** A find that may be: how far it is, and within which percent form (`NONE`, after `%`, or the first hex digit). */
interface Candidate {
  readonly needle: Needle;
  readonly matched: number;
  readonly form: number;
  readonly start: number;
}

const NONE = -1;
const AFTER_PERCENT = -2;
const PERCENT = 0x25;

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
      if (starts[byte] === 1) for (const needle of needles) advance({ needle, matched: 0, form: NONE, start }, byte, next);
      live = next;
      return false;
    },
    end: () => live.some(({ needle, matched, form }) => form === NONE && matched === needle.bytes.length),
    pending: () => {
      let earliest: number | undefined;
      for (const { start } of live) if (earliest === undefined || start < earliest) earliest = start;
      return earliest;
    },
  };
}

/** Takes a candidate one byte further, in every way there is. @returns whether it is a find */
function advance(candidate: Candidate, byte: number, next: Candidate[]): boolean {
  const { needle, matched, form } = candidate;
  if (form === NONE) {
    if (matched === needle.bytes.length) return !needle.isContinuedBy(byte);
    if (lower(byte) === needle.bytes[matched]) keep(next, { ...candidate, matched: matched + 1 });
    if (byte === PERCENT) keep(next, { ...candidate, form: AFTER_PERCENT });
    return false;
  }
  const digit = hexDigit(byte);
  if (digit === undefined) return false;
  if (form === AFTER_PERCENT) {
    keep(next, { ...candidate, form: digit });
    return false;
  }
  const value = form * 16 + digit;
  if (lower(value) === needle.bytes[matched]) keep(next, { ...candidate, matched: matched + 1, form: NONE });
  // `%25` is a percent sign, which may begin another form.
  if (value === PERCENT) keep(next, { ...candidate, form: AFTER_PERCENT });
  return false;
}

/** Two candidates that are equally far have one future; the longer one must be held back. */
function keep(next: Candidate[], candidate: Candidate): void {
  const { needle, matched, form, start } = candidate;
  const at = next.findIndex((each) => each.needle === needle && each.matched === matched && each.form === form);
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
