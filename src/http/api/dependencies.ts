import type { AuditIndex } from '../../audit/query.ts';
import type { AuditSink } from '../../audit/sink.ts';
import type { Clock } from '../../clock.ts';
import type { Logger } from '../../log.ts';
import type { Metrics } from '../../metrics.ts';
import type { Node } from '../../nuts/node.ts';
import type { SigningServices } from '../../nuts/signing.ts';
import type { Explain } from '../../pep/explain.ts';
import type { Database } from '../../store/database.ts';
import type { Tenant, TenantDirectory } from '../../tenant/tenant.ts';
import type { UseCase } from '../../usecase/definition.ts';
import type { NodeServices } from '../../usecase/workflow.ts';
import type { Workflow } from '../../workflow/workflow.ts';
import type { ApiDescription } from './description.ts';

/** What the API needs of a tenant's node; `Node` has it. */
export interface ApiNode {
  services(): Pick<NodeServices, 'findOrganizations' | 'resolveEndpoint'>;
  readonly signing: Pick<SigningServices, 'startSigning' | 'pollSigning'>;
}

/** Everything that the API stands on. */
export interface ApiDependencies {
  /** Only `development` knows the means `dummy`. */
  readonly mode: 'production' | 'development';
  /** Of the core and of every loaded use case. */
  readonly description: ApiDescription;
  readonly tenants: TenantDirectory;
  readonly useCases: readonly UseCase[];
  readonly workflow: Pick<Workflow, 'serves' | 'configOf' | 'services' | 'transaction'>;
  readonly database: Database;
  readonly node: (tenant: Tenant) => ApiNode | Node;
  readonly audit: AuditSink;
  readonly auditIndex: AuditIndex;
  /** How a request would be judged. */
  readonly explain: Explain;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Judge our own answers by the description too and fail on a wrong one: in development. */
  readonly validateResponses?: boolean;
}

/** How one thing that we depend on is. */
export interface ProbeResult {
  readonly up: boolean;
  /** Why not, in a few words for the operator. */
  readonly reason?: string;
}

/** Looks at what we depend on. A rejection counts as down; whoever asks sets the deadline. */
export interface Probes {
  store(): Promise<ProbeResult>;
  audit(): Promise<ProbeResult>;
  /** Of the tenant with that id. */
  tenant(id: string): Promise<{ readonly node: ProbeResult; readonly fhir: ProbeResult }>;
}

/** Everything that the internal listener stands on. */
export interface InternalDependencies extends ApiDependencies {
  readonly probes: Probes;
  /** Whether the process is on its way out: not ready any more. */
  readonly draining: () => boolean;
}
