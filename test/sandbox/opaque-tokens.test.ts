import { createHash, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { importJWK, SignJWT } from 'jose';
import { z } from 'zod';
import { DOSSIER } from '../../src/sandbox/dossier/index.ts';
import type { Sandbox } from '../../src/sandbox/control/sandbox.ts';
import { control, request, startDemoSandbox, tenantIn, type Reply } from '../e2e/support.ts';

const SENDER = 'ziekenhuis-oost';
const RECEIVER = 'thuiszorg-west';
const VITAL = `/${DOSSIER.vitalSign}`;
const ASKED = { tenant: SENDER, requester: RECEIVER, scope: 'eOverdracht-sender', generation: 'v2' };
const GRANT = { grants: [{ path: VITAL, operations: ['read'] }] };

let sandbox: Sandbox;

beforeAll(async () => {
  sandbox = await startDemoSandbox();
}, 60_000);

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

const gateUrl = (path: string): string => `${sandbox.description.public}/${SENDER}/fhir${path}`;

function gate(path: string, accessToken: string): Promise<Reply> {
  return request('GET', gateUrl(path), { token: accessToken });
}

async function introspect(accessToken: string): Promise<unknown> {
  const answer = await fetch(`${tenantIn(sandbox, SENDER).node}/internal/auth/v2/accesstoken/introspect`, {
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
    const user = { identifier: '4711', initials: 'W', familyName: 'XXX_West', roleName: 'Verpleegkundige' };
    const { access_token: accessToken, token_type: type, expires_in: life } = await token({ user });
    expect([type, life]).toEqual(['Bearer', 900]);
    const [sender, receiver] = [SENDER, RECEIVER].map((name) => sandbox.world.organizations.find(({ id }) => id === name));
    expect(await introspect(accessToken)).toMatchObject({
      active: true,
      iss: sender?.node.subject.authorizationServerUrl,
      client_id: receiver?.node.subject.authorizationServerUrl,
      scope: 'eOverdracht-sender',
      organization_did: receiver?.node.subject.did,
      organization_name: receiver?.name,
      organization_ura: expect.stringMatching(/^\d{8}$/),
      employee_identifier: '4711',
      employee_name: 'W XXX_West',
      employee_role: 'Verpleegkundige',
    });
  });

  it('is known at the gate: eOverdracht wants credentials of generation v1, and denies; a text that is no token is refused', async () => {
    const granted = await token(GRANT);
    expect((await gate(VITAL, granted.access_token)).status).toBe(403);
    expect((await gate(VITAL, 'A'.repeat(43))).status).toBe(401);
  });

  it('that is bound to a key comes with it: it needs a proof for each request', async () => {
    const { access_token: accessToken, token_type: type, dpopJwk, dpop_kid: kid } = await token({ ...GRANT, dpop: true });
    expect(type).toBe('DPoP');
    expect(kid).toMatch(/^did:web:.*#/);
    const headers = { authorization: `DPoP ${accessToken}`, dpop: await proof(accessToken, dpopJwk ?? {}, VITAL) };
    // Known, and denied as above: only a proof that is used, or none, is 401.
    expect((await fetch(gateUrl(VITAL), { headers })).status).toBe(403);
    expect((await fetch(gateUrl(VITAL), { headers })).status).toBe(401);
    expect((await gate(VITAL, accessToken)).status).toBe(401);
  });

  it('can have ended, can be for what nobody knows, and can be of another tenant', async () => {
    const ended = await token({ ...GRANT, expiresInS: -10 });
    expect(ended.expires_in).toBe(-10);
    expect(await introspect(ended.access_token)).toEqual({ active: false });
    expect((await gate(VITAL, ended.access_token)).status).toBe(401);
    expect((await gate(VITAL, (await token({ scope: 'nobody knows this' })).access_token)).status).toBe(403);
    const other = await token({ tenant: RECEIVER, requester: SENDER });
    expect((await gate(VITAL, other.access_token)).status).toBe(401);
  });

  it('is made while the node misbehaves for everybody else, whose requests then fail', async () => {
    await control(sandbox, 'POST', '/faults', { target: 'node', tenant: SENDER, kind: 'status', status: 500 });
    const { access_token: accessToken } = await token(GRANT);
    expect((await gate(VITAL, accessToken)).status).toBe(503);
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
    const { access_token: accessToken } = await token(GRANT);
    await control(sandbox, 'POST', '/clock', { advanceS: 901 });
    expect(await introspect(accessToken)).toEqual({ active: false });
  });
});
