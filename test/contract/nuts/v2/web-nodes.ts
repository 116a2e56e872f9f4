/**
 * What the contract statements of generation v2 run against: two subjects of did:web, at one node or two, simulated or real. No test
 * framework in here, so that `test/interop/nuts/real-web-node.ts` can run the same statements with plain node.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';

import type { JWK } from 'jose';

import { array, call, decode, expectStatus, object, signed, string, type Json, type Reply } from '../peer-pair.ts';

export interface WebPeer {
  /** Base URL of the internal API, and of what is public. */
  readonly internal: string;
  readonly public: string;
  readonly subject: string;
  readonly did: string;
  readonly organization: { readonly name: string; readonly city: string };
}

/** Both know the policies and the discovery service of this folder; each has its organisation's credential in its wallet. */
export interface WebNodes {
  /** Gives tokens, to B. */
  readonly a: WebPeer;
  readonly b: WebPeer;
  /** Another node, which knows none of the tokens of A. */
  readonly stranger: Pick<WebPeer, 'internal'>;
  /** Moves the clock of A and B, where that can be done. */
  readonly advance?: (seconds: number) => void;
  /** Restarts A's node; what it has in memory is gone. */
  readonly restart?: () => Promise<void>;
  /** A node whose internal API wants `token_v2`: the key that is authorised, its name and the audience. */
  readonly guarded?: { readonly internal: string; readonly audience: string; readonly name: string; readonly key: JWK };
  /** A node with the rate limiter on. */
  readonly limited?: Pick<WebPeer, 'internal'>;
}

export interface WebStatement {
  /** Number in the fact sheet (§11.2), or the section it comes from. */
  readonly id: string;
  readonly title: string;
  /** Throws an AssertionError when it does not hold, `Skipped` when it cannot be tried here. */
  run(nodes: WebNodes): Promise<void>;
}

export const FORM = 'application/x-www-form-urlencoded';

export function authorizationServer({ public: base, subject }: WebPeer): string {
  return `${base}/oauth2/${subject}`;
}

/** B asks for a token of A, anew unless told otherwise. */
export function requestToken(
  { a, b }: WebNodes,
  body: Json = {},
  headers: Readonly<Record<string, string>> = { 'cache-control': 'no-cache' },
): Promise<Reply> {
  const json = { authorization_server: authorizationServer(a), scope: 'care', ...body };
  return call('POST', `${b.internal}/internal/auth/v2/${b.subject}/request-service-access-token`, { json, headers });
}

export async function tokenAnswer(nodes: WebNodes, body: Json = {}): Promise<Json> {
  return object(expectStatus(await requestToken(nodes, body), 200).json);
}

export async function bearerToken(nodes: WebNodes, scope = 'care'): Promise<string> {
  return string((await tokenAnswer(nodes, { scope, token_type: 'Bearer' }))['access_token']);
}

export interface BoundToken {
  readonly token: string;
  readonly kid: string;
}

export async function boundToken(nodes: WebNodes): Promise<BoundToken> {
  const answer = await tokenAnswer(nodes);
  return { token: string(answer['access_token']), kid: string(answer['dpop_kid']) };
}

export async function introspectAt(base: string, token: string, how: '' | '_extended' = ''): Promise<Json> {
  const reply = await call('POST', `${base}/internal/auth/v2/accesstoken/introspect${how}`, { form: { token } });
  return object(expectStatus(reply, 200).json);
}

/** A proof made by B's node. */
export function createProof({ b }: WebNodes, kid: string, body: Json): Promise<Reply> {
  return call('POST', `${b.internal}/internal/auth/v2/dpop/${encodeURIComponent(kid)}`, { json: body });
}

export async function proofFor(nodes: WebNodes, { token, kid }: BoundToken, htm: string, htu: string): Promise<string> {
  return string(object(expectStatus(await createProof(nodes, kid, { htm, htu, token }), 200).json)['dpop']);
}

export async function validate({ a }: WebNodes, body: Json): Promise<Json> {
  return object(expectStatus(await call('POST', `${a.internal}/internal/auth/v2/dpop/validate`, { json: body }), 200).json);
}

