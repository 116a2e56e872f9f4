import type { AuditOutcome } from '../audit/entry.ts';
import { GatewayError, type ErrorCode } from '../errors.ts';
import { FHIR_JSON } from '../fhir/media.ts';
import { isParameterName } from '../fhir/parameter-names.ts';
import { issueCodeOf, operationOutcome } from '../fhir/outcome.ts';
import { dpopChallenge } from '../token/dpop.ts';
import type { Reason } from '../usecase/decision.ts';
import type { RequestRecord } from './record.ts';
import { CALLER_GONE, FIXED_HEADERS, type Reply } from './reply.ts';

/** What the caller learns: a status and one of our own fixed texts. The reason is the operator's. */
interface Refusal {
  readonly code: ErrorCode;
  readonly text: string;
  readonly reason: string;
  readonly why?: string;
  readonly outcome: AuditOutcome;
  readonly challenge?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly expression?: readonly string[];
  readonly hint?: string;
  readonly close: boolean;
}

/** What `WWW-Authenticate` asks for (eoverdracht.md §6.7, RFC003 §6.3, RFC 6750 §3, RFC 9449 §7.1); undefined when it asks for nothing. */
function challengeOf(code: ErrorCode, record: RequestRecord): string | undefined {
  // One or the other: which it is depends on the token, so both are on offer where v2 tokens are.
  const isV2 = record.tenant?.node.generations.includes('v2') === true;
  if (code === 'token_missing') return isV2 ? `Bearer, ${dpopChallenge()}` : 'Bearer';
  if (code === 'token_invalid') return 'Bearer error="invalid_token"';
  if (code === 'forbidden') return record.proven ? dpopChallenge('insufficient_scope') : 'Bearer error="insufficient_scope"';
  return undefined;
}

const TEXTS: Partial<Record<ErrorCode, string>> = { token_invalid: 'illegal_access_token', forbidden: 'access_denied' };

/** The answer to a failure or refusal; anything unknown is a 500 without a word about why. */
export async function refuse(record: RequestRecord, error: unknown): Promise<Reply> {
  return answerRefusal(record, describe(error));
}

/** The answer to a denial: one body for all of them, whatever exists. */
export async function refuseDenied(record: RequestRecord, reason: Reason, shown?: Reason['public']): Promise<Reply> {
  return answerRefusal(record, {
    code: 'forbidden',
    text: shown ?? 'access_denied',
    reason: reason.code,
    ...(reason.text === undefined ? {} : { why: reason.text }),
    outcome: 'denied',
    close: false,
  });
}

/** The answer to a write that was permitted and that its guard does not accept. */
export async function refuseRejected(
  record: RequestRecord,
  code: ErrorCode,
  reason: string,
  expression: readonly string[] = [],
): Promise<Reply> {
  const denied = code === 'forbidden';
  return answerRefusal(record, {
    code,
    // Of its own write the caller learns what the state or the content does not allow.
    text: denied ? 'access_denied' : code === 'unprocessable' || code === 'bad_request' ? reason : code,
    reason,
    outcome: denied ? 'denied' : 'rejected',
    expression: denied ? [] : expression,
    close: false,
  });
}

async function answerRefusal(record: RequestRecord, refusal: Refusal): Promise<Reply> {
  const first = build(record, refusal);
  try {
    await record.outcome({
      outcome: refusal.outcome,
      reason: refusal.reason,
      ...(refusal.why === undefined ? {} : { why: refusal.why }),
      ...(refusal.reason === CALLER_GONE
        ? { status: 0, bytes: 0, complete: false }
        : { status: first.status, bytes: bodyLength(first) }),
    });
    return first;
  } catch (error) {
    // A refusal that cannot be recorded is told as what it is: the gate cannot work now (attack case A3).
    return build(record, describe(error instanceof GatewayError ? error : new GatewayError('audit_unavailable', 'audit failed')));
  }
}

