import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClock } from '../../src/clock.ts';
import type { AuditEvent, AuditIntent, AuditOutcomeEntry } from '../../src/audit/entry.ts';
import { openJournal } from '../../src/audit/journal.ts';
import type { Journal, JournalOptions } from '../../src/audit/journal.ts';
import { scanSegment } from '../../src/audit/scan.ts';
import { createLogger } from '../../src/log.ts';

const made: string[] = [];

/** A directory that `removeDirectories` takes away. */
export function makeDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'sluis-audit-'));
  made.push(directory);
  return directory;
}

export function removeDirectories(): void {
  for (const directory of made.splice(0)) rmSync(directory, { recursive: true, force: true });
}

/** What a crash leaves: the files as they are at this moment. */
export function copyDirectory(from: string): string {
  const copy = makeDirectory();
  cpSync(from, copy, { recursive: true });
  return copy;
}

export const clock = createClock();
export const silent = createLogger('silent');

export function open(directory: string, options: Partial<JournalOptions> = {}): Promise<Journal> {
  return openJournal({ directory, instance: 'gate', clock, logger: silent, segmentBytes: 65_536, minFreeBytes: 0, ...options });
}

export const facts = {
  remoteAddress: '192.0.2.7',
  requester: { id: 'did:nuts:requester', name: 'Thuiszorg West' },
  user: { id: 'j.dejong', name: 'J. de Jong', role: 'Verpleegkundige', level: 'low' },
  purpose: 'eOverdracht-sender',
  useCase: 'eoverdracht',
  role: 'sender',
  interaction: 'read',
  path: 'Task/1',
  credentials: ['did:nuts:custodian#1'],
  grant: 'grant-1',
  patient: 'Patient/p1',
  attributes: { transfer: 't1' },
  tokenHash: '00112233445566778899aabbccddeeff',
  keyThumbprint: '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I',
} as const;

export function intent(tenant: string, correlationId: string): AuditIntent {
  return { phase: 'intent', tenant, correlationId, at: clock.now(), ...facts };
}

export function outcome(tenant: string, correlationId: string): AuditOutcomeEntry {
  return {
    phase: 'outcome',
    tenant,
    correlationId,
    at: clock.now(),
    outcome: 'permitted',
    status: 200,
    reason: 'grant',
    bytes: 12,
  };
}

export function denial(tenant: string, correlationId: string): AuditOutcomeEntry {
  return { ...outcome(tenant, correlationId), ...facts, outcome: 'denied', status: 403, reason: 'no_live_grant' };
}

export function event(tenant: string | undefined, name: string, correlationId = 'e'): AuditEvent {
  return {
    phase: 'event',
    ...(tenant === undefined ? {} : { tenant }),
    correlationId,
    at: clock.now(),
    outcome: 'permitted',
    event: name,
  };
}

export interface Read {
  readonly seq: number;
  readonly tenant: string;
  readonly phase: string;
  readonly correlationId: string;
  readonly [name: string]: unknown;
}

/** Every record of the checked part of every segment, in the order of the journal. */
export function readRecords(directory: string): Read[] {
  const records: Read[] = [];
  for (const name of segments(directory)) {
    const bytes = readFileSync(join(directory, name));
    for (const { start, linkStart } of scanSegment(bytes).groups) {
      for (const line of bytes.toString('utf8', start, linkStart).split('\n'))
        if (line !== '') records.push(JSON.parse(line) as Read);
    }
  }
  return records;
}

export function segments(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => name.endsWith('.ndjson'))
    .sort();
}
