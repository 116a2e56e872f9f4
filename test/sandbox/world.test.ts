import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { spawnSandbox } from './world-support.ts';
import { DOSSIER } from '../../src/sandbox/dossier/index.ts';
import type { Sandbox } from '../../src/sandbox/control/sandbox.ts';
import { parseSandboxArguments } from '../../src/sandbox/world/options.ts';
import { worldNamed } from '../../src/sandbox/world/worlds.ts';
import { at, listAt, textAt } from '../../src/sandbox/scenario/step.ts';
import { api, control, eventually, request, startDemoSandbox, tenantIn, type Reply } from '../e2e/support.ts';

const SENDER = 'ziekenhuis-oost';
const RECEIVER = 'thuiszorg-west';
const NURSE = { identifier: 'w@example.org', initials: 'W', familyName: 'XXX_West' };
const VITAL = `/${DOSSIER.vitalSign}`;

let sandbox: Sandbox;

beforeAll(async () => {
  sandbox = await startDemoSandbox();
}, 240_000);

afterAll(async () => {
  await sandbox.close();
});

function gate(path: string, token?: string): Promise<Reply> {
  return request('GET', `${sandbox.description.public}/${SENDER}/fhir${path}`, { token });
}

async function token(more: object): Promise<string> {
  const reply = await control(sandbox, 'POST', '/tokens', {
    tenant: SENDER,
    requester: RECEIVER,
    purpose: 'eOverdracht-sender',
    generation: 'v1',
    // Longer than a slow machine needs for a new start, shorter than an hour.
    expiresInS: 1_800,
    ...more,
  });
  expect(reply).toMatchObject({ status: 200, json: { token_type: 'bearer' } });
  return textAt(reply.json, 'access_token');
}

const vitalGrant = { grants: [{ path: VITAL, operations: ['read'], userContext: true }], user: NURSE };

describe('the description of a world', () => {
  it('names what a program needs: addresses, tenants with keys, parties', () => {
    const { description } = sandbox;
    expect(Object.keys(description)).toEqual(['public', 'internal', 'control', 'tenants', 'parties']);
    expect(Object.keys(description.tenants)).toEqual([SENDER, RECEIVER, 'zorghuis-noord']);
    for (const [id, tenant] of Object.entries(description.tenants)) {
      expect(tenant).toMatchObject({ fhirVersion: 'STU3', did: description.parties[id]?.did });
      expect(tenant.did).toMatch(/^did:nuts:/);
      expect(tenant.fhir).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/fhir$/);
    }
  });

  it('has keys that work, each for its role and tenant', async () => {
    const { apiKey, operatorKey } = tenantIn(sandbox, SENDER);
    const url = (tenant: string): string => `${sandbox.description.internal}/api/v1/tenants/${tenant}/audit`;
    expect((await request('GET', url(SENDER), { token: operatorKey })).status).toBe(200);
    expect((await request('GET', url(SENDER), { token: apiKey })).status).toBe(403);
    expect((await request('GET', url(RECEIVER), { token: operatorKey })).status).toBe(404);
  });

  it('has examples that the API takes as they are', async () => {
    const examples = tenantIn(sandbox, SENDER).examples ?? {};
    expect((await api(sandbox, SENDER, 'POST', '/user-sessions', { body: examples['POST /user-sessions'] })).status).toBe(201);
    const transfer = await api(sandbox, SENDER, 'POST', '/eoverdracht/transfers', {
      body: examples['POST /eoverdracht/transfers'],
    });
    expect(transfer.status).toBe(201);
    const id = textAt(transfer.json, 'id');
    const negotiation = textAt(transfer.json, 'negotiations', 0, 'id');
    const item = await eventually(
      () => api(sandbox, RECEIVER, 'GET', '/eoverdracht/inbox'),
      ({ json }) => listAt(json, 'items').length === 1,
    );
    const accepted = await api(sandbox, RECEIVER, 'POST', `/eoverdracht/inbox/${textAt(item.json, 'items', 0, 'id')}/status`, {
      body: tenantIn(sandbox, RECEIVER).examples?.['POST /eoverdracht/inbox/{item}/status'],
    });
    expect(accepted.status).toBe(200);
    const body = JSON.stringify(examples['POST /eoverdracht/transfers/{transfer}/assignment']).replace(
      '{negotiation}',
      negotiation,
    );
    const assigned = await api(sandbox, SENDER, 'POST', `/eoverdracht/transfers/${id}/assignment`, {
      body: JSON.parse(body),
    });
    expect(assigned).toMatchObject({ status: 200, json: { status: 'assigned' } });
  });

  it('is there under the root of the control API too, which is for programs on this machine and for no page', async () => {
    expect((await control(sandbox, 'GET', '/')).json).toMatchObject({
      sandbox: 'demo',
      gateway: 'running',
      world: sandbox.description,
    });
    const page = await request('GET', sandbox.description.control, { headers: { origin: 'https://elsewhere.example' } });
    expect(page.status).toBe(403);
  });
});

