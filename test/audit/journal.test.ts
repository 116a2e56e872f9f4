import { afterEach, describe, expect, it } from '@jest/globals';
import { existsSync, readFileSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { openJournal } from '../../src/audit/journal.ts';
import { verifyJournal } from '../../src/audit/verify.ts';
import {
  clock,
  copyDirectory,
  denial,
  event,
  intent,
  makeDirectory,
  open,
  outcome,
  readRecords,
  removeDirectories,
  segments,
  silent,
} from './support.ts';

afterEach(removeDirectories);

describe('the audit journal', () => {
  it('has a record on disk, in lines that people can read, before it says so', async () => {
    const directory = makeDirectory();
    const journal = await open(directory);
    await journal.record(intent('a', 'r1'));
    // A copy made now is what a crash would leave.
    const [record] = readRecords(copyDirectory(directory));
    expect(record).toMatchObject({
      seq: 1,
      tenant: 'a',
      phase: 'intent',
      correlationId: 'r1',
      patient: 'Patient/p1',
      grant: 'grant-1',
    });
    await journal.close();
  });

  it('counts per tenant without gaps, and closes an intent by its sequence', async () => {
    const directory = makeDirectory();
    const journal = await open(directory);
    await Promise.all(['a', 'b', 'a'].map((tenant, index) => journal.record(intent(tenant, `r${String(index)}`))));
    await Promise.all(['a', 'b', 'a'].map((tenant, index) => journal.record(outcome(tenant, `r${String(index)}`))));
    await journal.record(denial('b', 'r4'));
    await journal.record(event(undefined, 'process-stop'));
    await journal.close();
    const seen = readRecords(directory).map(({ tenant, seq, phase, intent: closes }) => [tenant, seq, phase, closes]);
    expect(seen.filter(([tenant]) => tenant === 'a')).toEqual([
      ['a', 1, 'intent', undefined],
      ['a', 2, 'intent', undefined],
      ['a', 3, 'outcome', 1],
      ['a', 4, 'outcome', 2],
    ]);
    expect(seen.filter(([tenant]) => tenant === 'b').at(-1)).toEqual(['b', 3, 'outcome', undefined]);
    expect(seen.filter(([tenant]) => tenant === '-')).toEqual([['-', 1, 'event', undefined]]);
    expect((await verifyJournal(directory)).breaks).toEqual([]);
  });

  it('tells apart the look-ups of one request by their part', async () => {
    const directory = makeDirectory();
    const journal = await open(directory);
    await journal.record(intent('a', 'r1'));
    await journal.record({ ...intent('a', 'r1'), part: 'lookup-1' });
    await journal.record({ ...outcome('a', 'r1'), part: 'lookup-1' });
    await journal.record(outcome('a', 'r1'));
    await journal.close();
    expect(readRecords(directory).map((record) => record['intent'])).toEqual([undefined, undefined, 2, 1]);
  });

  it('writes what gathers during one write with the next, as one batch', async () => {
    const directory = makeDirectory();
    const journal = await open(directory, { segmentBytes: 1 << 20 });
    const first = journal.record(intent('a', 'first'));
    // What comes within two turns goes with it.
    for (let turn = 0; turn < 2; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    const rest = Array.from({ length: 50 }, (_each, index) => journal.record(intent('a', `r${String(index)}`)));
    await Promise.all([first, ...rest]);
    expect(journal.stats()).toMatchObject({ records: 51, batches: 2, openIntents: 51, waiting: 0 });
    await journal.close();
  });

  it('goes on in the next segment when one is full, and the chains with it', async () => {
    const directory = makeDirectory();
    const journal = await open(directory);
    for (let round = 0; round < 60; round += 1) {
      await Promise.all(
        Array.from({ length: 10 }, (_each, index) =>
          journal.record(intent(`t${String(index % 3)}`, `${String(round)}-${String(index)}`)),
        ),
      );
      await Promise.all(
        Array.from({ length: 10 }, (_each, index) =>
          journal.record(outcome(`t${String(index % 3)}`, `${String(round)}-${String(index)}`)),
        ),
      );
    }
    await journal.close();
    expect(segments(directory).length).toBeGreaterThan(3);
    const result = await verifyJournal(directory);
    expect(result).toMatchObject({ breaks: [], unfinished: [], torn: [], records: 1200, chains: 3 });
    // A finished segment is as long as what was used of it.
    expect(readFileSync(join(directory, segments(directory)[0]!)).includes(0)).toBe(false);
  });

  it('goes on where the previous process of the instance ended', async () => {
    const directory = makeDirectory();
    for (let start = 0; start < 3; start += 1) {
      const journal = await open(directory);
      await journal.record(denial('a', `r${String(start)}`));
      await journal.close();
    }
    expect(readRecords(directory).map(({ seq, correlationId }) => [seq, correlationId])).toEqual([
      [1, 'r0'],
      [2, 'r1'],
      [3, 'r2'],
    ]);
    expect(segments(directory)).toHaveLength(3);
    expect((await verifyJournal(directory)).breaks).toEqual([]);
  });

  it('keeps the name of its instance in the directory', async () => {
    const directory = makeDirectory();
    const first = await openJournal({ directory, clock, logger: silent, segmentBytes: 65_536, minFreeBytes: 0 });
    await first.close();
    const second = await openJournal({ directory, clock, logger: silent, segmentBytes: 65_536, minFreeBytes: 0 });
    await second.close();
    expect(second.instance).toBe(first.instance);
    expect(first.instance).toMatch(/^g-[0-9a-f]{10}$/);
  });

  it('does not let a second process write the same chains', async () => {
    const directory = makeDirectory();
    const journal = await open(directory);
    await expect(open(directory)).rejects.toMatchObject({ code: 'audit_unavailable' });
    const other = await open(directory, { instance: 'other' });
    await other.record(denial('a', 'r1'));
    await other.close();
    await journal.close();
    expect((await verifyJournal(directory)).breaks).toEqual([]);
  });

  it('admits nothing once a write has failed, until it is opened again', async () => {
    const directory = makeDirectory();
    const journal = await open(directory);
    await journal.record(intent('a', 'r1'));
    expect(journal.health()).toEqual({ ok: true });
    renameSync(directory, `${directory}-gone`);
    const written = Array.from({ length: 300 }, (_each, index) => journal.record(intent('a', `x${String(index)}`)));
    const results = await Promise.allSettled(written);
    expect(results.some(({ status }) => status === 'rejected')).toBe(true);
    renameSync(`${directory}-gone`, directory);
    await expect(journal.record(outcome('a', 'r1'))).rejects.toMatchObject({ code: 'audit_unavailable' });
    expect(journal.health().ok).toBe(false);
    await journal.close();
    const again = await open(directory);
    await again.close();
    const { breaks, unfinished } = await verifyJournal(directory);
    expect(breaks).toEqual([]);
    expect(unfinished).toEqual([]);
    const acknowledged = results.flatMap(({ status }, index) => (status === 'fulfilled' ? [`x${String(index)}`] : []));
    const found = new Set(readRecords(directory).map(({ correlationId }) => correlationId));
    expect(acknowledged.filter((id) => !found.has(id))).toEqual([]);
  });

  it('admits no new request when the disk is nearly full, but takes the outcome of one under way', async () => {
    const directory = makeDirectory();
    const journal = await open(directory, { minFreeBytes: Number.MAX_SAFE_INTEGER });
    await journal.record(intent('a', 'r1'));
    while (journal.health().ok) await new Promise((resolve) => setTimeout(resolve, 5));
    await expect(journal.record(intent('a', 'r2'))).rejects.toMatchObject({ code: 'audit_unavailable' });
    await expect(journal.record(denial('a', 'r3'))).rejects.toMatchObject({ code: 'audit_unavailable' });
    await journal.record(outcome('a', 'r1'));
    await journal.close();
    expect(readRecords(directory).map(({ phase }) => phase)).toEqual(['intent', 'outcome']);
  });

  it('writes what waits when it is closed, and takes nothing after that', async () => {
    const directory = makeDirectory();
    const journal = await open(directory);
    const waiting = Array.from({ length: 20 }, (_each, index) => journal.record(denial('a', `r${String(index)}`)));
    await Promise.all([...waiting, journal.close()]);
    await expect(journal.record(denial('a', 'late'))).rejects.toMatchObject({ code: 'audit_unavailable' });
    expect(readRecords(directory)).toHaveLength(20);
    expect(existsSync(join(directory, 'gate.spare'))).toBe(false);
  });

  it('allocates a segment before it writes into it', async () => {
    const directory = makeDirectory();
    const journal = await open(directory);
    const path = join(directory, segments(directory)[0]!);
    const before = statSync(path).size;
    await journal.record(intent('a', 'r1'));
    expect(statSync(path).size).toBe(before);
    expect(before).toBeGreaterThanOrEqual(65_536);
    await journal.close();
  });
});
