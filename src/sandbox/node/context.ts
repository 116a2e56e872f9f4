/** What the parts of one node work with. */
import type { Clock } from '../../clock.ts';
import type { DiscoveryDefinition } from './iam/definition.ts';
import type { IamMemory, Policy } from './iam/store.ts';
import type { NodeStore, SimulatedNetwork } from './network.ts';
import type { SignSession } from './session-types.ts';

export interface NodeContext {
  readonly network: SimulatedNetwork;
  readonly store: NodeStore;
  readonly clock: Clock;
  /** Base URL, `http://127.0.0.1:<port>`; known once it listens. */
  readonly url: () => string;
  /** The DID that stands in the network for the node's vendor. */
  readonly vendorDid: string;
  /** Whether the unsigned `dummy` means exist (a node in strict mode has none). */
  readonly dummyMeans: boolean;
  readonly sessions: Map<string, SignSession>;
  /** Tokens of generation v2 and what belongs to them. */
  readonly iam: IamMemory;
  /** By scope. */
  readonly policies: Map<string, Policy>;
  readonly discovery: readonly DiscoveryDefinition[];
  /** How long a registration needs to reach other nodes. */
  readonly discoveryDelayMs: number;
  /** Milliseconds since 1970 at which it was started. */
  readonly startedAt: () => number;
  readonly isHealthy: () => boolean;
}

/** The node's token endpoint, below its URL. */
export const TOKEN_PATH = '/n2n/auth/v1/accesstoken';
export const EMPLOYEE_PAGE_PATH = '/public/auth/v1/means/employeeid';
