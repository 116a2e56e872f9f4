import { afterEach, describe, expect, it } from '@jest/globals';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { inspect } from 'node:util';
import { calculateJwkThumbprint, exportJWK, jwtVerify } from 'jose';
import type { MovableClock } from '../../src/clock.ts';
import { createNode, type Node } from '../../src/nuts/node.ts';
import { Secret } from '../../src/secret.ts';
import type { Tenant } from '../../src/tenant/tenant.ts';
import { json, memoryLog, startRawServer, startServer, tenantOf, type Received, type TestServer } from '../outbound/servers.ts';
import { createStandingClock } from '../support/clock.ts';

const opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((each) => each.close()));
});
const log = memoryLog();
const OWN = 'did:nuts:oost';
const OTHER = 'did:nuts:west';
const PURPOSE = 'eOverdracht-sender';

function nodeAt(url: string, clock: MovableClock = createStandingClock(), more: Partial<Tenant['node']> = {}): Node {
  const node = createNode({ tenant: tenantOf({ did: OWN, node: { url, ...more } }), clock, logger: log.logger });
  opened.push(node);
  return node;
}
async function setUp(answer: (request: Received, response: ServerResponse) => void, more: Partial<Tenant['node']> = {}) {
  const clock = createStandingClock();
  const server: TestServer = await startServer(answer);
  opened.push(server);
  return { server, clock, node: nodeAt(server.url, clock, more) };
}
const saysNothing = (): void => undefined;
/** Only silence is waited for until the time is over. */
const timeLimit = (answer: unknown): Partial<Tenant['node']> => (answer === saysNothing ? { introspectionTimeoutMs: 300 } : {});
const ACTIVE = { active: true, iss: OWN, sub: OTHER, aud: '', service: PURPOSE, iat: 1767225600, exp: 1767225660 };

describe('introspection (v1)', () => {
  it('asks by form, and gives what the node says without names that no node has', async () => {
    const said = {
      ...ACTIVE,
      vcs: ['x'],
      resolvedVCs: [{ id: 'x' }],
      initials: 'A',
      prefix: '',
      assurance_level: 'low',
      extra: 'y',
    };
    const { server, node } = await setUp((_request, response) => json(response, said));
    const { extra: _extra, ...expected } = said;
    await expect(node.introspectV1('a.b+c/=')).resolves.toEqual(expected);
    expect(server.received[0]).toMatchObject({
      method: 'POST',
      target: '/internal/auth/v1/accesstoken/introspect',
      body: 'token=a.b%2Bc%2F%3D',
    });
    expect(server.received[0]?.headers['content-type']).toBe('application/x-www-form-urlencoded');
    expect(server.received[0]?.headers).not.toHaveProperty('authorization');
  });

  it.each([
    ['inactive', { active: false }, { active: false }],
    ['inactive with more', { active: false, iss: 1 }, { active: false }],
    [
      'credentials that did not resolve',
      { ...ACTIVE, vcs: ['x'], resolvedVCs: null },
      { ...ACTIVE, vcs: ['x'], resolvedVCs: null },
    ],
    ['an issuer that is a list, for which the token answers (T9)', { ...ACTIVE, iss: [OWN] }, { ...ACTIVE, iss: [OWN] }],
    ['an end as text, for which the token answers (T6)', { ...ACTIVE, exp: '1767225660' }, { ...ACTIVE, exp: '1767225660' }],
  ])('reads %s', async (_what, said, expected) => {
    const { node } = await setUp((_request, response) => json(response, said));
    await expect(node.introspectV1('t')).resolves.toEqual(expected);
  });

  it.each<[string, (response: ServerResponse) => void]>([
    ['active as text', (response) => json(response, { ...ACTIVE, active: 'true' })],
    ['active as a number', (response) => json(response, { ...ACTIVE, active: 1 })],
    ['no active', (response) => json(response, { iss: OWN })],
    ['an unknown level', (response) => json(response, { ...ACTIVE, assurance_level: 'ultra' })],
    ['active twice', (response) => json(response, '{"active":false,"active":true}')],
    ['a list', (response) => json(response, '[{"active":true}]')],
    ['HTML', (response) => json(response, '<html></html>', 200, { 'content-type': 'text/html' })],
    ['nothing', (response) => json(response, '')],
    ['truncated JSON', (response) => json(response, '{"active":tr')],
    ['10 MB', (response) => json(response, 'x'.repeat(10_000_000))],
    ['a redirect (T21)', (response) => response.writeHead(302, { location: 'http://169.254.169.254/' }).end()],
    ['401', (response) => json(response, { active: false }, 401)],
    ['404', (response) => json(response, { active: false }, 404)],
    ['500 (T20)', (response) => json(response, { active: false }, 500)],
    ['nothing, for ever (T20)', saysNothing],
  ])('cannot tell on %s: `node_unavailable`', async (_what, answer) => {
    const { node } = await setUp((_request, response) => answer(response), timeLimit(answer));
    const error: unknown = await node.introspectV1('very.secret.token').catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: 'node_unavailable', options: { retryAfterSeconds: 5 } });
    expect(inspect(error, { depth: 10 })).not.toContain('very.secret');
  });

  it.each(['', 'garbage', 'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"active":true'])(
    'cannot tell on the bytes %j',
    async (bytes) => {
      const server = await startRawServer((socket) => socket.end(bytes));
      opened.push(server);
      await expect(nodeAt(server.url).introspectV1('t')).rejects.toMatchObject({ code: 'node_unavailable' });
    },
  );

  it('leaves a node that is down alone, and asks again within 5 s', async () => {
    const { server, node, clock } = await setUp((_request, response) =>
      json(response, ACTIVE, server.received.length > 5 ? 200 : 500),
    );
    for (let i = 0; i < 5; i += 1) await expect(node.introspectV1('t')).rejects.toMatchObject({ code: 'node_unavailable' });
    await expect(node.introspectV1('t')).rejects.toMatchObject({ code: 'node_unavailable', options: { retryAfterSeconds: 2 } });
    expect(server.received).toHaveLength(5);
    clock.advance(5);
    await expect(node.introspectV1('t')).resolves.toMatchObject({ active: true });
    await expect(node.introspectV1('t')).resolves.toMatchObject({ active: true });
  });

  it('goes on while other calls fail', async () => {
    const { node } = await setUp(({ target }, response) =>
      target.endsWith('introspect') ? json(response, ACTIVE) : json(response, {}, 500),
    );
    for (let i = 0; i < 8; i += 1)
      await expect(node.services().findIssued(OTHER)).rejects.toMatchObject({ code: 'node_unavailable' });
    await expect(node.introspectV1('t')).resolves.toMatchObject({ active: true });
  });
});

