/** Authentication towards the internal API as a node does it with `token_v2` (facts §6): `createApiAuthentication`. */
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

import { calculateJwkThumbprint, compactVerify, decodeProtectedHeader, importJWK, type JWK } from 'jose';

import type { Clock } from '../../clock.ts';
import { isObject, list, text, type Json } from './json.ts';

export interface ApiAuthentication {
  readonly audience: string;
  /** Lines `<ssh key type> <base64> <name>`, as in an authorized_keys file; ssh-ed25519 and ecdsa-sha2-nistp256. */
  readonly authorizedKeys: string;
}

interface AuthorizedKey {
  readonly name: string;
  readonly jwk: JWK;
  /** RFC 7638 thumbprint, and the SSH one. */
  readonly ids: readonly string[];
}

const ALGORITHMS = ['ES256', 'ES384', 'ES512', 'EdDSA', 'RS512', 'PS512'];
const MAX_CHARACTERS = 4096;
const MAX_LIFE_S = 24.5 * 3600;
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Whether a request may pass; a caller never learns why not. No skew is allowed. */
export function createApiAuthentication(
  { audience, authorizedKeys }: ApiAuthentication,
  clock: Clock,
): (req: IncomingMessage) => Promise<boolean> {
  const keys = Promise.all(
    authorizedKeys
      .split('\n')
      .filter((line) => line.trim() !== '')
      .map(parseLine),
  );
  return async (req) => {
    const [scheme, token, ...rest] = (req.headersDistinct['authorization']?.[0] ?? '').split(' ');
    if (scheme?.toLowerCase() !== 'bearer' || token === undefined || rest.length > 0 || token.length > MAX_CHARACTERS)
      return false;
    try {
      const { kid, alg = '', ...header } = decodeProtectedHeader(token);
      if (['jwk', 'jku', 'x5c', 'x5u'].some((name) => Object.hasOwn(header, name))) return false;
      const key = (await keys).find(({ ids }) => kid !== undefined && ids.includes(kid));
      if (key === undefined) return false;
      const { payload } = await compactVerify(token, await importJWK(key.jwk, alg), { algorithms: ALGORITHMS });
      const claims: unknown = JSON.parse(new TextDecoder().decode(payload));
      return isObject(claims) && holds(claims, key.name, audience, clock.now().getTime() / 1000);
    } catch {
      return false;
    }
  };
}

function holds(claims: Json, name: string, audience: string, nowS: number): boolean {
  const { iat, nbf, exp } = claims;
  if (typeof iat !== 'number' || typeof nbf !== 'number' || typeof exp !== 'number') return false;
  return (
    claims['iss'] === name &&
    (text(claims, 'sub') ?? '') !== '' &&
    list(claims['aud']).includes(audience) &&
    UUID.test(text(claims, 'jti') ?? '') &&
    iat <= nbf &&
    nbf <= nowS &&
    nowS < exp &&
    exp - iat <= MAX_LIFE_S &&
    exp - nbf <= MAX_LIFE_S
  );
}

/** Reads one line; the key inside is a list of length-prefixed texts (RFC 4253 §6.6). */
async function parseLine(line: string): Promise<AuthorizedKey> {
  const [type = '', encoded = '', ...name] = line.trim().split(/\s+/);
  const blob = Buffer.from(encoded, 'base64');
  const parts: Buffer[] = [];
  for (let at = 0; at + 4 <= blob.length;) {
    const length = blob.readUInt32BE(at);
    parts.push(blob.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  const jwk = toJwk(type, parts);
  const fingerprint = createHash('sha256').update(blob).digest('base64').replace(/=+$/, '');
  return { name: name.join(' '), jwk, ids: [await calculateJwkThumbprint(jwk), `SHA256:${fingerprint}`] };
}

function toJwk(type: string, parts: readonly Buffer[]): JWK {
  const last = parts.at(-1) ?? Buffer.alloc(0);
  if (type === 'ssh-ed25519') return { kty: 'OKP', crv: 'Ed25519', x: last.toString('base64url') };
  if (type === 'ecdsa-sha2-nistp256') {
    return {
      kty: 'EC',
      crv: 'P-256',
      x: last.subarray(1, 33).toString('base64url'),
      y: last.subarray(33, 65).toString('base64url'),
    };
  }
  throw new Error(`${type} keys are not for the simulated node: ssh-ed25519 or ecdsa-sha2-nistp256`);
}
