import type { Interaction } from '../fhir/interaction.ts';
import type { AccessRequest, PolicyInformation } from './access.ts';
import type { Decision } from './decision.ts';
import type { ApiRoute, GuardedWrite, InboundRoute, Job, Review } from './workflow.ts';

/** A line of what a role may ask at all. What no rule matches is denied before the use case's own code is asked. */
export interface Rule {
  readonly id: string;
  readonly interaction: Interaction['kind'];
  readonly types: readonly string[];
  /** For the operation kinds: the name without `$`. */
  readonly operation?: string;
  /** Query parameters that may be present, besides `_format` and `_pretty`. */
  readonly parameters?: readonly string[];
}

/** One side of one exchange. The token's purpose (v1) or scope (v2) selects exactly one role among all loaded use cases. */
export interface Role {
  readonly id: string;
  /** v1: the compound service name, `purposeOfUse`. */
  readonly purpose: string;
  /** v2. */
  readonly scopes: readonly string[];
  readonly fhirVersion: 'STU3' | 'R4';
  /** Names of token claims that the policy may see. */
  readonly claims?: readonly string[];
  /** Whether the policy itself judges a request of the custodian's own organisation; absent: the gate denies it (RFC003 §6.2). */
  readonly judgesSelf?: boolean;
  /** FHIR rules; empty for a role that only receives messages. */
  readonly rules: readonly Rule[];
}

/** What an integrator writes, in `usecases/<id>/index.ts`. */
export interface UseCaseDefinition<Config> {
  /** Equals the folder name; also the path segment of its routes. */
  readonly id: string;
  readonly title: string;
  readonly roles: readonly Role[];
  /** Parses a tenant's settings for this use case. @throws with a message per fault (zod does). */
  parseConfig(settings: unknown): Config;
  /** Judges one request. Deny is the last line. */
  decide(request: AccessRequest, config: Config, information: PolicyInformation): Decision | Promise<Decision>;
  readonly writes?: readonly GuardedWrite<Config>[];
  readonly reviews?: readonly Review<Config>[];
  readonly inbound?: readonly InboundRoute<Config>[];
  readonly api?: readonly ApiRoute<Config>[];
  readonly jobs?: readonly Job<Config>[];
}

/** A definition with its `Config` type hidden: the gate parses settings once per tenant and hands them back unseen. */
export type UseCase = UseCaseDefinition<unknown>;

/**
 * Declares a use case.
 * @example export default defineUseCase({ id: 'eoverdracht', title: 'eOverdracht', roles: [sender], parseConfig, decide })
 */
export function defineUseCase<Config>(definition: UseCaseDefinition<Config>): UseCase {
  // The one cast of the contract: a config goes only to the definition that parsed it (`usecase/registry.ts`).
  const hidden: unknown = Object.freeze(definition);
  return hidden as UseCase;
}
