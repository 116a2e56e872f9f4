import { GatewayError } from '../errors.ts';
import { isJsonArray, isJsonObject, type JsonObject } from '../fhir/json.ts';
import type { Sealer } from '../sealing.ts';
import type { Bases } from '../upstream/rewrite.ts';
import { judgeEntries } from './entries.ts';
import { sealLinks } from './page-links.ts';
import { selfLinkSays } from './self-link.ts';
import type { Permitted } from './stages.ts';

export interface ListingOptions {
  readonly sealer: Sealer;
  readonly nowMs: number;
}

/**
 * A Bundle of finds as it may leave: every entry proved and kept, links of ours, and a total only where it tells of nothing that is hidden.
 * @throws GatewayError `upstream_failed` when the server did not do what it was asked
 */
export function judgeListing(
  { authenticated, verdict }: Permitted,
  bundle: JsonObject,
  bases: Bases,
  options: ListingOptions,
): JsonObject {
  const { entries, isFiltered } = judgeEntries(verdict, bundle, bases.upstream);
  const { continuation } = authenticated;
  const { interaction } = verdict;
  const isByGet = 'via' in interaction && interaction.via === 'query' && continuation === undefined;
  const said = isByGet ? selfLinkSays(bundle['link'], verdict) : 'absent';
  if (said === 'lacking') {
    throw new GatewayError('upstream_failed', 'the FHIR server has searched for something else', { reason: 'answer_unproved' });
  }
  const link = sealLinks(bundle['link'], {
    sealer: options.sealer,
    tenant: authenticated.addressed.tenant,
    verdict,
    page: continuation?.page ?? 0,
    bases,
    asked: continuation?.cursor.path,
    nowMs: options.nowMs,
  });
  const { total, link: _link, entry: _entry, ...rest } = bundle;
  const hasMore = link.some(({ relation }) => relation === 'next');
  const isWhole = continuation === undefined && !hasMore && total === matchesIn(entries);
  // Further pages may hold what a filter does not keep.
  const isOfKept = !isFiltered && (verdict.filters.length === 0 || isWhole);
  const isTold = total !== undefined && isOfKept && (verdict.proofs.length === 0 || said === 'proved' || isWhole);
  return {
    ...rest,
    ...(isTold ? { total } : {}),
    link,
    // FHIR's JSON has no empty lists.
    ...(entries.length === 0 ? {} : { entry: entries }),
  };
}

function matchesIn(entries: ReturnType<typeof judgeEntries>['entries']): number {
  return entries.filter((entry) => {
    const search = isJsonObject(entry) && !isJsonArray(entry) ? entry['search'] : undefined;
    return !isJsonObject(search) || search['mode'] !== 'include';
  }).length;
}
