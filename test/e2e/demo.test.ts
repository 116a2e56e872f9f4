import { expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const DEMO = fileURLToPath(new URL('../../src/sandbox/demo.ts', import.meta.url));

/** What the scenario must have shown, each as a refusal in the gate's own status. */
const REFUSALS = [
  ['401 refused', 'without a token'],
  ['401 refused', 'with a token of a minute ago'],
  ['403 refused', "another receiver's Task"],
  ['403 refused', 'nobody searches for Tasks'],
  ['422 refused', 'an answer that changes the owner as well'],
  ['403 refused', 'the hand-off, before it is assigned'],
  ['403 refused', 'without a care worker in the token'],
  ['403 refused', 'of the same patient, but not in the hand-off'],
  ['403 refused', 'the same token, a moment later: its right has ended'],
  ['403 refused', 'the same token, after completion'],
  ['403 refused', 'nothing medical any more'],
  ['422 refused', 'a notice that names the patient goes to nobody'],
] as const;

it('the demo plays the whole transfer, with every answer as expected, and the audit holds', async () => {
  const startedAt = performance.now();
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', DEMO, '--ports', 'auto', '--exit'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, DATABASE_URL: undefined },
  });
  const lines: string[] = [];
  let firstLineMs = Infinity;
  createInterface({ input: child.stdout }).on('line', (line) => {
    firstLineMs = Math.min(firstLineMs, performance.now() - startedAt);
    lines.push(line);
  });
  let errors = '';
  child.stderr.on('data', (chunk) => (errors += String(chunk)));
  const closed: readonly unknown[] = await once(child, 'close');
  const code = closed[0];
  const totalMs = performance.now() - startedAt;
  console.log(`the demo's first line after ${firstLineMs.toFixed(0)} ms, all of it after ${totalMs.toFixed(0)} ms`);

  const output = lines.join('\n');
  expect({ code, errors, wrong: lines.filter((line) => line.includes('WRONG')) }).toEqual({ code: 0, errors: '', wrong: [] });
  // The goals are 3 s and 20 s; a machine that is slow, or runs other tests beside this one, gets far more.
  expect(firstLineMs).toBeLessThan(60_000);
  expect(totalMs).toBeLessThan(240_000);
  for (const [status, words] of REFUSALS) {
    const line = lines.find((each) => each.includes(words));
    expect({ words, line }).toEqual({ words, line: expect.stringContaining(status) });
  }
  for (const words of ['the whole hand-off as one Bundle', 'the attachment, raw', 'completed and closed']) {
    expect(lines.find((line) => line.includes(words))).toContain('200 ok');
  }
  expect(output).toContain('The chains are intact');
  expect(output).toMatch(/\d+ requests in [\d.]+ s, 1[0-9] of them refused as they must be: every answer as expected\./);
  expect(output).toMatch(/documentation: http:\/\/127\.0\.0\.1:\d+\/docs/);
  expect(output).toMatch(/health +http:\/\/127\.0\.0\.1:\d+\/health\/ready/);
  // Aligned for people: a pipe gets no colours.
  expect(output).not.toContain('\u001b');
}, 300_000);
