import { afterEach, describe, expect, it } from '@jest/globals';
import { createClock } from '../../src/clock.ts';
import { createNode, type Node } from '../../src/nuts/node.ts';
import { createFaultInjector } from '../../src/sandbox/faults.ts';
import { createSimulatedNetwork, startSimulatedNode } from '../../src/sandbox/node/index.ts';
import { memoryLog, tenantOf } from '../outbound/servers.ts';

// The client against the simulator: two organisations, each with its own node and its own client.
const opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
});
const SENDER = 'eOverdracht-sender';
const RESOURCES = [{ path: '/Task/1', operations: ['read', 'update'], userContext: true, assuranceLevel: 'low' as const }];

async function createPair() {
  const clock = createClock();
  const network = createSimulatedNetwork({ clock });
  const faults = createFaultInjector();
  const start = async (name: string) => {
    const simulated = await startSimulatedNode({
      network,
      clock,
      name,
      organization: { name: `Organisatie ${name}`, city: 'Arnhem' },
      faults,
    });
    const tenant = tenantOf({ did: simulated.did, node: { url: simulated.url, introspectionTimeoutMs: 2_000 } });
    const node: Node = createNode({ tenant, clock, logger: memoryLog().logger });
    opened.push(simulated, node);
    return { simulated, node, did: simulated.did };
  };
  const [a, b] = [await start('a'), await start('b')];
  a.simulated.register(SENDER, { fhir: 'https://a.example/fhir' });
  const grant = {
    subject: b.did,
    purpose: SENDER,
    resources: RESOURCES,
    expiresAt: new Date(clock.now().getTime() + 86_400_000),
  };
  return { clock, faults, a, b, grant };
}

describe('the client of a node, with a simulated one', () => {
  it('issues, is found by both sides, makes a token with it, and revokes', async () => {
    const { a, b, grant } = await createPair();
    const issued = await a.node.services().issueCredential(grant);
    expect(issued.resources).toEqual(RESOURCES);
    await expect(a.node.services().findIssued(b.did)).resolves.toMatchObject([{ id: issued.id, revoked: false }]);
    const query = { issuer: a.did, purpose: SENDER, path: 'Task/1' };
    const held = await b.node.services().findHeld(query);
    expect(held.map(({ id }) => id)).toEqual([issued.id]);
    await expect(b.node.services().findHeld({ ...query, path: '/Task/2' })).resolves.toEqual([]);

    const token = await b.node
      .services()
      .requestToken({ authorizer: a.did, service: SENDER, credentials: held.map(({ credential }) => credential) });
    await expect(a.node.introspectV1(token)).resolves.toMatchObject({
      active: true,
      iss: a.did,
      sub: b.did,
      service: SENDER,
      vcs: [issued.id],
    });
    await expect(b.node.introspectV1(token)).resolves.toEqual({ active: false });

    await a.node.services().revokeCredential(issued.id);
    await a.node.services().revokeCredential(issued.id);
    await expect(a.node.services().findIssued(b.did)).resolves.toMatchObject([{ id: issued.id, revoked: true }]);
    await expect(b.node.services().findHeld(query)).resolves.toEqual([]);
  });

  it('finds organisations and endpoints, and says when there are none', async () => {
    const { a, b } = await createPair();
    const services = b.node.services();
    await expect(services.findOrganizations('Organisatie', SENDER)).resolves.toEqual([
      { id: a.did, name: 'Organisatie a', city: 'Arnhem' },
    ]);
    await expect(services.resolveEndpoint(a.did, SENDER, 'fhir')).resolves.toBe('https://a.example/fhir');
    await expect(services.resolveEndpoint(a.did, SENDER, 'nope')).resolves.toBeUndefined();
    await expect(services.resolveEndpoint(a.did, 'nope', 'fhir')).resolves.toBeUndefined();
  });

  it('tells a party that refuses from a node that does not answer', async () => {
    const { a, b, faults } = await createPair();
    const request = { authorizer: a.did, service: SENDER, credentials: [] };
    faults.set({ kind: 'down', match: { path: '/n2n/' } });
    await expect(b.node.services().requestToken(request)).rejects.toMatchObject({ code: 'upstream_failed' });
    faults.clear();
    faults.set({ kind: 'down' });
    await expect(b.node.services().requestToken(request)).rejects.toMatchObject({ code: 'node_unavailable' });
  });

  it.each(['down', 'garbage', 'truncate', 'lose-answer', 'status'] as const)(
    'cannot tell about a token while the node is %s',
    async (kind) => {
      const { a, b, faults } = await createPair();
      const token = await b.node.services().requestToken({ authorizer: a.did, service: SENDER, credentials: [] });
      faults.set({ kind });
      await expect(a.node.introspectV1(token)).rejects.toMatchObject({ code: 'node_unavailable' });
      faults.clear();
      await expect(a.node.introspectV1(token)).resolves.toMatchObject({ active: true });
    },
  );

  it('sees that a node is sick, which says of every token that it is not active', async () => {
    const { a, b, clock } = await createPair();
    const token = await b.node.services().requestToken({ authorizer: a.did, service: SENDER, credentials: [] });
    expect(await a.node.isHealthy()).toBe(true);
    a.simulated.setHealth(false);
    await expect(a.node.introspectV1(token)).resolves.toEqual({ active: false });
    clock.advance(6);
    expect(await a.node.isHealthy()).toBe(false);
  });

  it('proves a person by the dummy means, who is in the token then', async () => {
    const { a, b } = await createPair();
    const { id } = await b.node.signing.startSigning({ means: 'dummy' });
    let status = await b.node.signing.pollSigning(id);
    for (let i = 0; i < 3 && status.status === 'pending'; i += 1) status = await b.node.signing.pollSigning(id);
    if (status.status !== 'completed') throw new Error(`the session is ${status.status}`);
    await expect(b.node.signing.pollSigning(id)).resolves.toEqual({ status: 'gone' });
    const token = await b.node
      .services()
      .requestToken({ authorizer: a.did, service: SENDER, credentials: [], identity: status.presentation });
    await expect(a.node.introspectV1(token)).resolves.toMatchObject({ family_name: 'Dummy', assurance_level: 'low' });
  });

  it('starts the page of an employee, in the organisation’s name', async () => {
    const { b } = await createPair();
    const user = { identifier: 'e-1', initials: 'A', familyName: 'Jansen', roleName: 'Verpleegkundige' };
    const session = await b.node.signing.startSigning({ means: 'employeeid', user });
    expect(session.url).toContain('/public/auth/v1/means/employeeid/');
    await expect(b.node.signing.pollSigning(session.id)).resolves.toEqual({ status: 'pending' });
  });
});
