/**
 * Verifiable credentials as the simulated node makes and checks them. The proof is a real detached JWS (RFC 7797, `b64:false`) under
 * the name `JsonWebSignature2020`; it is made over our canonical JSON text instead of the RDF form, so that no JSON-LD processor is
 * needed. Whoever changes a byte breaks it.
 */
import { randomUUID, type KeyObject } from 'node:crypto';

import { FlattenedSign, flattenedVerify } from 'jose';

import { canonical, isObject, list, sorted, text, type Json } from './json.ts';
import type { SigningKey } from './key.ts';

/** A JSON-LD credential. */
export type VC = Json;

export const AUTHORIZATION = 'NutsAuthorizationCredential';
export const ORGANIZATION = 'NutsOrganizationCredential';
export const EMPLOYEE = 'NutsEmployeeCredential';

export const W3C_CONTEXT = 'https://www.w3.org/2018/credentials/v1';
export const NUTS_CONTEXT = 'https://nuts.nl/credentials/v1';
export const JWS_CONTEXT = 'https://w3c-ccg.github.io/lds-jws2020/contexts/lds-jws2020-v1.json';

/** Border at which a time still counts, on either side (`auth.clockskew`). */
export const SKEW_MS = 5000;

/** The document with a `proof` of `key`; `purpose` is `assertionMethod` for credentials. */
export async function signDocument(
  document: Json,
  key: SigningKey,
  now: Date,
  purpose: 'assertionMethod' | 'authentication' = 'assertionMethod',
  /** More members of the proof, such as `challenge`. */
  more: Json = {},
): Promise<Json> {
  const proof = {
    created: now.toISOString(),
    proofPurpose: purpose,
    type: 'JsonWebSignature2020',
    verificationMethod: key.kid,
    ...more,
  };
  const signed = await new FlattenedSign(payload(document, proof))
    .setProtectedHeader({ alg: 'ES256', b64: false, crit: ['b64'], kid: key.kid })
    .sign(key.privateKey);
  return { ...document, proof: { ...proof, jws: `${signed.protected ?? ''}..${signed.signature}` } };
}

/** Whether the document's one proof is a signature by the key that its verification method names. */
export async function verifyDocument(document: Json, publicKey: (kid: string) => KeyObject | undefined): Promise<boolean> {
  const proofs = list(document['proof']);
  const proof = proofs[0];
  if (proofs.length !== 1 || !isObject(proof)) return false;
  const { jws, ...options } = proof;
  const kid = text(proof, 'verificationMethod');
  const key = kid === undefined ? undefined : publicKey(kid);
  // Strictly one writing: base64 decoders forgive blanks and padding, and then two different proofs would hold.
  const [, header, signature] = (typeof jws === 'string' ? /^([\w-]+)\.\.([\w-]{86})$/.exec(jws) : null) ?? [];
  if (key === undefined || header === undefined || signature === undefined) return false;
  try {
    const { proof: _, ...bare } = document;
    const result = await flattenedVerify({ protected: header, payload: payload(bare, options), signature }, key, {
      algorithms: ['ES256'],
      crit: { b64: true },
    });
    return result.protectedHeader?.kid === kid;
  } catch {
    return false;
  }
}

/** DID of the key that signed, from the proof's verification method. */
export function signerOf(document: Json): string | undefined {
  const proof = list(document['proof'])[0];
  return isObject(proof) ? text(proof, 'verificationMethod')?.split('#')[0] : undefined;
}

function payload(document: Json, proof: Json): Uint8Array {
  return new TextEncoder().encode(`${canonical(proof)}\n${canonical(document)}`);
}

/** What an issuer states; everything else is the node's. */
export interface CredentialContent {
  readonly type: string;
  readonly issuer: string;
  readonly contexts?: readonly string[];
  readonly expirationDate?: string;
  readonly subject: Json;
  /** `<issuer>#<uuid>`, a new one by default. */
  readonly id?: string;
  readonly status?: Json;
}

/** A new, signed credential; keys in a real node's order, id `<issuer>#<uuid>`. */
export async function createCredential(content: CredentialContent, key: SigningKey, issuanceDate: Date): Promise<VC> {
  const document = {
    '@context': [...new Set([...(content.contexts ?? [NUTS_CONTEXT, W3C_CONTEXT]), JWS_CONTEXT])],
    ...(content.status === undefined ? {} : { credentialStatus: content.status }),
    credentialSubject: content.subject,
    ...(content.expirationDate === undefined ? {} : { expirationDate: content.expirationDate }),
    id: content.id ?? `${content.issuer}#${randomUUID()}`,
    issuanceDate: issuanceDate.toISOString(),
    issuer: content.issuer,
    type: [content.type, 'VerifiableCredential'],
  };
  return sorted(await signDocument(document, key, issuanceDate));
}

export function subjectOf(credential: VC): Json {
  const subject = list(credential['credentialSubject'])[0];
  return isObject(subject) ? subject : {};
}

/** The credential's own type: the one that is not `VerifiableCredential`. */
export function typeOf(credential: VC): string {
  const own = list(credential['type']).find((type) => type !== 'VerifiableCredential');
  return typeof own === 'string' ? own : '';
}

export function idOf(credential: VC): string {
  return text(credential, 'id') ?? '';
}

export function issuerOf(credential: VC): string {
  return text(credential, 'issuer') ?? '';
}

/** Whether `at` lies in the credential's life, with the node's skew on both sides. */
export function isValidAt(credential: VC, at: Date): boolean {
  const from = Date.parse(text(credential, 'issuanceDate') ?? '');
  const expires = text(credential, 'expirationDate');
  if (!(at.getTime() + SKEW_MS >= from)) return false;
  return expires === undefined || at.getTime() - SKEW_MS < Date.parse(expires);
}
