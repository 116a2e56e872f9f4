import { beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { calculateJwkThumbprint, compactVerify, CompactSign, importJWK } from 'jose';
import { constants, generateKeyPairSync, sign } from 'node:crypto';
import { GatewayError } from '../../src/errors.ts';
import { parseTarget } from '../../src/fhir/target.ts';
import { verifyProof } from '../../src/token/dpop.ts';
import { normaliseUrl, publicAddress } from '../../src/token/htu.ts';
import { base64url, createProver, type ProofAbout, type Prover } from './proofs.ts';

const TOKEN = 'opaque-token';
const URL = 'https://gate.example/a/fhir/Patient/mine';
const NOW = 1_800_000_000;

let prover: Prover;
beforeAll(async () => {
  prover = await createProver();
});

async function verify(proof: string, change: Partial<Parameters<typeof verifyProof>[0]> = {}): Promise<string> {
  try {
    await verifyProof({ proof, method: 'GET', url: URL, token: TOKEN, jkt: prover.jkt, nowMs: NOW * 1000, ...change });
    return 'accepted';
  } catch (error) {
    if (!(error instanceof GatewayError)) return `thrown: ${String(error)}`;
    expect(error.options.reason).toBe('invalid_dpop_proof');
    expect(error.options.challenge).toBe('DPoP error="invalid_dpop_proof", algs="ES256 ES384 ES512 PS256 PS384 PS512 EdDSA"');
    return error.code;
  }
}
const made = (about: Partial<ProofAbout> = {}): Promise<string> =>
  prover.prove({ token: TOKEN, htu: URL, nowSeconds: NOW, ...about });
const judged = async (about: Partial<ProofAbout>, change = {}): Promise<string> => verify(await made(about), change);

describe('a proof (RFC 9449 §4.3)', () => {
  it('that is right is accepted, and says its key, its id and its moment', async () => {
    const proof = await made({ claims: { jti: 'one' } });
    expect(await verifyProof({ proof, method: 'GET', url: URL, token: TOKEN, jkt: prover.jkt, nowMs: NOW * 1000 })).toEqual({
      jkt: prover.jkt,
      jti: 'one',
      issuedAtMs: NOW * 1000,
    });
  });

  it.each(['ES256', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512', 'EdDSA'])('may be signed with %s (5)', async (alg) => {
    const other = await createProver(alg);
    const proof = await other.prove({ token: TOKEN, htu: URL, nowSeconds: NOW });
    expect(await verify(proof, { jkt: other.jkt })).toBe('accepted');
  });

  it.each(['RS256', 'RS512', 'Ed25519'])('may not be signed with %s (5)', async (alg) => {
    const other = await createProver(alg);
    const proof = await other.prove({ token: TOKEN, htu: URL, nowSeconds: NOW });
    expect(await verify(proof, { jkt: other.jkt })).toBe('token_invalid');
  });

  it('is no unsigned and no symmetric one (5)', async () => {
    const [, claims = '', signature = ''] = (await made()).split('.');
    for (const header of [
      { typ: 'dpop+jwt', alg: 'none', jwk: prover.jwk },
      { typ: 'dpop+jwt', alg: 'HS256', jwk: { kty: 'oct', k: 'c2VjcmV0' } },
      { typ: 'dpop+jwt', alg: 'ES256', jwk: { kty: 'oct', k: 'c2VjcmV0' } },
    ]) {
      expect(await verify(`${base64url(header)}.${claims}.${signature}`)).toBe('token_invalid');
      expect(await verify(`${base64url(header)}.${claims}.`)).toBe('token_invalid');
    }
  });

  it.each<[string, object]>([
    ['another type (4)', { typ: 'JWT' }],
    ['no type (4)', { typ: undefined }],
    ['a type in another case (4)', { typ: 'DPoP+JWT' }],
    ['no key (6)', { jwk: undefined }],
    ['a key that is a URL', { jwk: 'https://attacker.example/key' }],
    ['a key id and no key', { jwk: undefined, kid: 'k', jku: 'https://attacker.example/keys' }],
  ])('is refused with %s', async (_what, header) => {
    expect(await judged({ header: header as ProofAbout['header'] & object })).toBe('token_invalid');
  });

  it('has a key without a private part (7)', async () => {
    expect(await judged({ header: { jwk: prover.privateJwk } })).toBe('token_invalid');
    expect(await judged({ header: { jwk: { ...prover.jwk, k: 'c2VjcmV0' } } })).toBe('token_invalid');
  });

  it('has a key that is for signatures, and of the algorithm that signed', async () => {
    expect(await judged({ header: { jwk: { ...prover.jwk, alg: 'ES256', use: 'sig', key_ops: ['verify'] } } })).toBe('accepted');
    for (const change of [{ alg: 'ES384' }, { use: 'enc' }, { key_ops: ['sign', 'verify'] }, { crv: 'P-384' }, { y: '' }]) {
      expect(await judged({ header: { jwk: { ...prover.jwk, ...change } } })).toBe('token_invalid');
    }
  });

  it.each([
    [1024, 'token_invalid'],
    [2048, 'accepted'],
  ])('with an RSA key of %d bits: %s (RFC 7518 §3.5)', async (modulusLength, expected) => {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength });
    const { kty, n, e } = publicKey.export({ format: 'jwk' });
    const [, claims = ''] = (await made()).split('.');
    const signed = `${base64url({ typ: 'dpop+jwt', alg: 'PS256', jwk: { kty, n, e } })}.${claims}`;
    const signature = sign('sha256', Buffer.from(signed), {
      key: privateKey,
      padding: constants.RSA_PKCS1_PSS_PADDING,
      saltLength: 32,
    });
    const jkt = await calculateJwkThumbprint({ kty: 'RSA', n: String(n), e: String(e) });
    expect(await verify(`${signed}.${signature.toString('base64url')}`, { jkt })).toBe(expected);
  });

  it('understands no critical extension', async () => {
    const key = await importJWK(prover.privateJwk, 'ES256');
    const [, claims = ''] = (await made()).split('.');
    const signing = (header: Record<string, unknown>) =>
      new CompactSign(Buffer.from(claims, 'base64url')).setProtectedHeader({
        typ: 'dpop+jwt',
        alg: 'ES256',
        jwk: prover.jwk,
        ...header,
      });
    expect(await verify(await signing({}).sign(key))).toBe('accepted');
    expect(await verify(await signing({ crit: ['exp'], exp: 1 }).sign(key, { crit: { exp: true } }))).toBe('token_invalid');
  });

  it('has a signature that holds (8): none of its parts can be exchanged', async () => {
    const proof = await made();
    const [header = '', claims = '', signature = ''] = proof.split('.');
    const other = (await made({ claims: { jti: 'other' } })).split('.');
    expect(await verify(`${header}.${String(other[1])}.${signature}`)).toBe('token_invalid');
    expect(await verify(`${header}.${claims}.${String(other[2])}`)).toBe('token_invalid');
    expect(await verify(proof)).toBe('accepted');
  });

  it.each(['get', 'POST', 'HEAD', '', 7, undefined])('is for the method, exact case (9): not %j', async (htm) => {
    expect(await judged({ claims: { htm } })).toBe('token_invalid');
  });

  it.each(['POST', 'HEAD', 'PUT'])('is for %s when that is the method', async (htm) => {
    expect(await judged({ htm }, { method: htm })).toBe('accepted');
  });

  it.each([
    'https://gate.example/a/fhir/Patient/mine',
    'HTTPS://Gate.Example/a/fhir/Patient/mine',
    'https://gate.example:443/a/fhir/Patient/mine',
    'https://gate.example/a/fhir/Patient/mine?_format=json',
    'https://gate.example/a/fhir/Patient/mine#part',
    'https://gate.example/a/fhir/%50atient/m%69ne',
  ])('is for our address in any spelling of it (10): %s', async (htu) => {
    expect(await judged({ htu })).toBe('accepted');
  });

  it.each([
    'http://gate.example/a/fhir/Patient/mine',
    'https://gate.example:8443/a/fhir/Patient/mine',
    'https://other.example/a/fhir/Patient/mine',
    'https://gate.example.attacker.example/a/fhir/Patient/mine',
    'https://gate.example@attacker.example/a/fhir/Patient/mine',
    'https://user@gate.example/a/fhir/Patient/mine',
    'https://gate.example/b/fhir/Patient/mine',
    'https://gate.example/a/fhir/Patient/other',
    'https://gate.example/a/fhir/patient/mine',
    'https://gate.example/a/fhir/Patient/mine/',
    'https://gate.example/a/fhir//Patient/mine',
    'https://gate.example/a/fhir/x/../Patient/mine',
    'https://gate.example/a/fhir/Patient/mine%zz',
    'https:/gate.example/a/fhir/Patient/mine',
    'https:\\\\gate.example\\a\\fhir\\Patient\\mine',
    ' https://gate.example/a/fhir/Patient/mine',
    'https://gate.example/a/fhir/Patient/mine\n',
    '/a/fhir/Patient/mine',
    'gate.example/a/fhir/Patient/mine',
    '',
  ])('is for no other address (10): %j', async (htu) => {
    expect(await judged({ htu })).toBe('token_invalid');
  });

  it.each([0, -60, 5])('is accepted %d s from now (12, design: from 60 s ago to 5 s ahead)', async (difference) => {
    expect(await judged({ nowSeconds: NOW + difference })).toBe('accepted');
  });

  it.each<[string, unknown]>([
    ['61 s old', NOW - 61],
    ['10 minutes old', NOW - 600],
    ['6 s ahead', NOW + 6],
    ['missing', undefined],
    ['text', String(NOW)],
    ['a fraction', NOW + 0.5],
    ['milliseconds', NOW * 1000],
    ['negative', -NOW],
    ['null', null],
  ])('is refused when its moment is %s (12, D8)', async (_what, iat) => {
    expect(await judged({ claims: { iat } })).toBe('token_invalid');
  });

  it('keeps to its own end and beginning where it has them', async () => {
    expect(await judged({ claims: { exp: NOW + 1, nbf: NOW } })).toBe('accepted');
    for (const claims of [{ exp: NOW }, { exp: NOW - 10 }, { nbf: NOW + 10 }, { exp: 'soon' }, { nbf: '0' }]) {
      expect(await judged({ claims })).toBe('token_invalid');
    }
  });

  it('is for the token (13)', async () => {
    expect(await judged({}, { token: 'another' })).toBe('token_invalid');
    const { ath } = JSON.parse(Buffer.from((await made()).split('.')[1] ?? '', 'base64url').toString()) as { ath: string };
    expect(await judged({ claims: { ath } })).toBe('accepted');
    for (const wrong of [undefined, '', `${ath}=`, ath.toLowerCase(), ath.slice(0, -1), [ath]]) {
      expect(await judged({ claims: { ath: wrong } })).toBe('token_invalid');
    }
  });

  it('is of the key that the token is bound to, all of its thumbprint (14, D18)', async () => {
    const { jkt } = await createProver();
    for (const wrong of [jkt, prover.jkt.slice(0, 42), `${prover.jkt}x`, prover.jkt.toUpperCase(), '']) {
      expect(await verify(await made(), { jkt: wrong })).toBe('token_invalid');
    }
    expect(await verify(await made())).toBe('accepted');
  });

  it.each<[string, unknown]>([
    ['missing', undefined],
    ['empty', ''],
    ['a number', 7],
    ['257 characters', 'x'.repeat(257)],
    ['a megabyte', 'x'.repeat(1_000_000)],
  ])('is refused when its id is %s (3, D15)', async (_what, jti) => {
    expect(await judged({ claims: { jti } })).toBe('token_invalid');
  });

  it('may have an id of 256 characters', async () => {
    expect(await judged({ claims: { jti: 'x'.repeat(256) } })).toBe('accepted');
  });

  it('is exactly one (1, D4)', async () => {
    const proof = await made();
    for (const wrong of [`${proof}, ${proof}`, `${proof},${proof}`, ` ${proof}`, `${proof}.x`, '', 'x', 'a.b', 'a.b.c', '..']) {
      expect(await verify(wrong)).toBe('token_invalid');
    }
  });

  it('is read in one way: a member that comes twice is refused', async () => {
    const key = await importJWK(prover.privateJwk, 'ES256');
    const [, claims = ''] = (await made()).split('.');
    const twice = Buffer.from(claims, 'base64url').toString().replace('{', '{"htm":"POST",');
    const proof = await new CompactSign(Buffer.from(twice))
      .setProtectedHeader({ typ: 'dpop+jwt', alg: 'ES256', jwk: prover.jwk })
      .sign(key);
    await expect(compactVerify(proof, await importJWK(prover.jwk, 'ES256'))).resolves.toBeDefined();
    expect(await verify(proof)).toBe('token_invalid');
  });

  it('with any one character changed is refused', async () => {
    const proof = await made();
    await fc.assert(
      fc.asyncProperty(fc.nat(proof.length - 1), fc.constantFrom(...Array.from('AZaz09-_.,= ')), async (at, character) => {
        const changed = proof.slice(0, at) + character + proof.slice(at + 1);
        // The last character of a part has bits that no decoder reads.
        const same = changed.split('.').map((part) => Buffer.from(part, 'base64url').toString('hex'));
        const before = proof.split('.').map((part) => Buffer.from(part, 'base64url').toString('hex'));
        const isSame = JSON.stringify(same) === JSON.stringify(before) && /^[\w.-]+$/.test(changed);
        if (!isSame) expect(await verify(changed)).toBe('token_invalid');
      }),
      { numRuns: 150 },
    );
  });
});

