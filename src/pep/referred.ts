import type { JsonObject } from '../fhir/json.ts';
import { localReference, printReference, references, type LocalReference } from '../fhir/reference.ts';
import { isSharedType } from '../fhir/version.ts';
import type { Unready } from './prepared.ts';
import type { RequestRecord } from './record.ts';
import type { RepresentationOptions } from './representation.ts';
import type { Permitted } from './stages.ts';

/** Each may be a look-up at the FHIR server. */
const MAX_REFERRED = 25;

/**
 * What a write refers to anew must be the caller's to read, unless it is of a type that is about nobody (a Practitioner, a Medication): else a record could be
 * tied to another patient's, and a server that looks whether it is there would tell (attack cases C13, C16).
 */
export async function referredFault(
  permitted: Permitted,
  proposed: JsonObject,
  stored: JsonObject | undefined,
  record: RequestRecord,
  options: RepresentationOptions,
): Promise<Unready | undefined> {
  const { patient, request } = permitted.verdict;
  const { type = '', id = '' } = request.resource;
  const known = new Set([`${type}/${id}`, patient?.reference, ...(stored === undefined ? [] : namedIn(stored).keys())]);
  const anew = [...namedIn(proposed)].filter(([name, each]) => !isSharedType(each.type) && !known.has(name));
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
