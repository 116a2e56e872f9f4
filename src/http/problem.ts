import { STATUS_CODES } from 'node:http';
import type { ErrorRequestHandler, Request, Response } from 'express';
import { ERROR_CODES, GatewayError, type ErrorCode, type FieldProblem } from '../errors.ts';
import type { Logger } from '../log.ts';

/** An error of the API as its caller sees it (RFC 9457, `application/problem+json`). */
export interface Problem {
  /** `urn:sluis:problem:` and the code. */
  readonly type: string;
  /** What the HTTP status means. */
  readonly title: string;
  readonly status: number;
  /** Stable, snake_case; all of them stand in the API description. */
  readonly code: string;
  /** What the code means, for people. */
  readonly detail: string;
  /** Which inputs are at fault, and what is allowed. */
  readonly fields?: readonly FieldProblem[];
  /** The `X-Request-Id` of this answer. */
  readonly correlationId: string;
}

/** What each code means, in the words of the API description. */
export type ProblemTexts = ReadonlyMap<string, string>;

const MAX_FIELDS = 20;

/** The problem of a failure. Its message and cause are the operator's and never in it (`errors.ts`). */
export function toProblem(error: GatewayError, correlationId: string, texts: ProblemTexts): Problem {
  const code = error.options.reason ?? error.code;
  const title = STATUS_CODES[error.status] ?? 'Error';
  const fields = error.options.fields?.slice(0, MAX_FIELDS) ?? [];
  return {
    type: `urn:sluis:problem:${code}`,
    title,
    status: error.status,
    code,
    detail: texts.get(code) ?? texts.get(error.code) ?? title,
    ...(fields.length === 0 ? {} : { fields }),
    correlationId,
  };
}

/** The last handler of the internal listener: everything thrown becomes one problem, and the operator learns why. */
export function createProblemHandler(texts: ProblemTexts, logger: Logger): ErrorRequestHandler {
  return (thrown: unknown, request: Request, response: Response, _next) => {
    const error = toGatewayError(thrown);
    const correlationId = correlationOf(response);
    const level = error.status >= 500 ? 'error' : 'info';
    logger[level](
      {
        correlationId,
        method: request.method,
        code: error.options.reason ?? error.code,
        err: error.status >= 500 ? error : undefined,
      },
      `the API answered ${error.status}: ${error.message}`,
    );
    if (response.headersSent) {
      response.destroy();
      return;
    }
    if (error.options.retryAfterSeconds !== undefined) response.set('Retry-After', String(error.options.retryAfterSeconds));
    if (error.options.allow !== undefined) response.set('Allow', error.options.allow.join(', '));
    if (error.options.close === true) response.set('Connection', 'close');
    if (error.status === 401) {
      response.set(
        'WWW-Authenticate',
        error.code === 'token_missing' ? 'Bearer realm="sluis"' : 'Bearer realm="sluis", error="invalid_token"',
      );
    }
    response
      .status(error.status)
      .type('application/problem+json')
      .json(toProblem(error, correlationId, texts));
  };
}

/** The id that the caller got; the first middleware set it. */
export function correlationOf(response: Response): string {
  return String(response.getHeader('x-request-id') ?? '');
}

const BY_STATUS: ReadonlyMap<number, ErrorCode> = new Map<number, ErrorCode>([
  [400, 'bad_request'],
  [404, 'not_found'],
  [405, 'method_not_allowed'],
  [406, 'not_acceptable'],
  [413, 'body_too_large'],
  [415, 'unsupported_media_type'],
]);