describe('introspection (v2)', () => {
  const ACTIVE_V2 = {
    active: true,
    iss: 'https://node.example/oauth2/oost',
    client_id: 'https://anybody.example/oauth2/west',
    scope: 'chart other',
    iat: 1767225600,
    exp: 1767226500,
  };

  it('asks by form with the exact content type (else 415), and a token adds no parameter', async () => {
    const { server, node } = await setUp((_request, response) => json(response, ACTIVE_V2));
    await node.introspectV2('a&token=b;c=d%00 e');
    expect(server.received[0]).toMatchObject({
      method: 'POST',
      target: '/internal/auth/v2/accesstoken/introspect',
      body: 'token=a%26token%3Db%3Bc%3Dd%2500%20e',
    });
    expect(server.received[0]?.headers['content-type']).toBe('application/x-www-form-urlencoded');
  });

  it('gives protocol members and claims apart, and nobody’s client_id', async () => {
    const said = { ...ACTIVE_V2, cnf: { jkt: 'k' }, organization_name: 'Caresoft B.V.', employee_name: null, sub: 'x', vps: [] };
    const { node } = await setUp((_request, response) => json(response, said));
    const answer = await node.introspectV2('t');
    expect(answer).toMatchObject({ active: true, iss: ACTIVE_V2.iss, scope: 'chart other', cnf: { jkt: 'k' } });
    expect(answer).not.toHaveProperty('client_id');
    expect(answer.active && [...answer.claims]).toEqual([
      ['organization_name', 'Caresoft B.V.'],
      ['employee_name', null],
    ]);
  });

  it.each<[string, object]>([
    ['inactive', { active: false, scope: 7 }],
    ['without a scope, for which the policy answers', { ...ACTIVE_V2, scope: undefined }],
    ['with an issuer that is a list, for which the token answers (T9)', { ...ACTIVE_V2, iss: [ACTIVE_V2.iss] }],
    ['without an end, for which the token answers (T6)', { ...ACTIVE_V2, exp: undefined }],
  ])('reads one that is %s', async (_what, said) => {
    const { node } = await setUp((_request, response) => json(response, said));
    await expect(node.introspectV2('t')).resolves.toHaveProperty('active');
  });

  it.each<[string, (response: ServerResponse) => void]>([
    ['active as text (T2)', (response) => json(response, { ...ACTIVE_V2, active: 'true' })],
    ['active as a number (T2)', (response) => json(response, { ...ACTIVE_V2, active: 1 })],
    ['no active (T2)', (response) => json(response, { ...ACTIVE_V2, active: undefined })],
    ['a policy’s field called cnf', (response) => json(response, { ...ACTIVE_V2, cnf: 'Caresoft B.V.' })],
    ['a cnf of null: a binding may hide behind it', (response) => json(response, { ...ACTIVE_V2, cnf: null })],
    ['a cnf without a thumbprint', (response) => json(response, { ...ACTIVE_V2, cnf: {} })],
    ['a cnf with an empty thumbprint', (response) => json(response, { ...ACTIVE_V2, cnf: { jkt: '' } })],
    ['a thumbprint that is a list', (response) => json(response, { ...ACTIVE_V2, cnf: { jkt: ['k'] } })],
    ['a cnf of another kind', (response) => json(response, { ...ACTIVE_V2, cnf: { 'x5t#S256': 'k' } })],
    ['a cnf of two kinds', (response) => json(response, { ...ACTIVE_V2, cnf: { jkt: 'k', 'x5t#S256': 'k' } })],
    ['a list of cnf', (response) => json(response, { ...ACTIVE_V2, cnf: [{ jkt: 'k' }] })],
    ['cnf twice', (response) => json(response, '{"active":true,"cnf":{"jkt":"k"},"cnf":{"jkt":"l"}}')],
    ['a scope that is a list', (response) => json(response, { ...ACTIVE_V2, scope: ['chart'] })],
    ['a member __proto__', (response) => json(response, '{"active":true,"__proto__":{"cnf":1}}')],
    ['a list', (response) => json(response, '[{"active":true}]')],
    ['HTML', (response) => json(response, '<html></html>', 200, { 'content-type': 'text/html' })],
    ['nothing', (response) => json(response, '')],
    ['10 MB', (response) => json(response, 'x'.repeat(10_000_000))],
    ['a redirect (T21)', (response) => response.writeHead(302, { location: 'http://169.254.169.254/' }).end()],
    ['401', (response) => json(response, { active: false }, 401)],
    ['415', (response) => json(response, { active: false }, 415)],
    ['500 (T20)', (response) => json(response, { active: false }, 500)],
    ['nothing, for ever (T20)', saysNothing],
  ])('cannot tell on %s: `node_unavailable`', async (_what, answer) => {
    const { node } = await setUp((_request, response) => answer(response), timeLimit(answer));
    const error: unknown = await node.introspectV2('very.secret.token').catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: 'node_unavailable', options: { retryAfterSeconds: 5 } });
    expect(inspect(error, { depth: 10 })).not.toContain('very.secret');
  });

  it('goes on while v1 fails, and the other way round', async () => {
    let sick = 'v1';
    const { node } = await setUp(({ target }, response) =>
      target.includes(sick) ? json(response, {}, 500) : json(response, target.includes('v1') ? ACTIVE : ACTIVE_V2),
    );
    for (let i = 0; i < 8; i += 1) await expect(node.introspectV1('t')).rejects.toMatchObject({ code: 'node_unavailable' });
    await expect(node.introspectV2('t')).resolves.toMatchObject({ active: true });
    sick = 'v2';
    for (let i = 0; i < 8; i += 1) await expect(node.introspectV2('t')).rejects.toMatchObject({ code: 'node_unavailable' });
  });
});

