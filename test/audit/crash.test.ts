import { afterEach, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync, ftruncateSync, closeSync, readFileSync, readdirSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { scanSegment } from '../../src/audit/scan.ts';
import { verifyJournal } from '../../src/audit/verify.ts';
import {
  copyDirectory,
  denial,
  intent,
  makeDirectory,
  open,
  outcome,
  readRecords,
  removeDirectories,
  segments,
} from './support.ts';
import type { Read } from './support.ts';

afterEach(removeDirectories);

/** A1–A3 of the audit: acknowledged is there, every intent has an outcome, no gap, and the chains check. */
async function expectWhole(directory: string, acknowledged: Iterable<string>): Promise<void> {
  const records = readRecords(directory);
  const keys = new Set(records.map((record) => keyOf(record)));
  expect([...acknowledged].filter((key) => !keys.has(key))).toEqual([]);
  const last = new Map<string, number>();
  for (const { tenant, seq } of records) {
    expect(seq).toBe((last.get(tenant) ?? 0) + 1);
    last.set(tenant, seq);
  }
  const closed = new Set(
    records.filter(({ phase }) => phase === 'outcome').map((record) => `${record.tenant} ${String(record['intent'])}`),
  );
  const open = records.filter(({ phase, tenant, seq }) => phase === 'intent' && !closed.has(`${tenant} ${String(seq)}`));
  expect(open).toEqual([]);
  const { breaks, unfinished, torn } = await verifyJournal(directory);
  expect({ breaks, unfinished, torn }).toEqual({ breaks: [], unfinished: [], torn: [] });
}

function keyOf({ tenant, phase, correlationId }: Pick<Read, 'tenant' | 'phase' | 'correlationId'>): string {
  return `${tenant} ${phase} ${correlationId}`;
}

describe('after a crash', () => {
  it('an intent without outcome is closed as interrupted, and counts as disclosed', async () => {
    const directory = makeDirectory();
    const journal = await open(directory);
    await journal.record(intent('a', 'r1'));
    await journal.record(intent('a', 'r2'));
    await journal.record(outcome('a', 'r2'));
    const crashed = copyDirectory(directory);
    await journal.close();
    const again = await open(crashed);
    await again.close();
    const last = readRecords(crashed)
      .filter(({ phase }) => phase === 'outcome')
      .at(-1);
    expect(last).toMatchObject({
      correlationId: 'r1',
      intent: 1,
      outcome: 'interrupted',
      reason: 'interrupted_disclosure_assumed',
      complete: false,
    });
    await expectWhole(crashed, ['a intent r1', 'a intent r2', 'a outcome r2']);
  });

  it('an intent is closed even when it stands many segments back', async () => {
    const directory = makeDirectory();
    const journal = await open(directory);
    await journal.record(intent('a', 'slow'));
    for (let index = 0; index < 400; index += 1) await journal.record(denial('b', `r${String(index)}`));
    expect(segments(directory).length).toBeGreaterThan(2);
    const crashed = copyDirectory(directory);
    await journal.close();
    await (await open(crashed)).close();
    await expectWhole(crashed, ['a intent slow']);
  });

  it('an outcome that is on its way when a segment fills leaves no intent forgotten', async () => {
    const directory = makeDirectory();
    const journal = await open(directory);
    for (let index = 0; segments(directory).length < 3; index += 1) {
      const id = `r${String(index)}`;
      await journal.record(intent('a', id));
      const closing = journal.record(outcome('a', id));
      const crashed = index % 20 === 0 ? copyDirectory(directory) : undefined;
      await closing;
      if (crashed !== undefined) {
        await (await open(crashed)).close();
        await expectWhole(crashed, [`a intent ${id}`]);
      }
    }
    await journal.close();
  });

  it('a torn last write is set aside, and all that was acknowledged stays (any cut, any hole)', async () => {
    const directory = makeDirectory();
    const journal = await open(directory);
    const acknowledged: string[] = [];
    for (let index = 0; index < 5; index += 1) {
      await Promise.all(['a', 'b'].map((tenant) => journal.record(intent(tenant, `r${String(index)}`))));
      acknowledged.push(`a intent r${String(index)}`, `b intent r${String(index)}`);
    }
    const name = segments(directory)[0]!;
    const safe = journal.position().offsetBytes;
    await Promise.all(['a', 'b', 'a', 'b'].map((tenant, index) => journal.record(intent(tenant, `last${String(index)}`))));
    const end = journal.position().offsetBytes;
    const whole = copyDirectory(directory);
    await journal.close();
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: safe, max: end }),
        fc.constantFrom('truncated' as const, 'zeros' as const, 'sector' as const),
        async (cut, kind) => {
          const crashed = copyDirectory(whole);
          // A missing sector begins where a sector does, or where the write did.
          tear(join(crashed, name), kind === 'sector' ? Math.max(safe, cut - (cut % 512)) : cut, end, kind);
          const seen = await verifyJournal(crashed);
          expect(seen.breaks).toEqual([]);
          await (await open(crashed)).close();
          await expectWhole(crashed, acknowledged);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('a segment that the file system emptied before it held anything is set aside', async () => {
    const directory = makeDirectory();
    const journal = await open(directory);
    await journal.record(denial('a', 'r1'));
    await journal.close();
    writeFileSync(join(directory, 'gate.00000002.ndjson'), '');
    const again = await open(directory);
    await again.record(denial('a', 'r2'));
    await again.close();
    expect(readdirSync(directory)).toContain('gate.00000002.ndjson.torn');
    await expectWhole(directory, ['a outcome r1', 'a outcome r2']);
  });

  it('recovers from a crash during recovery, again and again (random histories)', async () => {
    const step = fc.record({
      tenant: fc.constantFrom('a', 'b', 'c'),
      kind: fc.constantFrom('pair' as const, 'intent' as const, 'denial' as const, 'crash' as const, 'restart' as const),
      cut: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), async (steps) => {
        let directory = makeDirectory();
        let journal = await open(directory, { segmentBytes: 16_384 });
        const acknowledged: string[] = [];
        for (const [index, { tenant, kind, cut }] of steps.entries()) {
          const id = `r${String(index)}`;
          switch (kind) {
            case 'pair':
              await journal.record(intent(tenant, id));
              await journal.record(outcome(tenant, id));
              acknowledged.push(`${tenant} intent ${id}`, `${tenant} outcome ${id}`);
              break;
            case 'intent':
              await journal.record(intent(tenant, id));
              acknowledged.push(`${tenant} intent ${id}`);
              break;
            case 'denial':
              await journal.record(denial(tenant, id));
              acknowledged.push(`${tenant} outcome ${id}`);
              break;
            case 'crash':
            case 'restart': {
              const { offsetBytes } = journal.position();
              const pending = journal.record(intent(tenant, id));
              const crashed = kind === 'crash' ? (await pending, copyDirectory(directory)) : directory;
              await pending;
              const written = journal.position();
              await journal.close();
              const file = join(crashed, segments(crashed).at(-1)!);
              if (kind === 'crash' && written.offsetBytes > offsetBytes) {
                tear(
                  file,
                  offsetBytes + Math.floor(cut * (written.offsetBytes - offsetBytes)),
                  written.offsetBytes,
                  cut < 0.5 ? 'zeros' : 'truncated',
                );
              }
              directory = crashed;
              journal = await open(directory, { segmentBytes: 16_384 });
              break;
            }
          }
        }
        await journal.close();
        await (await open(directory)).close();
        await expectWhole(directory, acknowledged);
      }),
      { numRuns: 40 },
    );
  });

  it('finds every acknowledged record after kill -9 of a writer', async () => {
    const directory = makeDirectory();
    const acknowledged = new Set<string>();
    for (let kill = 0; kill < 4; kill += 1) {
      const child = spawn(
        process.execPath,
        ['--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'writer.ts'), directory, String(kill)],
        {
          stdio: ['ignore', 'pipe', 'inherit'],
        },
      );
      let rest = '';
      child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
        const lines = (rest + chunk).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) acknowledged.add(line);
        if (acknowledged.size > (kill + 1) * 700 + kill * 137) child.kill('SIGKILL');
      });
      await once(child, 'close');
    }
    await (await open(directory)).close();
    expect(acknowledged.size).toBeGreaterThan(2800);
    await expectWhole(directory, acknowledged);
  });

  it('goes on after damage, leaves the evidence as it is, and keeps saying so', async () => {
    const directory = makeDirectory();
    const journal = await open(directory);
    for (let index = 0; index < 10; index += 1) await journal.record(denial('a', `r${String(index)}`));
    await journal.close();
    const path = join(directory, segments(directory)[0]!);
    const bytes = readFileSync(path);
    const at = bytes.indexOf('no_live_grant', bytes.indexOf('"correlationId":"r4"'));
    bytes[at] = 'x'.charCodeAt(0);
    writeFileSync(path, bytes);
    const again = await open(directory);
    await again.record(denial('a', 'after'));
    await again.close();
    expect(readFileSync(path).equals(bytes)).toBe(true);
    expect(readRecords(directory).at(-1)).toMatchObject({ seq: 11, correlationId: 'after' });
    const { breaks } = await verifyJournal(directory);
    expect(breaks[0]).toMatchObject({ tenant: 'a', instance: 'gate', firstSequence: 5, lastSequence: 5 });
  });
});

/** What a crash does to the last write, which began somewhere before `cut` and would have reached `end`. */
function tear(path: string, cut: number, end: number, kind: 'truncated' | 'zeros' | 'sector'): void {
  const file = openSync(path, 'r+');
  try {
    if (kind === 'truncated') ftruncateSync(file, cut);
    else {
      const to = kind === 'zeros' ? end : Math.min(end, Math.ceil((cut + 1) / 512) * 512);
      writeSync(file, Buffer.alloc(to - cut), 0, to - cut, cut);
    }
  } finally {
    closeSync(file);
  }
  expect(statSync(path).size).toBeGreaterThan(0);
  expect(scanSegment(readFileSync(path)).header).toBeDefined();
  expect(readdirSync(join(path, '..')).length).toBeGreaterThan(0);
}
