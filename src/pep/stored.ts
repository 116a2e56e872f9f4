import { parseIfMatch } from '../fhir/etag.ts';
import { isJsonObject, type JsonObject } from '../fhir/json.ts';
import { isId } from '../fhir/version.ts';
import { patientAt, soleWrittenPatient } from '../pdp/patient.ts';
import type { Tenant } from '../tenant/tenant.ts';
import type { VersionedResource } from '../usecase/workflow.ts';
import type { AnswerOptions } from './answer-options.ts';
import type { Unready } from './prepared.ts';
import type { RequestRecord } from './record.ts';
import type { Permitted } from './stages.ts';

/** What is stored at the place of a write, read for its judgement; undefined when nothing is there. */
export async function readStored(
  { authenticated, verdict }: Permitted,
  record: RequestRecord,
  options: AnswerOptions,
): Promise<VersionedResource | undefined> {
  const { type = '', id = '' } = verdict.request.resource;
  const { store } = options.upstream(authenticated.addressed.tenant);
  const [stored] = await Promise.all([store.read(type, id), record.lookUp(type, id)]);
  return stored;
}

/**
 * The stored version must be about the patient of the request: else a record could be taken over (attack case C6). One that is not there, or is another's,
 * is a denial as any other.
 */
export function storedFault({ verdict: { rule, patient } }: Permitted, stored: JsonObject): Unready | undefined {
  if (rule.patient === undefined || !('element' in rule.patient)) return undefined;
  return patient !== undefined && patientAt(stored, rule.patient.element) === patient.reference
    ? undefined
    : { outcome: 'denied', reason: 'stored_of_another_patient' };
}

/** A rule that finds the patient in what is stored has not seen the new version: it must stay where it is (attack cases C6, R8). */
export function proposedFault({ verdict: { rule, patient } }: Permitted, proposed: JsonObject): Unready | undefined {
  if (rule.patient?.from !== 'look-up') return undefined;
  return patient !== undefined && soleWrittenPatient(proposed, rule.patient.element) === patient.reference
    ? undefined
    : { outcome: 'denied', reason: 'proposed_of_another_patient' };
}

/** The version that the caller's `If-Match` names. @throws GatewayError `invalid_header` (400) */
export function wantedVersion({ authenticated }: Permitted): string | undefined {
  const condition = authenticated.addressed.received.headers.get('if-match');
  return condition === undefined ? undefined : parseIfMatch(condition);
}

/** 428 where the rule wants a version and none is named, and what a stale one is, whatever the FHIR server would say. */
export function versionFault(permitted: Permitted, wanted: string | undefined, stored: VersionedResource): Unready | undefined {
  const { addressed, onlyIfVersion } = permitted.authenticated;
  if (wanted === undefined && permitted.verdict.rule.ifMatch === 'required')
    return { outcome: 'rejected', code: 'precondition_required', reason: 'if_match_missing' };
  const code = staleCode(addressed.tenant);
  if (wanted !== undefined && wanted !== stored.version) return { outcome: 'rejected', code, reason: 'stale_version' };
  // Another version may match the criteria no more.
  if (onlyIfVersion !== undefined && onlyIfVersion !== versionIdOf(stored.resource))
    return { outcome: 'rejected', code, reason: 'changed_meanwhile' };
  return undefined;
}

/** What a resource itself says of its version. */
export function versionIdOf({ meta }: JsonObject): string | undefined {
  const version = isJsonObject(meta) ? meta['versionId'] : undefined;
  return typeof version === 'string' && isId(version) ? version : undefined;
}

/** 409 in STU3, 412 in R4 (design §12). */
export function staleCode(tenant: Tenant): 'conflict' | 'precondition_failed' {
  return tenant.fhir.version === 'STU3' ? 'conflict' : 'precondition_failed';
}
