import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createClock, type MovableClock } from '../../src/clock.ts';
import { GatewayError } from '../../src/errors.ts';
import { createLogger } from '../../src/log.ts';
import { enqueue, enqueuePeriodic } from '../../src/outbox/enqueue.ts';
import type { JobHandler, RunningJob } from '../../src/outbox/job.ts';
import { findDeadLetters, findJob, findJobs, purgeDoneJobs, reviveJob } from '../../src/outbox/jobs.ts';
import { claim } from '../../src/outbox/lease.ts';
import { createWorker, type Worker, type WorkerOptions } from '../../src/outbox/worker.ts';
import type { JsonValue } from '../../src/fhir/json.ts';
import type { JobResult } from '../../src/usecase/workflow.ts';
import { createStandingClock } from '../support/clock.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';

const job = { tenant: 'a', useCase: 'u', name: 'notify', key: 'task-1' };
const done: JobResult = { outcome: 'done' };

describe('the outbox', () => {
  let test: TestDatabase;
  let clock: MovableClock;
  let workers: Worker[];
  let handler: JobHandler;

  beforeEach(async () => {
    test = await openTestDatabase();
    clock = createClock();
    workers = [];
    handler = { scheduleMs: [20], run: () => Promise.resolve(done) };
  });
  afterEach(async () => {
    for (const worker of workers) await worker.drain(200);
    await test.close();
  });

  const start = async (options: Partial<WorkerOptions> = {}): Promise<Worker> => {
    const worker = createWorker({
      database: test.database,
      clock,
      handlers: (useCase) => (useCase === 'u' ? handler : undefined),
      logger: createLogger('silent'),
      instance: 'one',
      pollMs: 50,
      ...options,
    });
    workers.push(worker);
    await worker.start();
    return worker;
  };
  const put = (change: { key?: string; tenant?: string; useCase?: string; payload?: JsonValue; runAt?: Date } = {}) =>
    test.database.transaction((tx) => enqueue(tx, { ...job, payload: null, ...change }, clock.now()));
  const state = async () => (await findJob(test.database, job))?.state;

  it('runs a job once its transaction has committed, with its payload, and keeps the attempt', async () => {
    const seen: RunningJob[] = [];
    handler = { scheduleMs: [20], run: (running) => Promise.resolve((seen.push(running), done)) };
    await start();
    await put({ payload: { task: 'task-1' } });
    await until(async () => (await state()) === 'done');
    expect(seen).toHaveLength(1);
    expect(seen[0]).toMatchObject({ ...job, payload: { task: 'task-1' }, attempt: 1 });
    expect((await findJob(test.database, job))?.attempts).toEqual([{ at: expect.any(Date), outcome: 'done' }]);
  });

  it('never runs a job whose transaction was rolled back', async () => {
    const seen: string[] = [];
    handler = { scheduleMs: [20], run: ({ key }) => Promise.resolve((seen.push(key), done)) };
    await start();
    await expect(
      test.database.transaction(async (tx) => {
        await enqueue(tx, { ...job, payload: null }, clock.now());
        throw new Error('no');
      }),
    ).rejects.toThrow('no');
    await put({ key: 'next' });
    await until(async () => (await findJob(test.database, { ...job, key: 'next' }))?.state === 'done');
    expect(seen).toEqual(['next']);
    expect(await state()).toBeUndefined();
  });

  it('starts at once when something is enqueued in the same process, without waiting for the next look', async () => {
    await start({ pollMs: 600_000 });
    await wait(50);
    await put();
    await until(async () => (await state()) === 'done');
  });

  it('notices at its next look what another process has enqueued', async () => {
    await start({ pollMs: 500 });
    const second = await test.openSecond();
    await second.transaction((tx) => enqueue(tx, { ...job, payload: null }, clock.now()));
    await until(async () => (await state()) === 'done');
  });

  it('makes one run of two enqueueings while the job waits, with the newer payload and the earlier time', async () => {
    const seen: unknown[] = [];
    handler = { scheduleMs: [20], run: (running) => Promise.resolve((seen.push(running.payload), done)) };
    await put({ payload: 1, runAt: later(3600) });
    await put({ payload: 2, runAt: clock.now() });
    await put({ payload: 3, runAt: later(3600) });
    await start();
    await until(async () => (await state()) === 'done');
    expect(seen).toEqual([3]);
  });

  it('runs a job once more when it was enqueued while it ran, and never two at once', async () => {
    let inside = 0;
    let most = 0;
    let runs = 0;
    const gate = signal();
    handler = {
      scheduleMs: [20],
      run: async () => {
        most = Math.max(most, ++inside);
        if (++runs === 1) await gate.promise;
        inside -= 1;
        return done;
      },
    };
    await start();
    await put();
    await until(() => runs === 1);
    await put();
    await put();
    await wait(100);
    expect(runs).toBe(1);
    gate.open();
    await until(async () => runs === 2 && (await state()) === 'done');
    await wait(100);
    expect(runs).toBe(2);
    expect(most).toBe(1);
  });

  it('tries again by the schedule after a failure, a longer wait each time, and tells why', async () => {
    clock = createStandingClock();
    handler = {
      scheduleMs: [50, 200],
      run: ({ attempt }) => {
        if (attempt === 1) throw new GatewayError('upstream_failed', 'the secret of the upstream');
        if (attempt === 2) return Promise.resolve({ outcome: 'retry', reason: 'not yet' });
        if (attempt === 3) throw new Error('something private');
        return Promise.resolve(done);
      },
    };
    await start({ pollMs: 10 });
    await put();
    for (const [attempt, waitMs] of [50, 200, 200].entries()) {
      await attempted(attempt + 1);
      const leftMs = (await findJob(test.database, job))!.nextAt!.getTime() - clock.now().getTime();
      expect(Math.abs(leftMs - waitMs)).toBeLessThanOrEqual(waitMs / 4 + 1);
      clock.advance((leftMs - 1) / 1000);
      await another();
      const view = await findJob(test.database, job);
      expect([view?.state, view?.attempts.length]).toEqual(['pending', attempt + 1]);
      clock.advance(0.001);
    }
    await until(async () => (await state()) === 'done');
    const attempts = (await findJob(test.database, job))?.attempts ?? [];
    expect(attempts.map(({ outcome, reason }) => [outcome, reason])).toEqual([
      ['failed', 'upstream_failed'],
      ['retry', 'not yet'],
      ['failed', 'internal'],
      ['done', undefined],
    ]);
  });

  it('waits as long as the handler asked for, and notices a moved clock at its next look', async () => {
    let runs = 0;
    handler = {
      scheduleMs: [1],
      run: () => Promise.resolve(++runs === 1 ? { outcome: 'retry', reason: 'later', inMs: 3_600_000 } : done),
    };
    await start();
    await put();
    await until(() => runs === 1);
    await wait(150);
    expect(runs).toBe(1);
    expect((await findJob(test.database, job))?.nextAt?.getTime()).toBeGreaterThan(later(3_500).getTime());
    clock.advance(3_601);
    await until(async () => (await state()) === 'done');
  });

  it('buries a job that says so or has tried for too long, and lets an operator revive it', async () => {
    clock = createStandingClock();
    handler = { scheduleMs: [10], giveUpAfterMs: 3_000, run: () => Promise.resolve({ outcome: 'retry', reason: 'refused' }) };
    await start({ pollMs: 10 });
    await put();
    await attempted(1);
    clock.advance(2.9);
    await attempted(2);
    expect(await state()).toBe('pending');
    clock.advance(0.1);
    await until(async () => (await state()) === 'dead');
    const letters = await findDeadLetters(test.database, { tenant: 'a', limit: 10 });
    expect(letters).toHaveLength(1);
    expect(letters[0]?.attempts.at(-1)).toMatchObject({ outcome: 'dead', reason: 'refused' });
    expect(await findDeadLetters(test.database, { tenant: 'b', limit: 10 })).toEqual([]);
    handler = { scheduleMs: [10], run: () => Promise.resolve(done) };
    expect(await test.database.transaction((tx) => reviveJob(tx, job, clock.now()))).toBe(true);
    await until(async () => (await state()) === 'done');
    expect(await test.database.transaction((tx) => reviveJob(tx, job, clock.now()))).toBe(false);
    handler = { scheduleMs: [10], run: () => Promise.resolve({ outcome: 'dead', reason: 'gone' }) };
    await put();
    await until(async () => (await state()) === 'dead');
  });

  it('tries a job at once and waits for it, although its back-off is an hour', async () => {
    let good = false;
    handler = { scheduleMs: [3_600_000], run: () => Promise.resolve(good ? done : { outcome: 'retry', reason: 'down' }) };
    const worker = await start();
    await put();
    await until(async () => (await findJob(test.database, job))?.attempts.length === 1);
    expect(await worker.runNow(job, 200)).toBe('pending');
    good = true;
    expect(await worker.runNow(job, 60_000)).toBe('done');
    expect(await state()).toBe('done');
    expect(await worker.runNow({ ...job, key: 'unheard of' }, 60_000)).toBe('done');
  });

  it('does not let a job that somebody waits for queue behind others', async () => {
    const gate = signal();
    handler = {
      scheduleMs: [10],
      run: async (running) => (running.key.startsWith('slow') ? await gate.promise : undefined, done),
    };
    const worker = await start({ concurrency: 2 });
    for (const tenant of ['a', 'b', 'c']) await put({ tenant, key: 'slow' });
    await put();
    expect(await worker.runNow(job, 60_000)).toBe('done');
    gate.open();
  });

  it('gives one tenant no more than half of the places', async () => {
    const gate = signal();
    const running = new Map<string, number>();
    handler = {
      scheduleMs: [10],
      run: async ({ tenant }) => {
        running.set(tenant, (running.get(tenant) ?? 0) + 1);
        await gate.promise;
        return done;
      },
    };
    for (let index = 0; index < 20; index += 1) await put({ key: `flood-${index}` });
    await put({ tenant: 'b', key: 'one' });
    await start({ concurrency: 4 });
    await until(() => running.has('b'));
    expect(running.get('a')).toBe(2);
    gate.open();
    await until(async () => (await findJob(test.database, { ...job, key: 'flood-19' }))?.state === 'done');
  });

  it('takes over the job of a worker that died, says so, and ignores what the dead one still reports', async () => {
    const gate = signal();
    const first: RunningJob[] = [];
    handler = {
      scheduleMs: [10],
      run: async (running) => (first.push(running), await gate.promise, { outcome: 'dead', reason: 'too late' }),
    };
    const frozen = createClock();
    // A stopped process: it polls no more, and its clock stands still for the leases.
    await start({ instance: 'dead', pollMs: 600_000, leaseMs: 60_000, clock: frozen });
    await put();
    await until(() => first.length === 1);
    const second = await test.openSecond();
    let runs = 0;
    const heir = createWorker({
      database: second,
      clock,
      handlers: () => ({ scheduleMs: [10], run: () => Promise.resolve((runs++, done)) }),
      logger: createLogger('silent'),
      instance: 'heir',
      pollMs: 50,
      leaseMs: 60_000,
    });
    workers.push(heir);
    if (test.database.kind === 'postgres') {
      await heir.start();
      await wait(300);
      expect(runs).toBe(0); // the lease holds
    } else {
      clock.advance(120);
      await heir.start();
    }
    clock.advance(120);
    await until(async () => (await state()) === 'done');
    gate.open();
    await wait(200);
    expect(runs).toBe(1);
    const view = await findJob(test.database, job);
    expect(view?.state).toBe('done');
    expect(view?.attempts.map(({ outcome, reason }) => [outcome, reason])).toEqual([
      ['failed', 'interrupted'],
      ['done', undefined],
    ]);
  });

  it('does not overlap a job with itself when the clock jumps over the lease', async () => {
    let inside = 0;
    let most = 0;
    const gate = signal();
    const held: JobHandler['run'] = async () => ((most = Math.max(most, ++inside)), await gate.promise, (inside -= 1), done);
    handler = { scheduleMs: [10], run: (running) => (running.key === job.key ? held(running) : Promise.resolve(done)) };
    await start({ leaseMs: 1_000 });
    await put();
    await until(() => inside === 1);
    for (let jump = 0; jump < 2; jump += 1) {
      clock.advance(3_600);
      await another();
    }
    expect(most).toBe(1);
    gate.open();
    await until(async () => (await state()) === 'done');
    expect((await findJob(test.database, job))?.attempts).toHaveLength(1);
  });

  it('begins at once after a restart with what the killed process held', async () => {
    handler = { scheduleMs: [10], run: () => new Promise(() => undefined) };
    const killed = await start({ leaseMs: 60_000 });
    await put();
    await until(async () => (await state()) === 'running');
    workers.splice(workers.indexOf(killed), 1);
    handler = { scheduleMs: [10], run: () => Promise.resolve(done) };
    await start({ leaseMs: 60_000 });
    await until(async () => (await state()) === 'done');
    await killed.drain(10);
  });

  it('puts a job off that was interrupted again and again: it may be what ends the process', async () => {
    const lease = { owner: 'crashing', leaseMs: 1_000, limit: 1 };
    await put();
    for (let round = 0; round < 5; round += 1) {
      expect(await claim(test.database, { ...lease, now: clock.now() })).toHaveLength(1);
      clock.advance(2);
    }
    expect(await claim(test.database, { ...lease, now: clock.now() })).toHaveLength(0);
    expect(await findJob(test.database, job)).toMatchObject({ state: 'pending', nextAt: expect.any(Date) });
    clock.advance(61);
    await start();
    await until(async () => (await state()) === 'done');
    expect((await findJob(test.database, job))?.attempts.map((attempt) => attempt.reason)).toEqual([
      ...Array<string>(5).fill('interrupted'),
      undefined,
    ]);
  });

  it('waits at shutdown for what runs and claims nothing more', async () => {
    const gate = signal();
    const started: string[] = [];
    handler = { scheduleMs: [10], run: async ({ key }) => (started.push(key), await gate.promise, done) };
    const worker = await start();
    await put();
    await until(() => started.length === 1);
    const drained = worker.drain(60_000);
    await put({ key: 'too late' });
    setTimeout(gate.open, 100);
    await drained;
    expect(started).toEqual(['task-1']);
    expect(await state()).toBe('done');
    expect((await findJob(test.database, { ...job, key: 'too late' }))?.state).toBe('pending');
    expect(await worker.runNow({ ...job, key: 'too late' }, 50)).toBe('pending');
  });

  it('aborts what does not end in time at shutdown', async () => {
    let aborted = false;
    handler = {
      scheduleMs: [10],
      run: ({ signal: ending }) => new Promise(() => ending.addEventListener('abort', () => (aborted = true))),
    };
    const worker = await start();
    await put();
    await until(async () => (await state()) === 'running');
    await worker.drain(50);
    expect(aborted).toBe(true);
  });

  it('leaves a job alone whose use case is not loaded, and keeps it', async () => {
    await start();
    await put({ useCase: 'other' });
    await until(async () => (await findJob(test.database, { ...job, useCase: 'other' }))?.attempts.length === 1);
    expect(await findJob(test.database, { ...job, useCase: 'other' })).toMatchObject({
      state: 'pending',
      attempts: [{ outcome: 'retry' }],
    });
  });

  it('repeats a periodic job, a bad end included, and enqueues it only once', async () => {
    let runs = 0;
    handler = {
      scheduleMs: [10],
      everyMs: 50,
      run: () => Promise.resolve(++runs === 2 ? { outcome: 'dead', reason: 'bad luck' } : done),
    };
    const seed = () =>
      test.database.transaction((tx) => enqueuePeriodic(tx, { tenant: 'a', useCase: 'u', name: 'sweep' }, clock.now()));
    await seed();
    await seed();
    expect(await test.database.query.selectFrom('job').select('generation').execute()).toEqual([{ generation: 1 }]);
    await start({ pollMs: 10 });
    await until(() => runs >= 4);
  });

  it('shows all jobs about one key of one tenant, and forgets old ones that are done', async () => {
    await start();
    await put();
    await put({ tenant: 'b' });
    await until(async () => (await state()) === 'done');
    expect(await findJobs(test.database, { tenant: 'a', useCase: 'u', key: 'task-1' })).toMatchObject([
      { name: 'notify', state: 'done' },
    ]);
    expect(await test.database.transaction((tx) => purgeDoneJobs(tx, later(-60)))).toBe(0);
    await until(async () => (await findJob(test.database, { ...job, tenant: 'b' }))?.state === 'done');
    expect(await test.database.transaction((tx) => purgeDoneJobs(tx, later(60)))).toBe(2);
    expect(await state()).toBeUndefined();
    expect(await test.database.query.selectFrom('job_attempt').selectAll().execute()).toEqual([]);
  });

  /** Waits until the job has been tried so often. */
  const attempted = (count: number) => until(async () => (await findJob(test.database, job))?.attempts.length === count);
  /** Lets another job be run: by then the worker has looked for what is due. */
  const another = async (): Promise<void> => {
    const other = { ...job, tenant: 'b', useCase: 'other', key: `other-${Math.random()}` };
    await put(other);
    await until(async () => (await findJob(test.database, other))?.attempts.length === 1);
  };
  const later = (seconds: number): Date => new Date(clock.now().getTime() + seconds * 1_000);
});

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function signal(): { readonly promise: Promise<void>; readonly open: () => void } {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  return { promise, open: () => resolve(undefined) };
}
