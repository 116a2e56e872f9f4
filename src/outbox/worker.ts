import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Database } from '../store/database.ts';
import { claim, finish, releaseOwned, renew, type Finished, type Lease, type RunEnd } from './lease.ts';
import type { JobHandlers, JobIdentity } from './job.ts';
import { findJob } from './jobs.ts';

/** Runs the jobs of the outbox. */
export interface Worker {
  /** Begins, after giving back what a dead process of the same instance had held. */
  start(): Promise<void>;
  /**
   * Tries a pending job at once, whatever its back-off says, and waits until it is done or dead, or until the time is over (`pending`).
   * A job that does not exist is `done`: it ran, and was tidied away.
   */
  runNow(job: JobIdentity, timeoutMs: number): Promise<'done' | 'dead' | 'pending'>;
  /** Claims nothing more, waits for what runs, at most so long, then aborts it; what was not finished is claimed by the next worker. */
  drain(timeoutMs?: number): Promise<void>;
}

export interface WorkerOptions {
  readonly database: Database;
  readonly clock: Clock;
  readonly handlers: JobHandlers;
  readonly logger: Logger;
  /** Name of this process among those that share the database; the same after a restart, if it can be. */
  readonly instance: string;
  /** Jobs running at once; one tenant gets half of them at most. Default 16. */
  readonly concurrency?: number;
  /** How long a job is safe from other workers after this one has died. Default 30 000. */
  readonly leaseMs?: number;
  /** Also how soon a moved clock is noticed. Default 500. */
  readonly pollMs?: number;
  /** Told about every attempt, for counting. */
  readonly onAttempt?: (job: JobIdentity, result: Finished, end: RunEnd) => void;
}

interface Running {
  readonly lease: Lease;
  readonly abort: AbortController;
  readonly ended: Promise<void>;
  until: Date;
}

