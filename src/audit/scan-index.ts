import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as yieldToOthers } from 'node:timers/promises';
import { SEGMENT_NAME, segmentName } from './format.ts';
import { quote } from './encode.ts';
import { matches, parseCursor, printCursor, storedRecord, toView } from './query.ts';
import type { AuditIndex, AuditQuery, AuditView, StoredRecord } from './query.ts';
import { listGroups } from './scan.ts';

/**
 * Answers queries from the journal itself, newest segment first, reading only the asked tenant's share of each batch. It needs
 * nothing kept beside the journal; how long it takes grows with how far back the answer is.
 *
 * @param isOpen whether an intent of this process still waits for its outcome (`journal.isOpen`): spares a search
 */
export function createScanIndex(
  directory: string,
  isOpen?: (instance: string, tenant: string, sequence: number) => boolean | undefined,
): AuditIndex {
  async function query(query: AuditQuery): ReturnType<AuditIndex['query']> {
    const cursor = new Map(query.cursor === undefined ? [] : parseCursor(query.cursor));
    const limit = Math.max(1, Math.min(1000, query.limit));
    const chains: Chain[] = [];
    for (const [instance, numbers] of await listSegments(directory)) {
      const views = readBackwards({ directory, instance, numbers, query, after: cursor.get(instance), isOpen });
      chains.push({ instance, views, next: await views.next() });
    }
    const entries: AuditView[] = [];
    while (entries.length < limit) {
      const newest = newestOf(chains);
      if (newest === undefined) return { entries };
      entries.push(newest.found.view);
      cursor.set(newest.chain.instance, [newest.found.segment, newest.found.sequence]);
      newest.chain.next = await newest.chain.views.next();
    }
    const more = newestOf(chains) !== undefined;
    return { entries, ...(more ? { next: printCursor(cursor) } : {}) };
  }
  return { query };
}

interface Found {
  readonly view: AuditView;
  readonly segment: number;
  readonly sequence: number;
}

interface Chain {
  readonly instance: string;
  readonly views: AsyncGenerator<Found, undefined>;
  next: IteratorResult<Found, undefined>;
}

function newestOf(chains: readonly Chain[]): { readonly chain: Chain; readonly found: Found } | undefined {
  let newest: { readonly chain: Chain; readonly found: Found } | undefined;
  for (const chain of chains) {
    if (chain.next.done === true) continue;
    const found = chain.next.value;
    if (newest === undefined || endOf(found.view) > endOf(newest.found.view)) newest = { chain, found };
  }
  return newest;
}

function endOf(view: AuditView): string {
  return view.endedAt ?? view.at;
}

async function listSegments(directory: string): Promise<Map<string, number[]>> {
  const instances = new Map<string, number[]>();
  for (const name of await readdir(directory)) {
    const match = SEGMENT_NAME.exec(name);
    if (match?.[1] === undefined) continue;
    instances.set(match[1], [...(instances.get(match[1]) ?? []), Number(match[2])]);
  }
  for (const numbers of instances.values()) numbers.sort((left, right) => left - right);
  return instances;
}

interface Backwards {
  readonly directory: string;
  readonly instance: string;
  readonly numbers: readonly number[];
  readonly query: AuditQuery;
  readonly after: readonly [segment: number, sequence: number] | undefined;
  readonly isOpen: ((instance: string, tenant: string, sequence: number) => boolean | undefined) | undefined;
}

/** A place in the order of the answer: taken by an outcome until its intent is found, which stands before it. */
interface Slot {
  readonly segment: number;
  readonly sequence: number;
  readonly end: Line | undefined;
  intent: Line | undefined;
  settled: boolean;
}

/** Moments in an entry are the caller's and are not quite in the order of the journal: a search goes on this much further. */
const SLACK_MS = 3_600_000;

