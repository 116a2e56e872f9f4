import { afterEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import type { MovableClock } from '../../../src/clock.ts';
import { createFaultInjector } from '../../../src/sandbox/faults.ts';
import {
  createSimulatedNetwork,
  startSimulatedNode,
  type SimulatedNetwork,
  type SimulatedNode,
  type SimulatedNodeOptions,
} from '../../../src/sandbox/node/index.ts';
import {
  authorizationBody,
  call,
  introspect,
  issue,
  object,
  SENDER,
  string,
  type PeerPair,
} from '../../contract/nuts/peer-pair.ts';
import { createStandingClock } from '../../support/clock.ts';

const opened: SimulatedNode[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((node) => node.close()));
});

interface World {
  readonly clock: MovableClock;
  readonly network: SimulatedNetwork;
  readonly start: (name: string, more?: Partial<SimulatedNodeOptions>) => Promise<SimulatedNode>;
}

function createWorld(syncDelayMs?: number): World {
  const clock = createStandingClock();
  const network = createSimulatedNetwork({ clock, ...(syncDelayMs === undefined ? {} : { syncDelayMs }) });
  const start = async (name: string, more: Partial<SimulatedNodeOptions> = {}): Promise<SimulatedNode> => {
    const organization = { name: `Organisatie ${name}`, city: 'Arnhem' };
    const node = await startSimulatedNode({ network, clock, name, organization, ...more });
    opened.push(node);
    return node;
  };
  return { clock, network, start };
}

async function createPair(world: World): Promise<{ a: SimulatedNode; b: SimulatedNode; pair: PeerPair }> {
  const [a, b] = [await world.start('a'), await world.start('b')];
  a.register(SENDER, { fhir: 'https://a.example/fhir' });
  const peer = (node: SimulatedNode) => ({
    internal: node.url,
    public: node.url,
    did: node.did,
    organization: { name: `Organisatie ${node.name}`, city: 'Arnhem' },
  });
  return { a, b, pair: { generation: 'v5', hasV2: true, a: peer(a), b: peer(b) } };
}

const resolveStatus = async (node: SimulatedNode, id: unknown): Promise<number> =>
  (await call('GET', `${node.url}/internal/vcr/v2/vc/${encodeURIComponent(string(id))}`)).status;

