import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { authorizationServerOf, REQUESTER, startGate, type TestGate } from '../support/gate.ts';
import { receivedMessages } from '../support/notes-use-case.ts';
import { createProver, type ProofAbout, type Prover } from './proofs.ts';

const PATH = '/a/fhir/Patient/mine';
const ALGS = 'algs="ES256 ES384 ES512 PS256 PS384 PS512 EdDSA"';

let gate: TestGate;
let prover: Prover;
beforeAll(async () => {
  gate = await startGate({ generations: ['v1', 'v2'] });
  prover = await createProver();
  await gate.grant('/Patient/mine', ['read']);
  await gate.grant('/Task/mine', ['read', 'update']);
});
afterAll(() => gate.close());
beforeEach(() => {
  gate.arrived.length = 0;
  gate.introspections = 0;
});

const bearer = (facts: object = {}) => ({ Authorization: `Bearer ${gate.token({ generation: 'v2', facts })}` });
const prove = (token: string, about: Partial<ProofAbout> = {}) =>
  prover.prove({
    token,
    htu: `https://gate.example${PATH}`,
    nowSeconds: Math.floor(gate.clock.now().getTime() / 1000),
    ...about,
  });
const bound = (facts: object = {}) => gate.token({ generation: 'v2', jkt: prover.jkt, facts });
const now = () => Math.floor(gate.clock.now().getTime() / 1000);

async function expect401(headers: Readonly<Record<string, string>>, challenge: string): Promise<void> {
  const answer = await gate.get(PATH, headers);
  expect([answer.status, answer.headers.get('www-authenticate')]).toEqual([401, challenge]);
  expect(gate.arrived).toEqual([]);
}

describe('an unbound token of v2', () => {
  it('is accepted, and the organisation of its claims stands in the audit trail', async () => {
    const answer = await gate.get(PATH, bearer());
    expect(answer.status).toBe(200);
    const records = await gate.audited(answer.headers.get('x-request-id') ?? '');
    expect(JSON.stringify(records)).toContain(REQUESTER);
  });

  it('without an organisation is denied, whatever its client_id says', async () => {
    expect((await gate.get(PATH, bearer({ organization_did: undefined, client_id: REQUESTER, sub: REQUESTER }))).status).toBe(
      403,
    );
    expect((await gate.get(PATH, bearer({ organization_did: [REQUESTER] }))).status).toBe(403);
    expect(gate.arrived).toEqual([]);
  });

  it.each<[string, () => object]>([
    ['T4 expired', () => ({ iat: now() - 901, exp: now() - 1 })],
    ['T6 exp as text', () => ({ exp: String(now() + 60) })],
    ['T6 exp missing', () => ({ exp: undefined })],
    ['T7 iat in the future', () => ({ iat: now() + 120, exp: now() + 300 })],
    ['T7 nbf in the future', () => ({ nbf: now() + 120 })],
    ['T7 nbf as text', () => ({ nbf: 'now' })],
    ['lives for a day', () => ({ exp: now() + 86_400 })],
    ['T8 of another tenant', () => ({ iss: authorizationServerOf('b') })],
    ['T9 iss missing', () => ({ iss: undefined })],
    ['T9 iss a list', () => ({ iss: [authorizationServerOf('a')] })],
    ['T9 iss with a slash', () => ({ iss: `${authorizationServerOf('a')}/` })],
    ['T9 iss in another case', () => ({ iss: 'https://node.example/oauth2/A' })],
    ['T9 iss with dots', () => ({ iss: 'https://node.example/oauth2/b/../a' })],
    ['T9 iss the DID of v1', () => ({ iss: 'did:nuts:a' })],
    ['T10 aud of another', () => ({ aud: 'https://other.example' })],
  ])('is 401: %s', async (_what, change) => {
    await expect401(bearer(change()), 'Bearer error="invalid_token"');
  });

  it('of tenant a is 401 at tenant b', async () => {
    const token = gate.token({ generation: 'v2' });
    expect((await gate.get('/b/fhir/Patient/mine', { Authorization: `Bearer ${token}` })).status).toBe(401);
  });

  it.each(['notes-receiver', 'other', '', 'notes-sender notes-receiver', 'Notes-sender', 'notes-sender,x', 'x\tnotes-sender'])(
    'for the scope %j is denied',
    async (scope) => {
      expect((await gate.get(PATH, bearer({ scope }))).status).toBe(403);
      expect(gate.arrived).toEqual([]);
    },
  );

  it('for our scope and ones that nobody here knows is accepted: a list, in any order', async () => {
    expect((await gate.get(PATH, bearer({ scope: 'openid notes-sender x' }))).status).toBe(200);
  });

  it('at a node that is sick is 503 with Retry-After, and at one that says no is 401 whatever its health', async () => {
    const token = gate.token({ generation: 'v2' });
    gate.tokens.set(token, 'sick');
    const answer = await gate.get(PATH, { Authorization: `Bearer ${token}` });
    expect(answer.status).toBe(503);
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    gate.nodeHealth = 503;
    await expect401({ Authorization: 'Bearer unknown-to-all' }, 'Bearer error="invalid_token"');
    gate.nodeHealth = 200;
  });

  it('is 503 when a field of a policy shadows cnf: it may be bound', async () => {
    expect((await gate.get(PATH, bearer({ cnf: 'Caresoft B.V.' }))).status).toBe(503);
    expect((await gate.get(PATH, bearer({ cnf: null }))).status).toBe(503);
    expect(gate.arrived).toEqual([]);
  });

  it('is remembered for reads, asked about anew for writes, and judged every time (T24)', async () => {
    const headers = bearer({ iat: now(), exp: now() + 60 });
    expect((await gate.get(PATH, headers)).status).toBe(200);
    expect((await gate.get(PATH, headers)).status).toBe(200);
    expect(gate.introspections).toBe(1);
    const write = { ...headers, 'Content-Type': 'application/fhir+json', 'If-Match': 'W/"0"' };
    const body = JSON.stringify({ resourceType: 'Task', id: 'mine', status: 'accepted' });
    await gate.get('/a/fhir/Task/mine', write, 'PUT', body);
    expect(gate.introspections).toBe(2);
    gate.clock.advance(60);
    expect((await gate.get(PATH, headers)).status).toBe(401);
  });
});

