import type { InteractionKind } from '../fhir/interaction.ts';
import type { Obligation } from './decision.ts';

// What a role may ask, as data. From it come the judgement of every request (`pdp/rules.ts`), the table in the documentation, the role's
// CapabilityStatement and the contract tests.

/**
 * One line of what a role may ask at all. What no line matches is denied before the use case's own code is asked. A conditional write needs a line for itself,
 * whose `parameters` are the criteria, and is then judged by the lines for the search that it begins with and the write that it comes to.
 */
export interface Rule {
  /** Unique in its role, lower case with hyphens: it stands in logs, the audit trail and `explain`. */
  readonly id: string;
  /** For people, in one line. */
  readonly title?: string;
  readonly interaction: InteractionKind;
  /** Exact types; empty for what has none (`search-system`, `bundle`, `capabilities`, system operations). */
  readonly types: readonly string[];
  /** For the operation kinds: the name without `$`. */
  readonly operation?: string;
  /** Of those that a search or an operation has; absent: both of a search, GET of an operation. HEAD counts as GET. */
  readonly methods?: readonly ('GET' | 'POST')[];
  /** Ids that the request may name: `granted` where a live grant names path and operation; absent: any, the rest of the rule or the use case's code judges. */
  readonly instance?: 'granted' | readonly string[];
  /** By the name side as written, modifier included (`name:exact`, `_profile`, `_include:iterate`). One that stands nowhere in the rule is a denial. */
  readonly parameters?: Readonly<Record<string, ParameterRule>>;
  readonly includes?: IncludeRule;
  readonly revincludes?: IncludeRule;
  /** Whose data the request is about, and how that is proved. */
  readonly patient?: PatientRule;
  /** Whether a natural person must, or must not, be proven; absent: either. */
  readonly user?: 'required' | 'forbidden';
  /** Added to the canonical request, and proved on every entry of the answer. */
  readonly narrow?: readonly NarrowRule[];
  /** The largest page: `_count` is lowered to it, and added where it is absent. */
  readonly maxCount?: number;
  /** For update, patch and delete: 428 without `If-Match`. */
  readonly ifMatch?: 'required';
  /** Conditions of every permit by this rule, besides those of the use case's code. */
  readonly obligations?: readonly Obligation[];
}

/** What the values of a parameter must be. Without `optional` it must be there. */
export type ParameterRule = (
  | { readonly any: true }
  /** Once, one value, one of these. */
  | { readonly oneOf: readonly string[] }
  /** Every value of every repetition is one of these. */
  | { readonly subsetOf: readonly string[] }
  /** Exactly these: the repetitions are ANDed, the values of one are ORed; the order says nothing. */
  | { readonly equals: readonly (readonly string[])[] }
  /** Every value matches, whole: the expression is anchored. */
  | { readonly pattern: RegExp }
  /** Once, a whole number, both ends included. */
  | { readonly range: readonly [minimum: number, maximum: number] }
) & { readonly optional?: true };

/** Complete `_include` (or `_revinclude`) values: `Observation:subject` means all targets and is not `Observation:subject:Patient`. */
export interface IncludeRule {
  /** `exact`: all of `values` must be asked for and nothing else; `subset`: any of them, or none. */
  readonly match: 'exact' | 'subset';
  readonly values: readonly string[];
  /** Types that come along by them. An included entry of another type does not leave; an included Patient must be the patient of the request. */
  readonly types: readonly string[];
}

/** Where the patient of a request stands. */
export type PatientRule =
  /** The id of a request on a Patient, or the compartment's. */
  (
    | { readonly from: 'path' }
    /**
     * All of these that are present must name the same one patient, at least one must be there; sent on as `Patient/[id]` (`_id`: as the bare id). Each entry of the
     * answer proves at `element` that it is about that patient; of an operation's answer the patient itself may be one.
     */
    | { readonly from: 'parameter'; readonly parameters: readonly string[]; readonly element: string }
    /** The Reference at `element` of what a create or update brings; of an update the stored resource's too. No other patient may be referred to anywhere in it. */
    | { readonly from: 'body'; readonly element: string }
    /** The Reference at `element` of the stored resource, looked up before the decision and proved again on the answer, or on what is written. */
    | { readonly from: 'look-up'; readonly element: string }
    /** The patient of the live grant that names path and operation. */
    | { readonly from: 'grant' }
  ) & {
    /** Fixed: one of these, `Patient/…`. Absent: the use case's code judges `context.patient`. */
    readonly is?: readonly string[];
  };

/** A search parameter that the gate adds, and the element that proves on each entry of the answer that the server heeded it. */
export interface NarrowRule {
  readonly parameter: string;
  /** The patient of the request, or fixed values (ORed). */
  readonly with: 'patient' | readonly string[];
  /** `subject` (a Reference), `status` (a code), `meta.tag` (a Coding, compared as `system|code`). */
  readonly element: string;
}

/** A token claim that a policy may see: the name of a presentation definition's field. Any other claim does not exist for it. */
export interface ClaimRule {
  readonly type: 'string' | 'string-list' | 'number' | 'boolean';
  /** Without it a request is denied. */
  readonly required?: true;
  /** What a string, or each of a list, must match, whole. */
  readonly pattern?: RegExp;
}
