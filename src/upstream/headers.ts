import { GatewayError } from '../errors.ts';
import { printETag } from '../fhir/etag.ts';
import { isId } from '../fhir/version.ts';
import { resourceAtEnd } from './bundle.ts';
import { rewriteHeader, type Bases } from './rewrite.ts';

// What may go upstream besides what the gate sets itself (`host`, `accept-encoding`, its own login).
const REQUEST_HEADERS: ReadonlySet<string> = new Set([
  'accept',
  'accept-language',
  'cache-control',
  'content-type',
  'if-match',
  'if-modified-since',
  'if-none-exist',
  'if-none-match',
  'prefer',
  'traceparent',
  'x-request-id',
  'x-sluis-lookup',
]);

const ANSWER_HEADERS: readonly string[] = ['content-type', 'content-length', 'etag', 'last-modified'];
const LOCATIONS: readonly string[] = ['location', 'content-location'];

/** The headers that go upstream: lower-case names on the list, nothing else. `authorization` is never among them. */
export function upstreamHeaders(headers: Readonly<Record<string, string>>): Record<string, string> {
  const allowed: Record<string, string> = {};
  for (const name in headers) {
    const value = headers[name];
    if (value !== undefined && REQUEST_HEADERS.has(name)) allowed[name] = value;
  }
  return allowed;
}

/**
 * What of an answer's headers is known further on: the list, `ETag` also where only `Content-Location` names the version, and `Location` and
 * `Content-Location` in our words or not at all.
 * @throws GatewayError `upstream_failed` for what says in two ways how to read the body
 */
export function answerHeaders(raw: Readonly<Record<string, string | string[] | undefined>>, bases: Bases): Map<string, string> {
  const encoding = raw['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') throw unreadable('has an encoding that was not asked for');
  const headers = new Map<string, string>();
  for (const name of ANSWER_HEADERS) {
    const value = raw[name];
    if (typeof value === 'string') headers.set(name, value);
    else if (value !== undefined) throw unreadable(`has ${name} twice`);
  }
  const retryAfter = raw['retry-after'];
  if (typeof retryAfter === 'string') headers.set('retry-after', retryAfter);
  const version = headers.has('etag') ? undefined : versionIn(raw['content-location']);
  if (version !== undefined) headers.set('etag', printETag(version));
  for (const name of LOCATIONS) {
    const value = raw[name];
    const rewritten = typeof value === 'string' ? (rewriteHeader(value, bases) ?? namedAtEnd(value, bases)) : undefined;
    if (rewritten !== undefined) headers.set(name, rewritten);
  }
  return headers;
}

/** A server that calls itself otherwise than it is called here names its resources all the same. */
function namedAtEnd(value: string, bases: Bases): string | undefined {
  const named = resourceAtEnd(value);
  if (named === undefined) return undefined;
  const { type, id, versionId } = named;
  return `${bases.public}/${type}/${id}${versionId === undefined ? '' : `/_history/${versionId}`}`;
}

/** The version that a `Content-Location` or `Location` ends with: some servers are set to send no `ETag`. */
export function versionIn(location: string | string[] | undefined): string | undefined {
  const version = typeof location === 'string' ? /\/_history\/([^/?#]+)$/.exec(location)?.[1] : undefined;
  return version !== undefined && isId(version) ? version : undefined;
}

function unreadable(problem: string): GatewayError {
  return new GatewayError('upstream_failed', `the FHIR server's answer ${problem}`);
}
