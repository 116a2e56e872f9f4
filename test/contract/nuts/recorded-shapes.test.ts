/**
 * The simulator's answers beside those that real nodes gave (`nuts-recorded/` of the test data): status, content type, and the shape of
 * the body down to its leaves: keys, types, null or missing. Problems are compared word for word, but for identifiers.
 */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { createClock } from '../../../src/clock.ts';
import { createSimulatedNetwork, startSimulatedNode, type SimulatedNode } from '../../../src/sandbox/node/index.ts';
import {
  authorize,
  authorizationBody,
  call,
  FHIR_ENDPOINT,
  inPath,
  object,
  requestToken,
  SENDER,
  string,
  token,
  type Json,
  type PeerPair,
  type Reply,
} from './peer-pair.ts';
import { compared, readRecorded, type Compared } from './shapes.ts';

const data = resolve(import.meta.dirname, '../../..', process.env['SLUIS_TEST_DATA'] ?? '../shared/data');
const file = join(data, 'nuts-recorded/v5.4.37-nuts/exchanges.json');

interface World extends PeerPair {
  readonly session: (means: 'dummy' | 'employeeid') => Promise<{ id: string; page: string }>;
  readonly close: () => Promise<void>;
}

const didman = (world: World, path: string): string => `${world.a.internal}/internal/didman/v1/did/${world.a.did}/${path}`;
const issuerSearch = (world: World): string =>
  `${world.a.internal}/internal/vcr/v2/issuer/vc/search?credentialType=NutsAuthorizationCredential&issuer=${world.a.did}`;
const introspection = (world: World, accessToken: string): Promise<Reply> =>
  call('POST', `${world.a.internal}/internal/auth/v1/accesstoken/introspect`, { form: { token: accessToken } });
const issueAt = (world: World, json: Json): Promise<Reply> =>
  call('POST', `${world.a.internal}/internal/vcr/v2/issuer/vc`, { json });
const search = (world: World, credentialSubject: unknown): Promise<Reply> => {
  const type = ['VerifiableCredential', 'NutsOrganizationCredential'];
  const query = {
    '@context': ['https://www.w3.org/2018/credentials/v1', 'https://nuts.nl/credentials/v1'],
    type,
    credentialSubject,
  };
  return call('POST', `${world.a.internal}/internal/vcr/v2/search`, { json: { query } });
};
const revoke = (world: World, id: unknown): Promise<Reply> =>
  call('DELETE', `${world.a.internal}/internal/vcr/v2/issuer/vc/${inPath(string(id))}`);
const resolved = (world: World, id: string): Promise<Reply> =>
  call('GET', `${world.a.internal}/internal/vcr/v2/vc/${inPath(id)}`);
const polled = (world: World, id: string): Promise<Reply> =>
  call('GET', `${world.b.internal}/internal/auth/v1/signature/session/${id}`);
const drawUp = (world: World, more: Json = {}): Promise<Reply> => {
  const json = { type: 'PractitionerLogin', language: 'EN', version: 'v3', legalEntity: world.b.did, ...more };
  return call('PUT', `${world.b.internal}/internal/auth/v1/contract/drawup`, { json });
};
const task: Json = { expirationDate: '2027-11-22T09:00:00Z' };

async function dummy(world: World): Promise<Json> {
  const { id } = await world.session('dummy');
  await polled(world, id);
  await polled(world, id);
  return object(object((await polled(world, id)).json)['verifiablePresentation']);
}

async function confirmed(world: World): Promise<string> {
  const { id, page } = await world.session('employeeid');
  const secret = /name="secret" value="([0-9a-f]+)"/.exec((await call('GET', page)).text)?.[1] ?? '';
  await call('POST', page, { form: { secret, accept: 'true' } });
  return id;
}

