import { parseETag, parseIfNoneMatchList } from '../fhir/etag.ts';
import type { PermitVerdict } from '../pdp/decide.ts';
import { isListing } from './entries.ts';
import type { Permitted } from './stages.ts';

const HTTP_DATE = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;

/** A date of HTTP in its one form (RFC 9110 §5.6.7), in milliseconds; undefined for anything else. */
export function httpDateMs(text: string | undefined): number | undefined {
  const ms = text !== undefined && HTTP_DATE.test(text) ? Date.parse(text) : NaN;
  return Number.isNaN(ms) ? undefined : ms;
}

/** The versions that the caller has, by `If-None-Match`. @throws GatewayError `invalid_header` (400) */
export function knownVersions(headers: ReadonlyMap<string, string>): readonly string[] | '*' | undefined {
  const condition = headers.get('if-none-match');
  return condition === undefined ? undefined : parseIfNoneMatchList(condition);
}

/** Whether what leaves may be something else than what came: then the custodian's tag is not its tag (attack case X24). */
export function mayChange({ interaction, reviews, filters, redacted, proofs }: PermitVerdict): boolean {
  return reviews.length > 0 || filters.length > 0 || redacted.length > 0 || proofs.length > 0 || isListing(interaction);
}

/**
 * Whether the caller has what a read would give it: 304 (http.html, "conditional read"; RFC 9110 §13.1.2, §13.1.3, §13.2.2). Asked only of what was judged and
 * proved, so that nobody learns by it what a read would not tell. `If-Modified-Since` counts where there is no `If-None-Match`, and one that is no date does not.
 * What was changed on its way has no version, only that it is there (attack case X24).
 * @param headers those that the 200 would have: without tag and date where its content is not what came
 */
export function isUnchanged({ authenticated, verdict }: Permitted, headers: Readonly<Record<string, string>>): boolean {
  const asked = authenticated.addressed.received.headers;
  if (!asked.has('if-none-match') && !asked.has('if-modified-since')) return false;
  const { kind } = verdict.interaction;
  if (kind !== 'read' && kind !== 'vread' && kind !== 'capabilities') return false;
  const known = knownVersions(asked);
  if (known === '*') return true;
  if (known !== undefined) {
    const current = headers['etag'] === undefined ? undefined : parseETag(headers['etag']);
    return current !== undefined && known.includes(current);
  }
  const modified = httpDateMs(headers['last-modified']);
  const since = httpDateMs(asked.get('if-modified-since'));
  return modified !== undefined && since !== undefined && modified <= since;
}
