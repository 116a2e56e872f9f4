/** JWT bearer grants (RFC 7523, Nuts RFC003): making one for another node, and judging one as authorization server (facts §3.1). */
import { compactVerify, decodeProtectedHeader, SignJWT } from 'jose';

import { signAccessToken, timesHold, TOKEN_LIFE_S } from './access-token.ts';
import type { NodeContext } from './context.ts';
import { nameAndCity, organizations } from './contract.ts';
import { AUTHORIZATION, idOf, issuerOf, isValidAt, subjectOf, type VC } from './credential.ts';
import { compoundEndpoint, parseDid } from './did-document.ts';
import { isObject, list, text, type Json } from './json.ts';
import { judgeIdentity, type Identity } from './presentation.ts';
import { DID_NOT_FOUND, KEY_NOT_FOUND, NodeProblem, within } from './problem.ts';
import { faultOf } from './verifier.ts';

const GRANT_LIFE_S = 5;

export interface GrantRequest {
  readonly authorizer: string;
  readonly requester: string;
  readonly service: string;
  readonly credentials: readonly VC[];
  readonly identity?: Json | undefined;
}

/** A grant and where to take it. Errors: 400. */
export async function createGrant(context: NodeContext, request: GrantRequest): Promise<{ grant: string; endpoint: string }> {
  const { authorizer, requester, service, credentials, identity } = request;
  const { network, store, clock } = context;
  parseDid(authorizer);
  parseDid(requester);
  if (credentials.some((credential) => list(credential['proof']).length === 0)) {
    throw new NodeProblem(400, "invalid VerifiableCredential: validation failed: 'proof' is required");
  }
  const endpoint = asBadRequest(() =>
    within("could not fetch authorizer's 'oauth' endpoint from compound service", () =>
      compoundEndpoint(network.resolve, authorizer, service, 'oauth'),
    ),
  );
  if (network.resolve(requester) === undefined) throw new NodeProblem(400, DID_NOT_FOUND);
  const key = network.signingKey(store, requester);
  if (key === undefined) throw new NodeProblem(400, KEY_NOT_FOUND);
  const now = Math.floor(clock.now().getTime() / 1000);
  const grant = await new SignJWT({
    aud: [endpoint],
    exp: now + GRANT_LIFE_S,
    iat: now,
    iss: requester,
    nbf: 0,
    purposeOfUse: service,
    purposeOfUseClaim: service,
    sub: authorizer,
    ...(identity === undefined ? {} : { usi: identity }),
    ...(credentials.length === 0 ? {} : { vcs: credentials }),
  })
    .setProtectedHeader({ alg: 'ES256', kid: key.kid, typ: 'JWT' })
    .sign(key.privateKey);
  return { grant, endpoint };
}

function asBadRequest<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof NodeProblem ? new NodeProblem(400, error.message) : error;
  }
}

/** The access token for a grant. Throws `NodeProblem` with the description that a node gives. */
export async function redeemGrant(context: NodeContext, grant: string): Promise<string> {
  const { network, store, clock } = context;
  const claims = await parseGrant(context, grant);
  const { exp, iat } = claims;
  const issuedAt = typeof iat === 'number' ? iat : undefined;
  // Without `iat` the life is counted from the zero time; without `exp` it is never too long.
  if (typeof exp === 'number' && (issuedAt === undefined || exp - issuedAt > GRANT_LIFE_S)) refuse('JWT validity too long');
  const at = new Date((issuedAt ?? 0) * 1000);

  const requester = text(claims, 'iss') ?? '';
  const kid = decodeProtectedHeader(grant).kid ?? '';
  if (!kid.startsWith(`${requester}#`)) refuse('invalid jwt.issuer key ID: key does not belong to jwt.issuer');
  if (network.publicKey(kid, at) === undefined) refuse(`invalid jwt.issuer key ID: ${DID_NOT_FOUND}`);
  const known = organizations(context, requester).filter((credential) => isValidAt(credential, at));
  if (known.length === 0) refuse('requester has no trusted organization VC');

  const authorizer = text(claims, 'sub') ?? '';
  if (authorizer === '') refuse('invalid jwt.subject: missing');
  within('invalid jwt.subject', () => parseDid(authorizer));
  if (network.resolve(authorizer, at) === undefined) refuse(DID_NOT_FOUND);
  const key = network.signingKey(store, authorizer);
  if (key === undefined) return refuse(`subject.vendor: ${authorizer} is not managed by this node`);

  const identity = await identityOf(context, claims['usi']);
  if (identity !== undefined) {
    const { legalEntity, legalEntityCity } = identity.contract;
    const names = known.map(nameAndCity);
    if (!names.some((named) => named?.name === legalEntity && named.city === legalEntityCity)) refuse('legal entity mismatch');
  }

  const service = text(claims, 'purposeOfUse') ?? text(claims, 'purposeOfUseClaim');
  if (service === undefined) return refuse('no purposeOfUse given');
  const audience = list(claims['aud']);
  if (audience.length !== 1) refuse('aud does not contain a single URI');
  if (audience[0] !== compoundEndpoint(network.resolve, authorizer, service, 'oauth')) {
    refuse('aud does not contain correct endpoint URL');
  }

  const credentialIds = await credentialIdsOf(context, claims['vcs'], { authorizer, requester, at });
  const now = Math.floor(clock.now().getTime() / 1000);
  return signAccessToken(key, {
    authorizer,
    requester,
    service,
    credentialIds,
    ...(identity === undefined ? {} : { user: identity.user }),
    issuedAt: now,
    expires: now + TOKEN_LIFE_S,
  });
}

