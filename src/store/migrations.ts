import { sql, type Kysely, type RawBuilder } from 'kysely';
import { Migrator, type Migration } from 'kysely/migration';

/**
 * Brings the tables to the newest form; does nothing when they are.
 * @param schema of PostgreSQL; undefined on SQLite.
 */
export async function migrate<Tables>(db: Kysely<Tables>, schema: string | undefined): Promise<void> {
  const migrator = new Migrator({
    db,
    provider: { getMigrations: () => Promise.resolve(migrations(schema !== undefined)) },
    migrationTableName: 'migration',
    migrationLockTableName: 'migration_lock',
    ...(schema === undefined ? {} : { migrationTableSchema: schema }),
  });
  const { error } = await migrator.migrateToLatest();
  if (error !== undefined) throw error instanceof Error ? error : new Error('migration failed', { cause: error });
}

/** In order of their names; one that was released is never changed. */
function migrations(postgres: boolean): Record<string, Migration> {
  // SQLite compares text byte by byte; PostgreSQL by the server's language unless told.
  const text = postgres ? sql`text collate "C"` : sql`text`;
  return {
    '001-first': { up: (db: Kysely<unknown>) => first(db, text, postgres) },
    '002-proof-ids': { up: (db: Kysely<unknown>) => proofIds(db, text) },
  };
}

async function first(db: Kysely<unknown>, text: RawBuilder<unknown>, postgres: boolean): Promise<void> {
  const statements = [
    sql`create table record (
      tenant ${text} not null, use_case ${text} not null, kind ${text} not null, id ${text} not null, version integer not null,
      state_json ${text} not null, created_at ${text} not null, updated_at ${text} not null,
      primary key (tenant, use_case, kind, id))`,
    sql`create index record_newest on record (tenant, use_case, kind, created_at, id)`,
    sql`create table record_key (
      tenant ${text} not null, use_case ${text} not null, kind ${text} not null, name ${text} not null, value ${text} not null,
      record_id ${text} not null, unique_value ${text},
      primary key (tenant, use_case, kind, name, value, record_id),
      foreign key (tenant, use_case, kind, record_id) references record (tenant, use_case, kind, id))`,
    sql`create unique index record_key_unique on record_key (tenant, use_case, kind, name, unique_value)`,
    sql`create index record_key_record on record_key (tenant, use_case, kind, record_id)`,
    sql`create table idempotency (
      tenant ${text} not null, key ${text} not null, route ${text} not null, request_hash ${text} not null, status integer,
      headers_json ${text}, body ${text}, created_at ${text} not null, expires_at ${text} not null,
      primary key (tenant, key, route))`,
    sql`create index idempotency_expiry on idempotency (expires_at)`,
    sql`create table api_key (
      id ${text} not null primary key, tenant ${text} not null, role ${text} not null, label ${text}, secret_sha256 ${text} not null,
      created_at ${text} not null, last_used_at ${text}, revoked_at ${text})`,
    sql`create index api_key_tenant on api_key (tenant, created_at)`,
    sql`create table user_session (
      tenant ${text} not null, id ${text} not null, means ${text} not null, status ${text} not null, user_json ${text} not null,
      node_session_id ${text}, url ${text}, presentation_json ${text}, created_at ${text} not null, expires_at ${text} not null,
      primary key (tenant, id))`,
    sql`create index user_session_expiry on user_session (expires_at)`,
    sql`create table job (
      tenant ${text} not null, use_case ${text} not null, name ${text} not null, key ${text} not null, id ${text} not null unique,
      state ${text} not null, payload_json ${text} not null, run_at ${text} not null, generation integer not null default 1,
      claimed_generation integer not null default 0, attempts integer not null default 0, runs integer not null default 0,
      enqueued_at ${text} not null, lease_owner ${text}, lease_until ${text}, lease_token integer not null default 0, updated_at ${text} not null,
      primary key (tenant, use_case, name, key))`,
    sql`create index job_due on job (run_at) where state = 'pending' and lease_until is null`,
    sql`create index job_leased on job (lease_until) where lease_until is not null`,
    sql`create index job_state on job (state, updated_at)`,
    sql`create index job_key on job (tenant, use_case, key)`,
    sql`create table job_attempt (
      tenant ${text} not null, job_id ${text} not null references job (id) on delete cascade, number integer not null,
      at ${text} not null, outcome ${text} not null, reason ${text},
      primary key (tenant, job_id, number))`,
    sql`create index job_attempt_job on job_attempt (job_id)`,
    sql`create table grant_entry (
      tenant ${text} not null, id ${text} not null, use_case ${text} not null, requester ${text} not null, purpose ${text} not null,
      kind ${text} not null, record_id ${text} not null, state ${text} not null, resources_json ${text} not null,
      credential_id ${text}, patient ${text}, not_before ${text}, expires_at ${text}, ended_reason ${text},
      created_at ${text} not null, updated_at ${text} not null,
      primary key (tenant, id))`,
    sql`create index grant_entry_credential on grant_entry (tenant, credential_id)`,
    sql`create index grant_entry_record on grant_entry (tenant, use_case, record_id)`,
    sql`create table grant_path (
      tenant ${text} not null, requester ${text} not null, purpose ${text} not null, path ${text} not null, grant_id ${text} not null,
      primary key (tenant, requester, purpose, path, grant_id),
      foreign key (tenant, grant_id) references grant_entry (tenant, id))`,
    sql`create index grant_path_grant on grant_path (tenant, grant_id)`,
  ];
  // Has no rows: `database.ts` locks it.
  if (postgres) statements.push(sql`create table transaction_gate (nothing integer)`);
  for (const statement of statements) await statement.execute(db);
}

async function proofIds(db: Kysely<unknown>, text: RawBuilder<unknown>): Promise<void> {
  await sql`create table proof_id (
    tenant ${text} not null, id ${text} not null, expires_at ${text} not null,
    primary key (tenant, id))`.execute(db);
  await sql`create index proof_id_expiry on proof_id (expires_at)`.execute(db);
}