function build(record: RequestRecord, refusal: Refusal): Reply {
  const { received, tenant } = record;
  const { code, text, reason, outcome, expression, hint } = refusal;
  const body = operationOutcome({
    issueCode: issueCodeOf(code),
    version: tenant?.fhir.version ?? 'STU3',
    text,
    diagnostics: received.correlationId,
    ...(expression === undefined ? {} : { expression }),
    ...(hint === undefined ? {} : { hint }),
  });
  const challenge = refusal.challenge ?? challengeOf(code, record);
  return {
    status: new GatewayError(code, '').status,
    headers: {
      ...FIXED_HEADERS,
      'content-type': `${FHIR_JSON}; charset=utf-8`,
      'x-request-id': received.correlationId,
      ...(challenge === undefined ? {} : { 'www-authenticate': challenge }),
      ...refusal.headers,
    },
    body: { kind: 'bytes', bytes: Buffer.from(JSON.stringify(body)) },
    close: refusal.close,
    about: {
      outcome,
      reason,
      ...(tenant === undefined ? {} : { tenant: tenant.id }),
      ...(record.interaction === undefined ? {} : { interaction: record.interaction }),
      ...(record.requester === undefined ? {} : { requester: record.requester }),
    },
  };
}

function describe(error: unknown): Refusal {
  if (!(error instanceof GatewayError)) {
    return { code: 'internal', text: 'internal', reason: 'internal', outcome: 'failed', close: false };
  }
  const { code, options } = error;
  const headers: Record<string, string> = {};
  if (options.allow !== undefined) headers['allow'] = options.allow.join(', ');
  if (options.acceptPatch !== undefined) headers['accept-patch'] = options.acceptPatch.join(', ');
  const retryAfter = options.retryAfterSeconds ?? (error.status === 503 || error.status === 429 ? 5 : undefined);
  if (retryAfter !== undefined) headers['retry-after'] = String(Math.max(1, Math.ceil(retryAfter)));
  return {
    code,
    text: TEXTS[code] ?? code,
    reason: options.reason ?? code,
    // Fixed texts, in which nothing of a token, a proof or a value stands.
    ...(error.status < 500 ? { why: error.message } : {}),
    ...hintOf(error),
    outcome: error.status >= 500 ? 'failed' : code === 'forbidden' ? 'denied' : 'refused',
    headers,
    ...(options.challenge === undefined ? {} : { challenge: options.challenge }),
    close: options.close === true,
  };
}

/** Refusals of which the caller may learn what is wrong with its own words: nothing in them depends on what the custodian has. */
const MENDABLE: ReadonlySet<ErrorCode> = new Set([
  'bad_request',
  'invalid_target',
  'invalid_header',
  'invalid_parameter',
  'invalid_body',
  'not_acceptable',
  'unsupported_media_type',
  'body_too_large',
  'expectation_failed',
]);
/** Places that we name: in a Bundle, in Parameters, in a patch, of a request. */
const PLACE =
  /^(?:Bundle|Parameters|patch|body|resourceType|id|query|path|\[\d+\])(?:\.(?:type|implicitRules|entry|fullUrl|resource|resourceType|id|contentType|data|request|method|url|if[A-Z][A-Za-z]+|parameter|name|value|op|path|from)|\[\d+\])*$/;
const HEADER = /^(?:Accept|Content-(?:Encoding|Length|Type)|Expect|Host|If-[A-Z][A-Za-z-]+|Prefer|Transfer-Encoding)$/;

/** Which field, what is wrong, what is allowed. A name that is the caller's invention is not repeated (attack case H21). */
function hintOf({ code, options }: GatewayError): Pick<Refusal, 'hint'> {
  const [fault] = options.fields ?? [];
  if (fault === undefined || !MENDABLE.has(code)) return {};
  const [name = ''] = fault.field.split(/[:.]/);
  const field = PLACE.test(fault.field) || HEADER.test(fault.field) ? fault.field : isParameterName(name) ? name : undefined;
  return { hint: `${field ?? 'a parameter or header'} ${fault.problem}` };
}

function bodyLength(reply: Reply): number {
  return reply.body.kind === 'bytes' ? reply.body.bytes.byteLength : 0;
}
