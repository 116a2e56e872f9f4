import { GatewayError } from '../errors.ts';
import { printJson } from '../fhir/json.ts';
import { FHIR_JSON } from '../fhir/media.ts';
import { printInteraction } from '../fhir/print-interaction.ts';
import { localReference } from '../fhir/reference.ts';
import { discard } from './answer-body.ts';
import { dateOf, retryAfterOf } from './answer-headers.ts';
import { hasUnreadableMeta, labelsOf, withServersMeta } from './changes.ts';
import { refuseUnready, type Named, type Prepared } from './prepared.ts';
import type { RequestRecord } from './record.ts';
import { referredFault } from './referred.ts';
import { refuseRejected } from './refusal.ts';
import type { Reply } from './reply.ts';
import { answerRepresentation, type RepresentationOptions, type Written } from './representation.ts';
import type { Permitted } from './stages.ts';
import { staleCode } from './stored.ts';

/** Checks what is to be created: the labels of a new resource are not the caller's to set. */
export async function prepareCreate(
  permitted: Permitted,
  record: RequestRecord,
  options: RepresentationOptions,
  named: Named = {},
): Promise<Prepared> {
  const { request } = permitted.verdict;
  // Between our search and this somebody may have created it: the server holds the criteria once more.
  const interaction = permitted.authenticated.onlyIfNone ?? permitted.verdict.interaction;
  const proposed = await permitted.authenticated.body();
  const fault = await referredFault(permitted, proposed, undefined, record, options);
  if (fault !== undefined) return fault;
  const type = request.resource.type ?? '';
  if (hasUnreadableMeta(proposed))
    return { outcome: 'rejected', code: 'unprocessable', reason: 'meta_unreadable', expression: [`${type}.meta`] };
  const labels = labelsOf(proposed);
  if (labels.length === 0) return { outcome: 'ready', sent: { ...named, interaction, resource: withServersMeta(proposed) } };
  const expression = labels.map((name) => `${type}.meta.${name}`);
  return { outcome: 'rejected', code: 'unprocessable', reason: 'label_not_changeable', expression };
}

/** Creates what a rule permits. Sent once: nobody knows what became of a create that was not answered (attack case C24). */
export async function answerCreate(permitted: Permitted, record: RequestRecord, options: RepresentationOptions): Promise<Reply> {
  const { tenant } = permitted.authenticated.addressed;
  const prepared = await prepareCreate(permitted, record, options);
  if (prepared.outcome !== 'ready') return refuseUnready(permitted, prepared, record);
  await record.intent();
  const { onlyIfNone } = permitted.authenticated;
  const { method, path, query, ifNoneExist } = printInteraction(prepared.sent.interaction);
  const upstream = options.upstream(tenant);
  const answer = await upstream.forward({
    method,
    path,
    query,
    headers: {
      accept: FHIR_JSON,
      'content-type': FHIR_JSON,
      prefer: 'return=minimal',
      ...(ifNoneExist === undefined ? {} : { 'if-none-exist': ifNoneExist }),
    },
    body: printJson(prepared.sent.resource ?? {}),
  });
  discard(answer.body);
  switch (answer.status) {
    case 200:
      // "One match: the server ignores the post" (http.html#ccreate): it came about meanwhile, and nobody has looked at whose it is.
      if (onlyIfNone !== undefined) return refuseRejected(record, 'precondition_failed', 'exists_meanwhile');
      throw unconfirmed(200);
    case 201:
      return created(permitted, record, answer.headers, options);
    case 400:
    case 422:
      return refuseRejected(record, 'unprocessable', 'upstream_rejected');
    case 409:
    case 412:
      return refuseRejected(record, staleCode(tenant), 'upstream_conflict');
    case 429:
    case 503:
      // It has not taken the create up (RFC 6585 §4, RFC 9110 §15.6.4): the caller may send it again.
      throw new GatewayError('unavailable', `the FHIR server answered a create with ${String(answer.status)}`, {
        reason: `upstream_status_${String(answer.status)}`,
        retryAfterSeconds: retryAfterOf(answer.headers),
      });
    default:
      throw unconfirmed(answer.status);
  }
}

function unconfirmed(status: number): GatewayError {
  return new GatewayError('upstream_failed', `the FHIR server answered a create with ${String(status)}`, {
    reason: `upstream_status_${String(status)}`,
  });
}

function created(
  permitted: Permitted,
  record: RequestRecord,
  theirs: ReadonlyMap<string, string>,
  options: RepresentationOptions,
): Promise<Reply> {
  const written = placeOf(permitted, theirs);
  // "The server SHALL … return a Location header" (http.html#create): without it nothing says that anything was stored.
  if (written === undefined)
    throw new GatewayError('upstream_failed', 'the FHIR server does not say what it created', { reason: 'upstream_unconfirmed' });
  const headers: Record<string, string> = { ...dateOf(theirs.get('last-modified')) };
  for (const name of ['location', 'etag']) {
    const value = theirs.get(name);
    if (value !== undefined) headers[name] = value;
  }
  return answerRepresentation(permitted, record, { status: 201, headers, written }, options);
}

/** What the server says it has created; undefined when that is not in its `Location`. */
function placeOf({ authenticated, verdict }: Permitted, theirs: ReadonlyMap<string, string>): Written | undefined {
  const location = theirs.get('location');
  const place = location === undefined ? undefined : localReference(location, `${authenticated.addressed.tenant.publicUrl}/fhir`);
  const { type } = verdict.request.resource;
  return place === undefined || place.type !== type ? undefined : { type: place.type, id: place.id };
}
