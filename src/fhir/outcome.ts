import type { ErrorCode } from '../errors.ts';
import type { FhirVersion } from './version.ts';

/** The codes of `issue-type` (valueset-issue-type.html) that Sluis uses; they are the same in STU3 and R4. */
export type IssueCode =
  | 'invalid'
  | 'structure'
  | 'required'
  | 'login'
  | 'forbidden'
  | 'not-supported'
  | 'not-found'
  | 'too-long'
  | 'business-rule'
  | 'conflict'
  | 'transient'
  | 'timeout'
  | 'throttled'
  | 'exception';

/** What an outcome says. Only words of our own: nothing of the upstream's text, nothing of the request. */
export interface OutcomeOptions {
  readonly issueCode: IssueCode;
  readonly version: FhirVersion;
  /** For `details.text`: a stable code such as `access_denied`. */
  readonly text?: string;
  /** The correlation id of the request. */
  readonly diagnostics?: string;
  /** FHIRPath of the elements at fault. */
  readonly expression?: readonly string[];
  /** What is wrong and what is allowed, in words of our own: an issue of severity `information`. */
  readonly hint?: string;
}

/** An OperationOutcome; its shape is the same in STU3 and R4. */
export interface OperationOutcome {
  readonly resourceType: 'OperationOutcome';
  readonly issue: readonly OutcomeIssue[];
}

/** One issue, as it stands in the resource. */
export interface OutcomeIssue {
  readonly severity: 'fatal' | 'error' | 'information';
  readonly code: IssueCode | 'informational';
  readonly details?: { readonly text: string };
  readonly diagnostics?: string;
  readonly expression?: readonly string[];
}

/** A fresh OperationOutcome with one issue of severity `error` (`fatal` where something failed), and perhaps one that helps to mend it. */
export function operationOutcome(options: OutcomeOptions): OperationOutcome {
  const { issueCode, text, diagnostics, expression, hint } = options;
  return {
    resourceType: 'OperationOutcome',
    issue: [
      {
        severity: issueCode === 'exception' ? 'fatal' : 'error',
        code: issueCode,
        ...(text === undefined ? {} : { details: { text } }),
        ...(diagnostics === undefined ? {} : { diagnostics }),
        ...(expression === undefined || expression.length === 0 ? {} : { expression }),
      },
      ...(hint === undefined ? [] : [{ severity: 'information', code: 'informational', details: { text: hint } } as const]),
    ],
  };
}

// eoverdracht.md §6.7.
const ISSUE_CODES: Readonly<Record<ErrorCode, IssueCode>> = {
  bad_request: 'invalid',
  invalid_target: 'invalid',
  invalid_header: 'invalid',
  invalid_parameter: 'invalid',
  invalid_body: 'structure',
  token_missing: 'login',
  token_invalid: 'login',
  not_found: 'not-found',
  method_not_allowed: 'not-supported',
  request_timeout: 'timeout',
  not_acceptable: 'not-supported',
  body_too_large: 'too-long',
  target_too_long: 'too-long',
  unsupported_media_type: 'not-supported',
  expectation_failed: 'not-supported',
  misdirected: 'invalid',
  too_many_requests: 'throttled',
  headers_too_large: 'too-long',
  forbidden: 'forbidden',
  conflict: 'conflict',
  precondition_failed: 'conflict',
  unprocessable: 'business-rule',
  precondition_required: 'required',
  internal: 'exception',
  upstream_failed: 'exception',
  node_unavailable: 'transient',
  audit_unavailable: 'transient',
  overloaded: 'throttled',
  unavailable: 'transient',
  upstream_timeout: 'timeout',
};

/** The issue code that goes with an error code. */
export function issueCodeOf(code: ErrorCode): IssueCode {
  return ISSUE_CODES[code];
}