describe('the two generations', () => {
  it('are each asked about at their own endpoint only', async () => {
    expect((await gate.get(PATH, { Authorization: `Bearer ${gate.token()}` })).status).toBe(200);
    // A v1 answer for an opaque token, and a v2 answer for a JWT: neither is believed.
    const opaque = gate.token({
      generation: 'v2',
      facts: { iss: 'did:nuts:a', sub: REQUESTER, service: 'notes-sender', scope: undefined },
    });
    expect((await gate.get(PATH, { Authorization: `Bearer ${opaque}` })).status).toBe(401);
    const jwt = gate.token({ facts: { iss: authorizationServerOf('a'), scope: 'notes-sender', organization_did: REQUESTER } });
    expect((await gate.get(PATH, { Authorization: `Bearer ${jwt}` })).status).toBe(401);
  });

  it('are both offered to who shows no token', async () => {
    await expect401({}, `Bearer, DPoP ${ALGS}`);
  });

  it('are 401, unasked, where the tenant has only the other', async () => {
    for (const generations of [['v1'], ['v2']] as const) {
      const only = await startGate({ generations });
      try {
        const other = generations[0] === 'v1' ? ('v2' as const) : ('v1' as const);
        const own = generations[0];
        await only.grant('/Patient/mine', ['read']);
        expect((await only.get(PATH, { Authorization: `Bearer ${only.token({ generation: other })}` })).status).toBe(401);
        expect(only.introspections).toBe(0);
        expect((await only.get(PATH, { Authorization: `Bearer ${only.token({ generation: own })}` })).status).toBe(200);
        expect((await only.get(PATH)).headers.get('www-authenticate')).toBe(own === 'v1' ? 'Bearer' : `Bearer, DPoP ${ALGS}`);
      } finally {
        await only.close();
      }
    }
  });
});

