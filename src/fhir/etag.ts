import { GatewayError } from '../errors.ts';
import { isId } from './version.ts';

/**
 * The version that a request's `If-Match` names: exactly one tag, `W/"3"` (http.html, "Managing Resource Contention"), or `"3"`, which many clients send and
 * servers take (real-servers.md §1.2): a version of FHIR is compared as a whole either way. Servers read a star or a list in different ways, so neither goes on.
 * @throws GatewayError `invalid_header` (400)
 */
export function parseIfMatch(value: string): string {
  const versionId = parseETag(value);
  if (versionId === undefined) throw invalid('If-Match', 'must be one entity tag such as W/"3"');
  return versionId;
}

/**
 * The version that `ifNoneMatch` of a Bundle's entry names, or `*`.
 * @throws GatewayError `invalid_header` (400)
 */
export function parseIfNoneMatch(value: string): string {
  if (value === '*') return value;
  const versionId = parseETag(value);
  if (versionId === undefined) throw invalid('If-None-Match', 'must be one entity tag such as W/"3", or *');
  return versionId;
}

const MAX_TAGS = 32;

/**
 * The versions that a request's `If-None-Match` lists, at least one, or `*` (RFC 9110 §13.1.2).
 * @throws GatewayError `invalid_header` (400)
 */
export function parseIfNoneMatchList(value: string): readonly string[] | '*' {
  if (value === '*') return value;
  // A version has no comma in it; empty elements of a list are ignored (RFC 9110 §5.6.1.2).
  const tags = value
    .split(',', MAX_TAGS + 1)
    .map((tag) => tag.trim())
    .filter((tag) => tag !== '');
  const versions = tags.flatMap((tag) => parseETag(tag) ?? []);
  if (versions.length === 0 || versions.length !== tags.length || versions.length > MAX_TAGS)
    throw invalid('If-None-Match', `must be at most ${String(MAX_TAGS)} entity tags such as W/"3", or *`);
  return versions;
}

/** The version in an `ETag` of an answer: `W/"3"` or `"3"`; undefined when it is anything else. */
export function parseETag(value: string): string | undefined {
  const start = value.startsWith('W/"') ? 3 : 1;
  if (!value.startsWith('"', start - 1) || !value.endsWith('"')) return undefined;
  const versionId = value.slice(start, -1);
  return isId(versionId) ? versionId : undefined;
}

/** The tag of a version: `W/"3"`. */
export function printETag(versionId: string): string {
  return `W/"${versionId}"`;
}

function invalid(field: string, problem: string): GatewayError {
  return new GatewayError('invalid_header', `${field} ${problem}`, { fields: [{ field, problem }] });
}
