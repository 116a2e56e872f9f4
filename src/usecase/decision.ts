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

/** A condition of a permit. One that the gate does not know, or that does not fit the interaction, is a deny. */
export type Obligation =
  /** The write is judged against what is stored by the use case's `writes[guard]`, and rebuilt from its verdict. */
  | { readonly kind: 'guard-write'; readonly guard: string }
  /** The write is compared with what is stored: only these elements may differ, and only by these steps. */
  | ({ readonly kind: 'guard-changes' } & ChangeGuard)
  /** A search parameter that is added to the request and proved on every entry of the answer. Two for one parameter are a deny. */
  | ({ readonly kind: 'narrow' } & Narrowing)
  /** Entries that the use case's `filters[filter]` does not keep do not leave, nor does a total. */
  | { readonly kind: 'filter'; readonly filter: string }
  /** Elements that do not leave, wherever the resource stands: `Patient.name`, `Observation.component.valueString`. What lost one is marked SUBSETTED. */
  | { readonly kind: 'redact'; readonly elements: readonly string[] }
  /** The largest page. */
  | { readonly kind: 'max-count'; readonly count: number }
  /** Sets (text) or strips (null) headers, by lower-case name; those of framing, login and audit are not the use case's. */
  | {
      readonly kind: 'headers';
      readonly request?: Readonly<Record<string, string | null>>;
      readonly response?: Readonly<Record<string, string | null>>;
    }
  /** The use case's `answers[answer]` answers instead of the custodian. */
  | { readonly kind: 'answer-locally'; readonly answer: string }
  /** The answer is shown to the use case's `reviews[review]` before it leaves. */
  | { readonly kind: 'review'; readonly review: string }
  /** Facts for the audit entry: ids and codes only. */
  | { readonly kind: 'audit'; readonly attributes: Readonly<Record<string, string>> };

/** What a search is narrowed to. */
export interface Narrowing {
  readonly parameter: string;
  /** ORed. A Reference as `Type/id`, a token as `system|code`. */
  readonly values: readonly string[];
  /** `subject`, `status`, `meta.tag`: where each entry of the answer shows it. */
  readonly element: string;
}

/** What a write may change of the stored resource. */
export interface ChangeGuard {
  /** Elements from the top (`status`, `note`, a choice as `value` or `valueQuantity`); `*`: all but `id`, `meta.security`, `meta.tag`, and `link` of persons. */
  readonly changed: readonly string[];
  /** Steps of code elements; a code that stays is none. What stands beside the code (`_status`) stays as it is. */
  readonly states?: readonly {
    readonly element: string;
    readonly steps: readonly { readonly from: string; readonly to: string }[];
  }[];
}

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

/** The `decide` of a use case whose rules say everything: conditions that are fixed, patient and all. */
export function permitByRule(): Permit {
  return permit('by_rule');
}
