import type { Request } from 'express';
import type { Clock } from '../../clock.ts';
import { GatewayError } from '../../errors.ts';
import { verifyApiKey, type ApiKey } from '../../store/api-keys.ts';
import type { Database } from '../../store/database.ts';
import type { Tenant, TenantDirectory } from '../../tenant/tenant.ts';

/** Who calls the API, and for which tenant. */
export interface Caller {
  readonly key: ApiKey;
  readonly tenant: Tenant;
}

/**
 * The API key of a request.
 * @throws GatewayError `token_missing` or `token_invalid` (401), `invalid_header` for two `Authorization` headers
 */
export async function authenticateKey(request: Request, database: Database, clock: Clock): Promise<ApiKey> {
  const given = request.rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === 'authorization').length;
  if (given > 1) {
    throw new GatewayError('invalid_header', 'two Authorization headers', {
      fields: [{ field: 'Authorization', problem: 'is given more than once' }],
    });
  }
  const header = request.headers.authorization;
  if (header === undefined) throw new GatewayError('token_missing', 'no API key', { reason: 'api_key_missing' });
  const [, secret] = /^Bearer +(slk_[A-Za-z0-9_-]+)$/i.exec(header) ?? [];
  const key = secret === undefined ? undefined : await verifyApiKey(database, secret, clock.now());
  if (key === undefined) throw new GatewayError('token_invalid', 'no such API key', { reason: 'api_key_invalid' });
  return key;
}

/**
 * The tenant of the path, when the key may know of it. A key of another tenant gets what a tenant that does not exist gets (design §12).
 * @throws GatewayError `not_found`
 */
export function locateTenant(id: string | undefined, key: ApiKey, tenants: TenantDirectory): Tenant {
  const tenant = id === undefined ? undefined : tenants.get(id);
  if (tenant === undefined || (key.tenant !== undefined && key.tenant !== tenant.id)) {
    throw new GatewayError('not_found', 'no such tenant for this key', { reason: 'tenant_unknown' });
  }
  return tenant;
}
