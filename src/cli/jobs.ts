import { createClock } from '../clock.ts';
import type { Config } from '../config.ts';
import type { JobIdentity } from '../outbox/job.ts';
import { findDeadLetters, reviveJob } from '../outbox/jobs.ts';
import { withDatabase } from './database.ts';
import { requireTenant } from './tenant.ts';

type Print = (line: string) => void;

const MOST = 200;

/** `sluis jobs list`: what gave up, newest first. */
export async function listJobs(config: () => Config, options: { readonly tenant?: string }, print: Print): Promise<void> {
  const loaded = config();
  if (options.tenant !== undefined) requireTenant(loaded, options.tenant);
  await withDatabase(loaded, async (database) => {
    const letters = await findDeadLetters(database, { ...options, limit: MOST });
    for (const { tenant, useCase, name, key, since, attempts } of letters) {
      const reason = attempts.at(-1)?.reason ?? 'no reason kept';
      print(
        `${tenant} ${useCase} ${name} ${key}  since ${since.toISOString()}, ${attempts.length} attempts kept, last: ${reason}`,
      );
    }
    if (letters.length === 0) print('No job has given up.');
    if (letters.length === MOST) print(`These are the newest ${MOST}.`);
  });
}

/** `sluis jobs retry`: the gateway takes it up within a second. */
export async function retryJob(config: () => Config, job: JobIdentity, print: Print): Promise<void> {
  await withDatabase(config(), async (database) => {
    const revived = await database.transaction((tx) => reviveJob(tx, job, createClock().now()));
    if (!revived) throw new Error('there is no such job that has given up; `sluis jobs list` shows what there is');
    print('It will be tried again.');
  });
}
