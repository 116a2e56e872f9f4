import { isJsonArray, isJsonObject, type JsonObject, type JsonValue } from '../fhir/json.ts';
import type { AssuranceLevel, GrantedResource } from '../usecase/subject.ts';

/** A NutsAuthorizationCredential (Nuts RFC014 §3) as we read it. */
export interface ReadCredential {
  readonly id: string;
  readonly issuer: string;
  readonly subject: string;
  readonly purpose: string;
  readonly resources: readonly GrantedResource[];
  readonly expiresAt?: Date;
}

export const AUTHORIZATION_CREDENTIAL = 'NutsAuthorizationCredential';

/** Undefined for what is no NutsAuthorizationCredential about exactly one subject, or says something that cannot be read. */
export function readAuthorizationCredential(credential: JsonObject): ReadCredential | undefined {
  if (!toArray(credential['type']).includes(AUTHORIZATION_CREDENTIAL)) return undefined;
  const [about, ...others] = toArray(credential['credentialSubject']);
  const id = credential['id'];
  const issuer = credential['issuer'];
  if (typeof id !== 'string' || typeof issuer !== 'string' || !isJsonObject(about) || others.length > 0) return undefined;
  const subject = about['id'];
  const purpose = about['purposeOfUse'];
  if (typeof subject !== 'string' || typeof purpose !== 'string') return undefined;
  const end = credential['expirationDate'];
  const expiresAt = end === undefined ? undefined : parseInstant(end);
  if (end !== undefined && expiresAt === undefined) return undefined;
  return {
    id,
    issuer,
    subject,
    purpose,
    resources: toArray(about['resources']).flatMap((line) => readResource(line) ?? []),
    ...(expiresAt === undefined ? {} : { expiresAt }),
  };
}

/** The node prints a list of one as the one itself (nuts-node-api.md §0.4). */
export function toArray(value: JsonValue | undefined): readonly JsonValue[] {
  if (value === undefined || value === null) return [];
  return isJsonArray(value) ? value : [value];
}

const INSTANT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/;

/** An RFC 3339 moment; undefined when it is none. */
export function parseInstant(value: JsonValue | undefined): Date | undefined {
  if (typeof value !== 'string' || !INSTANT.test(value)) return undefined;
  const moment = new Date(value);
  return Number.isNaN(moment.getTime()) ? undefined : moment;
}

// A line that cannot be read grants nothing.
function readResource(line: JsonValue): GrantedResource | undefined {
  if (!isJsonObject(line)) return undefined;
  const { path, operations, userContext, assuranceLevel } = line;
  if (typeof path !== 'string' || path === '') return undefined;
  if (userContext !== undefined && userContext !== null && typeof userContext !== 'boolean') return undefined;
  if (assuranceLevel !== undefined && assuranceLevel !== null && !isLevel(assuranceLevel)) return undefined;
  return {
    path: path.startsWith('/') ? path : `/${path}`,
    operations: toArray(operations).flatMap((operation) => (typeof operation === 'string' ? operation.toLowerCase() : [])),
    userContext: userContext ?? false,
    ...(isLevel(assuranceLevel) ? { assuranceLevel } : {}),
  };
}

function isLevel(value: JsonValue | undefined): value is AssuranceLevel {
  return value === 'low' || value === 'substantial' || value === 'high';
}
