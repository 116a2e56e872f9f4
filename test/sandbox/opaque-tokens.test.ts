import { createHash, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { importJWK, SignJWT } from 'jose';
import { z } from 'zod';
import { startSandbox, type Sandbox } from '../../src/sandbox/control/sandbox.ts';
import { attackWorld } from '../../src/sandbox/world/attack.ts';
import { control, request, tenantIn, type Reply } from '../e2e/support.ts';

const CUSTODIAN = 'a';
const REQUESTER = 'c';
const MINE = '/Patient/mine';
const ASKED = { tenant: CUSTODIAN, requester: REQUESTER, scope: 'chart', generation: 'v2' };

let sandbox: Sandbox;

beforeAll(async () => {
  sandbox = await startSandbox({
    definition: attackWorld,
    ports: 'auto',
    environment: { ...process.env, DATABASE_URL: undefined },
  });
}, 240_000);

afterAll(async () => {
  await sandbox.close();
});

const tokenSchema = z.object({
  access_token: z.string().regex(/^[\w-]{43}$/),
  token_type: z.string(),
  expires_in: z.number(),
  dpop_kid: z.string().optional(),
  dpopJwk: z.record(z.string(), z.unknown()).optional(),
});

async function token(more: object = {}): Promise<z.infer<typeof tokenSchema>> {
  const reply = await control(sandbox, 'POST', '/tokens', { ...ASKED, ...more });
  expect(reply.status).toBe(200);
  return tokenSchema.parse(reply.json);
}

const gateUrl = (path: string): string => `${sandbox.description.public}/${CUSTODIAN}/fhir${path}`;

function gate(path: string, accessToken: string): Promise<Reply> {
  return request('GET', gateUrl(path), { token: accessToken });
}

async function introspect(accessToken: string): Promise<unknown> {
  const answer = await fetch(`${tenantIn(sandbox, CUSTODIAN).node}/internal/auth/v2/accesstoken/introspect`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: Buffer.from(`token=${accessToken}`),
  });
  return answer.json();
}

async function proof(accessToken: string, jwk: Record<string, unknown>, path: string): Promise<string> {
  const { d: _, ...publicJwk } = jwk;
  const ath = createHash('sha256').update(accessToken).digest('base64url');
  const iat = Math.floor(sandbox.world.clock.now().getTime() / 1000);
  return new SignJWT({ ath, htm: 'GET', htu: gateUrl(path), iat, jti: randomUUID() })
    .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk: publicJwk })
    .sign(await importJWK(jwk, 'ES256'));
}

describe('a token of generation v2 from the control API', () => {
  it("is opaque, of the tenant's own server, and says who asks and who the user is", async () => {
    const user = { identifier: '4711', initials: 'W', familyName: 'Vos', roleName: 'Verpleegkundige' };
    const { access_token: accessToken, token_type: type, expires_in: life } = await token({ user });
    expect([type, life]).toEqual(['Bearer', 900]);
    const [sender, receiver] = [CUSTODIAN, REQUESTER].map((name) => sandbox.world.organizations.find(({ id }) => id === name));
    expect(await introspect(accessToken)).toMatchObject({
      active: true,
      iss: sender?.node.subject.authorizationServerUrl,
      client_id: receiver?.node.subject.authorizationServerUrl,
      scope: 'chart',
      organization_did: receiver?.node.subject.did,
      organization_name: receiver?.name,
      organization_ura: expect.stringMatching(/^\d{8}$/),
      employee_identifier: '4711',
      employee_name: 'W Vos',
      employee_role: 'Verpleegkundige',
    });
  });

  it('passes the gate for what its scope permits, and for nothing else', async () => {
    const { access_token: accessToken } = await token();
    expect((await gate(MINE, accessToken)).status).toBe(200);
    expect((await gate('/Patient/other', accessToken)).status).toBe(403);
    expect((await gate(MINE, 'A'.repeat(43))).status).toBe(401);
  });

  it('can be asked with a grant: the ledger then has it for the requester', async () => {
    const { access_token: accessToken } = await token({ grants: [{ path: '/Patient/other', operations: ['read'] }] });
    // A rule with fixed conditions asks no ledger.
    expect((await gate('/Patient/other', accessToken)).status).toBe(403);
    expect((await gate(MINE, accessToken)).status).toBe(200);
  });

  it('that is bound to a key comes with it: it needs a proof for each request', async () => {
    const { access_token: accessToken, token_type: type, dpopJwk, dpop_kid: kid } = await token({ dpop: true });
    expect(type).toBe('DPoP');
    expect(kid).toMatch(/^did:web:.*#/);
    const headers = { authorization: `DPoP ${accessToken}`, dpop: await proof(accessToken, dpopJwk ?? {}, MINE) };
    expect((await fetch(gateUrl(MINE), { headers })).status).toBe(200);
    expect((await fetch(gateUrl(MINE), { headers })).status).toBe(401);
    expect((await gate(MINE, accessToken)).status).toBe(401);
  });

  it('can have ended, can be for what nobody knows, and can be of another tenant', async () => {
    const ended = await token({ expiresInS: -10 });
    expect(ended.expires_in).toBe(-10);
    expect(await introspect(ended.access_token)).toEqual({ active: false });
    expect((await gate(MINE, ended.access_token)).status).toBe(401);
    expect((await gate(MINE, (await token({ scope: 'nobody knows this' })).access_token)).status).toBe(403);
    const other = await token({ tenant: 'b', requester: REQUESTER });
    expect((await gate(MINE, other.access_token)).status).toBe(401);
  });

  it('is made while the node misbehaves for everybody else, whose requests then fail', async () => {
    await control(sandbox, 'POST', '/faults', { target: 'node', tenant: CUSTODIAN, kind: 'status', status: 500 });
    const { access_token: accessToken } = await token();
    expect((await gate(MINE, accessToken)).status).toBe(503);
    await control(sandbox, 'DELETE', '/faults');
  });

  it('takes a credential of the requester, and refuses one that its node does not take', async () => {
    const refused = await control(sandbox, 'POST', '/tokens', {
      ...ASKED,
      credentials: [{ type: ['VerifiableCredential', 'NutsEmployeeCredential'], issuer: 'did:web:x', credentialSubject: {} }],
    });
    expect(refused).toMatchObject({ status: 400, json: { fields: [{ field: 'credentials' }] } });
  });

  it('ends by the clock', async () => {
    const { access_token: accessToken } = await token();
    await control(sandbox, 'POST', '/clock', { advanceS: 901 });
    expect(await introspect(accessToken)).toEqual({ active: false });
  });
});
