import type { ErrorCode } from '../errors.ts';
import type { BundleEntry } from '../fhir/bundle.ts';
import type { RequestRecord } from './record.ts';
import { refuseDenied, refuseRejected } from './refusal.ts';
import type { Reply } from './reply.ts';
import type { Permitted } from './stages.ts';

/*
 * Writes that a rule permits without code of the use case: nothing follows them here, so that nothing is recorded but the access itself. What goes up
 * is printed from the parsed resource, alone or as an entry of a transaction.
 */

/** A write that may go up, or why it may not. What goes up of a patch or a conditional write is what it comes to (ADR 0016). */
export type Prepared = { readonly outcome: 'ready'; readonly sent: BundleEntry } | Unready;

export type Unready =
  | { readonly outcome: 'denied'; readonly reason: string; readonly text?: string }
  | { readonly outcome: 'rejected'; readonly code: ErrorCode; readonly reason: string; readonly expression?: readonly string[] };

/** What a transaction calls its entry. */
export type Named = Pick<BundleEntry, 'fullUrl'>;

export function refuseUnready({ verdict }: Permitted, unready: Unready, record: RequestRecord): Promise<Reply> {
  switch (unready.outcome) {
    case 'rejected':
      return refuseRejected(record, unready.code, unready.reason, unready.expression);
    case 'denied':
      return refuseDenied(record, {
        code: unready.reason,
        text: unready.text ?? `${verdict.rule.id}: what is stored is not the caller’s to change`,
      });
  }
}
