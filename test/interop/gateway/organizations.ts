/** Real nodes with an organisation each, that know and trust each other: `startOrganizations`. */
import { join } from 'node:path';

import { array, call, eventually, expectStatus, issue, object } from '../../contract/nuts/peer-pair.ts';
import { createCertificates } from '../nuts/certificates.ts';
import { generationOf, startNode, takePorts, type NodeProcess, type NodeSettings } from '../nuts/node-process.ts';
import { addEndpoint, createDid, createVendor, seen } from '../nuts/vendor.ts';

export interface OrganizationPlan {
  readonly id: string;
  readonly name: string;
  readonly city: string;
  /** The node's binary, v5 or v6. */
  readonly binary: string;
  /** Compound services to endpoints; `oauth` is added. */
  readonly services: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/** An organisation whose node runs. */
export interface RealOrganization {
  readonly id: string;
  readonly name: string;
  readonly did: string;
  readonly generation: 'v5' | 'v6';
  /** Base URL of the node's internal API. */
  readonly node: string;
  /** Ends the node's process; its data stay. */
  stop(): Promise<void>;
  /** Starts it again, on the same data and ports. */
  restart(): Promise<void>;
}

/** The machine cannot give nodes what they need to send each other private credentials. */
export class NoPrivateDelivery extends Error {}

interface Member {
  readonly plan: OrganizationPlan;
  readonly settings: NodeSettings;
  readonly vendor: string;
  readonly did: string;
}

/**
 * Starts a node for each organisation, on data in `directory`. `closers` gets what must be undone, also when it throws.
 * @throws NoPrivateDelivery without `openssl`, or without a name of this machine on loopback
 */
export async function startOrganizations(
  plans: readonly OrganizationPlan[],
  directory: string,
  gossipMs: number,
  closers: (() => Promise<unknown>)[],
): Promise<readonly RealOrganization[]> {
  const certificates = await createCertificates(join(directory, 'certificates'));
  if (certificates === undefined) throw new NoPrivateDelivery('needs openssl, and a host name on loopback that is not localhost');
  const running = new Map<string, NodeProcess>();
  closers.push(() => Promise.all([...running.values()].map((node) => node.stop())));
  const start = async (id: string, settings: NodeSettings): Promise<NodeProcess> => {
    const node = await startNode(settings);
    running.set(id, node);
    return node;
  };
  const stop = async (id: string): Promise<void> => {
    await running.get(id)?.stop();
    running.delete(id);
  };

  // The DID of a node's vendor must stand in its configuration, and only the node can make it: hence a first start. Each waits for the DIDs
  // before its own, as first transactions that were made apart do not merge.
  const vendors: { readonly plan: OrganizationPlan; readonly settings: NodeSettings; readonly vendor: string }[] = [];
  for (const plan of plans) {
    const { id, binary } = plan;
    const generation = await generationOf(binary);
    const ports = await takePorts(generation);
    const bootstrap = vendors[0] === undefined ? {} : { bootstrap: `${certificates.host}:${vendors[0].settings.ports.grpc}` };
    const settings = { binary, generation, directory: join(directory, id), ports, certificates, gossipMs, ...bootstrap };
    const node = await start(id, settings);
    for (const earlier of vendors) await seen(node.internal, earlier.vendor);
    vendors.push({ plan, settings, vendor: await createVendor(node.internal, certificates.host, ports.grpc) });
  }
  const [first] = vendors;
  if (first === undefined) return [];
  for (const { vendor } of vendors) await seen(addressOf(running, first.plan.id), vendor);
  await Promise.all(plans.map(({ id }) => stop(id)));
  const members: Member[] = [];
  for (const { plan, settings, vendor } of vendors) {
    const named = { ...settings, nodeDid: vendor };
    const node = await start(plan.id, named);
    members.push({ plan, settings: named, vendor, did: await createOrganization(plan, node, vendor) });
  }
  await trustEachOther(members, running);
  return members.map(({ plan: { id, name }, settings, did }) => ({
    id,
    name,
    did,
    generation: settings.generation,
    node: `http://127.0.0.1:${settings.ports.internal}`,
    stop: () => stop(id),
    restart: async () => {
      await start(id, settings);
    },
  }));
}

/** The usual split: a vendor that owns the node and signs, and an organisation that refers to its endpoints. */
async function createOrganization(plan: OrganizationPlan, node: NodeProcess, vendor: string): Promise<string> {
  const { internal, public: publicUrl } = node;
  const did = await createDid(internal);
  await addEndpoint(internal, did, 'NutsComm', `${vendor}/serviceEndpoint?type=NutsComm`);
  await addEndpoint(internal, vendor, 'production-oauth', `${publicUrl}/n2n/auth/v1/accesstoken`);
  const oauth = `${vendor}/serviceEndpoint?type=production-oauth`;
  for (const [type, endpoints] of Object.entries(plan.services)) {
    const json = { type, serviceEndpoint: { ...endpoints, oauth } };
    expectStatus(await call('POST', `${internal}/internal/didman/v1/did/${did}/compoundservice`, { json }), 200);
  }
  const credentialSubject = { id: did, organization: { name: plan.name, city: plan.city } };
  await issue(internal, { type: 'NutsOrganizationCredential', issuer: vendor, visibility: 'public', credentialSubject });
  return did;
}

async function trustEachOther(members: readonly Member[], running: ReadonlyMap<string, NodeProcess>): Promise<void> {
  for (const here of members) {
    const base = addressOf(running, here.plan.id);
    for (const there of members) {
      const json = { issuer: there.vendor, credentialType: 'NutsOrganizationCredential' };
      await eventually(async () => {
        expectStatus(await call('POST', `${base}/internal/vcr/v2/verifier/trust`, { json }), 204);
      });
      for (const service of Object.keys(there.plan.services)) await eventually(() => isKnown(base, there, service), 60_000);
    }
  }
}

async function isKnown(base: string, { plan: { name }, did }: Member, service: string): Promise<void> {
  const query = new URLSearchParams({ query: name, didServiceType: service });
  const reply = await call('GET', `${base}/internal/didman/v1/search/organizations?${query.toString()}`);
  const found = array(expectStatus(reply, 200).json).some((hit) => object(object(hit)['didDocument'])['id'] === did);
  if (!found) throw new Error(`${name} is not known at ${base} yet`);
}

function addressOf(running: ReadonlyMap<string, NodeProcess>, id: string): string {
  const node = running.get(id);
  if (node === undefined) throw new Error(`the node of ${id} does not run`);
  return node.internal;
}
