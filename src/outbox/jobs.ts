import type { Selectable } from 'kysely';
import type { JobView } from '../usecase/workflow.ts';
import type { Transaction } from '../store/database.ts';
import type { JobTable } from '../store/schema.ts';
import type { Source } from '../store/source.ts';
import { enqueue } from './enqueue.ts';
import type { JobIdentity } from './job.ts';

/** A job that gave up, for the operator. */
export interface DeadLetter extends JobIdentity {
  readonly since: Date;
  readonly attempts: JobView['attempts'];
}

/** Where one job stands; undefined when there never was one, or it was done long ago. */
export async function findJob(source: Source, job: JobIdentity): Promise<JobView | undefined> {
  const row = await source.query
    .selectFrom('job')
    .selectAll()
    .where('tenant', '=', job.tenant)
    .where('use_case', '=', job.useCase)
    .where('name', '=', job.name)
    .where('key', '=', job.key)
    .executeTakeFirst();
  return row === undefined ? undefined : toView(row, await attemptsOf(source, row));
}

/** All jobs of a use case about one key (a task id), in any state, by name. */
export async function findJobs(source: Source, about: Omit<JobIdentity, 'name'>): Promise<readonly JobView[]> {
  const rows = await source.query
    .selectFrom('job')
    .selectAll()
    .where('tenant', '=', about.tenant)
    .where('use_case', '=', about.useCase)
    .where('key', '=', about.key)
    .orderBy('name')
    .execute();
  const views: JobView[] = [];
  for (const row of rows) views.push(toView(row, await attemptsOf(source, row)));
  return views;
}

/** A job that waits, with what it was given. */
export interface PendingJob extends JobIdentity {
  readonly payload: unknown;
}

/** All jobs of one name that have yet to run, of every tenant. */
export async function findPendingJobs(source: Source, name: string): Promise<readonly PendingJob[]> {
  const rows = await source.query
    .selectFrom('job')
    .select(['tenant', 'use_case', 'name', 'key', 'payload_json'])
    .where('name', '=', name)
    .where('state', '=', 'pending')
    .execute();
  return rows.map((row) => ({
    tenant: row.tenant,
    useCase: row.use_case,
    name: row.name,
    key: row.key,
    payload: JSON.parse(row.payload_json) as unknown,
  }));
}

/** What gave up, newest first; of one tenant or, for the host, of all. */
export async function findDeadLetters(
  source: Source,
  query: { readonly tenant?: string; readonly limit: number },
): Promise<readonly DeadLetter[]> {
  let select = source.query.selectFrom('job').selectAll().where('state', '=', 'dead');
  if (query.tenant !== undefined) select = select.where('tenant', '=', query.tenant);
  const rows = await select.orderBy('updated_at', 'desc').limit(query.limit).execute();
  const letters: DeadLetter[] = [];
  for (const row of rows) {
    const { tenant, use_case: useCase, name, key } = row;
    letters.push({ tenant, useCase, name, key, since: new Date(row.updated_at), attempts: await attemptsOf(source, row) });
  }
  return letters;
}

/** Lets a dead job try again. @returns false when it is not dead. */
export async function reviveJob(tx: Transaction, job: JobIdentity, now: Date): Promise<boolean> {
  const row = await tx.query
    .selectFrom('job')
    .select('payload_json')
    .where('tenant', '=', job.tenant)
    .where('use_case', '=', job.useCase)
    .where('name', '=', job.name)
    .where('key', '=', job.key)
    .where('state', '=', 'dead')
    .executeTakeFirst();
  if (row === undefined) return false;
  await enqueue(tx, { ...job, payload: JSON.parse(row.payload_json) as never }, now);
  return true;
}

/** Forgets jobs that were done before the moment, with their attempts; dead ones stay until a person has looked. @returns how many. */
export async function purgeDoneJobs(tx: Transaction, before: Date): Promise<number> {
  const result = await tx.query
    .deleteFrom('job')
    .where('state', '=', 'done')
    .where('updated_at', '<', before.toISOString())
    .executeTakeFirst();
  return Number(result.numDeletedRows);
}

async function attemptsOf(source: Source, job: Selectable<JobTable>): Promise<JobView['attempts']> {
  const rows = await source.query
    .selectFrom('job_attempt')
    .select(['at', 'outcome', 'reason'])
    .where('tenant', '=', job.tenant)
    .where('job_id', '=', job.id)
    .orderBy('number')
    .execute();
  return rows.map((row) => ({
    at: new Date(row.at),
    outcome: row.outcome,
    ...(row.reason === null ? {} : { reason: row.reason }),
  }));
}

function toView(row: Selectable<JobTable>, attempts: JobView['attempts']): JobView {
  const { name, key, state } = row;
  const running = state === 'pending' && row.lease_until !== null;
  return {
    name,
    key,
    state: running ? 'running' : state,
    attempts,
    ...(state === 'pending' && !running ? { nextAt: new Date(row.run_at) } : {}),
  };
}
