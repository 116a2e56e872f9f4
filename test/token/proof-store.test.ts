import { describe, expect, it } from '@jest/globals';
import { GatewayError } from '../../src/errors.ts';
import { createMetrics } from '../../src/metrics.ts';
import { readIntrospectionV2 } from '../../src/nuts/introspection.ts';
import type { ProofIds, UsedProof } from '../../src/store/proof-ids.ts';
import { createAuthenticator } from '../../src/token/authenticate.ts';
import { createIntrospection } from '../../src/token/introspection.ts';
import { createProver } from './proofs.ts';
import { clock, nowSeconds, tenantOf } from './support.ts';

const AS = 'https://node.example/oauth2/a';
const TARGET = '/a/fhir/Patient/mine';

/** A bound token at a gate whose list of used proofs is the one given. */
async function setUp(use: ProofIds['use']) {
  const prover = await createProver();
  const answer = { active: true, iss: AS, scope: 'x', iat: nowSeconds(), exp: nowSeconds() + 60, cnf: { jkt: prover.jkt } };
  const introspection = createIntrospection({
    clock,
    metrics: createMetrics(false),
    node: {
      introspectV1: () => Promise.reject(new Error('not v1')),
      introspectV2: () => Promise.resolve(readIntrospectionV2(Buffer.from(JSON.stringify(answer)))),
      isHealthy: () => Promise.resolve(true),
    },
  });
  const used: UsedProof[] = [];
  const authenticator = createAuthenticator({
    introspection,
    clock,
    proofIds: {
      use: (proof) => {
        used.push(proof);
        return use(proof);
      },
    },
  });
  const tenant = tenantOf('a', { url: AS, node: { generations: ['v2'] } });
  const present = async (claims: Readonly<Record<string, unknown>> = {}) => {
    const dpop = await prover.prove({ token: 't', htu: `https://gate.example${TARGET}`, claims });
    return authenticator.authenticate(tenant, { authorization: 'DPoP t', dpop, method: 'GET', target: TARGET }, false);
  };
  return { present, used, jkt: prover.jkt, authenticator, tenant };
}

describe('the single use of a proof', () => {
  it('is the last thing asked, under tenant and key, for as long as its age would let it pass', async () => {
    const { present, used, jkt } = await setUp(() => Promise.resolve(true));
    const iat = nowSeconds() - 30;
    await expect(present({ jti: 'one', iat })).resolves.toMatchObject({ proof: { jkt } });
    expect(used).toEqual([{ tenant: 'a', jkt, jti: 'one', expiresAt: new Date((iat + 70) * 1000) }]);
    for (const wrong of [
      { iat: nowSeconds() - 100 },
      { ath: 'x' },
      { htm: 'POST' },
      { htu: 'https://x.example/' },
      { jti: '' },
    ]) {
      await expect(present(wrong)).rejects.toMatchObject({ code: 'token_invalid' });
    }
    expect(used).toHaveLength(1);
  });

  it('is 401 the second time', async () => {
    const { present } = await setUp(() => Promise.resolve(false));
    await expect(present()).rejects.toMatchObject({ code: 'token_invalid', options: { reason: 'invalid_dpop_proof' } });
  });

  it('is 503 when it cannot be known, never a pass, and is asked once (D17)', async () => {
    const { present, used } = await setUp(() => Promise.reject(new GatewayError('unavailable', 'no database')));
    await expect(present()).rejects.toMatchObject({ code: 'unavailable', status: 503 });
    expect(used).toHaveLength(1);
  });

  it('is judged again for time once it is known: a token that expired meanwhile is 401', async () => {
    const { present } = await setUp(() => {
      clock.advance(61);
      return Promise.resolve(true);
    });
    await expect(present()).rejects.toMatchObject({ code: 'token_invalid' });
  });

  it('is not asked, and not used up, for an operator who wants to know what a token may', async () => {
    const { authenticator, tenant, used, jkt } = await setUp(() => Promise.resolve(true));
    await expect(authenticator.identify(tenant, 'Bearer t', false)).resolves.toMatchObject({ proof: { jkt }, purposes: ['x'] });
    expect(used).toEqual([]);
  });
});
