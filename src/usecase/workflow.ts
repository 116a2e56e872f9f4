import type { JsonObject, JsonValue } from '../fhir/json.ts';
import type { AccessRequest, Grant, PolicyInformation } from './access.ts';
import type { GrantedResource, ProvenUser } from './subject.ts';

// What a use case may do beyond judging: keep records, open grants, run jobs, serve an API, receive messages, follow writes.
// Everything here is bound to one tenant by whoever hands it out.

/** A durable record of a use case, versioned from 1. `state` is the use case's own JSON and is parsed by it when read. */
export interface StoredRecord {
  readonly id: string;
  readonly version: number;
  readonly state: unknown;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** A name and a value by which records are found (`status`, `patient`, `task`). Several values of one name are allowed. */
export interface RecordKey {
  readonly name: string;
  readonly value: string;
  /** At most one record of the kind may have it. */
  readonly unique?: boolean;
}

export interface RecordPage {
  readonly items: readonly StoredRecord[];
  /** For the next, older page. */
  readonly cursor?: string;
}

export interface RecordQuery {
  /** All must match. */
  readonly where?: Readonly<Record<string, string>>;
  /** Only records changed at or after this moment. */
  readonly since?: Date;
  /** 1 to 100. */
  readonly limit: number;
  readonly cursor?: string;
}

export interface RecordReader {
  get(id: string): Promise<StoredRecord | undefined>;
  /** Newest first. */
  find(query: RecordQuery): Promise<RecordPage>;
}

export interface RecordWriter extends RecordReader {
  insert(id: string, state: JsonValue, keys: readonly RecordKey[]): Promise<StoredRecord>;
  /** Compare-and-set. @throws GatewayError `conflict` when the record has another version by now. */
  update(id: string, expectedVersion: number, state: JsonValue, keys: readonly RecordKey[]): Promise<StoredRecord>;
}

export interface NewGrant {
  readonly id: string;
  readonly requester: string;
  readonly purpose: string;
  readonly kind: string;
  readonly recordId: string;
  readonly resources: readonly GrantedResource[];
  readonly patient?: string;
  readonly expiresAt?: Date;
}

/** Writes to the ledger, in the transaction of the unit. A grant opens as `pending`, permits only while `live`, and never comes back once `ended`. */
export interface GrantWriter {
  open(grant: NewGrant): Promise<void>;
  makeLive(id: string, credentialId?: string): Promise<void>;
  /** Dead for every request from the commit on, whatever a credential says. */
  end(id: string, reason: string): Promise<void>;
  get(id: string): Promise<Grant | undefined>;
}

/** A job to be run at least once: one pending job per name and key, run by one worker at a time. */
export interface NewJob {
  readonly name: string;
  readonly key: string;
  readonly payload: JsonValue;
  readonly runAt?: Date;
}

/** One database transaction: state, grants and jobs change together or not at all. Nothing external happens inside it. */
export interface Unit {
  readonly now: Date;
  records(kind: string): RecordWriter;
  readonly grants: GrantWriter;
  enqueue(job: NewJob): Promise<void>;
}

export interface AttemptView {
  readonly at: Date;
  readonly outcome: 'done' | 'retry' | 'failed' | 'dead';
  readonly reason?: string;
}

/** Where a job stands, for showing. */
export interface JobView {
  readonly name: string;
  readonly key: string;
  readonly state: 'pending' | 'running' | 'done' | 'dead';
  readonly attempts: readonly AttemptView[];
  readonly nextAt?: Date;
}

/** A resource and its version at the custodian's own FHIR server. */
export interface VersionedResource {
  readonly resource: JsonObject;
  /** The ETag's content, without `W/` and quotes. */
  readonly version: string;
}

export type WriteResult =
  | { readonly outcome: 'written'; readonly version: string; readonly resource?: JsonObject }
  /** Somebody else changed it meanwhile (409 or 412): read and judge again. */
  | { readonly outcome: 'changed-meanwhile' };

/** The tenant's own FHIR server, with the tenant's login. A failure is thrown (`upstream_failed`, `upstream_timeout`). */
export interface FhirStore {
  read(type: string, id: string): Promise<VersionedResource | undefined>;
  /** PUT of a resource with an id of ours. With `ifVersion` only if that is its version still; `ifVersion: 'absent'` creates only. */
  put(resource: JsonObject, ifVersion?: string): Promise<WriteResult>;
}

export interface IssuedCredential {
  readonly id: string;
  readonly credential: JsonObject;
  readonly revoked: boolean;
  readonly expiresAt?: Date;
  readonly resources: readonly GrantedResource[];
}

export interface FoundOrganization {
  readonly id: string;
  readonly name: string;
  readonly city?: string;
}

/** The tenant's own Nuts node. A failure is thrown (`node_unavailable`); a remote party that refuses is `upstream_failed`. */
export interface NodeServices {
  /** Issues a NutsAuthorizationCredential, private, to `subject`. */
  issueCredential(request: {
    readonly subject: string;
    readonly purpose: string;
    readonly resources: readonly GrantedResource[];
    readonly expiresAt: Date;
  }): Promise<IssuedCredential>;
  /** Revoked, or was already. */
  revokeCredential(id: string): Promise<void>;
  /** What this tenant issued to `subject` (authorization credentials), revoked ones too. */
  findIssued(subject: string): Promise<readonly IssuedCredential[]>;
  /** What this tenant holds from `issuer` for the purpose that names the path. */
  findHeld(query: {
    readonly issuer: string;
    readonly purpose: string;
    readonly path: string;
  }): Promise<readonly IssuedCredential[]>;
  findOrganizations(query: string, service: string): Promise<readonly FoundOrganization[]>;
  /** Undefined when the party has no such service or endpoint. */
  resolveEndpoint(party: string, service: string, endpoint: string): Promise<string | undefined>;
  /** An access token for another party; `identity` is the presentation of a user session. */
  requestToken(request: {
    readonly authorizer: string;
    readonly service: string;
    readonly credentials: readonly JsonObject[];
    readonly identity?: JsonValue;
    /** A token of before that the other party refused (401): it is not given again. */
    readonly refused?: string;
  }): Promise<string>;
}

export interface RemoteReply {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Uint8Array;
}

/** Calls to another party's endpoint: https only (in production), no redirects, no private addresses, bounded in time and size. */
export interface RemoteClient {
  /** @throws GatewayError `upstream_failed` or `upstream_timeout` when there is no answer; a status of any kind is an answer. */
  call(request: {
    readonly method: 'GET' | 'POST' | 'PUT';
    readonly url: string;
    readonly token: string;
    readonly accept?: string;
    readonly json?: JsonObject;
    readonly headers?: Readonly<Record<string, string>>;
  }): Promise<RemoteReply>;
}

/** The proven identity of a care worker, for calls to other parties. */
export interface UserSession {
  readonly id: string;
  readonly user?: ProvenUser;
  /** The presentation to hand to `requestToken`. */
  readonly presentation: JsonValue;
}

export interface TenantView {
  readonly id: string;
  readonly name: string;
  /** The tenant's DID. */
  readonly did: string;
  readonly fhirVersion: 'STU3' | 'R4';
  /** Base URL of the tenant's own FHIR server, no trailing slash: an absolute reference below it is local. */
  readonly fhirUrl: string;
}

/** What happened, for the audit trail: ids and codes only. */
export interface AuditedEvent {
  readonly event: string;
  readonly outcome: 'permitted' | 'failed' | 'denied';
  readonly requester?: string;
  readonly patient?: string;
  readonly reason?: string;
  readonly attributes?: Readonly<Record<string, string>>;
}

/** All that a use case's routes and jobs can reach, bound to one tenant. */
export interface Services {
  readonly tenant: TenantView;
  now(): Date;
  records(kind: string): RecordReader;
  grants(recordId: string): Promise<readonly Grant[]>;
  jobs(key: string): Promise<readonly JobView[]>;
  transaction<T>(work: (unit: Unit) => Promise<T>): Promise<T>;
  /** Runs a pending job at once and waits until it is done, or until the time is over. */
  runNow(name: string, key: string, timeoutMs: number): Promise<'done' | 'pending'>;
  readonly fhir: FhirStore;
  readonly node: NodeServices;
  readonly remote: RemoteClient;
  audit(event: AuditedEvent): Promise<void>;
  log(level: 'info' | 'warn' | 'error', message: string, facts?: Readonly<Record<string, string | number | boolean>>): void;
}

export type JobResult =
  | { readonly outcome: 'done' }
  /** Not yet: try again, after `inMs` or by the job's schedule. */
  | { readonly outcome: 'retry'; readonly reason: string; readonly inMs?: number }
  /** Never: a person must look. */
  | { readonly outcome: 'dead'; readonly reason: string };

/** At least once, so idempotent or reconcilable. A throw is a retry. */
export interface Job<Config> {
  readonly name: string;
  /** Waits between attempts, the last one repeats. */
  readonly scheduleMs: readonly number[];
  /** After this long without success the job is dead; absent: tries for ever. */
  readonly giveUpAfterMs?: number;
  /** Run for every tenant of the use case at this interval too, with key `periodic` and payload null. */
  readonly everyMs?: number;
  run(
    payload: unknown,
    config: Config,
    services: Services,
    job: { readonly key: string; readonly attempt: number },
  ): Promise<JobResult>;
}

export interface ApiReply {
  readonly status: number;
  readonly body?: JsonValue;
  readonly headers?: Readonly<Record<string, string>>;
  /** Raw content with its media type, instead of `body`. */
  readonly content?: { readonly type: string; readonly bytes: Uint8Array };
}

export interface ApiCall {
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string>>;
  /** Checked against the API description already. */
  readonly body: unknown;
  /** Of the header `X-User-Session`, when there is one and it is complete. */
  readonly userSession?: UserSession;
  readonly correlationId: string;
  /** One transaction with the idempotency row of this call; what it returns is the answer that a repeat gets. */
  command(work: (unit: Unit) => Promise<ApiReply>): Promise<ApiReply>;
}

/** A route of the tenant's own API, below `/api/v1/tenants/{tenant}/`. It stands in `openapi.yaml` under its `operationId`. */
export interface ApiRoute<Config> {
  readonly operationId: string;
  readonly method: 'GET' | 'POST';
  /** `eoverdracht/transfers/:transfer` */
  readonly path: string;
  readonly role: 'ehr' | 'operator';
  handle(call: ApiCall, config: Config, services: Services): Promise<ApiReply>;
}

export interface InboundMessage {
  readonly sender: string;
  readonly params: Readonly<Record<string, string>>;
  readonly body?: JsonObject;
  readonly correlationId: string;
}

/** A route on the public listener, below `/{tenant}/{use case}/`; the caller's token must select `role`. Answered 202 once `receive` is durable. */
export interface InboundRoute<Config> {
  readonly name: string;
  readonly role: string;
  /** POST only. `notification/:taskId` */
  readonly path: string;
  /** What each parameter must match, whole. */
  readonly parameters: Readonly<Record<string, RegExp>>;
  readonly body: 'empty' | 'json';
  receive(message: InboundMessage, config: Config, services: Services): Promise<void>;
}

export type WriteVerdict =
  /** Write this resource, built from the stored one, if the stored version is still the same. */
  | { readonly outcome: 'write'; readonly resource: JsonObject }
  /** Nothing to do: the answer is the stored resource. */
  | { readonly outcome: 'unchanged' }
  | {
      readonly outcome: 'rejected';
      readonly code: 'bad_request' | 'conflict' | 'unprocessable' | 'forbidden';
      readonly reason: string;
      /** FHIR path expressions of the places at fault. */
      readonly expression?: readonly string[];
    };

/** A write by another party that a permit put under guard. */
export interface GuardedWrite<Config> {
  readonly name: string;
  /** Judges the proposed resource against the stored one; called again after a concurrent change. */
  judge(
    write: { readonly request: AccessRequest; readonly proposed: JsonObject; readonly stored: JsonObject },
    config: Config,
    information: PolicyInformation,
  ): Promise<WriteVerdict>;
  /**
   * Brings the use case's records in line with the resource as it now is. Called after a write that succeeded, in one transaction, and again
   * when a crash left it open whether the write happened: so it is idempotent.
   */
  settle(stored: VersionedResource, config: Config, unit: Unit, services: Services): Promise<void>;
}

export type ReviewVerdict =
  | { readonly outcome: 'pass' }
  | { readonly outcome: 'replace'; readonly body: JsonObject }
  /** The answer must not leave: 502, and an alarm for the operator. */
  | { readonly outcome: 'withhold'; readonly reason: string };

/** A look at the custodian's answer before it leaves. */
export interface Review<Config> {
  readonly name: string;
  review(
    answer: { readonly request: AccessRequest; readonly body: JsonObject },
    config: Config,
    information: PolicyInformation,
  ): Promise<ReviewVerdict> | ReviewVerdict;
}
