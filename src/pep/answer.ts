import { GatewayError } from '../errors.ts';
import { parseETag, parseIfNoneMatch, printETag } from '../fhir/etag.ts';
import { parseJsonObject, printJson, type JsonObject } from '../fhir/json.ts';
import { FHIR_JSON } from '../fhir/media.ts';
import { printInteraction } from '../fhir/print-interaction.ts';
import type { RequestRecord } from './record.ts';
import { FIXED_HEADERS, type Reply } from './reply.ts';
import { reviewAnswer, type ReviewOptions } from './review.ts';
import type { Permitted } from './stages.ts';
import type { Upstream, UpstreamAnswer, UpstreamRequest } from './upstream.ts';

export interface AnswerOptions extends ReviewOptions {
  readonly upstream: Upstream;
}

/**
 * Carries out a permitted read: the audit intent and the upstream call run side by side, and nothing leaves before both are there.
 * @throws GatewayError for whatever goes wrong before the first byte has left
 */
export async function answerRead(permitted: Permitted, record: RequestRecord, options: AnswerOptions): Promise<Reply> {
  const { received, tenant } = permitted.authenticated.addressed;
  const gone = new AbortController();
  received.onGone(() => {
    gone.abort();
  });
  const intent = record.intent();
  const forwarding = options.upstream.forward(tenant, upstreamRequest(permitted, gone.signal));
  let answer: UpstreamAnswer;
  try {
    [answer] = await Promise.all([forwarding, intent]);
  } catch (error) {
    gone.abort();
    forwarding.then(
      (late) => late.discard(),
      () => undefined,
    );
    // The intent may still be on its way to the disk: its outcome must come after it.
    await intent.catch(() => undefined);
    throw error;
  }
  try {
    const found = judgeStatus(answer.status);
    if (found === 'not-modified') {
      answer.discard();
      return await whole(record, 304, baseHeaders(record, answer), undefined, true);
    }
    const json = permitted.authenticated.answer === 'json';
    if (json && permitted.verdict.reviews.length > 0) return await answerReviewed(permitted, record, answer, options);
    return await answerStreamed(permitted, record, answer, json, options);
  } catch (error) {
    answer.discard();
    throw error;
  }
}

function upstreamRequest(permitted: Permitted, signal: AbortSignal): UpstreamRequest {
  const { authenticated, verdict } = permitted;
  const canonical = printInteraction(authenticated.interaction);
  const condition = authenticated.addressed.received.headers.get('if-none-match');
  const request = { canonical, answer: authenticated.answer, signal };
  // An answer that a review may change has no tag by which it could be called unchanged.
  if (condition === undefined || verdict.reviews.length > 0) return request;
  const version = parseIfNoneMatch(condition);
  return { ...request, ifNoneMatch: version === '*' ? version : printETag(version) };
}

/** What the custodian's status means for the caller; nothing of its text is passed on. */
function judgeStatus(status: number): 'found' | 'not-modified' {
  if (status === 200) return 'found';
  if (status === 304) return 'not-modified';
  // Deleted and never there are one answer (attack case V4).
  if (status === 404 || status === 410)
    throw new GatewayError('not_found', `the FHIR server answered ${status}`, { reason: 'not_at_custodian' });
  throw new GatewayError('upstream_failed', `the FHIR server answered ${status}`, { reason: `upstream_status_${status}` });
}

async function answerReviewed(
  permitted: Permitted,
  record: RequestRecord,
  answer: UpstreamAnswer,
  options: AnswerOptions,
): Promise<Reply> {
  insistOnJson(answer);
  const bytes = await readWhole(answer.body, options.maxReviewBytes);
  const body = parseAnswer(bytes);
  const reviewed = await reviewAnswer(permitted, record, body, options);
  // The tag stays with the content that it was given for (attack case X24).
  return answerResource(permitted, record, reviewed, reviewed === body ? answer.headers : new Map(), options.upstream);
}

/** A resource as an answer: the custodian's base is rewritten, the record closed, and then it may leave. */
export function answerResource(
  permitted: Permitted,
  record: RequestRecord,
  resource: JsonObject,
  headers: ReadonlyMap<string, string>,
  upstream: Upstream,
): Promise<Reply> {
  const { tenant, received } = permitted.authenticated.addressed;
  const text = printJson(upstream.rewrite(tenant, resource));
  const all = { ...passedHeaders(record, headers), 'content-type': JSON_CONTENT };
  return whole(record, 200, all, Buffer.from(text), received.method !== 'HEAD');
}

const JSON_CONTENT = `${FHIR_JSON}; charset=utf-8`;

/** Closes the record, then hands out the answer: a caller that has a whole answer always has a record of it (reliability §1.4). */
async function whole(
  record: RequestRecord,
  status: number,
  headers: Readonly<Record<string, string>>,
  bytes: Buffer | undefined,
  sent: boolean,
): Promise<Reply> {
  const resourceVersion = versionIn(headers['etag']);
  await record.outcome({
    outcome: 'permitted',
    status,
    reason: 'answered',
    bytes: sent && bytes !== undefined ? bytes.byteLength : 0,
    complete: true,
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  });
  const body = bytes === undefined ? ({ kind: 'none' } as const) : ({ kind: 'bytes', bytes } as const);
  return { status, headers, body, close: false, about: aboutPermitted(record) };
}

