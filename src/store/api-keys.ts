import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Selectable } from 'kysely';
import type { Database, Transaction } from './database.ts';
import type { ApiKeyTable } from './schema.ts';
import type { Source } from './source.ts';

/** What a key allows: `ehr` steers use cases of its tenant, `operator` reads audit and explains too. */
export type ApiRole = 'ehr' | 'operator';

/** A key, without its secret: that is shown once, when it is made, and stored nowhere. */
export interface ApiKey {
  readonly id: string;
  /** Absent: the host's own operator. */
  readonly tenant?: string;
  readonly role: ApiRole;
  readonly label?: string;
  readonly createdAt: Date;
  /** To the minute. */
  readonly lastUsedAt?: Date;
  readonly revokedAt?: Date;
}

const LAST_USED_MS = 60_000;

/**
 * Makes a key. The secret is `slk_<id>_<256 random bits, base64url>`.
 * @throws TypeError for an EHR key without a tenant.
 */
export async function createApiKey(
  tx: Transaction,
  key: { readonly tenant?: string; readonly role: ApiRole; readonly label?: string },
  now: Date,
): Promise<{ readonly id: string; readonly secret: string }> {
  if (key.tenant === undefined && key.role !== 'operator') throw new TypeError('a key without a tenant is an operator key');
  if (key.tenant === '') throw new TypeError('a tenant has a name');
  const id = randomBytes(8).toString('hex');
  const random = randomBytes(32).toString('base64url');
  await tx.query
    .insertInto('api_key')
    .values({
      id,
      tenant: key.tenant ?? '',
      role: key.role,
      label: key.label ?? null,
      // 256 random bits need no slow hash: there is nothing to guess.
      secret_sha256: hash(random).toString('hex'),
      created_at: now.toISOString(),
      last_used_at: null,
      revoked_at: null,
    })
    .execute();
  return { id, secret: `slk_${id}_${random}` };
}

/** The key that the secret is of, if it is genuine and not revoked. Takes the same time whichever part is wrong. */
export async function verifyApiKey(database: Database, secret: string, now: Date): Promise<ApiKey | undefined> {
  const [, id, random] = /^slk_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/.exec(secret) ?? [];
  if (id === undefined || random === undefined) return undefined;
  const row = await database.query.selectFrom('api_key').selectAll().where('id', '=', id).executeTakeFirst();
  const genuine = timingSafeEqual(hash(random), Buffer.from(row?.secret_sha256 ?? NOBODY, 'hex'));
  if (row === undefined || !genuine || row.revoked_at !== null) return undefined;
  if (row.last_used_at === null || now.getTime() - Date.parse(row.last_used_at) >= LAST_USED_MS)
    await markUsed(database, id, now);
  return toApiKey(row);
}

/** The keys of a tenant (undefined: the host's), newest first, revoked ones too. */
export async function listApiKeys(source: Source, tenant: string | undefined): Promise<readonly ApiKey[]> {
  const rows = await source.query
    .selectFrom('api_key')
    .selectAll()
    .where('tenant', '=', tenant ?? '')
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .execute();
  return rows.map(toApiKey);
}

/** Revokes a key; it is refused from the commit on. @returns false when the tenant has no such key that is not revoked. */
export async function revokeApiKey(tx: Transaction, tenant: string | undefined, id: string, now: Date): Promise<boolean> {
  const revoked = await tx.query
    .updateTable('api_key')
    .set({ revoked_at: now.toISOString() })
    .where('tenant', '=', tenant ?? '')
    .where('id', '=', id)
    .where('revoked_at', 'is', null)
    .returning('id')
    .executeTakeFirst();
  return revoked !== undefined;
}

const NOBODY = '0'.repeat(64);

function hash(random: string): Buffer {
  return createHash('sha256').update(random).digest();
}

async function markUsed(database: Database, id: string, now: Date): Promise<void> {
  try {
    await database.transaction(
      (tx) => tx.query.updateTable('api_key').set({ last_used_at: now.toISOString() }).where('id', '=', id).execute(),
      { isolationLevel: 'read committed' },
    );
  } catch {
    // A courtesy to the operator; a database that cannot write now must not lock everybody out who only reads.
  }
}

function toApiKey(row: Selectable<ApiKeyTable>): ApiKey {
  return {
    id: row.id,
    role: row.role,
    createdAt: new Date(row.created_at),
    ...(row.tenant === '' ? {} : { tenant: row.tenant }),
    ...(row.label === null ? {} : { label: row.label }),
    ...(row.last_used_at === null ? {} : { lastUsedAt: new Date(row.last_used_at) }),
    ...(row.revoked_at === null ? {} : { revokedAt: new Date(row.revoked_at) }),
  };
}
