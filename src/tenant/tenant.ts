import type { Secret } from '../secret.ts';

/** One custodian organisation served here, with its node and its FHIR base. Made once from the configuration, readonly ever after. */
export interface Tenant {
  /** First path segment of everything public: `[a-z0-9][a-z0-9-]{0,62}`. */
  readonly id: string;
  /** The organisation's name, for people. */
  readonly name: string;
  readonly identity: TenantIdentity;
  /** Public base URL of this tenant, `https://gate.example/ziekenhuis-oost`, no trailing slash. FHIR is at `/fhir` below it. */
  readonly publicUrl: string;
  readonly node: TenantNode;
  readonly fhir: TenantFhir;
  /** For calls to other parties: client certificate and trusted authorities. */
  readonly outbound: TenantTls;
  /** `ledger` (default) or, while taking over from other software, `credential`. */
  readonly grants: 'ledger' | 'credential';
  /** Settings by use case id, parsed by that use case. A use case that is absent is not served. */
  readonly useCases: ReadonlyMap<string, unknown>;
  readonly limits: TenantLimits;
}

/** Who the tenant is to others: the DID of generation v1, and subject and authorization server URL of v2. */
export interface TenantIdentity {
  /** Empty for a tenant of generation v2 alone. */
  readonly did: string;
  readonly subject?: string;
  /** What the `iss` of its v2 tokens is, whole. */
  readonly authorizationServerUrl?: string;
  /** What the claims of v2 tokens call the organisation: its DIDs of any method, its URA, or what else the node's policies name it by. Absent: nothing. */
  readonly organizationIds?: readonly string[];
}

/** All ids of the tenant's own organisation, the DID of v1 first; empty for a tenant of v2 whose configuration names none. */
export function organizationIdsOf({ did, organizationIds = [] }: TenantIdentity): readonly string[] {
  return [...new Set(did === '' ? organizationIds : [did, ...organizationIds])];
}

/** Whether an organisation that asks is the tenant itself, to the letter, by id or by URA (RFC003 §6.2). */
export function isOwnOrganization(
  { did, organizationIds }: TenantIdentity,
  { id, ura }: { readonly id: string; readonly ura?: string },
): boolean {
  if (did !== '' && id === did) return true;
  return organizationIds !== undefined && (organizationIds.includes(id) || (ura !== undefined && organizationIds.includes(ura)));
}

export interface TenantNode {
  /** Base URL of the node's internal API. */
  readonly url: string;
  readonly generations: readonly ('v1' | 'v2')[];
  /** Key (PEM, PKCS#8) and name with which we sign for the node's `token_v2` authentication, when it asks for that. */
  readonly apiKey?: { readonly privateKey: Secret; readonly name: string; readonly audience: string };
  readonly introspectionTimeoutMs: number;
  readonly introspectionCacheMs: number;
  /** A token that lives longer is not accepted, whatever the node says. Absent: `DEFAULT_MAX_TOKEN_LIFE_SECONDS`. */
  readonly maxTokenLifeSeconds?: number;
}

/** One hour: a v1 node in strict mode gives its tokens 60 s, a v2 node 900 s (nuts-node-api.md §1.1, §1.3). */
export const DEFAULT_MAX_TOKEN_LIFE_SECONDS = 3_600;

export interface TenantFhir {
  /** The FHIR base, no trailing slash. */
  readonly url: string;
  readonly version: 'STU3' | 'R4';
  readonly login: FhirLogin;
  readonly tls: TenantTls;
  readonly timeoutMs: number;
  /** Who makes `$document`: the FHIR server, or the gate from the Composition and what the caller may read of it. */
  readonly document: 'upstream' | 'assemble';
  /** Whether one resource may leave as XML: `relative` says that this server writes no absolute URL of its own into it. */
  readonly xml: 'none' | 'relative';
}

export type FhirLogin =
  | { readonly kind: 'none' }
  | { readonly kind: 'basic'; readonly username: string; readonly password: Secret }
  | { readonly kind: 'bearer'; readonly token: Secret }
  | {
      readonly kind: 'client-credentials';
      readonly tokenUrl: string;
      readonly clientId: string;
      readonly clientSecret: Secret;
      readonly scope?: string;
    };

/** PEM texts. */
export interface TenantTls {
  readonly certificate?: string;
  readonly key?: Secret;
  readonly ca?: string;
}

export interface TenantLimits {
  /** Requests in flight on the public listener. */
  readonly concurrentRequests: number;
  /** Whole answer of the FHIR server, bytes. */
  readonly maxAnswerBytes: number;
  /** Entries of one batch or transaction. */
  readonly bundleEntries: number;
}

/** What a directory of tenants answers; an unknown id is `undefined`, whatever it looks like. */
export interface TenantDirectory {
  readonly all: readonly Tenant[];
  get(id: string): Tenant | undefined;
}

/** A directory over a fixed list. */
export function createTenantDirectory(tenants: readonly Tenant[]): TenantDirectory {
  // A Map, never an object: `__proto__` is an unknown tenant like any other.
  const byId = new Map(tenants.map((tenant) => [tenant.id, tenant]));
  return { all: tenants, get: (id) => byId.get(id) };
}
