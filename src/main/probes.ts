import { GatewayError } from '../errors.ts';
import type { ProbeResult, Probes } from '../http/api/dependencies.ts';
import type { Gateway } from './gateway.ts';

const UP: ProbeResult = { up: true };

/** Looks at what the gateway stands on. A probe of a FHIR server is a read of something that is not there, marked as a look-up: 404 is health. */
export function createProbes(gateway: Pick<Gateway, 'tenants' | 'database' | 'journal' | 'nodeOf' | 'upstreamOf'>): Probes {
  return {
    store: async () => {
      await gateway.database.ping();
      return UP;
    },
    audit: () => {
      const { ok, reason } = gateway.journal.health();
      return Promise.resolve(ok ? UP : { up: false, reason: reason ?? 'the journal cannot be written' });
    },
    tenant: async (id) => {
      const tenant = gateway.tenants.get(id);
      if (tenant === undefined) throw new GatewayError('not_found', 'there is no such tenant');
      const [node, fhir] = await Promise.all([
        gateway
          .nodeOf(tenant)
          .isHealthy()
          .then((healthy) => (healthy ? UP : { up: false, reason: 'its /health was not answered with 200' })),
        gateway
          .upstreamOf(tenant)
          .store.read('Basic', 'sluis-health-probe')
          .then(
            () => UP,
            (error: unknown) => ({
              up: false,
              reason: error instanceof GatewayError ? (error.options.reason ?? error.code) : 'failed',
            }),
          ),
      ]);
      return { node, fhir };
    },
  };
}
