import { GatewayError } from '../errors.ts';
import { printETag } from '../fhir/etag.ts';
import { printJson, type JsonObject } from '../fhir/json.ts';
import { FHIR_JSON, FHIR_XML, FORM, type AnswerFormat } from '../fhir/media.ts';
import { printInteraction } from '../fhir/print-interaction.ts';
import type { PermitVerdict } from '../pdp/decide.ts';
import type { Upstream, UpstreamAnswer, UpstreamRequest, WholeAnswer } from '../upstream/forward.ts';
import { createRewriter, rewriteBody } from '../upstream/rewrite.ts';
import { BreakOff } from '../upstream/whole.ts';
import { discard, insistOnJson, limit, parseAnswer } from './answer-body.ts';
import type { AnswerOptions } from './answer-options.ts';
import { judgeRead } from './answer-judgement.ts';
import { beginXml, insistOnXml, type XmlStream } from './answer-xml.ts';
import { JSON_CONTENT, passedHeaders, plainLength, rawContentType, versionIn, XML_CONTENT } from './answer-headers.ts';
import { isUnchanged, knownVersions, mayChange } from './conditional-read.ts';
import type { RequestRecord } from './record.ts';
import { refuseDenied } from './refusal.ts';
import { CALLER_GONE, FIXED_HEADERS, type Reply } from './reply.ts';
import type { Permitted } from './stages.ts';

/**
 * Carries out a permitted read: the audit intent and the upstream call run side by side, and nothing leaves before both are there.
 * @throws GatewayError for whatever goes wrong before the first byte has left
 */
export function answerRead(permitted: Permitted, record: RequestRecord, options: AnswerOptions): Promise<Reply> {
  return isStreamed(permitted) ? answerByStream(permitted, record, options) : answerWhole(permitted, record, options);
}

async function answerWhole(permitted: Permitted, record: RequestRecord, options: AnswerOptions): Promise<Reply> {
  const { received, tenant } = permitted.authenticated.addressed;
  const gone = new BreakOff();
  received.onGone(() => {
    gone.abort(callerGone());
  });
  // Nothing is fetched for somebody who has gone.
  if (gone.reason !== undefined) throw gone.reason;
  const upstream = options.upstream(tenant);
  const request = upstreamRequest(permitted);
  const intent = record.intent();
  const reading = upstream.read(request, options.maxReviewBytes, gone);
  // It is heard below; until then the intent may be on its way to the disk, and an outcome must come after it.
  reading.catch(() => undefined);
  try {
    await intent;
    const answer = await reading;
    if (judgeStatus(answer.status, permitted) === 'found')
      return await answerReviewed(permitted, record, answer, upstream, options);
    return await answerNotModified(permitted, record, answer.headers);
  } catch (error) {
    const isGone = gone.aborted;
    gone.abort(callerGone());
    throw isGone ? callerGone(error) : error;
  }
}

async function answerByStream(permitted: Permitted, record: RequestRecord, options: AnswerOptions): Promise<Reply> {
  const { received, tenant } = permitted.authenticated.addressed;
  const gone = new AbortController();
  received.onGone(() => {
    gone.abort(callerGone());
  });
  gone.signal.throwIfAborted();
  const upstream = options.upstream(tenant);
  const request = { ...upstreamRequest(permitted), signal: gone.signal };
  const intent = record.intent();
  const forwarding = upstream.forward(request).then(kept);
  let answer: UpstreamAnswer;
  try {
    [answer] = await Promise.all([forwarding, intent]);
  } catch (error) {
    const isGone = gone.signal.aborted;
    gone.abort();
    forwarding.then(
      ({ body }) => discard(body),
      () => undefined,
    );
    // The intent may still be on its way to the disk: its outcome must come after it.
    await intent.catch(() => undefined);
    throw isGone ? callerGone(error) : error;
  }
  try {
    const found = judgeStatus(answer.status, permitted);
    if (found === 'not-modified') {
      discard(answer.body);
      return await answerNotModified(permitted, record, answer.headers);
    }
    return await answerStreamed(permitted, record, answer, upstream, options);
  } catch (error) {
    discard(answer.body);
    throw gone.signal.aborted ? callerGone(error) : error;
  }
}

/** With what a 200 would have (RFC 9110 §15.4.5): the tag too, where the server leaves it out, for it is the one that it was asked about. */
function answerNotModified(permitted: Permitted, record: RequestRecord, theirs: ReadonlyMap<string, string>): Promise<Reply> {
  const headers = passedHeaders(record, theirs);
  const asked = versionAsked(permitted);
  if (headers['etag'] === undefined && asked !== undefined) headers['etag'] = printETag(asked);
  return whole(record, 304, obliged(headers, permitted.verdict), undefined);
}

