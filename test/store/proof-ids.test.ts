import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { GatewayError } from '../../src/errors.ts';
import { createProofIds, purgeProofIds, type UsedProof } from '../../src/store/proof-ids.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';

const now = new Date('2026-11-24T10:00:00.000Z');
const inSeconds = (count: number): Date => new Date(now.getTime() + count * 1000);
const proof = (jti: string, change: Partial<UsedProof> = {}): UsedProof => ({
  tenant: 'a',
  jkt: 'k'.repeat(43),
  jti,
  expiresAt: inSeconds(70),
  ...change,
});

describe('used proofs (RFC 9449 §11.1)', () => {
  let test: TestDatabase;
  beforeAll(async () => {
    test = await openTestDatabase();
  });
  afterAll(() => test.close());

  it('count once', async () => {
    const ids = createProofIds(test.database);
    expect(await ids.use(proof('one'))).toBe(true);
    expect(await ids.use(proof('one'))).toBe(false);
  });

  it('are known after a restart', async () => {
    expect(await createProofIds(test.database).use(proof('restart'))).toBe(true);
    expect(await createProofIds(test.database).use(proof('restart'))).toBe(false);
  });

  it('are one tenant’s and one key’s, and no two of them are glued into the same text', async () => {
    const ids = createProofIds(test.database);
    expect(await ids.use(proof('1x', { jkt: 'k' }))).toBe(true);
    for (const other of [{ tenant: 'b' }, { jkt: 'j' }, { jkt: 'k1', jti: 'x' }, { jkt: '1:k', jti: '1x' }]) {
      expect(await ids.use(proof('1x', { jkt: 'k', ...other }))).toBe(true);
    }
  });

  it('count once for any number that come at the same moment, in one process', async () => {
    const ids = createProofIds(test.database);
    const results = await Promise.all(Array.from({ length: 300 }, (_, index) => ids.use(proof(`same-${String(index % 3)}`))));
    expect(results.filter(Boolean)).toHaveLength(3);
  });

  it('count once when two processes race for the same ones, in opposite orders', async () => {
    const second = await test.openSecond();
    const here = createProofIds(test.database);
    const there = createProofIds(second);
    const names = Array.from({ length: 40 }, (_, index) => `race-${String(index)}`);
    const races = await Promise.all([
      ...names.map((jti) => here.use(proof(jti))),
      ...names.toReversed().map((jti) => there.use(proof(jti))),
    ]);
    expect(races.filter(Boolean)).toHaveLength(40);
    for (const jti of names) expect(await there.use(proof(jti))).toBe(false);
  });

  it('are forgotten after their time, and not before', async () => {
    const ids = createProofIds(test.database);
    await ids.use(proof('kept', { expiresAt: inSeconds(100) }));
    await ids.use(proof('gone', { expiresAt: inSeconds(99) }));
    await test.database.transaction((tx) => purgeProofIds(tx, inSeconds(99)));
    expect(await ids.use(proof('kept'))).toBe(false);
    expect(await ids.use(proof('gone'))).toBe(true);
  });

  it('are 503, not accepted, when the database does not answer, and nothing is tried again', async () => {
    const broken = await test.openSecond();
    await broken.close();
    const failure = await createProofIds(broken)
      .use(proof('lost'))
      .catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(GatewayError);
    expect(failure).toMatchObject({ code: 'unavailable', status: 503 });
  });
});
