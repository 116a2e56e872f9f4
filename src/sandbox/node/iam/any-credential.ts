/** Credentials of either format seen in one way: `viewOf`, `formatOf`, and whether one holds, `faultOfAny`. */
import { compactVerify, decodeJwt, decodeProtectedHeader, SignJWT } from 'jose';

import type { NodeContext } from '../context.ts';
import { checkContent } from '../credential-rules.ts';
import {
  idOf,
  issuerOf,
  isValidAt,
  signerOf,
  subjectOf,
  verifyDocument,
  type CredentialContent,
  type VC,
} from '../credential.ts';
import { isObject, text } from '../json.ts';
import type { SigningKey } from '../key.ts';
import { NodeProblem } from '../problem.ts';
import { isRevoked } from './status-list.ts';
import type { AnyCredential } from './store.ts';

export type CredentialFormat = 'ldp_vc' | 'jwt_vc';

export function formatOf(credential: AnyCredential): CredentialFormat {
  return typeof credential === 'string' ? 'jwt_vc' : 'ldp_vc';
}

/** The credential as an object; of a JWT the `vc` claim with what its registered claims say. Throws 400. */
export function viewOf(credential: AnyCredential): VC {
  if (typeof credential !== 'string') return credential;
  try {
    const claims = decodeJwt(credential);
    const { iss, jti, nbf, exp, ...rest } = claims;
    const { vc } = rest as { readonly vc?: unknown };
    if (!isObject(vc)) throw new Error('no vc claim');
    const time = (seconds: number | undefined): string | undefined =>
      seconds === undefined ? undefined : new Date(seconds * 1000).toISOString();
    return { ...vc, id: jti ?? '', issuer: iss ?? '', issuanceDate: time(nbf), expirationDate: time(exp) };
  } catch {
    throw new NodeProblem(400, 'unable to parse credential: invalid JWT');
  }
}

export function holderOf(credential: AnyCredential): string {
  return text(subjectOf(viewOf(credential)), 'id') ?? '';
}

/** A new JWT credential; inside it nothing is collapsed. */
export async function createJwtCredential(
  content: CredentialContent & { readonly id: string },
  key: SigningKey,
  issuanceDate: Date,
): Promise<string> {
  const { id, issuer, subject, type, contexts, expirationDate, status } = content;
  return new SignJWT({
    iss: issuer,
    jti: id,
    nbf: Math.floor(issuanceDate.getTime() / 1000),
    sub: text(subject, 'id') ?? '',
    ...(expirationDate === undefined ? {} : { exp: Math.floor(Date.parse(expirationDate) / 1000) }),
    vc: {
      '@context': contexts ?? [],
      ...(status === undefined ? {} : { credentialStatus: [status] }),
      credentialSubject: [subject],
      type: [type, 'VerifiableCredential'],
    },
  })
    .setProtectedHeader({ alg: 'ES256', kid: key.kid, typ: 'JWT' })
    .sign(key.privateKey);
}

export const BAD_SIGNATURE =
  'presentation(s) or credential(s) verification failed: invalid signature: invalid proof signature: failed to verify signature using ecdsa';

/**
 * What is wrong with a credential in a wallet or a presentation, or `undefined`: content, time, revocation, signature. Any issuer will
 * do; a credential without proof is one that its holder states about itself.
 */
export async function faultOfAny(context: NodeContext, credential: AnyCredential, holder: string): Promise<string | undefined> {
  const view = viewOf(credential);
  try {
    checkContent(view);
  } catch (error) {
    if (error instanceof NodeProblem) return error.message;
    throw error;
  }
  const isSelfAttested = typeof credential !== 'string' && credential['proof'] === undefined && issuerOf(view) === holder;
  if (!isSelfAttested && !(await isSigned(context, credential, view))) return BAD_SIGNATURE;
  if (await isRevoked(context, view)) return 'credential is revoked';
  return isValidAt(view, context.clock.now()) ? undefined : 'credential not valid at given time';
}

async function isSigned(context: NodeContext, credential: AnyCredential, view: VC): Promise<boolean> {
  const { network } = context;
  if (typeof credential !== 'string') {
    return signerOf(credential) === issuerOf(view) && verifyDocument(credential, (kid) => network.publicKey(kid));
  }
  try {
    const { kid = '' } = decodeProtectedHeader(credential);
    const key = network.publicKey(kid);
    if (key === undefined || kid.split('#')[0] !== issuerOf(view) || idOf(view).split('#')[0] !== issuerOf(view)) return false;
    await compactVerify(credential, key, { algorithms: ['ES256'] });
    return true;
  } catch {
    return false;
  }
}
