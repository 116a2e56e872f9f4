import { GatewayError } from '../errors.ts';
import type { Tenant } from '../tenant/tenant.ts';

/** Counts the requests of each tenant that are under way, so that one tenant's callers cannot take the place of another's. */
export interface Admission {
  /**
   * @returns gives the place back; calling it again does nothing
   * @throws GatewayError `too_many_requests` (429)
   */
  enter(tenant: Tenant): () => void;
}

/** Creates the count; one per process. */
export function createAdmission(): Admission {
  const underWay = new Map<string, number>();
  return {
    enter: (tenant) => {
      const count = underWay.get(tenant.id) ?? 0;
      if (count >= tenant.limits.concurrentRequests) {
        throw new GatewayError('too_many_requests', 'too many requests under way for this tenant', { retryAfterSeconds: 1 });
      }
      underWay.set(tenant.id, count + 1);
      let left = false;
      return () => {
        if (left) return;
        left = true;
        const now = (underWay.get(tenant.id) ?? 1) - 1;
        if (now === 0) underWay.delete(tenant.id);
        else underWay.set(tenant.id, now);
      };
    },
  };
}
