import type { Generated } from 'kysely';

// The tables, as Kysely sees them. Only two column types, so that both databases hold and sort the very same bytes: text (compared byte by byte)
// and integer. A moment is text `2026-11-24T10:00:00.000Z`, JSON is text, a truth value is 0 or 1. Every key begins with the tenant.

/** All tables. */
export interface Schema {
  readonly record: RecordTable;
  readonly record_key: RecordKeyTable;
  readonly idempotency: IdempotencyTable;
  readonly api_key: ApiKeyTable;
  readonly user_session: UserSessionTable;
  readonly proof_id: ProofIdTable;
  readonly job: JobTable;
  readonly job_attempt: JobAttemptTable;
  readonly grant_entry: GrantTable;
  readonly grant_path: GrantPathTable;
}

/** A durable, versioned record of a use case. */
export interface RecordTable {
  tenant: string;
  use_case: string;
  kind: string;
  id: string;
  version: number;
  state_json: string;
  created_at: string;
  updated_at: string;
}

/** A name and value by which a record is found; `unique_value` is the value where only one record may have it, else null. */
export interface RecordKeyTable {
  tenant: string;
  use_case: string;
  kind: string;
  name: string;
  value: string;
  record_id: string;
  unique_value: string | null;
}

/** The answer that a repeated command gets; `status` is null only inside the transaction of the command. */
export interface IdempotencyTable {
  tenant: string;
  key: string;
  route: string;
  request_hash: string;
  status: number | null;
  headers_json: string | null;
  body: string | null;
  created_at: string;
  expires_at: string;
}

/** `tenant` is empty for the host's own operator. */
export interface ApiKeyTable {
  id: string;
  tenant: string;
  role: 'ehr' | 'operator';
  label: string | null;
  secret_sha256: string;
  created_at: string;
  last_used_at: string | null;
  revoked_at: string | null;
}

export interface UserSessionTable {
  tenant: string;
  id: string;
  means: string;
  status: 'pending' | 'complete' | 'failed';
  user_json: string;
  node_session_id: string | null;
  url: string | null;
  presentation_json: string | null;
  created_at: string;
  expires_at: string;
}

/** A DPoP proof that was used; `id` is a hash of its key and `jti`. */
export interface ProofIdTable {
  tenant: string;
  id: string;
  expires_at: string;
}

/** One row per tenant, use case, name and key: the newest state of that job. */
export interface JobTable {
  tenant: string;
  use_case: string;
  name: string;
  key: string;
  id: string;
  state: 'pending' | 'done' | 'dead';
  payload_json: string;
  /** When to run next. */
  run_at: string;
  /** Counts enqueueings; a run that began at an older generation is followed by another. */
  generation: Generated<number>;
  /** The generation that the present or last run began at. */
  claimed_generation: Generated<number>;
  /** Runs without success since the last enqueueing. */
  attempts: Generated<number>;
  /** Runs ever; numbers the attempts. */
  runs: Generated<number>;
  /** Since when it is pending. */
  enqueued_at: string;
  lease_owner: string | null;
  lease_until: string | null;
  /** Fencing token: grows with every claim. */
  lease_token: Generated<number>;
  updated_at: string;
}

export interface JobAttemptTable {
  tenant: string;
  job_id: string;
  number: number;
  at: string;
  outcome: 'done' | 'retry' | 'failed' | 'dead';
  reason: string | null;
}

export interface GrantTable {
  tenant: string;
  id: string;
  use_case: string;
  requester: string;
  purpose: string;
  kind: string;
  record_id: string;
  state: 'pending' | 'live' | 'ended';
  resources_json: string;
  credential_id: string | null;
  patient: string | null;
  not_before: string | null;
  expires_at: string | null;
  ended_reason: string | null;
  created_at: string;
  updated_at: string;
}

/** Which grants name a path; what the gate asks on every request. */
export interface GrantPathTable {
  tenant: string;
  requester: string;
  purpose: string;
  path: string;
  grant_id: string;
}
