import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { GENESIS, SEGMENT_NAME, segmentName } from './format.ts';
import type { ChainHead, LinkFacts } from './format.ts';
import { CHAIN_START, scanSegment } from './scan.ts';
import type { Group, ScannedSegment } from './scan.ts';

/** What `verifyJournal` found. The journal is intact when `breaks` is empty. */
export interface VerifyResult {
  readonly instances: readonly string[];
  readonly segments: number;
  readonly records: number;
  /** Chains: one per tenant and instance. */
  readonly chains: number;
  /** In the order of the journal; the first of a chain is what to look at, later ones may follow from it. */
  readonly breaks: readonly ChainBreak[];
  /** Intents without an outcome: of requests under way, or of a process that died and was not started again. */
  readonly unfinished: readonly UnfinishedIntent[];
  /** Last writes that are under way, or did not finish. Nobody was promised what they held; the next start sets them aside. */
  readonly torn: readonly { readonly file: string; readonly bytes: number }[];
}

/** One place where the journal is not what was written. */
export interface ChainBreak {
  readonly file: string;
  readonly instance: string;
  /** Absent when it cannot be told. */
  readonly tenant?: string;
  /** The records in doubt, when that can be told. */
  readonly firstSequence?: number;
  readonly lastSequence?: number;
  /** Lines of the file in doubt, from 1. */
  readonly firstLine: number;
  readonly lastLine: number;
  readonly problem: string;
}

export interface UnfinishedIntent {
  readonly file: string;
  readonly instance: string;
  readonly tenant: string;
  readonly sequence: number;
  readonly correlationId: string;
}

/**
 * Checks every byte of a journal against its chains: edits, deletions, swaps, missing segments and repeated sequences are
 * breaks. What cannot be seen from inside is that the newest records are gone altogether, or that somebody wrote the whole
 * journal anew: for that compare the heads with what a witness outside has kept.
 */
export async function verifyJournal(directory: string): Promise<VerifyResult> {
  const byInstance = new Map<string, number[]>();
  for (const name of await readdir(directory)) {
    const match = SEGMENT_NAME.exec(name);
    if (match?.[1] === undefined) continue;
    const numbers = byInstance.get(match[1]) ?? [];
    numbers.push(Number(match[2]));
    byInstance.set(match[1], numbers);
  }
  const total: Total = { segments: 0, records: 0, chains: 0, breaks: [], unfinished: [], torn: [] };
  const instances = [...byInstance.keys()].sort();
  for (const instance of instances) {
    const numbers = (byInstance.get(instance) ?? []).sort((left, right) => left - right);
    await verifyInstance(directory, instance, numbers, total);
  }
  return { instances, ...total };
}

interface Total {
  segments: number;
  records: number;
  chains: number;
  readonly breaks: ChainBreak[];
  readonly unfinished: UnfinishedIntent[];
  readonly torn: { readonly file: string; readonly bytes: number }[];
}

/** What the segments read so far of one instance lead one to expect of the next. */
interface Expectation {
  number: number;
  batch: number;
  lengthBytes: number;
  headerHash: string;
  heads: Map<string, ChainHead>;
}

async function verifyInstance(directory: string, instance: string, numbers: readonly number[], total: Total): Promise<void> {
  const expected: Expectation = { number: 0, batch: 0, lengthBytes: 0, headerHash: GENESIS, heads: new Map() };
  const tenants = new Set<string>();
  const open = new Map<string, UnfinishedIntent>();
  for (const [index, number] of numbers.entries()) {
    const file = segmentName(instance, number);
    const isLast = index === numbers.length - 1;
    const bytes = await readFile(join(directory, file));
    const scanned = scanSegment(bytes);
    total.segments += 1;
    const report = (problem: string, at: Partial<ChainBreak> = {}): void => {
      total.breaks.push({ file, instance, firstLine: 1, lastLine: 1, ...at, problem });
    };
    checkHeader(scanned, number, instance, expected, report);
    let line = 2;
    let position = scanned.groups[0]?.start ?? 0;
    for (const group of scanned.groups) {
      if (group.start !== position) line = lineOf(bytes, group.start);
      const lastLine = line + group.link.count;
      const at = { firstLine: line, lastLine, tenant: group.link.tenant, ...sequences(group.link) };
      checkLink(group, expected, (problem) => {
        report(problem, at);
      });
      checkRecords(bytes, group, file, instance, open, (problem) => {
        report(problem, at);
      });
      tenants.add(group.link.tenant);
      total.records += group.link.count;
      line = lastLine + 1;
      position = group.end;
    }
    expected.number = number;
    expected.lengthBytes = scanned.usedBytes;
    checkTail(bytes, scanned, isLast, report, (torn) => {
      total.torn.push({ file, bytes: torn });
      expected.lengthBytes = isLast ? expected.lengthBytes : bytes.length;
    });
  }
  total.chains += tenants.size;
  total.unfinished.push(...open.values());
}

type Report = (problem: string, at?: Partial<ChainBreak>) => void;

