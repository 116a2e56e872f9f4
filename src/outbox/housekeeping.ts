import type { Clock } from '../clock.ts';
import type { Logger } from '../log.ts';
import type { Database } from '../store/database.ts';
import { purgeReplies } from '../store/idempotency.ts';
import { purgeProofIds } from '../store/proof-ids.ts';
import { purgeUserSessions } from '../store/user-sessions.ts';
import { purgeDoneJobs } from './jobs.ts';

/** Removes what is past its time: identities of care workers, answers for repeats, used proofs, jobs that were done long ago. */
export interface Housekeeping {
  start(): void;
  /** One round; `start` does it every minute. */
  tidy(): Promise<void>;
  stop(): void;
}

const EVERY_MS = 60_000;
/** As long as a transfer's deliveries may be asked for; a done job is found no more after it. */
const DONE_JOBS_KEPT_MS = 90 * 86_400_000;

/** Creates the housekeeping; several processes may do it at once. */
export function createHousekeeping(database: Database, clock: Clock, logger: Logger): Housekeeping {
  let timer: NodeJS.Timeout | undefined;
  const tidy = async (): Promise<void> => {
    const now = clock.now();
    // One short transaction each, so that a big one keeps nobody waiting.
    await database.transaction((tx) => purgeUserSessions(tx, now), { isolationLevel: 'read committed' });
    await database.transaction((tx) => purgeReplies(tx, now), { isolationLevel: 'read committed' });
    await database.transaction((tx) => purgeProofIds(tx, now), { isolationLevel: 'read committed' });
    await database.transaction((tx) => purgeDoneJobs(tx, new Date(now.getTime() - DONE_JOBS_KEPT_MS)), {
      isolationLevel: 'read committed',
    });
  };
  return {
    start: () => {
      timer ??= setInterval(() => {
        tidy().catch((error: unknown) =>
          logger.warn({ module: 'outbox', err: error }, 'housekeeping failed; it will be tried again'),
        );
      }, EVERY_MS);
      timer.unref();
    },
    tidy,
    stop: () => {
      clearInterval(timer);
      timer = undefined;
    },
  };
}
