/** Tokens and proofs of generation v2 over the internal API (auth v2): introspection, the token request, DPoP. */
import { z } from 'zod';

import type { NodeContext } from '../context.ts';
import { json, parseBody, type Answer, type Call, type Route } from '../http.ts';
import { KEY_NOT_FOUND, NodeProblem } from '../problem.ts';
import { createProof, validateProof } from './dpop.ts';
import { cachedServiceToken } from './service-token.ts';
import { introspectOpaque } from './token.ts';

const FORM = 'application/x-www-form-urlencoded';

const tokenRequest = z.looseObject({
  authorization_server: z.string().nullish(),
  scope: z.string().nullish(),
  token_type: z.string().nullish(),
  credentials: z.array(z.record(z.string(), z.unknown())).nullish(),
});

const createRequest = z.looseObject({ htm: z.string().nullish(), htu: z.string().nullish(), token: z.string().nullish() });

const validateRequest = z.looseObject({
  dpop_proof: z.string().nullish(),
  method: z.string().nullish(),
  thumbprint: z.string().nullish(),
  token: z.string().nullish(),
  url: z.string().nullish(),
});

export function iamRoutes(context: NodeContext): Route[] {
  const base = '/internal/auth/v2';
  return [
    {
      method: 'POST',
      path: `${base}/accesstoken/introspect`,
      operation: 'IntrospectAccessToken',
      handle: (call) => introspect(context, call, false),
    },
    {
      method: 'POST',
      path: `${base}/accesstoken/introspect_extended`,
      operation: 'IntrospectAccessTokenExtended',
      handle: (call) => introspect(context, call, true),
    },
    {
      method: 'GET',
      path: `${base}/accesstoken/:session`,
      operation: 'RetrieveAccessToken',
      handle: () => {
        throw new NodeProblem(404, 'session not found');
      },
    },
    {
      method: 'POST',
      path: `${base}/:subject/request-service-access-token`,
      operation: 'RequestServiceAccessToken',
      handle: async (call) => requestToken(context, call),
    },
    {
      method: 'POST',
      path: `${base}/dpop/validate`,
      operation: 'ValidateDPoPProof',
      handle: async (call) => {
        const body = parseBody(call, validateRequest);
        const reason = await validateProof(context, {
          proof: body.dpop_proof ?? '',
          method: body.method ?? '',
          thumbprint: body.thumbprint ?? '',
          token: body.token ?? '',
          url: body.url ?? '',
        });
        return json(reason === undefined ? { valid: true } : { reason, valid: false });
      },
    },
    {
      method: 'POST',
      path: `${base}/dpop/:kid`,
      operation: 'CreateDPoPProof',
      handle: async (call) => createDpop(context, call),
    },
  ];
}

function introspect(context: NodeContext, { request, form, query }: Call, extended: boolean): Answer {
  // Exactly this text: a charset, another case, and no type at all are refused.
  if (request.headers['content-type'] !== FORM) {
    throw new NodeProblem(415, `Content-Type MUST be set to ${FORM}`);
  }
  const token = form.get('token') ?? query.get('token') ?? '';
  if (token !== '' && !context.isHealthy()) throw new NodeProblem(500, 'the session store does not answer');
  return json(introspectOpaque(context, token, extended));
}

async function requestToken(context: NodeContext, call: Call): Promise<Answer> {
  const { authorization_server: server, scope, token_type: tokenType, credentials } = parseBody(call, tokenRequest);
  const fresh = call.request.headers['cache-control'] === 'no-cache';
  return json(
    await cachedServiceToken(
      context,
      {
        subject: call.params['subject'] ?? '',
        authorizationServer: server ?? '',
        scope: scope ?? '',
        ...(tokenType == null ? {} : { tokenType }),
        selfAttested: credentials ?? [],
      },
      fresh,
    ),
  );
}

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE']);

async function createDpop(context: NodeContext, call: Call): Promise<Answer> {
  const { htm, htu, token } = parseBody(call, createRequest);
  if (htm == null || htm === '') throw new NodeProblem(400, 'missing method');
  if (htu == null || htu === '') throw new NodeProblem(400, 'missing url');
  if (token == null || token === '') throw new NodeProblem(400, 'missing token');
  if (!METHODS.has(htm.toUpperCase())) throw new NodeProblem(400, `invalid method: ${htm}`);
  const key = context.store.keys.get(call.params['kid'] ?? '');
  if (key === undefined) throw new NodeProblem(500, KEY_NOT_FOUND);
  return json({ dpop: await createProof(key, { htm, htu, token }, context.clock.now()) });
}
