/**
 * What the contract statements run against: two Nuts nodes that know each other, simulated or real. No test framework in here, so that
 * `test/interop/nuts/real-node.ts` can run the same statements with plain node.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Peer {
  /** Base URL of the internal API. */
  readonly internal: string;
  /** Base URL of what other nodes and browsers call; the same on a v5 node. */
  readonly public: string;
  /** The organisation's DID; its key is on this node. */
  readonly did: string;
  readonly organization: { readonly name: string; readonly city: string };
}

/** Node A's organisation has the service `eOverdracht-sender` (oauth, fhir), B's `eOverdracht-receiver`; each is trusted at the other. */
export interface PeerPair {
  readonly generation: 'v5' | 'v6';
  /** Whether the nodes have auth v2 beside: those of v6 do, and the simulated ones. */
  readonly hasV2: boolean;
  readonly a: Peer;
  readonly b: Peer;
  /** Moves the clock of both, where that can be done. */
  readonly advance?: (seconds: number) => void;
  /** Makes node A say it is healthy or not, where that can be done. */
  readonly setHealth?: (up: boolean) => void;
  /** Why private credentials cannot travel between these two, when they cannot. */
  readonly noPrivateDelivery?: string;
  /** A node with the rate limiter on, and a DID of it, where there is one. */
  readonly limited?: Pick<Peer, 'internal' | 'did'>;
}

export interface Statement {
  /** Number in the fact sheet (§11.2), or the section it comes from. */
  readonly id: string;
  readonly title: string;
  /** Throws an AssertionError when it does not hold, `Skipped` when it cannot be tried here. */
  run(pair: PeerPair): Promise<void>;
}

/** A statement that cannot be tried on this pair. */
export class Skipped extends Error {
  override readonly name = 'Skipped';
}

export const SENDER = 'eOverdracht-sender';
export const FHIR_ENDPOINT = 'https://fhir.a.example/fhir';

export type Json = Record<string, unknown>;

export interface Reply {
  readonly status: number;
  readonly type: string;
  readonly text: string;
  /** The body as JSON, `undefined` when it is none. */
  readonly json: unknown;
  readonly headers: Headers;
}

export interface Sent {
  readonly json?: unknown;
  readonly form?: Readonly<Record<string, string>>;
  /** Bytes without a Content-Type. */
  readonly raw?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** One HTTP call, redirects not followed, a minute at most. */
export async function call(method: string, url: string, sent: Sent = {}): Promise<Reply> {
  const headers = new Headers(sent.headers);
  let body: Uint8Array<ArrayBuffer> | undefined;
  const bytes = (value: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(value);
  if (sent.json !== undefined) {
    headers.set('content-type', 'application/json');
    body = bytes(JSON.stringify(sent.json));
  } else if (sent.form !== undefined) {
    headers.set('content-type', 'application/x-www-form-urlencoded');
    body = bytes(new URLSearchParams(sent.form).toString());
  } else if (sent.raw !== undefined) body = bytes(sent.raw);
  const response = await fetch(url, {
    method,
    headers,
    redirect: 'manual',
    signal: AbortSignal.timeout(60_000),
    ...(body === undefined ? {} : { body }),
  });
  const text = await response.text();
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  return { status: response.status, type: response.headers.get('content-type') ?? '', text, json, headers: response.headers };
}

/** Path writing that is right on both generations: colons stay, `#` is encoded (facts §0.3). */
export function inPath(id: string): string {
  return id.replaceAll('#', '%23');
}

export function object(value: unknown): Json {
  assert.ok(typeof value === 'object' && value !== null && !Array.isArray(value), `an object, not ${JSON.stringify(value)}`);
  return value as Json;
}

export function array(value: unknown): unknown[] {
  assert.ok(Array.isArray(value), `an array, not ${JSON.stringify(value)}`);
  return value as unknown[];
}

export function string(value: unknown): string {
  assert.ok(typeof value === 'string', `a text, not ${JSON.stringify(value)}`);
  return value;
}

/** Checks the status, showing the body when it is another. */
export function expectStatus(reply: Reply, status: number): Reply {
  assert.equal(reply.status, status, `status ${status}, not ${reply.status}: ${reply.text.slice(0, 300)}`);
  return reply;
}

/** Checks a problem document (facts §0.1) and returns its detail. */
export function expectProblem(reply: Reply, status: number, title: string): string {
  expectStatus(reply, status);
  assert.equal(reply.type, 'application/problem+json');
  const problem = object(reply.json);
  assert.deepEqual(Object.keys(problem).sort(), ['detail', 'status', 'title']);
  assert.equal(problem['title'], title);
  assert.equal(problem['status'], status);
  return string(problem['detail']);
}

/** Tries until it holds, for what travels between real nodes. */
export async function eventually<T>(attempt: () => Promise<T>, timeoutMs = 60_000): Promise<T> {
  const until = performance.now() + timeoutMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() > until) throw error;
      await sleep(100);
    }
  }
}

