import type { ConditionalCreate, Interaction } from '../fhir/interaction.ts';
import type { JsonPatch } from '../fhir/json-patch.ts';
import type { JsonObject } from '../fhir/json.ts';
import type { AnswerFormat } from '../fhir/media.ts';
import type { QueryPair } from '../fhir/target.ts';
import type { Continuation } from './page-links.ts';
import type { DenyVerdict, PermitVerdict } from '../pdp/decide.ts';
import type { Tenant } from '../tenant/tenant.ts';
import type { AuthenticatedCaller } from '../token/authenticate.ts';
import type { InboundRoute } from '../usecase/workflow.ts';
import type { UseCase } from '../usecase/definition.ts';

/*
 * The stages of a request (design §3). Each holds the one before, so that deciding before authenticating, or forwarding a denial, does
 * not compile: `decide` takes an `Authenticated`, `forward` takes a `Permitted`, and nobody but the stage itself makes one.
 */

/** A request of which nothing is known but where it came from; the edge may have refused it. */
export interface Seen {
  /** Ours, for `X-Request-Id`; never the caller's. */
  readonly correlationId: string;
  /** `performance.now()` at the first sight of the request. */
  readonly startedMs: number;
  /** Of the caller, after trusted proxies. */
  readonly remoteAddress: string;
  /** What stands in the request line, where there is one that could be parsed. */
  readonly target?: string;
}

/** A request whose framing and headers were judged by the edge. Nothing else is known. */
export interface Received extends Seen {
  readonly stage: 'received';
  readonly method: string;
  /** What stands in the request line. */
  readonly target: string;
  /** By lower-case name; no name twice. */
  readonly headers: ReadonlyMap<string, string>;
  readonly hasBody: boolean;
  readonly contentLength?: number;
  /**
   * Reads the whole body; the caller is told to go on (`100 Continue`) only now.
   * @throws GatewayError `body_too_large` (413), `bad_request` when it breaks off
   */
  readBody(limitBytes: number): Promise<Uint8Array>;
  /** Calls the listener once when the caller has gone before its answer was whole. */
  onGone(listener: () => void): void;
}

/** The tenant is known, and the rest of the path is a FHIR interaction. */
export interface Addressed {
  readonly stage: 'addressed';
  readonly received: Received;
  readonly tenant: Tenant;
  readonly interaction: Interaction;
  readonly segments: readonly string[];
  readonly query: readonly QueryPair[];
}

/** The tenant is known, and the rest of the path is an inbound route of a use case. */
export interface AddressedInbound {
  readonly stage: 'addressed-inbound';
  readonly received: Received;
  readonly tenant: Tenant;
  readonly useCase: UseCase;
  readonly route: InboundRoute<unknown>;
  readonly params: Readonly<Record<string, string>>;
  /** Canonical, below the tenant: `/eoverdracht/notification/1`. */
  readonly path: string;
}

/** Who asks is known, and what the answer will look like. */
export interface Authenticated {
  readonly stage: 'authenticated';
  readonly addressed: Addressed;
  readonly interaction: Interaction;
  readonly caller: AuthenticatedCaller;
  readonly answer: AnswerFormat;
  /** A further page: `interaction` is the search that was asked at first. */
  readonly continuation?: Continuation;
  /**
   * What is to be written, read once, parsed once and found to be the resource of the path.
   * @throws GatewayError `body_too_large` (413), `invalid_body` (400)
   */
  body(): Promise<JsonObject>;
  /** Of a patch: its steps, read once. @throws GatewayError as `body` */
  readonly patch?: () => Promise<JsonPatch>;
  /** Of entries of one Bundle: what of all that they refer to the caller may read. */
  readonly referred?: Map<string, Promise<boolean>>;
  /** Of a create that a conditional write came to: the server is to hold the criteria once more. */
  readonly onlyIfNone?: ConditionalCreate;
  /** Of a write to what its criteria matched: the version that did, as `meta.versionId` has it. */
  readonly onlyIfVersion?: string;
}

export interface Permitted {
  readonly stage: 'permitted';
  readonly authenticated: Authenticated;
  readonly verdict: PermitVerdict;
}

export interface Denied {
  readonly stage: 'denied';
  readonly authenticated: Authenticated;
  readonly verdict: DenyVerdict;
}

export type Decided = Permitted | Denied;
