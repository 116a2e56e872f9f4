import { randomUUID } from 'node:crypto';
import { failureReply, FhirFailure } from './reply.ts';
import type { FhirRequest, Reply } from './reply.ts';
import { isObject, parseDraft } from './resource.ts';
import type { Draft } from './resource.ts';
import type { World } from './world.ts';
import { parseJson } from './write.ts';

type Interact = (request: FhirRequest) => Reply;

/**
 * `POST [base]`. What real servers do and a gate must not rely on them for: a Bundle without type runs as a transaction; a POST entry
 * is stored under the type of its resource, whatever its url says; a PUT entry takes its id from the url; writes run before reads; a
 * read that fails does not roll a transaction back.
 */
export function processBundle(world: World, request: FhirRequest, interact: Interact): Reply {
  const bundle = parseJson(request.body);
  if (bundle.resourceType !== 'Bundle')
    throw new FhirFailure(400, 'processing', `SIM-0461: expected "Bundle" but found "${bundle.resourceType}"`);
  const type = bundle['type'] ?? 'transaction';
  if (type !== 'batch' && type !== 'transaction') {
    throw new FhirFailure(
      400,
      'processing',
      `SIM-0527: Unable to process transaction where incoming Bundle.type = ${JSON.stringify(type)}`,
    );
  }
  const entries = (Array.isArray(bundle['entry']) ? bundle['entry'] : []).map((entry: unknown) => entryRequest(entry, request));
  const run = (): readonly Reply[] => {
    const replies = new Map<number, Reply>();
    const order = [...entries.keys()].sort((one, other) => rank(entries[one]) - rank(entries[other]));
    for (const index of order) {
      const entry = entries[index];
      if (entry === undefined) continue;
      try {
        replies.set(index, interact(entry));
      } catch (error) {
        if (type === 'transaction' && rank(entry) < 3) throw error;
        replies.set(index, failureReply(error));
      }
    }
    return entries.flatMap((_entry, index) => replies.get(index) ?? []);
  };
  const replies = type === 'transaction' ? world.store.transaction(run) : run();
  const resource = {
    resourceType: 'Bundle',
    id: randomUUID(),
    type: `${type}-response`,
    entry: replies.map((reply) => responseEntry(reply, request.base)),
  };
  return { status: 200, headers: {}, body: { kind: 'resource', resource } };
}

/** Order of processing (http.html, "Transaction Processing Rules"): DELETE, POST, PUT, the rest. */
function rank(entry: FhirRequest | undefined): number {
  const place = ['DELETE', 'POST', 'PUT'].indexOf(entry?.method ?? '');
  return place < 0 ? 3 : place;
}

function entryRequest(entry: unknown, outer: FhirRequest): FhirRequest {
  const details = isObject(entry) && isObject(entry['request']) ? entry['request'] : {};
  const { method, url } = details;
  if (typeof method !== 'string' || typeof url !== 'string') {
    throw new FhirFailure(400, 'processing', 'SIM-0535: Bundle entry has missing or invalid request.method or request.url');
  }
  const [path = '', query = ''] = url.split('?', 2);
  const segments = path.split('/').filter((segment) => segment !== '');
  const resource: Draft | undefined = isObject(entry) ? parseDraft(entry['resource']) : undefined;
  const headers = new Map<string, string>([['accept', 'application/fhir+json']]);
  for (const [name, header] of [
    ['ifMatch', 'if-match'],
    ['ifNoneExist', 'if-none-exist'],
    ['ifNoneMatch', 'if-none-match'],
  ] as const) {
    const value = details[name];
    if (typeof value === 'string') headers.set(header, value);
  }
  const id = segments[1];
  return {
    method,
    segments: method === 'POST' && resource !== undefined ? [resource.resourceType] : segments,
    query: new URLSearchParams(query),
    base: outer.base,
    header: (name) => headers.get(name),
    body: Buffer.alloc(0),
    ...(resource === undefined ? {} : { resource: method === 'PUT' && id !== undefined ? { ...resource, id } : resource }),
  };
}

function responseEntry(reply: Reply, base: string): unknown {
  const location = reply.headers['content-location'];
  const etag = /"(\d+)"/.exec(reply.headers['etag'] ?? '')?.[1];
  const response = {
    status: String(reply.status),
    ...(location === undefined ? {} : { location: location.slice(base.length + 1) }),
    ...(etag === undefined ? {} : { etag }),
  };
  return reply.body?.kind === 'resource' ? { resource: reply.body.resource, response } : { response };
}
