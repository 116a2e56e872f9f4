/**
 * One error class and a closed list of codes. A code may reach the caller, a message and a cause are the operator's.
 * A denial of the policy is no error: it is returned as a `Decision`.
 */
export const ERROR_CODES = {
  // The gateway cannot tell who or what: refused.
  bad_request: 400,
  invalid_target: 400,
  invalid_header: 400,
  invalid_parameter: 400,
  invalid_body: 400,
  token_missing: 401,
  token_invalid: 401,
  not_found: 404,
  method_not_allowed: 405,
  not_acceptable: 406,
  request_timeout: 408,
  body_too_large: 413,
  target_too_long: 414,
  unsupported_media_type: 415,
  expectation_failed: 417,
  misdirected: 421,
  too_many_requests: 429,
  headers_too_large: 431,
  // Permitted, but the state or the content does not allow it: rejected.
  forbidden: 403,
  conflict: 409,
  precondition_failed: 412,
  unprocessable: 422,
  precondition_required: 428,
  // Something failed.
  internal: 500,
  upstream_failed: 502,
  node_unavailable: 503,
  audit_unavailable: 503,
  overloaded: 503,
  unavailable: 503,
  upstream_timeout: 504,
} as const;

/** A stable code; its HTTP status stands in `ERROR_CODES`. */
export type ErrorCode = keyof typeof ERROR_CODES;

export interface GatewayErrorOptions {
  readonly cause?: unknown;
  /** A stable code, finer than the error's own, that the API gives as `code` (`not_anonymous`, `transition_not_allowed`); snake_case. */
  readonly reason?: string;
  /** Seconds after which the caller may try again (`Retry-After`). */
  readonly retryAfterSeconds?: number;
  /** For 401: what `WWW-Authenticate` asks for, where that is not what the code alone says. */
  readonly challenge?: string;
  /** For 405. */
  readonly allow?: readonly string[];
  /** For 415 of a PATCH: the media types that it takes, for `Accept-Patch`. */
  readonly acceptPatch?: readonly string[];
  /** Where the fault is, in the caller's own words (a JSON path, a header or parameter name): may reach the caller. */
  readonly fields?: readonly FieldProblem[];
  /** The whole server is away or too busy, whatever it was asked for: a caller may be told so without learning anything of a record. */
  readonly outage?: boolean;
  /** Connection state is in doubt: close it after the answer. */
  readonly close?: boolean;
}

/** One fault of an input: which field, what is wrong, what is allowed. */
export interface FieldProblem {
  readonly field: string;
  readonly problem: string;
}

/** A failure or refusal on its way to the one place that turns it into an answer (`pep/refusal.ts`, `http/problem.ts`). */
export class GatewayError extends Error {
  override readonly name = 'GatewayError';
  readonly code: ErrorCode;
  readonly options: GatewayErrorOptions;

  constructor(code: ErrorCode, message: string, options: GatewayErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.options = options;
  }

  /** The HTTP status of the code. */
  get status(): number {
    return ERROR_CODES[this.code];
  }
}
