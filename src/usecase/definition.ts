import type { JsonObject } from '../fhir/json.ts';
import type { AccessRequest, PolicyInformation } from './access.ts';
import type { Decision } from './decision.ts';
import type { ClaimRule, Rule } from './rules.ts';
import type { ApiRoute, GuardedWrite, InboundRoute, Job, Review } from './workflow.ts';

/** One side of one exchange. The token's purpose (v1) or scope (v2) selects exactly one role among all loaded use cases. */
export interface Role {
  readonly id: string;
  /** v1: the compound service name, `purposeOfUse`. */
  readonly purpose: string;
  /** v2. */
  readonly scopes: readonly string[];
  readonly fhirVersion: 'STU3' | 'R4';
  /** Token claims that the policy may see, by name; v2 only. */
  readonly claims?: Readonly<Record<string, ClaimRule>>;
  /** Names of the claims that say who asks; absent: the first present of the usual ones (`token/claims.ts`). v2 only. */
  readonly organization?: { readonly id: string; readonly name?: string; readonly ura?: string };
  /**
   * Names of the claims that say which natural person asks, both there and filled; without it a v2 token names nobody. The person is of assurance level
   * `low`: what the requester's own node attests (Nuts RFC019). v2 only.
   */
  readonly user?: { readonly id: string; readonly name: string; readonly role?: string };
  /** `required`: only tokens that are bound to a key (DPoP). */
  readonly proof?: 'required';
  /** Whether the policy itself judges a request of the custodian's own organisation; absent: the gate denies it (RFC003 §6.2). */
  readonly judgesSelf?: boolean;
  /** FHIR rules; empty for a role that only receives messages. */
  readonly rules: readonly Rule[];
}

/** Says of each entry of a search answer, by name from an obligation, whether it may leave. One that throws withholds the whole answer. */
export interface Filter<Config> {
  readonly name: string;
  keeps(entry: { readonly request: AccessRequest; readonly resource: JsonObject }, config: Config): boolean;
}

/** Answers a read in the custodian's place, by name from an obligation; nothing is asked of the FHIR server but by look-ups. */
export interface LocalAnswer<Config> {
  readonly name: string;
  /** Undefined: 404. */
  answer(request: AccessRequest, config: Config, information: PolicyInformation): Promise<JsonObject | undefined>;
}

/** What an integrator writes, in `usecases/<id>/index.ts`. */
export interface UseCaseDefinition<Config> {
  /** Equals the folder name; also the path segment of its routes. */
  readonly id: string;
  readonly title: string;
  readonly roles: readonly Role[];
  /** Parses a tenant's settings for this use case. @throws with a message per fault (zod does). */
  parseConfig(settings: unknown): Config;
  /** Judges one request that a rule matched. Deny is the last line. A role of which the rules say everything has `permitByRule`. */
  decide(request: AccessRequest, config: Config, information: PolicyInformation): Decision | Promise<Decision>;
  readonly writes?: readonly GuardedWrite<Config>[];
  readonly reviews?: readonly Review<Config>[];
  readonly filters?: readonly Filter<Config>[];
  readonly answers?: readonly LocalAnswer<Config>[];
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
