import { spawnSync } from 'node:child_process';
import { describe, expect, it } from '@jest/globals';

const LOG = new URL('../src/log.ts', import.meta.url).href;

function run(code: string): { readonly lines: readonly Record<string, unknown>[]; readonly status: number | null } {
  const program = `import { createLogger } from ${JSON.stringify(LOG)}; const log = createLogger('info'); ${code}`;
  const args = ['--disable-warning=ExperimentalWarning', '--input-type=module', '--eval', program];
  const { stdout, status } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  const lines = stdout.split('\n').filter((line) => line !== '');
  return { lines: lines.map((line) => JSON.parse(line) as Record<string, unknown>), status };
}

describe('the log', () => {
  it('has every line of a process that ends in the middle of a turn, in their order', () => {
    const { lines, status } = run(`for (let n = 0; n < 2000; n += 1) log.info({ n }, 'x'); process.exit(3);`);
    expect(status).toBe(3);
    expect(lines.map((line) => line['n'])).toEqual(Array.from({ length: 2000 }, (_, n) => n));
  });

  it('has the last words of a process that dies at once', () => {
    expect(run(`log.info('before'); log.fatal('last'); process.kill(process.pid, 'SIGKILL');`).lines).toMatchObject([
      { msg: 'before' },
      { level: 'fatal', msg: 'last' },
    ]);
  });

  it('writes what a turn has logged when that turn ends, not when the process does', () => {
    const { lines } = run(`log.info('now'); setTimeout(() => process.kill(process.pid, 'SIGKILL'), 2_000);`);
    expect(lines).toMatchObject([{ level: 'info', msg: 'now', product: 'sluis' }]);
  });

  it('hides what is named like a token, whoever hands it in', () => {
    const { lines } = run(`log.child({ module: 'm' }).info({ token: 'abc', headers: { authorization: 'Bearer abc' } }, 'x');`);
    expect(JSON.stringify(lines)).not.toContain('abc');
    expect(lines).toHaveLength(1);
  });
});