describe('health', () => {
  it('is asked at most every 5 s, once for many', async () => {
    let up = true;
    const { server, node, clock } = await setUp((_request, response) => json(response, {}, up ? 200 : 503));
    expect(await Promise.all([node.isHealthy(), node.isHealthy(), node.isHealthy()])).toEqual([true, true, true]);
    up = false;
    expect(await node.isHealthy()).toBe(true);
    expect(server.received).toHaveLength(1);
    expect(server.received[0]).toMatchObject({ method: 'GET', target: '/health' });
    clock.advance(6);
    expect(await node.isHealthy()).toBe(false);
    expect(node.health()).toMatchObject({ healthy: false });
  });

  it('is not well when nobody answers, and never throws', async () => {
    const server = await startServer(() => undefined);
    await server.close();
    const node = nodeAt(server.url);
    expect(await node.isHealthy()).toBe(false);
  });
});

const RESOURCES = [{ path: '/Task/1', operations: ['read', 'update'], userContext: false }];
function credential(changes: Record<string, unknown> = {}, subject: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    '@context': ['https://nuts.nl/credentials/v1'],
    id: `${OWN}#1`,
    type: ['NutsAuthorizationCredential', 'VerifiableCredential'],
    issuer: OWN,
    issuanceDate: '2026-01-01T00:00:00Z',
    expirationDate: '2099-01-01T00:00:00Z',
    // A list of one is printed as the one.
    credentialSubject: { id: OTHER, purposeOfUse: PURPOSE, resources: RESOURCES[0], ...subject },
    proof: {},
    ...changes,
  };
}
const found = (...credentials: readonly unknown[]) => ({
  verifiableCredentials: credentials.map((verifiableCredential) => ({ verifiableCredential })),
});
const expiresAt = new Date('2099-01-01T00:00:00.900Z');
const asked = { subject: OTHER, purpose: PURPOSE, resources: RESOURCES, expiresAt };

