/** Two real nodes made ready for the contract statements: `pairOfProcesses`, `pairOfUrls`. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import {
  array,
  call,
  eventually,
  expectStatus,
  FHIR_ENDPOINT,
  issue,
  object,
  SENDER,
  type Peer,
  type PeerPair,
} from '../../contract/nuts/peer-pair.ts';
import { createCertificates } from './certificates.ts';
import { generationOf, startNode, takePorts, type NodeProcess } from './node-process.ts';
import { addEndpoint, createDid, createVendor, seen } from './vendor.ts';

export interface RealPair {
  readonly pair: PeerPair;
  close(): Promise<void>;
}

type Addresses = Pick<Peer, 'internal' | 'public'>;

/** Starts two nodes (and one with the rate limiter on), perhaps of two generations, on data folders that are removed afterwards. */
export async function pairOfProcesses(binary: string, binaryB = binary): Promise<RealPair> {
  const generation = await generationOf(binary);
  const generationB = await generationOf(binaryB);
  const directory = await mkdtemp(join(tmpdir(), 'sluis-nuts-'));
  const running: NodeProcess[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(running.splice(0).map((node) => node.stop()));
    await rm(directory, { recursive: true, force: true });
  };
  try {
    const [portsA, portsB, portsC] = [await takePorts(generation), await takePorts(generationB), await takePorts(generation)];
    const certificates = await createCertificates(join(directory, 'certificates'));
    const bootstrap = `${certificates?.host ?? '127.0.0.1'}:${portsA.grpc}`;
    const usual = { binary, generation, certificates };
    const a = { ...usual, directory: join(directory, 'a'), ports: portsA };
    const b = {
      binary: binaryB,
      generation: generationB,
      certificates,
      directory: join(directory, 'b'),
      ports: portsB,
      bootstrap,
    };
    // Reserved names such as localhost are refused. Without TLS it need not resolve: the bootstrap address is enough then.
    const host = certificates?.host ?? 'node.localtest';
    const start = async (settings: Parameters<typeof startNode>[0]): Promise<NodeProcess> => {
      const node = await startNode(settings);
      running.push(node);
      return node;
    };
    // A node names its vendor in its configuration, and the vendor's DID is made by the node: hence twice. The second node must have
    // the first DID before it makes its own, two first transactions do not merge.
    const [firstA, firstB] = [await start(a), await start(b)];
    const vendorA = await createVendor(firstA.internal, host, portsA.grpc);
    await seen(firstB.internal, vendorA);
    const vendorB = await createVendor(firstB.internal, host, portsB.grpc);
    await seen(firstA.internal, vendorB);
    await Promise.all(running.splice(0).map((node) => node.stop()));
    const nodeA = await start({ ...a, nodeDid: vendorA });
    const nodeB = await start({ ...b, nodeDid: vendorB });
    const limited = await start({ ...usual, directory: join(directory, 'c'), ports: portsC, rateLimiter: true });
    const pair = await prepare(generation, { ...nodeA, vendor: vendorA }, { ...nodeB, vendor: vendorB });
    const own = { internal: limited.internal, did: await createDid(limited.internal) };
    const noTls = { noPrivateDelivery: 'nodes without TLS do not authenticate each other' };
    return { pair: { ...pair, limited: own, ...(certificates === undefined ? noTls : {}) }, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Two nodes that run and know each other already. */
export async function pairOfUrls(a: Addresses, b: Addresses): Promise<RealPair> {
  const probe = await call('POST', `${a.internal}/internal/auth/v2/accesstoken/introspect`, { form: { token: 'x' } });
  const vendorA = await createDid(a.internal);
  await seen(b.internal, vendorA);
  const vendorB = await createDid(b.internal);
  const generation = probe.status === 404 ? 'v5' : 'v6';
  const pair = await prepare(generation, { ...a, vendor: vendorA }, { ...b, vendor: vendorB });
  const noPrivateDelivery = 'the DIDs that were made for this run have no NutsComm address';
  return { pair: { ...pair, noPrivateDelivery }, close: () => Promise.resolve() };
}

const ORGANIZATIONS = {
  a: { name: 'Ziekenhuis De Zonnebloem', city: 'Caretown' },
  b: { name: 'Verpleeghuis Avondrood', city: 'Nursingham' },
};

type Half = Addresses & { readonly vendor: string };

/** Organisations, their credentials, services and mutual trust. */
async function prepare(generation: 'v5' | 'v6', a: Half, b: Half): Promise<PeerPair> {
  const peerA = await createOrganization(a, ORGANIZATIONS.a, SENDER, { fhir: FHIR_ENDPOINT });
  const peerB = await createOrganization(b, ORGANIZATIONS.b, 'eOverdracht-receiver', {
    notification: 'https://notify.b.example/Task',
  });
  for (const [here, there] of [
    [a, b],
    [b, a],
  ] as const) {
    const json = { issuer: there.vendor, credentialType: 'NutsOrganizationCredential' };
    expectStatus(await call('POST', `${here.internal}/internal/vcr/v2/verifier/trust`, { json }), 204);
  }
  await eventually(() => isKnown(b.internal, peerA, SENDER), 30_000);
  await eventually(() => isKnown(a.internal, peerB, 'eOverdracht-receiver'), 30_000);
  return { generation, hasV2: generation === 'v6', a: peerA, b: peerB };
}

async function createOrganization(
  half: Half,
  organization: Peer['organization'],
  service: string,
  endpoints: Readonly<Record<string, string>>,
): Promise<Peer> {
  const { internal, public: publicUrl, vendor } = half;
  const did = await createDid(internal);
  const hasNutsComm = (await call('GET', `${internal}/internal/vdr/v1/did/${vendor}`)).text.includes('"NutsComm"');
  if (hasNutsComm) await addEndpoint(internal, did, 'NutsComm', `${vendor}/serviceEndpoint?type=NutsComm`);
  await addEndpoint(internal, vendor, 'production-oauth', `${publicUrl}/n2n/auth/v1/accesstoken`);
  const serviceEndpoint = { ...endpoints, oauth: `${vendor}/serviceEndpoint?type=production-oauth` };
  const url = `${internal}/internal/didman/v1/did/${did}/compoundservice`;
  expectStatus(await call('POST', url, { json: { type: service, serviceEndpoint } }), 200);
  const credentialSubject = { id: did, organization };
  await issue(internal, { type: 'NutsOrganizationCredential', issuer: vendor, visibility: 'public', credentialSubject });
  return { internal, public: publicUrl, did, organization };
}

async function isKnown(base: string, peer: Peer, service: string): Promise<void> {
  const query = new URLSearchParams({ query: peer.organization.name, didServiceType: service });
  const reply = await call('GET', `${base}/internal/didman/v1/search/organizations?${query.toString()}`);
  const found = array(expectStatus(reply, 200).json).some((hit) => object(object(hit)['didDocument'])['id'] === peer.did);
  if (!found) throw new Error(`${peer.organization.name} is not known at ${base} yet`);
}
