import { GatewayError } from '../errors.ts';

/** Headers read once, by lower-case name. A Map and never an object, so that `__proto__` is a name like any other. */
export type HeaderLookup = ReadonlyMap<string, string>;

interface HeaderLimits {
  readonly maxHeaders: number;
  readonly maxHeaderBytes: number;
}

/** Lists by definition (RFC 9110 §5.3): several lines are one value. Every other name may occur once. */
const LISTS: ReadonlySet<string> = new Set([
  'accept',
  'accept-charset',
  'accept-encoding',
  'accept-language',
  'baggage',
  'cache-control',
  'connection',
  'cookie',
  'forwarded',
  'pragma',
  'prefer',
  'te',
  'trailer',
  'tracestate',
  'via',
  'warning',
]);

/** Another method than the one in the request line is never honoured: nobody behind the edge gets to see these. */
const DROPPED: ReadonlySet<string> = new Set(['x-http-method-override', 'x-http-method', 'x-method-override']);

const NAME = /^[!#$%&'*+.^`|~0-9A-Za-z-]+$/;
const VALUE = /^[\t -~\u0080-\u00ff]*$/;

/**
 * Walks raw headers once.
 * @throws GatewayError `invalid_header` (400): a name with an underscore, which CGI-style servers read as a hyphen (attack case H7), a
 *   control character, a name twice that is no list; `headers_too_large` (431). All close the connection
 */
export function parseHeaders(rawHeaders: readonly string[], limits: HeaderLimits): HeaderLookup {
  if (rawHeaders.length > limits.maxHeaders * 2) throw tooLarge('too many headers');
  const headers = new Map<string, string>();
  let bytes = 0;
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const rawName = rawHeaders[index] ?? '';
    const value = rawHeaders[index + 1] ?? '';
    // The colon, the blank and the line end count too.
    bytes += rawName.length + value.length + 4;
    if (bytes > limits.maxHeaderBytes) throw tooLarge('headers too long');
    if (!NAME.test(rawName)) throw invalid(describe(rawName), 'has a name that is not allowed');
    const name = rawName.toLowerCase();
    if (!VALUE.test(value)) throw invalid(describe(rawName), 'has a control character');
    if (DROPPED.has(name)) continue;
    const before = headers.get(name);
    if (before === undefined) headers.set(name, value);
    else if (LISTS.has(name) || name.startsWith('x-forwarded-')) headers.set(name, `${before}, ${value}`);
    else throw invalid(describe(rawName), 'occurs twice');
  }
  return headers;
}

function describe(name: string): string {
  return /^[A-Za-z0-9_-]{1,64}$/.test(name) ? name : 'a header';
}

function invalid(field: string, problem: string): GatewayError {
  return new GatewayError('invalid_header', `${field} ${problem}`, { fields: [{ field, problem }], close: true });
}

function tooLarge(problem: string): GatewayError {
  return new GatewayError('headers_too_large', problem, { close: true });
}
