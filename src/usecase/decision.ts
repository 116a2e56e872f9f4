/** Why. The code is the operator's; a caller learns it only where `public` says so. */
export interface Reason {
  /** snake_case, stable. */
  readonly code: string;
  /** In words, without personal data. */
  readonly text?: string;
  /** What the caller may learn beyond `access_denied`; only where the caller's own live grant names the path. */
  readonly public?: 'user_context_required' | 'assurance_level_too_low';
}

/** Whose data a permit is about, and how that is known. */
export interface PatientContext {
  /** `Patient/…` at the custodian. */
  readonly reference: string;
  readonly proof: 'path' | 'parameter' | 'body' | 'grant' | 'look-up';
}

/** A condition of a permit. One that the gate does not know is a deny. */
export type Obligation =
  /** The write is judged against what is stored by the use case's `writes[guard]`, and rebuilt from its verdict. */
  | { readonly kind: 'guard-write'; readonly guard: string }
  /** The answer is shown to the use case's `reviews[review]` before it leaves. */
  | { readonly kind: 'review'; readonly review: string }
  /** Facts for the audit entry: ids and codes only. */
  | { readonly kind: 'audit'; readonly attributes: Readonly<Record<string, string>> };

export interface Permit {
  readonly effect: 'permit';
  readonly reason: Reason;
  readonly obligations: readonly Obligation[];
  readonly patient?: PatientContext;
  /** The grant in the ledger by which this is permitted. */
  readonly grantId?: string;
  /** Ids of the credentials that were used. */
  readonly credentialIds?: readonly string[];
}

export interface Deny {
  readonly effect: 'deny';
  readonly reason: Reason;
}

export type Decision = Permit | Deny;

/**
 * A permit.
 * @example permit('granted', { grantId: grant.id, obligations: [{ kind: 'guard-write', guard: 'task' }] })
 */
export function permit(code: string, rest: Omit<Partial<Permit>, 'effect' | 'reason'> = {}): Permit {
  return { effect: 'permit', reason: { code }, obligations: [], ...rest };
}

/**
 * A denial: the caller gets 403 `access_denied`, the operator the code and the text.
 * @example deny('no_grant', 'no live grant names this path')
 */
export function deny(code: string, text?: string, shown?: Reason['public']): Deny {
  return {
    effect: 'deny',
    reason: { code, ...(text === undefined ? {} : { text }), ...(shown === undefined ? {} : { public: shown }) },
  };
}
