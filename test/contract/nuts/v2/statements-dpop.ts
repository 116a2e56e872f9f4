/** DPoP: statements 22 to 28, facts §2. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';

import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT, type CryptoKey } from 'jose';

import { decode, expectProblem, object, string, type Json } from '../peer-pair.ts';
import {
  boundToken,
  createProof,
  introspectAt,
  proofFor,
  signerOf,
  validate,
  type BoundToken,
  type WebNodes,
  type WebStatement,
} from './web-nodes.ts';

const URL_OF_RESOURCE = 'https://rs.example/fhir/Patient/1';

/** A bound token, a fresh proof for it, and the request that proof and token hold for. */
async function proven(nodes: WebNodes, htu = URL_OF_RESOURCE): Promise<{ bound: BoundToken; request: Json }> {
  const bound = await boundToken(nodes);
  const cnf = object((await introspectAt(nodes.a.internal, bound.token))['cnf']);
  const request = {
    dpop_proof: await proofFor(nodes, bound, 'GET', htu),
    method: 'GET',
    thumbprint: string(cnf['jkt']),
    token: bound.token,
    url: htu,
  };
  return { bound, request };
}

async function reason(nodes: WebNodes, body: Json): Promise<string> {
  const said = await validate(nodes, body);
  assert.equal(said['valid'], false);
  return string(said['reason']);
}