describe('POST /tokens', () => {
  it('opens exactly what the grant names, to who has a user', async () => {
    expect((await gate(VITAL, await token(vitalGrant))).status).toBe(200);
    expect((await gate(`/${DOSSIER.outsideGrant}`, await token(vitalGrant))).status).toBe(403);
    expect((await gate(VITAL, await token({ grants: vitalGrant.grants }))).status).toBe(403);
    expect((await gate(VITAL, await token({ user: NURSE }))).status).toBe(403);
  });

  it('takes a full credential, and the gate sees that it is of somebody else', async () => {
    const issued = await request(
      'GET',
      `${tenantIn(sandbox, SENDER).node}/internal/vcr/v2/issuer/vc/search?${new URLSearchParams({ credentialType: 'NutsAuthorizationCredential', issuer: tenantIn(sandbox, SENDER).did, subject: tenantIn(sandbox, RECEIVER).did }).toString()}`,
    );
    const credentials = listAt(issued.json, 'verifiableCredentials').map((each) => at(each, 'verifiableCredential'));
    const mine = credentials.filter((each) => JSON.stringify(each).includes(VITAL));
    expect(mine.length).toBeGreaterThan(0);
    expect((await gate(VITAL, await token({ credentials: mine, user: NURSE }))).status).toBe(200);
    expect((await gate(VITAL, await token({ credentials: mine, user: NURSE, requester: 'zorghuis-noord' }))).status).toBe(403);
  });

  it('makes one that has expired, and one for a purpose that nobody knows', async () => {
    expect((await gate(VITAL, await token({ ...vitalGrant, expiresInS: -1 }))).status).toBe(401);
    expect((await gate(VITAL, await token({ purpose: 'something-else' }))).status).toBe(403);
    expect((await gate(VITAL, await token({ purpose: undefined, scope: 'another thing' }))).status).toBe(403);
  });

  it.each([
    [{ tenant: 'nobody' }, 400, 'tenant', 'ziekenhuis-oost, thuiszorg-west, zorghuis-noord'],
    [{ requester: 'nobody' }, 400, 'requester', 'zorghuis-noord'],
    [{ purpose: undefined }, 400, 'purpose', 'exactly one'],
    [{ scope: 'both' }, 400, 'purpose', 'exactly one'],
    [{ lifetime: 3 }, 400, 'lifetime', 'expiresInS'],
    [{ grants: [{ path: 'Task/1', operations: ['read'] }] }, 400, 'grants[0].path', 'must be a path'],
    [{ generation: 'v3' }, 400, 'generation', '"v1"|"v2"'],
    [{ dpop: true }, 400, 'dpop', 'v2'],
  ])('says what is wrong with %j', async (change, status, field, words) => {
    const body = { tenant: SENDER, requester: RECEIVER, purpose: 'eOverdracht-sender', generation: 'v1', ...change };
    const reply = await control(sandbox, 'POST', '/tokens', body);
    expect(reply.status).toBe(status);
    const fault = listAt(reply.json, 'fields').find((each) => at(each, 'field') === field);
    expect(at(fault, 'problem')).toContain(words);
  });
});

describe('GET and DELETE /upstream/{tenant}/requests', () => {
  it("shows what came at the tenant's FHIR server, exactly, and forgets it on request", async () => {
    const granted = await token(vitalGrant);
    const path = `/upstream/${SENDER}/requests`;
    expect((await control(sandbox, 'DELETE', path)).status).toBe(204);
    await gate(VITAL);
    expect((await control(sandbox, 'GET', path)).json).toEqual([]);
    await gate(VITAL, granted);
    const seen = listAt((await control(sandbox, 'GET', path)).json);
    expect(seen).toEqual([
      expect.objectContaining({ method: 'GET', target: `/fhir${VITAL}`, bodyBase64: '', rawHeaders: expect.any(Array) }),
    ]);
    expect(JSON.stringify(seen)).not.toContain(granted);
    expect((await control(sandbox, 'GET', '/upstream/nobody/requests')).status).toBe(404);
  });
});

describe('POST and DELETE /faults', () => {
  it('makes a FHIR server and a node misbehave until it is told to stop', async () => {
    const granted = await token(vitalGrant);
    expect(
      (await control(sandbox, 'POST', '/faults', { target: 'fhir', tenant: SENDER, kind: 'status', status: 500 })).status,
    ).toBe(200);
    expect((await gate(VITAL, granted)).status).toBe(502);
    expect((await control(sandbox, 'DELETE', '/faults')).status).toBe(204);
    expect((await gate(VITAL, granted)).status).toBe(200);
    await control(sandbox, 'POST', '/faults', { target: 'node', tenant: SENDER, kind: 'down', times: 20 });
    // A token that was not seen before, and grants are still made: the control API's own calls meet no fault.
    expect((await gate(VITAL, await token(vitalGrant))).status).toBe(503);
    await control(sandbox, 'DELETE', '/faults');
  });

  it.each([
    [{ target: 'gateway' }, 'target', '"node"|"fhir"|"receiver"'],
    [{ kind: 'odd' }, 'kind', 'lose-answer'],
    [{ kind: 'down', status: 500 }, 'status', 'kind status only'],
    [{ match: { url: '/' } }, 'match.url', 'not known'],
    [{ times: 0 }, 'times', '1'],
  ])('says what is wrong with %j', async (change, field, words) => {
    const reply = await control(sandbox, 'POST', '/faults', { target: 'fhir', tenant: SENDER, kind: 'down', ...change });
    expect(reply.status).toBe(400);
    const fault = listAt(reply.json, 'fields').find((each) => at(each, 'field') === field);
    expect(at(fault, 'problem')).toContain(words);
  });
});

