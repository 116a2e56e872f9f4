import type { TenantTls } from '../tenant/tenant.ts';

/** TLS options of node for a tenant's certificate and authorities. Certificates are always verified. */
export interface TlsOptions {
  readonly cert?: string;
  readonly key?: string;
  readonly ca?: string;
}

/** `ca` replaces the system's authorities where the tenant names its own. */
export function tlsOptions(tls: TenantTls): TlsOptions {
  return {
    ...(tls.certificate === undefined ? {} : { cert: tls.certificate }),
    ...(tls.key === undefined ? {} : { key: tls.key.reveal() }),
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
  };
}
