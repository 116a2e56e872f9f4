import { GatewayError, type ErrorCode } from '../errors.ts';
import type { BundleEntry } from '../fhir/bundle.ts';
import { parseIfMatch, printETag } from '../fhir/etag.ts';
import { printJson, type JsonObject } from '../fhir/json.ts';
import { FHIR_JSON } from '../fhir/media.ts';
import { printInteraction } from '../fhir/print-interaction.ts';
import { patientAt, soleWrittenPatient } from '../pdp/patient.ts';
import type { ChangeGuard } from '../usecase/decision.ts';
import type { Tenant } from '../tenant/tenant.ts';
import type { VersionedResource, WriteResult } from '../usecase/workflow.ts';
import { answerEmpty } from './answer.ts';
import type { AnswerOptions } from './answer-options.ts';
import { discard } from './answer-body.ts';
import { judgeChanges, labelsOf, withServersMeta } from './changes.ts';
import type { RequestRecord } from './record.ts';
import { refuseDenied, refuseRejected } from './refusal.ts';
import type { Reply } from './reply.ts';
import type { Permitted } from './stages.ts';

/*
 * Writes that a rule permits without code of the use case: nothing follows them here, so that nothing is recorded but the access itself. What goes up
 * is printed from the parsed resource. Answers have no body (`return=minimal`): whoever may read what was written reads it (attack case H36).
 */

const ATTEMPTS = 2;

/** A write that may go up, or why it may not. */
export type Prepared =
  | { readonly outcome: 'ready'; readonly sent: BundleEntry }
  | { readonly outcome: 'denied'; readonly reason: string }
  | { readonly outcome: 'rejected'; readonly code: ErrorCode; readonly reason: string; readonly expression?: readonly string[] };

/**
 * Holds an update against what is stored, under the changes that its rule allows. A stored resource that is not there, or is about another patient, is
 * a denial as any other, before a version is compared (attack cases C6, C16, H38).
 * @param ifVersion of the caller's `If-Match`
 */
export async function prepareUpdate(
  permitted: Permitted,
  changes: ChangeGuard,
  ifVersion: string | undefined,
  record: RequestRecord,
  options: AnswerOptions,
  named: Pick<BundleEntry, 'fullUrl'> = {},
): Promise<Prepared> {
  const { interaction, rule } = permitted.verdict;
  const { tenant } = permitted.authenticated.addressed;
  const proposed = await permitted.authenticated.body();
  const stored = await lookUp(permitted, record, options);
  if (stored === undefined) return { outcome: 'denied', reason: 'stored_not_there' };
  const denial = storedFault(permitted, stored.resource) ?? proposedFault(permitted, proposed);
  if (denial !== undefined) return { outcome: 'denied', reason: denial };
  if (ifVersion === undefined && rule.ifMatch === 'required')
    return { outcome: 'rejected', code: 'precondition_required', reason: 'if_match_missing' };
  // 409 in STU3, 412 in R4 (design §12), whatever the FHIR server would say.
  if (ifVersion !== undefined && ifVersion !== stored.version)
    return { outcome: 'rejected', code: staleCode(tenant), reason: 'stale_version' };
  const fault = judgeChanges(changes, stored.resource, proposed);
  if (fault !== undefined) return { outcome: 'rejected', code: 'unprocessable', ...fault };
  return { outcome: 'ready', sent: { ...named, interaction, resource: withServersMeta(proposed), ifMatch: stored.version } };
}

/** Checks what is to be created: the labels of a new resource are not the caller's to set. */
export async function prepareCreate(permitted: Permitted, named: Pick<BundleEntry, 'fullUrl'> = {}): Promise<Prepared> {
  const { interaction, request } = permitted.verdict;
  const proposed = await permitted.authenticated.body();
  const labels = labelsOf(proposed);
  if (labels.length === 0) return { outcome: 'ready', sent: { ...named, interaction, resource: withServersMeta(proposed) } };
  const expression = labels.map((name) => `${request.resource.type ?? ''}.meta.${name}`);
  return { outcome: 'rejected', code: 'unprocessable', reason: 'label_not_changeable', expression };
}

/**
 * Carries out an update.
 * @throws GatewayError for refusals and failures
 */