async function answerStreamed(
  permitted: Permitted,
  record: RequestRecord,
  answer: UpstreamAnswer,
  json: boolean,
  options: AnswerOptions,
): Promise<Reply> {
  const { tenant, received } = permitted.authenticated.addressed;
  if (json) insistOnJson(answer);
  const contentType = json ? JSON_CONTENT : rawContentType(answer.headers.get('content-type'));
  const headers: Record<string, string> = { ...baseHeaders(record, answer), 'content-type': contentType };
  if (received.method === 'HEAD') {
    answer.discard();
    return whole(record, 200, headers, undefined, false);
  }
  const lengthBytes = json ? undefined : plainLength(answer.headers.get('content-length'));
  const limited = limit(answer.body, tenant.limits.maxAnswerBytes);
  const resourceVersion = versionIn(headers['etag']);
  return {
    status: 200,
    headers,
    close: false,
    about: aboutPermitted(record),
    body: {
      kind: 'stream',
      stream: json ? options.upstream.rewriteStream(tenant, limited) : limited,
      ...(lengthBytes === undefined ? {} : { lengthBytes }),
      finish: ({ bytes, complete }) => {
        if (!complete) answer.discard();
        return record.outcome({
          outcome: complete ? 'permitted' : 'failed',
          status: 200,
          reason: complete ? 'answered' : 'answer_broke_off',
          bytes,
          complete,
          ...(resourceVersion === undefined ? {} : { resourceVersion }),
        });
      },
    },
  };
}

export function aboutPermitted(record: RequestRecord): Reply['about'] {
  const { tenant, interaction, requester } = record;
  return {
    outcome: 'permitted',
    reason: 'answered',
    ...(tenant === undefined ? {} : { tenant: tenant.id }),
    ...(interaction === undefined ? {} : { interaction }),
    ...(requester === undefined ? {} : { requester }),
  };
}

function baseHeaders(record: RequestRecord, answer: UpstreamAnswer): Record<string, string> {
  return passedHeaders(record, answer.headers);
}

const HTTP_DATE = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;

/** Ours, and of the custodian's only what is on the list and can be read (attack case X23). */
function passedHeaders(record: RequestRecord, theirs: ReadonlyMap<string, string>): Record<string, string> {
  const headers: Record<string, string> = { ...FIXED_HEADERS, 'x-request-id': record.received.correlationId };
  const version = versionIn(theirs.get('etag'));
  if (version !== undefined) headers['etag'] = printETag(version);
  const modified = theirs.get('last-modified');
  if (modified !== undefined && HTTP_DATE.test(modified)) headers['last-modified'] = modified;
  return headers;
}

function versionIn(etag: string | undefined): string | undefined {
  return etag === undefined ? undefined : parseETag(etag);
}

function insistOnJson(answer: UpstreamAnswer): void {
  const type = answer.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase();
  if (type === FHIR_JSON || type === 'application/json' || type === 'application/json+fhir') return;
  throw new GatewayError('upstream_failed', 'the FHIR server answered with another format', { reason: 'upstream_not_json' });
}

const MEDIA_TYPE = /^[a-z0-9][a-z0-9!#$&^_.+-]{0,126}\/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}(?:; ?charset=[A-Za-z0-9._-]{1,40})?$/i;

// The stored type of a Binary; one that cannot be read, or that a browser would run, is bytes.
function rawContentType(type: string | undefined): string {
  if (type === undefined || !MEDIA_TYPE.test(type) || /html|xml|script/i.test(type)) return 'application/octet-stream';
  return type;
}

function plainLength(text: string | undefined): number | undefined {
  return text !== undefined && /^(?:0|[1-9]\d{0,14})$/.test(text) ? Number(text) : undefined;
}

function parseAnswer(bytes: Uint8Array): JsonObject {
  try {
    return parseJsonObject(bytes);
  } catch (cause) {
    // Two readers could see two things in it (attack case X25).
    throw new GatewayError('upstream_failed', 'the FHIR server answered with JSON that cannot be read in one way', {
      cause,
      reason: 'upstream_bad_json',
    });
  }
}

/** @throws GatewayError `upstream_failed` when there is more than may be held in memory */
async function readWhole(body: AsyncIterable<Uint8Array>, maxBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of limit(body, maxBytes)) chunks.push(chunk);
  const [first] = chunks;
  return chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks);
}

async function* limit(body: AsyncIterable<Uint8Array>, maxBytes: number): AsyncIterable<Uint8Array> {
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) throw new GatewayError('upstream_failed', 'the answer is too large', { reason: 'upstream_too_large' });
    yield chunk;
  }
}
