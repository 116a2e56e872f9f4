/** What a caller of the use case `chart` may and may not, before any R4 server that holds what tenant `a` of the world `attack` does. */
import { attackWorld } from '../../../../src/sandbox/world/attack.ts';
import type { WorldDefinition } from '../../../../src/sandbox/world/definition.ts';
import type { Report } from '../report.ts';
import type { ServerClient } from '../server.ts';
import { checkChartBundles } from './bundles.ts';
import { CUSTODIAN, type ChartGate } from './gate.ts';
import { checkChartReads } from './reads.ts';
import { checkChartSearches } from './searches.ts';
import { checkChartWrites } from './writes.ts';

export async function checkChart(report: Report, gate: ChartGate, server: ServerClient): Promise<void> {
  await checkChartReads(report, gate, server);
  await checkChartSearches(report, gate, server);
  await checkChartWrites(report, gate, server);
  await checkChartBundles(report, gate, server);
}

/** The world `attack` with this server as that of tenant `a`. */
export function attackWorldBefore(server: ServerClient): WorldDefinition {
  const organizations = attackWorld.organizations.map((organization) =>
    organization.id === CUSTODIAN && organization.tenant !== undefined
      ? { ...organization, tenant: { ...organization.tenant, fhirUrl: server.base } }
      : organization,
  );
  return { ...attackWorld, name: 'interop', organizations };
}
