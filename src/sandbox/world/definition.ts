import type { FhirVersion } from '../../fhir/version.ts';
import type { Resource } from '../fhir/resource.ts';
import type { Behaviour } from '../fhir/world.ts';

// A world as data: who is in it, what they hold, and where their services are. `startWorld` makes it run.

/** Where the parts of a tenant answer, for the services in its DID document. */
export interface TenantAddresses {
  /** The tenant's public base at the gate, `http://127.0.0.1:7080/<id>`. */
  readonly gate: string;
  /** The same behind a relay that can be made to fail (`POST /faults` with target `receiver`). */
  readonly relay: string;
}

/** What an organisation has that is served by the gateway. */
export interface TenantDefinition {
  readonly fhirVersion: FhirVersion;
  readonly resources: readonly Resource[];
  /** How its simulated FHIR server behaves; as that of its version by default. */
  readonly behaviour?: Partial<Behaviour>;
  /** A FHIR server that runs elsewhere and has been loaded, for tests against real ones; the simulated one is there, and unused. */
  readonly fhirUrl?: string;
  /** Who makes `$document`; as in `sluis.yaml`. */
  readonly document?: 'upstream' | 'assemble';
  /** Whether XML can be had; as in `sluis.yaml`. */
  readonly xml?: 'none' | 'relative';
  /** Settings of each use case, as they stand in `sluis.yaml`. */
  readonly useCases: Readonly<Record<string, unknown>>;
  /** Compound services of its DID document: name to endpoints; `oauth` is added. */
  readonly services: (at: TenantAddresses) => Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Request bodies for the POST calls of the API, keyed `METHOD path` with the path below `/api/v1/tenants/{tenant}`. */
  readonly examples?: (dids: Readonly<Record<string, string>>) => Readonly<Record<string, unknown>>;
}

/** An organisation of the simulated network, with a node of its own. Without `tenant` it only asks. */
export interface OrganizationDefinition {
  /** Its name in the sandbox, and the tenant's id. */
  readonly id: string;
  readonly name: string;
  readonly city: string;
  readonly tenant?: TenantDefinition;
}

export interface WorldDefinition {
  readonly name: string;
  readonly organizations: readonly OrganizationDefinition[];
  /** Folders of use cases besides the bundled ones; each is copied out of the repository, and loaded as an integrator's would be. */
  readonly useCaseFolders?: readonly string[];
}