async function* readBackwards(options: Backwards): AsyncGenerator<Found, undefined> {
  const { directory, instance, query, after } = options;
  const earliest = query.from === undefined ? '' : new Date(query.from.getTime() - SLACK_MS).toISOString();
  const slots: Slot[] = [];
  const awaiting = new Map<number, Slot>();
  for (const number of [...options.numbers].reverse()) {
    if (after !== undefined && number > after[0]) continue;
    const bytes = await readFile(join(directory, segmentName(instance, number)));
    for (const group of listGroups(bytes).toReversed()) {
      if (group.tenant !== query.tenant || (after !== undefined && group.first >= after[1])) continue;
      const lines = bytes.toString('utf8', group.start, group.linkStart).split('\n');
      let ended = earliest !== '';
      for (let index = lines.length - 1; index >= 0; index -= 1) {
        const line = readLine(lines[index] ?? '');
        if (line === undefined || (after !== undefined && line.sequence >= after[1])) continue;
        ended &&= line.at < earliest;
        await place(line, number, slots, awaiting, options);
      }
      while (slots[0]?.settled === true) {
        const found = show(slots.shift(), instance, query);
        if (found !== undefined) yield found;
      }
      if (ended && awaiting.size === 0) return undefined;
      await yieldToOthers();
    }
  }
  // An outcome whose intent is not to be found (a damaged journal) is shown as it is.
  for (const slot of slots) {
    const found = show(slot, instance, query);
    if (found !== undefined) yield found;
  }
  return undefined;
}

async function place(line: Line, segment: number, slots: Slot[], awaiting: Map<number, Slot>, options: Backwards): Promise<void> {
  const { sequence } = line;
  if (line.phase === 'intent') {
    const slot = awaiting.get(sequence);
    if (slot !== undefined) {
      awaiting.delete(sequence);
      slot.intent = line;
      slot.settled = true;
      // Of what nobody asked for, not even the text is kept.
    } else if (mayMatch(line, options.query) && !(options.after !== undefined && (await endsLater(line, segment, options)))) {
      slots.push({ segment, sequence, end: undefined, intent: line, settled: true });
    }
    return;
  }
  const slot: Slot = { segment, sequence, end: line, intent: undefined, settled: line.intent === undefined };
  slots.push(slot);
  if (line.intent !== undefined) awaiting.set(line.intent, slot);
}

/** Whether the outcome of this intent stands beyond the cursor: then an earlier page has shown it. */
async function endsLater(line: Line, segment: number, options: Backwards): Promise<boolean> {
  const { directory, instance, query, numbers, isOpen } = options;
  const open = isOpen?.(instance, query.tenant, line.sequence);
  if (open !== undefined) return !open;
  const needle = `,"intent":${String(line.sequence)},`;
  for (const number of numbers.filter((candidate) => candidate >= segment)) {
    const bytes = await readFile(join(directory, segmentName(instance, number)));
    for (const group of listGroups(bytes)) {
      if (group.tenant === query.tenant && bytes.subarray(group.start, group.linkStart).includes(needle)) return true;
    }
  }
  return false;
}

function show(slot: Slot | undefined, instance: string, query: AuditQuery): Found | undefined {
  if (slot === undefined) return undefined;
  const carrier = slot.intent ?? slot.end;
  if (carrier === undefined || !(mayMatch(carrier, query) || (slot.end !== undefined && mayMatch(slot.end, query))))
    return undefined;
  const view = toView(instance, parse(slot.intent), parse(slot.end));
  return view !== undefined && matches(view, query) ? { view, segment: slot.segment, sequence: slot.sequence } : undefined;
}

/** A record, read only as far as its place needs; the rest is parsed when it is shown. */
interface Line {
  readonly text: string;
  readonly sequence: number;
  readonly phase: string;
  readonly at: string;
  /** The intent that it closes. */
  readonly intent: number | undefined;
}

const BEGINNING =
  /^\{"seq":(\d+),"tenant":"(?:[^"\\]|\\.)*","phase":"(\w+)","at":"([^"]+)","correlationId":"(?:[^"\\]|\\.)*"(?:,"part":"(?:[^"\\]|\\.)*")?(?:,"intent":(\d+))?/;

function readLine(text: string): Line | undefined {
  const match = BEGINNING.exec(text);
  if (match === null) return undefined;
  const [, sequence = '', phase = '', at = '', intent] = match;
  return { text, sequence: Number(sequence), phase, at, intent: intent === undefined ? undefined : Number(intent) };
}

/** A cheap look before parsing; the whole judgement is `matches`. */
function mayMatch({ text }: Line, { patient, requester, correlationId }: AuditQuery): boolean {
  return [patient, requester, correlationId].every((value) => value === undefined || text.includes(quote(value)));
}

function parse(line: Line | undefined): StoredRecord | undefined {
  return line === undefined ? undefined : storedRecord.parse(JSON.parse(line.text));
}