function checkHeader(scanned: ScannedSegment, number: number, instance: string, expected: Expectation, report: Report): void {
  if (number !== expected.number + 1) {
    const missing =
      number === expected.number + 2
        ? `segment ${String(number - 1)}`
        : `segments ${String(expected.number + 1)} to ${String(number - 1)}`;
    report(`${missing} of this instance ${number === expected.number + 2 ? 'is' : 'are'} missing`);
  }
  const { header } = scanned;
  if (header === undefined) return;
  if (header.instance !== instance || header.number !== number) report('the header is that of another segment');
  const adjoins = number === expected.number + 1 && expected.headerHash !== '';
  if (adjoins) {
    if (header.previousHeader !== expected.headerHash) report('the header does not follow that of the previous segment');
    if (header.previousLength !== expected.lengthBytes) {
      report(
        `the previous segment has ${String(expected.lengthBytes)} bytes that check, and had ${String(header.previousLength)}`,
      );
    }
    if (header.batch !== expected.batch)
      report(`begins after batch ${String(header.batch)}, and the last one found is ${String(expected.batch)}`);
    for (const tenant of new Set([...header.heads.keys(), ...expected.heads.keys()])) {
      const now = header.heads.get(tenant) ?? CHAIN_START;
      const before = expected.heads.get(tenant) ?? CHAIN_START;
      if (now.sequence === before.sequence && now.hash === before.hash) continue;
      const lost = now.sequence > before.sequence ? { firstSequence: before.sequence + 1, lastSequence: now.sequence } : {};
      report(
        `the chain stood at ${String(now.sequence)} when this segment began, and what precedes ends at ${String(before.sequence)}`,
        {
          tenant,
          ...lost,
        },
      );
    }
  }
  expected.headerHash = header.hash;
  expected.batch = header.batch;
  expected.heads = new Map(header.heads);
}

function checkLink({ link }: Group, expected: Expectation, report: (problem: string) => void): void {
  const head = expected.heads.get(link.tenant) ?? CHAIN_START;
  if (link.first <= head.sequence)
    report(`sequence ${String(link.first)} comes again; the chain stood at ${String(head.sequence)}`);
  else if (link.first > head.sequence + 1) {
    report(`records ${String(head.sequence + 1)} to ${String(link.first - 1)} are missing before these`);
  } else if (link.previous !== head.hash) report('does not follow the previous link of its chain');
  expected.heads.set(link.tenant, { sequence: link.first + link.count - 1, hash: link.hash });
  expected.batch = link.batch;
}

function checkRecords(
  bytes: Buffer,
  group: Group,
  file: string,
  instance: string,
  open: Map<string, UnfinishedIntent>,
  report: (problem: string) => void,
): void {
  const { tenant, first, count } = group.link;
  const lines = bytes.toString('utf8', group.start, group.linkStart).split('\n');
  if (lines.length - 1 !== count) {
    report(`the link speaks of ${String(count)} records and there are ${String(lines.length - 1)}`);
    return;
  }
  for (let index = 0; index < count; index += 1) {
    const line = lines[index] ?? '';
    const sequence = first + index;
    if (!line.startsWith(`{"seq":${String(sequence)},"tenant":${JSON.stringify(tenant)},`)) {
      report(`record ${String(sequence)} is not where it belongs`);
      return;
    }
    const phase = /^\{"seq":\d+,"tenant":"(?:[^"\\]|\\.)*","phase":"(\w+)"/.exec(line)?.[1];
    const key = `${tenant} `;
    if (phase === 'intent') {
      const correlationId = /"correlationId":"((?:[^"\\]|\\.)*)"/.exec(line)?.[1] ?? '';
      open.set(key + String(sequence), { file, instance, tenant, sequence, correlationId });
    } else if (phase === 'outcome') {
      const intent = /"correlationId":"(?:[^"\\]|\\.)*"(?:,"part":"(?:[^"\\]|\\.)*")?,"intent":(\d+)/.exec(line)?.[1];
      if (intent !== undefined) open.delete(key + intent);
    }
  }
}

function checkTail(bytes: Buffer, scanned: ScannedSegment, isLast: boolean, report: Report, torn: (bytes: number) => void): void {
  const { tail, usedBytes } = scanned;
  const firstLine = lineOf(bytes, usedBytes);
  switch (tail.kind) {
    case 'clean':
      return;
    case 'torn':
      // In an earlier segment the tail was cut off at the start of the next: then this is no torn write.
      if (isLast) torn(tail.bytes);
      else report('the end is missing or was changed', { firstLine, lastLine: firstLine });
      return;
    case 'damaged': {
      const { link } = tail;
      const lastLine = link === undefined ? firstLine : firstLine + link.count;
      report(tail.problem, { firstLine, lastLine, ...(link === undefined ? {} : { tenant: link.tenant, ...sequences(link) }) });
      return;
    }
  }
}

function sequences(link: LinkFacts): { firstSequence: number; lastSequence: number } {
  return { firstSequence: link.first, lastSequence: link.first + link.count - 1 };
}

function lineOf(bytes: Buffer, position: number): number {
  let line = 1;
  for (let at = bytes.indexOf(10); at >= 0 && at < position; at = bytes.indexOf(10, at + 1)) line += 1;
  return line;
}
