import { parseETag, printETag } from '../fhir/etag.ts';
import { FHIR_JSON, FHIR_XML } from '../fhir/media.ts';
import { httpDateMs } from './conditional-read.ts';
import type { RequestRecord } from './record.ts';
import { FIXED_HEADERS } from './reply.ts';

/** How every JSON answer is called. */
export const JSON_CONTENT = `${FHIR_JSON}; charset=utf-8`;
/** How every XML answer is called. */
export const XML_CONTENT = `${FHIR_XML}; charset=utf-8`;

/** Ours, and of the custodian's only what is on the list and can be read (attack case X23). */
export function passedHeaders(record: RequestRecord, theirs: ReadonlyMap<string, string>): Record<string, string> {
  const headers: Record<string, string> = { ...FIXED_HEADERS, 'x-request-id': record.received.correlationId };
  const version = versionIn(theirs.get('etag'));
  if (version !== undefined) headers['etag'] = printETag(version);
  return Object.assign(headers, dateOf(theirs.get('last-modified')));
}

/** The custodian's `Last-Modified`, where it is a date. */
export function dateOf(modified: string | undefined): Readonly<Record<string, string>> {
  return modified === undefined || httpDateMs(modified) === undefined ? {} : { 'last-modified': modified };
}

const RETRY_AFTER_S = { least: 1, usual: 5, most: 30 } as const;

/** After how many seconds the custodian's server wants to be asked again, within bounds; a date, or what cannot be read, is the usual time (reliability §4.5). */
export function retryAfterOf(theirs: ReadonlyMap<string, string>): number {
  const said = theirs.get('retry-after') ?? '';
  if (!/^\d{1,9}$/.test(said)) return RETRY_AFTER_S.usual;
  return Math.min(RETRY_AFTER_S.most, Math.max(RETRY_AFTER_S.least, Number(said)));
}

export function versionIn(etag: string | undefined): string | undefined {
  return etag === undefined ? undefined : parseETag(etag);
}

const MEDIA_TYPE = /^[a-z0-9][a-z0-9!#$&^_.+-]{0,126}\/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}(?:; ?charset=[A-Za-z0-9._-]{1,40})?$/i;

// The stored type of a Binary; one that cannot be read, or that a browser would run, is bytes.
export function rawContentType(type: string | undefined): string {
  if (type === undefined || !MEDIA_TYPE.test(type) || /html|xml|script/i.test(type)) return 'application/octet-stream';
  return type;
}

export function plainLength(text: string | undefined): number | undefined {
  return text !== undefined && /^(?:0|[1-9]\d{0,14})$/.test(text) ? Number(text) : undefined;
}
