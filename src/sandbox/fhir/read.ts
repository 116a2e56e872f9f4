import { randomUUID } from 'node:crypto';
import { FhirFailure } from './reply.ts';
import type { FhirRequest, Reply } from './reply.ts';
import { localReference, references } from './resource.ts';
import type { Resource } from './resource.ts';
import { searchType } from './search.ts';
import type { Version } from './store.ts';
import type { World } from './world.ts';
import { versionHeaders, versionUrl } from './write.ts';

/** `GET [type]/[id]`: 404 never there, 410 deleted, 304 unchanged. */
export function read(world: World, request: FhirRequest, type: string, id: string): Reply {
  refuseParameters(request);
  const version = world.store.current(type, id);
  if (version === undefined) throw new FhirFailure(404, 'not-found', `SIM-2001: Resource ${type}/${id} is not known`);
  return versionReply(world, request, version);
}

/** `GET [type]/[id]/_history/[n]`; old versions of a deleted resource stay readable. */
export function vread(world: World, request: FhirRequest, type: string, id: string, number: string): Reply {
  const version = world.store.history(type, id).find((candidate) => String(candidate.number) === number);
  if (version === undefined)
    throw new FhirFailure(404, 'not-found', `SIM-0979: Version "${number}" of resource ${type}/${id} is not known`);
  return versionReply(world, request, version);
}

/** `_history` of an instance, a type or everything; newest first. Parameters do nothing but `_count` and `_since`. */
export function history(world: World, request: FhirRequest, type?: string, id?: string): Reply {
  const all = type !== undefined && id !== undefined ? world.store.history(type, id) : world.store.allVersions(type);
  if (id !== undefined && all.length === 0)
    throw new FhirFailure(404, 'not-found', `SIM-2001: Resource ${type ?? ''}/${id} is not known`);
  const since = request.query.get('_since');
  const listed = all
    .filter((version) => since === null || Date.parse(version.lastUpdated) >= Date.parse(since))
    .slice(0, count(request) ?? 100);
  const entry = listed.map((version) => ({
    fullUrl: `${request.base}/${version.type}/${version.id}`,
    ...(version.resource === undefined ? {} : { resource: version.resource }),
    request: { method: version.method, url: `${version.type}/${version.id}/_history/${version.number}` },
    ...(world.version === 'R4'
      ? { response: { status: version.number === 1 ? '201 Created' : '200 OK', etag: `W/"${version.number}"` } }
      : {}),
  }));
  const path = [type, id, '_history'].filter((part) => part !== undefined).join('/');
  const link = [{ relation: 'self', url: `${request.base}/${path}` }];
  return bundleReply({ type: 'history', total: all.length, link, entry }, world);
}

const DEFAULT_COUNT = 20;

/**
 * `GET [type]?…` and `POST [type]/_search`. A form body counts only with exactly the form media type; with another it is silently
 * ignored and the search is unrestricted, as on real servers. The self link of a POST is without parameters.
 */
export function search(world: World, request: FhirRequest, type: string): Reply {
  const post = request.method === 'POST';
  const form =
    post && request.header('content-type')?.split(';')[0]?.trim().toLowerCase() === 'application/x-www-form-urlencoded';
  const query = new URLSearchParams([...request.query, ...(form ? new URLSearchParams(request.body.toString('utf8')) : [])]);
  const result = searchType(world.store, type, query, request.base);
  const shown = query.get('_summary') === 'count' ? 0 : (count({ query }) ?? DEFAULT_COUNT);
  const sorted = new URLSearchParams([...query].sort(([one], [other]) => one.localeCompare(other))).toString();
  const self = post ? `${request.base}/${type}/_search` : `${request.base}/${type}${sorted === '' ? '' : `?${sorted}`}`;
  const key = randomUUID();
  if (shown > 0 && result.matches.length > shown) world.pages.set(key, result);
  return page(world, request, { ...result, self, key, offset: 0, size: shown, exact: query.get('_total') === 'accurate' });
}

/** `GET [base]?_getpages=…`: the key alone gives the whole result; 410 for one that is not known (any more). */
export function nextPage(world: World, request: FhirRequest): Reply {
  const key = request.query.get('_getpages') ?? '';
  const result = world.pages.get(key);
  if (result === undefined)
    throw new FhirFailure(410, 'processing', `SIM-0417: Search ID "${key}" does not exist and may have expired`);
  // Which they were was decided by the search; what they are is read again: a page may hold what would not match any more.
  const matches = result.matches.flatMap(({ resourceType, id }) => world.store.current(resourceType, id)?.resource ?? []);
  const offset = Number(request.query.get('_getpagesoffset') ?? 0);
  const self = `${request.base}?${request.query.toString()}`;
  return page(world, request, { ...result, matches, self, key, offset, size: count(request) ?? matches.length, exact: false });
}

