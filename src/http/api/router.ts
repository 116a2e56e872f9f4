import express, { type Request, type RequestHandler, type Response, type Router } from 'express';
import { middleware as openApiValidator } from 'express-openapi-validator';
import { GatewayError } from '../../errors.ts';
import { printJson, type JsonValue } from '../../fhir/json.ts';
import { hashRequest } from '../../store/idempotency.ts';
import type { UseCase } from '../../usecase/definition.ts';
import type { ApiReply } from '../../usecase/workflow.ts';
import { correlationOf } from '../problem.ts';
import { authenticateKey, locateTenant, type Caller } from './authenticate.ts';
import { readJsonBody } from './body.ts';
import { CORE_ROUTES, type CoreContext } from './core-routes.ts';
import type { ApiDependencies } from './dependencies.ts';
import { compareRoutes, type DescribedRoute } from './description.ts';
import { createIdempotency, type Claim, type KeyedRequest } from './idempotency.ts';
import { rolesOf, type MountedRoute } from './route.ts';
import { createUserSessions } from './user-sessions.ts';

type Mounted = MountedRoute<CoreContext>;

/** All routes that the API mounts for these use cases; the description must have the same. */
export function apiRoutes(useCases: readonly UseCase[]): readonly Mounted[] {
  return [
    ...CORE_ROUTES.map((route): Mounted => ({ kind: 'core', route })),
    ...useCases.flatMap((useCase) => (useCase.api ?? []).map((route): Mounted => ({ kind: 'use-case', useCase, route }))),
  ];
}

/**
 * The API, to be mounted at `/api/v1`. In this order: key (401), tenant (404), body, description (400 …), role (403), repeat, route.
 * @throws Error naming the routes that the description lacks: what is not described is not served
 */
export function createApi(deps: ApiDependencies): Router {
  const sessions = createUserSessions(deps);
  const routes = apiRoutes(deps.useCases);
  const { undescribed } = compareRoutes(routes.map(toDescribed), deps.description);
  if (undescribed.length > 0)
    throw new Error(['The API description lacks:', ...undescribed.map((line) => `  ${line}`)].join('\n'));

  const callers = new WeakMap<Request, Caller>();
  const idempotency = createIdempotency(deps.database, deps.clock);
  const router = express.Router({ caseSensitive: true, strict: true });

  const authenticate: RequestHandler = async (request, _response, next) => {
    const key = await authenticateKey(request, deps.database, deps.clock);
    // `/tenants/{tenant}` and all below; express decodes nothing here, and ids have nothing to decode.
    const [, id] = /^\/tenants\/([^/]+)/.exec(request.path) ?? [];
    if (id === undefined) throw new GatewayError('not_found', 'no such route', { reason: 'route_unknown' });
    try {
      callers.set(request, { key, tenant: locateTenant(id, key, deps.tenants) });
    } catch (error) {
      if (key.tenant !== undefined) await refuse(key.tenant, key.id, 'another-tenant', request, _response);
      throw error;
    }
    next();
  };
  router.use(authenticate);
  router.use(...readJsonBody);
  router.use(
    ...openApiValidator({
      // It changes what it is given.
      apiSpec: structuredClone(deps.description.document) as never,
      validateApiSpec: true,
      validateSecurity: false,
      fileUploader: false,
      validateRequests: { allErrors: true, allowUnknownQueryParameters: false },
      validateResponses: deps.validateResponses === true,
    }),
  );
  for (const mounted of routes) {
    const path = mounted.route.path === '' ? '/tenants/:tenant' : `/tenants/:tenant/${mounted.route.path}`;
    router[mounted.route.method === 'GET' ? 'get' : 'post'](path, handle(mounted));
  }
  return router;

  function handle(mounted: Mounted): RequestHandler {
    const { operationId, method, path } = mounted.route;
    return async (request, response) => {
      response.once('finish', () => {
        deps.metrics.apiRequests.inc({ operation: operationId, status: String(response.statusCode) });
      });
      const caller = callers.get(request);
      if (caller === undefined) throw new GatewayError('internal', 'a route without a caller');
      const { tenant, key } = caller;
      if (mounted.kind === 'use-case' && !deps.workflow.serves(tenant, mounted.useCase)) {
        throw new GatewayError('not_found', `the tenant does not have ${mounted.useCase.id}`, { reason: 'use_case_unknown' });
      }
      if (!rolesOf(mounted).includes(key.role)) {
        await refuse(tenant.id, key.id, operationId, request, response);
        throw new GatewayError('forbidden', `${operationId} is not for ${key.role} keys`, { reason: 'role_not_allowed' });
      }
      const params = paramsOf(request);
      const query = queryOf(request);
      const body: unknown = request.body;
      const keyed = keyedRequest(request, `${method} ${path}`, tenant.id, [params, query, body]);
      const { reply, replayed } = await idempotency.run(keyed, async (claim) => {
        if (method === 'POST') {
          await deps.audit.record({
            phase: 'event',
            event: 'api-command',
            outcome: 'permitted',
            tenant: tenant.id,
            correlationId: correlationOf(response),
            at: deps.clock.now(),
            attributes: { operation: operationId, apiKey: key.id, ...params },
            ...(mounted.kind === 'use-case' ? { useCase: mounted.useCase.id } : {}),
          });
        }
        const call = { params, query, body, correlationId: correlationOf(response) };
        return mounted.kind === 'core'
          ? runCore(mounted, caller, call, claim)
          : runUseCase(mounted, caller, call, claim, request);
      });
      deps.logger.info(
        {
          tenant: tenant.id,
          correlationId: correlationOf(response),
          operation: operationId,
          apiKey: key.id,
          status: reply.status,
          replayed,
        },
        'an API call was answered',
      );
      if (replayed) response.set('Idempotency-Replayed', 'true');
      send(response, reply);
    };
  }

  function runCore(
    mounted: Extract<Mounted, { kind: 'core' }>,
    caller: Caller,
    call: PlainCall,
    claim: Claim,
  ): Promise<ApiReply> {
    return mounted.route.handle(
      { ...call, caller, command: (work) => deps.database.transaction((tx) => claim.within(tx, () => work(tx))) },
      { deps, sessions },
    );
  }

  async function runUseCase(
    mounted: Extract<Mounted, { kind: 'use-case' }>,
    { tenant }: Caller,
    call: PlainCall,
    claim: Claim,
    request: Request,
  ): Promise<ApiReply> {
    const { useCase, route } = mounted;
    const named = request.get('x-user-session');
    const userSession = named === undefined ? undefined : await sessions.resolve(tenant, named);
    return route.handle(
      {
        ...call,
        ...(userSession === undefined ? {} : { userSession }),
        command: (work) => deps.workflow.transaction(tenant, useCase, (unit, tx) => claim.within(tx, () => work(unit))),
      },
      deps.workflow.configOf(tenant, useCase),
      deps.workflow.services(tenant, useCase),
    );
  }

  /** A genuine key that was used for something that it may not: the operator should see it. */
  function refuse(tenant: string, key: string, what: string, request: Request, response: Response): Promise<void> {
    return deps.audit.record({
      phase: 'event',
      event: 'api-refused',
      outcome: 'refused',
      tenant,
      correlationId: correlationOf(response),
      at: deps.clock.now(),
      reason: what === 'another-tenant' ? 'api_key_of_another_tenant' : 'role_not_allowed',
      attributes: { apiKey: key, operation: what, method: request.method },
    });
  }
}

