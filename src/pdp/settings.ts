import type { Tenant } from '../tenant/tenant.ts';
import type { UseCaseRegistry } from '../usecase/registry.ts';

/** The settings of the use cases that a tenant serves, each parsed by that use case. */
export interface UseCaseSettings {
  /** Undefined when the tenant does not serve the use case. */
  get(tenantId: string, useCaseId: string): { readonly config: unknown } | undefined;
}

/** Settings that a use case does not accept, or of a use case that is not loaded. */
export interface SettingsProblem {
  readonly tenant: string;
  readonly useCase: string;
  readonly problem: string;
}

/**
 * Parses every tenant's settings for every use case, once, at start.
 * @returns the settings, or every fault there is: a configuration with a fault does not start
 */
export function parseUseCaseSettings(
  tenants: readonly Tenant[],
  registry: UseCaseRegistry,
): { readonly settings: UseCaseSettings; readonly problems: readonly SettingsProblem[] } {
  const parsed = new Map<string, ReadonlyMap<string, { readonly config: unknown }>>();
  const problems: SettingsProblem[] = [];
  for (const tenant of tenants) {
    const ofTenant = new Map<string, { readonly config: unknown }>();
    for (const [id, settings] of tenant.useCases) {
      const useCase = registry.get(id);
      if (useCase === undefined) {
        problems.push({ tenant: tenant.id, useCase: id, problem: 'is not the name of a use case that is loaded' });
        continue;
      }
      try {
        ofTenant.set(id, Object.freeze({ config: useCase.parseConfig(settings) }));
      } catch (error) {
        problems.push({ tenant: tenant.id, useCase: id, problem: error instanceof Error ? error.message : String(error) });
      }
    }
    parsed.set(tenant.id, ofTenant);
  }
  return { settings: { get: (tenantId, useCaseId) => parsed.get(tenantId)?.get(useCaseId) }, problems };
}
