import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import { failureReply, FhirFailure, outcome } from './reply.ts';
import type { FhirRequest, Reply } from './reply.ts';
import { isObject, parseDraft } from './resource.ts';
import type { Draft } from './resource.ts';
import type { World } from './world.ts';
import { parseJson } from './write.ts';

declare global {
  interface JSON {
    /** Whether a value prints as the text that it was made of (ECMAScript proposal json-parse-with-source). */
    isRawJSON(value: unknown): boolean;
  }
}

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
  const sent: readonly unknown[] = Array.isArray(bundle['entry']) ? bundle['entry'] : [];
  const entries = (type === 'transaction' ? withAssignedIds(sent) : sent.map((entry) => ({ entry }))).map((each) =>
    entryRequest(each, request),
  );
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
    link: [{ relation: 'self', url: request.base }],
    entry: replies.map((reply, index) => responseEntry(reply, entries[index], request)),
  };
  return { status: 200, headers: {}, body: { kind: 'resource', resource } };
}

/** Order of processing (http.html, "Transaction Processing Rules"): DELETE, POST, PUT, the rest. */
function rank(entry: FhirRequest | undefined): number {
  const place = ['DELETE', 'POST', 'PUT'].indexOf(entry?.method ?? '');
  return place < 0 ? 3 : place;
}

interface AssignedEntry {
  readonly entry: unknown;
  readonly newId?: string;
  readonly created?: ReadonlySet<string>;
}

/** What a transaction creates gets its id first, so that the other entries' references to its `fullUrl` can become references to it. */
function withAssignedIds(entries: readonly unknown[]): readonly AssignedEntry[] {
  const created = new Map<string, string>();
  const assigned = entries.map((entry): AssignedEntry => {
    const method = isObject(entry) && isObject(entry['request']) ? entry['request']['method'] : undefined;
    const resource = isObject(entry) ? parseDraft(entry['resource']) : undefined;
    if (!isObject(entry) || method !== 'POST' || resource === undefined) return { entry };
    const newId = randomUUID();
    if (typeof entry['fullUrl'] === 'string') created.set(entry['fullUrl'], `${resource.resourceType}/${newId}`);
    return { entry, newId };
  });
  const names = new Set(created.values());
  return assigned.map((each) => ({ ...each, entry: renamed(each.entry, created), created: names }));
}

function renamed(value: unknown, names: ReadonlyMap<string, string>): unknown {
  if (Array.isArray(value)) return value.map((part) => renamed(part, names));
  if (!isObject(value) || JSON.isRawJSON(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, part]) => [
      name,
      name === 'reference' && typeof part === 'string' ? (names.get(part) ?? part) : renamed(part, names),
    ]),
  );
}

function entryRequest({ entry, newId, created }: AssignedEntry, outer: FhirRequest): FhirRequest {
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
    ...(newId === undefined ? {} : { newId }),
    ...(created === undefined ? {} : { created }),
    ...(resource === undefined ? {} : { resource: method === 'PUT' && id !== undefined ? { ...resource, id } : resource }),
  };
}

/** What a write gives is its outcome, unless `Prefer` asks for the resource; what fails has no resource at all. */
function responseEntry(reply: Reply, entry: FhirRequest | undefined, outer: FhirRequest): unknown {
  const { status, headers, body } = reply;
  const location = headers['content-location'];
  const etag = /"(\d+)"/.exec(headers['etag'] ?? '')?.[1];
  const modified = headers['last-modified'];
  const resource = body?.kind === 'resource' ? body.resource : undefined;
  const wrote = rank(entry) < 3 && status < 300;
  const response = {
    status: `${status} ${STATUS_CODES[status] ?? ''}`.trim(),
    ...(location === undefined ? {} : { location: location.slice(outer.base.length + 1) }),
    ...(etag === undefined ? {} : { etag }),
    ...(wrote && modified !== undefined ? { lastModified: new Date(modified).toISOString() } : {}),
    ...(status >= 400 ? { outcome: resource } : wrote ? { outcome: outcome('information', 'informational', 'Success') } : {}),
  };
  const shown = status < 400 && (!wrote || /return=representation/.test(outer.header('prefer') ?? ''));
  return shown && resource !== undefined ? { resource, response } : { response };
}
