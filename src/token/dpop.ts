import { hash, timingSafeEqual } from 'node:crypto';
import { calculateJwkThumbprint, compactVerify, importJWK, type JWK } from 'jose';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import { GatewayError } from '../errors.ts';
import { parseJsonObject } from '../fhir/json.ts';
import { normaliseUrl } from './htu.ts';

/** The proof of a request (RFC 9449 §4.2) and what it must be about. */
export interface PresentedProof {
  /** The one `DPoP` header's value. */
  readonly proof: string;
  /** Exact case. */
  readonly method: string;
  /** Ours: from the configured public URL and the path of the request line; never from a header. */
  readonly url: string;
  readonly token: string;
  /** The thumbprint that the token is bound to. */
  readonly jkt: string;
  readonly nowMs: number;
}

/** A proof that is good but for its single use. */
export interface VerifiedProof {
  readonly jkt: string;
  readonly jti: string;
  readonly issuedAtMs: number;
}

/** RFC 9449 §4.3: asymmetric only; what v2 nodes take (nuts-node-api.md §2.2). */
export const PROOF_ALGORITHMS = ['ES256', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512', 'EdDSA'] as const;
/** Design §12. */
export const PROOF_MAX_AGE_MS = 60_000;
export const PROOF_MAX_AHEAD_MS = 5_000;

const MAX_PROOF_CHARACTERS = 8_192;
const COMPACT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
const coordinate = z.string().regex(/^[A-Za-z0-9_-]{1,1400}$/);
const strings = z.array(z.string());

/** Public parts alone: a `d` (or `k`) is refused, and nothing else of the key but its use is looked at. */
const publicKey = z.object({
  kty: z.enum(['EC', 'OKP', 'RSA']),
  crv: z.string().exactOptional(),
  x: coordinate.exactOptional(),
  y: coordinate.exactOptional(),
  n: coordinate.exactOptional(),
  e: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,6}$/)
    .exactOptional(),
  alg: z.string().exactOptional(),
  use: z.literal('sig').exactOptional(),
  key_ops: strings.refine((operations) => operations.every((each) => each === 'verify')).exactOptional(),
});
const PRIVATE_PARTS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'] as const;

const header = z.object({
  typ: z.literal('dpop+jwt'),
  alg: z.enum(PROOF_ALGORITHMS),
  crit: z.undefined().optional(),
  jwk: z
    .record(z.string(), z.unknown())
    .refine((jwk) => PRIVATE_PARTS.every((part) => !Object.hasOwn(jwk, part)), 'has a private part')
    .pipe(publicKey),
});

const moment = z.number().refine(Number.isSafeInteger);
const claims = z.object({
  jti: z.string().min(1).max(256),
  htm: z.string(),
  htu: z.string(),
  iat: moment,
  ath: z.string(),
  exp: moment.exactOptional(),
  nbf: moment.exactOptional(),
});

/**
 * Checks a proof (RFC 9449 §4.3, §7.1) in everything but its single use, which only counts when all else is right.
 * @throws GatewayError `token_invalid` (401) with the reason `invalid_dpop_proof`
 */
