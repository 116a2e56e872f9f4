import { randomUUID } from 'node:crypto';
import {
  GatewayError,
  printJson,
  type FieldProblem,
  type JsonObject,
  type JsonValue,
  type RemoteReply,
  type Services,
} from 'sluis/usecase';
import type { EOverdrachtConfig } from './config.ts';
import type { SenderClient } from './fetch-client.ts';
import { parseResource } from './fetch-json.ts';
import { isAboutAnother, pointsTo, subjectOf } from './fetch-references.ts';
import { outcomeCode } from './fetch-task.ts';
import { object, objects, text } from './json.ts';
import type { DocumentKind } from './task.ts';

/** Reads at once. */
const WIDTH = 4;
const MAX_BYTES = 32 * 1024 * 1024;
const MAX_MS = 60_000;

const INCOMPLETE: Readonly<Record<DocumentKind, string>> = {
  advanceNotice: 'advance_notice_incomplete',
  nursingHandoff: 'handoff_incomplete',
};

/** What is kept while one document is put together. */
interface Errand {
  readonly services: Services;
  readonly client: SenderClient;
  readonly base: string;
  readonly deadlineMs: number;
  bytes: number;
}

/**
 * Fetches a document from its sender as a Bundle of type `document`: the Composition first, then everything that it refers to. Whole or an
 * error: what `$document` left out is read one by one, and what cannot be read fails the call. What the Composition does not lead to, and
 * Binaries, are not in it.
 *
 * Whole means: every reference of the Composition itself, and of what these refer to in turn everything that is in the sender's Bundle or that
 * a credential of the sender names. A reference further on that was never granted stays a reference.
 *
 * @param composition `Composition/…`, as the Task names it
 * @throws GatewayError `upstream_failed` (`handoff_incomplete` or `advance_notice_incomplete`, with the references in `fields`;
 *   `mixed_patients`, `document_too_large`), `upstream_timeout`, `forbidden` (`refused_by_sender`, `no_credential`), `not_found`
 */
export async function fetchDocument(
  services: Services,
  client: SenderClient,
  kind: DocumentKind,
  composition: string,
  config: Pick<EOverdrachtConfig, 'collect'>,
): Promise<JsonObject> {
  const base = await client.base();
  const errand: Errand = { services, client, base, deadlineMs: services.now().getTime() + MAX_MS, bytes: 0 };
  const offered = await offeredDocument(errand, composition);
  const root = offered?.resources.get(composition) ?? (await readComposition(errand, composition));
  const subject = subjectOf(root, base);
  if (subject === undefined) throw broken('document_without_patient', 'the Composition names no patient of the sender');

  const problems: FieldProblem[] = pointsTo(root, base).unusable.map((field) => ({
    field,
    problem: 'is at no place of the sender',
  }));
  const found = new Map<string, JsonObject>([[composition, root]]);
  const seen = new Set<string>([composition]);
  const fresh = (resource: JsonObject): readonly string[] => {
    const next = pointsTo(resource, base).local.filter((reference) => !seen.has(reference));
    for (const reference of next) seen.add(reference);
    return next;
  };
  let level = fresh(root);
  for (let depth = 1; level.length > 0; depth += 1) {
    if (seen.size > config.collect.maxResources * 2) throw tooLarge();
    const next: string[] = [];
    for (const [reference, got] of await inTurns(level, (each) => obtain(errand, offered, each, depth === 1))) {
      if (got === undefined) continue;
      if (typeof got === 'string') {
        problems.push({ field: reference, problem: got });
        continue;
      }
      found.set(reference, got);
      if (found.size > config.collect.maxResources) throw tooLarge();
      if (isAboutAnother(got, subject, base)) {
        throw new GatewayError('upstream_failed', 'the document of the sender is not about one patient only', {
          reason: 'mixed_patients',
          fields: [{ field: reference, problem: 'is about another patient' }],
        });
      }
      next.push(...fresh(got));
    }
    level = next;
  }
  if (problems.length > 0) {
    throw new GatewayError('upstream_failed', 'the document of the sender is not whole', {
      reason: INCOMPLETE[kind],
      fields: problems,
    });
  }
  return bundle(base, found, offered);
}

/** What the sender's `$document` gave: by `Type/id`, and by `urn:` where an entry has such a name. */
interface Offered {
  readonly identifier?: JsonObject;
  readonly resources: ReadonlyMap<string, JsonObject>;
}

