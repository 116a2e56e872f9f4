/** The vp_token-bearer grant (Nuts RFC021) at the authorization server: `redeemPresentation`, checks in a real node's order (facts §3.5). */
import type { NodeContext } from '../context.ts';
import type { Json } from '../json.ts';
import { holderOf } from './any-credential.ts';
import { submissionSchema, type Submission } from './definition.ts';
import { parseProof } from './dpop.ts';
import { conforms, type Chosen } from './exchange.ts';
import { OAuthError } from './oauth-error.ts';
import { credentialAt, faultOfPresentation, MAX_LIFE_S, parsePresentation, type Presentation } from './presentation.ts';
import { takeOnce, type AnyCredential, type Policy } from './store.ts';
import { issuerUrl } from './subject.ts';
import { OPAQUE_LIFE_S, storeToken } from './token.ts';

const GRANT_TYPE = 'vp_token-bearer';
/** The nonce is kept for the longest life and the skews. */
const NONCE_LIFE_MS = 10_000;

/** The token answer. Throws `OAuthError`. `dpop` is the header of that name. */
export async function redeemPresentation(
  context: NodeContext,
  subject: string,
  form: URLSearchParams,
  dpop: string | undefined,
): Promise<Json> {
  if (!context.store.iam.subjects.has(subject)) throw invalid('subject not found');
  const grantType = form.get('grant_type') ?? '';
  if (grantType !== GRANT_TYPE) {
    if (grantType === 'authorization_code' || grantType.endsWith('pre-authorized_code'))
      throw invalid('missing required parameters');
    throw new OAuthError('unsupported_grant_type', `grant_type '${grantType}' is not supported`);
  }
  const [assertion, submitted, scope, clientId] = ['assertion', 'presentation_submission', 'scope', 'client_id'].map((name) =>
    form.get(name),
  );
  if (assertion == null || submitted == null || scope == null || clientId == null) throw invalid('missing required parameters');

  const presentation = parse(assertion);
  const submission = parseSubmission(submitted);
  checkShape(context, subject, presentation);
  const policy = context.policies.get(scope);
  if (policy === undefined) {
    throw new OAuthError('invalid_scope', `unsupported scope (${scope}) for presentation exchange: not found`);
  }
  const chosen = checkSubmission(policy, submission, presentation);
  checkNonce(context, presentation);
  const thumbprint = dpop === undefined ? undefined : await thumbprintOf(context, dpop);
  const fault = await faultOfPresentation(context, presentation);
  if (fault !== undefined) throw invalid(`presentation(s) or credential(s) verification failed: ${fault}`);

  const access = storeToken(context, {
    issuer: issuerUrl(context, subject),
    clientId,
    scope,
    ...(thumbprint === undefined ? {} : { thumbprint }),
    presentations: [presentation.raw],
    definitions: policy,
    submissions: { [submission.definition_id]: submission },
    chosen,
  });
  return {
    access_token: access,
    ...(thumbprint === undefined ? {} : { dpop_kid: '' }),
    expires_in: OPAQUE_LIFE_S,
    token_type: thumbprint === undefined ? 'Bearer' : 'DPoP',
    scope,
  };
}

function invalid(description: string): OAuthError {
  return new OAuthError('invalid_request', description);
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : 'failed';
}

function parse(assertion: string): Presentation {
  try {
    return parsePresentation(assertion);
  } catch (error) {
    throw invalid(`assertion parameter is invalid: unable to parse PEX envelope as verifiable presentation: ${wordsOf(error)}`);
  }
}

function parseSubmission(submitted: string): Submission {
  try {
    return submissionSchema.parse(JSON.parse(submitted));
  } catch (error) {
    const why = error instanceof SyntaxError ? error.message : 'it does not match the JSON schema';
    throw invalid(`invalid presentation submission: ${why}`);
  }
}

function checkShape(context: NodeContext, subject: string, presentation: Presentation): void {
  const { createdMs, expiresMs, audience, signer, credentials } = presentation;
  if (createdMs === undefined || expiresMs === undefined) throw invalid('presentation is missing creation or expiration date');
  if (expiresMs - createdMs > MAX_LIFE_S * 1000) throw invalid(`presentation is valid for too long (max ${MAX_LIFE_S}s)`);
  if (credentials.some((credential) => holderOf(credential) !== signer)) {
    throw invalid('presentation signer is not credential subject');
  }
  if (!audience.includes(issuerUrl(context, subject))) {
    throw invalid('presentation audience/domain is missing or does not match');
  }
}

function checkSubmission(policy: Policy, submission: Submission, presentation: Presentation): Chosen {
  const definition = Object.values(policy).find(({ id }) => id === submission.definition_id);
  if (definition === undefined) {
    throw invalid(`presentation definition being fulfilled is not required: ${submission.definition_id}`);
  }
  const refuse = (): OAuthError =>
    invalid(`presentation submission does not conform to presentation definition (id=${definition.id})`);
  const chosen: Record<string, AnyCredential> = {};
  for (const { id, path } of submission.descriptor_map) {
    const credential = credentialAt(presentation, path);
    if (credential === undefined) throw refuse();
    chosen[id] = credential;
  }
  if (!conforms(definition, chosen)) throw refuse();
  return chosen;
}

function checkNonce(context: NodeContext, { nonce }: Presentation): void {
  if (nonce === '') throw invalid('presentation has invalid/missing nonce');
  if (!takeOnce(context.iam.nonces, nonce, context.clock.now().getTime(), NONCE_LIFE_MS)) {
    throw invalid('presentation nonce has already been used');
  }
}

async function thumbprintOf(context: NodeContext, dpop: string): Promise<string> {
  try {
    return (await parseProof(dpop, context.clock.now())).thumbprint;
  } catch {
    throw new OAuthError('invalid_dpop_proof', 'DPoP header is invalid');
  }
}