interface Page {
  readonly matches: readonly Resource[];
  readonly included: (matches: readonly Resource[]) => readonly Resource[];
  readonly self: string;
  readonly key: string;
  readonly offset: number;
  readonly size: number;
  readonly exact: boolean;
}

function page(world: World, { base }: FhirRequest, { matches, included, self, key, offset, size, exact }: Page): Reply {
  const shown = matches.slice(offset, offset + size);
  const more = size > 0 && offset + size < matches.length;
  const cursor = (from: number): string =>
    `${base}?_getpages=${key}&_getpagesoffset=${from}&_count=${size}&_bundletype=searchset`;
  const link = [
    { relation: 'self', url: self },
    ...(more ? [{ relation: 'next', url: cursor(offset + size) }] : []),
    ...(offset > 0 ? [{ relation: 'previous', url: cursor(Math.max(0, offset - size)) }] : []),
  ];
  const entry = [
    ...shown.map((resource) => ({
      fullUrl: `${base}/${resource.resourceType}/${resource.id}`,
      resource,
      search: { mode: 'match' },
    })),
    ...included(shown).map((resource) => ({
      fullUrl: `${base}/${resource.resourceType}/${resource.id}`,
      resource,
      search: { mode: 'include' },
    })),
  ];
  return bundleReply(
    { type: 'searchset', ...(more && !exact ? {} : { total: matches.length }), link, ...(entry.length === 0 ? {} : { entry }) },
    world,
  );
}

/** `Patient/[id]/$everything`: the patient and whatever refers to them. */
export function everything(world: World, request: FhirRequest, id: string): Reply {
  const patient = world.store.current('Patient', id)?.resource;
  if (patient === undefined) throw new FhirFailure(404, 'not-found', `SIM-2001: Resource Patient/${id} is not known`);
  const others = world.store
    .live()
    .filter((resource) => references(resource).some((reference) => localReference(reference) === `Patient/${id}`));
  const self = `${request.base}/Patient/${id}/$everything`;
  return page(world, request, {
    matches: [patient, ...others],
    included: () => [],
    self,
    key: '',
    offset: 0,
    size: others.length + 1,
    exact: true,
  });
}

function versionReply(world: World, request: FhirRequest, version: Version): Reply {
  if (version.resource === undefined) {
    throw new FhirFailure(410, 'processing', `SIM-2001: Resource was deleted at ${version.lastUpdated}`, {
      location: versionUrl(request, version),
    });
  }
  const headers = versionHeaders(request, version);
  const ifNoneMatch = request.header('if-none-match');
  const ifModifiedSince = Date.parse(request.header('if-modified-since') ?? '');
  if (
    /^(?:W\/)?"(\d+)"$/.exec(ifNoneMatch ?? '')?.[1] === String(version.number) ||
    ifModifiedSince >= Date.parse(version.lastUpdated)
  ) {
    // What the 200 would have (RFC 9110 §15.4.5); some servers leave the tag out.
    return { status: 304, headers };
  }
  const { resource } = version;
  if (version.type === 'Binary' && !wantsResource(request)) {
    const data = resource[world.version === 'STU3' ? 'content' : 'data'];
    const contentType = typeof resource['contentType'] === 'string' ? resource['contentType'] : 'application/octet-stream';
    return {
      status: 200,
      headers: { ...headers, 'content-type': contentType, 'content-disposition': 'Attachment;' },
      body: { kind: 'bytes', bytes: Buffer.from(typeof data === 'string' ? data : '', 'base64') },
    };
  }
  return { status: 200, headers, body: { kind: 'resource', resource } };
}

/** A Binary comes as resource only where FHIR's own media type, or `_format`, asks for it; else as its raw bytes. */
function wantsResource(request: FhirRequest): boolean {
  return request.query.has('_format') || (request.header('accept') ?? '').includes('application/fhir+json');
}

function refuseParameters({ query }: FhirRequest): void {
  for (const name of query.keys()) {
    if (!name.startsWith('_')) throw new FhirFailure(400, 'processing', `SIM-0302: Unknown parameter on a read: "${name}"`);
  }
}

function count({ query }: { readonly query: URLSearchParams }): number | undefined {
  const text = query.get('_count');
  return text === null || !/^-?\d+$/.test(text) ? undefined : Math.max(0, Number(text));
}

function bundleReply(bundle: Readonly<Record<string, unknown>>, { clock }: World): Reply {
  const meta = { lastUpdated: clock.now().toISOString() };
  return {
    status: 200,
    headers: {},
    body: { kind: 'resource', resource: { resourceType: 'Bundle', id: randomUUID(), meta, ...bundle } },
  };
}
