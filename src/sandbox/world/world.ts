import type { Clock } from '../../clock.ts';
import type { SimulatedFhirServer } from '../fhir/server.ts';
import type { GatewayProcess } from '../gateway-process.ts';
import type { SimulatedNode } from '../node/index.ts';
import type { Relay } from '../relay.ts';
import type { TenantDefinition } from './definition.ts';
import type { ObservedFaults } from './faults.ts';

// What a running world consists of. `startWorld` makes one.

/** The clock of every part; the gateway's is moved along. */
export interface SandboxClock extends Clock {
  advance(seconds: number): void;
  /** From the machine's clock. */
  readonly offsetMs: () => number;
}

export interface RunningTenant {
  readonly definition: TenantDefinition;
  readonly fhir: SimulatedFhirServer;
  readonly relay: Relay;
  readonly faults: Readonly<Record<'node' | 'fhir' | 'receiver', ObservedFaults>>;
  readonly apiKey: string;
  readonly operatorKey: string;
}

export interface RunningOrganization {
  readonly id: string;
  readonly name: string;
  readonly did: string;
  readonly node: SimulatedNode;
  /** Compound services that its DID document has. */
  readonly services: Set<string>;
  readonly tenant?: RunningTenant;
}

export interface World {
  readonly name: string;
  readonly clock: SandboxClock;
  readonly gateway: GatewayProcess;
  /** `http://127.0.0.1:port` of the gateway's listeners. */
  readonly public: string;
  readonly internal: string;
  readonly organizations: readonly RunningOrganization[];
  /** Where the gateway keeps its data: the audit journal is in `audit` below it. */
  readonly dataDirectory: string;
  readonly configFile: string;
  readonly logFile: string;
  /** Ends every part, and removes the data unless it was given a folder. */
  close(): Promise<void>;
}

/** An organisation with everything but its keys, which only a running gateway can make. */
export interface Part {
  readonly id: string;
  readonly name: string;
  readonly did: string;
  readonly node: SimulatedNode;
  readonly services: Set<string>;
  readonly tenant?: Omit<RunningTenant, 'apiKey' | 'operatorKey'>;
}
