import { randomUUID } from 'node:crypto';
import { isId, isResourceType } from '../../fhir/version.ts';
import { FhirFailure, outcome } from './reply.ts';
import type { FhirRequest, Reply } from './reply.ts';
import { localReference, parseDraft, references } from './resource.ts';
import type { Draft, Resource } from './resource.ts';
import { searchType } from './search.ts';
import type { Version, Written } from './store.ts';
import type { World } from './world.ts';

/** `POST [type]`, conditional with `If-None-Exist`: nothing matches 201, one 200, several 412. */
export function create(world: World, request: FhirRequest, type: string): Reply {
  const draft = bodyResource(world, request, type);
  const criteria = request.header('if-none-exist');
  if (criteria !== undefined) {
    const found = matching(world, request, type, new URLSearchParams(criteria.replace(/^[^?]*\?/, '')));
    if (found !== undefined) return writeReply(request, found, 200);
  }
  checkReferences(world, request, draft);
  const { version } = world.store.write(draft, request.newId ?? randomUUID(), 'POST');
  return writeReply(request, version, 201, { location: versionUrl(request, version) });
}

/** `PUT [type]/[id]`: 201 for what is new or was deleted, else 200. `If-None-Match` is silently ignored, as real servers do. */
export function update(world: World, request: FhirRequest, type: string, id: string): Reply {
  if (!isId(id)) throw new FhirFailure(400, 'processing', `SIM-0521: Invalid resource ID "${id}"`);
  const draft = bodyResource(world, request, type);
  if (draft.id === undefined)
    throw new FhirFailure(
      400,
      'processing',
      'SIM-0419: Can not update resource, resource body must contain an ID element for update (PUT) operation',
    );
  if (draft.id !== id) {
    throw new FhirFailure(
      400,
      'processing',
      `SIM-0420: Can not update resource, resource body must contain an ID element which matches the request URL; "${draft.id}" does not match "${id}"`,
    );
  }
  checkVersion(world, request, type, id);
  checkReferences(world, request, draft);
  return writtenReply(request, world.store.write(draft, id, 'PUT'));
}

/** `PUT [type]?criteria`: nothing matches 201, one 200, several 412. `If-Match` does nothing here, as on real servers. */
export function conditionalUpdate(world: World, request: FhirRequest, type: string): Reply {
  const draft = bodyResource(world, request, type);
  const found = matching(world, request, type, request.query);
  checkReferences(world, request, draft);
  return writtenReply(request, world.store.write(draft, found?.id ?? draft.id ?? randomUUID(), 'PUT'));
}

/** `DELETE [type]/[id]`: 200 also for what is not there; `If-Match` does nothing. */
export function remove(world: World, request: FhirRequest, type: string, id: string): Reply {
  const referrer = world.behaviour.referentialIntegrity ? world.store.referrer(type, id) : undefined;
  if (referrer !== undefined) {
    throw new FhirFailure(
      409,
      'processing',
      `SIM-0550: Unable to delete ${type}/${id} because at least one resource has a reference to this resource. First reference found was resource ${referrer.resourceType}/${referrer.id}`,
    );
  }
  const version = world.store.remove(type, id);
  const text =
    version === undefined
      ? `Not deleted, ${type}/${id} is not known or was already deleted`
      : 'Successfully deleted 1 resource(s).';
  return {
    status: 200,
    headers: version === undefined ? {} : { 'content-location': versionUrl(request, version) },
    body: { kind: 'resource', resource: outcome('information', 'informational', text) },
  };
}

/** `DELETE [type]?criteria`: several matches are a 412. */
export function conditionalDelete(world: World, request: FhirRequest, type: string): Reply {
  const found = matching(world, request, type, request.query);
  if (found !== undefined) return remove(world, request, type, found.id);
  return {
    status: 200,
    headers: {},
    body: { kind: 'resource', resource: outcome('warning', 'not-found', 'Unable to find resource matching URL') },
  };
}

/** `http://…/fhir/Type/id/_history/n`. */
export function versionUrl({ base }: FhirRequest, { type, id, number }: Version): string {
  return `${base}/${type}/${id}/_history/${number}`;
}

/** `ETag`, `Last-Modified` and `Content-Location` of a version. */
export function versionHeaders(request: FhirRequest, version: Version): Readonly<Record<string, string>> {
  return {
    etag: `W/"${version.number}"`,
    'last-modified': new Date(version.lastUpdated).toUTCString(),
    'content-location': versionUrl(request, version),
  };
}

function writtenReply(request: FhirRequest, { version, outcome: result }: Written): Reply {
  return writeReply(request, version, result === 'created' ? 201 : 200);
}

function writeReply(request: FhirRequest, version: Version, status: number, more: Readonly<Record<string, string>> = {}): Reply {
  const headers = { ...versionHeaders(request, version), ...more };
  const prefer = /return=([\w-]+)/.exec(request.header('prefer') ?? '')?.[1];
  if (prefer === 'minimal' || version.resource === undefined) return { status, headers };
  const resource: Draft | Resource =
    prefer === 'OperationOutcome' ? outcome('information', 'informational', 'Successfully written') : version.resource;
  return { status, headers, body: { kind: 'resource', resource } };
}