describe('starting', () => {
  it('refuses production mode, and any host but loopback', async () => {
    const { start } = createWorld();
    await expect(start('a', { mode: 'production' })).rejects.toThrow('development');
    // @ts-expect-error The type forbids it already.
    await expect(start('a', { host: '0.0.0.0' })).rejects.toThrow('127.0.0.1');
    expect((await start('a', { mode: 'development' })).url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  });

  it('says in its diagnostics that it is a simulator', async () => {
    const node = await createWorld().start('a');
    const reply = await call('GET', `${node.url}/status/diagnostics`, { headers: { accept: 'application/json' } });
    expect(object(object(reply.json)['status'])['software_version']).toMatch(/^simulator-/);
  });

  it('gives a name the same DID and key in every run, and other names others', async () => {
    const [one, two] = [createWorld(), createWorld()];
    const nodes = [await one.start('x'), await two.start('x'), await two.start('y')];
    const [first, again, other] = nodes.map((node) => node.did);
    expect(first).toMatch(/^did:nuts:[1-9A-HJ-NP-Za-km-z]{40,46}$/);
    expect(again).toBe(first);
    expect(other).not.toBe(first);
    const kids = await Promise.all(
      nodes.map(async (node) => (await node.mintToken({ requester: 'did:nuts:x', purpose: 'x' })).split('.')[0]),
    );
    expect(kids[0]).toBe(kids[1]);
    expect(kids[2]).not.toBe(kids[1]);
  });

  it('finds its services, credentials and keys back when it is started again under its name', async () => {
    const world = createWorld();
    const { a, b, pair } = await createPair(world);
    const credential = await issue(a.url, authorizationBody(pair, { visibility: 'private' }));
    const token = await a.mintToken({ requester: b.did, purpose: SENDER, credentials: [credential] });
    await a.close();
    const again = await world.start('a');
    expect(again.did).toBe(a.did);
    expect((await introspect(again.url, token))['resolvedVCs']).toEqual([credential]);
    const json = { authorizer: a.did, requester: b.did, service: SENDER, credentials: [] };
    expect((await call('POST', `${b.url}/internal/auth/v1/request-access-token`, { json })).status).toBe(200);
  });
});

describe('private credentials', () => {
  it('are seen at the issuer and the subject, and nowhere else', async () => {
    const world = createWorld();
    const { a, b, pair } = await createPair(world);
    const c = await world.start('c');
    const credential = await issue(a.url, authorizationBody(pair, { visibility: 'private' }));
    const published = await issue(a.url, authorizationBody(pair, { visibility: 'public' }));
    expect(await Promise.all([a, b, c].map((node) => resolveStatus(node, credential['id'])))).toEqual([200, 200, 404]);
    expect(await resolveStatus(c, published['id'])).toBe(200);
  });

  it('reach the other node after the delay, the own one at once', async () => {
    const world = createWorld(3000);
    const { a, b, pair } = await createPair(world);
    const credential = await issue(a.url, authorizationBody(pair, { visibility: 'private' }));
    expect(await resolveStatus(a, credential['id'])).toBe(200);
    world.clock.advance(2);
    expect(await resolveStatus(b, credential['id'])).toBe(404);
    world.clock.advance(1.5);
    expect(await resolveStatus(b, credential['id'])).toBe(200);
  });

  it('are no longer resolved for a token when they have expired, but for the skew', async () => {
    const world = createWorld();
    const { a, b, pair } = await createPair(world);
    const expirationDate = new Date(world.clock.now().getTime() + 30_000).toISOString();
    const credential = await issue(a.url, authorizationBody(pair, { visibility: 'private', expirationDate }));
    const token = await a.mintToken({ requester: b.did, purpose: SENDER, credentials: [credential] });
    world.clock.advance(33);
    expect((await introspect(a.url, token))['resolvedVCs']).toEqual([credential]);
    world.clock.advance(3);
    expect((await introspect(a.url, token))['resolvedVCs']).toBeNull();
  });
});

describe('minted tokens', () => {
  it('are what the token endpoint would give', async () => {
    const { a, b, pair } = await createPair(createWorld());
    const credential = await issue(a.url, authorizationBody(pair, { visibility: 'private' }));
    const json = { authorizer: a.did, requester: b.did, service: SENDER, credentials: [credential] };
    const reply = await call('POST', `${b.url}/internal/auth/v1/request-access-token`, { json });
    const exchanged = await introspect(a.url, string(object(reply.json)['access_token']));
    const minted = await introspect(a.url, await a.mintToken({ requester: b.did, purpose: SENDER, credentials: [credential] }));
    expect({ ...minted, exp: 0, iat: 0 }).toEqual({ ...exchanged, exp: 0, iat: 0 });
    expect(Number(minted['exp']) - Number(minted['iat'])).toBe(60);
  });

  it('carry a user and a level, which the means of a person cannot reach here', async () => {
    const { a, b } = await createPair(createWorld());
    const user = {
      identifier: '1',
      initials: 'A',
      familyName: 'Jansen',
      roleName: 'Arts',
      prefix: 'van',
      level: 'high',
    } as const;
    const answer = await introspect(a.url, await a.mintToken({ requester: b.did, purpose: SENDER, user }));
    expect(answer).toMatchObject({
      username: '1',
      initials: 'A',
      prefix: 'van',
      family_name: 'Jansen',
      user_role: 'Arts',
      email: '',
      assurance_level: 'high',
    });
  });

  it('can be expired, or live long', async () => {
    const { a, b } = await createPair(createWorld());
    const mint = (expiresInS: number): Promise<string> => a.mintToken({ requester: b.did, purpose: SENDER, expiresInS });
    expect(await introspect(a.url, await mint(-10))).toEqual({ active: false });
    const long = await introspect(a.url, await mint(3600));
    expect(Number(long['exp']) - Number(long['iat'])).toBe(3600);
  });

  it('are known after a restart, signing sessions are not', async () => {
    const { a, b } = await createPair(createWorld());
    const token = await a.mintToken({ requester: b.did, purpose: SENDER });
    const drawUp = { type: 'PractitionerLogin', language: 'EN', version: 'v3', legalEntity: a.did };
    const drawn = await call('PUT', `${a.url}/internal/auth/v1/contract/drawup`, { json: drawUp });
    const json = { means: 'dummy', payload: object(drawn.json)['message'] };
    const session = await call('POST', `${a.url}/internal/auth/v1/signature/session`, { json });
    const url = `${a.url}/internal/auth/v1/signature/session/${string(object(session.json)['sessionID'])}`;
    expect((await call('GET', url)).status).toBe(200);
    a.restart();
    expect((await call('GET', url)).status).toBe(404);
    expect((await introspect(a.url, token))['active']).toBe(true);
  });
});

describe('trouble', () => {
  it('of health makes every token inactive, and passes', async () => {
    const { a, b } = await createPair(createWorld());
    const token = await a.mintToken({ requester: b.did, purpose: SENDER });
    a.setHealth(false);
    expect(await introspect(a.url, token)).toEqual({ active: false });
    expect((await call('GET', `${a.url}/health`)).status).toBe(503);
    a.setHealth(true);
    expect((await introspect(a.url, token))['active']).toBe(true);
  });

  it('is injected: a status, a lost answer whose work was done', async () => {
    const world = createWorld();
    const faults = createFaultInjector();
    const b = await world.start('b');
    const a = await world.start('a', { faults });
    faults.set({ kind: 'status', status: 502, match: { path: '/introspect' }, times: 1 });
    const url = `${a.url}/internal/auth/v1/accesstoken/introspect`;
    expect((await call('POST', url, { form: { token: 'x' } })).status).toBe(502);
    expect((await call('POST', url, { form: { token: 'x' } })).status).toBe(200);
    faults.set({ kind: 'lose-answer', match: { method: 'POST', path: '/issuer/vc' }, times: 1 });
    const json = {
      type: 'NutsAuthorizationCredential',
      issuer: a.did,
      visibility: 'private',
      credentialSubject: { id: b.did, purposeOfUse: SENDER },
    };
    await expect(call('POST', `${a.url}/internal/vcr/v2/issuer/vc`, { json })).rejects.toThrow();
    const query = `credentialType=NutsAuthorizationCredential&issuer=${a.did}&subject=${b.did}`;
    const found = await call('GET', `${a.url}/internal/vcr/v2/issuer/vc/search?${query}`);
    expect(object(found.json)['verifiableCredentials']).toHaveLength(1);
  });

  it('of the other node is a 503 that says which address did not answer', async () => {
    const { a, b } = await createPair(createWorld());
    await a.close();
    const json = { authorizer: a.did, requester: b.did, service: SENDER, credentials: [] };
    const reply = await call('POST', `${b.url}/internal/auth/v1/request-access-token`, { json });
    expect(reply.status).toBe(503);
    expect(reply.text).toContain(`${a.url}/n2n/auth/v1/accesstoken`);
  });
});

describe('the dummy means', () => {
  const dummySession = async (node: SimulatedNode): Promise<number> => {
    const json = { type: 'PractitionerLogin', language: 'EN', version: 'v3', legalEntity: node.did };
    const drawn = await call('PUT', `${node.url}/internal/auth/v1/contract/drawup`, { json });
    const start = { means: 'dummy', payload: object(drawn.json)['message'] };
    return (await call('POST', `${node.url}/internal/auth/v1/signature/session`, { json: start })).status;
  };

  it('exist by default, and not where they are off', async () => {
    const { start } = createWorld();
    expect(await dummySession(await start('a'))).toBe(201);
    expect(await dummySession(await start('b', { dummyMeans: false }))).toBe(400);
  });

  it('forged elsewhere are refused as an identity where they are off', async () => {
    const world = createWorld();
    const [a, b] = [await world.start('a', { dummyMeans: false }), await world.start('b')];
    a.register(SENDER, {});
    const json = { type: 'PractitionerLogin', language: 'EN', version: 'v3', legalEntity: b.did };
    const drawn = await call('PUT', `${b.url}/internal/auth/v1/contract/drawup`, { json });
    const identity = {
      '@context': ['https://www.w3.org/2018/credentials/v1'],
      type: ['VerifiablePresentation', 'DummyVerifiablePresentation'],
      proof: { Type: 'NoSignature', Contract: object(drawn.json)['message'], Initials: 'I', FamilyName: 'Dummy' },
    };
    const ask = { authorizer: a.did, requester: b.did, service: SENDER, credentials: [] };
    const url = `${b.url}/internal/auth/v1/request-access-token`;
    expect((await call('POST', url, { json: ask })).status).toBe(200);
    expect((await call('POST', url, { json: { ...ask, identity } })).status).toBe(503);
  });
});

describe('the rate limiter', () => {
  it('lets 30 calls pass at once and then about one in 29 s, and is off by default', async () => {
    const world = createWorld();
    const node = await world.start('a', { rateLimiter: true });
    const make = async (): Promise<number> => (await call('POST', `${node.url}/internal/vdr/v1/did`, { json: {} })).status;
    const statuses: number[] = [];
    for (let number = 0; number < 31; number += 1) statuses.push(await make());
    expect(statuses.filter((status) => status === 200)).toHaveLength(30);
    expect(statuses.at(-1)).toBe(429);
    world.clock.advance(29);
    expect([await make(), await make()]).toEqual([200, 429]);
  });
});

describe('an employee session', () => {
  it('expires after ten minutes', async () => {
    const world = createWorld();
    const node = await world.start('a');
    const json = { type: 'PractitionerLogin', language: 'EN', version: 'v3', legalEntity: node.did };
    const drawn = await call('PUT', `${node.url}/internal/auth/v1/contract/drawup`, { json });
    const params = { employer: node.did, employee: { identifier: '1', initials: 'A', familyName: '<b>"Jansen' } };
    const start = { means: 'employeeid', payload: object(drawn.json)['message'], params };
    const session = object((await call('POST', `${node.url}/internal/auth/v1/signature/session`, { json: start })).json);
    const page = string(object(session['sessionPtr'])['url']);
    const shown = await call('GET', page);
    expect(shown.text).toContain('&#60;b&#62;&#34;Jansen');
    expect(shown.text).not.toContain('<b>');
    world.clock.advance(601);
    const url = `${node.url}/internal/auth/v1/signature/session/${string(session['sessionID'])}`;
    expect((await call('GET', url)).json).toEqual({ status: 'expired' });
  });
});

describe('a proof', () => {
  it('breaks with any change of any leaf, and survives another order of keys', async () => {
    const { a, pair } = await createPair(createWorld());
    const credential = await issue(a.url, authorizationBody(pair, { expirationDate: '2099-01-01T00:00:00Z' }));
    const verify = async (verifiableCredential: unknown): Promise<unknown> => {
      const reply = await call('POST', `${a.url}/internal/vcr/v2/verifier/vc`, { json: { verifiableCredential } });
      return object(reply.json)['validity'];
    };
    expect(await verify(Object.fromEntries(Object.entries(credential).reverse()))).toBe(true);
    const leaves = pathsOf(credential);
    expect(leaves.length).toBeGreaterThan(10);
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...leaves), fc.string({ minLength: 1 }), async (path, more) => {
        expect(await verify(changed(credential, path, more))).toBe(false);
      }),
      { numRuns: 60 },
    );
  });
});

type Path = readonly (string | number)[];

function pathsOf(value: unknown, path: Path = []): Path[] {
  if (Array.isArray(value)) return value.flatMap((entry: unknown, index) => pathsOf(entry, [...path, index]));
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value).flatMap(([key, member]) => pathsOf(member, [...path, key]));
  }
  return [path];
}

/** A copy with text added to one leaf. */
function changed(value: unknown, [key, ...rest]: Path, more: string): unknown {
  if (key === undefined) return `${String(value)}${more}`;
  if (Array.isArray(value)) return value.map((entry: unknown, index) => (index === key ? changed(entry, rest, more) : entry));
  return { ...object(value), [key]: changed(object(value)[key], rest, more) };
}
