import { GatewayError } from '../errors.ts';
import { parsePatchResource, printPatchResource, type EntryPatch } from './bundle-patch.ts';
import { parseIfMatch, parseIfNoneMatch, printETag } from './etag.ts';
import { interactionId, interactionType, isOfVersion, isWrite, type Interaction } from './interaction.ts';
import { isJsonArray, isJsonObject, type JsonObject, type JsonValue } from './json.ts';
import { parseInteraction, type InteractionRequest } from './parse-interaction.ts';
import { interactionPath, printInteraction } from './print-interaction.ts';
import { parseTarget } from './target.ts';
import type { FhirVersion } from './version.ts';

/** One entry of a batch or transaction: the same model as a request that comes alone, to be judged as if it did. */
export interface BundleEntry {
  readonly interaction: Interaction;
  readonly resource?: JsonObject;
  /** `urn:uuid:…`, or the entry's own URL; other entries may refer to it. */
  readonly fullUrl?: string;
  /** The version in `request.ifMatch`. */
  readonly ifMatch?: string;
  /** The version in `request.ifNoneMatch`, or `*`; whether it fits the interaction is judged as for one that comes alone. */
  readonly ifNoneMatch?: string;
  /** Of a patch: what its Binary brings. A patch in FHIRPath is a `resource`. */
  readonly patch?: EntryPatch;
}

/** A batch or transaction, read completely. */
export interface RequestBundle {
  readonly bundleType: 'batch' | 'transaction';
  readonly entries: readonly BundleEntry[];
}

export interface BundleOptions {
  readonly version: FhirVersion;
  /** Our own FHIR base, without a slash at its end: the only one that a `fullUrl` may begin with. */
  readonly base: string;
  readonly maxEntries: number;
}

/** The value sets http-verb of both versions, without HEAD, which an entry cannot answer. STU3 has no PATCH in a Bundle. */
const METHODS: Readonly<Record<FhirVersion, readonly string[]>> = {
  STU3: ['GET', 'POST', 'PUT', 'DELETE'],
  R4: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
};
const INSTANT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/;
const URN_UUID = /^urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * Reads the body of a `POST [base]`. Servers differ in what they make of a type, an id or a URL that contradicts another
 * (real-servers.md §1.1.9), so that every contradiction is refused here.
 *
 * @throws GatewayError `invalid_body` (400) with the entry at fault; `body_too_large` (413) for too many entries
 */
export function parseBundle(bundle: JsonObject, options: BundleOptions): RequestBundle {
  if (bundle['resourceType'] !== 'Bundle') throw fault('Bundle', 'is no Bundle');
  const bundleType = bundle['type'];
  if (bundleType !== 'batch' && bundleType !== 'transaction') throw fault('Bundle.type', 'must be batch or transaction');
  // What changes the meaning of all that follows cannot be left out, and cannot be judged (resource.html#Resource.implicitRules).
  if (bundle['implicitRules'] !== undefined) throw fault('Bundle.implicitRules', 'must be absent: no other rules are known here');
  const { entry } = bundle;
  if (entry !== undefined && !isJsonArray(entry)) throw fault('Bundle.entry', 'must be a list of entries');
  if (entry === undefined || entry.length === 0) throw fault('Bundle.entry', 'has no entries');
  if (entry.length > options.maxEntries) {
    throw new GatewayError('body_too_large', `more than ${String(options.maxEntries)} entries`, {
      fields: [{ field: 'Bundle.entry', problem: `has more than ${String(options.maxEntries)} entries` }],
    });
  }
  const entries = entry.map((item, index) => parseEntry(item, `Bundle.entry[${String(index)}]`, options));
  const names = entries.flatMap(({ fullUrl }) => fullUrl ?? []);
  if (new Set(names).size !== names.length) throw fault('Bundle.entry', 'repeats a fullUrl');
  // Servers take one of two, or both, in an order of their own.
  const changed = entries.filter(({ interaction }) => isWrite(interaction) && interactionId(interaction) !== undefined);
  const places = changed.map(({ interaction }) => interactionPath(interaction));
  if (bundleType === 'transaction' && new Set(places).size !== places.length)
    throw fault('Bundle.entry', 'changes one resource twice');
  return { bundleType, entries: resolveReferences(entries, options.base) };
}

/**
 * References between entries, and our own absolute URLs, as the relative references that they are: so that each entry can be judged as if it came alone.
 * One to what an entry creates stays: it has no id yet.
 */
function resolveReferences(entries: readonly BundleEntry[], base: string): readonly BundleEntry[] {
  const known = placesOf(entries);
  const resolve = (text: string): string => known.get(text) ?? (text.startsWith(`${base}/`) ? text.slice(base.length + 1) : text);
  return entries.map((entry) =>
    entry.resource === undefined ? entry : { ...entry, resource: withReferences(entry.resource, resolve) as JsonObject },
  );
}

