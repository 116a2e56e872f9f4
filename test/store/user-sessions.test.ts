import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  findUserSession,
  insertUserSession,
  purgeUserSessions,
  settleUserSession,
  type NewUserSession,
} from '../../src/store/user-sessions.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';

const now = new Date('2026-11-24T10:00:00.000Z');
const minutes = (count: number): Date => new Date(now.getTime() + count * 60_000);
const user = { identifier: 'k.jansen@example.com', initials: 'K', familyName: 'Jansen' };
const session: NewUserSession = {
  tenant: 'a',
  id: 's1',
  means: 'employeeid',
  status: 'pending',
  user,
  nodeSessionId: 'n1',
  url: 'http://127.0.0.1/confirm',
  createdAt: now,
  expiresAt: minutes(15),
};

describe('user sessions', () => {
  let test: TestDatabase;
  beforeAll(async () => {
    test = await openTestDatabase();
    await test.database.transaction((tx) => insertUserSession(tx, session));
  });
  afterAll(() => test.close());

  it('gives a session to its own tenant only', async () => {
    expect(await findUserSession(test.database, 'a', 's1', now)).toEqual(session);
    expect(await findUserSession(test.database, 'b', 's1', now)).toBeUndefined();
  });

  it('completes a pending session once', async () => {
    const presentation = { type: 'NutsSelfSignedPresentation' };
    const settle = () =>
      test.database.transaction((tx) =>
        settleUserSession(tx, 'a', 's1', { status: 'complete', presentation, expiresAt: minutes(60) }),
      );
    expect(await settle()).toBe(true);
    expect(await settle()).toBe(false);
    expect(await test.database.transaction((tx) => settleUserSession(tx, 'a', 's1', { status: 'failed' }))).toBe(false);
    expect(await findUserSession(test.database, 'a', 's1', now)).toEqual({
      ...session,
      status: 'complete',
      presentation,
      expiresAt: minutes(60),
    });
  });

  it('shows an expired session to nobody, and removes it', async () => {
    expect(await findUserSession(test.database, 'a', 's1', minutes(59))).toBeDefined();
    expect(await findUserSession(test.database, 'a', 's1', minutes(60))).toBeUndefined();
    expect(await test.database.transaction((tx) => purgeUserSessions(tx, minutes(59)))).toBe(0);
    expect(await test.database.transaction((tx) => purgeUserSessions(tx, minutes(60)))).toBe(1);
    expect(await findUserSession(test.database, 'a', 's1', now)).toBeUndefined();
  });
});
