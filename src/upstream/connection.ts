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

/** One tenant's connections to its FHIR server. */
export interface Connection {
  /** @throws GatewayError `upstream_failed`, `upstream_timeout` */
  send(request: UpstreamRequest): Promise<Dispatcher.ResponseData>;
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
      }),
  });

  const attempt = async (request: UpstreamRequest, authorization: string | undefined): Promise<Dispatcher.ResponseData> => {
    const headers = upstreamHeaders(request.headers);
    headers['accept-encoding'] = 'identity';
    if (authorization !== undefined) headers['authorization'] = authorization;
    return pool.request({
      method: request.method,
      path: prefix + request.path + (request.query === '' ? '' : `?${request.query}`),
      headers,
      body: request.body ?? null,
      ...(request.signal === undefined ? {} : { signal: request.signal }),
    });
  };

  const exchange = async (request: UpstreamRequest): Promise<Dispatcher.ResponseData> => {
    const header = login.header();
    const authorization = typeof header === 'object' ? await header : header;
    let answer: Dispatcher.ResponseData;
    try {
      answer = await attempt(request, authorization);
    } catch (error) {
      // A kept connection that the server closed just now. A read may go again; whether a write arrived is not known.
      if (request.method !== 'GET' || transportFault(error) !== 'reset' || request.signal?.aborted === true) throw error;
      answer = await attempt(request, authorization);
    }
    if (answer.statusCode !== 401 || !login.refresh() || request.method !== 'GET') return answer;
    discard(answer.body);
    return attempt(request, await login.header());
  };

  return {
    async send(request) {
      breaker.enter();
      let answer: Dispatcher.ResponseData;
      try {
        answer = await exchange(request);
      } catch (error) {
        if (!isOurs(error, request)) breaker.failed();
        throw connectionError(error, request.signal);
      }
      const { statusCode: status } = answer;
      // 500 is not counted: some requests make some servers answer it, and one caller must not close the gate for all.
      if (status === 502 || status === 503 || status === 504) breaker.failed();
      else breaker.succeeded();
      const fault = statusFault(status, request.headers);
      if (fault !== undefined) {
        discard(answer.body);
        throw new GatewayError('upstream_failed', `the FHIR server ${fault}`);
      }
      return answer;
    },
    async close() {
      await Promise.all([pool.destroy(), login.close()]);
    },
  };
}

/** An abort, an upload that its sender broke off, or a request that cannot be sent: none of them says anything about the server. */
function isOurs(error: unknown, { signal, body }: UpstreamRequest): boolean {
  if (signal?.aborted === true || errorCode(error)?.startsWith('UND_ERR_INVALID_') === true) return true;
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
export function connectionError(error: unknown, signal: AbortSignal | undefined): GatewayError {
  if (error instanceof GatewayError) return error;
  if (signal?.aborted === true) {
    const reason: unknown = signal.reason;
    if (reason instanceof GatewayError) return reason;
    return new GatewayError('upstream_failed', 'the call to the FHIR server was broken off', { cause: error, reason: 'aborted' });
  }
  const fault = transportFault(error);
  if (fault === 'timeout')
    return new GatewayError('upstream_timeout', 'the FHIR server did not answer in time', { cause: error });
  return new GatewayError('upstream_failed', `the FHIR server gave no answer (${errorCode(error) ?? fault})`, { cause: error });
}
