import { sql, type Selectable } from 'kysely';
import type { JobResult } from '../usecase/workflow.ts';
import type { Database, Transaction } from '../store/database.ts';
import type { Source } from '../store/source.ts';
import type { JobTable } from '../store/schema.ts';
import { PERIODIC_KEY, type JobHandler, type JobIdentity } from './job.ts';

/** A job that this worker holds until `until` unless it renews; `token` is the fence: whoever claims later has a higher one. */
export interface Lease extends JobIdentity {
  readonly jobId: string;
  readonly token: number;
  readonly generation: number;
  readonly attempt: number;
  readonly run: number;
  readonly payload: unknown;
  readonly enqueuedAt: Date;
  readonly until: Date;
}

export interface ClaimOptions {
  readonly now: Date;
  readonly owner: string;
  readonly leaseMs: number;
  readonly limit: number;
  /** Only this one. */
  readonly only?: JobIdentity;
  /** How many jobs one tenant may have in this worker, and how many each has now. */
  readonly perTenant?: number;
  readonly inUse?: ReadonlyMap<string, number>;
  /** Ids of jobs whose earlier run has not ended here: they would overlap. */
  readonly exceptJobs?: readonly string[];
}

const MAX_ATTEMPTS_KEPT = 50;
/** Interrupted after so many attempts, a job waits before the next. */
const SUSPECT_ATTEMPTS = 5;
const SUSPECT_WAIT_MS = 60_000;
/** Every claim and finish touches one row under its own condition; a higher level would only make them fail more. */
const ROW_BY_ROW = { isolationLevel: 'read committed' } as const;

/** Claims jobs that are due, oldest first, and those whose worker died. */
export async function claim(database: Database, options: ClaimOptions): Promise<readonly Lease[]> {
  if (options.limit < 1) return [];
  const at = options.now.toISOString();
  const until = new Date(options.now.getTime() + options.leaseMs);
  // Most of the time nothing is due: asked without taking the write lock.
  if ((await due(database, options, at).limit(1).executeTakeFirst()) === undefined) return [];
  return await database.transaction(async (tx) => {
    let candidates = due(tx, options, at).limit(options.limit * 4);
    if (tx.kind === 'postgres') candidates = candidates.forUpdate().skipLocked();
    const rows = share(await candidates.execute(), options);
    const leases: Lease[] = [];
    for (const row of rows) {
      if (row.lease_until !== null) {
        await recordAttempt(tx, row, row.runs, 'failed', 'interrupted', options.now);
        if (row.attempts >= SUSPECT_ATTEMPTS) {
          await putOff(tx, row, options.now);
          continue;
        }
      }
      const claimed = await tx.query
        .updateTable('job')
        .set({
          lease_owner: options.owner,
          lease_until: until.toISOString(),
          lease_token: sql<number>`lease_token + 1`,
          claimed_generation: sql<number>`generation`,
          attempts: sql<number>`attempts + 1`,
          runs: sql<number>`runs + 1`,
          updated_at: at,
        })
        .where('id', '=', row.id)
        .where('lease_token', '=', row.lease_token)
        .returningAll()
        .executeTakeFirst();
      if (claimed !== undefined) leases.push(toLease(claimed, until));
    }
    return leases;
  }, ROW_BY_ROW);
}

/** Holds on to jobs for another while. @returns those that were lost: somebody else has claimed them. */
export async function renew(database: Database, leases: readonly Lease[], until: Date): Promise<readonly Lease[]> {
  return await database.transaction(async (tx) => {
    const lost: Lease[] = [];
    for (const lease of leases) {
      const held = await tx.query
        .updateTable('job')
        .set({ lease_until: until.toISOString() })
        .where('id', '=', lease.jobId)
        .where('lease_token', '=', lease.token)
        .where('lease_until', 'is not', null)
        .returning('id')
        .executeTakeFirst();
      if (held === undefined) lost.push(lease);
    }
    return lost;
  }, ROW_BY_ROW);
}

/** Where a job stands after a run. `lost`: the lease was somebody else's by then, nothing was written. */
export type Finished = 'done' | 'dead' | 'again' | 'waiting' | 'lost';

/** How a run ended: a result of the handler, or what it threw. */
export type RunEnd = JobResult | { readonly outcome: 'failed'; readonly reason: string };

/** Writes down how a run ended and when the next one is due, if this worker still holds the job. */
export async function finish(
  database: Database,
  lease: Lease,
  end: RunEnd,
  handler: JobHandler | undefined,
  now: Date,
): Promise<Finished> {
  return await database.transaction(async (tx) => {
    let select = tx.query.selectFrom('job').selectAll().where('id', '=', lease.jobId).where('lease_token', '=', lease.token);
    if (tx.kind === 'postgres') select = select.forUpdate();
    const row = await select.where('lease_until', 'is not', null).executeTakeFirst();
    if (row === undefined) return 'lost';
    const again = row.generation !== lease.generation;
    // The one who enqueued it meanwhile has said when.
    const next: Next = again ? { state: 'pending', runAt: row.run_at, attempts: row.attempts } : plan(lease, end, handler, now);
    const outcome = next.state === 'dead' ? 'dead' : end.outcome;
    await recordAttempt(tx, row, lease.run, outcome, 'reason' in end ? end.reason : null, now);
    await tx.query
      .updateTable('job')
      .set({
        state: next.state,
        run_at: next.runAt,
        attempts: next.attempts,
        lease_owner: null,
        lease_until: null,
        updated_at: now.toISOString(),
      })
      .where('id', '=', lease.jobId)
      .execute();
    if (again) {
      tx.publish('jobs');
      return 'again';
    }
    switch (next.state) {
      case 'done':
        return 'done';
      case 'dead':
        return 'dead';
      case 'pending':
        return end.outcome === 'done' ? 'done' : 'waiting';
    }
  }, ROW_BY_ROW);
}

