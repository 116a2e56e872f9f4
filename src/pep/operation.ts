import { GatewayError } from '../errors.ts';
import { FHIR_JSON } from '../fhir/media.ts';
import { printInteraction } from '../fhir/print-interaction.ts';
import { discard, readJson } from './answer-body.ts';
import { judgeRead } from './answer-judgement.ts';
import type { AnswerOptions } from './answer-options.ts';
import { answerResource, answerWritten } from './answer.ts';
import type { RequestRecord } from './record.ts';
import { refuseRejected } from './refusal.ts';
import type { Reply } from './reply.ts';
import type { Permitted } from './stages.ts';
import { staleCode } from './stored.ts';

/**
 * Carries out an operation by POST. It may change something, so that its intent is durable before it goes up, and it is sent once (attack case C24).
 * @throws GatewayError for failures
 */
export async function answerOperation(permitted: Permitted, record: RequestRecord, options: AnswerOptions): Promise<Reply> {
  await record.intent();
  const { tenant } = permitted.authenticated.addressed;
  const upstream = options.upstream(tenant);
  const { method, path, query, input } = printInteraction(permitted.verdict.interaction);
  const headers: Record<string, string> = { accept: FHIR_JSON };
  for (const [name, value] of Object.entries(permitted.verdict.requestHeaders)) if (value !== null) headers[name] = value;
  if (input !== undefined) headers['content-type'] = FHIR_JSON;
  const answer = await upstream.forward({ method, path, query, headers, ...(input === undefined ? {} : { body: input }) });
  if (answer.status !== 200) discard(answer.body);
  switch (answer.status) {
    case 200:
      break;
    case 204:
      return answerWritten(record, 204, {});
    case 400:
    case 422:
      return refuseRejected(record, 'unprocessable', 'upstream_rejected');
    case 409:
      return refuseRejected(record, 'conflict', 'upstream_conflict');
    case 412:
      return refuseRejected(record, staleCode(tenant), 'upstream_conflict');
    case 404:
    case 410:
      throw new GatewayError('not_found', 'the FHIR server does not have it', { reason: 'not_at_custodian' });
    default:
      throw new GatewayError('upstream_failed', `the FHIR server answered an operation with ${String(answer.status)}`, {
        reason: `upstream_status_${String(answer.status)}`,
      });
  }
  const body = await readJson(answer, options.maxReviewBytes);
  const judged = await judgeRead(permitted, record, body, upstream, options);
  // It has happened: a denial would say that it has not.
  if (judged === 'not-shown')
    throw new GatewayError('upstream_failed', 'the answer to an operation does not show its proof', {
      reason: 'answer_unproved',
    });
  return answerResource(permitted, record, judged, new Map(), upstream);
}
