import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { parseConfig } from '../../../src/config.ts';
import { insist, same, type Scenario } from '../run/scenario.ts';

// Rows about workflows and the API of EHRs, which this world does not have: each is shown by a test of the suite, which is run here, and must have passed.

const ROOT = resolve(import.meta.dirname, '../../..');

/** By row: the file, and how its test is called. */
const SHOWN: readonly (readonly [id: string, title: string, file: string, test: string])[] = [
  [
    'W2',
    'a command that comes twice is done once',
    'test/http/api/idempotency.test.ts',
    'gives a repeat the answer of the first',
  ],
  ['W3', 'the same key with another body is refused', 'test/http/api/idempotency.test.ts', 'and another value for another'],
  ['W5', 'no step backwards, whoever takes it', 'usecases/eoverdracht/task-state.test.ts', 'never leaves a final status'],
  [
    'W6',
    'members that the API does not know are refused',
    'test/http/api/api.test.ts',
    'explains a request to an operator, and to nobody else',
  ],
  [
    'W7',
    'a name that leads to a private address is not called',
    'test/outbound/hostile.test.ts',
    'a name that leads to a private address',
  ],
  [
    'W8',
    'a notification needs a token, and is fetched to be believed',
    'test/conformance/notification.test.ts',
    'needs a token, for this service, of this tenant',
  ],
  ['W9', 'what has ended is closed at once', 'usecases/eoverdracht/policy.test.ts', 'is closed by the ledger alone'],
];

const results = z.object({
  testResults: z.array(z.object({ assertionResults: z.array(z.object({ fullName: z.string(), status: z.string() })) })),
});

let running: Promise<readonly { readonly fullName: string; readonly status: string }[]> | undefined;

function tests(): NonNullable<typeof running> {
  return (running ??= run([...new Set(SHOWN.map(([, , file]) => file))]));
}

async function run(files: readonly string[]): NonNullable<typeof running> {
  const folder = mkdtempSync(join(tmpdir(), 'sluis-attack-tests-'));
  try {
    const output = join(folder, 'results.json');
    const jest = join(ROOT, 'node_modules/jest/bin/jest.js');
    const child = spawn(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', '--experimental-vm-modules', jest, '--json', `--outputFile=${output}`, ...files],
      { cwd: ROOT, stdio: 'ignore' },
    );
    await new Promise((done) => child.once('exit', done));
    return results.parse(JSON.parse(readFileSync(output, 'utf8'))).testResults.flatMap((file) => file.assertionResults);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export const workflowScenarios: readonly Scenario[] = [
  ...SHOWN.map(([id, title, file, test]): Scenario => ({
    id,
    title,
    run: async () => {
      const found = (await tests()).filter(({ fullName }) => fullName.includes(test));
      insist(found.length > 0, `${file} has no test "${test}"`);
      for (const { fullName, status } of found) same(status, 'passed', fullName);
    },
  })),
  {
    id: 'W10',
    title: 'ids that others see are random',
    run: async ({ sandbox }) => {
      const { address } = await sandbox();
      const ids = await Promise.all(
        Array.from({ length: 20 }, async () => {
          const answer = await fetch(`http://${address.host}:${String(address.port)}/a/fhir/Patient/mine`);
          return answer.headers.get('x-request-id') ?? '';
        }),
      );
      same(new Set(ids).size, ids.length, 'different ids');
      for (const id of ids)
        insist(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(id), `${id} is not random`);
    },
  },
  {
    id: 'W15',
    title: 'a setting is what it says: nothing in it is expanded',
    run: () => {
      const text =
        'public: { url: "https://gate.example.com" }\ntenants: { a: { name: "${HOME}{{7*7}}", did: "did:nuts:AAA", node: { url: "http://127.0.0.1:1" }, fhir: { url: "http://127.0.0.1:2/fhir" } } }\n';
      same(
        parseConfig(text, { file: 'sluis.yaml', environment: { HOME: '/root' } }).tenants[0]?.name,
        '${HOME}{{7*7}}',
        'the name',
      );
      return Promise.resolve();
    },
  },
];
