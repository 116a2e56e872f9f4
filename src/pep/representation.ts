import { printJson, type JsonObject } from '../fhir/json.ts';
import { prefersRepresentation } from '../fhir/prefer.ts';
import { rewriteBody } from '../upstream/rewrite.ts';
import { raise } from './alarm.ts';
import { JSON_CONTENT } from './answer-headers.ts';
import { judgeRead } from './answer-judgement.ts';
import type { AnswerOptions } from './answer-options.ts';
import { answerWritten } from './answer.ts';
import type { RequestRecord } from './record.ts';
import type { Reply } from './reply.ts';
import type { Permitted } from './stages.ts';

export interface RepresentationOptions extends AnswerOptions {
  /** Of one resource that is written. */
  readonly maxResourceBytes: number;
  /** The caller's own right to read a resource now: judged as the read that it would send; undefined without it. */
  mayRead(permitted: Permitted, record: RequestRecord, type: string, id: string): Promise<Permitted | undefined>;
}

/** What was written, as far as it is known. */
export interface Written {
  readonly type: string;
  readonly id: string;
  /** As the server stored it; absent: it is read. */
  readonly resource?: JsonObject;
}

/**
 * The answer to a write that has happened: with what was written where the caller prefers that and may read it, and then what a read would give it, else
 * without a body (attack case H36).
 */
export async function answerRepresentation(
  permitted: Permitted,
  record: RequestRecord,
  answer: { readonly status: number; readonly headers: Readonly<Record<string, string>>; readonly written: Written | undefined },
  options: RepresentationOptions,
): Promise<Reply> {
  const { status, headers, written } = answer;
  const { received } = permitted.authenticated.addressed;
  const isWanted = written !== undefined && prefersRepresentation(received.headers.get('prefer'));
  const shown = isWanted ? await readableOf(permitted, record, written, options) : undefined;
  if (shown === undefined) return answerWritten(record, status, headers);
  const { bases } = options.upstream(permitted.authenticated.addressed.tenant);
  const bytes = rewriteBody(Buffer.from(printJson(shown)), bases);
  return answerWritten(record, status, { ...headers, 'content-type': JSON_CONTENT }, bytes);
}

/** It is written whatever happens here: a caller that was told of a failure would write it again. */
async function readableOf(
  permitted: Permitted,
  record: RequestRecord,
  { type, id, resource }: Written,
  options: RepresentationOptions,
): Promise<JsonObject | undefined> {
  const { tenant } = permitted.authenticated.addressed;
  try {
    const reading = await options.mayRead(permitted, record, type, id);
    if (reading === undefined) return undefined;
    const upstream = options.upstream(tenant);
    const stored = resource ?? (await upstream.store.read(type, id))?.resource;
    const judged = stored === undefined ? 'not-shown' : await judgeRead(reading, record, stored, upstream, options);
    return judged === 'not-shown' ? undefined : judged;
  } catch (error) {
    const { correlationId } = record.received;
    raise(error, record, options.metrics);
    options.logger.error({ module: 'pep', tenant: tenant.id, correlationId, err: error }, 'what was written could not be shown');
    return undefined;
  }
}
