import type { RequestRecord } from './record.ts';
import type { Authenticated, Decided, Seen } from './stages.ts';

/**
 * Looks over the gate's shoulder. `explain` is the only one: it lets a gate go the whole way of a request, sends nothing, and tells what it has seen. What a
 * watch is told changes nothing of what the gate does.
 */
export interface Watch {
  /** The record of a request, or of an entry of one, in the place of one in the audit trail. */
  open(received: Seen, part?: string): RequestRecord;
  /** The PDP is asked: of the request itself first, then of what its carrying out needs besides. */
  judging(authenticated: Authenticated, record: RequestRecord): void;
  judged(decided: Decided, record: RequestRecord): void;
  /** Why a request is refused, before it is. */
  failed(error: unknown, record: RequestRecord): void;
}
