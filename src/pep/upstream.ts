import type { AnswerFormat } from '../fhir/media.ts';
import type { JsonObject } from '../fhir/json.ts';
import type { CanonicalRequest } from '../fhir/print-interaction.ts';
import type { Tenant } from '../tenant/tenant.ts';
import type { VersionedResource, WriteResult } from '../usecase/workflow.ts';

/** The custodian's FHIR server as the gate needs it; `main` binds it to `upstream/`. A failure is thrown (`upstream_failed`, `upstream_timeout`). */
export interface Upstream {
  /** Sends the one canonical request, with the tenant's own login. Any status is an answer, redirects too: they are never followed. */
  forward(tenant: Tenant, request: UpstreamRequest): Promise<UpstreamAnswer>;
  /** A read with the tenant's own login, marked `X-Sluis-Lookup`. */
  lookUp(tenant: Tenant, type: string, id: string): Promise<VersionedResource | undefined>;
  /** A PUT only if that is still the version. */
  put(tenant: Tenant, resource: JsonObject, ifVersion: string): Promise<WriteResult>;
  /** The custodian's base becomes ours, on parsed values. */
  rewrite(tenant: Tenant, resource: JsonObject): JsonObject;
  /** The same on a stream of JSON, of bounded memory. */
  rewriteStream(tenant: Tenant, body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>;
}

export interface UpstreamRequest {
  readonly canonical: CanonicalRequest;
  /** What `Accept` says. */
  readonly answer: AnswerFormat;
  readonly ifNoneMatch?: string;
  /** Ends the call, whatever its state. */
  readonly signal: AbortSignal;
}

export interface UpstreamAnswer {
  readonly status: number;
  /** By lower-case name; a header that came twice is absent. */
  readonly headers: ReadonlyMap<string, string>;
  /** Iterated at most once; must be iterated or discarded. Throws `upstream_failed` or `upstream_timeout` when it breaks off. */
  readonly body: AsyncIterable<Uint8Array>;
  discard(): void;
}