/** By `fullUrl`, what entries change or read: `Type/id`. */
function placesOf(entries: readonly BundleEntry[]): ReadonlyMap<string, string> {
  const known = new Map<string, string>();
  for (const { fullUrl, interaction } of entries) {
    if (fullUrl !== undefined && interactionId(interaction) !== undefined)
      known.set(fullUrl, interactionPath(interaction).slice(1));
  }
  return known;
}

/** A resource that came about later, such as what a patch makes: its references to entries as those of what the entries bring were resolved. */
export function withEntryReferences(resource: JsonObject, entries: readonly BundleEntry[]): JsonObject {
  const known = placesOf(entries);
  return known.size === 0 ? resource : (withReferences(resource, (text) => known.get(text) ?? text) as JsonObject);
}

/** A resource with our own absolute URLs as the relative references that they are. */
export function withOwnReferences(resource: JsonObject, base: string): JsonObject {
  const own = `${base}/`;
  return withReferences(resource, (text) => (text.startsWith(own) ? text.slice(own.length) : text)) as JsonObject;
}

function withReferences(value: JsonValue, resolve: (text: string) => string): JsonValue {
  if (isJsonArray(value)) return value.map((each) => withReferences(each, resolve));
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [
      name,
      name === 'reference' && typeof member === 'string' ? resolve(member) : withReferences(member, resolve),
    ]),
  );
}

function parseEntry(item: JsonValue, field: string, options: BundleOptions): BundleEntry {
  if (!isJsonObject(item)) throw fault(field, 'is no entry');
  const request = item['request'];
  if (!isJsonObject(request)) throw fault(`${field}.request`, 'is missing');
  const { version } = options;
  const method = parseMethod(request, `${field}.request`, version);
  const brought = item['resource'];
  const patch = method === 'PATCH' ? parsePatchResource(brought, `${field}.resource`) : undefined;
  const asked = parseRequest(request, method, `${field}.request`, version, patch && { contentType: patch.contentType });
  const resource = parseResource(patch?.bytes === undefined ? brought : undefined, asked, `${field}.resource`);
  // What an operation brings is part of what it asks.
  const interaction =
    'operation' in asked && resource !== undefined
      ? parseRequest(request, method, `${field}.resource`, version, { input: resource })
      : asked;
  const fullUrl = item['fullUrl'];
  if (fullUrl !== undefined && !isOwnUrl(fullUrl, interaction, options.base)) {
    throw fault(`${field}.fullUrl`, 'must be urn:uuid or the entry’s own URL');
  }
  const ifMatch = request['ifMatch'];
  if (ifMatch !== undefined && !isOfVersion(interaction))
    throw fault(`${field}.request.ifMatch`, `is for writes of what is there already, not for ${interaction.kind}`);
  const { ifNoneMatch, ifModifiedSince } = request;
  // Of an entry it is not gone by, other than alone: what is asked for is answered whole, which is never wrong (RFC 9110 §13.1.3).
  if (ifModifiedSince !== undefined && !(typeof ifModifiedSince === 'string' && INSTANT.test(ifModifiedSince)))
    throw fault(`${field}.request.ifModifiedSince`, 'must be an instant such as 2026-03-01T09:00:00Z');
  return {
    interaction,
    ...(resource === undefined ? {} : { resource }),
    ...(fullUrl === undefined ? {} : { fullUrl }),
    ...(ifMatch === undefined ? {} : { ifMatch: within(`${field}.request.ifMatch`, () => parseIfMatch(text(ifMatch))) }),
    ...(ifNoneMatch === undefined
      ? {}
      : { ifNoneMatch: within(`${field}.request.ifNoneMatch`, () => parseIfNoneMatch(text(ifNoneMatch))) }),
    ...(patch?.bytes === undefined ? {} : { patch }),
  };
}

function parseMethod({ method }: JsonObject, field: string, version: FhirVersion): string {
  const methods = METHODS[version];
  if (typeof method === 'string' && methods.includes(method)) return method;
  throw fault(`${field}.method`, `is none of ${methods.join(', ')}`);
}