describe('the address of a request (RFC 9449 §4.3 (10), RFC 3986 §6.2)', () => {
  it('is the configured one and the path of the request line, whatever the tenant is called there', () => {
    expect(publicAddress('https://gate.example/a', '/a/fhir/Task/1?x=y')).toBe('https://gate.example/a/fhir/Task/1');
    expect(publicAddress('https://fhir.oost.example', '/a/fhir/Task/1')).toBe('https://fhir.oost.example/fhir/Task/1');
    expect(publicAddress('https://gate.example/a', '/a')).toBe('https://gate.example/a');
  });

  it('is the same for every spelling that the gate reads as the same path', () => {
    const segment = fc.stringMatching(/^[A-Za-z0-9$*~_-][A-Za-z0-9$*~_.-]{0,8}$/);
    const respell = (path: string, escapes: readonly boolean[]): string =>
      Array.from(path)
        .map((each, index) =>
          each === '/' || escapes[index % escapes.length] !== true
            ? each
            : `%${each.charCodeAt(0).toString(16)[index % 2 === 0 ? 'toUpperCase' : 'toLowerCase']()}`,
        )
        .join('');
    fc.assert(
      fc.property(
        fc.array(segment, { minLength: 2, maxLength: 5 }),
        fc.array(fc.boolean(), { minLength: 1, maxLength: 12 }),
        (segments, escapes) => {
          const plain = `/a/fhir/${segments.join('/')}`;
          const spelt = respell(plain, escapes);
          expect(parseTarget(spelt).segments).toEqual(parseTarget(plain).segments);
          const normal = normaliseUrl(`https://gate.example${spelt}`);
          expect(normal).toBe(`https://gate.example${plain}`);
          expect(normaliseUrl(String(normal))).toBe(normal);
        },
      ),
    );
  });

  it('is never a different one: two paths that the gate reads as two stay two', () => {
    const segment = fc.stringMatching(/^[A-Za-z0-9$*_-]{1,3}$/);
    fc.assert(
      fc.property(segment, segment, (one, other) => {
        fc.pre(one !== other);
        expect(normaliseUrl(`https://gate.example/a/${one}`)).not.toBe(normaliseUrl(`https://gate.example/a/${other}`));
      }),
    );
  });
});
