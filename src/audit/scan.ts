import { z } from 'zod';
import { GENESIS, linkPrefix, readSuffix, sha256, SUFFIX_BYTES } from './format.ts';
import type { ChainHead, LinkFacts, SegmentHeader } from './format.ts';

/** One tenant's share of one batch, its link checked. `start` to `linkStart` are the records' bytes, `end` is after the link. */
export interface Group {
  readonly link: LinkFacts & { readonly hash: string };
  readonly start: number;
  readonly linkStart: number;
  readonly end: number;
}

/** What a segment holds, as far as it can be trusted, and why it could not be read on. */
export interface ScannedSegment {
  readonly header: (SegmentHeader & { readonly hash: string }) | undefined;
  readonly groups: readonly Group[];
  readonly sealed: boolean;
  /** Bytes from the start that are whole and check. */
  readonly usedBytes: number;
  readonly tail: Tail;
}

export type Tail =
  /** Nothing but NUL bytes, or the end of the file. */
  | { readonly kind: 'clean' }
  /** A last write that did not finish: what is missing is missing as NUL bytes or as the end of the file. Never acknowledged. */
  | { readonly kind: 'torn'; readonly bytes: number }
  /** Anything else: somebody or something changed the file. */
  | { readonly kind: 'damaged'; readonly problem: string; readonly link?: LinkFacts };

/** Reads a segment from its start: header, groups, seal, tail. Checks everything that the file itself can show. */
export function scanSegment(bytes: Buffer): ScannedSegment {
  const headerEnd = bytes.indexOf(NEWLINE) + 1;
  const header = headerEnd > 0 ? readHeader(bytes.subarray(0, headerEnd)) : undefined;
  if (header === undefined) {
    const torn = headerEnd === 0;
    const tail: Tail = torn ? { kind: 'torn', bytes: bytes.length } : { kind: 'damaged', problem: 'the header does not check' };
    return { header, groups: [], sealed: false, usedBytes: 0, tail };
  }
  const groups: Group[] = [];
  let position = headerEnd;
  let batch = header.batch;
  for (;;) {
    const found = readGroup(bytes, position, header.instance, batch);
    switch (found.kind) {
      case 'group':
        groups.push(found.group);
        position = found.group.end;
        batch = found.group.link.batch;
        continue;
      case 'seal': {
        const tail: Tail = restIsNul(bytes, found.end)
          ? { kind: 'clean' }
          : { kind: 'damaged', problem: 'something follows the seal' };
        return { header, groups, sealed: true, usedBytes: found.end, tail };
      }
      case 'end':
        return { header, groups, sealed: false, usedBytes: position, tail: { kind: 'clean' } };
      case 'problem':
        return { header, groups, sealed: false, usedBytes: position, tail: judgeTail(bytes, position, batch, found) };
    }
  }
}

/** The links that can still be read after `position`, unchecked: for going on after damage. */
export function* salvageLinks(bytes: Buffer, position: number): Generator<LinkFacts & { readonly hash: string }> {
  for (let at = bytes.indexOf(LINK, position); at >= 0; at = bytes.indexOf(LINK, at + 1)) {
    const link = readLink(bytes.subarray(at, bytes.indexOf(NEWLINE, at) + 1));
    if (link !== undefined) yield link;
  }
}

/** Where the tenants' shares stand in a segment, by their links alone: nothing is checked but the form. */
export function listGroups(bytes: Buffer): readonly Share[] {
  const shares: Share[] = [];
  let start = bytes.indexOf(NEWLINE) + 1;
  for (let position = start; ;) {
    const end = bytes.indexOf(NEWLINE, position) + 1;
    if (end === 0) return shares;
    if (startsWith(bytes, position, LINK)) {
      const link = readLink(bytes.subarray(position, end));
      if (link !== undefined) shares.push({ tenant: link.tenant, first: link.first, start, linkStart: position });
      start = end;
    }
    position = end;
  }
}

