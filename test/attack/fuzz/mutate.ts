import { SAID, TROUBLE } from './corpus.ts';
import { createRandom, type Random } from './random.ts';

/** What is sent: pieces one after the other over one connection, one byte a character. */
export interface Mutant {
  readonly index: number;
  readonly pieces: readonly string[];
}

const MAX_BYTES = 65_536;

/** The mutant with this number. */
export function createMutant(seeds: readonly string[], seed: number, index: number): Mutant {
  const random = createRandom(seed, index);
  let text = random.pick(seeds);
  // Most are changed once: what is changed often comes no further than the parser.
  do text = random.pick(CHANGES)(text, random, seeds);
  while (random.chance(0.4));
  if (random.chance(0.8)) text = withRightLength(text);
  // A request behind: what hides in the first must not be taken for it, and the other way round.
  if (random.chance(0.15)) text += random.pick(seeds);
  text = text.slice(0, MAX_BYTES);
  return { index, pieces: random.chance(0.2) ? split(text, random) : [text] };
}

type Change = (text: string, random: Random, seeds: readonly string[]) => string;

/** Bytes wherever they are. */
const onBytes: readonly Change[] = [
  (text, random) => cut(text, random.whole(text.length + 1), 1 + random.whole(8)),
  (text, random) => put(text, random.whole(text.length + 1), String.fromCharCode(random.whole(256))),
  (text, random) =>
    put(cut(text, random.whole(text.length), 1), random.whole(text.length), String.fromCharCode(random.whole(256))),
  (text, random) => put(text, random.whole(text.length + 1), random.pick(TROUBLE)),
  (text, random) => {
    const at = random.whole(text.length + 1);
    return put(text, at, text.slice(at, at + 1 + random.whole(40)));
  },
  (text, random) => {
    const at = random.whole(text.length + 1);
    const piece = text.slice(at, at + 1 + random.whole(4));
    return put(cut(text, at, piece.length), at, otherCase(piece));
  },
  (text, random) => text.slice(0, random.whole(text.length + 1)),
];

/** Header lines: fewer, more, in another order, of another request. */
const onLines: readonly Change[] = [
  (text, random) => onHeaders(text, (lines) => lines.toSpliced(random.whole(lines.length), 1)),
  (text, random) => onHeaders(text, (lines) => lines.toSpliced(random.whole(lines.length + 1), 0, random.pick(lines))),
  (text, random) => onHeaders(text, (lines) => swapped(lines, random)),
  (text, random, seeds) =>
    onHeaders(text, (lines) => [
      ...lines,
      random.pick(random.pick(seeds).split('\r\n\r\n')[0]?.split('\r\n').slice(1) ?? ['X: y']),
    ]),
];

/** The parts that policy reads: the target, the body, both of another request. */
const onMeaning: readonly Change[] = [
  (text, random) => intoTarget(text, random.pick(TROUBLE), random),
  (text, random) => intoTarget(text, random.pick(SAID), random),
  (text, random) => intoBody(text, random.pick(TROUBLE), random),
  (text, random) => intoBody(text, random.pick(SAID), random),
  (text, random, seeds) => {
    const other = random.pick(seeds).split(' ');
    return text.replace(/^([^ ]+) ([^ ]+) /, (_all, method: string) => `${method} ${other[1] ?? ''} `);
  },
  (text, random, seeds) => text.replace(/^[^ ]+ /, `${random.pick(seeds).split(' ')[0] ?? ''} `),
  (text, random, seeds) =>
    `${text.split('\r\n\r\n')[0] ?? ''}\r\n\r\n${random.pick(seeds).split('\r\n\r\n').slice(1).join('\r\n\r\n')}`,
  (text, random) => exchanged(text, /"(?:[^"\\]|\\.)*"/g, random),
  (text, random) => exchanged(text, /[?&][^?& ]+/g, random),
  (text, random) => exchanged(text, /mine|other/g, random),
  (text, random) => text.replace(/mine(?=[^]*$)/, (word) => (random.chance(0.5) ? 'other' : `${word},other`)),
];

const CHANGES: readonly Change[] = [...onBytes, ...onLines, ...onMeaning, ...onMeaning];

function cut(text: string, at: number, length: number): string {
  return text.slice(0, at) + text.slice(at + length);
}

function put(text: string, at: number, piece: string): string {
  return text.slice(0, at) + piece + text.slice(at);
}

/** Two that are alike change places. */
function exchanged(text: string, pattern: RegExp, random: Random): string {
  const found = [...text.matchAll(pattern)];
  if (found.length < 2) return text;
  const [one, other] = [random.pick(found), random.pick(found)].sort((first, second) => first.index - second.index);
  if (one === undefined || other === undefined || one.index + one[0].length > other.index) return text;
  const middle = text.slice(one.index + one[0].length, other.index);
  return text.slice(0, one.index) + other[0] + middle + one[0] + text.slice(other.index + other[0].length);
}

function intoBody(text: string, piece: string, random: Random): string {
  const start = text.indexOf('\r\n\r\n') + 4;
  if (start === 3 || start === text.length) return intoTarget(text, piece, random);
  return put(text, start + random.whole(text.length - start + 1), piece);
}

/** Into the request line's target, where policy is. */
function intoTarget(text: string, piece: string, random: Random): string {
  const start = text.indexOf(' ');
  const end = text.indexOf(' HTTP/');
  if (start === -1 || end <= start) return text;
  const at = start + 1 + random.whole(end - start);
  return text.slice(0, at) + piece + text.slice(at);
}

function onHeaders(text: string, change: (lines: readonly string[]) => readonly string[]): string {
  const end = text.indexOf('\r\n\r\n');
  const [line = '', ...headers] = text.slice(0, end === -1 ? text.length : end).split('\r\n');
  if (headers.length === 0) return text;
  return [line, ...change(headers)].join('\r\n') + (end === -1 ? '' : text.slice(end));
}

function swapped(lines: readonly string[], random: Random): readonly string[] {
  const [one, other] = [random.whole(lines.length), random.whole(lines.length)];
  return lines.map((line, index) => (index === one ? (lines[other] ?? '') : index === other ? (lines[one] ?? '') : line));
}

function otherCase(text: string): string {
  return text.toUpperCase() === text ? text.toLowerCase() : text.toUpperCase();
}

function withRightLength(text: string): string {
  const end = text.indexOf('\r\n\r\n');
  if (end === -1) return text;
  return text.replace(/\r\nContent-Length: [^\r\n]*/i, `\r\nContent-Length: ${text.length - end - 4}`);
}

function split(text: string, random: Random): readonly string[] {
  const cuts = Array.from({ length: 1 + random.whole(3) }, () => random.whole(text.length + 1)).sort((a, b) => a - b);
  return [...cuts, text.length].map((cut, index) => text.slice(cuts[index - 1] ?? 0, cut)).filter((piece) => piece !== '');
}
