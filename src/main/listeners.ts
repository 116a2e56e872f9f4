import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createScanIndex } from '../audit/scan-index.ts';
import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import { createInternalApp, loadApiDescription } from '../http/internal.ts';
import { openPublicListener } from '../http/public.ts';
import { openListener } from '../http/server.ts';
import type { Logger } from '../log.ts';
import type { Gateway } from './gateway.ts';
import { createProbes } from './probes.ts';

export interface Listeners {
  readonly publicUrl: string;
  readonly internalUrl: string;
  /** Not ready any more; what runs may end within the time. The internal listener is the last, so that it can be seen. */
  drain(deadlineMs: number): Promise<void>;
}

/** How long `/health/ready` says no before connections are refused: what balances load must have looked. */
const UNREADY_MS = 1_000;

/**
 * Opens both listeners.
 * @throws Error when a port is taken, or when the API of a use case is not described
 */
export async function startListeners(gateway: Gateway, config: Config, clock: Clock, logger: Logger): Promise<Listeners> {
  const { journal } = gateway;
  let draining = false;
  const app = createInternalApp({
    mode: config.mode,
    // A use case from elsewhere brings the description of its own routes beside its code.
    description: loadApiDescription(
      config.useCaseFolders.map((folder) => join(folder, 'openapi.yaml')).filter((file) => existsSync(file)),
    ),
    tenants: gateway.tenants,
    useCases: gateway.registry.all,
    workflow: gateway.workflow,
    database: gateway.database,
    node: (tenant) => gateway.nodeOf(tenant),
    audit: journal,
    auditIndex: createScanIndex(journal.directory, (instance, tenant, sequence) => journal.isOpen(instance, tenant, sequence)),
    explain: gateway.explain,
    metrics: gateway.metrics,
    clock,
    logger,
    probes: createProbes(gateway),
    draining: () => draining,
    // An EHR that is built against the sandbox must be able to trust the description to the letter.
    validateResponses: config.mode === 'development',
  });
  const internal = await openListener({ ...config.internal, onRequest: app });
  const open = await openPublicListener({
    ...config.public,
    gate: gateway.gate,
    trustedProxies: config.trustedProxies,
    logger,
    metrics: gateway.metrics,
  }).catch(async (error: unknown) => {
    await internal.drain(0);
    throw error;
  });

  return {
    publicUrl: open.url,
    internalUrl: internal.url,
    drain: async (deadlineMs) => {
      draining = true;
      if (config.mode === 'production') await new Promise((resolve) => setTimeout(resolve, UNREADY_MS));
      await open.drain(deadlineMs);
      await internal.drain(Math.min(deadlineMs, 2_000));
    },
  };
}
