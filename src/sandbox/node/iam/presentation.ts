/** Presentations for the vp_token-bearer grant (RFC021): `createPresentation` by the holder, `parsePresentation` and its checks. */
import { randomBytes, randomUUID } from 'node:crypto';

import { compactVerify, decodeJwt, decodeProtectedHeader, SignJWT } from 'jose';

import type { NodeContext } from '../context.ts';
import { JWS_CONTEXT, NUTS_CONTEXT, signDocument, signerOf, SKEW_MS, verifyDocument, W3C_CONTEXT } from '../credential.ts';
import { collapse, isObject, list, sorted, text, type Json } from '../json.ts';
import type { SigningKey } from '../key.ts';
import { faultOfAny, formatOf, holderOf, viewOf } from './any-credential.ts';
import { valueAt } from './json-path.ts';
import type { Definition, Submission } from './definition.ts';
import type { AnyCredential } from './store.ts';

export const MAX_LIFE_S = 5;

/** A presentation as it came, and what it says of itself. */
export interface Presentation {
  readonly raw: AnyCredential;
  readonly format: 'jwt_vp' | 'ldp_vp';
  /** DID of the key that signed, if it says. */
  readonly signer: string;
  /** Milliseconds since 1970. */
  readonly createdMs?: number;
  readonly expiresMs?: number;
  readonly audience: readonly string[];
  readonly nonce: string;
  /** What the paths of a submission start from. */
  readonly root: Json;
  readonly credentials: readonly AnyCredential[];
}

/** A signed presentation with its submission, as JWT where the definition allows it, else as JSON-LD. */
export async function createPresentation(
  key: SigningKey,
  definition: Definition,
  chosen: Readonly<Record<string, AnyCredential>>,
  audience: string,
  now: Date,
  lifeS = MAX_LIFE_S,
): Promise<{ readonly assertion: string; readonly submission: Submission }> {
  const credentials = [...new Set(Object.values(chosen))];
  const holder = key.kid.split('#')[0] ?? '';
  const nonce = randomBytes(32).toString('base64url');
  const content = {
    '@context': [W3C_CONTEXT, NUTS_CONTEXT],
    type: 'VerifiablePresentation',
    verifiableCredential: credentials.length === 1 ? credentials[0] : credentials,
  };
  const submission: Submission = {
    id: randomUUID(),
    definition_id: definition.id,
    descriptor_map: Object.entries(chosen).map(([id, credential]) => ({
      id,
      format: formatOf(credential),
      path: credentials.length === 1 ? '$.verifiableCredential' : `$.verifiableCredential[${credentials.indexOf(credential)}]`,
    })),
  };
  const { format } = definition;
  if (format !== undefined && !Object.hasOwn(format, 'jwt_vp') && Object.hasOwn(format, 'ldp_vp')) {
    const document = { ...content, '@context': [...content['@context'], JWS_CONTEXT], id: `${holder}#${randomUUID()}` };
    const expires = new Date(now.getTime() + lifeS * 1000).toISOString();
    const more = { challenge: nonce, domain: audience, expires, nonce };
    return { assertion: JSON.stringify(sorted(await signDocument(document, key, now, 'authentication', more))), submission };
  }
  const nbf = Math.floor(now.getTime() / 1000);
  const assertion = await new SignJWT({
    aud: [audience],
    exp: nbf + lifeS,
    jti: `${holder}#${randomUUID()}`,
    nbf,
    nonce,
    sub: holder,
    vp: content,
  })
    .setProtectedHeader({ alg: 'ES256', kid: key.kid, typ: 'JWT' })
    .sign(key.privateKey);
  return { assertion, submission };
}

