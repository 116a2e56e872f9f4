import { afterAll, beforeAll, describe, it } from '@jest/globals';

import { createSimulatedNetwork, startSimulatedNode, type SimulatedNode } from '../../../src/sandbox/node/index.ts';
import { createStandingClock } from '../../support/clock.ts';
import { FHIR_ENDPOINT, SENDER } from './peer-pair.ts';
import { STATEMENTS, type Peer, type PeerPair } from './statements.ts';

const ORGANIZATIONS = {
  a: { name: 'Ziekenhuis De Zonnebloem', city: 'Caretown' },
  b: { name: 'Verpleeghuis Avondrood', city: 'Nursingham' },
  limited: { name: 'Huisarts Linde', city: 'Breda' },
};

describe('the simulated Nuts node keeps the contract of a real one', () => {
  const nodes: SimulatedNode[] = [];
  let pair: PeerPair;

  beforeAll(async () => {
    const clock = createStandingClock();
    const network = createSimulatedNetwork({ clock });
    const start = async (name: keyof typeof ORGANIZATIONS, rateLimiter = false): Promise<SimulatedNode> => {
      const node = await startSimulatedNode({ network, name, organization: ORGANIZATIONS[name], clock, rateLimiter });
      nodes.push(node);
      return node;
    };
    const [a, b, limited] = [await start('a'), await start('b'), await start('limited', true)];
    a.register(SENDER, { fhir: FHIR_ENDPOINT });
    b.register('eOverdracht-receiver', { notification: 'https://notify.b.example/Task' });
    const peer = (node: SimulatedNode, name: 'a' | 'b'): Peer => ({
      internal: node.url,
      public: node.url,
      did: node.did,
      organization: ORGANIZATIONS[name],
    });
    pair = {
      generation: 'v5',
      hasV2: true,
      a: peer(a, 'a'),
      b: peer(b, 'b'),
      advance: (seconds) => clock.advance(seconds),
      setHealth: (up) => a.setHealth(up),
      limited: { internal: limited.url, did: limited.did },
    };
  });

  afterAll(async () => {
    await Promise.all(nodes.map((node) => node.close()));
  });

  it.each(STATEMENTS)('$id: $title', async (statement) => {
    await statement.run(pair);
  });
});
