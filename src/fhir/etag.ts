import { GatewayError } from '../errors.ts';
import { isId } from './version.ts';

/**
 * The version that a request's `If-Match` names: exactly one weak tag, `W/"3"` (http.html, "Managing Resource Contention"). Servers read
 * a star, a list or a strong tag in different ways, so none of these goes on.
 * @throws GatewayError `invalid_header` (400)
 */
export function parseIfMatch(value: string): string {
  const versionId = parseETag(value);
  if (versionId === undefined || !value.startsWith('W/')) throw invalid('If-Match');
  return versionId;
}

/**
 * The version that a request's `If-None-Match` names, or `*`.
 * @throws GatewayError `invalid_header` (400)
 */
export function parseIfNoneMatch(value: string): string {
  if (value === '*') return value;
  const versionId = parseETag(value);
  if (versionId === undefined) throw invalid('If-None-Match');
  return versionId;
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

function invalid(field: string): GatewayError {
  const problem = 'must be one weak entity tag such as W/"3"';
  return new GatewayError('invalid_header', `${field} ${problem}`, { fields: [{ field, problem }] });
}
