/** The real gateway before a simulated FHIR server, with a real v6 node of did:web: `startWebRegion`. */
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { createClock } from '../../../src/clock.ts';
import { startSimulatedFhirServer, type SimulatedFhirServer } from '../../../src/sandbox/fhir/server.ts';
import { createGatewayProcess } from '../../../src/sandbox/gateway-process.ts';
import { freePorts } from '../../../src/sandbox/world/ports.ts';
import { object } from '../../contract/nuts/peer-pair.ts';
import { POLICY_FILE } from '../../contract/nuts/v2/statements.ts';
import { authorizationServer, type WebNodes } from '../../contract/nuts/v2/web-nodes.ts';
import { startNode, takePorts, type NodeProcess } from '../nuts/node-process.ts';
import { createPeer } from '../nuts/web-pair.ts';

/** The tenant `a`, whose subject at the node is `a`; `b` asks. */
export interface WebRegion {
  readonly nodes: WebNodes;
  /** Public base of the tenant, without `/fhir`. */
  readonly gate: string;
  readonly fhir: SimulatedFhirServer;
  readonly auditDirectory: string;
  stopNode(): Promise<void>;
  startNode(): Promise<void>;
  log(lines: number): Promise<string>;
  close(): Promise<void>;
}

/** The use case of the attack suite: one patient, for whoever has the scope `chart`. */
const CHART = join(import.meta.dirname, '../../attack/chart');

export async function startWebRegion(binary: string): Promise<WebRegion> {
  const closers: (() => Promise<unknown>)[] = [];
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  try {
    const directory = await mkdtemp(join(tmpdir(), 'sluis-interop-web-'));
    closers.push(() => rm(directory, { recursive: true, force: true }));
    const nodePorts = await takePorts('v6');
    const [policyDirectory, discoveryDirectory] = [join(directory, 'policy'), join(directory, 'discovery')];
    await mkdir(policyDirectory);
    await mkdir(discoveryDirectory);
    await writeFile(join(policyDirectory, 'policy.json'), await policies());
    const web = { policyDirectory, discoveryDirectory };
    const settings = { binary, generation: 'v6', directory: join(directory, 'node'), ports: nodePorts, web } as const;
    let node: NodeProcess | undefined;
    const start = async (): Promise<NodeProcess> => (node = await startNode(settings));
    const stop = async (): Promise<void> => {
      await node?.stop();
      node = undefined;
    };
    closers.push(stop);
    const first = await start();
    const [a, b] = [await createPeer(first, 'a'), await createPeer(first, 'b')];

    const subject = { reference: 'Patient/mine' };
    const resources = [
      { resourceType: 'Patient', id: 'mine', birthDate: '1950-01-01' },
      { resourceType: 'Patient', id: 'other', birthDate: '1960-01-01' },
      { resourceType: 'Observation', id: 'mine-1', status: 'final', code: { text: 'pulse' }, subject },
    ];
    const fhir = await startSimulatedFhirServer({ name: 'a', version: 'R4', clock: createClock(), resources });
    closers.push(() => fhir.close());
    const useCaseFolder = join(directory, 'use-cases/chart');
    await cp(CHART, useCaseFolder, { recursive: true });
    const ports = await freePorts();
    const publicUrl = `http://127.0.0.1:${ports.public}`;
    const tenant = {
      name: a.organization.name,
      subject: a.subject,
      authorizationServerUrl: authorizationServer(a),
      // Its cache is off: a token that the node forgets is forgotten at once.
      node: { url: first.internal, generations: ['v2'], introspectionCacheMs: 0 },
      fhir: { url: fhir.url, version: 'R4' },
      useCases: { chart: {} },
    };
    const configFile = join(directory, 'sluis.yaml');
    const logFile = join(directory, 'gateway.log');
    // JSON is YAML.
    const configuration = {
      mode: 'development',
      public: { host: '127.0.0.1', port: ports.public, url: publicUrl },
      internal: { host: '127.0.0.1', port: ports.internal },
      dataDirectory: './data',
      audit: { segmentBytes: 4_194_304, minimumFreeBytes: 16_777_216 },
      useCaseFolders: [useCaseFolder],
      tenants: { a: tenant },
    };
    await writeFile(configFile, JSON.stringify(configuration));
    const gateway = createGatewayProcess({ configFile, logFile, clockOffsetMs: () => 0, environment: process.env });
    closers.push(() => gateway.close());
    await gateway.start();
    return {
      nodes: { a, b, stranger: b },
      gate: `${publicUrl}/a`,
      fhir,
      auditDirectory: join(directory, 'data/audit'),
      stopNode: stop,
      startNode: async () => {
        await start();
      },
      log: async (lines) => (await readFile(logFile, 'utf8')).trimEnd().split('\n').slice(-lines).join('\n'),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The contract's policies, and the one for `care` under the scope of the use case. */
async function policies(): Promise<string> {
  const known = object(JSON.parse(await readFile(POLICY_FILE, 'utf8')));
  const { organization } = object(known['care']);
  return JSON.stringify({ ...known, chart: { organization: { ...object(organization), id: 'pd_chart' } } });
}
