import { open, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { GENESIS, SEGMENT_NAME, segmentName } from './format.ts';
import type { ChainHead } from './format.ts';
import { CHAIN_START, salvageLinks, scanSegment } from './scan.ts';
import type { ScannedSegment } from './scan.ts';
import { syncDirectory } from './segment-file.ts';

/** An intent that has no outcome yet. */
export interface OpenIntent {
  readonly tenant: string;
  readonly sequence: number;
  readonly correlationId: string;
  readonly part?: string;
  /** Number of the segment that it stands in. */
  readonly segment: number;
}

/** Where an instance's chains stood when its last process ended. */
export interface RecoveredState {
  /** Number of the last segment, 0 when there is none. */
  readonly number: number;
  readonly batch: number;
  readonly lengthBytes: number;
  readonly headerHash: string;
  readonly heads: Map<string, ChainHead>;
  readonly open: readonly OpenIntent[];
  /** What was found that a clean end would not have left, in words for the operator. */
  readonly findings: readonly string[];
}

/**
 * Reads the end of an instance's journal: from the segment with the oldest open intent to the last. A torn last batch was never
 * acknowledged: it is cut off, and kept beside the segment as `….torn`. A damaged segment is evidence and is left as it is;
 * the chains go on from the last links that can be read, and `audit verify` names the break for ever.
 */
export async function recover(directory: string, instance: string): Promise<RecoveredState> {
  const findings: string[] = [];
  const numbers = await segmentNumbers(directory, instance);
  const last = await lastSegments(directory, instance, numbers, findings);
  if (last === undefined) {
    return { number: 0, batch: 0, lengthBytes: 0, headerHash: GENESIS, heads: new Map(), open: [], findings };
  }
  const from = Math.min(last.openFrom, last.number);
  const heads = new Map<string, ChainHead>();
  const open = new Map<string, OpenIntent>();
  let batch = 0;
  let lengthBytes = 0;
  let headerHash = GENESIS;
  for (const number of numbers.filter((candidate) => candidate >= from)) {
    const isLast = number === last.number;
    const bytes = await readFile(join(directory, segmentName(instance, number)));
    const scanned = scanSegment(bytes);
    headerHash = scanned.header?.hash ?? headerHash;
    for (const [tenant, head] of scanned.header?.heads ?? []) heads.set(tenant, head);
    batch = scanned.header?.batch ?? batch;
    for (const group of scanned.groups) {
      heads.set(group.link.tenant, { sequence: group.link.first + group.link.count - 1, hash: group.link.hash });
      batch = group.link.batch;
      followIntents(bytes.toString('utf8', group.start, group.linkStart), group.link.tenant, number, open);
    }
    lengthBytes = scanned.usedBytes;
    if (scanned.tail.kind === 'damaged') {
      lengthBytes = bytes.length;
      findings.push(`${segmentName(instance, number)} is damaged at byte ${String(scanned.usedBytes)}: ${scanned.tail.problem}`);
      for (const link of salvageLinks(bytes, scanned.usedBytes)) {
        if (link.instance !== instance) continue;
        const sequence = link.first + link.count - 1;
        if (sequence > (heads.get(link.tenant) ?? CHAIN_START).sequence) heads.set(link.tenant, { sequence, hash: link.hash });
        batch = Math.max(batch, link.batch);
      }
    } else if (isLast) {
      await cutTail(join(directory, segmentName(instance, number)), bytes, scanned, findings);
    }
  }
  return { number: last.number, batch, lengthBytes, headerHash, heads, open: [...open.values()], findings };
}

/** Numbers of an instance's segments, ascending. */
export async function segmentNumbers(directory: string, instance: string): Promise<number[]> {
  const numbers: number[] = [];
  for (const name of await readdir(directory)) {
    const match = SEGMENT_NAME.exec(name);
    if (match?.[1] === instance) numbers.push(Number(match[2]));
  }
  return numbers.sort((left, right) => left - right);
}

const recordSchema = z.object({
  seq: z.number().int(),
  phase: z.enum(['intent', 'outcome', 'event']),
  correlationId: z.string(),
  part: z.string().optional(),
  intent: z.number().int().optional(),
});

function followIntents(text: string, tenant: string, segment: number, open: Map<string, OpenIntent>): void {
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const record = recordSchema.parse(JSON.parse(line));
    if (record.phase === 'outcome' && record.intent !== undefined) open.delete(`${tenant} ${String(record.intent)}`);
    if (record.phase !== 'intent') continue;
    const { seq, correlationId, part } = record;
    const intent = { tenant, sequence: seq, correlationId, segment, ...(part === undefined ? {} : { part }) };
    open.set(`${tenant} ${String(seq)}`, intent);
  }
}

/**
 * The last segment, and the segment with the oldest open intent as the last readable header names it. A segment gets its name
 * after its header is durable: one without any line was emptied by a file system, and is set aside.
 */
async function lastSegments(
  directory: string,
  instance: string,
  numbers: number[],
  findings: string[],
): Promise<{ readonly number: number; readonly openFrom: number } | undefined> {
  let last: number | undefined;
  for (const number of [...numbers].reverse()) {
    const path = join(directory, segmentName(instance, number));
    const { header, tail } = scanSegment(await readFile(path));
    if (last === undefined && header === undefined && tail.kind === 'torn') {
      findings.push(`${segmentName(instance, number)} has no header and was set aside as .torn`);
      await rename(path, `${path}.torn`);
      numbers.pop();
      continue;
    }
    last ??= number;
    if (header !== undefined) return { number: last, openFrom: header.openFrom };
  }
  return last === undefined ? undefined : { number: last, openFrom: numbers[0] ?? last };
}

async function cutTail(path: string, bytes: Buffer, scanned: ScannedSegment, findings: string[]): Promise<void> {
  if (scanned.tail.kind === 'torn') {
    const end = scanned.usedBytes + scanned.tail.bytes;
    await writeFile(`${path}.torn`, bytes.subarray(scanned.usedBytes, end), { flush: true });
    await syncDirectory(join(path, '..'));
    findings.push(
      `the last write was torn: ${String(scanned.tail.bytes)} bytes that nobody was promised were set aside as .torn`,
    );
  }
  if (bytes.length === scanned.usedBytes) return;
  const handle = await open(path, 'r+');
  try {
    await handle.truncate(scanned.usedBytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