export async function verifyProof(presented: PresentedProof): Promise<VerifiedProof> {
  const { proof } = presented;
  // §4.3, 1 and 2: exactly one. The edge has refused a repeated header; joined by a comma they are no compact JWS.
  if (proof.length > MAX_PROOF_CHARACTERS || !COMPACT.test(proof)) throw invalidProof('is not one JWT');
  const [first = '', second = ''] = proof.split('.');
  const { alg, jwk } = parsePart(header, first, 'header');
  const said = parsePart(claims, second, 'claims');
  if (jwk.alg !== undefined && jwk.alg !== alg) throw invalidProof('is signed otherwise than its key says');
  if (jwk.kty === 'RSA' && (jwk.n ?? '').length < MIN_RSA_CHARACTERS) throw invalidProof('has a key that is too short');
  // §4.3, 8 to 11. What costs nothing comes before the signature.
  if (said.htm !== presented.method) throw invalidProof('is for another method');
  const expected = normaliseUrl(presented.url);
  if (expected === undefined || normaliseUrl(said.htu) !== expected) throw invalidProof('is for another URL');
  const { nowMs } = presented;
  const issuedAtMs = said.iat * 1000;
  if (!(issuedAtMs >= nowMs - PROOF_MAX_AGE_MS)) throw invalidProof('is too old');
  if (!(issuedAtMs <= nowMs + PROOF_MAX_AHEAD_MS)) throw invalidProof('is from the future');
  if (said.exp !== undefined && !(said.exp * 1000 > nowMs)) throw invalidProof('has expired');
  if (said.nbf !== undefined && !(said.nbf * 1000 <= nowMs + PROOF_MAX_AHEAD_MS)) throw invalidProof('is not valid yet');
  if (!equal(said.ath, hash('sha256', presented.token, 'base64url'))) throw invalidProof('is for another token');
  const key = keyOf(jwk);
  const known = await readKey(key, alg);
  // §7.1: the key is the one that the token is bound to.
  if (!equal(known.jkt, presented.jkt)) throw invalidProof('is of another key than the token’s');
  try {
    await compactVerify(proof, known.key, { algorithms: [alg] });
  } catch (cause) {
    throw invalidProof('has a signature that does not hold', cause);
  }
  return { jkt: presented.jkt, jti: said.jti, issuedAtMs };
}

/** 2048 bits in base64url: RFC 7518 §3.5. jose counts the bits once more. */
const MIN_RSA_CHARACTERS = 342;

/** The challenge of RFC 9449 §7.1, with or without what is wrong. */
export function dpopChallenge(error?: 'invalid_token' | 'invalid_dpop_proof' | 'insufficient_scope'): string {
  return `DPoP ${error === undefined ? '' : `error="${error}", `}algs="${PROOF_ALGORITHMS.join(' ')}"`;
}

/** The refusal of a proof. `problem` is the operator's. */
export function invalidProof(problem: string, cause?: unknown): GatewayError {
  return new GatewayError('token_invalid', `the DPoP proof ${problem}`, {
    reason: 'invalid_dpop_proof',
    challenge: dpopChallenge('invalid_dpop_proof'),
    ...(cause === undefined ? {} : { cause }),
  });
}

function parsePart<Out>(schema: z.ZodType<Out>, part: string, what: string): Out {
  try {
    // Strict: a repeated member could be read in two ways.
    return schema.parse(parseJsonObject(Buffer.from(part, 'base64url')));
  } catch (cause) {
    throw invalidProof(`has a ${what} that is not allowed`, cause);
  }
}

function keyOf({ kty, crv, x, y, n, e }: z.infer<typeof publicKey>): JWK {
  switch (kty) {
    case 'RSA':
      if (n === undefined || e === undefined) break;
      return { kty, n, e };
    case 'EC':
      if (crv === undefined || x === undefined || y === undefined) break;
      return { kty, crv, x, y };
    case 'OKP':
      if (crv !== 'Ed25519' || x === undefined) break;
      return { kty, crv, x };
  }
  throw invalidProof('has a key that is not complete');
}

interface ReadKey {
  readonly jkt: string;
  readonly key: Awaited<ReturnType<typeof importJWK>>;
}

/** Keys as they were read before: a function of nothing but what was presented, and half the price of a proof. */
const READ_KEYS = new LRUCache<string, ReadKey>({ max: 2_000 });

async function readKey(jwk: JWK, alg: string): Promise<ReadKey> {
  const name = JSON.stringify([alg, jwk]);
  const known = READ_KEYS.get(name);
  if (known !== undefined) return known;
  try {
    const read = { jkt: await calculateJwkThumbprint(jwk, 'sha256'), key: await importJWK(jwk, alg) };
    READ_KEYS.set(name, read);
    return read;
  } catch (cause) {
    throw invalidProof('has a key that cannot be read', cause);
  }
}

/** The whole of both, in a time that tells nothing about where they differ. */
function equal(one: string, other: string): boolean {
  const [first, second] = [Buffer.from(one), Buffer.from(other)];
  return first.length === second.length && timingSafeEqual(first, second);
}
