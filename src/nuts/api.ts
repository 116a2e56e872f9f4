import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import { isJsonObject, parseJson, printJson, type JsonObject, type JsonValue } from '../fhir/json.ts';
import { createBreaker, type Breaker } from '../outbound/breaker.ts';
import { createPinnedClient, type PinnedAnswer, type PinnedRequest } from '../outbound/pinned.ts';
import type { Tenant } from '../tenant/tenant.ts';
import { createApiAuthorization } from './api-key.ts';

/** The node's internal API: one origin, JSON in and out, its login, and its failures as `node_unavailable`. */
export interface NodeApi {
  /** A call of the management kind. @throws GatewayError `node_unavailable` on 401, 429 and 5xx as well, except on statuses in `known` */
  call(request: NodeRequest): Promise<NodeAnswer>;
  /** The hot call, without parsing and with a breaker for each generation, so that neither a slow search nor the other generation closes the gate. */
  introspect(generation: 'v1' | 'v2', token: string): Promise<Buffer>;
  /** Whether `/health` answers 200; never throws. */
  probe(): Promise<boolean>;
  close(): Promise<void>;
}

export interface NodeRequest {
  readonly method: PinnedRequest['method'];
  readonly path: string;
  readonly json?: JsonObject;
  /** Default 10,000. */
  readonly timeoutMs?: number;
  /** Statuses at or above 500 that mean something to the caller. */
  readonly known?: readonly number[];
}

export interface NodeAnswer {
  readonly status: number;
  /** Undefined when the body is empty or no JSON. */
  readonly json: JsonValue | undefined;
}

const INTROSPECT = {
  v1: '/internal/auth/v1/accesstoken/introspect',
  v2: '/internal/auth/v2/accesstoken/introspect',
} as const;
const RETRY_AFTER_S = 5;
const MAX_ANSWER_BYTES = 8 * 1024 * 1024;

/** Creates the API client of a tenant's node. */
export function createNodeApi(tenant: Tenant, clock: Clock): NodeApi {
  const client = createPinnedClient({
    url: tenant.node.url,
    name: 'the Nuts node',
    failed: 'node_unavailable',
    timedOut: 'node_unavailable',
    retryAfterSeconds: RETRY_AFTER_S,
  });
  const authorization = createApiAuthorization(tenant.node.apiKey, `sluis.${tenant.id}`, clock);
  const management = nodeBreaker(clock);
  const introspection = { v1: nodeBreaker(clock), v2: nodeBreaker(clock) };

  const authorized = async (headers: Readonly<Record<string, string>>): Promise<Readonly<Record<string, string>>> => {
    const value = authorization();
    if (value === undefined) return headers;
    const authorizationHeader = await value;
    return authorizationHeader === undefined ? headers : { ...headers, authorization: authorizationHeader };
  };
  const insist = (answer: PinnedAnswer, known: readonly number[] = []): PinnedAnswer => {
    const { status } = answer;
    if (status === 401 || status === 429 || (status >= 500 && !known.includes(status)))
      throw nodeFailure(`answered with ${status}`);
    return answer;
  };

  return {
    call: ({ method, path, json, timeoutMs = 10_000, known }) =>
      management.run(async () => {
        const headers = await authorized(json === undefined ? {} : { 'content-type': 'application/json' });
        const body = json === undefined ? {} : { body: printJson(json) };
        const answer = await client.call({ method, path, headers, timeoutMs, maxBytes: MAX_ANSWER_BYTES, ...body });
        const read = { status: answer.status, json: readJson(answer.body) };
        // A 503 that the node explains is about another party; a bare one is a proxy's, or the node's own.
        insist(answer, isProblem(read.json) ? known : []);
        return read;
      }),
    introspect: (generation, token) =>
      introspection[generation].run(async () => {
        const answer = await client.call({
          method: 'POST',
          path: INTROSPECT[generation],
          // Exactly so, without a parameter: v2 answers 415 otherwise (nuts-node-api.md §1.3).
          headers: await authorized({ 'content-type': 'application/x-www-form-urlencoded' }),
          body: `token=${encodeURIComponent(token)}`,
          timeoutMs: tenant.node.introspectionTimeoutMs,
        });
        if (insist(answer).status !== 200) throw nodeFailure(`answered introspection with ${answer.status}`);
        return answer.body;
      }),
    async probe() {
      try {
        const answer = await client.call({ method: 'GET', path: '/health', timeoutMs: 2_000 });
        return answer.status === 200;
      } catch {
        return false;
      }
    },
    close: () => client.close(),
  };
}

/** What the node says about a refusal that is safe to show: the operation's name (`IssueVC failed`), never its `detail`. */
export function problemTitle(json: JsonValue | undefined): string {
  const title = isJsonObject(json) ? json['title'] : undefined;
  return typeof title === 'string' && /^[A-Za-z0-9 ]{1,80}$/.test(title) ? title : 'no reason given';
}

/** The node refused what we asked: our input or its configuration, which a repeat does not mend. */
export function nodeRefusal(what: string, answer: NodeAnswer, reason?: string): GatewayError {
  return new GatewayError('upstream_failed', `the Nuts node refused ${what}: ${answer.status}, ${problemTitle(answer.json)}`, {
    ...(reason === undefined ? {} : { reason }),
  });
}

/** The node gave no usable answer. */
export function nodeFailure(problem: string): GatewayError {
  return new GatewayError('node_unavailable', `the Nuts node ${problem}`, { retryAfterSeconds: RETRY_AFTER_S });
}

/** A DID or credential id as a path segment: colons plain, `#` and all else encoded (nuts-node-api.md §0.3). */
export function didSegment(id: string): string {
  return encodeURIComponent(id).replaceAll('%3A', ':');
}

function nodeBreaker(clock: Clock): Breaker {
  return createBreaker({
    clock,
    isFailure: (error) => error instanceof GatewayError && error.code === 'node_unavailable',
    refusal: (retryAfterSeconds) =>
      new GatewayError('node_unavailable', 'the Nuts node failed repeatedly and is left alone for a moment', {
        retryAfterSeconds,
      }),
  });
}

function readJson(body: Buffer): JsonValue | undefined {
  if (body.length === 0) return undefined;
  try {
    return parseJson(body);
  } catch {
    return undefined;
  }
}

function isProblem(json: JsonValue | undefined): boolean {
  return isJsonObject(json) && typeof json['title'] === 'string' && json['title'].endsWith(' failed');
}
