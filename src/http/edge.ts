import { GatewayError } from '../errors.ts';
import { parseHeaders, type HeaderLookup } from './edge-headers.ts';

/** What `node:http` hands over, untouched: a plain object, so that tests need no socket. */
export interface RawRequest {
  readonly method: string;
  readonly url: string;
  /** As in the request line: `1.1`. */
  readonly httpVersion: string;
  /** Names and values in turn, as they came. */
  readonly rawHeaders: readonly string[];
  /** Of the socket. */
  readonly remoteAddress: string;
}

export interface EdgeLimits {
  readonly maxHeaders: number;
  readonly maxHeaderBytes: number;
}

/** Reliability sheet §2.5: 64 headers, 16 kB. */
export const DEFAULT_EDGE_LIMITS: EdgeLimits = { maxHeaders: 64, maxHeaderBytes: 16 * 1024 };

/** A request whose framing and headers can be read in one way only. Its target is still to be parsed. */
export interface EdgeRequest {
  /** One of the methods that FHIR has, exact case; OPTIONS is left to the path. */
  readonly method: string;
  readonly target: string;
  readonly headers: HeaderLookup;
  readonly remoteAddress: string;
  /** Whether a body follows; then either `contentLength` says how long it is, or it is chunked. */
  readonly hasBody: boolean;
  readonly contentLength?: number;
}

const METHODS: readonly string[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];
const KNOWN_METHODS: ReadonlySet<string> = new Set([...METHODS, 'OPTIONS']);
const WITHOUT_BODY: ReadonlySet<string> = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS']);

const LAST_PORT = 65_535;

/**
 * Judges a request as it came off the wire, before anything else reads it: what two parsers might read in two ways is refused, and the
 * connection closed where its framing is in doubt.
 *
 * @throws GatewayError `bad_request`, `invalid_header` (400), `method_not_allowed` (405), `expectation_failed` (417, RFC 9110 §10.1.1), `headers_too_large` (431)
 */
export function judgeEdge(request: RawRequest, limits: EdgeLimits = DEFAULT_EDGE_LIMITS): EdgeRequest {
  // HTTP/1.0 has no chunked coding and no Host, HTTP/0.9 and 2.0 in a request line are nonsense that node:http lets through.
  if (request.httpVersion !== '1.1') throw inDoubt('bad_request', 'HTTP version is not 1.1');
  const headers = parseHeaders(request.rawHeaders, limits);
  if (!KNOWN_METHODS.has(request.method) || request.url === '*') {
    throw new GatewayError('method_not_allowed', 'method is none of FHIR', { allow: METHODS, close: true });
  }
  judgeHost(headers.get('host'));
  judgeConnection(headers);
  const { method, url, remoteAddress } = request;
  return { method, target: url, headers, remoteAddress, ...judgeFraming(method, headers) };
}

// RFC 9112 §3.2: exactly one Host. Which host it may be is decided where the tenant is known.
function judgeHost(host: string | undefined): void {
  if (host === undefined) throw inDoubt('invalid_header', 'Host is missing', 'Host');
  const parts = /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([1-9][0-9]{0,4}))?$/.exec(host);
  if (parts === null || Number(parts[1] ?? 1) > LAST_PORT)
    throw inDoubt(
      'invalid_header',
      'Host is malformed; it must be a name or an address, and at most a port of 1 to 65535',
      'Host',
    );
}

function judgeConnection(headers: HeaderLookup): void {
  const connection = headers.get('connection');
  if (connection !== undefined && connection !== 'keep-alive' && connection !== 'close') {
    // Naming an end-to-end header here asks a later hop to delete it (attack case H1).
    for (const option of connection.toLowerCase().split(',')) {
      const name = option.trim();
      if (name !== 'keep-alive' && name !== 'close') throw inDoubt('invalid_header', 'Connection names a header', 'Connection');
    }
  }
  if (headers.has('upgrade')) throw inDoubt('invalid_header', 'no upgrade is on offer', 'Upgrade');
  const expect = headers.get('expect');
  if (expect !== undefined && expect.toLowerCase() !== '100-continue')
    throw inDoubt('expectation_failed', 'must be 100-continue, or absent', 'Expect');
}

interface Framing {
  readonly hasBody: boolean;
  readonly contentLength?: number;
}

// RFC 9112 §6.3, without any of its leniency.
function judgeFraming(method: string, headers: HeaderLookup): Framing {
  const coding = headers.get('transfer-encoding');
  const length = headers.get('content-length');
  if (coding === undefined && length === undefined) return { hasBody: false };
  if (coding !== undefined && length !== undefined) throw inDoubt('bad_request', 'two framings', 'Transfer-Encoding');
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') {
    throw inDoubt('bad_request', 'transfer coding is not just chunked', 'Transfer-Encoding');
  }
  if (length !== undefined && !/^(?:0|[1-9][0-9]{0,14})$/.test(length)) {
    throw inDoubt('bad_request', 'length is not a plain number', 'Content-Length');
  }
  const contentLength = length === undefined ? undefined : Number(length);
  const hasBody = contentLength !== 0;
  if (hasBody && WITHOUT_BODY.has(method)) throw inDoubt('bad_request', `${method} has no body`, 'Content-Length');
  return contentLength === undefined ? { hasBody } : { hasBody, contentLength };
}

function inDoubt(
  code: 'bad_request' | 'invalid_header' | 'expectation_failed',
  problem: string,
  field = 'request',
): GatewayError {
  return new GatewayError(code, problem, { fields: [{ field, problem }], close: true });
}
