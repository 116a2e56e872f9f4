// `npm test`: every test, once on SQLite and, where a PostgreSQL can be had, once more on that. Arguments go through to jest.
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { startPostgres } from '../test/support/postgres.ts';

interface Outcome {
  readonly passed: number;
  readonly failed: number;
  readonly ok: boolean;
}

const results = z.object({ numPassedTests: z.number(), numFailedTests: z.number(), numRuntimeErrorTestSuites: z.number() });
const folder = mkdtempSync(join(tmpdir(), 'sluis-results-'));
let stopServer: () => void = () => undefined;
let child: ChildProcess | undefined;

process.on('exit', () => {
  stopServer();
  rmSync(folder, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    child?.kill(signal);
    process.exit(130);
  });
}
process.exitCode = (await main(process.argv.slice(2))) ? 0 : 1;

async function main(args: readonly string[]): Promise<boolean> {
  const outcomes = new Map<string, Outcome>();
  console.log('— on SQLite');
  outcomes.set('sqlite', await runJest('sqlite', args, undefined));

  const url = await findPostgres();
  if (url !== undefined) {
    console.log('— on PostgreSQL');
    outcomes.set('postgresql', await runJest('postgresql', args, url));
  }
  stopServer();

  let [passed, failed, ok] = [0, 0, true];
  for (const [name, outcome] of outcomes) {
    console.log(`${name}: ${outcome.passed} passed, ${outcome.failed} failed`);
    passed += outcome.passed;
    failed += outcome.failed;
    ok &&= outcome.ok;
  }
  console.log(`${passed} passed, ${failed} failed`);
  return ok;
}

/** The server that is named, or one of this machine's own packages; undefined, and a line that says why, when there is none. */
async function findPostgres(): Promise<string | undefined> {
  const named = process.env['SLUIS_TEST_DATABASE_URL'];
  if (named !== undefined && named !== '') return named;
  const started = await startPostgres();
  if ('unavailable' in started) {
    console.log(`— PostgreSQL: skipped, ${started.unavailable}; a running server can be named in SLUIS_TEST_DATABASE_URL`);
    return undefined;
  }
  stopServer = () => started.server.stop();
  return started.server.url;
}

async function runJest(name: string, args: readonly string[], url: string | undefined): Promise<Outcome> {
  const file = join(folder, `${name}.json`);
  const jest = resolve(import.meta.dirname, '../node_modules/jest/bin/jest.js');
  const flags = [
    '--disable-warning=ExperimentalWarning',
    '--experimental-vm-modules',
    jest,
    '--json',
    `--outputFile=${file}`,
    ...args,
  ];
  const { SLUIS_TEST_DATABASE_URL: _, ...environment } = process.env;
  const env = url === undefined ? environment : { ...environment, SLUIS_TEST_DATABASE_URL: url };
  // jest reports on stderr; its stdout is only the note where the JSON went.
  child = spawn(process.execPath, flags, {
    stdio: ['inherit', 'ignore', 'inherit'],
    env,
    cwd: resolve(import.meta.dirname, '..'),
  });
  const status = await new Promise<number>((done, fail) => {
    child?.once('error', fail);
    child?.once('exit', (code) => done(code ?? 1));
  });
  return readOutcome(file, status);
}

function readOutcome(file: string, status: number): Outcome {
  // jest writes nothing when it did not come to run tests.
  if (!existsSync(file)) return { passed: 0, failed: 1, ok: false };
  const { numPassedTests, numFailedTests, numRuntimeErrorTestSuites } = results.parse(JSON.parse(readFileSync(file, 'utf8')));
  // A file that cannot be loaded has no tests to count, and has failed nevertheless; so has a run that ended badly for another reason.
  const failed = numFailedTests + numRuntimeErrorTestSuites;
  return { passed: numPassedTests, failed: status !== 0 && failed === 0 ? 1 : failed, ok: status === 0 };
}