describe('a token that is bound to a key (RFC 9449 §7.1)', () => {
  it('is accepted with a proof, scheme in any case (D18), and the proof goes nowhere (D19)', async () => {
    for (const scheme of ['DPoP', 'dpop', 'DPOP']) {
      const token = bound();
      const answer = await gate.get(PATH, { Authorization: `${scheme} ${token}`, DPoP: await prove(token) });
      expect(answer.status).toBe(200);
    }
    expect(gate.arrived.flatMap(({ rawHeaders }) => rawHeaders.map((each) => each.toLowerCase()))).not.toContain('dpop');
  });

  it('is 401 as a bearer token, with a proof or without (D1)', async () => {
    const token = bound();
    await expect401({ Authorization: `Bearer ${token}` }, `DPoP error="invalid_token", ${ALGS}`);
    await expect401({ Authorization: `Bearer ${token}`, DPoP: await prove(token) }, `DPoP error="invalid_token", ${ALGS}`);
  });

  it('is refused with a reason in the audit trail that the caller does not learn', async () => {
    const token = bound();
    const headers = { Authorization: `DPoP ${token}`, DPoP: await prove(token, { nowSeconds: now() - 100 }) };
    const answer = await gate.get(PATH, headers);
    const records = await gate.audited(answer.headers.get('x-request-id') ?? '');
    expect(records).toMatchObject([
      { outcome: 'refused', status: 401, reason: 'invalid_dpop_proof', why: 'the DPoP proof is too old' },
    ]);
    expect(answer.body).not.toContain('old');
    expect(JSON.stringify(records)).not.toContain(token);
  });

  it('has in the audit trail the thumbprint of the key that was proved, permitted or denied, and of no other', async () => {
    const recorded = async (path: string, headers: Readonly<Record<string, string>>): Promise<readonly unknown[]> => {
      const answer = await gate.get(path, headers);
      const records = await gate.audited(answer.headers.get('x-request-id') ?? '');
      expect(answer.body).not.toContain(prover.jkt);
      return records.map(({ phase, keyThumbprint }) => [phase, answer.status, keyThumbprint]);
    };
    const token = bound();
    const proven = async (path: string) => ({
      Authorization: `DPoP ${token}`,
      DPoP: await prove(token, { htu: `https://gate.example${path}` }),
    });
    // An outcome that closes an intent repeats nothing of it.
    expect(await recorded(PATH, await proven(PATH))).toEqual([
      ['intent', 200, prover.jkt],
      ['outcome', 200, undefined],
    ]);
    const other = PATH.replace('mine', 'other');
    expect(await recorded(other, await proven(other))).toEqual([['outcome', 403, prover.jkt]]);
    // Bound, but nothing was proved.
    expect(await recorded(PATH, { Authorization: `DPoP ${token}` })).toEqual([['outcome', 401, undefined]]);
    expect(await recorded(PATH, bearer())).toMatchObject([
      ['intent', 200, undefined],
      ['outcome', 200, undefined],
    ]);
  });

  it('is 401 without a proof', async () => {
    await expect401({ Authorization: `DPoP ${bound()}` }, `DPoP error="invalid_dpop_proof", ${ALGS}`);
  });

  it('is what the scheme is for: an unbound one, a v1 one and an unknown one are 401 with it (D3)', async () => {
    for (const token of [gate.token({ generation: 'v2' }), gate.token(), 'unknown']) {
      await expect401({ Authorization: `DPoP ${token}`, DPoP: await prove(token) }, `DPoP error="invalid_token", ${ALGS}`);
    }
  });

  it('an unbound one is not taken for bound by a proof beside it: it is a bearer token', async () => {
    const token = gate.token({ generation: 'v2' });
    expect((await gate.get(PATH, { Authorization: `Bearer ${token}`, DPoP: 'x' })).status).toBe(200);
  });

  it('two headers are 400, two in one are 401 (D4)', async () => {
    const token = bound();
    const [one, two] = [await prove(token), await prove(token)];
    const lines = `GET ${PATH} HTTP/1.1\r\nHost: gate.example\r\nAuthorization: DPoP ${token}\r\nDPoP: ${one}\r\nDPoP: ${two}\r\n\r\n`;
    expect((await gate.raw(lines, 1)).answers[0]?.status).toBe(400);
    await expect401({ Authorization: `DPoP ${token}`, DPoP: `${one}, ${two}` }, `DPoP error="invalid_dpop_proof", ${ALGS}`);
  });

  it('a proof counts once, also at the same moment (RFC 9449 §11.1, D11)', async () => {
    const token = bound();
    const headers = { Authorization: `DPoP ${token}`, DPoP: await prove(token) };
    const statuses = (await Promise.all(Array.from({ length: 8 }, () => gate.get(PATH, headers)))).map(({ status }) => status);
    expect(statuses.toSorted()).toEqual([200, ...Array.from({ length: 7 }, () => 401)]);
    gate.arrived.length = 0;
    await expect401(headers, `DPoP error="invalid_dpop_proof", ${ALGS}`);
  });

  it('a proof that was refused is not used up', async () => {
    const token = bound();
    const headers = { Authorization: `DPoP ${token}`, DPoP: await prove(token, { claims: { jti: 'once' } }) };
    expect((await gate.get('/a/fhir/Patient/other', headers)).status).toBe(401);
    expect((await gate.get(PATH, headers)).status).toBe(200);
  });

  it('a proof is checked on every request, and the node is not: facts are remembered, not verdicts (T24)', async () => {
    const token = bound();
    expect((await gate.get(PATH, { Authorization: `DPoP ${token}`, DPoP: await prove(token) })).status).toBe(200);
    gate.arrived.length = 0;
    await expect401({ Authorization: `DPoP ${token}` }, `DPoP error="invalid_dpop_proof", ${ALGS}`);
    await expect401({ Authorization: `Bearer ${token}` }, `DPoP error="invalid_token", ${ALGS}`);
    expect((await gate.get(PATH, { Authorization: `DPoP ${token}`, DPoP: await prove(token) })).status).toBe(200);
    expect(gate.introspections).toBe(1);
  });

  it('htu is our configured address, whatever Host and X-Forwarded-* say (D7)', async () => {
    const token = bound();
    const claimed = { Host: 'attacker.example', 'X-Forwarded-Host': 'attacker.example', 'X-Forwarded-Proto': 'http' };
    const wrong = await prove(token, { htu: `http://attacker.example${PATH}` });
    await expect401({ ...claimed, Authorization: `DPoP ${token}`, DPoP: wrong }, `DPoP error="invalid_dpop_proof", ${ALGS}`);
    const right = { Authorization: `DPoP ${token}`, DPoP: await prove(token) };
    expect((await gate.get(PATH, { ...claimed, ...right })).status).toBe(200);
  });

  it('htu has no query to match, and htm is the method (D5)', async () => {
    const token = bound();
    expect((await gate.get(`${PATH}?_format=json`, { Authorization: `DPoP ${token}`, DPoP: await prove(token) })).status).toBe(
      200,
    );
    expect((await gate.get(PATH, { Authorization: `DPoP ${token}`, DPoP: await prove(token) }, 'HEAD')).status).toBe(401);
    const head = { Authorization: `DPoP ${token}`, DPoP: await prove(token, { htm: 'HEAD' }) };
    expect((await gate.get(PATH, head, 'HEAD')).status).toBe(200);
  });

  it('ath is of this token: a proof for another one of the same key is 401 (D12)', async () => {
    const [one, other] = [bound(), bound()];
    await expect401({ Authorization: `DPoP ${one}`, DPoP: await prove(other) }, `DPoP error="invalid_dpop_proof", ${ALGS}`);
  });

  it('is proved by the key that it is bound to: a proof of another key is 401', async () => {
    const token = bound();
    const thief = await createProver();
    const proof = await thief.prove({ token, htu: `https://gate.example${PATH}`, nowSeconds: now() });
    await expect401({ Authorization: `DPoP ${token}`, DPoP: proof }, `DPoP error="invalid_dpop_proof", ${ALGS}`);
  });

  it('is denied in its own scheme', async () => {
    const token = bound();
    const htu = 'https://gate.example/a/fhir/Patient/other';
    const answer = await gate.get('/a/fhir/Patient/other', { Authorization: `DPoP ${token}`, DPoP: await prove(token, { htu }) });
    expect([answer.status, answer.headers.get('www-authenticate')]).toEqual([403, `DPoP error="insufficient_scope", ${ALGS}`]);
  });

  it('is proved on inbound routes too', async () => {
    const path = '/a/notes/notification/7';
    const token = bound({ scope: 'notes-receiver' });
    const good = { token, htu: `https://gate.example${path}`, htm: 'POST' };
    const send = async (headers: Readonly<Record<string, string>>) => (await gate.get(path, headers, 'POST')).status;
    receivedMessages.length = 0;
    expect(await send({ Authorization: `Bearer ${token}` })).toBe(401);
    expect(await send({ Authorization: `DPoP ${token}`, DPoP: await prove(token, { ...good, htu: `${good.htu}x` }) })).toBe(401);
    expect(receivedMessages).toEqual([]);
    expect(await send({ Authorization: `DPoP ${token}`, DPoP: await prove(token, good) })).toBe(202);
    expect(receivedMessages).toEqual([{ sender: REQUESTER, id: '7' }]);
  });
});
