/** What a simulated node keeps for generation v2: `IamStore` on disk, as it were, and `IamMemory`, which a restart empties. */
import type { VC } from '../credential.ts';
import type { Json } from '../json.ts';
import type { Definition, Submission } from './definition.ts';

/** A JSON-LD credential, or the text of a JWT one. */
export type AnyCredential = VC | string;

export interface Subject {
  readonly id: string;
  readonly dids: readonly string[];
  readonly deactivated?: boolean;
}

/** Revocations of one issuer: the index of each credential in its list, and which indexes are set. */
export interface StatusList {
  next: number;
  readonly indexOf: Map<string, number>;
  readonly revoked: Set<number>;
}

export interface IamStore {
  readonly subjects: Map<string, Subject>;
  /** By subject, by credential id. */
  readonly wallets: Map<string, Map<string, AnyCredential>>;
  /** By issuer. */
  readonly statusLists: Map<string, StatusList>;
  /** What was issued as did:web, by id; the same credentials as JWT text where they are one. */
  readonly issued: Map<string, AnyCredential>;
}

export function createIamStore(): IamStore {
  return { subjects: new Map(), wallets: new Map(), statusLists: new Map(), issued: new Map() };
}

/** A registration at a discovery service. */
export interface Registration {
  readonly presentation: string;
  readonly did: string;
  readonly subject: string;
  /** Of the node that registered it. */
  readonly node: string;
  readonly chosen: Readonly<Record<string, AnyCredential>>;
  readonly parameters: Json;
  /** The place in the list; a later one replaces an earlier one of the same DID. */
  readonly timestamp: number;
  /** Milliseconds since 1970; other nodes see it from `visibleMs` on. */
  readonly visibleMs: number;
  readonly expiresMs: number;
}

/** Who holds what by scope: the presentation definition per owner type. */
export type Policy = Readonly<Partial<Record<'organization' | 'user', Definition>>>;

export interface StoredToken {
  readonly issuer: string;
  readonly clientId: string;
  readonly scope: string;
  /** Seconds since 1970. */
  readonly issuedAt: number;
  readonly expires: number;
  /** Thumbprint of the key that the client proved to have. */
  readonly thumbprint?: string;
  /** As they were presented, and parsed. */
  readonly presentations: readonly AnyCredential[];
  readonly definitions: Policy;
  readonly submissions: Readonly<Record<string, Submission>>;
  /** What was chosen for each input descriptor. */
  readonly chosen: Readonly<Record<string, AnyCredential>>;
}

export interface CachedToken {
  readonly answer: Json;
  readonly expiresAt: number;
  /** Until when it is handed out, ms since 1970. */
  readonly untilMs: number;
}

/** Everything that is in memory only; values that end name the ms since 1970 at which they do. */
export interface IamMemory {
  readonly tokens: Map<string, StoredToken>;
  readonly nonces: Map<string, number>;
  readonly proofIds: Map<string, number>;
  readonly requests: Map<string, CachedToken>;
  /** Copies of other nodes' status lists. */
  readonly lists: Map<string, { readonly bits: Uint8Array; readonly fetchedMs: number }>;
}

export function createIamMemory(): IamMemory {
  return { tokens: new Map(), nonces: new Map(), proofIds: new Map(), requests: new Map(), lists: new Map() };
}

/** Takes `id` once until it ends: false when it is taken already. */
export function takeOnce(taken: Map<string, number>, id: string, nowMs: number, lifeMs: number): boolean {
  for (const [other, ends] of taken) if (ends <= nowMs) taken.delete(other);
  if (taken.has(id)) return false;
  taken.set(id, nowMs + lifeMs);
  return true;
}
