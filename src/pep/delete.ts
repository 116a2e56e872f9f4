import { GatewayError } from '../errors.ts';
import { printETag } from '../fhir/etag.ts';
import { FHIR_JSON } from '../fhir/media.ts';
import { printInteraction } from '../fhir/print-interaction.ts';
import { discard } from './answer-body.ts';
import type { AnswerOptions } from './answer-options.ts';
import { answerWritten } from './answer.ts';
import { refuseUnready, type Named, type Prepared } from './prepared.ts';
import type { RequestRecord } from './record.ts';
import { refuseRejected } from './refusal.ts';
import type { Reply } from './reply.ts';
import type { Permitted } from './stages.ts';
import { readStored, staleCode, storedFault, versionFault, wantedVersion } from './stored.ts';

/** Holds a delete against what is stored: as for a change, what is not there or another's is a denial. */
export async function prepareDelete(
  permitted: Permitted,
  wanted: string | undefined,
  record: RequestRecord,
  options: AnswerOptions,
  named: Named = {},
): Promise<Prepared> {
  const stored = await readStored(permitted, record, options);
  if (stored === undefined) return { outcome: 'denied', reason: 'stored_not_there' };
  const unready = storedFault(permitted, stored.resource) ?? versionFault(permitted, wanted, stored);
  return unready ?? { outcome: 'ready', sent: { ...named, interaction: permitted.verdict.interaction, ifMatch: stored.version } };
}

/** Deletes what a rule permits, in the version that was looked at. @throws GatewayError for refusals and failures */
export async function answerDelete(permitted: Permitted, record: RequestRecord, options: AnswerOptions): Promise<Reply> {
  const { tenant } = permitted.authenticated.addressed;
  const wanted = wantedVersion(permitted);
  await record.intent();
  const prepared = await prepareDelete(permitted, wanted, record, options);
  if (prepared.outcome !== 'ready') return refuseUnready(permitted, prepared, record);
  const { interaction, ifMatch } = prepared.sent;
  const { method, path, query } = printInteraction(interaction);
  const answer = await options.upstream(tenant).forward({
    method,
    path,
    query,
    headers: { accept: FHIR_JSON, ...(ifMatch === undefined ? {} : { 'if-match': printETag(ifMatch) }) },
  });
  discard(answer.body);
  switch (answer.status) {
    case 200:
    case 202:
    case 204:
    case 404:
    case 410:
      // Also where it went while we looked: what was asked for holds (http.html#delete).
      return answerWritten(record, 204, {});
    case 409:
      // Others refer to it, or it has changed.
      return refuseRejected(record, 'conflict', 'upstream_conflict');
    case 412:
      return refuseRejected(record, staleCode(tenant), 'changed_meanwhile');
    case 400:
    case 422:
      return refuseRejected(record, 'unprocessable', 'upstream_rejected');
    default:
      throw new GatewayError('upstream_failed', `the FHIR server answered a delete with ${String(answer.status)}`, {
        reason: `upstream_status_${String(answer.status)}`,
      });
  }
}
