import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Sandbox } from '../../src/sandbox/control/sandbox.ts';
import { startDemoSandbox } from './support.ts';

const hasShell = ['bash', 'curl'].every((program) => spawnSync(program, ['--version']).status === 0);
let sandbox: Sandbox;

beforeAll(async () => {
  sandbox = await startDemoSandbox();
}, 240_000);

afterAll(async () => {
  await sandbox.close();
});

if (!hasShell) process.stderr.write('skipped: the examples of docs/sandbox.md: they need bash and curl\n');

(hasShell ? it : it.skip)(
  'every example of docs/sandbox.md works when it is pasted, one after the other',
  async () => {
    const page = readFileSync(new URL('../../docs/sandbox.md', import.meta.url), 'utf8');
    const blocks = [...page.matchAll(/^```bash\n([\s\S]*?)^```$/gm)].map(([, block = '']) => block);
    expect(blocks.length).toBeGreaterThanOrEqual(6);
    const { public: gate, internal, control } = sandbox.description;
    const script = blocks
      .join('\necho\n')
      .replaceAll('http://127.0.0.1:7080', gate)
      .replaceAll('http://127.0.0.1:7081', internal)
      .replaceAll('http://127.0.0.1:7082', control);
    const child = spawn('bash', ['-euo', 'pipefail', '-c', script], {
      env: { ...process.env, PATH: `${dirname(process.execPath)}:${process.env['PATH'] ?? ''}` },
    });
    let output = '';
    let errors = '';
    child.stdout.on('data', (chunk) => (output += String(chunk)));
    child.stderr.on('data', (chunk) => (errors += String(chunk)));
    const closed: readonly unknown[] = await once(child, 'close');
    expect({ code: closed[0], errors }).toEqual({ code: 0, errors: '' });
    for (const expected of [
      '"Thuiszorg West"',
      '%PDF-1.',
      '"assigned"',
      '"completed"',
      '"resourceType":"Observation"',
      '"gateway":"running"',
    ]) {
      expect(output).toContain(expected);
    }
  },
  300_000,
);
