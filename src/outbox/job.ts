import type { JobResult } from '../usecase/workflow.ts';

/** A job is one thing to be done at least once: of one tenant and use case, by name and key. Two runs of the same job never overlap. */
export interface JobIdentity {
  readonly tenant: string;
  readonly useCase: string;
  readonly name: string;
  /** What the job is about, such as a task id. */
  readonly key: string;
}

/** What a handler is given. */
export interface RunningJob extends JobIdentity {
  readonly payload: unknown;
  /** 1 for the first attempt since it was enqueued. */
  readonly attempt: number;
  /** Aborted when the job was lost to another worker (this process had stopped for longer than the lease) or the worker gave up waiting at shutdown. */
  readonly signal: AbortSignal;
}

/** How jobs of one name are run. */
export interface JobHandler {
  /** Waits between attempts in ms, spread by jitter; the last one repeats. Not empty. */
  readonly scheduleMs: readonly number[];
  /** After this long without success the job is dead; absent: tries for ever. */
  readonly giveUpAfterMs?: number;
  /** With the key `periodic`: due again this long after it was done. */
  readonly everyMs?: number;
  /** Idempotent or reconcilable; a throw is an attempt that failed. */
  run(job: RunningJob): Promise<JobResult>;
}

/** Finds the handler; undefined when this process does not know the job. */
export type JobHandlers = (useCase: string, name: string) => JobHandler | undefined;

/** The key of jobs that repeat. */
export const PERIODIC_KEY = 'periodic';
