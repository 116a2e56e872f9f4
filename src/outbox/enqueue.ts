import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import type { JsonValue } from '../fhir/json.ts';
import type { Transaction } from '../store/database.ts';
import { PERIODIC_KEY, type JobIdentity } from './job.ts';

export interface NewJob extends JobIdentity {
  readonly payload: JsonValue;
  /** Not before this moment; default now. */
  readonly runAt?: Date;
}

/**
 * Puts a job into the outbox, in the caller's transaction: it will run if, and only if, that commits.
 *
 * There is one job per identity. Enqueued again while it is pending it gets the new payload and the earlier of both times, and its back-off and its
 * time to give up begin anew; enqueued again while it runs, it will run once more.
 */
export async function enqueue(tx: Transaction, job: NewJob, now: Date): Promise<void> {
  const runAt = (job.runAt ?? now).toISOString();
  const at = now.toISOString();
  // Nobody has asked for another run since the one that is under way began: the next one is wholly ours to time.
  const freshlyTimed = sql`job.state <> 'pending' or (job.lease_until is not null and job.claimed_generation = job.generation)`;
  await tx.query
    .insertInto('job')
    .values({
      tenant: job.tenant,
      use_case: job.useCase,
      name: job.name,
      key: job.key,
      id: randomUUID(),
      state: 'pending',
      payload_json: JSON.stringify(job.payload),
      run_at: runAt,
      enqueued_at: at,
      updated_at: at,
      lease_owner: null,
      lease_until: null,
    })
    .onConflict((conflict) =>
      conflict.columns(['tenant', 'use_case', 'name', 'key']).doUpdateSet({
        payload_json: (eb) => eb.ref('excluded.payload_json'),
        run_at: sql<string>`case when ${freshlyTimed} or excluded.run_at < job.run_at then excluded.run_at else job.run_at end`,
        generation: sql<number>`job.generation + 1`,
        attempts: 0,
        enqueued_at: at,
        updated_at: at,
        state: 'pending',
      }),
    )
    .execute();
  tx.publish('jobs');
}

/** Makes sure that a repeating job exists: enqueues it when there is none that is pending. */
export async function enqueuePeriodic(tx: Transaction, job: Omit<NewJob, 'key' | 'payload'>, now: Date): Promise<void> {
  const existing = await tx.query
    .selectFrom('job')
    .select('state')
    .where('tenant', '=', job.tenant)
    .where('use_case', '=', job.useCase)
    .where('name', '=', job.name)
    .where('key', '=', PERIODIC_KEY)
    .executeTakeFirst();
  if (existing?.state !== 'pending') await enqueue(tx, { ...job, key: PERIODIC_KEY, payload: null }, now);
}