/** One tenant's share of a batch, unchecked. */
interface Share {
  readonly tenant: string;
  readonly first: number;
  readonly start: number;
  readonly linkStart: number;
}

type Found =
  | { readonly kind: 'group'; readonly group: Group }
  | { readonly kind: 'seal'; readonly end: number }
  | { readonly kind: 'end' }
  | Problem;
interface Problem {
  readonly kind: 'problem';
  readonly problem: string;
  readonly link?: LinkFacts;
  /** Up to where the problem reaches, when that can be told. */
  readonly end?: number;
}

const NEWLINE = 10;
const RECORD = Buffer.from('{"seq":');
const LINK = Buffer.from('{"link":');
const SEAL = Buffer.from('{"seal":');

function readGroup(bytes: Buffer, start: number, instance: string, batch: number): Found {
  if (restIsNul(bytes, start)) return { kind: 'end' };
  let position = start;
  for (;;) {
    const end = bytes.indexOf(NEWLINE, position) + 1;
    if (end === 0) return { kind: 'problem', problem: 'a line without an end' };
    if (startsWith(bytes, position, RECORD)) {
      position = end;
      continue;
    }
    const line = bytes.subarray(position, end);
    if (startsWith(bytes, position, LINK)) {
      return checkGroup(bytes, { start, linkStart: position, end }, readLink(line), instance, batch);
    }
    if (startsWith(bytes, position, SEAL) && position === start) {
      const text = `{"seal":{"instance":"${instance}"`;
      const fine = line.toString('latin1').startsWith(text) && readSuffix(line) === sha256(line.subarray(0, -SUFFIX_BYTES));
      const facts = /,"batch":(\d+),"offset":(\d+),"hash"/.exec(line.toString('latin1'));
      if (!fine || Number(facts?.[1]) !== batch || Number(facts?.[2]) !== start)
        return { kind: 'problem', problem: 'the seal does not check', end };
      return { kind: 'seal', end };
    }
    return { kind: 'problem', problem: 'a line that is neither record nor link', end };
  }
}

function checkGroup(
  bytes: Buffer,
  at: { readonly start: number; readonly linkStart: number; readonly end: number },
  link: (LinkFacts & { readonly hash: string }) | undefined,
  instance: string,
  batch: number,
): Found {
  if (link === undefined) return { kind: 'problem', problem: 'a link line that cannot be read', end: at.end };
  const wrong = (problem: string): Problem => ({ kind: 'problem', problem, link, end: at.end });
  if (link.instance !== instance) return wrong('a link of another instance');
  if (link.hash !== sha256(bytes.subarray(at.start, at.end - SUFFIX_BYTES))) return wrong('the hash does not fit the records');
  if (link.offset !== at.start) return wrong('a link that stood in another place');
  if (link.batch !== batch && link.batch !== batch + 1)
    return wrong(`batch ${String(link.batch)} follows batch ${String(batch)}`);
  return { kind: 'group', group: { link, ...at } };
}

/**
 * A torn write left NUL bytes where whole sectors did not come, or simply ends; nothing of a later batch is there. All else is
 * damage, so that a changed byte is never taken for a power cut.
 */
function judgeTail(bytes: Buffer, position: number, batch: number, problem: Problem): Tail {
  const damaged: Tail = {
    kind: 'damaged',
    problem: problem.problem,
    ...(problem.link === undefined ? {} : { link: problem.link }),
  };
  let last = bytes.length;
  while (last > position && bytes[last - 1] === 0) last -= 1;
  // The writer keeps more than this free at the end of a segment.
  if (last < bytes.length && bytes.length - last < 16) return damaged;
  let holes = 0;
  for (let at = bytes.indexOf(0, position); at >= 0 && at < last;) {
    let end = at;
    while (end < last && bytes[end] === 0) end += 1;
    const wholeSectors = end % SECTOR_BYTES === 0 && (at % SECTOR_BYTES === 0 || at === position) && end - at > 1;
    if (!wholeSectors) return damaged;
    holes += 1;
    at = bytes.indexOf(0, end);
  }
  for (const link of salvageLinks(bytes, position)) if (link.batch > batch + 1) return damaged;
  return holes > 0 || isBeginning(bytes.toString('utf8', position, last)) ? { kind: 'torn', bytes: last - position } : damaged;
}