/** Creates a worker; it does nothing before `start`. */
export function createWorker(options: WorkerOptions): Worker {
  const { database, clock, handlers, instance } = options;
  const logger = options.logger.child({ module: 'outbox' });
  const concurrency = options.concurrency ?? 16;
  const perTenant = Math.max(1, Math.ceil(concurrency / 2));
  const leaseMs = options.leaseMs ?? 30_000;
  const pollMs = options.pollMs ?? 500;
  const running = new Map<Lease, Running>();
  const waiters = new Set<() => void>();
  let state: 'new' | 'started' | 'draining' = 'new';
  let wake: () => void = () => undefined;
  let loop: Promise<void> = Promise.resolve();
  let unsubscribe: () => void = () => undefined;
  /** Claims and renewals happen one after the other, so that a claim never meets a lease of ours that is due for renewal. */
  let turn: Promise<unknown> = Promise.resolve();

  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const next = turn.then(work);
    turn = next.catch(() => undefined);
    return next;
  };

  /** Leases are by the clock, and the clock may have jumped: what runs here is held before anything is claimed. */
  async function holdOn(): Promise<void> {
    const now = clock.now();
    const short = [...running.values()].filter((job) => job.until.getTime() - now.getTime() < (leaseMs * 2) / 3);
    if (short.length === 0) return;
    const until = new Date(now.getTime() + leaseMs);
    const lost = await renew(
      database,
      short.map((job) => job.lease),
      until,
    );
    for (const job of short) {
      if (lost.includes(job.lease)) job.abort.abort(new Error('the job was claimed by another worker'));
      else job.until = until;
    }
  }

  /** @returns whether there may be more. */
  async function claimDue(only?: JobIdentity): Promise<boolean> {
    await holdOn();
    const inUse = new Map<string, number>();
    for (const { lease } of running.values()) inUse.set(lease.tenant, (inUse.get(lease.tenant) ?? 0) + 1);
    const leases = await claim(database, {
      now: clock.now(),
      owner: instance,
      leaseMs,
      exceptJobs: [...running.values()].map((job) => job.lease.jobId),
      // Somebody waits for that one job; it does not queue behind the others.
      ...(only === undefined ? { limit: concurrency - running.size, perTenant, inUse } : { limit: 1, only }),
    });
    for (const lease of leases) run(lease);
    return only === undefined && leases.length > 0 && running.size < concurrency;
  }

  function run(lease: Lease): void {
    const abort = new AbortController();
    const ended = execute(lease, abort.signal)
      .catch((error: unknown) =>
        logger.error({ ...identity(lease), err: error }, 'the end of a job could not be written down; it will be run again'),
      )
      .then(() => {
        running.delete(lease);
        for (const waiter of waiters) waiter();
        wake();
      });
    running.set(lease, { lease, abort, ended, until: lease.until });
  }

  async function execute(lease: Lease, signal: AbortSignal): Promise<void> {
    const handler = handlers(lease.useCase, lease.name);
    const end = handler === undefined ? unknownJob : await attempt();
    const result = await finish(database, lease, end, handler, clock.now());
    options.onAttempt?.(identity(lease), result, end);
    if (result === 'dead')
      logger.error({ ...identity(lease), reason: 'reason' in end ? end.reason : '' }, 'a job is dead: a person must look');
    if (result === 'lost') logger.warn(identity(lease), 'a job was finished after its lease had gone to another worker');

    async function attempt(): Promise<RunEnd> {
      try {
        const { tenant, useCase, name, key, payload, attempt: number } = lease;
        return (await handler?.run({ tenant, useCase, name, key, payload, attempt: number, signal })) ?? unknownJob;
      } catch (error) {
        // The log has the cause; what is stored is shown to the EHR, and gets the code.
        logger.warn({ ...identity(lease), attempt: lease.attempt, err: error }, 'an attempt of a job failed');
        return { outcome: 'failed', reason: error instanceof GatewayError ? (error.options.reason ?? error.code) : 'internal' };
      }
    }
  }

  async function work(): Promise<void> {
    while (state === 'started') {
      const woken = new Promise<void>((resolve) => (wake = resolve));
      let more = false;
      try {
        more = await inTurn(() => claimDue());
      } catch (error) {
        logger.error({ err: error }, 'jobs could not be claimed');
      }
      // Never a timer until the next job is due: the clock may be moved before that.
      if (more) continue;
      const timer = setTimeout(wake, pollMs);
      await woken;
      clearTimeout(timer);
    }
  }

  return {
    start: async () => {
      if (state !== 'new') throw new Error('the worker was started already');
      // The SQLite folder is ours alone, so whoever held a job is dead; on PostgreSQL that is sure of our own name only.
      await releaseOwned(database, database.kind === 'sqlite' ? undefined : instance, clock.now());
      state = 'started';
      unsubscribe = database.subscribe('jobs', () => wake());
      loop = work();
    },
    runNow: async (job, timeoutMs) => {
      const deadline = performance.now() + timeoutMs;
      let hurried = false;
      for (;;) {
        let timer: NodeJS.Timeout | undefined;
        let settled: () => void = () => undefined;
        const changed = new Promise<void>((resolve) => {
          settled = resolve;
          waiters.add(resolve);
        });
        try {
          const found = await findJob(database, job);
          if (found === undefined || found.state === 'done') return 'done';
          if (found.state === 'dead') return 'dead';
          const leftMs = deadline - performance.now();
          if (leftMs <= 0 || state !== 'started') return 'pending';
          if (found.state === 'pending' && running.size < concurrency * 4) {
            if (!hurried) await hurry(database, job, clock.now());
            hurried = true;
            await inTurn(() => claimDue(job));
          }
          // Another process may be the one that runs it.
          timer = setTimeout(settled, Math.min(leftMs, 100));
          await changed;
        } finally {
          clearTimeout(timer);
          waiters.delete(settled);
        }
      }
    },
    drain: async (timeoutMs = 10_000) => {
      if (state !== 'started') return;
      state = 'draining';
      unsubscribe();
      wake();
      await loop;
      const ended = Promise.all([...running.values()].map((job) => job.ended));
      const over = new AbortController();
      await Promise.race([ended, holdUntil(over.signal, timeoutMs)]);
      over.abort();
      for (const job of running.values()) job.abort.abort(new Error('the process is ending'));
    },
  };

  /** Renews what still runs while the worker drains. */
  async function holdUntil(signal: AbortSignal, timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    const ended = (): boolean => signal.aborted || performance.now() >= deadline;
    while (!ended()) {
      await sleep(Math.min(pollMs, Math.max(0, deadline - performance.now())), undefined, { signal }).catch(() => undefined);
      if (!ended()) await inTurn(holdOn).catch((error: unknown) => logger.warn({ err: error }, 'leases could not be renewed'));
    }
  }
}

const unknownJob: RunEnd = { outcome: 'retry', reason: 'no use case of this process knows the job' };

/** Makes a pending job due now. */
async function hurry(database: Database, job: JobIdentity, now: Date): Promise<void> {
  const at = now.toISOString();
  await database.transaction((tx) =>
    tx.query
      .updateTable('job')
      .set({ run_at: at })
      .where('tenant', '=', job.tenant)
      .where('use_case', '=', job.useCase)
      .where('name', '=', job.name)
      .where('key', '=', job.key)
      .where('state', '=', 'pending')
      .where('lease_until', 'is', null)
      .where('run_at', '>', at)
      .execute(),
  );
}

function identity({ tenant, useCase, name, key }: JobIdentity): JobIdentity {
  return { tenant, useCase, name, key };
}
