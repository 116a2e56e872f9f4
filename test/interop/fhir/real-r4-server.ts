/**
 * The gateway before a real FHIR server of version R4 that accepts client ids: `FHIR_R4_URL` is its base. Loads what tenant `a` of the world
 * `attack` holds, tries what a caller of the use case `chart` may and may not, and runs the attack suite against the gate. Everything that
 * is written has ids of its own or is invented; nevertheless never name a server that holds data of people.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { startSandbox } from '../../../src/sandbox/control/sandbox.ts';
import { at, insist } from '../../../src/sandbox/scenario/step.ts';
import { attackResources, marker } from '../../../src/sandbox/world/attack.ts';
import { createChartGate, CUSTODIAN, storedIds, type ChartGate } from './chart/gate.ts';
import { attackWorldBefore, checkChart } from './chart/index.ts';
import { createReport } from './report.ts';
import { checkWrites, startWritesWorld } from './writes/index.ts';
import { createServerClient, exchange, loadResources, type ServerClient } from './server.ts';
import { same } from './store-checks.ts';

const { FHIR_R4_URL } = process.env;
const report = createReport((line) => console.log(line));
if (FHIR_R4_URL === undefined) console.log('skip  all: set FHIR_R4_URL');
else await run(createServerClient(FHIR_R4_URL));
process.exit(report.close() ? 0 : 1);

async function run(server: ServerClient): Promise<void> {
  const loaded = await report.check('the server is R4 and takes the resources of the world by PUT', async () => {
    const { json } = await server.send('GET', '/metadata?_summary=true');
    same(String(at(json, 'fhirVersion')).split('.')[0], '4');
    await loadResources(server, attackResources(CUSTODIAN));
    await forget(server);
    return true;
  });
  if (loaded === undefined) return;
  const sandbox = await report.check('the world attack starts, with the real server as that of a', () =>
    startSandbox({ definition: attackWorldBefore(server), ports: 'auto', environment: process.env }),
  );
  if (sandbox === undefined) return;
  try {
    const gate = createChartGate(sandbox, server);
    await report.check('health: every part is up', async () => {
      const { status, text } = await exchange(`${sandbox.description.internal}/health/ready`, { method: 'GET' });
      same([status, text.includes(new URL(server.base).host)], [200, false]);
    });
    await checkChart(report, gate, server);
    await checkAllWrites(server);
    const said = await report.check('the attack suite finds nothing', () => attack(gate));
    if (said !== undefined) report.line(`      ${said.join('\n      ')}`);
  } finally {
    await sandbox.close();
    await forget(server).catch((error: unknown) => report.line(`what was created is still there: ${String(error)}`));
  }
}

/** Writes of every kind, in a world of their own: there XML can be had, which the attack suite does not expect. */
async function checkAllWrites(server: ServerClient): Promise<void> {
  const sandbox = await report.check('a world starts in which one patient may be written about', () => startWritesWorld(server));
  if (sandbox === undefined) return;
  try {
    await checkWrites(report, sandbox, server);
  } finally {
    await sandbox.close();
  }
}

/** Deletes what a run has created: observations of the two patients that the world does not hold. */
async function forget(server: ServerClient): Promise<void> {
  const own = new Set(attackResources(CUSTODIAN).map(({ resourceType, id }) => `${resourceType}/${id}`));
  const created = async (): Promise<readonly string[]> => {
    const found = await Promise.all(['mine', 'other'].map((who) => storedIds(server, `patient=Patient/${who}`)));
    return found.flat().filter((name) => !own.has(name));
  };
  // What others refer to can be deleted after them only.
  for (let round = 0; round < 3; round += 1) for (const name of await created()) await server.send('DELETE', `/${name}`);
  const left = await created();
  insist(left.length === 0, `${left.join(', ')} cannot be deleted`);
}

/** The part of the suite that needs no inside view, in a process of its own; the simulated nodes live in this one, and must go on. */
async function attack(gate: ChartGate): Promise<readonly string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'sluis-interop-'));
  try {
    const file = join(folder, 'token');
    writeFileSync(file, await gate.token('c'), { mode: 0o600 });
    const args = ['--base', gate.base, '--token-file', file, '--leak', marker(CUSTODIAN, 'other')];
    const { stdout, stderr } = await runNode(resolve(import.meta.dirname, '../../attack/main.ts'), args);
    const lines = stdout.trim().split('\n');
    const last = lines.at(-1) ?? '';
    insist(/^\d+ passed, \d+ failed/.test(last), `it ended with ${last} ${stderr}`);
    const wrong = lines.filter((line) => line.includes('FAILED') || line.startsWith('    '));
    insist(last.endsWith(' 0 failed'), [...wrong, last].join('\n'));
    return [...lines.filter((line) => line.startsWith('  refused')).map((line) => line.trim()), last];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Ended {
  readonly stdout: string;
  readonly stderr: string;
}

function runNode(program: string, args: readonly string[]): Promise<Ended> {
  return new Promise((done) => {
    const all = ['--disable-warning=ExperimentalWarning', program, ...args];
    execFile(process.execPath, all, { timeout: 600_000, maxBuffer: 64 * 1024 * 1024 }, (_error, stdout, stderr) => {
      done({ stdout, stderr });
    });
  });
}
