/**
 * Keys and identifiers that are the same in every run: a private key is a hash of its owner's name, so that DIDs, key ids and
 * thumbprints are stable in snapshots. Real ES256 keys, worthless as secrets; the sandbox is the only place for them.
 */
import { createECDH, createHash, createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';

export interface PublicJwk {
  readonly crv: 'P-256';
  readonly kty: 'EC';
  readonly x: string;
  readonly y: string;
}

export interface SigningKey {
  /** `<DID>#<RFC 7638 thumbprint>`, or `#<UUID>` for did:web. */
  readonly kid: string;
  readonly publicJwk: PublicJwk;
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';

/** Base58 (Bitcoin alphabet), the writing of did:nuts. */
export function base58(bytes: Uint8Array): string {
  let number = BigInt(`0x${Buffer.from(bytes).toString('hex')}`);
  let digits = '';
  while (number > 0n) {
    digits = (ALPHABET[Number(number % 58n)] ?? '') + digits;
    number /= 58n;
  }
  return digits;
}

interface KeyMaterial {
  readonly publicJwk: PublicJwk;
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
  readonly thumbprint: Buffer;
}

function deriveKey(seed: string): KeyMaterial {
  const scalar = sha256(`sluis sandbox key: ${seed}`);
  const ecdh = createECDH('prime256v1');
  ecdh.setPrivateKey(scalar);
  const point = ecdh.getPublicKey();
  const publicJwk: PublicJwk = {
    crv: 'P-256',
    kty: 'EC',
    x: point.subarray(1, 33).toString('base64url'),
    y: point.subarray(33, 65).toString('base64url'),
  };
  const jwk = { ...publicJwk, d: scalar.toString('base64url') };
  return {
    publicJwk,
    publicKey: createPublicKey({ key: { ...publicJwk }, format: 'jwk' }),
    privateKey: createPrivateKey({ key: jwk, format: 'jwk' }),
    thumbprint: sha256(JSON.stringify(publicJwk)),
  };
}

/** A did:nuts, and its key, made from `seed` alone. */
export function deriveIdentity(seed: string): { readonly did: string; readonly key: SigningKey } {
  const { thumbprint, ...material } = deriveKey(seed);
  const did = `did:nuts:${base58(thumbprint)}`;
  return { did, key: { kid: `${did}#${thumbprint.toString('base64url')}`, ...material } };
}

/** The key of a did:web, made from `seed` alone; its id has a UUID for fragment. */
export function deriveWebKey(did: string, seed: string): SigningKey {
  const { thumbprint: _, ...material } = deriveKey(`web ${seed}`);
  return { kid: `${did}#${uuidOf(`key ${seed}`)}`, ...material };
}

/** A UUID that is the same for the same text (version 8, RFC 9562). */
export function uuidOf(seed: string): string {
  const hex = sha256(`sluis sandbox uuid: ${seed}`).toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

export function sha256(value: string): Buffer {
  return createHash('sha256').update(value).digest();
}