/** The one version about which the server is asked; several, or any, are compared here, because servers read them in different ways (real-servers.md §1.2). */
function versionAsked({ authenticated, verdict }: Permitted): string | undefined {
  const known = knownVersions(authenticated.addressed.received.headers);
  // An answer that a review may change has no tag by which it could be called unchanged.
  if (known === undefined || known === '*' || known.length > 1 || mayChange(verdict)) return undefined;
  return known[0];
}

/** A Binary, raw or as a resource, may be of any size and is for no reader's eyes here; XML is scanned as it passes. All else is read in one way before it leaves (X17, X25). */
function isStreamed({ authenticated: { interaction, answer }, verdict }: Permitted): boolean {
  if (answer === 'xml') return true;
  return 'type' in interaction && interaction.type === 'Binary' && verdict.reviews.length === 0 && verdict.proofs.length === 0;
}

/** Nobody is there to be answered; the record says so. */
export function callerGone(cause?: unknown): GatewayError {
  return new GatewayError('upstream_failed', 'the caller has gone before its answer', { cause, reason: CALLER_GONE });
}

/** Between the answer's headers and its first reader a body may break off: an error that nobody hears would end the process. */
function kept(answer: UpstreamAnswer): UpstreamAnswer {
  answer.body.on('error', () => undefined);
  return answer;
}

const ACCEPT: Readonly<Record<AnswerFormat, string>> = {
  json: FHIR_JSON,
  raw: '*/*',
  xml: FHIR_XML,
  'xml-first': FHIR_XML,
};

function upstreamRequest(permitted: Permitted): UpstreamRequest {
  const { authenticated, verdict } = permitted;
  const { continuation } = authenticated;
  const { method, path, query, form } =
    continuation === undefined
      ? printInteraction(verdict.interaction)
      : { method: 'GET' as const, form: undefined, ...continuation.cursor };
  const headers: Record<string, string> = { accept: ACCEPT[authenticated.answer] };
  // What is proved on the answer must be so now: some servers keep what they have found (real-servers.md §0.5).
  if (verdict.proofs.length > 0) headers['cache-control'] = 'no-cache';
  for (const [name, value] of Object.entries(verdict.requestHeaders)) if (value !== null) headers[name] = value;
  const version = versionAsked(permitted);
  if (version !== undefined) headers['if-none-match'] = printETag(version);
  if (form === undefined) return { method, path, query, headers };
  headers['content-type'] = FORM;
  return { method, path, query, headers, body: form };
}

/** What the custodian's status means for the caller; nothing of its text is passed on. */
function judgeStatus(status: number, { authenticated, verdict }: Permitted): 'found' | 'not-modified' {
  if (status === 200) return 'found';
  if (status === 304) return 'not-modified';
  // Deleted and never there are one answer (attack case V4).
  const isSearch = 'via' in verdict.interaction;
  const isFirst = authenticated.continuation === undefined;
  if ((status === 404 || status === 410) && (!isSearch || !isFirst))
    throw new GatewayError('not_found', `the FHIR server answered ${status}`, { reason: 'not_at_custodian' });
  // It does not take what the caller has asked for, unless it is what we have added (attack case Q48).
  if ((status === 400 || status === 422) && isSearch && isFirst && verdict.narrowings.length === 0)
    throw new GatewayError('bad_request', `the FHIR server answered a search with ${status}`, { reason: 'upstream_rejected' });
  throw new GatewayError('upstream_failed', `the FHIR server answered ${status}`, { reason: `upstream_status_${status}` });
}

async function answerReviewed(
  permitted: Permitted,
  record: RequestRecord,
  answer: WholeAnswer,
  upstream: Upstream,
  options: AnswerOptions,
): Promise<Reply> {
  insistOnJson(answer);
  const { bytes } = answer;
  const body = parseAnswer(bytes);
  const reviewed = await judgeRead(permitted, record, body, upstream, options);
  if (reviewed === 'not-shown') {
    return refuseDenied(record, { code: 'stored_of_another_patient', text: 'the resource does not show its proof any more' });
  }
  // What no review changed leaves as it came: it was found to be readable in one way only.
  if (reviewed === body) return await answerBytes(permitted, record, bytes, answer.headers, upstream);
  // The tag stays with the content that it was given for (attack case X24).
  return await answerResource(permitted, record, reviewed, NO_HEADERS, upstream);
}

const NO_HEADERS: ReadonlyMap<string, string> = new Map();

/** A resource as an answer: the custodian's base is rewritten, the record closed, and then it may leave. */
export function answerResource(
  permitted: Permitted,
  record: RequestRecord,
  resource: JsonObject,
  headers: ReadonlyMap<string, string>,
  upstream: Upstream,
): Promise<Reply> {
  return answerBytes(permitted, record, Buffer.from(printJson(resource)), headers, upstream);
}

