import type { Tenant } from '../tenant/tenant.ts';
import type { UseCase } from '../usecase/definition.ts';

/** The settings of the use cases that a tenant serves, parsed by each use case at start; `workflow` has them. */
export interface UseCaseSettings {
  serves(tenant: Tenant, useCase: UseCase): boolean;
  /** Handed back to the use case unseen. */
  configOf(tenant: Tenant, useCase: UseCase): unknown;
}
