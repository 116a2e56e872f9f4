import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import { isJsonObject, printJson, type JsonObject, type JsonValue } from '../fhir/json.ts';
import type { NodeServices } from '../usecase/workflow.ts';
import { nodeFailure, nodeRefusal, type NodeApi } from './api.ts';

type TokenRequest = Parameters<NodeServices['requestToken']>[0];

// Tokens live 60 s; RFC003 §5.4 wants them used again, and never more than ten at a time.
const REUSE_S = 50;
const MAX_TOKENS = 200;

interface KnownToken {
  readonly token: string;
  readonly fromMs: number;
  readonly untilMs: number;
}

/** Requests access tokens for other parties, and uses each again for at most 50 s. One tenant's tokens only. */
export function createTokenRequests(api: NodeApi, did: string, clock: Clock): NodeServices['requestToken'] {
  const known = new LRUCache<string, KnownToken>({ max: MAX_TOKENS });
  const asking = new Map<string, Promise<string>>();

  const ask = async (key: string, request: TokenRequest): Promise<string> => {
    const askedMs = clock.now().getTime();
    const { authorizer, service, credentials, identity } = request;
    const answer = await api.call({
      method: 'POST',
      path: '/internal/auth/v1/request-access-token',
      json: { authorizer, requester: did, service, credentials, ...(identity === undefined ? {} : { identity }) },
      timeoutMs: 15_000,
      known: [503],
    });
    if (answer.status === 503) {
      // Every failure at or towards the other party's node; which one is in the node's log only.
      throw new GatewayError('upstream_failed', 'the other organisation gave no access token', { reason: 'token_refused' });
    }
    if (answer.status !== 200) throw nodeRefusal('to request an access token', answer, 'token_refused');
    const token = isJsonObject(answer.json) ? answer.json['access_token'] : undefined;
    if (typeof token !== 'string' || token === '') throw nodeFailure('answered a token request without a token');
    const lifeS = isJsonObject(answer.json) && typeof answer.json['expires_in'] === 'number' ? answer.json['expires_in'] : 0;
    const reuseS = Math.min(REUSE_S, lifeS - 10);
    if (reuseS > 0) known.set(key, { token, fromMs: askedMs, untilMs: askedMs + reuseS * 1000 });
    return token;
  };

  return async (request) => {
    const key = keyOf(request);
    const nowMs = clock.now().getTime();
    const found = known.get(key);
    if (found !== undefined && found.token === request.refused) known.delete(key);
    else if (found !== undefined && nowMs >= found.fromMs && nowMs < found.untilMs) return found.token;
    let pending = asking.get(key);
    if (pending === undefined) {
      pending = ask(key, request).finally(() => asking.delete(key));
      asking.set(key, pending);
    }
    return pending;
  };
}

function keyOf({ authorizer, service, credentials, identity }: TokenRequest): string {
  const ids = credentials.map(idOf).sort();
  return JSON.stringify([authorizer, service, ids, identity === undefined ? null : digest(identity)]);
}

function idOf(credential: JsonObject): string {
  const { id } = credential;
  return typeof id === 'string' ? id : digest(credential);
}

function digest(value: JsonValue): string {
  return createHash('sha256').update(printJson(value)).digest('base64');
}
