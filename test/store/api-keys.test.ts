import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createApiKey, listApiKeys, revokeApiKey, verifyApiKey } from '../../src/store/api-keys.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';

const now = new Date('2026-11-24T10:00:00.000Z');
const later = (seconds: number): Date => new Date(now.getTime() + seconds * 1_000);

describe('API keys', () => {
  let test: TestDatabase;
  beforeAll(async () => {
    test = await openTestDatabase();
  });
  afterAll(() => test.close());

  const create = (tenant: string | undefined, role: 'ehr' | 'operator', label?: string) =>
    test.database.transaction((tx) =>
      createApiKey(tx, { role, ...(tenant === undefined ? {} : { tenant }), ...(label === undefined ? {} : { label }) }, now),
    );

  it('recognises a key by its secret, with tenant and role', async () => {
    const { id, secret } = await create('a', 'ehr', 'the ward');
    expect(secret).toMatch(/^slk_[0-9a-f]{16}_[A-Za-z0-9_-]{43}$/);
    expect(await verifyApiKey(test.database, secret, now)).toEqual({
      id,
      tenant: 'a',
      role: 'ehr',
      label: 'the ward',
      createdAt: now,
    });
    const host = await create(undefined, 'operator');
    expect(await verifyApiKey(test.database, host.secret, now)).toEqual({ id: host.id, role: 'operator', createdAt: now });
  });

  it('refuses a secret with any part changed, cut or added, and the id alone', async () => {
    const { id, secret } = await create('a', 'ehr');
    const last = secret.at(-1) === 'A' ? 'E' : 'A';
    const other = await create('a', 'operator');
    const changed = [
      secret.slice(0, -1) + last,
      secret.slice(0, -1),
      `${secret}A`,
      `${secret}\n`,
      secret.toUpperCase(),
      `slk_${other.id}_${secret.slice(-43)}`,
      `slk_${'0'.repeat(16)}_${secret.slice(-43)}`,
      `slk_${id}_`,
      id,
      '',
    ];
    for (const wrong of changed) expect(await verifyApiKey(test.database, wrong, now)).toBeUndefined();
    expect(await verifyApiKey(test.database, secret, now)).toBeDefined();
  });

  it('stores nothing from which the secret can be had', async () => {
    const { secret } = await create('a', 'ehr');
    expect(JSON.stringify(await test.database.query.selectFrom('api_key').selectAll().execute())).not.toContain(
      secret.slice(-43),
    );
  });

  it('refuses a revoked key at once; only its own tenant can revoke it', async () => {
    const { id, secret } = await create('a', 'ehr');
    const revoke = (tenant: string | undefined) => test.database.transaction((tx) => revokeApiKey(tx, tenant, id, now));
    expect(await revoke('b')).toBe(false);
    expect(await revoke(undefined)).toBe(false);
    expect(await verifyApiKey(test.database, secret, now)).toBeDefined();
    expect(await revoke('a')).toBe(true);
    expect(await verifyApiKey(test.database, secret, now)).toBeUndefined();
    expect(await revoke('a')).toBe(false);
  });

  it('keeps the time of last use to the minute, and lists the keys of one tenant only', async () => {
    const { secret } = await create('c', 'ehr', 'first');
    await create('d', 'ehr');
    await verifyApiKey(test.database, secret, later(10));
    await verifyApiKey(test.database, secret, later(30));
    expect(await listApiKeys(test.database, 'c')).toEqual([
      { id: expect.any(String), tenant: 'c', role: 'ehr', label: 'first', createdAt: now, lastUsedAt: later(10) },
    ]);
    await verifyApiKey(test.database, secret, later(70));
    expect((await listApiKeys(test.database, 'c'))[0]?.lastUsedAt).toEqual(later(70));
    expect((await listApiKeys(test.database, undefined)).every((key) => key.tenant === undefined)).toBe(true);
  });

  it('makes no EHR key without a tenant', async () => {
    await expect(create(undefined, 'ehr')).rejects.toThrow('operator');
    await expect(create('', 'operator')).rejects.toThrow('name');
  });
});