/** What libraries throw (the body reader, the router, the validator) as one of our own; anything unknown is `internal`. */
function toGatewayError(thrown: unknown): GatewayError {
  if (thrown instanceof GatewayError) return thrown;
  if (typeof thrown !== 'object' || thrown === null) return new GatewayError('internal', 'something that is no error was thrown');
  const status = 'status' in thrown && typeof thrown.status === 'number' ? thrown.status : 500;
  const message = thrown instanceof Error ? thrown.message : 'without a message';
  const code = BY_STATUS.get(status);
  if (code === undefined || ERROR_CODES[code] !== status) return new GatewayError('internal', message, { cause: thrown });
  const fields = 'errors' in thrown && Array.isArray(thrown.errors) ? readFaults(thrown.errors) : readUnknownParameter(thrown);
  return new GatewayError(codeOfFaults(code, fields), message, {
    cause: thrown,
    ...(fields.length === 0 ? {} : { fields: fields.map(({ field, problem }) => ({ field, problem })) }),
    ...(status === 405 ? { allow: readAllow(thrown) } : {}),
  });
}

interface Fault extends FieldProblem {
  readonly place: string;
}

/** The validator's errors: `{path: '/body/receivers/0/organization', message}`; a path from the description itself is no place of the caller's. */
function readFaults(errors: readonly unknown[]): readonly Fault[] {
  const found = new Map<string, Fault>();
  for (const error of errors) {
    if (typeof error !== 'object' || error === null || !('path' in error) || !('message' in error)) continue;
    if (typeof error.path !== 'string' || typeof error.message !== 'string') continue;
    // The error of the branch says more than "must match "then" schema".
    if ('errorCode' in error && error.errorCode === 'if.openapi.validation') continue;
    const [, place = '', ...names] = error.path.split('/').map(unescapePointer);
    if (!['body', 'query', 'headers', 'params'].includes(place)) continue;
    const fault = { place, field: printPlace(place, names), problem: say(error.message) };
    const known = found.get(fault.field);
    if (known === undefined) found.set(fault.field, fault);
    else if (!known.problem.split('; ').includes(fault.problem)) {
      found.set(fault.field, { ...known, problem: `${known.problem}; ${fault.problem}` });
    }
  }
  return [...found.values()];
}

/** The validator names an unknown or empty parameter in `path` and `message` only: `/query/nam`. */
function readUnknownParameter(thrown: object): readonly Fault[] {
  if (!('path' in thrown) || typeof thrown.path !== 'string' || !thrown.path.startsWith('/query/')) return [];
  const empty = 'message' in thrown && typeof thrown.message === 'string' && thrown.message.startsWith('Empty');
  return [
    { place: 'query', field: thrown.path.slice('/query/'.length), problem: empty ? 'must not be empty' : 'is not known here' },
  ];
}

function codeOfFaults(code: ErrorCode, faults: readonly Fault[]): ErrorCode {
  if (code !== 'bad_request') return code;
  const places = new Set(faults.map((fault) => fault.place));
  if (places.has('body')) return 'invalid_body';
  if (places.has('headers')) return 'invalid_header';
  return places.size > 0 ? 'invalid_parameter' : code;
}

/** `receivers[0].organization`, `limit`, `Idempotency-Key`. */
function printPlace(place: string, names: readonly string[]): string {
  if (place === 'headers') return names.map((name) => name.replaceAll(/(^|-)[a-z]/g, (letter) => letter.toUpperCase())).join('-');
  const path = names.map((name) => (/^\d+$/.test(name) ? `[${name}]` : `.${name}`)).join('');
  return path === '' ? place : path.replace(/^\./, '');
}

function say(message: string): string {
  if (message.startsWith('must have required property')) return 'is required';
  if (/^must NOT have (additional|unevaluated) properties/.test(message)) return 'is not known here';
  return message;
}

function unescapePointer(part: string): string {
  return part.replaceAll('~1', '/').replaceAll('~0', '~');
}

function readAllow(thrown: object): readonly string[] {
  const headers: unknown = 'headers' in thrown ? thrown.headers : undefined;
  if (typeof headers !== 'object' || headers === null || !('Allow' in headers)) return [];
  return String(headers.Allow).toUpperCase().split(', ');
}
