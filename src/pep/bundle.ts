import type { AuditSink } from '../audit/sink.ts';
import { GatewayError } from '../errors.ts';
import { parseBundle, type RequestBundle } from '../fhir/bundle.ts';
import { printETag } from '../fhir/etag.ts';
import { parseJsonObject, type JsonObject } from '../fhir/json.ts';
import { printInteraction } from '../fhir/print-interaction.ts';
import { answerResource } from './answer.ts';
import type { AnswerOptions } from './answer-options.ts';
import { openRecord, type RequestRecord } from './record.ts';
import type { Reply } from './reply.ts';
import type { Authenticated, Permitted, Received } from './stages.ts';
import { statusText, type EntryRequest } from './bundle-entry.ts';
import { answerTransaction, type TransactionOptions } from './transaction.ts';

export interface BundleOptions extends AnswerOptions, TransactionOptions {
  readonly audit: AuditSink;
  readonly maxBundleBytes: number;
  /** Judges and carries out one entry of a batch as the request that it would be alone; always an answer. */
  alone(authenticated: Authenticated, record: RequestRecord): Promise<Reply>;
}

/**
 * Carries out a batch or transaction that a rule lets in: each entry is read as the same model as a request that comes alone, and judged as if it did (ADR 0012).
 * @throws GatewayError `invalid_body` (400), `body_too_large` (413), and for whatever fails
 */
export async function answerBundle(permitted: Permitted, record: RequestRecord, options: BundleOptions): Promise<Reply> {
  const { received, tenant } = permitted.authenticated.addressed;
  const bundle = parseBundle(parseJsonObject(await received.readBody(options.maxBundleBytes)), {
    version: tenant.fhir.version,
    base: `${tenant.publicUrl}/fhir`,
    maxEntries: tenant.limits.bundleEntries,
  });
  const requests = toRequests(permitted, bundle, options);
  return bundle.bundleType === 'transaction'
    ? answerTransaction(permitted, requests, record, options)
    : answerBatch(permitted, requests, record, options);
}

function toRequests({ authenticated }: Permitted, { entries }: RequestBundle, options: BundleOptions): readonly EntryRequest[] {
  const { addressed, caller } = authenticated;
  return entries.map((entry, index) => {
    const { interaction, resource, ifMatch } = entry;
    const received: Received = {
      ...seenOf(addressed.received),
      stage: 'received',
      method: printInteraction(interaction).method,
      target: addressed.received.target,
      headers: new Map(ifMatch === undefined ? [] : [['if-match', printETag(ifMatch)]]),
      hasBody: resource !== undefined,
      readBody: () => Promise.reject(new GatewayError('internal', 'an entry has no body of its own')),
      onGone: (listener) => {
        addressed.received.onGone(listener);
      },
    };
    const record = openRecord(received, options.audit, options.clock, options.metrics, `entry-${String(index + 1)}`);
    record.addressed(addressed.tenant);
    record.authenticated(caller);
    record.asks(interaction);
    return {
      entry,
      record,
      authenticated: {
        stage: 'authenticated',
        addressed: { ...addressed, received, interaction, segments: [], query: [] },
        interaction,
        caller,
        answer: 'json',
        body: () =>
          resource === undefined
            ? Promise.reject(new GatewayError('invalid_body', 'the entry has no resource'))
            : Promise.resolve(interaction.kind === 'update' ? resource : withoutId(resource)),
      },
    };
  });
}

function seenOf({ correlationId, remoteAddress }: Received): Pick<Received, 'correlationId' | 'remoteAddress' | 'startedMs'> {
  return { correlationId, remoteAddress, startedMs: performance.now() };
}

function withoutId(resource: JsonObject): JsonObject {
  const { id: _left, ...rest } = resource;
  return rest;
}

/** Entry after entry, each on its own; the answer holds as many as the question, in its order. */
async function answerBatch(
  permitted: Permitted,
  requests: readonly EntryRequest[],
  record: RequestRecord,
  options: BundleOptions,
): Promise<Reply> {
  await record.intent();
  const entry: JsonObject[] = [];
  let left = options.maxReviewBytes;
  for (const { authenticated, record: own } of requests) {
    const reply = await options.alone(authenticated, own);
    const bytes = await wholeBody(reply, left);
    left -= bytes.byteLength;
    entry.push(toEntry(reply, bytes));
  }
  const answer: JsonObject = { resourceType: 'Bundle', type: 'batch-response', entry };
  return answerResource(permitted, record, answer, new Map(), options.upstream(permitted.authenticated.addressed.tenant));
}

/** @throws GatewayError `upstream_failed` when all answers together are more than may be held */
async function wholeBody({ body }: Reply, maxBytes: number): Promise<Uint8Array> {
  switch (body.kind) {
    case 'none':
      return new Uint8Array();
    case 'bytes':
      if (body.bytes.byteLength > maxBytes) throw tooLarge();
      return body.bytes;
    case 'stream': {
      const chunks: Uint8Array[] = [];
      let bytes = 0;
      try {
        for await (const chunk of body.stream) {
          bytes += chunk.byteLength;
          if (bytes > maxBytes) throw tooLarge();
          chunks.push(chunk);
        }
      } catch (error) {
        await body.finish({ bytes: 0, complete: false });
        throw error;
      }
      await body.finish({ bytes, complete: true });
      return Buffer.concat(chunks);
    }
  }
}

function tooLarge(): GatewayError {
  return new GatewayError('upstream_failed', 'the answers are too large together', { reason: 'upstream_too_large' });
}

function toEntry({ status, headers }: Reply, bytes: Uint8Array): JsonObject {
  const resource = bytes.byteLength === 0 ? undefined : parseJsonObject(bytes);
  const { etag, location } = headers;
  const isFault = status >= 400;
  return {
    ...(resource === undefined || isFault ? {} : { resource }),
    response: {
      status: statusText(status),
      ...(location === undefined ? {} : { location }),
      ...(etag === undefined ? {} : { etag }),
      ...(resource !== undefined && isFault ? { outcome: resource } : {}),
    },
  };
}
