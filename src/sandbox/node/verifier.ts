/** Whether a credential that comes in from outside holds: content, time, revocation, trust, signature, in a real node's order. */
import type { NodeContext } from './context.ts';
import { checkContent } from './credential-rules.ts';
import { idOf, issuerOf, isValidAt, signerOf, verifyDocument, type VC } from './credential.ts';
import { NodeProblem } from './problem.ts';

/** What is wrong with it, or `undefined`. */
export async function faultOf(
  context: NodeContext,
  credential: VC,
  options: { readonly allowUntrusted: boolean; readonly at: Date },
): Promise<string | undefined> {
  const { network, store } = context;
  try {
    checkContent(credential);
  } catch (error) {
    if (error instanceof NodeProblem) return error.message;
    throw error;
  }
  if (network.revocations.has(idOf(credential))) return 'credential is revoked';
  if (!options.allowUntrusted && !network.isTrusted(store, credential)) return 'credential issuer is untrusted';
  if (!isValidAt(credential, options.at)) return 'credential not valid at given time';
  const isGenuine =
    signerOf(credential) === issuerOf(credential) && (await verifyDocument(credential, (kid) => network.publicKey(kid)));
  return isGenuine ? undefined : 'invalid proof signature: failed to verify signature using ecdsa';
}
