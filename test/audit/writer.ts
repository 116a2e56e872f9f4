import { openJournal } from '../../src/audit/journal.ts';
import { createClock } from '../../src/clock.ts';
import { createLogger } from '../../src/log.ts';

// A process that writes until it is killed, and prints each record that was acknowledged: `tenant phase correlationId`.
const [directory = '', run = ''] = process.argv.slice(2);
const clock = createClock();
const journal = await openJournal({
  directory,
  instance: 'gate',
  clock,
  logger: createLogger('silent'),
  segmentBytes: 65_536,
  minFreeBytes: 0,
});

await Promise.all(
  Array.from({ length: 8 }, async (_each, worker) => {
    const tenant = `t${String(worker % 3)}`;
    for (let index = 0; ; index += 1) {
      const correlationId = `${run}-${String(worker)}-${String(index)}`;
      const facts = { tenant, correlationId, at: clock.now(), path: 'Task/1', requester: { id: 'did:nuts:requester' } };
      await journal.record({ phase: 'intent', ...facts });
      process.stdout.write(`${tenant} intent ${correlationId}\n`);
      await journal.record({
        phase: 'outcome',
        tenant,
        correlationId,
        at: clock.now(),
        outcome: 'permitted',
        status: 200,
        reason: 'grant',
      });
      process.stdout.write(`${tenant} outcome ${correlationId}\n`);
    }
  }),
);
