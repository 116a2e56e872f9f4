import { Pool } from 'undici';
import { GatewayError, type ErrorCode } from '../errors.ts';
import { errorCode, transportFault } from './fault.ts';
import type { TlsOptions } from './tls.ts';

/** A client for one origin of the configuration: small answers, read whole, within a deadline; redirects are failures. */
export interface PinnedClient {
  /** @throws GatewayError with the client's code when there is no usable answer; a status below 300 or above 399 is an answer. */
  call(request: PinnedRequest): Promise<PinnedAnswer>;
  close(): Promise<void>;
}

export interface PinnedRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Below the base, with the query: `/internal/auth/v1/…`. */
  readonly path: string;
  /** Sent as they are: no client adds `; charset` to a content type. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** For all of it: connection, headers and body. */
  readonly timeoutMs: number;
  /** Default 256 kB. */
  readonly maxBytes?: number;
}

export interface PinnedAnswer {
  readonly status: number;
  /** Of a header that came twice: undefined. */
  header(name: string): string | undefined;
  readonly body: Buffer;
}

export interface PinnedOptions {
  /** Base URL, no trailing slash. */
  readonly url: string;
  readonly tls?: TlsOptions;
  readonly connections?: number;
  /** What it is, for messages: `the Nuts node`. */
  readonly name: string;
  /** The code of failures, and of a deadline that passed. */
  readonly failed: ErrorCode;
  readonly timedOut: ErrorCode;
  readonly retryAfterSeconds?: number;
}

const DEFAULT_MAX_BYTES = 256 * 1024;

/** Creates the client. Connections are kept alive and shared by its calls. */
export function createPinnedClient(options: PinnedOptions): PinnedClient {
  const { name, failed, timedOut, retryAfterSeconds } = options;
  const base = new URL(options.url);
  const prefix = base.pathname.replace(/\/$/, '');
  const pool = new Pool(base.origin, {
    connections: options.connections ?? 50,
    pipelining: 1,
    keepAliveTimeout: 4_000,
    maxHeaderSize: 16 * 1024,
    allowH2: false,
    connect: { ...options.tls, timeout: 2_000 },
  });
  const failure = (code: ErrorCode, problem: string, cause?: unknown): GatewayError =>
    new GatewayError(code, `${name} ${problem}`, {
      ...(cause === undefined ? {} : { cause }),
      ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
    });

  return {
    async call({ method, path, headers, body, timeoutMs, maxBytes = DEFAULT_MAX_BYTES }) {
      // undici's own timers tick in seconds; one deadline over everything also ends a drip.
      const deadline = new AbortController();
      const timer = setTimeout(() => deadline.abort(), timeoutMs);
      try {
        const answer = await pool.request({
          method,
          path: prefix + path,
          headers: { accept: 'application/json', 'accept-encoding': 'identity', ...headers },
          body: body ?? null,
          signal: deadline.signal,
          headersTimeout: 0,
          bodyTimeout: 0,
        });
        const fault = headerFault(answer.statusCode, answer.headers, maxBytes);
        if (fault !== undefined) {
          discard(answer.body);
          throw failure(failed, fault);
        }
        const chunks: Buffer[] = [];
        let bytes = 0;
        for await (const chunk of answer.body as AsyncIterable<Buffer>) {
          bytes += chunk.length;
          // Leaving the loop destroys the body and its connection.
          if (bytes > maxBytes) throw failure(failed, 'answered with too much');
          chunks.push(chunk);
        }
        const [first] = chunks;
        return {
          status: answer.statusCode,
          header: (header) => {
            const value = answer.headers[header];
            return typeof value === 'string' ? value : undefined;
          },
          body: chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks),
        };
      } catch (error) {
        if (error instanceof GatewayError) throw error;
        if (deadline.signal.aborted) throw failure(timedOut, `did not answer within ${timeoutMs} ms`, error);
        const fault = transportFault(error);
        throw failure(fault === 'timeout' ? timedOut : failed, `could not be reached (${errorCode(error) ?? fault})`, error);
      } finally {
        clearTimeout(timer);
      }
    },
    close: () => pool.destroy(),
  };
}

function headerFault(
  status: number,
  headers: Readonly<Record<string, string | string[] | undefined>>,
  maxBytes: number,
): string | undefined {
  if (status >= 300 && status < 400) return `answered with a redirect (${status})`;
  if (Number(headers['content-length'] ?? 0) > maxBytes) return 'answered with too much';
  const encoding = headers['content-encoding'];
  return encoding === undefined || encoding === 'identity' ? undefined : 'answered with an encoding that was not asked for';
}

/** Throws an answer's body away, with its connection. */
export function discard(body: { on(event: 'error', listener: () => void): unknown; destroy(): unknown }): void {
  body.on('error', () => undefined);
  body.destroy();
}
