import { z } from 'zod';
import { GatewayError } from '../../errors.ts';
import { parseJsonText, type JsonValue } from '../../fhir/json.ts';
import { AUDIT_OUTCOMES, type AuditOutcome } from '../../audit/entry.ts';
import type { AuditView } from '../../audit/query.ts';
import { organizationIdsOf } from '../../tenant/tenant.ts';
import type { NodeServices } from '../../usecase/workflow.ts';
import type { ApiDependencies } from './dependencies.ts';
import type { CoreCall, CoreRoute } from './route.ts';
import type { UserSessions } from './user-sessions.ts';

/** What the handlers of core routes stand on. */
export interface CoreContext {
  readonly deps: ApiDependencies;
  readonly sessions: UserSessions;
}

/** The routes that every tenant has, whatever its use cases. */
export const CORE_ROUTES: readonly CoreRoute<CoreContext>[] = [
  {
    operationId: 'getTenant',
    method: 'GET',
    path: '',
    roles: ['ehr', 'operator'],
    handle: (call, { deps }) => showTenant(call, deps),
  },
  {
    operationId: 'findOrganizations',
    method: 'GET',
    path: 'organizations',
    roles: ['ehr', 'operator'],
    handle: (call, { deps }) => findOrganizations(call, deps.node(call.caller.tenant).services()),
  },
  {
    operationId: 'createUserSession',
    method: 'POST',
    path: 'user-sessions',
    roles: ['ehr'],
    handle: (call, { sessions }) => sessions.create(call),
  },
  {
    operationId: 'getUserSession',
    method: 'GET',
    path: 'user-sessions/:session',
    roles: ['ehr'],
    handle: (call, { sessions }) => sessions.show(call),
  },
  {
    operationId: 'listAudit',
    method: 'GET',
    path: 'audit',
    roles: ['operator'],
    handle: (call, { deps }) => listAudit(call, deps),
  },
  {
    operationId: 'explainRequest',
    method: 'POST',
    path: 'explain',
    roles: ['operator'],
    handle: (call, { deps }) => explainRequest(call, deps),
  },
];

function showTenant(call: CoreCall, deps: ApiDependencies): Promise<{ status: number; body: JsonValue }> {
  const { tenant, key } = call.caller;
  const useCases = deps.useCases.filter((useCase) => deps.workflow.serves(tenant, useCase));
  const ids = organizationIdsOf(tenant.identity);
  const { authorizationServerUrl } = tenant.identity;
  return Promise.resolve({
    status: 200,
    body: {
      id: tenant.id,
      name: tenant.name,
      ...(ids[0] === undefined ? {} : { organization: ids[0] }),
      organizationIds: ids,
      ...(authorizationServerUrl === undefined ? {} : { authorizationServerUrl }),
      fhirVersion: tenant.fhir.version,
      publicUrl: tenant.publicUrl,
      useCases: useCases.map(({ id, title }) => ({ id, title })),
      userSessionMeans: deps.mode === 'development' ? ['employeeid', 'dummy'] : ['employeeid'],
      role: key.role,
    },
  });
}

/** Endpoint names of Nuts services that a sender must know of: can a token be asked, can it be notified, does it give FHIR. */
const ENDPOINTS = ['oauth', 'notification', 'fhir'] as const;
const DEFAULT_ORGANIZATIONS = 20;
/** Organisations asked after at once. */
const AT_ONCE = 4;

async function findOrganizations(
  call: CoreCall,
  node: Pick<NodeServices, 'findOrganizations' | 'resolveEndpoint'>,
): Promise<{ status: number; body: JsonValue }> {
  const { query = '', service = '', limit } = call.query;
  const found = await node.findOrganizations(query, service);
  const shown = found.slice(0, limit === undefined ? DEFAULT_ORGANIZATIONS : Number(limit));
  const items: JsonValue[] = [];
  for (let from = 0; from < shown.length; from += AT_ONCE) {
    const some = shown.slice(from, from + AT_ONCE).map(async ({ id, name, city }) => ({
      organization: id,
      name,
      ...(city === undefined ? {} : { city }),
      endpoints: Object.fromEntries(
        await Promise.all(ENDPOINTS.map(async (endpoint) => [endpoint, await resolves(node, id, service, endpoint)] as const)),
      ),
    }));
    items.push(...(await Promise.all(some)));
  }
  return { status: 200, body: { items, total: found.length } };
}

/** A party whose entries are broken does not resolve; our own node that does not answer is a failure. */
async function resolves(
  node: Pick<NodeServices, 'resolveEndpoint'>,
  party: string,
  service: string,
  endpoint: string,
): Promise<boolean> {
  try {
    return (await node.resolveEndpoint(party, service, endpoint)) !== undefined;
  } catch (error) {
    if (error instanceof GatewayError && error.code === 'upstream_failed') return false;
    throw error;
  }
}

/** The description has judged the shape already. */
const explained = z.object({
  token: z.string(),
  method: z.string(),
  target: z.string(),
  headers: z.record(z.string(), z.string()).optional(),
  body: z.string().optional(),
});

async function explainRequest(call: CoreCall, deps: ApiDependencies): Promise<{ status: number; body: JsonValue }> {
  const { headers, body, ...request } = explained.parse(call.body);
  const explanation = await deps.explain(
    call.caller.tenant,
    { ...request, ...(headers === undefined ? {} : { headers }), ...(body === undefined ? {} : { body }) },
    call.correlationId,
  );
  return { status: 200, body: parseJsonText(JSON.stringify(explanation)) };
}

const DEFAULT_ENTRIES = 50;

async function listAudit(call: CoreCall, deps: ApiDependencies): Promise<{ status: number; body: JsonValue }> {
  const { tenant, key } = call.caller;
  const { from, to, patient, outcome, requester, correlationId, limit, cursor } = call.query;
  // Reading the record is itself on record, and before anything is shown.
  await deps.audit.record({
    phase: 'event',
    event: 'audit-read',
    outcome: 'permitted',
    tenant: tenant.id,
    correlationId: call.correlationId,
    at: deps.clock.now(),
    attributes: { apiKey: key.id },
    ...(patient === undefined ? {} : { patient }),
  });
  const page = await deps.auditIndex.query({
    tenant: tenant.id,
    limit: limit === undefined ? DEFAULT_ENTRIES : Number(limit),
    ...(from === undefined ? {} : { from: new Date(from) }),
    ...(to === undefined ? {} : { to: new Date(to) }),
    ...(patient === undefined ? {} : { patient }),
    ...(isOutcome(outcome) ? { outcome } : {}),
    ...(requester === undefined ? {} : { requester }),
    ...(correlationId === undefined ? {} : { correlationId }),
    ...(cursor === undefined ? {} : { cursor }),
  });
  return {
    status: 200,
    body: { items: page.entries.map(showEntry), ...(page.next === undefined ? {} : { cursor: page.next }) },
  };
}

function isOutcome(text: string | undefined): text is AuditOutcome {
  return AUDIT_OUTCOMES.some((outcome) => outcome === text);
}

/** The view as JSON: what is undefined is left out, and the tenant stands in the path. */
function showEntry(entry: AuditView): JsonValue {
  const { tenant: _tenant, ...shown } = entry;
  return parseJsonText(JSON.stringify(shown));
}
