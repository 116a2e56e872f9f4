import { isFinal } from './task-state.ts';
import {
  documentOf,
  resourcesKey,
  withGrant,
  withNegotiation,
  type Negotiation,
  type Transfer,
  type TransferGrant,
} from './transfer.ts';

/** One thing that must still be done outside. Each is idempotent or finds out what was done before. */
export type Step =
  | { readonly kind: 'revoke'; readonly negotiation: string; readonly grant: string }
  | { readonly kind: 'write-document'; readonly composition: string }
  | { readonly kind: 'write-task'; readonly negotiation: string }
  | { readonly kind: 'issue'; readonly negotiation: string; readonly grant: string }
  | { readonly kind: 'notify'; readonly negotiation: string };

/**
 * What can be done now, in order: narrow before widen, grant before announce, deny before announce (facts §1.6). What waits for
 * another step is not among it; with nothing left the transfer is settled.
 */
export function nextSteps(transfer: Transfer): readonly Step[] {
  const steps: Step[] = [];
  for (const negotiation of transfer.negotiations) {
    for (const grant of negotiation.grants) {
      if (isToRevoke(grant)) steps.push({ kind: 'revoke', negotiation: negotiation.id, grant: grant.id });
    }
  }
  for (const document of transfer.documents) {
    if (!document.written && isNeeded(transfer, document.composition)) {
      steps.push({ kind: 'write-document', composition: document.composition });
    }
  }
  for (const negotiation of transfer.negotiations) {
    if (!isWritten(negotiation)) {
      if (inputsReady(transfer, negotiation)) steps.push({ kind: 'write-task', negotiation: negotiation.id });
      continue;
    }
    for (const grant of negotiation.grants) {
      if (grant.state === 'pending' && mayIssue(transfer, negotiation, grant)) {
        steps.push({ kind: 'issue', negotiation: negotiation.id, grant: grant.id });
      }
    }
    if (isToAnnounce(negotiation)) steps.push({ kind: 'notify', negotiation: negotiation.id });
  }
  return steps;
}

/** A step's own name, for saying which one failed. */
export function stepName(step: Step): string {
  switch (step.kind) {
    case 'revoke':
    case 'issue':
      return `${step.kind}/${step.negotiation}/${step.grant}`;
    case 'write-document':
      return `${step.kind}/${step.composition}`;
    case 'write-task':
    case 'notify':
      return `${step.kind}/${step.negotiation}`;
  }
}

/** The document stands in FHIR. */
export function documentWritten(transfer: Transfer, composition: string): Transfer {
  return {
    ...transfer,
    documents: transfer.documents.map((each) => (each.composition === composition ? { ...each, written: true } : each)),
  };
}

/** The Task stands in FHIR as revision `revision` wanted it. */
export function taskWritten(
  transfer: Transfer,
  negotiation: Negotiation,
  revision: number,
  seen: { readonly status: string; readonly version: string },
): Transfer {
  // Somebody else may have written, and seen, a later one meanwhile.
  if (negotiation.task.written >= revision) return transfer;
  return withNegotiation(transfer, { ...negotiation, task: { ...negotiation.task, written: revision, seen: { ...seen } } });
}

/** The credential is there: the grant becomes live and the one that it replaces ends. One that ended meanwhile stays ended and is revoked next. */
export function grantIssued(transfer: Transfer, negotiation: Negotiation, grantId: string, credentialId: string): Transfer {
  const grant = negotiation.grants.find((each) => each.id === grantId);
  if (grant === undefined || grant.state === 'live') return transfer;
  if (grant.state === 'ended')
    return withNegotiation(transfer, withGrant(negotiation, { ...grant, credentialId, revoked: false }));
  const grants = negotiation.grants.map((each): TransferGrant => {
    if (each.id === grantId) return { ...each, state: 'live', credentialId };
    return each.id === grant.replaces && each.state === 'live' ? { ...each, state: 'ended' } : each;
  });
  return withNegotiation(transfer, { ...negotiation, grants });
}

/** No credential of the ended grant is alive at the node. */
export function grantRevoked(transfer: Transfer, negotiation: Negotiation, grantId: string): Transfer {
  const grant = negotiation.grants.find((each) => each.id === grantId);
  return grant === undefined ? transfer : withNegotiation(transfer, withGrant(negotiation, { ...grant, revoked: true }));
}

/** The job that tells the receiver is enqueued. */
export function announced(transfer: Transfer, negotiation: Negotiation, now: Date): Transfer {
  const { problem: _problem, ...notification } = negotiation.notification;
  const changed = { ...notification, queued: notification.wanted, queuedAt: now.toISOString(), refused: 0 };
  return withNegotiation(transfer, { ...negotiation, notification: changed });
}

function isToRevoke(grant: TransferGrant): boolean {
  return grant.state === 'ended' && !grant.revoked;
}

function isWritten(negotiation: Negotiation): boolean {
  return negotiation.task.written >= negotiation.task.revision;
}

/** A cancelled Task may point to a document that was never written: nobody may read it any more. */
function inputsReady(transfer: Transfer, negotiation: Negotiation): boolean {
  if (isFinal(negotiation.status)) return true;
  const { advanceNotice, nursingHandoff } = negotiation.task.inputs;
  return [advanceNotice, nursingHandoff].every(
    (composition) => composition === undefined || documentOf(transfer, composition)?.written === true,
  );
}

function isNeeded(transfer: Transfer, composition: string): boolean {
  return transfer.negotiations.some(
    (negotiation) =>
      !isFinal(negotiation.status) &&
      (Object.values(negotiation.task.inputs).includes(composition) ||
        negotiation.grants.some((grant) => grant.state === 'pending' && grant.composition === composition)),
  );
}

function mayIssue(transfer: Transfer, negotiation: Negotiation, grant: TransferGrant): boolean {
  if (grant.composition !== undefined && documentOf(transfer, grant.composition)?.written !== true) return false;
  const key = resourcesKey(grant.resources);
  for (const other of transfer.negotiations) {
    // At most one receiver has the hand-off, at any instant.
    if (grant.kind === 'nursing-handoff' && other.id !== negotiation.id && other.grants.some(isOpenHandoff)) return false;
    if (other.organization !== negotiation.organization) continue;
    // An older credential that says the same must be gone, or it would be taken for this one.
    if (other.grants.some((each) => isToRevoke(each) && resourcesKey(each.resources) === key)) return false;
  }
  return true;
}

function isOpenHandoff(grant: TransferGrant): boolean {
  return grant.kind === 'nursing-handoff' && grant.state !== 'ended';
}

function isToAnnounce(negotiation: Negotiation): boolean {
  const { wanted, queued } = negotiation.notification;
  return (
    queued < wanted &&
    isWritten(negotiation) &&
    !negotiation.grants.some((grant) => grant.state === 'pending' || isToRevoke(grant))
  );
}
