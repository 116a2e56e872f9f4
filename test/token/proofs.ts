import { hash, randomUUID } from 'node:crypto';
import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT, type JWK } from 'jose';
import { clock } from './support.ts';

/** A caller's key, with the proofs that it makes. */
export interface Prover {
  readonly jkt: string;
  readonly jwk: JWK;
  readonly privateJwk: JWK;
  /** A good proof, with differences; `undefined` leaves a member out. */
  prove(about: ProofAbout): Promise<string>;
}

export interface ProofAbout {
  readonly token: string;
  readonly htu: string;
  readonly htm?: string;
  readonly nowSeconds?: number;
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly header?: Readonly<Record<string, unknown>>;
}

/** Makes a key. */
export async function createProver(alg = 'ES256', modulusLength = 2048): Promise<Prover> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true, modulusLength });
  const jwk = await exportJWK(publicKey);
  return {
    jkt: await calculateJwkThumbprint(jwk),
    jwk,
    privateJwk: await exportJWK(privateKey),
    prove: ({ token, htu, htm = 'GET', nowSeconds = Math.floor(clock.now().getTime() / 1000), claims, header }) =>
      new SignJWT({
        htm,
        htu,
        jti: randomUUID(),
        iat: nowSeconds,
        ath: hash('sha256', token, 'base64url'),
        ...claims,
      })
        .setProtectedHeader({ typ: 'dpop+jwt', alg, jwk, ...header })
        .sign(privateKey),
  };
}

export const base64url = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
