import { GatewayError, type FieldProblem } from '../errors.ts';
import { FHIR_JSON, FORM } from '../fhir/media.ts';
import type { Tenant } from '../tenant/tenant.ts';
import type { Received } from './stages.ts';

/** A request that an operator wants explained: what stands below the FHIR base, and a token for it. */
export interface ExplainRequest {
  readonly token: string;
  readonly method: string;
  /** `/Observation?patient=1` */
  readonly target: string;
  /** By name in any case. A PATCH without `Content-Type` is taken for a JSON Patch, a search for a form, any other body for FHIR JSON. */
  readonly headers?: Readonly<Record<string, string>>;
  /** The form of a search by POST, the resource of a write, a Bundle, the steps of a patch, or the Parameters of an operation, as text. */
  readonly body?: string;
}

/** The headers by which the gate judges. */
export const EXPLAINED_HEADERS: readonly string[] = [
  'Accept',
  'Content-Type',
  'If-Match',
  'If-Modified-Since',
  'If-None-Exist',
  'If-None-Match',
  'If-Unmodified-Since',
  'Prefer',
];
const KNOWN = new Set(EXPLAINED_HEADERS.map((name) => name.toLowerCase()));

/**
 * Headers by lower-case name; a name may be written in any case, and comes once.
 * @throws GatewayError `invalid_body` (400) that names each header that does not count, or comes twice
 */
export function readHeaders(headers: Iterable<readonly [name: string, value: string]>): ReadonlyMap<string, string> {
  const read = new Map<string, string>();
  const fields: FieldProblem[] = [];
  for (const [name, value] of headers) {
    const known = name.toLowerCase();
    if (!KNOWN.has(known))
      fields.push({ field: `headers.${name}`, problem: `is none that is judged: those are ${EXPLAINED_HEADERS.join(', ')}` });
    else if (read.has(known))
      fields.push({ field: `headers.${name}`, problem: 'is there twice: the case of a header’s name does not count' });
    read.set(known, value);
  }
  const [first] = fields;
  if (first !== undefined) throw new GatewayError('invalid_body', `${first.field} ${first.problem}`, { fields });
  return read;
}

/**
 * The request as it would have come to the gate, framed and judged by the edge.
 * @throws GatewayError `invalid_body` (400) for headers
 */
export function asReceived(tenant: Tenant, request: ExplainRequest, correlationId: string): Received {
  const { token, method, target, body } = request;
  const headers = new Map(readHeaders(Object.entries(request.headers ?? {})));
  const type = headers.get('content-type') ?? usualType(request);
  if (type !== undefined) headers.set('content-type', type);
  headers.set('authorization', `Bearer ${token}`);
  // How the answer to a write is to look is no part of its judgement; nothing is fetched for it.
  headers.delete('prefer');
  const bytes = Buffer.from(body ?? '');
  return {
    stage: 'received',
    correlationId,
    startedMs: performance.now(),
    remoteAddress: '',
    method,
    target: `/${tenant.id}/fhir${target}`,
    headers,
    hasBody: bytes.byteLength > 0,
    contentLength: bytes.byteLength,
    readBody: (limitBytes) => {
      if (bytes.byteLength <= limitBytes) return Promise.resolve(bytes);
      const problem = `has more than ${String(limitBytes)} bytes`;
      return Promise.reject(new GatewayError('body_too_large', `body ${problem}`, { fields: [{ field: 'body', problem }] }));
    },
    onGone: () => undefined,
  };
}

function usualType({ method, target, body }: ExplainRequest): string | undefined {
  if (method === 'PATCH') return 'application/json-patch+json';
  if (body === undefined || body === '') return undefined;
  return method === 'POST' && /\/_search(?:\?|$)/.test(target) ? FORM : FHIR_JSON;
}