async function parseGrant(context: NodeContext, grant: string): Promise<Json> {
  const failed = (why: string): never => refuse(`jwt bearer token validation failed: ${why}`);
  let claims: unknown;
  try {
    const { kid = '' } = decodeProtectedHeader(grant);
    const publicKey = context.network.publicKey(kid);
    if (publicKey === undefined) return failed(DID_NOT_FOUND);
    const { payload } = await compactVerify(grant, publicKey, {
      algorithms: ['ES256', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512'],
    });
    claims = JSON.parse(new TextDecoder().decode(payload));
  } catch (error) {
    if (error instanceof NodeProblem) throw error;
    return failed(error instanceof Error ? error.message : 'unreadable');
  }
  if (!isObject(claims)) return failed('claims are no object');
  const unmet = timesHold(claims, context.clock.now().getTime());
  return unmet === undefined ? claims : failed(`${unmet} not satisfied`);
}

async function identityOf(context: NodeContext, usi: unknown): Promise<Identity | undefined> {
  if (usi === undefined || usi === null) return undefined;
  if (!isObject(usi)) return refuse('invalid jwt.usi: not a VerifiablePresentation');
  const judgement = await judgeIdentity(context, usi).catch((error: unknown) =>
    refuse(`identity verification failed: ${error instanceof Error ? error.message : ''}`),
  );
  return judgement.valid ? judgement.identity : refuse(`identity validation failed: ${judgement.reason}`);
}

/**
 * Ids of all credentials of the grant; only those of type NutsAuthorizationCredential are looked at, and their purpose is not
 * compared with the service: what a gate has to know about (facts §1.4).
 */
async function credentialIdsOf(
  context: NodeContext,
  vcs: unknown,
  parties: { readonly authorizer: string; readonly requester: string; readonly at: Date },
): Promise<string[]> {
  const credentials = list(vcs).map((credential) =>
    isObject(credential)
      ? credential
      : refuse(
          'invalid jwt.vcs: cannot unmarshal authorization credential: ' +
            'json: cannot unmarshal string into Go value of type map[string]interface {}',
        ),
  );
  for (const credential of credentials.filter((candidate) => list(candidate['type']).includes(AUTHORIZATION))) {
    const fault = await faultOf(context, credential, { allowUntrusted: true, at: parties.at });
    if (fault !== undefined) refuse(`invalid jwt.vcs: ${fault}`);
    const id = idOf(credential);
    const issuer = issuerOf(credential);
    const subject = text(subjectOf(credential), 'id') ?? '';
    if (issuer !== parties.authorizer) {
      refuse(`issuer ${issuer} of authorization credential with ID: ${id} does not match jwt.sub: ${parties.authorizer}`);
    }
    if (subject !== parties.requester) {
      refuse(
        `credentialSubject.ID ${subject} of authorization credential with ID: ${id} does not match jwt.iss: ${parties.requester}`,
      );
    }
  }
  return credentials.map(idOf);
}

function refuse(description: string): never {
  throw new NodeProblem(400, description);
}
