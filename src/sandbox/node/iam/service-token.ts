/** The client's side of generation v2: `requestServiceToken`, as `request-service-access-token` does it (facts §3.3). */
import { randomUUID } from 'node:crypto';

import type { NodeContext } from '../context.ts';
import { list, text, type Json } from '../json.ts';
import { canonical } from '../json.ts';
import { sha256 } from '../key.ts';
import { KEY_NOT_FOUND, NodeProblem } from '../problem.ts';
import { createProof } from './dpop.ts';
import { choose } from './exchange.ts';
import { createPresentation } from './presentation.ts';
import { fetchDefinition, fetchMetadata, fetchToken, type MoreHeaders } from './remote.ts';
import type { AnyCredential } from './store.ts';
import { issuerUrl, subjectNamed } from './subject.ts';
import { validCredentials } from './wallet.ts';

export interface ServiceTokenRequest {
  readonly subject: string;
  readonly authorizationServer: string;
  readonly scope: string;
  /** `Bearer` in any case is without proof; everything else, and nothing, is DPoP. */
  readonly tokenType?: string;
  /** What the subject states about itself: neither `issuer` nor `credentialSubject.id`. */
  readonly selfAttested: readonly Json[];
  /** Signed credentials that are presented beside those of the wallet. */
  readonly signed?: readonly AnyCredential[];
}

/** Seconds before its end from which a cached token is no longer handed out. */
const MARGIN_S = 30;
const USUAL_LIFE_S = 900;

/** From the cache, unless `fresh`; every new token is cached. */
export async function cachedServiceToken(context: NodeContext, request: ServiceTokenRequest, fresh: boolean): Promise<Json> {
  const key = sha256(canonical(request)).toString('base64url');
  const nowMs = context.clock.now().getTime();
  const cached = fresh ? undefined : context.iam.requests.get(key);
  if (cached !== undefined && cached.untilMs > nowMs) {
    return { ...cached.answer, expires_in: Math.floor(cached.expiresAt - nowMs / 1000) };
  }
  const answer = await requestServiceToken(context, request);
  const expiresAt = Number(answer['expires_at']);
  context.iam.requests.set(key, { answer, expiresAt, untilMs: (expiresAt - MARGIN_S) * 1000 });
  return answer;
}

/** Asks the authorization server; `headers` go with every call to it. */
export async function requestServiceToken(
  context: NodeContext,
  request: ServiceTokenRequest,
  headers: MoreHeaders = {},
): Promise<Json> {
  const { subject, scope, selfAttested, signed = [] } = request;
  const { dids, deactivated } = subjectNamed(context, subject, 400);
  const did = dids[0] ?? '';
  checkSelfAttested(selfAttested);
  const metadata = await fetchMetadata(request.authorizationServer, headers);
  const definition = await fetchDefinition(metadata, scope, headers);
  const now = context.clock.now();
  const own = selfAttested.map((credential) => asOwn(credential, did, now));
  const { chosen, missing } = choose(definition, [...signed, ...(await validCredentials(context, subject)), ...own]);
  if (missing !== undefined || deactivated === true) {
    throw new NodeProblem(
      412,
      `failed to match presentation definition for ${did}: missing credentials\n` +
        `constraints not matched: no VC for InputDescriptor (${missing ?? ''})`,
    );
  }
  const key = context.network.signingKey(context.store, did);
  if (key === undefined) throw new NodeProblem(500, KEY_NOT_FOUND);
  const { assertion, submission } = await createPresentation(key, definition, chosen, request.authorizationServer, now);
  const isBound = request.tokenType?.toLowerCase() !== 'bearer';
  const proof = isBound ? await createProof(key, { htm: 'POST', htu: metadata.token_endpoint }, now) : undefined;
  const answer = await fetchToken(
    metadata,
    {
      grant_type: 'vp_token-bearer',
      assertion,
      presentation_submission: JSON.stringify(submission),
      scope,
      client_id: issuerUrl(context, subject),
    },
    { ...headers, ...(proof === undefined ? {} : { DPoP: proof }) },
  );
  const expiresIn = typeof answer['expires_in'] === 'number' ? answer['expires_in'] : undefined;
  return {
    access_token: text(answer, 'access_token') ?? '',
    ...(isBound ? { dpop_kid: key.kid } : {}),
    expires_at: Math.floor(now.getTime() / 1000) + (expiresIn ?? USUAL_LIFE_S),
    ...(expiresIn === undefined ? {} : { expires_in: expiresIn }),
    token_type: text(answer, 'token_type') ?? '',
    // What was asked for, whatever the server says.
    scope,
  };
}

function checkSelfAttested(credentials: readonly Json[]): void {
  for (const credential of credentials) {
    if (credential['issuer'] !== undefined) throw new NodeProblem(400, "self-asserted credentials MUST NOT contain an 'issuer'");
    if (list(credential['credentialSubject']).some((subject) => Object.hasOwn(Object(subject) as object, 'id'))) {
      throw new NodeProblem(400, "self-asserted credentials MUST NOT contain a 'credentialSubject.id'");
    }
  }
}

/** With the issuer, holder and times that a node fills in. */
function asOwn(credential: Json, did: string, now: Date): Json {
  const subjects = list(credential['credentialSubject']).map((subject) => ({ ...(Object(subject) as Json), id: did }));
  return {
    ...credential,
    id: `${did}#${randomUUID()}`,
    issuer: did,
    issuanceDate: now.toISOString(),
    credentialSubject: subjects.length === 1 ? subjects[0] : subjects,
  };
}
