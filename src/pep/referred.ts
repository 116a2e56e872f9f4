import type { JsonObject } from '../fhir/json.ts';
import { localReference, printReference, references, type LocalReference } from '../fhir/reference.ts';
import type { Unready } from './prepared.ts';
import type { RequestRecord } from './record.ts';
import type { RepresentationOptions } from './representation.ts';
import type { Permitted } from './stages.ts';

/** Each may be a look-up at the FHIR server. */
const MAX_REFERRED = 25;

/**
 * What a write refers to anew must be the caller's to read, where it is of a type that the role's rules know as somebody's data: else a record could be tied
 * to another patient's (attack case C13). Patients themselves are judged by the rule (`pdp/patient.ts`); what is of no rule (a Practitioner) is nobody's.
 */
export async function referredFault(
  permitted: Permitted,
  proposed: JsonObject,
  stored: JsonObject | undefined,
  record: RequestRecord,
  options: RepresentationOptions,
): Promise<Unready | undefined> {
  const { selected, request } = permitted.verdict;
  const judged = new Set(selected.role.rules.flatMap(({ patient, types }) => (patient === undefined ? [] : types)));
  const known = stored === undefined ? new Set<string>() : new Set(namedIn(stored).keys());
  const { type = '', id = '' } = request.resource;
  known.add(`${type}/${id}`);
  const anew = [...namedIn(proposed)].filter(
    ([name, each]) => each.type !== 'Patient' && judged.has(each.type) && !known.has(name),
  );
  if (anew.length > MAX_REFERRED) return { outcome: 'rejected', code: 'unprocessable', reason: 'too_many_references' };
  for (const [, each] of anew) {
    if ((await options.mayRead(permitted, record, each.type, each.id)) === undefined)
      return { outcome: 'denied', reason: 'refers_to_unreadable' };
  }
  return undefined;
}

function namedIn(resource: JsonObject): ReadonlyMap<string, LocalReference> {
  const named = new Map<string, LocalReference>();
  for (const { value } of references(resource)) {
    const local = localReference(value);
    if (local !== undefined) named.set(printReference(local), local);
  }
  return named;
}