export function organizationBody(issuer: string, peer: WebPeer, more: Json = { withStatusList2021Revocation: true }): Json {
  const credentialSubject = { id: peer.did, organization: peer.organization };
  return { type: 'NutsOrganizationCredential', issuer, credentialSubject, ...more };
}

export function issueAt({ internal }: Pick<WebPeer, 'internal'>, json: Json): Promise<Reply> {
  return call('POST', `${internal}/internal/vcr/v2/issuer/vc`, { json });
}

export async function issued(peer: Pick<WebPeer, 'internal'>, json: Json): Promise<Json> {
  return object(expectStatus(await issueAt(peer, json), 200).json);
}

export function revoke({ internal }: Pick<WebPeer, 'internal'>, id: string): Promise<Reply> {
  return call('DELETE', `${internal}/internal/vcr/v2/issuer/vc/${encodeURIComponent(id)}`);
}

export function loadInto({ internal, subject }: Pick<WebPeer, 'internal' | 'subject'>, credential: unknown): Promise<Reply> {
  return call('POST', `${internal}/internal/vcr/v2/holder/${subject}/vc`, { json: credential });
}

/** A new subject at the node of `peer`, with no credential. */
export async function newSubject(peer: WebPeer): Promise<WebPeer> {
  const subject = `s-${crypto.randomUUID()}`;
  const made = expectStatus(await call('POST', `${peer.internal}/internal/vdr/v2/subject`, { json: { subject } }), 200);
  const did = string(object(array(object(made.json)['documents'])[0])['id']);
  return { ...peer, subject, did };
}

/** The newest key of a DID, and the time by its node's clock. */
export async function signerOf(nodes: WebNodes): Promise<{ readonly kid: string; readonly nowS: number }> {
  const { kid, token } = await boundToken(nodes);
  const proof = await proofFor(nodes, { kid, token }, 'GET', 'https://rs.example/');
  return { kid, nowS: Number(decode(proof.split('.')[1])['iat']) };
}

/** A presentation of B's organisation credential as B's node would sign it, with changed claims; and what goes with it. */
export async function ownGrant(nodes: WebNodes, claims: Json = {}): Promise<Record<string, string>> {
  const { a, b } = nodes;
  const { kid, nowS } = await signerOf(nodes);
  const wallet = array(expectStatus(await call('GET', `${b.internal}/internal/vcr/v2/holder/${b.subject}/vc`), 200).json);
  const verifiableCredential = wallet.find((entry) => typeof entry === 'object');
  const vp = {
    '@context': ['https://www.w3.org/2018/credentials/v1'],
    type: 'VerifiablePresentation',
    holder: b.did,
    verifiableCredential,
  };
  const usual = {
    aud: [authorizationServer(a)],
    exp: nowS + 5,
    iss: b.did,
    jti: `${b.did}#${crypto.randomUUID()}`,
    nbf: nowS,
    nonce: randomBytes(16).toString('base64url'),
    sub: b.did,
    vp,
  };
  const assertion = await signed(b.internal, kid, { alg: 'ES256', typ: 'JWT' }, { ...usual, ...claims });
  const submission = {
    id: crypto.randomUUID(),
    definition_id: 'pd_care',
    descriptor_map: [{ id: 'organization', format: 'ldp_vc', path: '$.verifiableCredential' }],
  };
  return {
    grant_type: 'vp_token-bearer',
    assertion,
    presentation_submission: JSON.stringify(submission),
    scope: 'care',
    client_id: 'https://client.example/anything',
  };
}

export function redeem(
  { a }: WebNodes,
  form: Readonly<Record<string, string>>,
  headers: Readonly<Record<string, string>> = { accept: 'application/json' },
): Promise<Reply> {
  return call('POST', `${authorizationServer(a)}/token`, { form, headers });
}

/** Checks an OAuth error and returns its description. */
export function expectOAuthError(reply: Reply, code: string): string {
  expectStatus(reply, 400);
  assert.equal(reply.type, 'application/json');
  const body = object(reply.json);
  assert.deepEqual(Object.keys(body).sort(), ['error', 'error_description']);
  assert.equal(body['error'], code);
  return string(body['error_description']);
}
