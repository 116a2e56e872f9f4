import type { JsonValue } from '../fhir/json.ts';

/** Assurance level of a user's identity, low < substantial < high (Nuts RFC020 §3). */
export type AssuranceLevel = 'low' | 'substantial' | 'high';

const ORDER: Record<AssuranceLevel, number> = { low: 1, substantial: 2, high: 3 };

/** Whether a proven level is enough for the level that is asked. */
export function reachesLevel(proven: AssuranceLevel, asked: AssuranceLevel): boolean {
  return ORDER[proven] >= ORDER[asked];
}

/** A natural person whose identity was proven to the node: all of it non-empty, else there is no `ProvenUser`. */
export interface ProvenUser {
  readonly id: string;
  /** Empty where only the whole name is known, as `familyName` (v2). */
  readonly initials: string;
  readonly familyName: string;
  readonly prefix?: string;
  readonly role?: string;
  readonly level: AssuranceLevel;
}

/** The organisation that asks. `id` is its DID (or URA), taken from credentials and never from `client_id`. */
export interface Organization {
  readonly id: string;
  readonly name?: string;
  readonly ura?: string;
}

/** One line of a grant or of a NutsAuthorizationCredential (Nuts RFC014 §3.2.4). */
export interface GrantedResource {
  /** Relative to the FHIR base, with a leading slash: `/Task/123`. */
  readonly path: string;
  /** Lower case: read, vread, update, patch, delete, history, create, search, document. */
  readonly operations: readonly string[];
  /** Whether a natural person must be proven. */
  readonly userContext: boolean;
  readonly assuranceLevel?: AssuranceLevel;
}

/** A NutsAuthorizationCredential that was found genuine for this token: type, issuer, subject, purpose and validity were checked. */
export interface AuthorizationCredential {
  readonly id: string;
  readonly resources: readonly GrantedResource[];
  readonly expiresAt?: Date;
}

/** Who the token speaks for. */
export interface Subject {
  readonly organization: Organization;
  readonly user?: ProvenUser;
  /** v2 scopes, or the one purpose of a v1 token. */
  readonly scopes: readonly string[];
  /** Claims on the role's allow-list, by name. */
  readonly claims: ReadonlyMap<string, JsonValue>;
  readonly credentials: readonly AuthorizationCredential[];
}