describe('issuing and revoking', () => {
  it('issues privately, and gives the credential', async () => {
    const { server, node } = await setUp((_request, response) => json(response, credential()));
    const issued = await node.services().issueCredential(asked);
    expect(issued).toMatchObject({
      id: `${OWN}#1`,
      revoked: false,
      resources: RESOURCES,
      expiresAt: new Date('2099-01-01T00:00:00Z'),
    });
    expect(JSON.parse(server.received[0]?.body ?? '')).toEqual({
      type: 'NutsAuthorizationCredential',
      issuer: OWN,
      expirationDate: '2099-01-01T00:00:00Z',
      credentialSubject: { id: OTHER, purposeOfUse: PURPOSE, resources: RESOURCES },
      publishToNetwork: true,
      visibility: 'private',
    });
    expect(server.received[0]?.headers['content-type']).toBe('application/json');
  });

  it('fails on 412, and takes back what the node kept all the same; nothing else', async () => {
    const { server, node } = await setUp(({ method }, response) => {
      if (method === 'POST') json(response, { title: 'IssueVC failed', status: 412, detail: 'secret' }, 412);
      else if (method === 'GET') {
        json(
          response,
          found(
            credential(),
            credential({ id: `${OWN}#other-path` }, { resources: [{ path: '/Task/2', operations: ['read'] }] }),
            credential({ id: `${OWN}#other-purpose` }, { purposeOfUse: 'x' }),
            credential({ id: `${OWN}#other-end`, expirationDate: '2098-01-01T00:00:00Z' }),
          ),
        );
      } else json(response, {});
    });
    const error: unknown = await node
      .services()
      .issueCredential(asked)
      .catch((caught: unknown) => caught);
    expect(error).toMatchObject({
      code: 'upstream_failed',
      options: { reason: 'no_nuts_comm' },
      message: expect.stringContaining('NutsComm') as unknown,
    });
    expect(server.received.filter(({ method }) => method === 'DELETE').map(({ target }) => target)).toEqual([
      '/internal/vcr/v2/issuer/vc/did:nuts:oost%231',
    ]);
  });

  it.each([200, 204, 409])('takes %i for revoked', async (status) => {
    const { node } = await setUp((_request, response) =>
      status === 204 ? response.writeHead(204).end() : json(response, {}, status),
    );
    await expect(node.services().revokeCredential(`${OWN}#1`)).resolves.toBeUndefined();
  });

  it.each([
    [400, 'upstream_failed'],
    [404, 'upstream_failed'],
    [401, 'node_unavailable'],
    [429, 'node_unavailable'],
    [500, 'node_unavailable'],
  ])('a revocation that ends in %i is %s', async (status, code) => {
    const { node } = await setUp((_request, response) =>
      json(response, { title: 'RevokeVC failed', detail: 'BSN 999911120' }, status),
    );
    const error: unknown = await node
      .services()
      .revokeCredential(`${OWN}#1`)
      .catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code });
    expect(inspect(error)).not.toContain('999911120');
  });
});