/** Reads a presentation, JWT or JSON; no signature is judged. Throws with a node's words. */
export function parsePresentation(assertion: string): Presentation {
  if (assertion.trimStart().startsWith('{')) return parseLinkedData(assertion);
  try {
    const { kid = '' } = decodeProtectedHeader(assertion);
    const claims: Json = decodeJwt(assertion);
    const vp = claims['vp'];
    if (!isObject(vp)) throw new Error('no vp');
    const start = claims['nbf'] ?? claims['iat'];
    return {
      raw: assertion,
      format: 'jwt_vp',
      signer: kid.split('#')[0] ?? '',
      ...(typeof start === 'number' ? { createdMs: start * 1000 } : {}),
      ...(typeof claims['exp'] === 'number' ? { expiresMs: claims['exp'] * 1000 } : {}),
      audience: list(claims['aud']).filter((value) => typeof value === 'string'),
      nonce: text(claims, 'nonce') ?? '',
      root: vp,
      credentials: credentialsOf(vp),
    };
  } catch {
    throw new Error('invalid JWT');
  }
}

function parseLinkedData(assertion: string): Presentation {
  const document: unknown = JSON.parse(assertion);
  if (!isObject(document)) throw new Error('not an object');
  const proof = collapse(document['proof']);
  const options = isObject(proof) ? proof : {};
  const time = (key: string): number => Date.parse(text(options, key) ?? '');
  return {
    raw: document,
    format: 'ldp_vp',
    signer: signerOf(document) ?? '',
    ...(Number.isNaN(time('created')) ? {} : { createdMs: time('created') }),
    ...(Number.isNaN(time('expires')) ? {} : { expiresMs: time('expires') }),
    audience: list(options['domain']).filter((value) => typeof value === 'string'),
    nonce: text(options, 'nonce') ?? text(options, 'challenge') ?? '',
    root: document,
    credentials: credentialsOf(document),
  };
}

function credentialsOf(vp: Json): AnyCredential[] {
  return list(vp['verifiableCredential']).filter((entry) => typeof entry === 'string' || isObject(entry));
}

/** The credential that a submission's path names. */
export function credentialAt(presentation: Presentation, path: string): AnyCredential | undefined {
  const value = valueAt(presentation.root, path);
  return typeof value === 'string' || isObject(value) ? value : undefined;
}

/** What is wrong with the presentation or a credential in it, or `undefined`: signature, times, holder, each credential. */
export async function faultOfPresentation(context: NodeContext, presentation: Presentation): Promise<string | undefined> {
  const { signer, credentials, raw } = presentation;
  const nowMs = context.clock.now().getTime();
  const publicKey = (kid: string) => context.network.publicKey(kid);
  if (typeof raw === 'string') {
    const { kid = '' } = decodeProtectedHeader(raw);
    const key = publicKey(kid);
    try {
      if (key === undefined) throw new Error('unknown key');
      await compactVerify(raw, key, { algorithms: ['ES256'] });
    } catch {
      return 'unable to validate JWT signature: could not verify message using any of the signatures or keys';
    }
    const claims: Json = decodeJwt(raw);
    const holds = (name: string, test: (seconds: number) => boolean): boolean =>
      typeof claims[name] !== 'number' || test(claims[name]);
    // JWT presentations get no skew at all.
    const nowS = Math.floor(nowMs / 1000);
    if (!holds('exp', (exp) => nowS < exp)) return 'unable to validate JWT signature: "exp" not satisfied';
    if (!holds('nbf', (nbf) => nbf <= nowS)) return 'unable to validate JWT signature: "nbf" not satisfied';
    if (!holds('iat', (iat) => iat <= nowS)) return 'unable to validate JWT signature: "iat" not satisfied';
  } else {
    if (!(await verifyDocument(raw, publicKey))) return 'invalid signature';
    const { createdMs = 0, expiresMs = 0 } = presentation;
    if (createdMs > nowMs + SKEW_MS || expiresMs <= nowMs - SKEW_MS) return 'presentation not valid at given time';
  }
  for (const credential of credentials) {
    if (holderOf(credential) !== signer) return 'presentation holder must equal credential subject';
    const fault = await faultOfAny(context, credential, signer);
    if (fault !== undefined) return `invalid VC (id=${text(viewOf(credential), 'id') ?? ''}): ${fault}`;
  }
  return undefined;
}