/** For each recorded exchange, by name, the same call on the simulator. */
const CALLS: Readonly<Record<string, (world: World) => Promise<Reply>>> = {
  status: (world) => call('GET', `${world.a.internal}/status`),
  'health with node DID': (world) => call('GET', `${world.a.internal}/health`),
  'unknown internal path': (world) => call('GET', `${world.a.internal}/internal/auth/v1/doesnotexist`),
  'introspect unknown token': (world) => introspection(world, 'abc'),
  'introspect GET': (world) => call('GET', `${world.a.internal}/internal/auth/v1/accesstoken/introspect`),
  'introspect notification token at authorizer': async (world) => introspection(world, await token(world)),
  'introspect token with T': async (world) =>
    introspection(world, await token(world, { credentials: [await authorize(world, task)] })),
  'introspect after revocation': async (world) => {
    const credential = await authorize(world);
    const id = await confirmed(world);
    const identity = object((await polled(world, id)).json)['verifiablePresentation'];
    const accessToken = await token(world, { credentials: [credential], identity });
    await revoke(world, credential['id']);
    return introspection(world, accessToken);
  },
  'introspect token with dummy identity': async (world) => {
    const resources = [{ path: '/Composition/1', operations: ['read', 'document'], userContext: true, assuranceLevel: 'low' }];
    const subject = 'urn:oid:2.16.840.1.113883.2.4.6.3:999911120';
    const credentialSubject = { id: world.b.did, purposeOfUse: SENDER, subject, resources };
    const reply = await issueAt(world, { ...authorizationBody(world), ...task, credentialSubject });
    return introspection(world, await token(world, { credentials: [reply.json], identity: await dummy(world) }));
  },
  'R requests token with T, no identity': async (world) => requestToken(world, { credentials: [await authorize(world)] }),
  'unknown service': (world) => requestToken(world, { service: 'nope' }),
  'invalid DID': (world) => requestToken(world, { authorizer: 'abc' }),
  'requester not on this node': (world) => requestToken(world, { requester: world.a.did }),
  'request token without content type': (world) =>
    call('POST', `${world.b.internal}/internal/auth/v1/request-access-token`, { raw: '{}' }),
  'request token with form content type': (world) =>
    call('POST', `${world.b.internal}/internal/auth/v1/request-access-token`, { form: {} }),
  'request token unparsable json': (world) =>
    call('POST', `${world.b.internal}/internal/auth/v1/request-access-token`, {
      raw: '{',
      headers: { 'content-type': 'application/json' },
    }),
  'identity garbage': (world) => requestToken(world, { identity: { foo: 'bar' } }),
  'T: Task credential (private)': (world) =>
    issueAt(world, { ...authorizationBody(world), ...task, visibility: 'private', publishToNetwork: true }),
  'without visibility': (world) => issueAt(world, { ...authorizationBody(world), visibility: undefined }),
  'issuer not on node': (world) => issueAt(world, { ...authorizationBody(world), issuer: world.b.did }),
  'issuer malformed': (world) => issueAt(world, { ...authorizationBody(world), issuer: 'abc' }),
  'invalid operation': (world) =>
    issueAt(world, {
      ...authorizationBody(world),
      credentialSubject: { id: world.b.did, purposeOfUse: SENDER, resources: [{ path: '/Task/1', operations: ['fly'] }] },
    }),
  'type as array': (world) => issueAt(world, { ...authorizationBody(world), type: ['NutsAuthorizationCredential'] }),
  'revoke N': async (world) => revoke(world, (await authorize(world))['id']),
  'revoke N again': async (world) => {
    const credential = await authorize(world);
    await revoke(world, credential['id']);
    return revoke(world, credential['id']);
  },
  'revoke id with non-UUID fragment': (world) => revoke(world, `${world.a.did}#abc`),
  'revoke credential of foreign issuer': (world) => revoke(world, `${world.b.did}#${crypto.randomUUID()}`),
  'resolve T at receiver': async (world) => resolved(world, string((await authorize(world, task))['id'])),
  'resolve unknown': (world) => resolved(world, `${world.a.did}#${crypto.randomUUID()}`),
  'vcr search org exact name': (world) => search(world, { organization: { name: world.b.organization.name } }),
  'vcr search org no hit': (world) => search(world, { organization: { name: 'Boekhandel*' } }),
  'vcr search org undefined property': (world) => search(world, { organization: { name: '*', nosuchproperty: 'x' } }),
  'vcr search org two subjects': (world) => search(world, [{ id: world.a.did }, { id: world.b.did }]),
  'issuer search without issuer': (world) => call('GET', issuerSearch(world).replace(/&.*/, '')),
  'issuer search at receiver for foreign issuer': (world) =>
    call('GET', issuerSearch(world).replace(world.a.internal, world.b.internal)),
  'verifier/vc untrusted issuer': async (world) =>
    call('POST', `${world.b.internal}/internal/vcr/v2/verifier/vc`, { json: { verifiableCredential: await authorize(world) } }),
  'trust issuer at A': (world) =>
    call('POST', `${world.a.internal}/internal/vcr/v2/verifier/trust`, {
      json: { issuer: world.b.did, credentialType: 'NutsOrganizationCredential' },
    }),
  'trusted list at issuer node': (world) =>
    call('GET', `${world.a.internal}/internal/vcr/v2/verifier/NutsOrganizationCredential/trusted`),
  'trusted list of unknown type': (world) => call('GET', `${world.a.internal}/internal/vcr/v2/verifier/NoSuchCredential/trusted`),
  'compound endpoint fhir resolved': (world) => call('GET', didman(world, `compoundservice/${SENDER}/endpoint/fhir`)),
  'compound endpoint text/plain': (world) =>
    call('GET', didman(world, `compoundservice/${SENDER}/endpoint/fhir`), { headers: { accept: 'text/plain' } }),
  'compound endpoint unknown service': (world) => call('GET', didman(world, 'compoundservice/nope/endpoint/fhir')),
  'compound endpoint unknown type': (world) => call('GET', didman(world, `compoundservice/${SENDER}/endpoint/nope`)),
  'list compound services': (world) => call('GET', didman(world, 'compoundservice')),
  'didman org search no match': (world) =>
    call('GET', `${world.a.internal}/internal/didman/v1/search/organizations?query=Boekhandel`),
  'didman org search no query parameter': (world) => call('GET', `${world.a.internal}/internal/didman/v1/search/organizations`),
  'contract drawup EN': (world) => drawUp(world),
  'contract drawup unknown type': (world) => drawUp(world, { type: 'Nope' }),
  'contract drawup foreign legal entity': (world) => drawUp(world, { legalEntity: world.a.did }),
  'contract drawup bad DID': (world) => drawUp(world, { legalEntity: 'abc' }),
  'signature session employeeid missing employer': async (world) => {
    const payload = object((await drawUp(world)).json)['message'];
    const employee = { identifier: '1', initials: 'A', familyName: 'B' };
    const json = { means: 'employeeid', payload, params: { employee } };
    return call('POST', `${world.b.internal}/internal/auth/v1/signature/session`, { json });
  },
  'dummy poll 1': async (world) => polled(world, (await world.session('dummy')).id),
  'dummy poll 3': async (world) => {
    const { id } = await world.session('dummy');
    await polled(world, id);
    await polled(world, id);
    return polled(world, id);
  },
  'employeeid poll completed': async (world) => polled(world, await confirmed(world)),
  'AS no grant_type': (world) => call('POST', `${world.a.public}/n2n/auth/v1/accesstoken`, { form: {} }),
  'AS assertion not a JWT': (world) =>
    call('POST', `${world.a.public}/n2n/auth/v1/accesstoken`, {
      form: { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion: 'abc' },
    }),
  'resolve foreign DID': (world) => call('GET', `${world.b.internal}/internal/vdr/v1/did/${world.a.did}`),
};

