/** Tokens of generation v1 over HTTP: introspection, the token request, and the token endpoint that other nodes call. */
import { z } from 'zod';

import { introspect, TOKEN_LIFE_S, verifiedClaims } from './access-token.ts';
import { TOKEN_PATH, type NodeContext } from './context.ts';
import { createGrant, redeemGrant, type GrantRequest } from './grant.ts';
import { empty, json, parseBody, type Answer, type Call, type Route } from './http.ts';
import { isObject, text } from './json.ts';
import { NodeProblem } from './problem.ts';

const GRANT_TYPE = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
/** `httpclient.timeout` of a node. */
const REMOTE_TIMEOUT_MS = 30_000;

const tokenRequest = z.looseObject({
  authorizer: z.string().nullish(),
  requester: z.string().nullish(),
  service: z.string().nullish(),
  credentials: z.array(z.record(z.string(), z.unknown())).nullish(),
  identity: z.record(z.string(), z.unknown()).nullish(),
});

export function authRoutes(context: NodeContext): Route[] {
  return [
    {
      method: 'POST',
      path: '/internal/auth/v1/accesstoken/introspect',
      operation: 'IntrospectAccessToken',
      handle: async ({ form, query }) => {
        const token = form.get('token') ?? query.get('token') ?? '';
        // A node that cannot reach its store says the same as for a bad token: the caller has to ask for its health.
        return json(context.isHealthy() ? await introspect(context, token) : { active: false });
      },
    },
    {
      method: 'HEAD',
      path: '/internal/auth/v1/accesstoken/verify',
      operation: 'VerifyAccessToken',
      handle: async (call) => empty((await isVerified(context, call)) ? 200 : 403),
    },
    {
      method: 'POST',
      path: '/internal/auth/v1/request-access-token',
      operation: 'RequestAccessToken',
      handle: async (call) => requestToken(context, call),
    },
    {
      method: 'POST',
      path: '/internal/auth/v1/jwt-grant',
      operation: 'CreateJwtGrant',
      handle: async (call) => {
        const { grant, endpoint } = await createGrant(context, parseRequest(call));
        return json({ authorization_server_endpoint: endpoint, bearer_token: grant });
      },
    },
    { method: 'POST', path: TOKEN_PATH, operation: 'CreateAccessToken', handle: async (call) => tokenEndpoint(context, call) },
  ];
}

async function isVerified(context: NodeContext, call: Call): Promise<boolean> {
  const headers = call.request.headersDistinct['authorization'] ?? [];
  const early = (detail: string): NodeProblem => new NodeProblem(400, detail, true);
  if (headers.length === 0) throw early('Header parameter Authorization is required, but not found');
  if (headers.length > 1) throw early(`Expected one value for Authorization, got ${headers.length}`);
  const value = headers[0] ?? '';
  if (value === '') {
    throw early("Invalid format for parameter Authorization: parameter 'Authorization' is empty, can't bind its value");
  }
  const [scheme, token, ...rest] = value.split(' ');
  if (scheme?.toLowerCase() !== 'bearer' || token === undefined || rest.length > 0) return false;
  return context.isHealthy() && (await verifiedClaims(context, token)) !== undefined;
}

function parseRequest(call: Call): GrantRequest {
  const { authorizer, requester, service, credentials, identity } = parseBody(call, tokenRequest);
  return {
    authorizer: authorizer ?? '',
    requester: requester ?? '',
    service: service ?? '',
    credentials: credentials ?? [],
    identity: identity ?? undefined,
  };
}

/** Every failure at or towards the other node is 503; its own words are not passed on (facts §3.1). */
async function requestToken(context: NodeContext, call: Call): Promise<Answer> {
  const { grant, endpoint } = await createGrant(context, parseRequest(call));
  const failed = (why: string): NodeProblem =>
    new NodeProblem(503, `remote server/nuts node returned error creating access token: ${why}`);
  let response: Response;
  let body: unknown;
  try {
    response = await fetch(endpoint, {
      method: 'POST',
      headers: { 'Content-Type': 'application/x-www-form-urlencoded', Accept: 'application/json' },
      body: new URLSearchParams({ grant_type: GRANT_TYPE, assertion: grant, scope: 'nuts-sso' }).toString(),
      signal: AbortSignal.timeout(REMOTE_TIMEOUT_MS),
    });
    body = response.status === 200 ? await response.json() : await response.text();
  } catch (error) {
    throw failed(`Post "${endpoint}": ${error instanceof Error ? error.message : 'failed'}`);
  }
  if (response.status !== 200) throw failed(`server returned HTTP ${response.status} (expected: 200)`);
  if (!isObject(body)) throw failed('unable to unmarshal response');
  return json({
    access_token: text(body, 'access_token') ?? '',
    expires_in: body['expires_in'] ?? 0,
    token_type: text(body, 'token_type') ?? '',
  });
}

async function tokenEndpoint(context: NodeContext, { form }: Call): Promise<Answer> {
  const refuse = (error: string, description: string): Answer => json({ error, error_description: description }, 400);
  if (form.get('grant_type') !== GRANT_TYPE) return refuse('unsupported_grant_type', `grant_type must be: '${GRANT_TYPE}'`);
  const assertion = form.get('assertion') ?? '';
  if (!/^[^.\s]+\.[^.\s]+\.[^.\s]+$/.test(assertion)) return refuse('invalid_grant', 'Assertion must be a valid encoded jwt');
  try {
    return json({ access_token: await redeemGrant(context, assertion), expires_in: TOKEN_LIFE_S, token_type: 'bearer' });
  } catch (error) {
    if (error instanceof NodeProblem) return refuse('invalid_request', error.message);
    return refuse('server_error', error instanceof Error ? error.message : 'failed');
  }
}
