import type { Clock } from '../clock.ts';
import type { Sealer } from '../sealing.ts';
import type { Tenant } from '../tenant/tenant.ts';
import type { Upstream } from '../upstream/forward.ts';
import type { ReviewOptions } from './review.ts';

/** What every answer from the custodian stands on. */
export interface AnswerOptions extends ReviewOptions {
  /** Links to further pages. */
  readonly sealer: Sealer;
  readonly clock: Clock;
  /** The tenant's FHIR server; the same object for the life of the process. */
  upstream(tenant: Tenant): Upstream;
}