function answerBytes(
  permitted: Permitted,
  record: RequestRecord,
  bytes: Buffer,
  theirs: ReadonlyMap<string, string>,
  upstream: Upstream,
): Promise<Reply> {
  const headers = obliged(passedHeaders(record, theirs), permitted.verdict);
  if (isUnchanged(permitted, headers)) return whole(record, 304, headers, undefined);
  headers['content-type'] = JSON_CONTENT;
  const isHead = permitted.authenticated.addressed.received.method === 'HEAD';
  return whole(record, 200, headers, rewriteBody(bytes, upstream.bases), isHead);
}

/** With the headers that the permit sets, without those that it strips. */
function obliged(headers: Record<string, string>, { responseHeaders }: PermitVerdict): Record<string, string> {
  for (const [name, value] of Object.entries(responseHeaders)) {
    if (value === null) Reflect.deleteProperty(headers, name);
    else headers[name] = value;
  }
  return headers;
}

/** The answer to a write; with a body where the caller may read what was written. */
export function answerWritten(
  record: RequestRecord,
  status: number,
  theirs: Readonly<Record<string, string>>,
  bytes?: Buffer,
): Promise<Reply> {
  return whole(record, status, { ...FIXED_HEADERS, 'x-request-id': record.received.correlationId, ...theirs }, bytes);
}

/** Closes the record, then hands out the answer: a caller that has a whole answer always has a record of it (reliability §1.4). */
async function whole(
  record: RequestRecord,
  status: number,
  headers: Readonly<Record<string, string>>,
  bytes: Buffer | undefined,
  isHead = false,
): Promise<Reply> {
  const resourceVersion = versionIn(headers['etag']);
  await record.outcome({
    outcome: 'permitted',
    status,
    reason: 'answered',
    bytes: isHead || bytes === undefined ? 0 : bytes.byteLength,
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
  upstream: Upstream,
  options: AnswerOptions,
): Promise<Reply> {
  const { answer: format, addressed } = permitted.authenticated;
  const { tenant, received } = addressed;
  const headers = obliged(passedHeaders(record, answer.headers), permitted.verdict);
  const unchanged = isUnchanged(permitted, headers) ? { ...headers } : undefined;
  switch (format) {
    case 'json':
      insistOnJson(answer);
      headers['content-type'] = JSON_CONTENT;
      break;
    case 'xml':
    case 'xml-first':
      insistOnXml(answer, tenant.fhir.version);
      headers['content-type'] = XML_CONTENT;
      break;
    case 'raw':
      headers['content-type'] = rawContentType(answer.headers.get('content-type'));
      // A document of somebody's making must not run as a page of ours.
      headers['content-disposition'] = 'attachment';
      break;
  }
  if (unchanged !== undefined) {
    discard(answer.body);
    return whole(record, 304, unchanged, undefined);
  }
  if (received.method === 'HEAD') {
    discard(answer.body);
    return whole(record, 200, headers, undefined, true);
  }
  const lengthBytes = plainLength(answer.headers.get('content-length'));
  const exact = limit(answer.body, tenant.limits.maxAnswerBytes, lengthBytes);
  const { stream, reason } = await begin(permitted, record, exact, upstream, options);
  const resourceVersion = versionIn(headers['etag']);
  return {
    status: 200,
    headers,
    close: false,
    about: aboutPermitted(record),
    body: {
      kind: 'stream',
      stream,
      // JSON is as long as the base is; the others leave as they came.
      ...(format === 'json' || lengthBytes === undefined ? {} : { lengthBytes }),
      finish: ({ bytes, complete }) => {
        if (!complete) discard(answer.body);
        return record.outcome({
          outcome: complete ? 'permitted' : 'failed',
          status: 200,
          reason: complete ? 'answered' : (reason() ?? 'answer_broke_off'),
          bytes,
          complete,
          ...(resourceVersion === undefined ? {} : { resourceVersion }),
        });
      },
    },
  };
}

/** The bytes as they may leave, and why they were cut off, where it was their content. */
async function begin(
  { authenticated: { answer, interaction } }: Permitted,
  record: RequestRecord,
  exact: AsyncIterable<Buffer>,
  upstream: Upstream,
  options: AnswerOptions,
): Promise<XmlStream> {
  if (answer === 'raw') return { stream: exact, reason: () => undefined };
  if (answer === 'json') return { stream: rewritten(exact, upstream), reason: () => undefined };
  if (interaction.kind !== 'read' && interaction.kind !== 'vread') throw new GatewayError('internal', 'XML is for one resource');
  return beginXml(exact, { type: interaction.type, id: interaction.id, base: upstream.bases.upstream }, record, options);
}

async function* rewritten(body: AsyncIterable<Buffer>, upstream: Upstream): AsyncIterable<Buffer> {
  const rewriter = createRewriter(upstream.bases);
  for await (const chunk of body) {
    const bytes = rewriter.push(chunk);
    if (bytes.length > 0) yield bytes;
  }
  const rest = rewriter.end();
  if (rest.length > 0) yield rest;
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
