import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { appendFileSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runAuditVerify } from '../../src/cli/audit.ts';
import { scanSegment } from '../../src/audit/scan.ts';
import { verifyJournal } from '../../src/audit/verify.ts';
import type { ChainBreak } from '../../src/audit/verify.ts';
import { copyDirectory, denial, event, intent, makeDirectory, open, outcome, removeDirectories, segments } from './support.ts';

/** Three runs of two tenants: three segments, each sealed; the second run was killed in the middle. */
let original = '';

beforeAll(async () => {
  let directory = makeDirectory();
  for (let run = 0; run < 3; run += 1) {
    const journal = await open(directory);
    for (const tenant of ['a', 'b']) {
      await Promise.all([0, 1].map((index) => journal.record(intent(tenant, `r${String(run)}${String(index)}`))));
      await journal.record(outcome(tenant, `r${String(run)}0`));
      await journal.record(denial(tenant, `d${String(run)}`));
    }
    await journal.record(event(undefined, 'process-stop'));
    const crashed = run === 1 ? copyDirectory(directory) : directory;
    await journal.close();
    directory = crashed;
  }
  original = directory;
});
afterAll(removeDirectories);

async function breaksAfter(change: (directory: string, names: string[]) => void): Promise<readonly ChainBreak[]> {
  const directory = copyDirectory(original);
  change(directory, segments(directory));
  return (await verifyJournal(directory)).breaks;
}

function edit(path: string, change: (text: string) => string): void {
  writeFileSync(path, change(readFileSync(path, 'utf8')));
}

