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
  /** `<DID>#<RFC 7638 thumbprint>`. */
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

/** A DID, and its key, made from `seed` alone. */
export function deriveIdentity(seed: string): { readonly did: string; readonly key: SigningKey } {
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
  const thumbprint = sha256(JSON.stringify(publicJwk));
  const did = `did:nuts:${base58(thumbprint)}`;
  const jwk = { ...publicJwk, d: scalar.toString('base64url') };
  return {
    did,
    key: {
      kid: `${did}#${thumbprint.toString('base64url')}`,
      publicJwk,
      publicKey: createPublicKey({ key: { ...publicJwk }, format: 'jwk' }),
      privateKey: createPrivateKey({ key: jwk, format: 'jwk' }),
    },
  };
}

export function sha256(value: string): Buffer {
  return createHash('sha256').update(value).digest();
}
