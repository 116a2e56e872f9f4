/** DPoP (RFC 9449) as a node makes, reads and validates it: `createProof`, `parseProof`, `validateProof` (facts §2). */
import { createHash, randomBytes } from 'node:crypto';

import { calculateJwkThumbprint, compactVerify, decodeProtectedHeader, importJWK, SignJWT, type JWK } from 'jose';

import type { NodeContext } from '../context.ts';
import { isObject, text, type Json } from '../json.ts';
import type { SigningKey } from '../key.ts';
import { NodeCrash } from '../problem.ts';
import { takeOnce } from './store.ts';

const ALGORITHMS = ['ES256', 'EdDSA', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512'];
const PROOF_ID_LIFE_MS = 15 * 60 * 1000;
const MAX_ID_CHARACTERS = 256;

export interface Proof {
  readonly thumbprint: string;
  readonly htm: string;
  readonly htu: string;
  readonly jti: string;
  readonly ath?: string;
}

/** A proof for one request; `ath` is bound to `token` when there is one. */
export async function createProof(
  key: SigningKey,
  request: { readonly htm: string; readonly htu: string; readonly token?: string },
  now: Date,
): Promise<string> {
  const { htm, htu, token } = request;
  return new SignJWT({
    ...(token === undefined ? {} : { ath: hash(token) }),
    htm,
    htu,
    iat: Math.floor(now.getTime() / 1000),
    jti: randomBytes(32).toString('base64url'),
  })
    .setProtectedHeader({ alg: 'ES256', jwk: { alg: 'ES256', ...key.publicJwk }, typ: 'dpop+jwt' })
    .sign(key.privateKey);
}

function hash(token: string): string {
  return createHash('sha256').update(token).digest('base64url');
}

const INVALID = 'invalid DPoP token';

/** A proof whose signature and own times hold. Throws with a node's reason. */
export async function parseProof(compact: string, now: Date): Promise<Proof> {
  if (compact.split('.').length !== 3) {
    throw new Error(`${INVALID}\ninvalid compact serialization format: invalid number of segments`);
  }
  let header: ReturnType<typeof decodeProtectedHeader>;
  try {
    header = decodeProtectedHeader(compact);
  } catch {
    throw new Error(`${INVALID}\nfailed to parse JOSE headers`);
  }
  const { alg, typ, jwk } = header;
  if (alg === undefined || !ALGORITHMS.includes(alg)) throw new Error(`${INVALID}: invalid alg: ${alg ?? ''}`);
  if (typ !== 'dpop+jwt') throw new Error(`${INVALID}: invalid type: ${typ ?? ''}`);
  if (!isObject(jwk)) throw new Error(`${INVALID}: missing jwk header`);
  if ('d' in jwk) throw new Error(`${INVALID}: invalid jwk header`);
  const claims = await verified(compact, jwk, alg);
  for (const name of ['iat', 'htu', 'htm', 'jti']) {
    if (claims[name] === undefined || claims[name] === '') throw new Error(`${INVALID}: missing ${name} claim`);
  }
  const jti = asText(claims['jti']);
  if (jti.length > MAX_ID_CHARACTERS) throw new Error(`${INVALID}: jti claim too long`);
  checkTimes(claims, now);
  const ath = text(claims, 'ath');
  return {
    thumbprint: await calculateJwkThumbprint(jwk),
    htm: asText(claims['htm']),
    htu: asText(claims['htu']),
    jti,
    ...(ath === undefined ? {} : { ath }),
  };
}

/** A claim of another type than text drops the connection of a real node. */
function asText(value: unknown): string {
  if (typeof value !== 'string') throw new NodeCrash('interface conversion');
  return value;
}

async function verified(compact: string, jwk: JWK, alg: string): Promise<Json> {
  try {
    const { payload } = await compactVerify(compact, await importJWK(jwk, alg), { algorithms: ALGORITHMS });
    const claims: unknown = JSON.parse(new TextDecoder().decode(payload));
    if (isObject(claims)) return claims;
  } catch {
    // What is wrong with it is not told apart.
  }
  throw new Error(`${INVALID}\ncould not verify message using any of the signatures or keys`);
}

/** Nothing in the future, no skew; how old it is does not matter. */
function checkTimes(claims: Json, now: Date): void {
  const nowS = now.getTime() / 1000;
  const seconds = (name: string): number | undefined => (claims[name] === undefined ? undefined : Number(claims[name]));
  const [exp, iat, nbf] = [seconds('exp'), seconds('iat'), seconds('nbf')];
  if (exp !== undefined && !(nowS < exp)) throw new Error(`${INVALID}\n"exp" not satisfied`);
  if (iat !== undefined && !(Math.floor(iat) <= nowS)) throw new Error(`${INVALID}\n"iat" not satisfied`);
  if (nbf !== undefined && !(nbf <= nowS)) throw new Error(`${INVALID}\n"nbf" not satisfied`);
}

export interface ValidationRequest {
  readonly proof: string;
  readonly method: string;
  readonly thumbprint: string;
  readonly token: string;
  readonly url: string;
}

/** Why the proof does not hold for the request, or `undefined`; only a proof that holds is used up by it. */
export async function validateProof(context: NodeContext, request: ValidationRequest): Promise<string | undefined> {
  const now = context.clock.now();
  let proof: Proof;
  try {
    proof = await parseProof(request.proof, now);
  } catch (error) {
    if (error instanceof NodeCrash) throw error;
    return `failed to parse DPoP header: ${error instanceof Error ? error.message : INVALID}`;
  }
  if (proof.thumbprint !== request.thumbprint) return 'jkt mismatch';
  if (proof.htm !== request.method) return `method mismatch, token: ${proof.htm}, given: ${request.method}`;
  const [own, given] = [normalised(proof.htu), normalised(request.url)];
  if (own !== given) return `url mismatch, token: ${own}, given: ${given}`;
  if (proof.ath === undefined) return 'missing ath claim';
  if (proof.ath !== hash(request.token)) return 'ath/token claim mismatch';
  return takeOnce(context.iam.proofIds, proof.jti, now.getTime(), PROOF_ID_LIFE_MS) ? undefined : 'jti already used';
}

/**
 * As a node compares URLs: any scheme is https, the port, a query and a fragment count for nothing, the rest literally. What Go
 * cannot parse crashes the handler.
 */
function normalised(url: string): string {
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  const isUnreadable = /%(?![0-9A-Fa-f]{2})|[\u0000-\u001f\u007f]|^\d+(?:\.\d+){3}:\d+|^[a-z]+:\/\/[^/?#]*[ ]/i.test(url);
  if (isUnreadable) throw new NodeCrash('invalid memory address or nil pointer dereference');
  const [, authority, rest = ''] = /^(?:[A-Za-z][A-Za-z0-9+.-]*:)?\/\/([^/?#]*)(.*)$/.exec(url) ?? [];
  if (authority === undefined) return `https:${url.split(/[?#]/)[0] ?? ''}`;
  // An empty query stays as a question mark.
  const path = rest.split('#')[0]?.replace(/\?.+$/, '') ?? '';
  return `https://${authority.replace(/:\d*$/, '')}${path}`;
}
