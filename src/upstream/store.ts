import type { Dispatcher } from 'undici';
import { GatewayError } from '../errors.ts';
import { parseETag, printETag } from '../fhir/etag.ts';
import { isJsonObject, parseJsonObject, printJson, type JsonObject } from '../fhir/json.ts';
import { isId, isResourceType } from '../fhir/version.ts';
import { discard } from '../outbound/pinned.ts';
import type { Tenant } from '../tenant/tenant.ts';
import type { FhirStore, VersionedResource, WriteResult } from '../usecase/workflow.ts';
import { connectionError, type Connection, type UpstreamRequest } from './connection.ts';
import { versionIn } from './headers.ts';

const FHIR_JSON = 'application/fhir+json';
// A hand-off's largest resource; decisions and workflows read single ones.
const MAX_RESOURCE_BYTES = 8 * 1024 * 1024;

interface Answer {
  readonly status: number;
  readonly headers: Dispatcher.ResponseData['headers'];
  readonly body: Buffer;
}

/**
 * Reads and writes of our own. Numbers keep their text: what is read and written again is the same. Reads carry `X-Sluis-Lookup: 1`
 * (design §12) and `Cache-Control: no-cache`, because what is decided on them must be so now.
 */
export function createFhirStore(connection: Connection, tenant: Tenant): FhirStore {
  const { version, timeoutMs } = tenant.fhir;

  const exchange = async (request: UpstreamRequest): Promise<Answer> => {
    const deadline = new AbortController();
    const timer = setTimeout(() => {
      deadline.abort(new GatewayError('upstream_timeout', 'the FHIR server did not answer in time', { outage: true }));
    }, timeoutMs);
    try {
      const { statusCode: status, headers, body } = await connection.send({ ...request, signal: deadline.signal });
      if (Number(headers['content-length'] ?? 0) > MAX_RESOURCE_BYTES) {
        discard(body);
        throw failure('answered with too much');
      }
      return { status, headers, body: await readAll(body) };
    } catch (error) {
      throw connectionError(error, deadline.signal);
    } finally {
      clearTimeout(timer);
    }
  };

  const read = async (type: string, id: string): Promise<VersionedResource | undefined> => {
    if (!isResourceType(version, type) || !isId(id)) throw new GatewayError('internal', 'read of what is no type and id of FHIR');
    const answer = await exchange({
      method: 'GET',
      path: `/${type}/${id}`,
      query: '',
      headers: { accept: FHIR_JSON, 'cache-control': 'no-cache', 'x-sluis-lookup': '1' },
    });
    if (answer.status === 404 || answer.status === 410) return undefined;
    if (answer.status === 429 || answer.status >= 500) {
      const reason = `upstream_status_${answer.status}`;
      throw new GatewayError('upstream_failed', `the FHIR server answered a read with ${answer.status}`, {
        reason,
        outage: true,
      });
    }
    if (answer.status !== 200) throw failure(`answered a read with ${answer.status}`);
    const resource = readResource(answer, type, id);
    const found = versionOf(answer, resource);
    if (found === undefined) throw failure('gave a resource without a version');
    return { resource, version: found };
  };

  const put = async (resource: JsonObject, ifVersion?: string): Promise<WriteResult> => {
    const { resourceType: type, id } = resource;
    if (typeof type !== 'string' || !isResourceType(version, type) || typeof id !== 'string' || !isId(id)) {
      throw new GatewayError('internal', 'write of a resource without a type and id of FHIR');
    }
    const answer = await exchange({
      method: 'PUT',
      path: `/${type}/${id}`,
      query: '',
      headers: {
        accept: FHIR_JSON,
        'content-type': FHIR_JSON,
        prefer: 'return=representation',
        // Create-only: no resource ever has version 0; `If-None-Match: *` is ignored in places (real-servers.md §0.2).
        ...(ifVersion === undefined ? {} : { 'if-match': printETag(ifVersion === 'absent' ? '0' : ifVersion) }),
      },
      body: printJson(resource),
    });
    switch (answer.status) {
      case 200:
      case 201:
      case 204:
        return written(answer, type, id, ifVersion);
      case 409:
      case 412:
        return { outcome: 'changed-meanwhile' };
      case 404:
      case 410:
        // The version that was asked for is gone with its resource.
        if (ifVersion !== undefined && ifVersion !== 'absent') return { outcome: 'changed-meanwhile' };
        throw failure(`answered a write with ${answer.status}`);
      case 400:
      case 422:
        throw failure(`did not accept a ${type} (${answer.status})`, 'upstream_rejected');
      default:
        throw failure(`answered a write with ${answer.status}`);
    }
  };

  const written = async (answer: Answer, type: string, id: string, before: string | undefined): Promise<WriteResult> => {
    // It is written, whatever the body says; some answer with none or with an OperationOutcome.
    const stored = attempt(() => readResource(answer, type, id));
    const found = versionOf(answer, stored);
    if (found !== undefined) return { outcome: 'written', version: found, ...(stored === undefined ? {} : { resource: stored }) };
    const again = await read(type, id);
    // No version, and none since: whatever answered, it has stored nothing.
    if (again === undefined || again.version === before)
      throw failure('does not have what it said it wrote', 'upstream_unconfirmed');
    return { outcome: 'written', ...again };
  };

  return { read, put };
}

async function readAll(body: Dispatcher.ResponseData['body']): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_RESOURCE_BYTES) throw failure('answered with too much');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function readResource(answer: Answer, type: string, id: string): JsonObject {
  const contentType = answer.headers['content-type'];
  if (typeof contentType !== 'string' || !/^application\/(fhir\+)?json\s*(;|$)/i.test(contentType)) {
    throw failure('answered with something else than JSON');
  }
  const encoding = answer.headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') throw failure('answered with an encoding that was not asked for');
  let resource: JsonObject;
  try {
    resource = parseJsonObject(answer.body);
  } catch (cause) {
    // It is the server's fault here, not a caller's: no 400.
    throw failure('answered with JSON that cannot be read', undefined, cause);
  }
  if (resource['resourceType'] !== type || resource['id'] !== id)
    throw failure('answered with another resource', 'upstream_other_resource');
  return resource;
}

function versionOf(answer: Answer, resource: JsonObject | undefined): string | undefined {
  const { etag } = answer.headers;
  const tag = typeof etag === 'string' ? parseETag(etag) : undefined;
  if (tag !== undefined) return tag;
  const located = versionIn(answer.headers['content-location']) ?? versionIn(answer.headers['location']);
  if (located !== undefined) return located;
  const meta = resource?.['meta'];
  const version = isJsonObject(meta) ? meta['versionId'] : undefined;
  return typeof version === 'string' && isId(version) ? version : undefined;
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}

function failure(problem: string, reason?: string, cause?: unknown): GatewayError {
  return new GatewayError('upstream_failed', `the FHIR server ${problem}`, {
    ...(reason === undefined ? {} : { reason }),
    ...(cause === undefined ? {} : { cause }),
  });
}
