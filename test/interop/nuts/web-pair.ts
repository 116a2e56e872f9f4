/** A real v6 node with two subjects of did:web, made ready for the contract statements of generation v2: `startWebNodes`. */
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { exportJWK, generateKeyPair } from 'jose';

import { array, call, expectStatus, object, string } from '../../contract/nuts/peer-pair.ts';
import { sshLine } from '../../contract/nuts/v2/ssh.ts';
import { discoveryAt, POLICY_FILE, WEB_ORGANIZATIONS } from '../../contract/nuts/v2/statements.ts';
import { issued, loadInto, organizationBody, type WebNodes, type WebPeer } from '../../contract/nuts/v2/web-nodes.ts';
import { startNode, takePorts, type NodeProcess, type NodeSettings, type WebSettings } from './node-process.ts';

export interface RealWebNodes {
  readonly nodes: WebNodes;
  close(): Promise<void>;
}

const AUDIENCE = 'nuts-node.test';
const NAME = 'sluis@test';

/**
 * Starts a node for A and B (peers resolve did:web over https only, so that one node is what works without certificates that everybody
 * trusts), one that knows nothing of them, one with token_v2, and one with the rate limiter on.
 */
export async function startWebNodes(binary: string): Promise<RealWebNodes> {
  const directory = await mkdtemp(join(tmpdir(), 'sluis-nuts-web-'));
  const running = new Set<NodeProcess>();
  const close = async (): Promise<void> => {
    await Promise.all([...running].map((node) => node.stop()));
    await rm(directory, { recursive: true, force: true });
  };
  try {
    const start = async (settings: NodeSettings): Promise<NodeProcess> => {
      const node = await startNode(settings);
      running.add(node);
      return node;
    };
    const settingsOf = async (name: string, more: Partial<WebSettings> = {}): Promise<NodeSettings> => {
      const ports = await takePorts('v6');
      const folder = join(directory, name);
      const web = await writeFiles(folder, `http://127.0.0.1:${ports.public}`);
      return { binary, generation: 'v6', directory: folder, ports, web: { ...web, ...more } };
    };
    const main = await settingsOf('main');
    let node = await start(main);
    const stranger = await start(await settingsOf('stranger'));
    const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
    const authorizedKeysFile = join(directory, 'authorized_keys');
    await writeFile(authorizedKeysFile, `${sshLine(await exportJWK(publicKey), NAME)}\n`);
    const guarded = await start(await settingsOf('guarded', { guard: { audience: AUDIENCE, authorizedKeysFile } }));
    const limited = await start({ ...(await settingsOf('limited', { didMethods: ['web', 'nuts'] })), rateLimiter: true });

    const [a, b] = [await createPeer(node, 'a'), await createPeer(node, 'b')];
    return {
      nodes: {
        a,
        b,
        stranger: { internal: stranger.internal },
        restart: async () => {
          running.delete(node);
          await node.stop();
          node = await start(main);
        },
        guarded: { internal: guarded.internal, audience: AUDIENCE, name: NAME, key: await exportJWK(privateKey) },
        limited: { internal: limited.internal },
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function writeFiles(folder: string, publicUrl: string): Promise<WebSettings> {
  const [policyDirectory, discoveryDirectory] = [join(folder, 'policy'), join(folder, 'discovery')];
  await mkdir(policyDirectory, { recursive: true });
  await mkdir(discoveryDirectory, { recursive: true });
  await copyFile(POLICY_FILE, join(policyDirectory, 'policy.json'));
  await writeFile(join(discoveryDirectory, 'care-services.json'), JSON.stringify(discoveryAt(publicUrl)));
  // A node that is not the server of a service at its own address asks itself for ever.
  return { policyDirectory, discoveryDirectory, discoveryServer: ['care-services'] };
}

/** A subject with its organisation's credential, which it states itself, in its wallet. */
export async function createPeer(node: Pick<NodeProcess, 'internal' | 'public'>, name: 'a' | 'b'): Promise<WebPeer> {
  const { internal, public: publicUrl } = node;
  const made = expectStatus(await call('POST', `${internal}/internal/vdr/v2/subject`, { json: { subject: name } }), 200);
  const did = string(object(array(object(made.json)['documents'])[0])['id']);
  const peer = { internal, public: publicUrl, subject: name, did, organization: WEB_ORGANIZATIONS[name] };
  expectStatus(await loadInto(peer, await issued(peer, organizationBody(did, peer))), 204);
  return peer;
}
