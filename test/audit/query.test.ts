import { afterEach, describe, expect, it } from '@jest/globals';
import { createScanIndex } from '../../src/audit/scan-index.ts';
import type { AuditIndex, AuditQuery, AuditView } from '../../src/audit/query.ts';
import { denial, event, intent, makeDirectory, open, outcome, removeDirectories } from './support.ts';

afterEach(removeDirectories);

async function all(index: AuditIndex, query: AuditQuery): Promise<AuditView[]> {
  const entries: AuditView[] = [];
  for (let cursor: string | undefined; ;) {
    const page = await index.query({ ...query, ...(cursor === undefined ? {} : { cursor }) });
    entries.push(...page.entries);
    if (page.next === undefined) return entries;
    expect(page.entries).toHaveLength(query.limit);
    cursor = page.next;
  }
}

const ids = (views: readonly AuditView[]): string[] => views.map(({ kind, correlationId }) => `${kind} ${correlationId}`);

describe('a query of the audit', () => {
  it('shows intent and outcome as one, newest first, and only the tenant asked for', async () => {
    const directory = makeDirectory();
    const journal = await open(directory);
    const index = createScanIndex(directory, journal.isOpen);
    await journal.record(intent('a', 'r1'));
    await journal.record(intent('b', 'other'));
    await journal.record(denial('a', 'r2'));
    await journal.record(outcome('a', 'r1'));
    await journal.record(intent('a', 'r3'));
    await journal.record(event('a', 'grant-issued', 'e1'));
    const { entries, next } = await index.query({ tenant: 'a', limit: 50 });
    expect(ids(entries)).toEqual(['event e1', 'unfinished r3', 'access r1', 'access r2']);
    expect(next).toBeUndefined();
    expect(entries[2]).toMatchObject({
      id: 'gate:3',
      outcome: 'permitted',
      status: 200,
      patient: 'Patient/p1',
      requester: { id: 'did:nuts:requester' },
    });
    expect(entries[2]?.endedAt).toBeDefined();
    await journal.close();
  });

  it('never misses what was just recorded', async () => {
    const directory = makeDirectory();
    const journal = await open(directory);
    const index = createScanIndex(directory, journal.isOpen);
    for (let round = 0; round < 150; round += 1) {
      await journal.record(denial('a', `r${String(round)}`));
      if (round % 10 !== 0) continue;
      const { entries } = await index.query({ tenant: 'a', limit: 1 });
      expect(entries[0]?.correlationId).toBe(`r${String(round)}`);
    }
    await journal.close();
  });

  it.each([1, 2, 3, 7])('pages of %i show everything once, over segments, interleaved requests and restarts', async (limit) => {
    const directory = makeDirectory();
    let journal = await open(directory, { segmentBytes: 16_384 });
    const expected: string[] = [];
    for (let round = 0; round < 40; round += 1) {
      await Promise.all([0, 1, 2].map((each) => journal.record(intent('a', `r${String(round)}-${String(each)}`))));
      await journal.record(denial('b', 'other'));
      for (const each of [1, 0, 2]) {
        await journal.record(outcome('a', `r${String(round)}-${String(each)}`));
        expected.unshift(`access r${String(round)}-${String(each)}`);
      }
      if (round % 15 !== 14) continue;
      await journal.close();
      journal = await open(directory, { segmentBytes: 16_384 });
    }
    await journal.record(intent('a', 'open'));
    expect(ids(await all(createScanIndex(directory, journal.isOpen), { tenant: 'a', limit }))).toEqual([
      'unfinished open',
      ...expected,
    ]);
    // The same without the journal's own memory.
    expect(ids(await all(createScanIndex(directory), { tenant: 'a', limit }))).toEqual(['unfinished open', ...expected]);
    await journal.close();
  });

  it('narrows by each condition, and by all together', async () => {
    const directory = makeDirectory();
    const journal = await open(directory);
    const index = createScanIndex(directory, journal.isOpen);
    const at = (second: number): Date => new Date(Date.UTC(2026, 0, 1, 0, 0, second));
    for (let second = 0; second < 10; second += 1) {
      const id = `r${String(second)}`;
      const patient = `Patient/p${String(second % 2)}`;
      const requester = { id: second < 5 ? 'did:nuts:x' : 'did:nuts:y' };
      await journal.record({ ...intent('a', id), at: at(second), patient, requester });
      await journal.record({ ...outcome('a', id), at: at(second), outcome: second % 3 === 0 ? 'failed' : 'permitted' });
    }
    const find = async (query: Partial<AuditQuery>): Promise<string[]> =>
      (await index.query({ tenant: 'a', limit: 100, ...query })).entries.map(({ correlationId }) => correlationId);
    expect(await find({ from: at(7) })).toEqual(['r9', 'r8', 'r7']);
    expect(await find({ to: at(2) })).toEqual(['r1', 'r0']);
    expect(await find({ patient: 'Patient/p1' })).toEqual(['r9', 'r7', 'r5', 'r3', 'r1']);
    expect(await find({ outcome: 'failed' })).toEqual(['r9', 'r6', 'r3', 'r0']);
    expect(await find({ requester: 'did:nuts:x' })).toEqual(['r4', 'r3', 'r2', 'r1', 'r0']);
    expect(await find({ correlationId: 'r4' })).toEqual(['r4']);
    expect(await find({ from: at(1), to: at(8), patient: 'Patient/p1', outcome: 'failed', requester: 'did:nuts:x' })).toEqual([
      'r3',
    ]);
    expect(await find({ patient: 'Patient/p' })).toEqual([]);
    await journal.close();
  });

  it('shows the accesses of several instances in one order', async () => {
    const directory = makeDirectory();
    const [one, two] = [await open(directory, { instance: 'one' }), await open(directory, { instance: 'two' })];
    for (let index = 0; index < 6; index += 1) {
      await (index % 2 === 0 ? one : two).record({
        ...denial('a', `r${String(index)}`),
        at: new Date(1_767_225_600_000 + index),
      });
    }
    const index = createScanIndex(directory);
    expect(ids(await all(index, { tenant: 'a', limit: 2 }))).toEqual(
      ['r5', 'r4', 'r3', 'r2', 'r1', 'r0'].map((id) => `access ${id}`),
    );
    await Promise.all([one.close(), two.close()]);
  });

  it('shows requests without a tenant under the name of their own chain, and refuses a foreign cursor', async () => {
    const directory = makeDirectory();
    const journal = await open(directory);
    const { tenant: _none, ...refusal } = denial('a', 'r1');
    await journal.record({ ...refusal, outcome: 'refused', status: 404, reason: 'unknown_tenant' });
    const index = createScanIndex(directory);
    expect(ids((await index.query({ tenant: '-', limit: 5 })).entries)).toEqual(['access r1']);
    expect((await index.query({ tenant: 'a', limit: 5 })).entries).toEqual([]);
    await expect(index.query({ tenant: 'a', limit: 5, cursor: 'bm9uc2Vuc2U' })).rejects.toMatchObject({
      code: 'invalid_parameter',
    });
    await journal.close();
  });
});
