import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createClock } from '../../../src/clock.ts';
import { createSimulatedNetwork, startSimulatedNode, type SimulatedNode } from '../../../src/sandbox/node/index.ts';

let node: SimulatedNode;

beforeAll(async () => {
  const clock = createClock();
  node = await startSimulatedNode({
    network: createSimulatedNetwork({ clock }),
    name: 'a',
    organization: { name: 'A', city: 'B' },
    clock,
  });
});

afterAll(() => node.close());

async function issue(context: object): Promise<number> {
  const answer = await fetch(`${node.url}/internal/vcr/v2/issuer/vc`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      ...context,
      type: 'NutsOrganizationCredential',
      issuer: node.did,
      visibility: 'public',
      credentialSubject: { id: node.did, organization: { name: 'A', city: 'B' } },
    }),
  });
  return answer.status;
}

describe('issuing at the simulated node', () => {
  it('takes no context or one as a text, and not a list, as a node of v5 does', async () => {
    expect(await issue({})).toBe(200);
    expect(await issue({ '@context': 'https://nuts.nl/credentials/v1' })).toBe(200);
    expect(await issue({ '@context': ['https://www.w3.org/2018/credentials/v1', 'https://nuts.nl/credentials/v1'] })).toBe(400);
  });
});
