import type { Clock } from '../clock.ts';
import type { Logger } from '../log.ts';
import type { Tenant } from '../tenant/tenant.ts';
import type { NodeServices } from '../usecase/workflow.ts';
import { createNodeApi } from './api.ts';
import { createCredentialServices } from './credentials.ts';
import { createHealthWatch, type NodeHealth } from './health.ts';
import { readIntrospectionV1, readIntrospectionV2, type IntrospectionV1, type IntrospectionV2 } from './introspection.ts';
import { createRegistryServices } from './registry.ts';
import { createSigningServices, type SigningServices } from './signing.ts';
import { createTokenRequests } from './token-request.ts';

/** A tenant's own Nuts node. */
export interface Node {
  /**
   * What the node says about a v1 token. `active: false` may also mean that the node is sick: see `isHealthy`.
   * @throws GatewayError `node_unavailable` when it did not answer, or with something that no node says
   */
  introspectV1(token: string): Promise<IntrospectionV1>;
  /**
   * What the node says about a v2 token. `active: false` is what it says: a v2 node that is sick answers with an error.
   * @throws GatewayError `node_unavailable` when it did not answer, or with something that no node says
   */
  introspectV2(token: string): Promise<IntrospectionV2>;
  /** The last known health; undefined before anybody asked. */
  health(): NodeHealth | undefined;
  /** Whether `/health`, asked at most 5 s ago, was answered with 200. Never throws. */
  isHealthy(): Promise<boolean>;
  /** What use cases may ask of it. */
  services(): NodeServices;
  readonly signing: SigningServices;
  close(): Promise<void>;
}

export interface NodeOptions {
  readonly tenant: Tenant;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Creates the client of one tenant's node; it keeps connections, so make one and close it in the end. */
export function createNode({ tenant, clock, logger }: NodeOptions): Node {
  const log = logger.child({ tenant: tenant.id, module: 'nuts' });
  const { did } = tenant.identity;
  const api = createNodeApi(tenant, clock);
  let wasHealthy = true;
  const watch = createHealthWatch(async () => {
    const healthy = await api.probe();
    if (healthy !== wasHealthy) log[healthy ? 'info' : 'warn']({ healthy }, 'the health of the Nuts node changed');
    wasHealthy = healthy;
    return healthy;
  }, clock);
  const services: NodeServices = {
    ...createCredentialServices(api, did, clock),
    ...createRegistryServices(api),
    requestToken: createTokenRequests(api, did, clock),
  };
  return {
    introspectV1: async (token) => readIntrospectionV1(await api.introspect('v1', token)),
    introspectV2: async (token) => readIntrospectionV2(await api.introspect('v2', token)),
    health: () => watch.last(),
    isHealthy: async () => (await watch.current()).healthy,
    services: () => services,
    signing: createSigningServices(api, did),
    close: () => api.close(),
  };
}