describe('POST /clock and POST /gateway', () => {
  it('moves the clock of gateway, node and FHIR server together', async () => {
    const granted = await token(vitalGrant);
    expect((await gate(VITAL, granted)).status).toBe(200);
    const before = textAt((await control(sandbox, 'GET', '/')).json, 'clock');
    const { json } = await control(sandbox, 'POST', '/clock', { advanceS: 3600 });
    expect(Date.parse(textAt(json, 'now')) - Date.parse(before)).toBeGreaterThanOrEqual(3_600_000);
    expect((await gate(VITAL, granted)).status).toBe(401);
    expect((await gate(VITAL, await token(vitalGrant))).status).toBe(200);
    expect((await control(sandbox, 'POST', '/clock', { advanceS: 'much' })).status).toBe(400);
  });

  it.each(['kill', 'stop'])(
    'after a %s nothing answers, and a start brings back data, ports and time',
    async (action) => {
      const granted = await token(vitalGrant);
      expect(await control(sandbox, 'POST', '/gateway', { action })).toMatchObject({ status: 200, json: { gateway: 'stopped' } });
      await expect(gate(VITAL, granted)).rejects.toThrow();
      expect(
        (await control(sandbox, 'POST', '/tokens', { ...vitalGrant, tenant: SENDER, requester: RECEIVER, purpose: 'x' })).status,
      ).toBe(409);
      expect((await control(sandbox, 'POST', '/gateway', { action: 'freeze' })).status).toBe(409);
      expect((await control(sandbox, 'POST', '/clock', { advanceS: 10 })).status).toBe(200);
      expect(await control(sandbox, 'POST', '/gateway', { action: 'start' })).toMatchObject({
        status: 200,
        json: { gateway: 'running' },
      });
      expect((await gate(VITAL, granted)).status).toBe(200);
      expect(listAt((await api(sandbox, SENDER, 'GET', '/eoverdracht/transfers')).json, 'items')).toHaveLength(1);
    },
    240_000,
  );

  it('a frozen gateway holds its callers, and answers them when it goes on', async () => {
    await control(sandbox, 'POST', '/gateway', { action: 'freeze' });
    const waiting = gate('/metadata');
    const first = await Promise.race([
      waiting.then(() => 'answered'),
      new Promise((resolve) => setTimeout(resolve, 400, 'held')),
    ]);
    expect(first).toBe('held');
    expect((await control(sandbox, 'POST', '/clock', { advanceS: 1 })).status).toBe(409);
    await control(sandbox, 'POST', '/gateway', { action: 'resume' });
    expect((await waiting).status).toBe(401);
  }, 240_000);

  it.each([
    ['POST', '/gateway', { action: 'explode' }, 400],
    ['GET', '/gateway', undefined, 405],
    ['POST', '/nothing', {}, 404],
  ])('%s %s with %j is refused', async (method, path, body, status) => {
    expect((await control(sandbox, method, path, body)).status).toBe(status);
  });
});

describe('npm run sandbox', () => {
  it('knows its arguments and its worlds', () => {
    expect(parseSandboxArguments(['--ports', 'auto', '--json'])).toMatchObject({ world: 'demo', ports: 'auto', json: true });
    expect(() => parseSandboxArguments(['--ports', '80'])).toThrow('must be auto');
    expect(() => parseSandboxArguments(['--jason'])).toThrow('--jason');
    expect(worldNamed('demo').name).toBe('demo');
    expect(worldNamed('attack').name).toBe('attack');
    expect(() => worldNamed('nowhere')).toThrow('there is: demo');
  });

  it.each(['demo', 'attack'])(
    '%s: prints one line for programs, and leaves nothing behind after SIGTERM',
    async (world) => {
      const running = await spawnSandbox(['--world', world, '--ports', 'auto', '--json']);
      const config: unknown = parse(readFileSync(join(running.folder, 'sluis.yaml'), 'utf8'));
      const folders = [running.folder, ...listAt(config, 'useCaseFolders').map(String)];
      expect(folders.map((folder) => existsSync(folder))).toEqual(folders.map(() => true));
      expect((await fetch(`${running.description.internal}/health/live`)).status).toBe(200);
      expect(await running.end()).toBe(0);
      expect(folders.map((folder) => existsSync(folder))).toEqual(folders.map(() => false));
      await expect(fetch(`${running.description.internal}/health/live`)).rejects.toThrow();
    },
    240_000,
  );
});
