import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { createFaultInjector } from '../../../../src/sandbox/faults.ts';
import { definitionSchema, discoverySchema } from '../../../../src/sandbox/node/iam/definition.ts';
import {
  createSimulatedNetwork,
  startSimulatedNode,
  type Policy,
  type SimulatedNode,
} from '../../../../src/sandbox/node/index.ts';
import { array, call, decode, expectStatus, object, string, type Json } from '../../../contract/nuts/peer-pair.ts';
import { createStandingClock } from '../../../support/clock.ts';

const ORGANIZATION = { path: ['$.type'], filter: { type: 'string', const: 'NutsOrganizationCredential' } };
const NAMES = { id: 'name', path: ['$.credentialSubject.organization.name', '$.credentialSubject[0].organization.name'] };

const policy = (id: string, more: object = {}, descriptor: object = {}): Policy => ({
  organization: definitionSchema.parse({
    id,
    input_descriptors: [{ id: 'organization', constraints: { fields: [ORGANIZATION, NAMES] }, ...descriptor }],
    ...more,
  }),
});

const registration = {
  id: 'registration',
  constraints: {
    fields: [
      { path: ['$.type'], filter: { type: 'string', const: 'DiscoveryRegistrationCredential' } },
      { id: 'fhir', path: ['$.credentialSubject.fhir'], optional: true },
    ],
  },
};

