import { describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createLogger } from '../../src/log.ts';
import { openDatabase } from '../../src/store/database.ts';
import { openTestDatabase } from '../support/database.ts';

describe('a process that is killed in the middle of committing', () => {
  it('has lost no commit that it acknowledged and left no half of one; its folder opens at once', async () => {
    const test = await openTestDatabase();
    try {
      const location = { ...test.location, directory: join(test.location.directory, 'killed') };
      const acknowledged: string[] = [];
      for (let round = 0; round < 4; round += 1) {
        acknowledged.push(...(await commitAndDie(JSON.stringify(location), `r${round}`, 3 + Math.floor(Math.random() * 60))));
        const database = await openDatabase({ ...location, logger: createLogger('silent') });
        const records = (await database.query.selectFrom('record').select('id').execute()).map((row) => row.id).sort();
        const jobs = (await database.query.selectFrom('job').select('key').execute()).map((row) => row.key).sort();
        await database.close();
        expect(jobs).toEqual(records);
        expect(acknowledged.filter((id) => !records.includes(id))).toEqual([]);
      }
      expect(acknowledged.length).toBeGreaterThan(10);
    } finally {
      await test.close();
    }
  });
});

/** @returns what the process had acknowledged when it was killed, when it had acknowledged at least `atLeast`. */
async function commitAndDie(location: string, prefix: string, atLeast: number): Promise<readonly string[]> {
  const script = join(import.meta.dirname, 'commit-for-ever.ts');
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', script, location, prefix], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    if (output.split('\n').length > atLeast) child.kill('SIGKILL');
  });
  await new Promise((resolve) => child.once('close', resolve));
  // The last line may be cut: not acknowledged.
  return output.split('\n').slice(0, -1);
}
