import { describe, expect, it } from '@jest/globals';
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { calculateJwkThumbprint, decodeProtectedHeader, type JWK } from 'jose';
import { z } from 'zod';
import { readIntrospectionV2 } from '../../src/nuts/introspection.ts';
import { verifyProof } from '../../src/token/dpop.ts';
import { normaliseUrl } from '../../src/token/htu.ts';

const file = resolve(
  import.meta.dirname,
  '../..',
  process.env['SLUIS_TEST_DATA'] ?? '../shared/data',
  'nuts-recorded/v6.2.10-web/exchanges.json',
);
const isThere = existsSync(file);
if (!isThere)
  process.stderr.write(`skipped: tokens of a real node: there is no ${file}; name the data folder in SLUIS_TEST_DATA\n`);

const exchange = z.object({
  name: z.string(),
  request: z.object({ method: z.string(), path: z.string(), body: z.string().nullish() }),
  response: z.object({ status: z.number().nullable(), json: z.unknown().optional() }),
});
const exchanges = isThere ? z.array(exchange).parse(JSON.parse(readFileSync(file, 'utf8'))) : [];

const proofs = exchanges.flatMap(({ name, request, response }) => {
  if (request.method !== 'POST' || !/\/auth\/v2\/dpop\/did/.test(request.path) || response.status !== 200) return [];
  const asked = z.object({ htm: z.string(), htu: z.string(), token: z.string() }).parse(JSON.parse(request.body ?? ''));
  // A very long answer is recorded in part only.
  const answer = z.object({ dpop: z.string() }).safeParse(response.json);
  return answer.success ? [{ name, dpop: answer.data.dpop, ...asked }] : [];
});
const introspections = exchanges.filter(
  ({ request, response }) =>
    request.method === 'POST' &&
    request.path === '/internal/auth/v2/accesstoken/introspect' &&
    response.status === 200 &&
    response.json !== undefined,
);

(isThere ? describe : describe.skip)('what a real v6 node said', () => {
  it('there is some of it', () => {
    expect([proofs.length > 3, introspections.length > 5]).toEqual([true, true]);
  });

  it('a proof that it made is right where its address is one, and wrong for anything else', async () => {
    let accepted = 0;
    for (const { dpop, htm, htu, token } of proofs) {
      const { jwk } = decodeProtectedHeader(dpop);
      const claims: unknown = JSON.parse(Buffer.from(dpop.split('.')[1] ?? '', 'base64url').toString());
      const nowMs = z.object({ iat: z.number() }).parse(claims).iat * 1000;
      const good = { proof: dpop, method: htm, url: htu, token, jkt: await calculateJwkThumbprint(jwk as JWK), nowMs };
      if (normaliseUrl(htu) === undefined) {
        await expect(verifyProof(good)).rejects.toMatchObject({ code: 'token_invalid' });
        continue;
      }
      accepted += 1;
      await expect(verifyProof(good)).resolves.toMatchObject({ jkt: good.jkt });
      for (const wrong of [
        { method: `${htm}X` },
        { url: `${htu}/x`.replace(/[?#].*/, '/x') },
        { token: 'x' },
        { nowMs: nowMs + 61_000 },
      ]) {
        await expect(verifyProof({ ...good, ...wrong })).rejects.toMatchObject({ code: 'token_invalid' });
      }
    }
    expect(accepted).toBeGreaterThan(1);
  });

  it('an introspection can be read, or is refused because a field of a policy shadows cnf', () => {
    let active = 0;
    for (const { response } of introspections) {
      const body = Buffer.from(JSON.stringify(response.json));
      const said = z.record(z.string(), z.unknown()).parse(response.json);
      if (typeof said['cnf'] === 'string') {
        expect(() => readIntrospectionV2(body)).toThrow('no answer to introspection that can be read');
        continue;
      }
      const answer = readIntrospectionV2(body);
      expect(answer.active).toBe(said['active']);
      if (!answer.active) continue;
      active += 1;
      expect(answer.cnf).toEqual(said['cnf']);
      expect([...answer.claims.keys()]).not.toContain('client_id');
      expect(answer.claims.get('organization_name')).toEqual(said['organization_name']);
    }
    expect(active).toBeGreaterThan(1);
  });
});
