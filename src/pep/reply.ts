import type { AuditOutcome } from '../audit/entry.ts';

/** An answer, ready to be written. */
export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: ReplyBody;
  /** Close the connection: its framing is in doubt, or a body of the caller was left unread. */
  readonly close: boolean;
  /** For the log and the metrics. */
  readonly about: ReplyFacts;
}

export interface ReplyFacts {
  readonly tenant?: string;
  readonly outcome: AuditOutcome;
  /** The operator's code. */
  readonly reason: string;
  readonly interaction?: string;
  readonly requester?: string;
}

export type ReplyBody =
  | { readonly kind: 'none' }
  /** The audit outcome is durable already. */
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  /** The last byte and the end are held back until `finish` has resolved; when it rejects, or the stream fails, the connection is destroyed. */
  | {
      readonly kind: 'stream';
      readonly stream: AsyncIterable<Uint8Array>;
      readonly lengthBytes?: number;
      /** Closes the record of the request: how much was handed to the caller, and whether that is all. Called once. */
      finish(sent: { readonly bytes: number; readonly complete: boolean }): Promise<void>;
    };

/** On every answer: nothing of it may be kept, or guessed to be something else (reliability §2.5). */
export const FIXED_HEADERS = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' } as const;

/** Reason of a failure that no answer tells: the caller has gone. It is recorded with status 0. */
export const CALLER_GONE = 'caller_gone';
