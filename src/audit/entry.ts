/**
 * What is recorded of an access (NEN 7513; facts: who, what, whose, when, why, from where).
 *
 * - **intent**: written and durable before a byte about a person leaves, and before any write goes upstream.
 * - **outcome**: closes the intent of the same tenant and correlation id, and then repeats only what is new;
 *   one that closes nothing stands alone and carries all facts (refusals, denials).
 * - **event**: anything else worth keeping (a grant issued, a notification sent, a process started, the audit read).
 *
 * Never in an entry: a token, a proof, a BSN, a resource body, a query value.
 */
export type AuditEntry = AuditIntent | AuditOutcomeEntry | AuditEvent;

/** The four outcomes of the gateway (denied, refused, rejected, failed), plus the good one and the one that recovery writes. */
export type AuditOutcome = 'permitted' | 'denied' | 'refused' | 'rejected' | 'failed' | 'interrupted';

export const AUDIT_OUTCOMES: readonly AuditOutcome[] = ['permitted', 'denied', 'refused', 'rejected', 'failed', 'interrupted'];

/** Who, what, whose, when, why and from where, as far as verified. */
export interface AuditFacts {
  /** Absent when the request could not be addressed to a tenant: those go to a chain of their own. */
  readonly tenant?: string;
  /** The `X-Request-Id` that the caller got. */
  readonly correlationId: string;
  /** Tells apart several intents of one request (a look-up, a step of a job); absent for the request itself. */
  readonly part?: string;
  readonly at: Date;
  /** The peer, after trusted proxies were taken into account. */
  readonly remoteAddress?: string;
  /** The organisation asking, verified; never a claimed one. */
  readonly requester?: AuditOrganization;
  /** The person asking; absent for a system. */
  readonly user?: AuditUser;
  readonly clientCertificate?: AuditCertificate;
  /** Purpose of use (v1) or scope (v2) of the token. */
  readonly purpose?: string;
  readonly useCase?: string;
  /** The role of the use case that judged. */
  readonly role?: string;
  /** The rule of the role that matched. */
  readonly rule?: string;
  /** `read`, `update`, `operation:document`, `notify` … */
  readonly interaction?: string;
  /** Canonical path below the FHIR base, or of the inbound route: names of query parameters may be in it, values never. */
  readonly path?: string;
  /** Ids of the credentials that the decision used. */
  readonly credentials?: readonly string[];
  /** Id of the grant that the decision used. */
  readonly grant?: string;
  /** Reference to the patient, from the ledger or a look-up (`Patient/…`), never a BSN. */
  readonly patient?: string;
  /** How it is known whose data it is: `path`, `parameter`, `body`, `grant`, `look-up`. */
  readonly patientProof?: string;
  /** Ids of the use case, such as `task` and `transfer`. */
  readonly attributes?: Readonly<Record<string, string>>;
  /** First 128 bits of the token's SHA-256, hexadecimal. */
  readonly tokenHash?: string;
  /** Thumbprint (RFC 7638, SHA-256, base64url) of the key that the token is bound to and that the caller proved to hold (DPoP). */
  readonly keyThumbprint?: string;
}

/** An organisation by DID (or URA), with the name that its credential gives. */
export interface AuditOrganization {
  readonly id: string;
  readonly name?: string;
}

export interface AuditUser {
  readonly id: string;
  readonly name?: string;
  readonly role?: string;
  /** Assurance level: `low`, `substantial`, `high`. */
  readonly level?: string;
}

export interface AuditCertificate {
  readonly subject: string;
  readonly serial?: string;
}

export type AuditIntent = AuditFacts & { readonly phase: 'intent' };

export type AuditOutcomeEntry = AuditFacts & {
  readonly phase: 'outcome';
  readonly outcome: AuditOutcome;
  /** The reason in words, for what was denied: names of fields and rules, never a value of the caller's. */
  readonly why?: string;
  /** HTTP status that the caller got; 0 when no answer was sent. */
  readonly status: number;
  /** The operator's code for why. */
  readonly reason: string;
  /** Body bytes that left. */
  readonly bytes?: number;
  readonly durationMs?: number;
  /** False when the answer broke off in the middle: what left counts as disclosed. */
  readonly complete?: boolean;
  /** Version of the resource that left or was written. */
  readonly resourceVersion?: string;
};

export type AuditEvent = AuditFacts & {
  readonly phase: 'event';
  readonly outcome: AuditOutcome;
  /** `grant-issued`, `grant-revoked`, `notification-sent`, `process-start`, `process-stop`, `audit-read`, `apikey-created` … */
  readonly event: string;
  readonly reason?: string;
};
