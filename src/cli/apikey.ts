import { createClock } from '../clock.ts';
import type { Config } from '../config.ts';
import { createApiKey, listApiKeys, revokeApiKey, type ApiRole } from '../store/api-keys.ts';
import { withDatabase } from './database.ts';
import { requireTenant } from './tenant.ts';

export type KeyRole = ApiRole;
type Print = (line: string) => void;

/** `sluis apikey create`: prints the secret once. */
export async function createKey(
  config: () => Config,
  options: { readonly tenant?: string; readonly role: KeyRole; readonly label?: string },
  print: Print,
): Promise<void> {
  const loaded = config();
  if (options.tenant === undefined && options.role === 'ehr')
    throw new Error('--tenant is missing: a key of role ehr belongs to one tenant');
  if (options.tenant !== undefined) requireTenant(loaded, options.tenant);
  await withDatabase(loaded, async (database) => {
    const key = await database.transaction((tx) => createApiKey(tx, options, createClock().now()));
    print(key.secret);
    print(
      `Key ${key.id} (${options.role}, ${options.tenant ?? 'host'}). It is shown this once; send it as "Authorization: Bearer ${key.secret.slice(0, 8)}…".`,
    );
  });
}

/** `sluis apikey list` */
export async function listKeys(config: () => Config, options: { readonly tenant?: string }, print: Print): Promise<void> {
  const loaded = config();
  if (options.tenant !== undefined) requireTenant(loaded, options.tenant);
  const wanted = options.tenant === undefined ? [undefined, ...loaded.tenants.map((tenant) => tenant.id)] : [options.tenant];
  await withDatabase(loaded, async (database) => {
    for (const tenant of wanted) {
      for (const key of await listApiKeys(database, tenant)) {
        const state = key.revokedAt === undefined ? 'valid' : `revoked ${key.revokedAt.toISOString()}`;
        const used = key.lastUsedAt === undefined ? 'never used' : `last used ${key.lastUsedAt.toISOString()}`;
        print(`${key.id}  ${key.tenant ?? 'host'}  ${key.role}  ${state}  ${used}  ${key.label ?? ''}`.trimEnd());
      }
    }
  });
}

/** `sluis apikey revoke` */
export async function revokeKey(
  config: () => Config,
  options: { readonly id: string; readonly tenant?: string },
  print: Print,
): Promise<void> {
  const { id, tenant } = options;
  await withDatabase(config(), async (database) => {
    const revoked = await database.transaction((tx) => revokeApiKey(tx, tenant, id, createClock().now()));
    if (!revoked) {
      const hint = tenant === undefined ? '; the key of a tenant needs --tenant' : '';
      throw new Error(`${tenant ?? 'the host'} has no valid key ${id}; \`sluis apikey list\` shows what there is${hint}`);
    }
    print(`Key ${id} is revoked.`);
  });
}
