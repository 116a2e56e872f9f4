import { GatewayError } from '../errors.ts';
import { isJsonArray, isJsonObject, type JsonObject, type JsonValue } from '../fhir/json.ts';
import type { PermitVerdict } from '../pdp/decide.ts';
import type { Bases } from '../upstream/rewrite.ts';
import type { ListingOptions } from './listing.ts';
import { sealLinks } from './page-links.ts';
import { shows } from './proof.ts';
import type { Permitted } from './stages.ts';

/** Whether an operation was answered by a Bundle of what it found: a document is one thing, and judged by its first entry. */
export function isFoundByOperation({ verdict: { interaction } }: Permitted, { resourceType, type }: JsonObject): boolean {
  return 'operation' in interaction && resourceType === 'Bundle' && type !== 'document';
}

/**
 * What an operation found, as it may leave: every entry shows the proofs of the rule or is the patient, and pages are links of ours. Some servers take a parameter of
 * an operation, and do not heed it (real-servers.md §1.5): whatever the request was judged by, they answer with what others have.
 * @throws GatewayError `upstream_failed` when an entry does not show its proof, or when there are further pages of an operation by POST, which no link can name
 */
export function judgeFound(
  { authenticated, verdict }: Permitted,
  bundle: JsonObject,
  bases: Bases,
  options: ListingOptions,
): JsonObject {
  const { interaction, proofs } = verdict;
  const { total, link: links, entry = [], ...rest } = bundle;
  if (!isJsonArray(entry)) throw unproved('the entries of the answer are no list');
  if (proofs.length > 0) for (const each of entry) insistOnProof(each, verdict, bases);
  const link = sealLinks(links, {
    sealer: options.sealer,
    tenant: authenticated.addressed.tenant,
    verdict,
    page: authenticated.continuation?.page ?? 0,
    bases,
    asked: authenticated.continuation?.cursor.path,
    nowMs: options.nowMs,
  });
  const hasMore = link.some(({ relation }) => relation === 'next');
  if (hasMore && 'method' in interaction && interaction.method === 'POST')
    throw new GatewayError('upstream_failed', 'the answer to an operation by POST has further pages', {
      reason: 'operation_has_pages',
    });
  // It may count what the server found beyond the patient (attack case X12).
  const isTold = total !== undefined && (proofs.length === 0 || (!hasMore && authenticated.continuation === undefined));
  return {
    ...rest,
    ...(isTold ? { total } : {}),
    ...(links === undefined ? {} : { link }),
    ...(entry.length === 0 ? {} : { entry }),
  };
}

function insistOnProof(entry: JsonValue, { proofs, patient }: PermitVerdict, { upstream }: Bases): void {
  const resource = isJsonObject(entry) ? entry['resource'] : undefined;
  if (!isJsonObject(resource)) throw unproved('an entry of the answer has no resource');
  const { resourceType, id } = resource;
  if (resourceType === 'Patient' && typeof id === 'string' && `Patient/${id}` === patient?.reference) return;
  if (!shows(resource, proofs, upstream)) throw unproved('the operation found what does not show its proof');
}

function unproved(problem: string): GatewayError {
  return new GatewayError('upstream_failed', problem, { reason: 'answer_unproved' });
}