/** Asks for `$document`. Undefined when there is no use of the answer, whatever the cause: then everything is read one by one. */
async function offeredDocument(errand: Errand, composition: string): Promise<Offered | undefined> {
  const credentials = await errand.client.held(composition, 'document');
  const granted = credentials.some((each) =>
    each.resources.some((resource) => resource.operations.some((operation) => operation.toLowerCase() === 'document')),
  );
  if (!granted) return undefined;
  let resource: JsonObject;
  try {
    const reply = await errand.client.call({ reference: composition, operation: 'document' });
    if (reply.status !== 200) return undefined;
    resource = parsed(errand, reply);
  } catch (error) {
    if (error instanceof GatewayError && error.code.startsWith('upstream_') && error.options.reason !== 'document_too_large')
      return undefined;
    throw error;
  }
  if (text(resource, 'resourceType') !== 'Bundle' || text(resource, 'type') !== 'document') return undefined;
  const resources = new Map<string, JsonObject>();
  for (const entry of objects(resource, 'entry')) {
    const inner = object(entry, 'resource');
    const type = text(inner, 'resourceType');
    const id = text(inner, 'id');
    if (inner === undefined || type === undefined || type === 'Binary') continue;
    const name = text(entry, 'fullUrl');
    if (name?.startsWith('urn:') === true) resources.set(name, inner);
    if (id === undefined) continue;
    const key = `${type}/${id}`;
    // Two entries of one name: nobody can tell which is meant.
    if (resources.has(key) && printJson(resources.get(key) ?? null) !== printJson(inner)) return undefined;
    resources.set(key, inner);
  }
  const identifier = object(resource, 'identifier');
  return { resources, ...(identifier === undefined ? {} : { identifier }) };
}

/** The resource; why it cannot be had; or undefined when it is no part of what was handed over. */
async function obtain(
  errand: Errand,
  offered: Offered | undefined,
  reference: string,
  needed: boolean,
): Promise<JsonObject | string | undefined> {
  const present = offered?.resources.get(reference);
  if (present !== undefined) return present;
  if (reference.startsWith('urn:')) return needed ? 'is not in the document' : undefined;
  if (errand.services.now().getTime() > errand.deadlineMs) {
    throw new GatewayError('upstream_timeout', 'the sender took too long for the whole document', { reason: 'sender_timeout' });
  }
  if (!needed && (await errand.client.held(reference, 'read')).length === 0) return undefined;
  try {
    const reply = await errand.client.call({ reference, operation: 'read' });
    if (reply.status !== 200) return `the sender answered ${String(reply.status)}`;
    const resource = parsed(errand, reply);
    return isNamed(resource, reference) ? resource : 'the sender answered with another resource';
  } catch (error) {
    if (!(error instanceof GatewayError) || error.options.reason === 'document_too_large') throw error;
    return error.options.reason === 'no_credential' ? 'no credential of the sender names it' : 'the sender did not answer';
  }
}

async function readComposition(errand: Errand, composition: string): Promise<JsonObject> {
  const reply = await errand.client.call({ reference: composition, operation: 'read' });
  if (reply.status !== 200) throw refusedRead(reply);
  const resource = parsed(errand, reply);
  if (!isNamed(resource, composition)) throw broken('sender_answered_otherwise', 'the sender answered with another resource');
  return resource;
}

/** How a refusal of the sender is told to the EHR. */
export function refusedRead(reply: RemoteReply): GatewayError {
  const status = String(reply.status);
  if (reply.status === 403) {
    const code = outcomeCode(reply);
    const known = code === 'user_context_required' || code === 'assurance_level_too_low';
    return new GatewayError('forbidden', 'the sender refuses this resource', { reason: known ? code : 'refused_by_sender' });
  }
  if (reply.status === 404 || reply.status === 410) {
    return new GatewayError('not_found', 'the sender does not have this resource', { reason: 'resource_unknown' });
  }
  return broken(`sender_answered_${status}`, `the sender answered ${status}`);
}

function parsed(errand: Errand, reply: RemoteReply): JsonObject {
  errand.bytes += reply.body.length;
  if (errand.bytes > MAX_BYTES) throw tooLarge();
  return parseResource(reply.body);
}

function bundle(base: string, found: ReadonlyMap<string, JsonObject>, offered: Offered | undefined): JsonObject {
  return {
    resourceType: 'Bundle',
    type: 'document',
    // STU3 documents must have one (facts §3.4); ours when the sender made none.
    identifier: offered?.identifier ?? { system: 'urn:ietf:rfc:3986', value: `urn:uuid:${randomUUID()}` },
    entry: [...found].map(([reference, resource]): JsonValue => ({
      fullUrl: reference.startsWith('urn:') ? reference : `${base}/${reference}`,
      resource,
    })),
  };
}

async function inTurns<T>(
  list: readonly string[],
  work: (item: string) => Promise<T>,
): Promise<readonly (readonly [string, T])[]> {
  const results: (readonly [string, T])[] = [];
  for (let index = 0; index < list.length; index += WIDTH) {
    const turn = list.slice(index, index + WIDTH).map(async (item) => [item, await work(item)] as const);
    results.push(...(await Promise.all(turn)));
  }
  return results;
}

function isNamed(resource: JsonObject, reference: string): boolean {
  return `${text(resource, 'resourceType') ?? ''}/${text(resource, 'id') ?? ''}` === reference;
}

function tooLarge(): GatewayError {
  return broken('document_too_large', 'the document of the sender is too large');
}

function broken(reason: string, message: string): GatewayError {
  return new GatewayError('upstream_failed', message, { reason });
}
