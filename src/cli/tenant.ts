import type { Config } from '../config.ts';

/** @throws Error that names the tenants there are, where `id` is none of them */
export function requireTenant({ tenants }: Config, id: string): void {
  if (tenants.some((tenant) => tenant.id === id)) return;
  throw new Error(`--tenant ${id} is not in the configuration; there are ${tenants.map((tenant) => tenant.id).join(', ')}`);
}
