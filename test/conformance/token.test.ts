import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DOSSIER } from '../../src/sandbox/dossier/index.ts';
import type { Sandbox } from '../../src/sandbox/control/sandbox.ts';
import { at, listAt, textAt } from '../../src/sandbox/scenario/step.ts';
import { control, request, startDemoSandbox, tenantIn } from '../e2e/support.ts';
import { NURSE, OOST, reachedUpstream, send, tokenFor, WEST, type Answer } from './wire.ts';

// Part A of the statements, and 100: who comes with what token, over the wire.

const PATH = `/${OOST}/fhir/${DOSSIER.vitalSign}`;
const granted = { grants: [{ path: `/${DOSSIER.vitalSign}`, operations: ['read'], userContext: true }], user: NURSE };

let sandbox: Sandbox;

beforeAll(async () => {
  sandbox = await startDemoSandbox();
}, 240_000);

afterAll(async () => {
  await sandbox.close();
});

function read(token?: string, headers: readonly (readonly [string, string])[] = []): Promise<Answer> {
  return send(sandbox, 'GET', PATH, { ...(token === undefined ? {} : { token }), headers });
}

function outcomeText(answer: Answer): unknown {
  expect(at(answer.json, 'resourceType')).toBe('OperationOutcome');
  return at(answer.json, 'issue', 0, 'details', 'text');
}

describe('a request for FHIR data', () => {
  it('without a token is 401, says how, and gives an OperationOutcome (check 1)', async () => {
    const answer = await read();
    expect(answer.status).toBe(401);
    expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer/);
    expect(outcomeText(answer)).toBe('token_missing');
  });

  it.each([
    [401, [['Authorization', 'Basic c2x1aXM6eA==']]],
    [401, [['Authorization', 'Bearer']]],
    [401, [['Authorization', 'Bearer ']]],
    [
      400,
      [
        ['Authorization', 'Bearer a.b.c'],
        ['Authorization', 'Bearer a.b.c'],
      ],
    ],
  ] as const)('with another scheme or no value is 401, with two of the header 400: %i %j (check 2)', async (status, headers) => {
    expect((await read(undefined, headers)).status).toBe(status);
  });

  it('with a token that is not active is 401 (check 3)', async () => {
    for (const token of ['a.b.c', await tokenFor(sandbox, WEST, { ...granted, expiresInS: -60 })]) {
      const answer = await read(token);
      expect(answer.status).toBe(401);
      expect(outcomeText(answer)).toBe('illegal_access_token');
    }
  });

  it.each([{ kind: 'down' }, { kind: 'status', status: 500 }, { kind: 'garbage' }, { kind: 'slow', delayMs: 60_000 }])(
    'is 503 and goes nowhere when the node cannot say: %j (check 4)',
    async (fault) => {
      const token = await tokenFor(sandbox, WEST, granted);
      await reachedUpstream(sandbox);
      await control(sandbox, 'POST', '/faults', {
        target: 'node',
        tenant: OOST,
        match: { path: '/internal/auth/v1/accesstoken/introspect' },
        ...fault,
      });
      try {
        expect((await read(token)).status).toBe(503);
        expect(await reachedUpstream(sandbox)).toEqual([]);
      } finally {
        await control(sandbox, 'DELETE', '/faults');
      }
    },
  );

  it('with a token for notifications is 403 (check 5)', async () => {
    const answer = await read(await tokenFor(sandbox, WEST, { ...granted, purpose: 'eOverdracht-receiver' }));
    expect([answer.status, outcomeText(answer)]).toEqual([403, 'access_denied']);
  });

  it('with a token for another or unknown service is 403 (check 6)', async () => {
    for (const purpose of ['zorginzage', 'eoverdracht-sender', 'eOverdracht-sender eOverdracht-receiver']) {
      expect((await read(await tokenFor(sandbox, WEST, { ...granted, purpose }))).status).toBe(403);
    }
  });

  it('with a token of one tenant is 401 at another, and goes nowhere (check 8)', async () => {
    const foreign = await tokenFor(sandbox, OOST, { user: NURSE }, WEST);
    await reachedUpstream(sandbox);
    expect((await read(foreign)).status).toBe(401);
    expect(await reachedUpstream(sandbox)).toEqual([]);
    expect((await read(await tokenFor(sandbox, WEST, granted))).status).toBe(200);
  });

  it('takes the scheme in any letter case (check 9)', async () => {
    const token = await tokenFor(sandbox, WEST, granted);
    for (const scheme of ['bearer', 'BEARER'])
      expect((await read(undefined, [['Authorization', `${scheme} ${token}`]])).status).toBe(200);
  });

  it('reaches the FHIR server without its token, and without what would change its method (check 10)', async () => {
    const token = await tokenFor(sandbox, WEST, granted);
    await reachedUpstream(sandbox);
    const overrides = [
      ['X-HTTP-Method-Override', 'DELETE'],
      ['X-HTTP-Method', 'DELETE'],
      ['X-Method-Override', 'DELETE'],
    ] as const;
    expect((await read(token, overrides)).status).toBe(200);
    const seen = await reachedUpstream(sandbox);
    expect(seen.map(({ method, target }) => `${method} ${target}`)).toEqual([`GET /fhir/${DOSSIER.vitalSign}`]);
    expect(seen[0]?.headers).not.toContain('method');
    expect(seen[0]?.headers).not.toContain('bearer');
    expect(seen[0]?.headers).not.toContain(token.toLowerCase());
  });
});

describe('the audit trail', () => {
  it('has one record of every request, permitted, denied or refused, without token or content (check 100)', async () => {
    const token = await tokenFor(sandbox, WEST, granted);
    const permitted = await read(token);
    const denied = await send(sandbox, 'GET', `/${OOST}/fhir/${DOSSIER.outsideGrant}`, { token });
    const refused = await read();
    expect([permitted.status, denied.status, refused.status]).toEqual([200, 403, 401]);

    const { operatorKey, did } = tenantIn(sandbox, OOST);
    const trail = async (answer: Answer): Promise<readonly unknown[]> => {
      const id = answer.headers.get('x-request-id') ?? '';
      const url = `${sandbox.description.internal}/api/v1/tenants/${OOST}/audit?correlationId=${id}`;
      return listAt((await request('GET', url, { token: operatorKey })).json, 'items');
    };
    const west = tenantIn(sandbox, WEST).did;
    expect(did).not.toBe(west);
    expect(await trail(permitted)).toMatchObject([
      {
        outcome: 'permitted',
        status: 200,
        requester: { id: west },
        user: { id: NURSE.identifier },
        interaction: 'read',
        useCase: 'eoverdracht',
      },
    ]);
    expect(await trail(denied)).toMatchObject([
      { outcome: 'denied', status: 403, requester: { id: west }, reason: 'no_credential' },
    ]);
    expect(await trail(refused)).toMatchObject([{ outcome: 'refused', status: 401 }]);

    const folder = join(sandbox.world.dataDirectory, 'audit');
    const journal = readdirSync(folder)
      .filter((name) => name.endsWith('.ndjson'))
      .map((name) => readFileSync(join(folder, name), 'utf8'))
      .join('');
    expect(journal).toContain(permitted.headers.get('x-request-id') ?? 'none');
    expect(journal).toMatch(/"credentials":\["did:nuts:/);
    expect(journal).not.toContain(token);
    expect(journal).not.toContain(textAt(permitted.json, 'code', 'coding', 0, 'display'));
  });
});
