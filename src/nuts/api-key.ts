import { createPrivateKey, createPublicKey, randomUUID } from 'node:crypto';
import { calculateJwkThumbprint, exportJWK, SignJWT } from 'jose';
import type { Clock } from '../clock.ts';
import type { TenantNode } from '../tenant/tenant.ts';

/** The `Authorization` header for the node's internal API; undefined where the node asks for none. */
export type ApiAuthorization = () => Promise<string | undefined> | undefined;

const LIFE_S = 600;
// The node allows no skew at all: tokens are made to look a little old.
const BACKDATE_S = 30;

/**
 * Signs for the node's `token_v2` authentication (nuts-node-api.md §6): one token for ten minutes, a new one at 80 % of that.
 * @throws Error when the key is none that the node accepts
 */
export function createApiAuthorization(apiKey: TenantNode['apiKey'], subject: string, clock: Clock): ApiAuthorization {
  if (apiKey === undefined) return () => undefined;
  const privateKey = createPrivateKey(apiKey.privateKey.reveal());
  const algorithm = algorithmOf(privateKey.asymmetricKeyType, privateKey.asymmetricKeyDetails?.namedCurve);
  const kid = exportJWK(createPublicKey(privateKey)).then((jwk) => calculateJwkThumbprint(jwk));
  kid.catch(() => undefined);
  let current: { readonly header: Promise<string>; readonly madeS: number } | undefined;

  const sign = async (nowS: number): Promise<string> => {
    const token = await new SignJWT()
      .setProtectedHeader({ alg: algorithm, kid: await kid, typ: 'JWT' })
      .setIssuer(apiKey.name)
      .setSubject(subject)
      .setAudience(apiKey.audience)
      .setIssuedAt(nowS - BACKDATE_S)
      .setNotBefore(nowS - BACKDATE_S)
      .setExpirationTime(nowS + LIFE_S)
      .setJti(randomUUID())
      .sign(privateKey);
    return `Bearer ${token}`;
  };

  return () => {
    const nowS = Math.floor(clock.now().getTime() / 1000);
    if (current === undefined || nowS < current.madeS || nowS >= current.madeS + LIFE_S * 0.8) {
      current = { header: sign(nowS), madeS: nowS };
    }
    return current.header;
  };
}

function algorithmOf(type: string | undefined, curve: string | undefined): string {
  if (type === 'ed25519') return 'EdDSA';
  if (type === 'rsa') return 'PS512';
  if (type === 'ec' && curve === 'prime256v1') return 'ES256';
  if (type === 'ec' && curve === 'secp384r1') return 'ES384';
  if (type === 'ec' && curve === 'secp521r1') return 'ES512';
  throw new Error('the key for the Nuts node must be Ed25519, P-256, P-384, P-521 or RSA');
}