export async function answerUpdate(
  permitted: Permitted,
  changes: ChangeGuard,
  record: RequestRecord,
  options: AnswerOptions,
): Promise<Reply> {
  const { received, tenant } = permitted.authenticated.addressed;
  const condition = received.headers.get('if-match');
  const ifVersion = condition === undefined ? undefined : parseIfMatch(condition);
  await permitted.authenticated.body();
  await record.intent();
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const prepared = await prepareUpdate(permitted, changes, ifVersion, record, options);
    if (prepared.outcome !== 'ready') return refusePrepared(permitted, prepared, record);
    const { resource, ifMatch } = prepared.sent;
    if (resource === undefined || ifMatch === undefined) throw new GatewayError('internal', 'an update without a version');
    const written = await put(permitted, resource, ifMatch, options);
    if (written.outcome === 'written') {
      const etag = printETag(written.version);
      return answerEmpty(record, 200, { etag, 'content-location': locationOf(permitted, written.version) });
    }
  }
  return refuseRejected(record, ifVersion === undefined ? 'conflict' : staleCode(tenant), 'changed_meanwhile');
}

function refusePrepared(
  { verdict }: Permitted,
  prepared: Exclude<Prepared, { outcome: 'ready' }>,
  record: RequestRecord,
): Promise<Reply> {
  if (prepared.outcome === 'rejected') return refuseRejected(record, prepared.code, prepared.reason, prepared.expression);
  return refuseDenied(record, {
    code: prepared.reason,
    text: `${verdict.rule.id}: what is stored is not the caller’s to change`,
  });
}

/** Creates what a rule permits. Sent once: nobody knows what became of a create that was not answered (attack case C24). */
export async function answerCreate(permitted: Permitted, record: RequestRecord, options: AnswerOptions): Promise<Reply> {
  const { tenant } = permitted.authenticated.addressed;
  const prepared = await prepareCreate(permitted);
  if (prepared.outcome !== 'ready') return refusePrepared(permitted, prepared, record);
  await record.intent();
  const { method, path, query } = printInteraction(permitted.verdict.interaction);
  const answer = await options.upstream(tenant).forward({
    method,
    path,
    query,
    headers: { accept: FHIR_JSON, 'content-type': FHIR_JSON, prefer: 'return=minimal' },
    body: printJson(prepared.sent.resource ?? {}),
  });
  discard(answer.body);
  switch (answer.status) {
    case 200:
    case 201: {
      const headers: Record<string, string> = {};
      for (const name of ['location', 'etag']) {
        const value = answer.headers.get(name);
        if (value !== undefined) headers[name] = value;
      }
      return answerEmpty(record, 201, headers);
    }
    case 400:
    case 422:
      return refuseRejected(record, 'unprocessable', 'upstream_rejected');
    case 409:
    case 412:
      return refuseRejected(record, staleCode(tenant), 'upstream_conflict');
    default:
      throw new GatewayError('upstream_failed', `the FHIR server answered a create with ${String(answer.status)}`, {
        reason: `upstream_status_${String(answer.status)}`,
      });
  }
}

async function lookUp(
  { authenticated, verdict }: Permitted,
  record: RequestRecord,
  options: AnswerOptions,
): Promise<VersionedResource | undefined> {
  const { type = '', id = '' } = verdict.request.resource;
  const { store } = options.upstream(authenticated.addressed.tenant);
  const [stored] = await Promise.all([store.read(type, id), record.lookUp(type, id)]);
  return stored;
}

/** The stored version must be about the same patient as the new one: else a record could be taken over (attack case C6). */
function storedFault({ verdict: { rule, patient } }: Permitted, stored: JsonObject): string | undefined {
  if (rule.patient === undefined || !('element' in rule.patient)) return undefined;
  return patient !== undefined && patientAt(stored, rule.patient.element) === patient.reference
    ? undefined
    : 'stored_of_another_patient';
}

/** A rule that finds the patient in what is stored has not seen the new version: it must stay where it is (attack cases C6, R8). */
function proposedFault({ verdict: { rule, patient } }: Permitted, proposed: JsonObject): string | undefined {
  if (rule.patient?.from !== 'look-up') return undefined;
  return patient !== undefined && soleWrittenPatient(proposed, rule.patient.element) === patient.reference
    ? undefined
    : 'proposed_of_another_patient';
}

async function put(
  { authenticated }: Permitted,
  resource: JsonObject,
  version: string,
  options: AnswerOptions,
): Promise<WriteResult> {
  try {
    return await options.upstream(authenticated.addressed.tenant).store.put(resource, version);
  } catch (error) {
    if (error instanceof GatewayError && error.options.reason === 'upstream_rejected') {
      throw new GatewayError('unprocessable', 'the FHIR server does not accept the resource', {
        cause: error,
        reason: 'upstream_rejected',
      });
    }
    throw error;
  }
}

function locationOf({ authenticated, verdict }: Permitted, version: string): string {
  const { type = '', id = '' } = verdict.request.resource;
  return `${authenticated.addressed.tenant.publicUrl}/fhir/${type}/${id}/_history/${version}`;
}

function staleCode(tenant: Tenant): 'conflict' | 'precondition_failed' {
  return tenant.fhir.version === 'STU3' ? 'conflict' : 'precondition_failed';
}