export interface CredentialWish {
  readonly path?: string;
  readonly visibility?: 'public' | 'private';
  readonly subject?: string;
  readonly expirationDate?: string;
  readonly more?: Json;
}

/** The body of an issue call for an authorization from A to B. */
export function authorizationBody(pair: PeerPair, wish: CredentialWish = {}): Json {
  const { path = `/Task/${crypto.randomUUID()}`, visibility = 'public', expirationDate, subject, more } = wish;
  return {
    type: 'NutsAuthorizationCredential',
    issuer: pair.a.did,
    visibility,
    ...(expirationDate === undefined ? {} : { expirationDate }),
    credentialSubject: {
      id: subject ?? pair.b.did,
      purposeOfUse: SENDER,
      resources: [{ path, operations: ['read'], userContext: false }],
    },
    ...more,
  };
}

export async function issue(base: string, body: Json): Promise<Json> {
  return object(expectStatus(await call('POST', `${base}/internal/vcr/v2/issuer/vc`, { json: body }), 200).json);
}

export async function authorize(pair: PeerPair, wish: CredentialWish = {}): Promise<Json> {
  return issue(pair.a.internal, authorizationBody(pair, wish));
}

export function requestToken(pair: PeerPair, more: Json = {}): Promise<Reply> {
  const body = { authorizer: pair.a.did, requester: pair.b.did, service: SENDER, credentials: [], ...more };
  return call('POST', `${pair.b.internal}/internal/auth/v1/request-access-token`, { json: body });
}

/** An access token of A for B. */
export async function token(pair: PeerPair, more: Json = {}): Promise<string> {
  return string(object(expectStatus(await requestToken(pair, more), 200).json)['access_token']);
}

export async function introspect(base: string, accessToken: string): Promise<Json> {
  const reply = await call('POST', `${base}/internal/auth/v1/accesstoken/introspect`, { form: { token: accessToken } });
  expectStatus(reply, 200);
  assert.equal(reply.type, 'application/json');
  return object(reply.json);
}

export const INACTIVE = { active: false };

/** A part of a JWS, decoded. */
export function decode(part: string | undefined): Json {
  return object(JSON.parse(Buffer.from(part ?? '', 'base64url').toString('utf8')));
}

/** A JWS of the node's own making: what only the holder of its key could present. */
export async function signed(base: string, kid: string, headers: Json, claims: Json): Promise<string> {
  const payload = Buffer.from(JSON.stringify(claims)).toString('base64');
  const reply = await call('POST', `${base}/internal/crypto/v1/sign_jws`, { json: { kid, headers, payload } });
  return expectStatus(reply, 200).text;
}

/** The key with which an organisation signs, from its DID document. */
export async function keyOf(base: string, did: string): Promise<string> {
  const reply = expectStatus(await call('GET', `${base}/internal/vdr/v1/did/${did}`), 200);
  const methods = array(object(object(reply.json)['document'])['assertionMethod']);
  return string(methods[0]);
}

/** Seconds since 1970 by the clock of the nodes, from the times in a fresh token. */
export async function nodeNow(pair: PeerPair): Promise<number> {
  return Number(decode((await token(pair)).split('.')[1])['iat']);
}