describe('simulated nodes of generation v2 between each other', () => {
  const clock = createStandingClock();
  const network = createSimulatedNetwork({ clock });
  const faults = createFaultInjector();
  let a: SimulatedNode;
  let b: SimulatedNode;

  beforeAll(async () => {
    const policies = {
      plain: policy('pd_plain'),
      ldp: policy('pd_ldp', { format: { ldp_vp: {}, ldp_vc: {} } }),
      jwt: policy('pd_jwt', {}, { format: { jwt_vc: {} } }),
    };
    const discovery = [
      discoverySchema.parse({
        id: 'parameters',
        endpoint: 'http://127.0.0.1/discovery/parameters',
        presentation_max_validity: 60,
        presentation_definition: {
          id: 'pd',
          input_descriptors: [{ id: 'organization', constraints: { fields: [NAMES] } }, registration],
        },
      }),
    ];
    const start = (name: string, more: object = {}) =>
      startSimulatedNode({
        network,
        name,
        organization: { name: `Zorg ${name}`, city: 'Ede' },
        clock,
        policies,
        discovery,
        ...more,
      });
    a = await start('a');
    b = await start('b', { faults });
  });

  afterAll(async () => {
    await Promise.all([a.close(), b.close()]);
  });

  const token = (scope: string) =>
    b.requestToken({ server: a.subject.authorizationServerUrl, scope, tokenType: 'Bearer' }).then(({ token: text }) => text);
  const introspected = async (text: string, how = ''): Promise<Json> => {
    const url = `${a.url}/internal/auth/v2/accesstoken/introspect${how}`;
    return object((await call('POST', url, { form: { token: text } })).json);
  };
  const issue = async (more: Json): Promise<unknown> => {
    const json = {
      type: 'NutsOrganizationCredential',
      issuer: b.subject.did,
      credentialSubject: { id: b.subject.did, organization: { name: 'Eigen', city: 'Ede' } },
      withStatusList2021Revocation: true,
      ...more,
    };
    return expectStatus(await call('POST', `${b.url}/internal/vcr/v2/issuer/vc`, { json }), 200).json;
  };
  const load = (credential: unknown) =>
    call('POST', `${b.url}/internal/vcr/v2/holder/b/vc`, { json: credential }).then((reply) => expectStatus(reply, 204));

  it('a presentation is a JWT, or JSON-LD where the definition takes nothing else', async () => {
    const [jwt, ldp] = [
      await introspected(await token('plain'), '_extended'),
      await introspected(await token('ldp'), '_extended'),
    ];
    const presented = decode(string(array(jwt['vps'])[0]).split('.')[1]);
    expect(Number(presented['exp']) - Number(presented['nbf'])).toBe(5);
    expect(array(ldp['vps'])[0]).toMatchObject({
      type: 'VerifiablePresentation',
      proof: { domain: a.subject.authorizationServerUrl },
    });
  });

  it('a JWT credential in the wallet is found, presented and read', async () => {
    await expect(token('jwt')).rejects.toThrow('missing credentials');
    await load(await issue({ format: 'jwt_vc' }));
    expect(await introspected(await token('jwt'))).toMatchObject({ name: 'Eigen' });
  });

  it("another node's status list is believed for a quarter of an hour, and without one nothing is revoked", async () => {
    const made = object(await issue({}));
    const verdict = async (): Promise<unknown> => {
      const json = { verifiableCredential: made };
      return object((await call('POST', `${a.url}/internal/vcr/v2/verifier/vc`, { json })).json)['validity'];
    };
    expect(await verdict()).toBe(true);
    expectStatus(await call('DELETE', `${b.url}/internal/vcr/v2/issuer/vc/${encodeURIComponent(string(made['id']))}`), 204);
    expect(await verdict()).toBe(true);
    clock.advance(15 * 60 + 1);
    faults.set({ kind: 'down', match: { path: '/statuslist/' } });
    expect(await verdict()).toBe(true);
    faults.clear();
    expect(await verdict()).toBe(false);
  });

  it('parameters of a registration are listed when the definition asks for them, reach other nodes in time, and lapse', async () => {
    const list = async (at: SimulatedNode, query = ''): Promise<Json[]> =>
      array((await call('GET', `${at.url}/internal/discovery/v1/parameters${query}`)).json).map(object);
    const json = { registrationParameters: { fhir: 'https://rs.example/fhir' } };
    expectStatus(await call('POST', `${b.url}/internal/discovery/v1/parameters/b`, { json }), 200);
    const parameters = { authServerURL: b.subject.authorizationServerUrl, fhir: 'https://rs.example/fhir' };
    const [own] = await list(b);
    expect(own).toMatchObject({ registrationParameters: parameters, fields: { fhir: 'https://rs.example/fhir' } });
    expect(await list(a)).toEqual([]);
    clock.advance(1);
    expect(await list(a, '?credentialSubject.fhir=*')).toHaveLength(1);
    expect(await list(a, '?credentialSubject.fhir=*&credentialSubject.organization.name=*')).toEqual([]);
    clock.advance(60);
    expect(await list(a)).toEqual([]);
  });

  it('a node whose session store is down says 500 for a token, and nothing of an empty one', async () => {
    const text = await token('plain');
    a.setHealth(false);
    const reply = (form: Record<string, string>) => call('POST', `${a.url}/internal/auth/v2/accesstoken/introspect`, { form });
    expect((await reply({ token: text })).status).toBe(500);
    expect((await reply({ token: '' })).json).toEqual({ active: false });
    a.setHealth(true);
    expect(await introspected(text)).toMatchObject({ active: true });
  });

  it('a token that the server gave without saying what, or not at all, is a failure of its kind', async () => {
    const ask = (authorization_server: string) =>
      call('POST', `${a.url}/internal/auth/v2/a/request-service-access-token`, {
        json: { authorization_server, scope: 'plain' },
        headers: { 'cache-control': 'no-cache' },
      });
    const server = b.subject.authorizationServerUrl;
    for (const [path, kind, status, expected] of [
      ['/.well-known/', 'status', 500, 500],
      ['/.well-known/', 'status', 404, 400],
      ['/.well-known/', 'garbage', undefined, 400],
      ['/presentation_definition', 'status', 500, 502],
      ['/presentation_definition', 'down', undefined, 502],
      ['/token', 'status', 503, 500],
      ['/token', 'down', undefined, 500],
    ] as const) {
      faults.set({ kind, match: { path }, ...(status === undefined ? {} : { status }) });
      expect([path, kind, (await ask(server)).status]).toEqual([path, kind, expected]);
      faults.clear();
    }
    expect((await ask(server)).status).toBe(200);
  });

  it('a subject with a new key signs with it, and what the old one signed still holds', async () => {
    const made = await issue({});
    const url = `${b.url}/internal/vdr/v2/subject/b/verificationmethod`;
    const added = array(expectStatus(await call('POST', url, { json: { assertionKey: true } }), 200).json);
    const kid = string(object(added[0])['id']);
    const bound = await b.requestToken({ server: a.subject.authorizationServerUrl, scope: 'plain', tokenType: 'DPoP' });
    expect(bound.kid).toBe(kid);
    const json = { verifiableCredential: made };
    expect((await call('POST', `${a.url}/internal/vcr/v2/verifier/vc`, { json })).json).toEqual({ validity: true });
  });
});