/** The recorded document had no services yet. */
function normalised(name: string, value: Compared): Compared {
  if (name !== 'resolve foreign DID') return value;
  const { document, ...rest } = object(value.body);
  const { service: _, ...bare } = object(document);
  return { ...value, body: { ...rest, document: bare } };
}

if (!existsSync(file))
  process.stderr.write(`skipped: recorded shapes: there is no ${file}; name the data folder in SLUIS_TEST_DATA\n`);

(existsSync(file) ? describe : describe.skip)('the simulator answers in the shape that a real v5.4.37 node answered in', () => {
  let recorded: ReadonlyMap<string, Compared>;
  let world: World;

  beforeAll(async () => {
    recorded = readRecorded(file);
    world = await createWorld();
  });

  afterAll(async () => {
    await world.close();
  });

  it.each(Object.keys(CALLS))('%s', async (name) => {
    const expected = recorded.get(name);
    expect(expected).toBeDefined();
    const reply = await CALLS[name]!(world);
    expect(normalised(name, compared(reply.status, reply.type, reply.text))).toEqual(normalised(name, expected!));
  });

  it('marks every answer as simulated, problems and empty ones too', async () => {
    for (const name of ['status', 'unknown internal path', 'trust issuer at A', 'introspect unknown token', 'AS no grant_type']) {
      const reply = await CALLS[name]!(world);
      expect(reply.headers.get('x-sluis-sandbox')).toBe('simulated-nuts-node');
    }
  });
});

async function createWorld(): Promise<World> {
  const clock = createClock();
  const network = createSimulatedNetwork({ clock });
  const nodes: SimulatedNode[] = [];
  const start = async (name: string, organization: { name: string; city: string }): Promise<SimulatedNode> => {
    const node = await startSimulatedNode({ network, name, organization, clock });
    nodes.push(node);
    return node;
  };
  const organizations = {
    a: { name: 'Ziekenhuis De Zonnebloem', city: 'Caretown' },
    b: { name: 'Verpleeghuis Avondrood', city: 'Nursingham' },
  };
  const [a, b] = [await start('a', organizations.a), await start('b', organizations.b)];
  a.register(SENDER, { fhir: FHIR_ENDPOINT });
  const peer = (node: SimulatedNode, organization: { name: string; city: string }) => ({
    internal: node.url,
    public: node.url,
    did: node.did,
    organization,
  });
  const pair: PeerPair = { generation: 'v5', hasV2: true, a: peer(a, organizations.a), b: peer(b, organizations.b) };
  const message = async (): Promise<unknown> => {
    const json = { type: 'PractitionerLogin', language: 'EN', version: 'v3', legalEntity: b.did };
    return object((await call('PUT', `${b.url}/internal/auth/v1/contract/drawup`, { json })).json)['message'];
  };
  return {
    ...pair,
    session: async (means) => {
      const employee = { identifier: 'jansen@avondrood.example', initials: 'J.P.', familyName: 'Jansen', roleName: 'Arts' };
      const params = means === 'dummy' ? {} : { employer: b.did, employee };
      const json = { means, payload: await message(), params };
      const reply = await call('POST', `${b.url}/internal/auth/v1/signature/session`, { json });
      const pointer = object(object(reply.json)['sessionPtr']);
      return { id: string(pointer['sessionID']), page: typeof pointer['url'] === 'string' ? pointer['url'] : '' };
    },
    close: async () => {
      await Promise.all(nodes.map((node) => node.close()));
    },
  };
}