interface PlainCall {
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string>>;
  readonly body: unknown;
  readonly correlationId: string;
}

/** How the description writes a mounted route. */
export function toDescribed({ route }: Mounted): DescribedRoute {
  return { operationId: route.operationId, method: route.method, path: route.path };
}

function keyedRequest(request: Request, route: string, tenant: string, parts: readonly unknown[]): KeyedRequest | undefined {
  const key = request.get('idempotency-key');
  if (key === undefined || request.method !== 'POST') return undefined;
  // The member order of a body has no meaning. The user session is not part of it: a retry may need a fresh one.
  return {
    command: { tenant, key, route },
    hash: hashRequest([route, ...parts.map((part) => (part === undefined ? '' : JSON.stringify(sorted(part))))]),
  };
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null || 'toJSON' in value) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, member]) => [name, sorted(member)]),
  );
}

function paramsOf(request: Request): Readonly<Record<string, string>> {
  const params: Record<string, string> = {};
  for (const [name, value] of Object.entries(request.params)) {
    if (name !== 'tenant' && typeof value === 'string') params[name] = value;
  }
  return params;
}

/** As sent: the description has judged them, and none may come twice. */
function queryOf(request: Request): Readonly<Record<string, string>> {
  const mark = request.originalUrl.indexOf('?');
  return mark < 0 ? {} : Object.fromEntries(new URLSearchParams(request.originalUrl.slice(mark + 1)));
}

function send(response: Response, reply: ApiReply): void {
  response.status(reply.status);
  for (const [name, value] of Object.entries(reply.headers ?? {})) response.set(name, value);
  if (reply.content !== undefined) {
    response.setHeader('Content-Type', reply.content.type);
    response.setHeader('Content-Disposition', 'attachment');
    response.end(Buffer.from(reply.content.bytes));
  } else if (reply.body === undefined) response.end();
  else response.json(plain(reply.body));
}

/** Objects with a prototype, which the judge of answers wants, and numbers as they were written. */
function plain(body: JsonValue): unknown {
  return JSON.parse(printJson(body), (_name, value: unknown, context?: { source?: string }) =>
    typeof value === 'number' && context?.source !== undefined && String(value) !== context.source
      ? JSON.rawJSON(context.source)
      : value,
  );
}
