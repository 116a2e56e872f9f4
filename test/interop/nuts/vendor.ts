/** First steps on a real node: `createDid`, `createVendor`, `addEndpoint`, and `seen` to wait for what the other node must have heard of. */
import { call, eventually, expectStatus, object, string } from '../../contract/nuts/peer-pair.ts';

const SYNC_TIMEOUT_MS = 30_000;

export async function createDid(base: string): Promise<string> {
  const made = expectStatus(await call('POST', `${base}/internal/vdr/v1/did`, { json: {} }), 200);
  return string(object(made.json)['id']);
}

export async function addEndpoint(base: string, did: string, type: string, endpoint: string): Promise<void> {
  const url = `${base}/internal/didman/v1/did/${did}/endpoint`;
  expectStatus(await call('POST', url, { json: { type, endpoint } }), 200);
}

/** The DID of a node's vendor, with the address at which other nodes reach it. */
export async function createVendor(base: string, host: string, grpcPort: number): Promise<string> {
  const did = await createDid(base);
  await addEndpoint(base, did, 'NutsComm', `grpc://${host}:${grpcPort}`);
  return did;
}

/** Waits until a node knows a DID that was made at another. */
export async function seen(base: string, did: string): Promise<void> {
  await eventually(async () => {
    expectStatus(await call('GET', `${base}/internal/vdr/v1/did/${did}`), 200);
  }, SYNC_TIMEOUT_MS);
}
