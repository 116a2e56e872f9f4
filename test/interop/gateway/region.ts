/** A region of real nodes around the real gateway: `startRegion`. Only the FHIR servers are simulated. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { createClock } from '../../../src/clock.ts';
import { DOSSIER_NAMES, loadDossier } from '../../../src/sandbox/dossier/index.ts';
import { startSimulatedFhirServer, type SimulatedFhirServer } from '../../../src/sandbox/fhir/server.ts';
import { createGatewayProcess, type GatewayProcess } from '../../../src/sandbox/gateway-process.ts';
import { demoWorld } from '../../../src/sandbox/world/demo.ts';
import { freePorts, type Ports } from '../../../src/sandbox/world/ports.ts';
import { object, string } from '../../contract/nuts/peer-pair.ts';
import { startOrganizations, type RealOrganization } from './organizations.ts';

export interface RegionMember extends RealOrganization {
  readonly fhir: SimulatedFhirServer;
  readonly apiKey: string;
  readonly operatorKey: string;
}

export interface Region {
  /** `http://127.0.0.1:port` of the gateway's listeners. */
  readonly public: string;
  readonly internal: string;
  readonly gateway: GatewayProcess;
  readonly auditDirectory: string;
  /** By tenant id: the organisations of the demo. */
  member(id: string): RegionMember;
  /** The last lines of the gateway's log. */
  log(lines: number): Promise<string>;
  close(): Promise<void>;
}

export interface RegionOptions {
  /** The node of the sender, and of the receiver that does not get the patient. */
  readonly binary: string;
  /** The node of the receiver that gets the patient. */
  readonly binaryB: string;
  readonly gossipMs: number;
}

export async function startRegion({ binary, binaryB, gossipMs }: RegionOptions): Promise<Region> {
  const closers: (() => Promise<unknown>)[] = [];
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  try {
    const directory = await mkdtemp(join(tmpdir(), 'sluis-interop-'));
    closers.push(() => rm(directory, { recursive: true, force: true }));
    const ports = await freePorts();
    const publicUrl = `http://127.0.0.1:${ports.public}`;
    const plans = demoWorld.organizations.map(({ id, name, city }) => ({
      id,
      name,
      city,
      binary: id === 'thuiszorg-west' ? binaryB : binary,
      services: {
        'eOverdracht-sender': { fhir: `${publicUrl}/${id}/fhir` },
        'eOverdracht-receiver': { notification: `${publicUrl}/${id}/eoverdracht/notification` },
      },
    }));
    const organizations = await startOrganizations(plans, join(directory, 'nodes'), gossipMs, closers);
    const fhirServers = new Map<string, SimulatedFhirServer>();
    for (const name of DOSSIER_NAMES) {
      const fhir = await startSimulatedFhirServer({
        name,
        version: 'STU3',
        clock: createClock(),
        resources: loadDossier(name),
      });
      closers.push(() => fhir.close());
      fhirServers.set(name, fhir);
    }
    const parts = organizations.map((organization) => {
      const fhir = fhirServers.get(organization.id);
      if (fhir === undefined) throw new Error(`there is no dossier of ${organization.id}`);
      return { ...organization, fhir };
    });

    const configFile = join(directory, 'sluis.yaml');
    const logFile = join(directory, 'gateway.log');
    // JSON is YAML.
    await writeFile(configFile, JSON.stringify(configuration(ports, parts)));
    const gateway = createGatewayProcess({ configFile, logFile, clockOffsetMs: () => 0, environment: process.env });
    closers.push(() => gateway.close());
    await gateway.start();
    const keyOf = async (tenant: string, role: 'ehr' | 'operator'): Promise<string> =>
      string(object(await gateway.ask({ type: 'create-api-key', tenant, role }))['key']);
    const members = new Map<string, RegionMember>();
    for (const part of parts) {
      const { id } = part;
      members.set(id, { ...part, apiKey: await keyOf(id, 'ehr'), operatorKey: await keyOf(id, 'operator') });
    }
    return {
      public: publicUrl,
      internal: `http://127.0.0.1:${ports.internal}`,
      gateway,
      auditDirectory: join(directory, 'data/audit'),
      member: (id) => {
        const found = members.get(id);
        if (found === undefined) throw new Error(`${id} is not in this region`);
        return found;
      },
      log: async (lines) => (await readFile(logFile, 'utf8')).trimEnd().split('\n').slice(-lines).join('\n'),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function configuration(
  ports: Ports,
  parts: readonly (Pick<RealOrganization, 'id' | 'name' | 'did' | 'node'> & { readonly fhir: SimulatedFhirServer })[],
): unknown {
  return {
    // Nodes, FHIR servers and the other parties are on loopback, over http.
    mode: 'development',
    public: { host: '127.0.0.1', port: ports.public, url: `http://127.0.0.1:${ports.public}` },
    internal: { host: '127.0.0.1', port: ports.internal },
    dataDirectory: './data',
    audit: { segmentBytes: 4_194_304, minimumFreeBytes: 16_777_216 },
    limits: { drainMs: 5_000 },
    tenants: Object.fromEntries(
      parts.map(({ id, name, did, node, fhir }) => [
        id,
        { name, did, node: { url: node }, fhir: { url: fhir.url, version: 'STU3' }, useCases: { eoverdracht: {} } },
      ]),
    ),
  };
}