describe('finding credentials', () => {
  it('issued: this organisation’s for that subject, revoked ones too', async () => {
    const { server, node } = await setUp((_request, response) =>
      json(response, {
        verifiableCredentials: [
          { verifiableCredential: credential() },
          { verifiableCredential: credential({ id: `${OWN}#2` }), revocation: { date: 'x' } },
          { verifiableCredential: credential({ id: `${OTHER}#3`, issuer: OTHER }) },
          { verifiableCredential: credential({ id: `${OWN}#4` }, { id: 'did:nuts:zuid' }) },
          { verifiableCredential: credential({ id: `${OWN}#5`, type: ['VerifiableCredential', 'NutsOrganizationCredential'] }) },
          { verifiableCredential: 'a.b.c' },
        ],
      }),
    );
    const issued = await node.services().findIssued(OTHER);
    expect(issued.map(({ id, revoked }) => [id, revoked])).toEqual([
      [`${OWN}#1`, false],
      [`${OWN}#2`, true],
    ]);
    const query = new URL(server.received[0]?.target ?? '', 'http://x').searchParams;
    expect(Object.fromEntries(query)).toEqual({ credentialType: 'NutsAuthorizationCredential', issuer: OWN, subject: OTHER });
  });

  const held = (changes: Record<string, unknown> = {}, subject: Record<string, unknown> = {}) =>
    credential({ issuer: OTHER, id: `${OTHER}#1`, ...changes }, { id: OWN, ...subject });

  it('held: only what fits in every part', async () => {
    const { server, node } = await setUp((_request, response) =>
      json(
        response,
        found(
          held(),
          held({ id: `${OTHER}#issuer`, issuer: 'did:nuts:zuid' }),
          held({ id: `${OTHER}#subject` }, { id: 'did:nuts:zuid' }),
          held({ id: `${OTHER}#purpose` }, { purposeOfUse: 'eOverdracht-receiver' }),
          held({ id: `${OTHER}#path` }, { resources: [{ path: '/Task/11', operations: ['read'] }] }),
          held({ id: `${OTHER}#expired`, expirationDate: '2020-01-01T00:00:00Z' }),
          held({ id: `${OTHER}#type`, type: ['VerifiableCredential'] }),
          held({ id: `${OTHER}#end`, expirationDate: 'never' }),
          held({ id: `${OTHER}#two`, credentialSubject: [{ id: OWN }, { id: OTHER }] }),
        ),
      ),
    );
    const result = await node.services().findHeld({ issuer: OTHER, purpose: PURPOSE, path: '/Task/1' });
    expect(result.map(({ id }) => id)).toEqual([`${OTHER}#1`]);
    expect(server.received).toHaveLength(1);
    expect(JSON.parse(server.received[0]?.body ?? '')).toMatchObject({
      query: { issuer: OTHER, credentialSubject: { id: OWN, purposeOfUse: PURPOSE, resources: { path: '/Task/1' } } },
      searchOptions: { allowUntrustedIssuer: true },
    });
  });

  it.each([
    ['a lower-case type', '/task/1'],
    ['no slash', 'Task/1'],
    ['neither', 'task/1'],
  ])('held: looks again for %s', async (_what, written) => {
    const { node } = await setUp(({ body }, response) => {
      const { query } = JSON.parse(body) as { query: { credentialSubject: { resources: { path: string } } } };
      const hit = query.credentialSubject.resources.path === written;
      json(response, found(...(hit ? [held({}, { resources: [{ path: written, operations: ['read'] }] })] : [])));
    });
    await expect(node.services().findHeld({ issuer: OTHER, purpose: PURPOSE, path: '/Task/1' })).resolves.toHaveLength(1);
    await expect(node.services().findHeld({ issuer: OTHER, purpose: PURPOSE, path: '/Task/2' })).resolves.toHaveLength(0);
  });

  it('held: a revoked one is none', async () => {
    const { node } = await setUp((_request, response) =>
      json(response, { verifiableCredentials: { verifiableCredential: held(), revocation: {} } }),
    );
    await expect(node.services().findHeld({ issuer: OTHER, purpose: PURPOSE, path: '/Task/1' })).resolves.toEqual([]);
  });
});

