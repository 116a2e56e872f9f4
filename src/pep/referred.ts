import type { JsonObject } from '../fhir/json.ts';
import { parseReference, printReference, references, type Reference } from '../fhir/reference.ts';
import { isSharedType } from '../fhir/version.ts';
import type { Unready } from './prepared.ts';
import type { RequestRecord } from './record.ts';
import type { RepresentationOptions } from './representation.ts';
import type { Permitted } from './stages.ts';
import type { Bases } from '../upstream/rewrite.ts';

/** Of one request, a Bundle too: each may be a look-up at the FHIR server (attack case B15). */
const MAX_REFERRED = 25;

/**
 * What a write refers to anew must be the caller's to read, unless it is of a type that is about nobody (a Practitioner, a Medication): else a record could be
 * tied to another patient's, and a server that looks whether it is there would tell (attack cases C13, C16).
 */
export async function referredFault(
  permitted: Permitted,
  proposed: JsonObject,
  before: Before | undefined,
  record: RequestRecord,
  options: RepresentationOptions,
): Promise<Unready | undefined> {
  const { patient, request } = permitted.verdict;
  const { type = '', id = '' } = request.resource;
  const { bases } = options.upstream(permitted.authenticated.addressed.tenant);
  const isOwn = (name: string): boolean => name === `${type}/${id}` || name === patient?.reference;
  const said = [...namedIn(proposed, bases)].filter(([name]) => !isOwn(name));
  if (said.length === 0) return undefined;
  const known = before !== undefined && (await before.mayKnow()) ? namedIn(before.stored, bases) : NONE;
  const anew = said.filter(([name]) => !known.has(name));
  const judged = permitted.authenticated.referred ?? new Map<string, Promise<boolean>>();
  if (judged.size + anew.filter(([name]) => !judged.has(name)).length > MAX_REFERRED)
    return { outcome: 'rejected', code: 'unprocessable', reason: 'too_many_references' };
  for (const [name, each] of anew) {
    let isRight = judged.get(name);
    if (isRight === undefined) {
      // What a server would search for, or read in a way of its own, may be anybody's.
      isRight =
        each.kind === 'local'
          ? options.mayRead(permitted, record, each.type, each.id).then((reading) => reading !== undefined)
          : Promise.resolve(false);
      judged.set(name, isRight);
    }
    if (!(await isRight)) return { outcome: 'denied', reason: 'refers_to_unreadable' };
  }
  return undefined;
}

const NONE: ReadonlyMap<string, Reference> = new Map();

/** What is stored at the place of a write. What it refers to may stay, for a caller who may know what that is. */
interface Before {
  readonly stored: JsonObject;
  mayKnow(): Promise<boolean>;
}

/** What a resource names of the custodian's that is about somebody, each once, however it is written. */
function namedIn(resource: JsonObject, bases: Bases): ReadonlyMap<string, Reference> {
  const named = new Map<string, Reference>();
  for (const { value, element } of references(resource)) {
    const reference = parseAtEither(value, bases);
    switch (reference.kind) {
      case 'local':
        if (!isSharedType(reference.type)) named.set(printReference(reference), reference);
        break;
      case 'conditional':
        if (!isSharedType(reference.type)) named.set(value, reference);
        break;
      case 'invalid':
        // The url of an Attachment may be anything.
        if (element === 'Reference') named.set(value, reference);
        break;
      case 'contained':
      case 'urn':
      case 'foreign':
        break;
    }
  }
  return named;
}

/** The custodian has two names: ours for it, and its own. */
function parseAtEither(text: string, bases: Bases): Reference {
  const reference = parseReference(text, bases.public);
  return reference.kind === 'foreign' ? parseReference(text, bases.upstream) : reference;
}
