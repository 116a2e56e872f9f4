import { readFileSync } from 'node:fs';

import { afterAll, beforeAll, describe, it } from '@jest/globals';
import { exportJWK, generateKeyPair } from 'jose';

import { createClock } from '../../../../src/clock.ts';
import { discoverySchema, policySchema } from '../../../../src/sandbox/node/iam/definition.ts';
import {
  createSimulatedNetwork,
  startSimulatedNode,
  type Policy,
  type SimulatedNode,
} from '../../../../src/sandbox/node/index.ts';
import { createStandingClock } from '../../../support/clock.ts';
import { sshLine } from './ssh.ts';
import { discoveryAt, POLICY_FILE, WEB_ORGANIZATIONS, WEB_STATEMENTS } from './statements.ts';
import type { WebNodes, WebPeer } from './web-nodes.ts';

const AUDIENCE = 'nuts-node.test';

describe('the simulated Nuts node of generation v2 keeps the contract of a real one', () => {
  const running: SimulatedNode[] = [];
  let nodes: WebNodes;

  beforeAll(async () => {
    // Of the day, as the keys of callers of the guarded node are; it stands, so that a life can be measured to the second.
    const clock = createStandingClock(new Date());
    const network = createSimulatedNetwork({ clock });
    const policies = policySchema.parse(JSON.parse(readFileSync(POLICY_FILE, 'utf8'))) as Record<string, Policy>;
    const discovery = [discoverySchema.parse(discoveryAt('http://127.0.0.1:8080'))];
    const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
    const authorizedKeys = sshLine(await exportJWK(publicKey), 'sluis@test');
    const start = async (name: string, more: object = {}): Promise<SimulatedNode> => {
      const organization = name === 'a' ? WEB_ORGANIZATIONS.a : WEB_ORGANIZATIONS.b;
      const options = { network, name, organization, clock, policies, discovery, discoveryDelayMs: 0, ...more };
      const node = await startSimulatedNode(options);
      running.push(node);
      return node;
    };
    const [a, b, stranger] = [await start('a'), await start('b'), await start('stranger')];
    const limited = await start('limited', { rateLimiter: true });
    // On the clock of this machine, which nobody moves.
    const guarded = await start('guarded', { clock: createClock(), apiAuthentication: { audience: AUDIENCE, authorizedKeys } });
    const peer = (node: SimulatedNode, name: 'a' | 'b'): WebPeer => ({
      internal: node.url,
      public: node.url,
      subject: node.subject.id,
      did: node.subject.did,
      organization: WEB_ORGANIZATIONS[name],
    });
    nodes = {
      a: peer(a, 'a'),
      b: peer(b, 'b'),
      stranger: { internal: stranger.url },
      advance: (seconds) => clock.advance(seconds),
      restart: () => {
        a.restart();
        return Promise.resolve();
      },
      guarded: { internal: guarded.url, audience: AUDIENCE, name: 'sluis@test', key: await exportJWK(privateKey) },
      limited: { internal: limited.url },
    };
  });

  afterAll(async () => {
    await Promise.all(running.map((node) => node.close()));
  });

  it.each(WEB_STATEMENTS)('$id: $title', async (statement) => {
    await statement.run(nodes);
  });
});