describe('verification of the journal', () => {
  it('finds nothing in what was written and left alone, also after a kill', async () => {
    const result = await verifyJournal(original);
    // The third run's intents r21 were open when it was closed: named, and no break.
    expect(result).toMatchObject({ breaks: [], torn: [], segments: 3, chains: 3, instances: ['gate'] });
    expect(result.unfinished.map(({ tenant, correlationId }) => `${tenant} ${correlationId}`)).toEqual(['a r21', 'b r21']);
  });

  it('finds any single byte that was changed', async () => {
    const directory = makeDirectory();
    for (let run = 0; run < 2; run += 1) {
      const journal = await open(directory);
      const plain = { tenant: 'a', correlationId: 'r', at: new Date(), path: 'Task/1' };
      await journal.record({ phase: 'intent', ...plain });
      await Promise.all([
        journal.record(outcome('a', 'r')),
        journal.record(event('b', 'grant-issued')),
        journal.record(event('a', 'x')),
      ]);
      await journal.close();
    }
    const missed: string[] = [];
    let tried = 0;
    for (const name of segments(directory)) {
      const path = join(directory, name);
      const bytes = readFileSync(path);
      for (let at = 0; at < bytes.length; at += 1) {
        const before = bytes[at] ?? 0;
        // Every third byte is set to NUL, which is what a torn write would leave; the others get one bit turned.
        bytes[at] = at % 3 === 0 ? 0 : before ^ (1 << (at % 8));
        tried += 1;
        writeFileSync(path, bytes);
        if ((await verifyJournal(directory)).breaks.length === 0) missed.push(`${name}:${String(at)}`);
        bytes[at] = before;
      }
      writeFileSync(path, bytes);
    }
    expect(tried).toBeGreaterThan(3_000);
    expect(missed).toEqual([]);
  }, 240_000);

  it('names tenant, instance, sequences and lines of an edit', async () => {
    const breaks = await breaksAfter((directory, names) => {
      edit(join(directory, names[0]!), (text) =>
        text.replace('"correlationId":"d0","outcome":"denied"', '"correlationId":"d0","outcome":"failed"'),
      );
    });
    const lines = readFileSync(join(original, segments(original)[0]!), 'utf8').split('\n');
    const line = lines.findIndex((text) => text.includes('"tenant":"a"') && text.includes('"d0"')) + 1;
    expect(breaks[0]).toMatchObject({
      file: segments(original)[0],
      instance: 'gate',
      tenant: 'a',
      firstSequence: 4,
      lastSequence: 4,
      firstLine: line,
    });
  });

  it('finds a record that was taken out, with or without its link', async () => {
    const record = await breaksAfter((directory, names) => {
      edit(join(directory, names[0]!), (text) => text.replace(/^\{"seq":4,"tenant":"a".*\n/m, ''));
    });
    expect(record.length).toBeGreaterThan(0);
    const share = await breaksAfter((directory, names) => {
      edit(join(directory, names[0]!), (text) => text.replace(/^\{"seq":4,"tenant":"a".*\n.*\n/m, ''));
    });
    expect(share.length).toBeGreaterThan(0);
  });

  it('finds two records, or two shares, that changed places', async () => {
    const records = await breaksAfter((directory, names) => {
      edit(join(directory, names[0]!), (text) =>
        text.replace(/^(\{"seq":1,"tenant":"a".*\n)(\{"seq":2,"tenant":"a".*\n)/m, '$2$1'),
      );
    });
    expect(records[0]).toMatchObject({ tenant: 'a', firstSequence: 1, lastSequence: 2 });
    const shares = await breaksAfter((directory, names) => {
      const path = join(directory, names[0]!);
      const bytes = readFileSync(path);
      const [first, second] = scanSegment(bytes).groups;
      const swapped = [
        bytes.subarray(0, first!.start),
        bytes.subarray(second!.start, second!.end),
        bytes.subarray(first!.start, first!.end),
      ];
      writeFileSync(path, Buffer.concat([...swapped, bytes.subarray(second!.end)]));
    });
    expect(shares.length).toBeGreaterThan(0);
  });

  it('finds records that come twice', async () => {
    const breaks = await breaksAfter((directory, names) => {
      const path = join(directory, names[0]!);
      const bytes = readFileSync(path);
      const last = scanSegment(bytes).groups.at(-1)!;
      writeFileSync(
        path,
        Buffer.concat([bytes.subarray(0, last.end), bytes.subarray(last.start, last.end), bytes.subarray(last.end)]),
      );
    });
    expect(breaks.length).toBeGreaterThan(0);
  });

  it.each([0, 1])('finds that segment %i is missing', async (index) => {
    const breaks = await breaksAfter((directory, names) => {
      rmSync(join(directory, names[index]!));
    });
    expect(breaks[0]?.problem).toContain('missing');
  });

  it('finds that an earlier segment lost its end, at any byte', async () => {
    const { length } = readFileSync(join(original, segments(original)[1]!));
    for (const cut of [1, 60, 500, 900]) {
      const breaks = await breaksAfter((directory, names) => {
        truncateSync(join(directory, names[1]!), length - cut);
      });
      expect(breaks.length).toBeGreaterThan(0);
    }
  });

  it('finds what was added after the end', async () => {
    const breaks = await breaksAfter((directory, names) => {
      appendFileSync(join(directory, names[2]!), '{"seq":99,"tenant":"a"}\n');
    });
    expect(breaks[0]?.problem).toContain('seal');
  });

  it('finds a segment of another journal in the place of one of this', async () => {
    const other = makeDirectory();
    const journal = await open(other);
    await journal.record(denial('a', 'x'));
    await journal.close();
    const breaks = await breaksAfter((directory, names) => {
      writeFileSync(join(directory, names[0]!), readFileSync(join(other, names[0]!)));
    });
    expect(breaks.length).toBeGreaterThan(0);
  });

  it('tells a write under way from damage', async () => {
    const directory = makeDirectory();
    const journal = await open(directory);
    await journal.record(denial('a', 'r1'));
    expect((await verifyJournal(directory)).breaks).toEqual([]);
    await journal.close();
  });
});

describe('sluis audit verify', () => {
  async function run(directory: string): Promise<{ code: number; text: string }> {
    const lines: string[] = [];
    const code = await runAuditVerify(directory, (line) => lines.push(line));
    return { code, text: lines.join('\n') };
  }

  it('says intact, with 0', async () => {
    const { code, text } = await run(original);
    expect(code).toBe(0);
    expect(text).toContain('3 segments, 3 chains, written by gate');
    expect(text).toContain('intact');
  });

  it('names the first broken link and its records, with 1', async () => {
    const directory = copyDirectory(original);
    edit(join(directory, segments(directory)[0]!), (text) => text.replace('"path":"Task/1"', '"path":"Task/2"'));
    const { code, text } = await run(directory);
    expect(code).toBe(1);
    expect(text).toMatch(
      /BROKEN: gate\.00000001\.ndjson, lines 2 to 4 \(tenant a, instance gate, records 1 to 2\): the hash does not fit/,
    );
  });

  it('says what to do when there is no journal, with 2', async () => {
    const { code, text } = await run(makeDirectory());
    expect(code).toBe(2);
    expect(text).toContain('Name the directory');
    expect((await run('/nowhere/at/all')).code).toBe(2);
  });
});
