import { Readable } from 'node:stream';
import { Pool, type Dispatcher } from 'undici';
import type { CanonicalRequest } from '../fhir/print-interaction.ts';
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import { createBreaker } from '../outbound/breaker.ts';
import { errorCode, transportFault } from '../outbound/fault.ts';
import { discard } from '../outbound/pinned.ts';
import { tlsOptions } from '../outbound/tls.ts';
import type { Tenant } from '../tenant/tenant.ts';
import { upstreamHeaders } from './headers.ts';
import { createLogin } from './login.ts';
import { requestWhole, type BreakOff, type WholeResponse } from './whole.ts';

/** One tenant's connections to its FHIR server. */
export interface Connection {
  /** @throws GatewayError `upstream_failed`, `upstream_timeout` */
  send(request: UpstreamRequest): Promise<Dispatcher.ResponseData>;
  /** The same for an answer that is held whole; `request.signal` plays no part. @throws GatewayError as `send`, for what comes before the answer */
  sendWhole(request: UpstreamRequest, maxBytes: number, breakOff: BreakOff): Promise<WholeResponse>;
  close(): Promise<void>;
}

/** What goes upstream, built from the judged model by `printInteraction`, never from what came in. */
export interface UpstreamRequest {
  readonly method: CanonicalRequest['method'];
  /** Below the FHIR base, with a leading slash or empty. */
  readonly path: string;
  /** Without the question mark; empty where there is none. */
  readonly query: string;
  /** Lower-case names; what is not on the list is left out. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array | Readable;
  /** Ends the call and the body; with a `GatewayError` as its reason, that is thrown. */
  readonly signal?: AbortSignal;
}

/** Creates the pool, the login and the breaker of one tenant's FHIR server. */
export function createConnection(tenant: Tenant, clock: Clock): Connection {
  const { fhir, limits } = tenant;
  const base = new URL(fhir.url);
  const prefix = base.pathname.replace(/\/$/, '');
  const login = createLogin(fhir, clock);
  const pool = new Pool(base.origin, {
    connections: Math.min(64, limits.concurrentRequests),
    pipelining: 1,
    // Most servers close after 5 s of silence: be earlier.
    keepAliveTimeout: 4_000,
    maxHeaderSize: 16 * 1024,
    maxResponseSize: limits.maxAnswerBytes,
    headersTimeout: fhir.timeoutMs,
    bodyTimeout: fhir.timeoutMs,
    allowH2: false,
    connect: { ...tlsOptions(fhir.tls), timeout: Math.min(5_000, fhir.timeoutMs) },
  });
  const breaker = createBreaker({
    clock,
    isFailure: () => true,
    refusal: (retryAfterSeconds) =>
      new GatewayError('upstream_failed', 'the FHIR server failed repeatedly and is left alone for a moment', {
        retryAfterSeconds,
        outage: true,
      }),
  });

  const optionsOf = (request: UpstreamRequest, authorization: string | undefined): Dispatcher.DispatchOptions => {
    const headers = upstreamHeaders(request.headers);
    headers['accept-encoding'] = 'identity';
    if (authorization !== undefined) headers['authorization'] = authorization;
    return {
      method: request.method,
      path: prefix + request.path + (request.query === '' ? '' : `?${request.query}`),
      headers,
      body: request.body ?? null,
    };
  };

  /** How one attempt is made, and its answer thrown away. */
  interface Way<Answer> {
    readonly attempt: (options: Dispatcher.DispatchOptions) => Promise<Answer>;
    readonly discard: (answer: Answer) => void;
    /** What ends the call from outside. */
    readonly ending: Ending | undefined;
  }

  // One function, and no helper that awaits in between: each costs on every request.
  const exchange = async <Answer extends { readonly statusCode: number }>(
    request: UpstreamRequest,
    way: Way<Answer>,
  ): Promise<Answer> => {
    breaker.enter();
    let answer: Answer;
    try {
      const header = login.header();
      const options = optionsOf(request, typeof header === 'object' ? await header : header);
      answer = await way.attempt(options).catch((error: unknown) => {
        // A kept connection that the server closed just now. A read may go again; whether a write arrived is not known.
        if (request.method !== 'GET' || transportFault(error) !== 'reset' || way.ending?.aborted === true) throw error;
        return way.attempt(options);
      });
      if (answer.statusCode === 401 && login.refresh() && request.method === 'GET') {
        way.discard(answer);
        answer = await way.attempt(optionsOf(request, await login.header()));
      }
    } catch (error) {
      if (!isOurs(error, way.ending, request.body)) breaker.failed();
      throw connectionError(error, way.ending);
    }
    const { statusCode: status } = answer;
    // 500 is not counted: some requests make some servers answer it, and one caller must not close the gate for all.
    if (status === 502 || status === 503 || status === 504) breaker.failed();
    else breaker.succeeded();
    const fault = statusFault(status, request.headers);
    if (fault !== undefined) {
      way.discard(answer);
      throw new GatewayError('upstream_failed', `the FHIR server ${fault}`, { outage: true });
    }
    return answer;
  };

  return {
    send: (request) => {
      const { signal } = request;
      return exchange(request, {
        attempt: (options) => pool.request(signal === undefined ? options : { ...options, signal }),
        discard: ({ body }) => discard(body),
        ending: signal,
      });
    },
    sendWhole: (request, maxBytes, breakOff) =>
      exchange(request, {
        attempt: (options) => requestWhole(pool, options, maxBytes, breakOff),
        discard: () => undefined,
        ending: breakOff,
      }),
    async close() {
      await Promise.all([pool.destroy(), login.close()]);
    },
  };
}

/** What can end a call from outside: an `AbortSignal`, a `BreakOff`. */
interface Ending {
  readonly aborted: boolean;
  readonly reason: unknown;
}

/** An abort, an upload that its sender broke off, or a request that cannot be sent: none of them says anything about the server. */
function isOurs(error: unknown, ending: Ending | undefined, body: UpstreamRequest['body']): boolean {
  if (ending?.aborted === true || errorCode(error)?.startsWith('UND_ERR_INVALID_') === true) return true;
  return body instanceof Readable && body.errored !== null && body.errored === error;
}

function statusFault(status: number, headers: Readonly<Record<string, string>>): string | undefined {
  // Followed, it would lead our login, and the requester's data, anywhere (X8).
  if (status >= 300 && status < 400 && !(status === 304 && isConditionalRead(headers))) return `answered with ${status}`;
  if (status < 200 || status > 599) return `answered with ${status}`;
  if (status === 401 || status === 407) return 'refused the login of the tenant';
  return undefined;
}

function isConditionalRead(headers: Readonly<Record<string, string>>): boolean {
  return headers['if-none-match'] !== undefined || headers['if-modified-since'] !== undefined;
}

/** A transport's error as ours; the reason of an abort, where that is one of ours, goes on. */
export function connectionError(error: unknown, ending: Ending | undefined): GatewayError {
  if (error instanceof GatewayError) return error;
  if (ending?.aborted === true) {
    const { reason } = ending;
    if (reason instanceof GatewayError) return reason;
    return new GatewayError('upstream_failed', 'the call to the FHIR server was broken off', { cause: error, reason: 'aborted' });
  }
  const fault = transportFault(error);
  if (fault === 'timeout')
    return new GatewayError('upstream_timeout', 'the FHIR server did not answer in time', { cause: error, outage: true });
  const problem = `the FHIR server gave no answer (${errorCode(error) ?? fault})`;
  return new GatewayError('upstream_failed', problem, { cause: error, outage: true });
}
