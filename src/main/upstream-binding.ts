import type { Readable } from 'node:stream';
import { parseJsonObject, printJson, type JsonObject } from '../fhir/json.ts';
import type { Upstream as GateUpstream, UpstreamAnswer } from '../pep/upstream.ts';
import type { Tenant } from '../tenant/tenant.ts';
import { createRewriter, rewriteBody } from '../upstream/rewrite.ts';
import type { Upstream } from '../upstream/forward.ts';

/** The tenants' FHIR servers as the gate wants them. */
export function bindUpstreams(upstreamOf: (tenant: Tenant) => Upstream): GateUpstream {
  return {
    forward: async (tenant, request) => {
      const { method, path, query } = request.canonical;
      const answer = await upstreamOf(tenant).forward({
        method,
        path,
        query,
        headers: {
          accept: request.answer === 'json' ? 'application/fhir+json' : '*/*',
          ...(request.ifNoneMatch === undefined ? {} : { 'if-none-match': request.ifNoneMatch }),
        },
        signal: request.signal,
      });
      return toAnswer(answer.status, answer.headers, answer.body);
    },
    lookUp: (tenant, type, id) => upstreamOf(tenant).store.read(type, id),
    put: (tenant, resource, ifVersion) => upstreamOf(tenant).store.put(resource, ifVersion),
    rewrite: (tenant, resource) => rewriteResource(resource, upstreamOf(tenant).bases),
    rewriteStream: (tenant, body) => rewriteChunks(body, upstreamOf(tenant).bases),
  };
}

function toAnswer(status: number, headers: ReadonlyMap<string, string>, body: Readable): UpstreamAnswer {
  return {
    status,
    headers,
    body,
    discard: () => {
      body.on('error', () => undefined);
      body.destroy();
    },
  };
}

/** Only what has the base in it is parsed again. */
function rewriteResource(resource: JsonObject, bases: Upstream['bases']): JsonObject {
  const text = Buffer.from(printJson(resource));
  const rewritten = rewriteBody(text, bases);
  return rewritten.equals(text) ? resource : parseJsonObject(rewritten);
}

async function* rewriteChunks(body: AsyncIterable<Uint8Array>, bases: Upstream['bases']): AsyncIterable<Uint8Array> {
  const rewriter = createRewriter(bases);
  for await (const chunk of body) {
    const out = rewriter.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    if (out.length > 0) yield out;
  }
  const rest = rewriter.end();
  if (rest.length > 0) yield rest;
}
