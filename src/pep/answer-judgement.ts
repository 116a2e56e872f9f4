import { GatewayError } from '../errors.ts';
import type { Interaction, OperationInstance } from '../fhir/interaction.ts';
import { isJsonArray, isJsonObject, type JsonObject } from '../fhir/json.ts';
import { nameEntries } from '../upstream/bundle.ts';
import type { Upstream } from '../upstream/forward.ts';
import type { AnswerOptions } from './answer-options.ts';
import { isListing } from './entries.ts';
import { isFoundByOperation, judgeFound } from './found-by-operation.ts';
import { judgeListing } from './listing.ts';
import { shows } from './proof.ts';
import type { RequestRecord } from './record.ts';
import { redact } from './redact.ts';
import { reviewAnswer } from './review.ts';
import type { Permitted } from './stages.ts';

/**
 * What of a parsed answer may leave: the resource that was asked for, proved, filtered, redacted and reviewed, in this order.
 * @returns the same object when nothing was changed; `not-shown` for a resource that does not show its proof: a denial as any other
 * @throws GatewayError `upstream_failed` when the server did not do what it was asked, which is an alarm; `not_found` for a document of nothing
 */
export async function judgeRead(
  permitted: Permitted,
  record: RequestRecord,
  body: JsonObject,
  upstream: Upstream,
  options: AnswerOptions,
): Promise<JsonObject | 'not-shown'> {
  const { interaction, proofs, redacted } = permitted.verdict;
  if (isOfNothing(permitted, body)) {
    throw new GatewayError('not_found', 'the FHIR server answered with an empty document', { reason: 'not_at_custodian' });
  }
  if (isOfAnother(permitted, body)) {
    throw new GatewayError('upstream_failed', 'the FHIR server answered with another resource', {
      reason: 'upstream_other_resource',
    });
  }
  const isFound = isFoundByOperation(permitted, body);
  // Between the look-up and the answer it may have become another's.
  if (
    proofs.length > 0 &&
    !isListing(interaction) &&
    !isFound &&
    !shows(subjectOf(permitted, body), proofs, upstream.bases.upstream)
  )
    return 'not-shown';
  const { sealer, clock } = options;
  const listing = { sealer, nowMs: clock.now().getTime() };
  const listed = isListing(interaction)
    ? judgeListing(permitted, body, upstream.bases, listing)
    : isFound
      ? judgeFound(permitted, body, upstream.bases, listing)
      : body;
  const shown = redact(listed, redacted, permitted.authenticated.addressed.tenant.fhir.version);
  return nameEntries(await reviewAnswer(permitted, record, shown, options), upstream.bases);
}

/** A read gives the resource that was asked for, or nothing (attack case X9); a document is that of its first entry (real-servers.md §0.4). */
function isOfAnother(permitted: Permitted, body: JsonObject): boolean {
  const { interaction } = permitted.authenticated;
  if (interaction.kind !== 'read' && interaction.kind !== 'vread' && !isDocument(interaction)) return false;
  const { resourceType, id } = subjectOf(permitted, body);
  return resourceType !== interaction.type || id !== interaction.id;
}

/** What an answer is about: of a document its first entry. */
function subjectOf({ authenticated: { interaction } }: Permitted, body: JsonObject): JsonObject {
  if (!isDocument(interaction)) return body;
  const { resourceType, type, entry } = body;
  const first = resourceType === 'Bundle' && type === 'document' && isJsonArray(entry) ? entry[0] : undefined;
  const resource = isJsonObject(first) ? first['resource'] : undefined;
  return isJsonObject(resource) ? resource : {};
}

/** Some servers answer `$document` of what does not exist with 200 and a document without entries (real-servers.md §0.4). */
function isOfNothing({ authenticated: { interaction } }: Permitted, { resourceType, type, entry }: JsonObject): boolean {
  if (!isDocument(interaction)) return false;
  return resourceType === 'Bundle' && type === 'document' && (entry === undefined || (isJsonArray(entry) && entry.length === 0));
}

function isDocument(interaction: Interaction): interaction is OperationInstance {
  return interaction.kind === 'operation-instance' && interaction.type === 'Composition' && interaction.operation === '$document';
}
