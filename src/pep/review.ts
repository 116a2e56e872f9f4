import { GatewayError } from '../errors.ts';
import type { JsonObject } from '../fhir/json.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { within } from '../pdp/deadline.ts';
import type { RequestRecord } from './record.ts';
import type { Permitted } from './stages.ts';

export interface ReviewOptions {
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** An answer under review is held in memory; a larger one does not leave. */
  readonly maxReviewBytes: number;
  readonly reviewDeadlineMs: number;
}

/**
 * Shows an answer to the reviews that the permit asks for, one after the other.
 * @returns the same object when nothing was changed
 * @throws GatewayError `upstream_failed` (502) when one withholds it, and when one throws: it never leaves unreviewed (attack case X31)
 */
export async function reviewAnswer(
  permitted: Permitted,
  record: RequestRecord,
  answer: JsonObject,
  options: ReviewOptions,
): Promise<JsonObject> {
  const { request, information, reviews, selected } = permitted.verdict;
  let body = answer;
  for (const review of reviews) {
    let verdict: unknown;
    try {
      const reviewing = review.review({ request, body }, selected.config, information);
      verdict = reviewing instanceof Promise ? await within(options.reviewDeadlineMs, reviewing) : reviewing;
    } catch (cause) {
      throw alarm(record, options, review.name, 'review_failed', cause);
    }
    if (!isVerdict(verdict)) throw alarm(record, options, review.name, 'review_malformed');
    if (verdict.outcome === 'withhold') throw alarm(record, options, review.name, verdict.reason ?? 'withheld');
    if (verdict.outcome === 'replace') {
      if (verdict.body === undefined) throw alarm(record, options, review.name, 'review_malformed');
      body = verdict.body;
    }
  }
  return body;
}

/** As far as can be seen at run time. */
interface SeenVerdict {
  readonly outcome: 'pass' | 'replace' | 'withhold';
  readonly body?: JsonObject;
  readonly reason?: string;
}

function isVerdict(value: unknown): value is SeenVerdict {
  if (typeof value !== 'object' || value === null || !('outcome' in value)) return false;
  return value.outcome === 'pass' || value.outcome === 'replace' || value.outcome === 'withhold';
}

function alarm(record: RequestRecord, options: ReviewOptions, review: string, reason: string, cause?: unknown): GatewayError {
  const tenant = record.tenant?.id ?? '';
  options.metrics.alarms.inc({ tenant, kind: 'answer_withheld' });
  const { correlationId } = record.received;
  options.logger.error({ module: 'pep', tenant, correlationId, review, reason, err: cause }, 'an answer was withheld');
  return new GatewayError('upstream_failed', `the answer was withheld by ${review}`, {
    reason,
    ...(cause === undefined ? {} : { cause }),
  });
}