describe('registry', () => {
  it('maps organisations, and leaves out what cannot be one', async () => {
    const { server, node } = await setUp((_request, response) =>
      json(response, [
        { organization: { name: 'Zorghuis', city: 'Arnhem' }, didDocument: { id: OTHER } },
        { organization: { name: 'Zonder stad' }, didDocument: { id: 'did:nuts:x' } },
        { organization: {}, didDocument: {} },
        null,
      ]),
    );
    await expect(node.services().findOrganizations('zorg & co', 'eOverdracht-receiver')).resolves.toEqual([
      { id: OTHER, name: 'Zorghuis', city: 'Arnhem' },
      { id: 'did:nuts:x', name: 'Zonder stad' },
    ]);
    expect(server.received[0]?.target).toBe(
      '/internal/didman/v1/search/organizations?query=zorg+%26+co&didServiceType=eOverdracht-receiver',
    );
  });

  it.each([
    [200, 'https://x.example/fhir'],
    [404, undefined],
    [406, undefined],
  ])('resolves an endpoint: %i', async (status, expected) => {
    const { server, node } = await setUp((_request, response) => json(response, { endpoint: 'https://x.example/fhir' }, status));
    await expect(node.services().resolveEndpoint(OTHER, 'eOverdracht-receiver', 'notification')).resolves.toBe(expected);
    expect(server.received[0]?.target).toBe(
      '/internal/didman/v1/did/did:nuts:west/compoundservice/eOverdracht-receiver/endpoint/notification?resolve=true',
    );
  });
});

describe('tokens for other parties', () => {
  const request = { authorizer: OTHER, service: PURPOSE, credentials: [{ id: `${OTHER}#1` }] };

  it('are asked for once and used for 50 s, apart for each party, service, credential and person', async () => {
    let count = 0;
    const { server, node, clock } = await setUp((_request, response) =>
      json(response, { access_token: `t${(count += 1)}`, token_type: 'bearer', expires_in: 60 }),
    );
    const { requestToken } = node.services();
    expect(await Promise.all([requestToken(request), requestToken(request)])).toEqual(['t1', 't1']);
    expect(JSON.parse(server.received[0]?.body ?? '')).toEqual({ ...request, requester: OWN });
    expect(await requestToken({ ...request, authorizer: 'did:nuts:zuid' })).toBe('t2');
    expect(await requestToken({ ...request, service: 'x' })).toBe('t3');
    expect(await requestToken({ ...request, credentials: [] })).toBe('t4');
    expect(await requestToken({ ...request, identity: { proof: 'a' } })).toBe('t5');
    expect(await requestToken({ ...request, identity: { proof: 'b' } })).toBe('t6');
    expect(await requestToken(request)).toBe('t1');
    clock.advance(49);
    expect(await requestToken(request)).toBe('t1');
    clock.advance(2);
    expect(await requestToken(request)).toBe('t7');
    // One that the other party refused is not given again, and the next caller gets the new one.
    expect(await requestToken({ ...request, refused: 't7' })).toBe('t8');
    expect(await requestToken(request)).toBe('t8');
    expect(await requestToken({ ...request, refused: 't7' })).toBe('t8');
  });

  it('are not kept when they live too short to be', async () => {
    const { server, node } = await setUp((_request, response) => json(response, { access_token: 't', expires_in: 5 }));
    await node.services().requestToken(request);
    await node.services().requestToken(request);
    expect(server.received).toHaveLength(2);
  });

  it.each<[string, unknown, number, string]>([
    ['an empty token', { access_token: '' }, 200, 'node_unavailable'],
    ['no token', {}, 200, 'node_unavailable'],
    [
      'the other party’s refusal',
      { title: 'RequestAccessToken failed', status: 503, detail: 'remote server' },
      503,
      'upstream_failed',
    ],
    ['a 503 that the node did not explain', {}, 503, 'node_unavailable'],
    ['our own fault', { title: 'RequestAccessToken failed' }, 400, 'upstream_failed'],
  ])('fail on %s', async (_what, body, status, code) => {
    const { node } = await setUp((_request, response) => json(response, body, status));
    await expect(node.services().requestToken(request)).rejects.toMatchObject({ code });
  });

  it('of a party that refuses again and again do not stop calls to the node', async () => {
    const { server, node } = await setUp((_request, response) => json(response, { title: 'RequestAccessToken failed' }, 503));
    for (let i = 0; i < 10; i += 1)
      await expect(node.services().requestToken(request)).rejects.toMatchObject({ code: 'upstream_failed' });
    expect(server.received).toHaveLength(10);
  });
});