function parseRequest(
  request: JsonObject,
  method: string,
  field: string,
  version: FhirVersion,
  brought: Pick<InteractionRequest, 'contentType' | 'input'> = {},
): Interaction {
  const { url, ifNoneExist } = request;
  if (typeof url !== 'string') throw fault(`${field}.url`, url === undefined ? 'is missing' : 'must be a text');
  const read = (): InteractionRequest => {
    // Relative to the base and canonical: with its slash in front, all rules of a request target apply (attack case B3).
    const { segments, query } = parseTarget(`/${url}`, -1);
    return { method, segments, query, version, ...brought };
  };
  const plain = within(`${field}.url`, () => parseInteraction(read()));
  const criteria = `${field}.ifNoneExist`;
  if (ifNoneExist !== undefined && typeof ifNoneExist !== 'string') throw fault(criteria, 'must be a text');
  const interaction = ifNoneExist === undefined ? plain : within(criteria, () => parseInteraction({ ...read(), ifNoneExist }));
  if ('via' in interaction && interaction.via === 'form') throw fault(`${field}.url`, 'is a search that needs a form');
  if (interaction.kind === 'bundle') throw fault(`${field}.url`, 'is a Bundle in a Bundle');
  return interaction;
}

function parseResource(resource: JsonValue | undefined, interaction: Interaction, field: string): JsonObject | undefined {
  switch (interaction.kind) {
    case 'create':
    case 'conditional-create':
    case 'conditional-update':
    case 'update':
      if (!isJsonObject(resource)) throw fault(field, 'is missing');
      // The type of the resource and that of the URL: some servers obey the one, some the other (attack case B4).
      if (resource['resourceType'] !== interactionType(interaction))
        throw fault(`${field}.resourceType`, 'differs from request.url');
      if (interaction.kind === 'update' && resource['id'] !== interactionId(interaction))
        throw fault(`${field}.id`, 'differs from request.url');
      return resource;
    case 'operation-instance':
    case 'operation-type':
    case 'operation-system':
      if (resource === undefined || (interaction.method === 'POST' && isJsonObject(resource))) return resource;
      throw fault(field, interaction.method === 'POST' ? 'is no resource' : 'belongs to no such request');
    case 'patch':
    case 'conditional-patch':
      return isJsonObject(resource) ? resource : undefined;
    case 'read':
    case 'vread':
    case 'delete':
    case 'conditional-delete':
    case 'history-instance':
    case 'history-type':
    case 'history-system':
    case 'search-type':
    case 'search-system':
    case 'search-compartment':
    case 'capabilities':
    case 'options':
    case 'bundle':
      if (resource !== undefined) throw fault(field, 'belongs to no such request');
      return undefined;
  }
}

function isOwnUrl(fullUrl: JsonValue, interaction: Interaction, base: string): fullUrl is string {
  if (typeof fullUrl !== 'string') return false;
  return (
    URN_UUID.test(fullUrl) || (interactionId(interaction) !== undefined && fullUrl === `${base}${interactionPath(interaction)}`)
  );
}

/** Prints the canonical body of a bundle: nothing is in it that was not judged. Own absolute URLs become the custodian's. */
export function printBundle(bundle: RequestBundle, upstreamBase: string): JsonObject {
  return {
    resourceType: 'Bundle',
    type: bundle.bundleType,
    entry: bundle.entries.map((entry) => printEntry(entry, upstreamBase)),
  };
}

function printEntry(entry: BundleEntry, upstreamBase: string): JsonObject {
  const { method, path, query, ifNoneExist } = printInteraction(entry.interaction);
  const { fullUrl, ifMatch, ifNoneMatch, patch } = entry;
  const resource = patch === undefined ? entry.resource : printPatchResource(patch);
  return {
    ...(fullUrl === undefined ? {} : { fullUrl: fullUrl.startsWith('urn:') ? fullUrl : `${upstreamBase}${path}` }),
    ...(resource === undefined ? {} : { resource }),
    request: {
      method,
      url: `${path.slice(1)}${query === '' ? '' : `?${query}`}`,
      ...(ifMatch === undefined ? {} : { ifMatch: printETag(ifMatch) }),
      ...(ifNoneMatch === undefined ? {} : { ifNoneMatch: ifNoneMatch === '*' ? ifNoneMatch : printETag(ifNoneMatch) }),
      ...(ifNoneExist === undefined ? {} : { ifNoneExist }),
    },
  };
}

function text(value: JsonValue | undefined): string {
  if (typeof value !== 'string') throw new GatewayError('invalid_body', 'no text');
  return value;
}

/** What is a 404 or 405 for a request that comes alone is a fault of the body here. */
function within<T>(field: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    if (!(cause instanceof GatewayError)) throw cause;
    const problem = cause.options.fields?.[0]?.problem ?? 'is no FHIR request';
    throw new GatewayError('invalid_body', `${field} ${problem}`, { cause, fields: [{ field, problem }] });
  }
}

function fault(field: string, problem: string): GatewayError {
  return new GatewayError('invalid_body', `${field} ${problem}`, { fields: [{ field, problem }] });
}
