/** Holders' wallets: `walletOf`, `validCredentials`, `loadCredential` (facts §4.2). */
import type { NodeContext } from '../context.ts';
import { idOf, isValidAt } from '../credential.ts';
import { NodeProblem } from '../problem.ts';
import { BAD_SIGNATURE, faultOfAny, holderOf, viewOf } from './any-credential.ts';
import { isRevoked } from './status-list.ts';
import type { AnyCredential } from './store.ts';
import { subjectNamed } from './subject.ts';

export function walletOf(context: NodeContext, subject: string): Map<string, AnyCredential> {
  const { wallets } = context.store.iam;
  const known = wallets.get(subject) ?? new Map<string, AnyCredential>();
  wallets.set(subject, known);
  return known;
}

/** What can be presented now: neither expired nor revoked. */
export async function validCredentials(context: NodeContext, subject: string): Promise<AnyCredential[]> {
  const now = context.clock.now();
  const valid: AnyCredential[] = [];
  for (const credential of walletOf(context, subject).values()) {
    const view = viewOf(credential);
    if (isValidAt(view, now) && !(await isRevoked(context, view))) valid.push(credential);
  }
  return valid;
}

/** Puts a credential of the subject in its wallet. Errors: 404, 400 for another's or a forged one, 409 for a revoked one, else 500. */
export async function loadCredential(context: NodeContext, subject: string, credential: AnyCredential): Promise<void> {
  const { dids } = subjectNamed(context, subject);
  const holder = holderOf(credential);
  if (!dids.includes(holder)) {
    throw new NodeProblem(400, 'subject does not own DID specified by credentialSubject.ID');
  }
  const fault = await faultOfAny(context, credential, holder);
  if (fault === 'credential is revoked') throw new NodeProblem(409, fault);
  if (fault !== undefined) throw new NodeProblem(fault === BAD_SIGNATURE ? 400 : 500, fault);
  walletOf(context, subject).set(idOf(viewOf(credential)), credential);
}
