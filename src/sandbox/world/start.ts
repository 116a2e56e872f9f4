/** A world that runs: `startWorld`. The gateway, a simulated node per organisation, a FHIR server and a relay per tenant. */
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { z } from 'zod';
import { createClock, type Clock } from '../../clock.ts';
import { startSimulatedFhirServer } from '../fhir/server.ts';
import { createGatewayProcess, type GatewayProcess } from '../gateway-process.ts';
import { createSimulatedNetwork, startSimulatedNode, type SimulatedNetwork } from '../node/index.ts';
import { startRelay } from '../relay.ts';
import { gatewayConfig } from './config.ts';
import type { OrganizationDefinition, WorldDefinition } from './definition.ts';
import { createObservedFaults } from './faults.ts';
import type { Ports } from './ports.ts';
import type { Part, RunningOrganization, SandboxClock, World } from './world.ts';

export interface WorldOptions {
  readonly definition: WorldDefinition;
  readonly ports: Ports;
  /** Keeps the gateway's data here; a folder that is removed at the end by default. */
  readonly folder?: string;
  /** The environment of the gateway: `DATABASE_URL` in it selects PostgreSQL. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Starts a world; resolves when the gateway is ready. @throws Error with the gateway's last words when it does not become so */
export async function startWorld(options: WorldOptions): Promise<World> {
  const { definition, ports, environment } = options;
  const clock = createSandboxClock();
  const closers: (() => Promise<unknown>)[] = [];
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  try {
    const folder = options.folder === undefined ? await temporaryFolder(closers) : resolve(options.folder);
    const dataDirectory = join(folder, 'data');
    await mkdir(dataDirectory, { recursive: true });
    const logFile = join(folder, 'gateway.log');
    const configFile = join(folder, 'sluis.yaml');
    const publicUrl = `http://127.0.0.1:${ports.public}`;

    const network = createSimulatedNetwork({ clock });
    const parts: Part[] = [];
    for (const organization of definition.organizations) {
      parts.push(await startOrganization(organization, { network, clock, publicUrl, closers }));
    }
    const useCaseFolders = await copyUseCases(definition.useCaseFolders ?? [], closers);
    await writeFile(configFile, gatewayConfig(ports, parts, useCaseFolders));

    const gateway = createGatewayProcess({
      configFile,
      logFile,
      clockOffsetMs: clock.offsetMs,
      environment,
      onLost: (why) => console.error(`sandbox: ${why}; its log is ${logFile}`),
    });
    closers.push(() => gateway.close());
    await gateway.start();
    const organizations: RunningOrganization[] = [];
    for (const part of parts) organizations.push(await withKeys(part, gateway));

    return {
      name: definition.name,
      clock,
      gateway,
      public: publicUrl,
      internal: `http://127.0.0.1:${ports.internal}`,
      organizations,
      dataDirectory,
      configFile,
      logFile,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

interface Surroundings {
  readonly network: SimulatedNetwork;
  readonly clock: Clock;
  readonly publicUrl: string;
  readonly closers: (() => Promise<unknown>)[];
}

async function startOrganization(organization: OrganizationDefinition, around: Surroundings): Promise<Part> {
  const { network, clock, publicUrl, closers } = around;
  const { id, name, city, tenant: definition } = organization;
  const nodeFaults = createObservedFaults();
  const node = await startSimulatedNode({ network, name: id, organization: { name, city }, clock, faults: nodeFaults });
  closers.push(() => node.close());
  const services = new Set<string>();
  const part = { id, name, did: node.did, node, services };
  if (definition === undefined) return part;

  const fhirFaults = createObservedFaults();
  const receiverFaults = createObservedFaults();
  const simulated = await startSimulatedFhirServer({
    name,
    version: definition.fhirVersion,
    clock,
    resources: definition.resources,
    faults: fhirFaults,
    ...definition.behaviour,
  });
  closers.push(() => simulated.close());
  const fhir = definition.fhirUrl === undefined ? simulated : { ...simulated, url: definition.fhirUrl };
  const relay = await startRelay({ target: publicUrl, faults: receiverFaults });
  closers.push(() => relay.close());
  for (const [service, endpoints] of Object.entries(
    definition.services({ gate: `${publicUrl}/${id}`, relay: `${relay.url}/${id}` }),
  )) {
    node.register(service, endpoints);
    services.add(service);
  }
  return {
    ...part,
    tenant: { definition, fhir, relay, faults: { node: nodeFaults, fhir: fhirFaults, receiver: receiverFaults } },
  };
}

const createdKey = z.object({ key: z.string() });

async function withKeys(part: Part, gateway: GatewayProcess): Promise<RunningOrganization> {
  const { tenant, ...organization } = part;
  if (tenant === undefined) return organization;
  const create = async (role: 'ehr' | 'operator'): Promise<string> =>
    createdKey.parse(await gateway.ask({ type: 'create-api-key', tenant: part.id, role })).key;
  return { ...organization, tenant: { ...tenant, apiKey: await create('ehr'), operatorKey: await create('operator') } };
}

/** Copies use cases to a folder of their own, outside the repository: what they import by chance from beside them is not there. */
async function copyUseCases(sources: readonly string[], closers: Surroundings['closers']): Promise<readonly string[]> {
  if (sources.length === 0) return [];
  const parent = await temporaryFolder(closers);
  // A folder without package.json is loaded as well, with a warning of Node's about its cost.
  await writeFile(join(parent, 'package.json'), '{"type":"module"}\n');
  const copies: string[] = [];
  for (const source of sources) {
    const copy = join(parent, basename(source));
    await cp(source, copy, { recursive: true });
    copies.push(copy);
  }
  return copies;
}

async function temporaryFolder(closers: (() => Promise<unknown>)[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sluis-sandbox-'));
  closers.push(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

function createSandboxClock(): SandboxClock {
  const clock = createClock();
  let offsetMs = 0;
  return {
    now: () => clock.now(),
    advance: (seconds) => {
      clock.advance(seconds);
      offsetMs += seconds * 1000;
    },
    offsetMs: () => offsetMs,
  };
}