/** Gives jobs back that a dead process held (undefined: any), so that they need not wait until the lease is over. */
export async function releaseOwned(database: Database, owner: string | undefined, now: Date): Promise<void> {
  await database.transaction(async (tx) => {
    let update = tx.query
      .updateTable('job')
      .set({ lease_until: new Date(0).toISOString() })
      .where('lease_until', '>', now.toISOString());
    if (owner !== undefined) update = update.where('lease_owner', '=', owner);
    await update.execute();
  }, ROW_BY_ROW);
}

/** A job that ended its process may have been the reason: it must not end every process that comes after. */
async function putOff(tx: Transaction, job: Row, now: Date): Promise<void> {
  await tx.query
    .updateTable('job')
    .set({
      run_at: new Date(now.getTime() + SUSPECT_WAIT_MS).toISOString(),
      lease_owner: null,
      lease_until: null,
      // Whoever still runs it has lost it.
      lease_token: sql<number>`lease_token + 1`,
      updated_at: now.toISOString(),
    })
    .where('id', '=', job.id)
    .where('lease_token', '=', job.lease_token)
    .execute();
}

interface Next {
  readonly state: JobTable['state'];
  readonly runAt: string;
  readonly attempts: number;
}

const UNKNOWN_JOB_MS = 60_000;

function plan(lease: Lease, end: RunEnd, handler: JobHandler | undefined, now: Date): Next {
  const at = (inMs: number): string => new Date(now.getTime() + inMs).toISOString();
  const everyMs = lease.key === PERIODIC_KEY ? handler?.everyMs : undefined;
  const over: Next = { state: end.outcome === 'done' ? 'done' : 'dead', runAt: at(0), attempts: 0 };
  switch (end.outcome) {
    case 'done':
    case 'dead':
      // What repeats has no end.
      return everyMs === undefined ? over : { state: 'pending', runAt: at(everyMs), attempts: 0 };
    case 'retry':
    case 'failed': {
      if (handler === undefined) return { state: 'pending', runAt: at(UNKNOWN_JOB_MS), attempts: 0 };
      const waitedMs = now.getTime() - lease.enqueuedAt.getTime();
      if (everyMs === undefined && handler.giveUpAfterMs !== undefined && waitedMs >= handler.giveUpAfterMs) return over;
      const asked = end.outcome === 'retry' ? end.inMs : undefined;
      return { state: 'pending', runAt: at(asked ?? backOffMs(handler.scheduleMs, lease.attempt)), attempts: lease.attempt };
    }
  }
}

/** The wait of the schedule, a quarter more or less, so that what failed together does not come back together. */
function backOffMs(scheduleMs: readonly number[], attempt: number): number {
  const wait = scheduleMs[Math.min(attempt, scheduleMs.length) - 1] ?? UNKNOWN_JOB_MS;
  return Math.round(wait * (0.75 + Math.random() / 2));
}

function due(source: Source, options: ClaimOptions, at: string) {
  let select = source.query
    .selectFrom('job')
    .selectAll()
    .where('state', '=', 'pending')
    .where((eb) =>
      eb.or([
        eb.and([eb('lease_until', 'is', null), eb('run_at', '<=', at)]),
        eb.and([eb('lease_until', 'is not', null), eb('lease_until', '<=', at)]),
      ]),
    )
    .orderBy('run_at');
  const { only, exceptJobs, inUse, perTenant } = options;
  const sated = [...(inUse ?? [])].filter(([, count]) => perTenant !== undefined && count >= perTenant).map(([tenant]) => tenant);
  if (sated.length > 0) select = select.where('tenant', 'not in', sated);
  if (exceptJobs !== undefined && exceptJobs.length > 0) select = select.where('id', 'not in', exceptJobs);
  if (only !== undefined) {
    select = select
      .where('tenant', '=', only.tenant)
      .where('use_case', '=', only.useCase)
      .where('name', '=', only.name)
      .where('key', '=', only.key);
  }
  return select;
}

/** The first of the candidates, with no more than its share for each tenant. */
function share(candidates: readonly Row[], options: ClaimOptions): readonly Row[] {
  const taken = new Map(options.inUse);
  const rows = candidates.filter((row) => {
    const count = (taken.get(row.tenant) ?? 0) + 1;
    taken.set(row.tenant, count);
    return options.perTenant === undefined || count <= options.perTenant;
  });
  return rows.slice(0, options.limit);
}

async function recordAttempt(
  tx: Transaction,
  job: Row,
  number: number,
  outcome: 'done' | 'retry' | 'failed' | 'dead',
  reason: string | null,
  now: Date,
): Promise<void> {
  await tx.query
    .insertInto('job_attempt')
    .values({ tenant: job.tenant, job_id: job.id, number, at: now.toISOString(), outcome, reason: reason?.slice(0, 500) ?? null })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  // What never succeeds tries for years: the newest attempts tell enough.
  await tx.query
    .deleteFrom('job_attempt')
    .where('job_id', '=', job.id)
    .where('number', '<=', number - MAX_ATTEMPTS_KEPT)
    .execute();
}

type Row = Selectable<JobTable>;

function toLease(row: Row, until: Date): Lease {
  const payload: unknown = JSON.parse(row.payload_json);
  return {
    tenant: row.tenant,
    useCase: row.use_case,
    name: row.name,
    key: row.key,
    jobId: row.id,
    token: row.lease_token,
    generation: row.claimed_generation,
    attempt: row.attempts,
    run: row.runs,
    payload,
    enqueuedAt: new Date(row.enqueued_at),
    until,
  };
}