describe('signing', () => {
  it('draws up a contract and starts a session for it', async () => {
    const { server, node } = await setUp(({ method }, response) =>
      method === 'PUT'
        ? json(response, { message: 'NL:BehandelaarLogin:v3 …' })
        : json(response, { sessionID: 's1', sessionPtr: { url: 'https://node/page' }, means: 'employeeid' }, 201),
    );
    const user = { identifier: 'e1', initials: 'A', familyName: 'Jansen' };
    await expect(node.signing.startSigning({ means: 'employeeid', user })).resolves.toMatchObject({
      id: 's1',
      url: 'https://node/page',
    });
    expect(JSON.parse(server.received[0]?.body ?? '')).toMatchObject({
      type: 'BehandelaarLogin',
      legalEntity: OWN,
      validDuration: '8h',
    });
    expect(JSON.parse(server.received[1]?.body ?? '')).toEqual({
      means: 'employeeid',
      payload: 'NL:BehandelaarLogin:v3 …',
      params: { employer: OWN, employee: user },
    });
  });

  it.each([
    ['created', undefined, 'pending'],
    ['in-progress', undefined, 'pending'],
    ['CONNECTED', undefined, 'pending'],
    ['completed', { type: 'VP' }, 'completed'],
    ['DONE', { type: 'VP' }, 'completed'],
    ['completed', undefined, 'failed'],
    ['cancelled', undefined, 'cancelled'],
    ['errored', undefined, 'failed'],
    ['expired', undefined, 'gone'],
    ['vp-requested', undefined, 'gone'],
    ['something new', undefined, 'failed'],
  ])('a session that is %s', async (status, verifiablePresentation, expected) => {
    const { node } = await setUp((_request, response) => json(response, { status, verifiablePresentation }));
    await expect(node.signing.pollSigning('s1')).resolves.toMatchObject({ status: expected });
  });

  it('a session that the node does not know is gone', async () => {
    const { node } = await setUp((_request, response) => json(response, {}, 404));
    await expect(node.signing.pollSigning('s/1')).resolves.toEqual({ status: 'gone' });
  });
});

describe('login at the node (token_v2)', () => {
  it.each([
    ['EdDSA', generateKeyPairSync('ed25519')],
    ['ES256', generateKeyPairSync('ec', { namedCurve: 'P-256' })],
  ])('signs with %s, without skew to lose, one token for many calls', async (algorithm, { privateKey }) => {
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const apiKey = { privateKey: new Secret(pem), name: 'sluis-1', audience: 'node.oost' };
    const { server, clock, node } = await setUp((_request, response) => json(response, ACTIVE), { apiKey });
    await node.introspectV1('t');
    await node.introspectV1('t');
    const [first, second] = server.received.map(({ headers }) => headers.authorization);
    expect(first).toBe(second);
    const publicKey = createPublicKey(privateKey);
    const { payload, protectedHeader } = await jwtVerify(first?.replace('Bearer ', '') ?? '', publicKey, {
      issuer: 'sluis-1',
      audience: 'node.oost',
      clockTolerance: 0,
      currentDate: clock.now(),
    });
    expect(protectedHeader).toEqual({
      alg: algorithm,
      kid: await calculateJwkThumbprint(await exportJWK(publicKey)),
      typ: 'JWT',
    });
    expect(payload).toMatchObject({ sub: 'sluis.oost', jti: expect.stringMatching(/^[0-9a-f-]{36}$/) as unknown });
    expect(payload.iat).toBe(payload.nbf);
    expect(payload.iat).toBeLessThanOrEqual(Math.floor(clock.now().getTime() / 1000) - 29);
    clock.advance(500);
    await node.introspectV1('t');
    expect(server.received[2]?.headers.authorization).not.toBe(first);
  });
});
