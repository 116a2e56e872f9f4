/** Every kind of write about one patient, before any R4 server that holds what tenant `a` of the world `attack` does. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { startSandbox, type Sandbox } from '../../../../src/sandbox/control/sandbox.ts';
import type { WorldDefinition } from '../../../../src/sandbox/world/definition.ts';
import { CUSTODIAN, createChartGate } from '../chart/gate.ts';
import { attackWorldBefore } from '../chart/index.ts';
import type { Report } from '../report.ts';
import type { ServerClient } from '../server.ts';
import { checkBatches } from './batches.ts';
import { checkConditionals } from './conditionals.ts';
import { checkDeletes } from './deletes.ts';
import type { WritesGate } from './gate.ts';
import { checkOperations } from './operations.ts';
import { checkPatches } from './patches.ts';
import { checkReferences } from './references.ts';
import { checkTransactions } from './transactions.ts';
import { checkXml } from './xml.ts';

export async function checkWrites(report: Report, sandbox: Sandbox, server: ServerClient): Promise<void> {
  const gate: WritesGate = {
    ...createChartGate(sandbox, server, 'writes'),
    blind: createChartGate(sandbox, server, 'blind'),
    chart: createChartGate(sandbox, server),
    server,
  };
  await checkPatches(report, gate);
  await checkReferences(report, gate);
  await checkDeletes(report, gate);
  await checkConditionals(report, gate);
  await checkBatches(report, gate);
  await checkTransactions(report, gate);
  await checkOperations(report, gate);
  await checkXml(report, gate);
}

/** The world `attack` with this server as that of tenant `a`, where one patient may be written about, and read as XML. */
export async function startWritesWorld(server: ServerClient): Promise<Sandbox> {
  const folder = mkdtempSync(join(tmpdir(), 'sluis-interop-'));
  try {
    const useCase = join(folder, 'writes');
    mkdirSync(useCase);
    // The use case of the tests, as an integrator's folder.
    const source = readFileSync(resolve(import.meta.dirname, '../../../support/writes-use-case.ts'), 'utf8');
    writeFileSync(join(useCase, 'index.ts'), `${source}\nexport default WRITES;\n`);
    const definition = writesWorld(attackWorldBefore(server), useCase);
    return await startSandbox({ definition, ports: 'auto', environment: process.env });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function writesWorld(world: WorldDefinition, useCase: string): WorldDefinition {
  const organizations = world.organizations.map((organization) =>
    organization.id === CUSTODIAN && organization.tenant !== undefined
      ? { ...organization, tenant: { ...organization.tenant, xml: 'relative' as const, useCases: { chart: {}, writes: {} } } }
      : organization,
  );
  return { ...world, organizations, useCaseFolders: [...(world.useCaseFolders ?? []), useCase] };
}