const SECTOR_BYTES = 512;

/** Whether a text is the beginning of what a write would have put there: whole records, then at most a part of a line. */
function isBeginning(text: string): boolean {
  const lines = text.split('\n');
  const part = lines.pop() ?? '';
  const begins = [RECORD, LINK, SEAL].some((word) => part.startsWith(word.toString()) || word.toString().startsWith(part));
  return (
    begins &&
    !COMPLETE.test(part) &&
    lines.every((line) => line.startsWith('{"seq":') && parseJson(Buffer.from(line)) !== undefined)
  );
}

/** A link or seal that is all there and does not end. */
const COMPLETE = /^\{"(?:link|seal)":.*,"hash":"[0-9a-f]{64}"\}\}./s;

function restIsNul(bytes: Buffer, position: number): boolean {
  return firstByte(bytes, position) === undefined;
}

/** The first byte from `position` that is not NUL. */
function firstByte(bytes: Buffer, position: number): number | undefined {
  // Most of an unfinished segment is NUL: compared in blocks.
  for (let at = position; at < bytes.length;) {
    const end = Math.min(bytes.length, at + NUL_BLOCK.length);
    if (bytes.compare(NUL_BLOCK, 0, end - at, at, end) === 0) {
      at = end;
      continue;
    }
    while (bytes[at] === 0) at += 1;
    return at;
  }
  return undefined;
}

const NUL_BLOCK = Buffer.alloc(65_536);

function startsWith(bytes: Buffer, position: number, text: Buffer): boolean {
  return bytes.length >= position + text.length && bytes.compare(text, 0, text.length, position, position + text.length) === 0;
}

const count = z.number().int().nonnegative();
const digest = z.string().regex(/^[0-9a-f]{64}$/);
const linkSchema = z.strictObject({
  link: z.strictObject({
    tenant: z.string().min(1),
    instance: z.string(),
    batch: count,
    offset: count,
    first: count,
    count,
    previous: digest,
    hash: digest,
  }),
});
const headerSchema = z.strictObject({
  segment: z.strictObject({
    format: z.literal(1),
    instance: z.string(),
    number: count,
    at: z.string(),
    batch: count,
    previousLength: count,
    previousHeader: digest,
    openFrom: count,
    heads: z.record(z.string(), z.tuple([count, digest])),
    hash: digest,
  }),
});

function readLink(line: Buffer): (LinkFacts & { readonly hash: string }) | undefined {
  const parsed = linkSchema.safeParse(parseJson(line));
  if (!parsed.success || readSuffix(line) === undefined) return undefined;
  // One way of writing: what reads the same but is written otherwise was written by somebody else.
  return line.toString('utf8', 0, line.length - SUFFIX_BYTES) === linkPrefix(parsed.data.link) ? parsed.data.link : undefined;
}

function readHeader(line: Buffer): (SegmentHeader & { readonly hash: string }) | undefined {
  const parsed = headerSchema.safeParse(parseJson(line));
  if (!parsed.success || readSuffix(line) !== sha256(line.subarray(0, -SUFFIX_BYTES))) return undefined;
  const { heads, ...facts } = parsed.data.segment;
  return {
    ...facts,
    heads: new Map(Object.entries(heads).map(([tenant, [sequence, hash]]): [string, ChainHead] => [tenant, { sequence, hash }])),
  };
}

function parseJson(line: Buffer): unknown {
  try {
    return JSON.parse(line.toString('utf8'));
  } catch {
    return undefined;
  }
}

/** Where a chain stands before its first record. */
export const CHAIN_START: ChainHead = { sequence: 0, hash: GENESIS };
