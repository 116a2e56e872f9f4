import { expect, it } from '@jest/globals';
import { createClock } from '../../src/clock.ts';
import { startSandbox } from '../../src/sandbox/control/sandbox.ts';
import { startSimulatedFhirServer } from '../../src/sandbox/fhir/server.ts';
import { attackResources } from '../../src/sandbox/world/attack.ts';
import { createChartGate, CUSTODIAN } from '../interop/fhir/chart/gate.ts';
import { attackWorldBefore, checkChart } from '../interop/fhir/chart/index.ts';
import { createReport } from '../interop/fhir/report.ts';
import { createServerClient } from '../interop/fhir/server.ts';

it('before the simulated FHIR server the gate holds to every statement that it is held to before a real one', async () => {
  const simulated = await startSimulatedFhirServer({
    name: 'interop',
    version: 'R4',
    clock: createClock(),
    resources: attackResources(CUSTODIAN),
    staleVersionStatus: 409,
  });
  const server = createServerClient(simulated.url);
  const sandbox = await startSandbox({
    definition: attackWorldBefore(server),
    ports: 'auto',
    environment: { ...process.env, DATABASE_URL: undefined },
  });
  const lines: string[] = [];
  const report = createReport((line) => lines.push(line));
  try {
    await checkChart(report, createChartGate(sandbox, server), server);
  } finally {
    await sandbox.close();
    await simulated.close();
  }
  expect(lines.filter((line) => line.startsWith('fail'))).toEqual([]);
  expect(report.close()).toBe(true);
  expect(lines.length).toBeGreaterThan(35);
}, 240_000);
