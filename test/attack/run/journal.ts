import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { storedRecord, type StoredRecord } from '../../../src/audit/query.ts';

export type StoredOutcome = StoredRecord;

/** Reads an audit journal as it grows, chains of all tenants and the one for requests without any. */
export interface JournalReader {
  /** Everything under a correlation id so far. */
  of(correlationId: string): Promise<readonly StoredRecord[]>;
  /** All of it so far. */
  all(): Promise<readonly StoredRecord[]>;
  /** What was added since the last call, oldest first. */
  fresh(): Promise<readonly StoredRecord[]>;
}

/** Opens the journal in a folder; segments are allocated ahead, so that zeroes end what was written. */
export function createJournalReader(directory: string, keep = true): JournalReader {
  const offsets = new Map<string, number>();
  const byId = new Map<string, StoredRecord[]>();

  async function fresh(): Promise<readonly StoredRecord[]> {
    const added: StoredRecord[] = [];
    for (const name of (await readdir(directory)).sort()) {
      if (!name.endsWith('.ndjson') && !name.includes('.')) continue;
      const lines = await linesAfter(join(directory, name), offsets);
      for (const line of lines) {
        if (line.startsWith('{"seq"')) added.push(storedRecord.parse(JSON.parse(line)));
      }
    }
    if (keep) {
      for (const record of added) {
        const known = byId.get(record.correlationId);
        if (known === undefined) byId.set(record.correlationId, [record]);
        else known.push(record);
      }
    }
    return added;
  }

  return {
    fresh,
    all: async () => {
      await fresh();
      return [...byId.values()].flat();
    },
    of: async (correlationId) => {
      await fresh();
      return byId.get(correlationId) ?? [];
    },
  };
}

async function linesAfter(file: string, offsets: Map<string, number>): Promise<readonly string[]> {
  const from = offsets.get(file) ?? 0;
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    const chunks: Buffer[] = [];
    let at = from;
    while (at < size) {
      const chunk = Buffer.alloc(Math.min(262_144, size - at));
      const { bytesRead } = await handle.read(chunk, 0, chunk.length, at);
      const zero = chunk.indexOf(0);
      const end = zero === -1 ? bytesRead : Math.min(zero, bytesRead);
      chunks.push(chunk.subarray(0, end));
      at += end;
      if (end < bytesRead || bytesRead === 0) break;
    }
    const text = Buffer.concat(chunks);
    const last = text.lastIndexOf(10);
    offsets.set(file, from + last + 1);
    return last === -1 ? [] : text.toString('utf8', 0, last).split('\n');
  } finally {
    await handle.close();
  }
}