/** The one live resource that criteria name; several are a 412, criteria that say nothing a 400. */
function matching(world: World, request: FhirRequest, type: string, criteria: URLSearchParams): Version | undefined {
  if (criteria.size === 0) throw new FhirFailure(400, 'processing', 'SIM-1091: conditional request without criteria');
  const { matches } = searchType(world.store, type, criteria, request.base);
  if (matches.length > 1) {
    throw new FhirFailure(
      412,
      'multiple-matches',
      `SIM-0958: Failed to process ${type} with match URL "${criteria.toString()}" because this search matched ${matches.length} resources`,
    );
  }
  const [match] = matches;
  return match === undefined ? undefined : world.store.current(type, match.id);
}

/**
 * `If-Match` against the newest version. On an id that never existed it is ignored, so that `W/"0"` means "create only": 201 there,
 * the stale status where the id exists or was deleted.
 */
function checkVersion(world: World, request: FhirRequest, type: string, id: string): void {
  const header = request.header('if-match');
  if (header === undefined || header === '' || world.behaviour.ifMatch === 'ignored') return;
  const wanted = /^(?:W\/)?"?(\d+)"?$/.exec(header)?.[1];
  if (wanted === undefined) throw new FhirFailure(500, 'exception', `SIM-2223: For input string: "${header}"`);
  const current = world.store.current(type, id);
  if (current === undefined || Number(wanted) === current.number) return;
  throw new FhirFailure(
    world.behaviour.staleVersionStatus,
    'processing',
    `SIM-0550: SIM-0989: Trying to update ${type}/${id}/_history/${wanted} but this is not the current version`,
  );
}

function checkReferences({ behaviour, store, version }: World, { base, created }: FhirRequest, draft: Draft): void {
  if (!behaviour.referentialIntegrity) return;
  for (const reference of references(draft)) {
    if (reference.startsWith(`${base}/`)) {
      throw new FhirFailure(
        400,
        'processing',
        `SIM-0507: Resource contains external reference to URL "${reference}" but this server is not configured to allow external references`,
      );
    }
    const [type = '', id = ''] = localReference(reference)?.split('/') ?? [];
    if (!isResourceType(version, type) || (type === draft.resourceType && id === draft.id)) continue;
    if (created?.has(`${type}/${id}`) === true) continue;
    if (store.current(type, id)?.resource === undefined) {
      throw new FhirFailure(
        400,
        'processing',
        `SIM-1094: Resource ${type}/${id} not found, specified in a reference of ${draft.resourceType}`,
      );
    }
  }
}

/** The resource in the body, which must be of this type; a raw body becomes a Binary where one is written. */
function bodyResource(world: World, request: FhirRequest, type: string): Draft {
  const draft = request.resource ?? parseBody(world, request, type);
  if (draft.resourceType !== type) {
    throw new FhirFailure(
      400,
      'processing',
      `SIM-0461: Incorrect resource type found, expected "${type}" but found "${draft.resourceType}"`,
    );
  }
  return draft;
}

function parseBody(world: World, request: FhirRequest, type: string): Draft {
  const contentType = request.header('content-type');
  const mediaType = contentType?.split(';')[0]?.trim().toLowerCase();
  if (mediaType !== undefined && isJson(mediaType)) return parseJson(request.body);
  if (type === 'Binary' && contentType !== undefined && !/xml/.test(contentType)) {
    const id = request.method === 'PUT' ? request.segments[1] : undefined;
    const data = request.body.toString('base64');
    return {
      resourceType: 'Binary',
      ...(id === undefined ? {} : { id }),
      contentType,
      ...(world.version === 'STU3' ? { content: data } : { data }),
    };
  }
  if (mediaType === undefined)
    throw new FhirFailure(
      400,
      'processing',
      'SIM-0448: No Content-Type header was provided in the request. This is required for "EXTENDED_OPERATION_INSTANCE" operation',
    );
  throw new FhirFailure(415, 'not-supported', `SIM-0449: The Content-Type "${mediaType}" is not one this server reads`);
}

/** The media types under which JSON comes. */
export function isJson(mediaType: string): boolean {
  return ['application/fhir+json', 'application/json', 'application/json+fhir'].includes(mediaType);
}

/** A number as it was written where JavaScript would write it otherwise: a decimal's precision has meaning (datatypes.html#decimal). */
function keepNumber(_name: string, value: unknown, context?: { readonly source?: string }): unknown {
  const source = context?.source;
  return typeof value === 'number' && source !== undefined && String(value) !== source ? JSON.rawJSON(source) : value;
}

/** JSON as real servers read it: of a repeated key the last counts. */
export function parseJson(body: Buffer): Draft {
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'), keepNumber);
  } catch (error) {
    throw new FhirFailure(
      400,
      'processing',
      `SIM-0450: Failed to parse request body as JSON resource. Error was: SIM-1861: ${error instanceof Error ? error.message : 'unreadable'}`,
    );
  }
  const draft = parseDraft(value);
  if (draft === undefined)
    throw new FhirFailure(400, 'processing', 'SIM-1838: Invalid JSON content detected, missing required element: "resourceType"');
  return draft;
}
