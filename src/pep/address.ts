import { GatewayError } from '../errors.ts';
import { parseInteraction } from '../fhir/parse-interaction.ts';
import { parseTarget, type QueryPair } from '../fhir/target.ts';
import type { UseCaseSettings } from '../pdp/settings.ts';
import type { Tenant, TenantDirectory } from '../tenant/tenant.ts';
import type { UseCaseRegistry } from '../usecase/registry.ts';
import type { RequestRecord } from './record.ts';
import type { Addressed, AddressedInbound, Received } from './stages.ts';

export interface AddressOptions {
  readonly tenants: TenantDirectory;
  readonly registry: UseCaseRegistry;
  readonly settings: UseCaseSettings;
}

/**
 * Finds whom a request is for and what it asks. What is neither FHIR of a tenant nor a declared inbound route is one and the same 404.
 * @throws GatewayError `invalid_target`, `invalid_parameter` (400), `not_found` (404), `method_not_allowed` (405), `target_too_long` (414)
 */
export function address(received: Received, record: RequestRecord, options: AddressOptions): Addressed | AddressedInbound {
  name(received.target, record, options.tenants);
  const { segments, query } = readTarget(received.target);
  const [tenantId = '', place = '', ...rest] = segments;
  const tenant = options.tenants.get(tenantId);
  if (tenant === undefined) throw notFound();
  record.addressed(tenant);
  if (place === 'fhir') return addressFhir(received, record, tenant, rest, query);
  return addressInbound(received, record, tenant, place, rest, query, options);
}

/**
 * Puts a request that is perhaps refused before it is addressed on the record of the tenant that its first path segment is, to the letter: nothing is decoded or
 * resolved for it, as what cannot be read in one way names nobody.
 */
export function name(target: string, record: RequestRecord, tenants: TenantDirectory): void {
  const segment = /^\/([^/?]*)/.exec(target)?.[1];
  const tenant = segment === undefined ? undefined : tenants.get(segment);
  if (tenant !== undefined) record.named(tenant);
}

/** A slash too many is 400 in a FHIR path, and elsewhere a path that nobody has (eoverdracht.md §4.2: a notification without an id is 404). */
function readTarget(target: string): ReturnType<typeof parseTarget> {
  try {
    return parseTarget(target);
  } catch (error) {
    if (target.endsWith('/') && isElsewhere(target.slice(0, -1))) throw notFound();
    throw error;
  }
}

function isElsewhere(target: string): boolean {
  if (target === '') return true;
  try {
    return parseTarget(target).segments[1] !== 'fhir';
  } catch {
    return false;
  }
}

function addressFhir(
  received: Received,
  record: RequestRecord,
  tenant: Tenant,
  segments: readonly string[],
  query: readonly QueryPair[],
): Addressed {
  const interaction = readInteraction(received, tenant, segments, query);
  record.asks(interaction);
  return { stage: 'addressed', received, tenant, interaction, segments, query };
}

function readInteraction(
  received: Received,
  tenant: Tenant,
  segments: readonly string[],
  query: readonly QueryPair[],
): ReturnType<typeof parseInteraction> {
  const ifNoneExist = received.headers.get('if-none-exist');
  const contentType = received.headers.get('content-type');
  try {
    return parseInteraction({
      method: received.method,
      segments,
      query,
      version: tenant.fhir.version,
      ...(ifNoneExist === undefined ? {} : { ifNoneExist }),
      ...(contentType === undefined ? {} : { contentType }),
    });
  } catch (error) {
    // Without a token every FHIR path of a tenant is 401 (design §12): who shows none learns nothing about the grammar.
    if (received.headers.has('authorization')) throw error;
    throw new GatewayError('token_missing', 'no token, and no FHIR request either', { cause: error });
  }
}

function addressInbound(
  received: Received,
  record: RequestRecord,
  tenant: Tenant,
  useCaseId: string,
  segments: readonly string[],
  query: readonly QueryPair[],
  options: AddressOptions,
): AddressedInbound {
  const useCase = options.registry.get(useCaseId);
  if (useCase === undefined || !options.settings.serves(tenant, useCase)) throw notFound();
  for (const route of useCase.inbound ?? []) {
    const params = matchPath(route.path, route.parameters, segments);
    if (params === undefined) continue;
    const path = `/${[useCase.id, ...segments].join('/')}`;
    record.asksInbound(route.name, path);
    if (received.method !== 'POST')
      throw new GatewayError('method_not_allowed', 'an inbound route takes POST', { allow: ['POST'] });
    if (query.length > 0) throw new GatewayError('invalid_parameter', 'an inbound route has no parameters');
    return { stage: 'addressed-inbound', received, tenant, useCase, route, params, path };
  }
  throw notFound();
}

function matchPath(
  pattern: string,
  parameters: Readonly<Record<string, RegExp>>,
  segments: readonly string[],
): Readonly<Record<string, string>> | undefined {
  const parts = pattern.split('/');
  if (parts.length !== segments.length) return undefined;
  const params: Record<string, string> = {};
  for (const [index, part] of parts.entries()) {
    const segment = segments[index] ?? '';
    if (!part.startsWith(':')) {
      if (part !== segment) return undefined;
      continue;
    }
    const allowed = parameters[part.slice(1)];
    // Whole, whatever anchors the expression has (attack case E6).
    const found =
      allowed === undefined ? null : new RegExp(`^(?:${allowed.source})$`, allowed.flags.replace(/[gy]/g, '')).exec(segment);
    if (found === null) return undefined;
    params[part.slice(1)] = segment;
  }
  return Object.freeze(params);
}

function notFound(): GatewayError {
  return new GatewayError('not_found', 'nothing of ours');
}
