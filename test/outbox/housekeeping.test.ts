import { expect, it } from '@jest/globals';
import { createClock } from '../../src/clock.ts';
import { createLogger } from '../../src/log.ts';
import { createHousekeeping } from '../../src/outbox/housekeeping.ts';
import { enqueue } from '../../src/outbox/enqueue.ts';
import { claimCommand, storeReply } from '../../src/store/idempotency.ts';
import { createProofIds } from '../../src/store/proof-ids.ts';
import { insertUserSession } from '../../src/store/user-sessions.ts';
import { openTestDatabase } from '../support/database.ts';

it('removes expired identities and answers, and leaves what is still wanted', async () => {
  const test = await openTestDatabase();
  try {
    const clock = createClock();
    const now = clock.now();
    const command = { tenant: 'a', key: 'k', route: 'r' };
    await test.database.transaction(async (tx) => {
      const session = { tenant: 'a', means: 'dummy', status: 'pending', user: {}, createdAt: now } as const;
      await insertUserSession(tx, { ...session, id: 'short', expiresAt: new Date(now.getTime() + 1_000) });
      await insertUserSession(tx, { ...session, id: 'long', expiresAt: new Date(now.getTime() + 3_600_000) });
      await claimCommand(tx, command, 'h', now);
      await storeReply(tx, command, { status: 200, headers: {}, body: '' });
      await enqueue(tx, { tenant: 'a', useCase: 'u', name: 'n', key: 'k', payload: null }, now);
    });
    const proof = { tenant: 'a', jkt: 'k', jti: '1', expiresAt: new Date(now.getTime() + 70_000) };
    await createProofIds(test.database).use(proof);
    const housekeeping = createHousekeeping(test.database, clock, createLogger('silent'));
    const left = async () => ({
      sessions: (await test.database.query.selectFrom('user_session').select('id').execute()).map((row) => row.id),
      replies: (await test.database.query.selectFrom('idempotency').select('key').execute()).length,
      proofs: (await test.database.query.selectFrom('proof_id').select('id').execute()).length,
      jobs: (await test.database.query.selectFrom('job').select('state').execute()).length,
    });
    clock.advance(60);
    await housekeeping.tidy();
    expect(await left()).toEqual({ sessions: ['long'], replies: 1, proofs: 1, jobs: 1 });
    clock.advance(400 * 86_400);
    await housekeeping.tidy();
    expect(await left()).toEqual({ sessions: [], replies: 0, proofs: 0, jobs: 1 });
  } finally {
    await test.close();
  }
});
