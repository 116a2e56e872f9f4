/** The public OAuth endpoints (facts §3.5): metadata, presentation definition, token, client, what is disabled, and the entity statement. */
import { SignJWT } from 'jose';

import type { NodeContext } from '../context.ts';
import { json, requiredQuery, type Answer, type Call, type Route } from '../http.ts';
import type { Json } from '../json.ts';
import { NodeProblem } from '../problem.ts';
import { SOFTWARE_VERSION } from '../status-api.ts';
import { answeringOAuth, OAuthError } from './oauth-error.ts';
import { issuerUrl } from './subject.ts';
import { redeemPresentation } from './token-endpoint.ts';

const ALGORITHMS = ['ES256', 'EdDSA', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512'];
const PROOF_TYPES = ['JsonWebSignature2020'];
const CACHED = { 'Cache-Control': 'max-age=300' };
const NOT_STORED = { 'Cache-Control': 'no-cache', Pragma: 'no-store' };

export function oauthRoutes(context: NodeContext): Route[] {
  const base = '/oauth2/:subject';
  const disabled = (what: string) => (call: Call) =>
    answeringOAuth(call, () => {
      throw new OAuthError('invalid_request', `${what} endpoint is disabled`);
    });
  return [
    {
      method: 'GET',
      path: `/.well-known/oauth-authorization-server${base}`,
      // For unknown subjects too.
      handle: ({ params }) => withHeaders(json(metadata(context, params['subject'] ?? '')), CACHED),
    },
    {
      method: 'GET',
      path: `/.well-known/openid-configuration${base}`,
      operation: 'OpenIDConfiguration',
      handle: async ({ params }) => withHeaders(await entityStatement(context, params['subject'] ?? ''), CACHED),
    },
    {
      method: 'GET',
      path: `${base}/presentation_definition`,
      operation: 'PresentationDefinition',
      handle: async (call) => withHeaders(await answeringOAuth(call, () => definitionOf(context, call)), CACHED),
    },
    {
      method: 'GET',
      path: `${base}/oauth-client`,
      operation: 'OAuthClientMetadata',
      handle: async (call) => withHeaders(await answeringOAuth(call, () => client(context, call)), CACHED),
    },
    {
      method: 'POST',
      path: `${base}/token`,
      operation: 'HandleTokenRequest',
      handle: async (call) => {
        const answer = await answeringOAuth(call, async () => {
          const dpop = call.request.headersDistinct['dpop']?.[0];
          return json(await redeemPresentation(context, call.params['subject'] ?? '', call.form, dpop));
        });
        return withHeaders(answer, NOT_STORED);
      },
    },
    { method: 'GET', path: `${base}/authorize`, operation: 'HandleAuthorizeRequest', handle: disabled('authorization') },
    { method: 'POST', path: `${base}/authorize`, operation: 'HandleAuthorizeRequest', handle: disabled('authorization') },
    { method: 'GET', path: `${base}/callback`, operation: 'Callback', handle: disabled('callback') },
  ];
}

function withHeaders(answer: Answer, headers: Readonly<Record<string, string>>): Answer {
  return { ...answer, headers: { ...headers, ...answer.headers } };
}

const VP_FORMATS = {
  jwt_vc_json: { alg_values_supported: ALGORITHMS },
  jwt_vp_json: { alg_values_supported: ALGORITHMS },
  ldp_vc: { proof_type_values_supported: PROOF_TYPES },
  ldp_vp: { proof_type_values_supported: PROOF_TYPES },
};

function metadata(context: NodeContext, subject: string): Json {
  const issuer = issuerUrl(context, subject);
  return {
    issuer,
    token_endpoint: `${issuer}/token`,
    response_types_supported: ['code', 'vp_token'],
    response_modes_supported: ['query', 'direct_post'],
    grant_types_supported: ['authorization_code', 'vp_token-bearer'],
    'pre-authorized_grant_anonymous_access_supported': true,
    presentation_definition_endpoint: `${issuer}/presentation_definition`,
    presentation_definition_uri_supported: true,
    require_signed_request_object: true,
    vp_formats: VP_FORMATS,
    vp_formats_supported: VP_FORMATS,
    client_id_schemes_supported: ['entity_id'],
    request_object_signing_alg_values_supported: ALGORITHMS,
    dpop_signing_alg_values_supported: ALGORITHMS,
    did_methods_supported: ['jwk', 'key', 'x509', 'web'],
  };
}

function definitionOf(context: NodeContext, call: Call): Answer {
  const scope = requiredQuery(call, 'scope');
  if (scope === '') return json({ id: '', input_descriptors: null });
  const owner = call.query.get('wallet_owner_type') ?? 'organization';
  const policy = context.policies.get(scope);
  if (policy === undefined) throw new OAuthError('invalid_scope', 'not found');
  const definition = owner === 'organization' || owner === 'user' ? policy[owner] : undefined;
  if (definition === undefined) {
    throw new OAuthError('invalid_request', `no presentation definition found for '${owner}' wallet`);
  }
  return json(definition);
}

function client(context: NodeContext, { params }: Call): Answer {
  const subject = params['subject'] ?? '';
  if (!context.store.iam.subjects.has(subject)) throw new OAuthError('invalid_request', 'subject not found');
  return json(clientMetadata());
}

/** What a node says of itself as a client; it is the same for every subject. */
function clientMetadata(): Json {
  return {
    token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code', 'vp_token-bearer'],
    response_types: ['code', 'vp_token'],
    software_id: 'nuts-node-refimpl',
    software_version: SOFTWARE_VERSION,
    vp_formats: VP_FORMATS,
    client_id_scheme: 'entity_id',
  };
}

async function entityStatement(context: NodeContext, subject: string): Promise<Answer> {
  const did = context.store.iam.subjects.get(subject)?.dids[0];
  const key = did === undefined ? undefined : context.network.signingKey(context.store, did);
  if (key === undefined) throw new NodeProblem(400, 'invalid_request - subject not found');
  const issuer = issuerUrl(context, subject);
  const iat = Math.floor(context.clock.now().getTime() / 1000);
  const statement = await new SignJWT({
    exp: iat + 86_400,
    iat,
    iss: issuer,
    jwks: { keys: [{ ...key.publicJwk, kid: key.kid }] },
    metadata: { oauth_authorization_server: metadata(context, subject), openid_provider: clientMetadata() },
    sub: issuer,
  })
    .setProtectedHeader({ alg: 'ES256', kid: key.kid, typ: 'entity-statement+jwt' })
    .sign(key.privateKey);
  return { status: 200, headers: { 'Content-Type': 'application/entity-statement+jwt' }, body: statement };
}