export const dpopStatements: readonly WebStatement[] = [
  {
    id: '22',
    title: 'a proof is made for a kid that is encoded once; what is missing is named; header and claims are those of RFC 9449',
    async run(nodes) {
      const { token, kid } = await boundToken(nodes);
      const whole = { htm: 'GET', htu: `${URL_OF_RESOURCE}?_id=1#part`, token };
      for (const [name, words] of [
        ['htm', 'missing method'],
        ['htu', 'missing url'],
        ['token', 'missing token'],
      ] as const) {
        for (const body of [
          Object.fromEntries(Object.entries(whole).filter(([key]) => key !== name)),
          { ...whole, [name]: '' },
        ]) {
          const reply = await createProof(nodes, kid, body);
          assert.equal(reply.status, 400);
          if (Object.hasOwn(body, name)) assert.equal(expectProblem(reply, 400, 'CreateDPoPProof failed'), words);
        }
      }
      const [head, claims] = (await proofFor(nodes, { token, kid }, 'GET', whole.htu)).split('.');
      const header = decode(head);
      assert.deepEqual(Object.keys(header).sort(), ['alg', 'jwk', 'typ']);
      assert.equal(header['typ'], 'dpop+jwt');
      assert.deepEqual(Object.keys(object(header['jwk'])).sort(), ['alg', 'crv', 'kty', 'x', 'y']);
      const said = decode(claims);
      assert.deepEqual(Object.keys(said).sort(), ['ath', 'htm', 'htu', 'iat', 'jti']);
      assert.equal(said['htu'], whole.htu);
      assert.match(string(said['jti']), /^[\w-]{43}$/);
      expectProblem(await createProof(nodes, `${nodes.b.did}#unknown`, whole), 500, 'CreateDPoPProof failed');
    },
  },
  {
    id: '23',
    title: 'a proof is valid once',
    async run(nodes) {
      const { request } = await proven(nodes);
      assert.deepEqual(await validate(nodes, request), { valid: true });
      assert.equal(await reason(nodes, request), 'jti already used');
    },
  },
  {
    id: '24',
    title: 'the method is compared by case',
    async run(nodes) {
      const { request } = await proven(nodes);
      assert.equal(await reason(nodes, { ...request, method: 'POST' }), 'method mismatch, token: GET, given: POST');
      assert.equal(await reason(nodes, { ...request, method: 'get' }), 'method mismatch, token: GET, given: get');
    },
  },
  {
    id: '25',
    title: 'path, host and an empty query count; port, scheme, a query and a fragment do not',
    async run(nodes) {
      const { request } = await proven(nodes);
      for (const url of [
        'https://rs.example/fhir/Patient/2',
        'https://rs.example/fhir/Patient/1/',
        'https://RS.example/fhir/Patient/1',
        'https://user@rs.example/fhir/Patient/1',
        'https://rs.example/fhir/%50atient/1',
        'https://rs.example//fhir/Patient/1',
        `${URL_OF_RESOURCE}?`,
      ]) {
        assert.match(await reason(nodes, { ...request, url }), /^url mismatch, token: /);
      }
      for (const url of [
        'https://rs.example:8443/fhir/Patient/1',
        'http://rs.example/fhir/Patient/1',
        `${URL_OF_RESOURCE}?_id=1`,
        `${URL_OF_RESOURCE}#part`,
      ]) {
        const { request: fresh } = await proven(nodes);
        assert.deepEqual(await validate(nodes, { ...fresh, url }), { valid: true }, url);
      }
    },
  },
  {
    id: '26, 27',
    title: 'what is wrong is told in order: proof, key, method, URL, token; a proof that failed is not used up',
    async run(nodes) {
      const { request } = await proven(nodes);
      const wrong = { method: 'POST', thumbprint: 'x', token: 'other', url: 'https://rs.example/other' };
      assert.match(
        await reason(nodes, { ...request, ...wrong, dpop_proof: 'garbage' }),
        /^failed to parse DPoP header: invalid DPoP token/,
      );
      assert.equal(await reason(nodes, { ...request, ...wrong }), 'jkt mismatch');
      const { thumbprint } = request;
      assert.match(await reason(nodes, { ...request, ...wrong, thumbprint }), /^method mismatch/);
      assert.match(await reason(nodes, { ...request, ...wrong, thumbprint, method: 'GET' }), /^url mismatch/);
      assert.equal(await reason(nodes, { ...request, token: 'other' }), 'ath/token claim mismatch');
      assert.deepEqual(await validate(nodes, request), { valid: true });
      assert.equal(await reason(nodes, { ...request, token: 'other' }), 'ath/token claim mismatch');
    },
  },
  {
    id: '28',
    title: 'a proof from the future is refused; one that is an hour old is valid: a gate checks the age itself',
    async run(nodes) {
      const maker = await createMaker(nodes);
      const future = maker.request(await maker.proof({ iat: maker.nowS + 60 }));
      assert.match(await reason(nodes, future), /^failed to parse DPoP header: [^]*"iat" not satisfied/);
      const old = maker.request(await maker.proof({ iat: maker.nowS - 3600 }));
      assert.deepEqual(await validate(nodes, old), { valid: true });
    },
  },
  {
    id: '§2.2',
    title: 'a proof without jti, with a long one, of another type, with a private key, unsigned, or by another key is not read',
    async run(nodes) {
      const maker = await createMaker(nodes);
      const [head, payload] = (await maker.proof({})).split('.');
      const none = Buffer.from(JSON.stringify({ ...decode(head), alg: 'none' })).toString('base64url');
      const tampered = (await maker.proof({})).replace(/\.[^.]+$/, `.${'A'.repeat(86)}`);
      for (const proof of [
        await maker.proof({ jti: undefined }),
        await maker.proof({ jti: 'x'.repeat(257) }),
        await maker.proof({ htm: undefined }),
        await maker.proof({}, { typ: 'JWT' }),
        await maker.proof({}, { jwk: await exportJWK(maker.privateKey) }),
        `${none}.${payload ?? ''}.`,
        tampered,
      ]) {
        assert.match(await reason(nodes, maker.request(proof)), /^failed to parse DPoP header: invalid DPoP token/);
      }
      assert.equal(await reason(nodes, maker.request(await maker.proof({ ath: undefined }))), 'missing ath claim');
      assert.deepEqual(await validate(nodes, maker.request(await maker.proof({ jti: 'x'.repeat(256) }))), { valid: true });
    },
  },
  {
    id: '§2.3',
    title: 'a URL that cannot be parsed, in the proof or beside it, drops the connection, and the node lives on',
    async run(nodes) {
      const maker = await createMaker(nodes);
      for (const url of ['127.0.0.1:8443/x', 'https://rs.example/%zz', 'https://rs .example/']) {
        const request = { ...maker.request(await maker.proof({})), url };
        await assert.rejects(validate(nodes, request), /fetch failed/, url);
      }
      await assert.rejects(validate(nodes, maker.request(await maker.proof({ htu: 'https://rs.example/%zz' }))), /fetch failed/);
      assert.deepEqual(await validate(nodes, maker.request(await maker.proof({}))), { valid: true });
    },
  },
];

interface Maker {
  readonly privateKey: CryptoKey;
  /** By the clock of the nodes. */
  readonly nowS: number;
  /** A proof by a key of this run; a claim that is `undefined` is left out. */
  proof(claims: Json, header?: Json): Promise<string>;
  /** A request that such a proof holds for. */
  request(proof: string): Json;
}

/** Proofs of our own making, as any client could send them; validation does not ask whether the token is one. */
async function createMaker(nodes: WebNodes): Promise<Maker> {
  const { nowS } = await signerOf(nodes);
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
  const jwk = await exportJWK(publicKey);
  const thumbprint = await calculateJwkThumbprint(jwk);
  const token = `any-${crypto.randomUUID()}`;
  const ath = createHash('sha256').update(token).digest('base64url');
  return {
    privateKey,
    nowS,
    proof: (claims, header = {}) => {
      const usual = { ath, htm: 'GET', htu: URL_OF_RESOURCE, iat: nowS, jti: crypto.randomUUID() };
      return new SignJWT({ ...usual, ...claims })
        .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk, ...header })
        .sign(privateKey);
    },
    request: (proof) => ({ dpop_proof: proof, method: 'GET', thumbprint, token, url: URL_OF_RESOURCE }),
  };
}
