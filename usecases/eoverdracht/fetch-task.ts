import { GatewayError, type ErrorCode, type JsonObject, type RemoteReply, type Services } from 'sluis/usecase';
import type { SenderClient } from './fetch-client.ts';
import { parseResource } from './fetch-json.ts';
import type { SeenTask } from './inbox.ts';
import { object, objects, referenceText, text } from './json.ts';
import { compositionReference, documentKind, readTask } from './task.ts';

/** A Task of the sender that was found to be ours. */
export interface FetchedTask extends SeenTask {
  readonly resource: JsonObject;
  /** Documents that the Task names at another server: never followed (facts §2.5). */
  readonly refusedReferences: number;
}

/** What came of asking for a Task. */
export type TaskAnswer =
  | { readonly outcome: 'task'; readonly task: FetchedTask }
  /** Another Task than was asked for, no transfer, or between other parties (facts §4.3). */
  | { readonly outcome: 'mismatch'; readonly reason: Mismatch }
  /** The sender refuses for good: no later attempt of ours changes it by itself. */
  | { readonly outcome: 'refused'; readonly code: RefusalCode; readonly reason: string }
  /** Somebody else changed it meanwhile. */
  | { readonly outcome: 'changed' }
  | { readonly outcome: 'later'; readonly reason: string; readonly inMs?: number };

export type Mismatch = 'task_id_mismatch' | 'no_transfer' | 'owner_mismatch' | 'requester_mismatch' | 'status_missing';

/** The errors that tell an EHR about a refusal of the other party. */
export type RefusalCode = Extract<
  ErrorCode,
  'conflict' | 'forbidden' | 'unprocessable' | 'not_found' | 'upstream_failed' | 'upstream_timeout'
>;

const HOUR_MS = 3_600_000;
const PASSING: ReadonlySet<number> = new Set([408, 425, 429]);

/** `GET Task`, without a user (facts §1.3 A12). */
export async function fetchTask(services: Services, client: SenderClient, taskId: string): Promise<TaskAnswer> {
  const reply = await client.call({ reference: `Task/${taskId}`, operation: 'read' });
  return reply.status === 200 ? judge(services, client, taskId, reply) : refusal(services, reply);
}

/** `PUT Task`, if it is still the version that was read (facts §1.3 A18). What comes back is judged as what is read. */
export async function putTask(
  services: Services,
  client: SenderClient,
  resource: JsonObject,
  version?: string,
): Promise<TaskAnswer> {
  const taskId = text(resource, 'id') ?? '';
  const reply = await client.call({
    reference: `Task/${taskId}`,
    operation: 'update',
    json: resource,
    headers: {
      'content-type': 'application/fhir+json',
      ...(version === undefined ? {} : { 'if-match': `W/"${version}"` }),
    },
  });
  if (reply.status === 409 || reply.status === 412) return { outcome: 'changed' };
  if (reply.status < 200 || reply.status > 299) return refusal(services, reply);
  // Some servers answer a write with nothing: then the Task is read.
  return reply.body.length === 0 ? fetchTask(services, client, taskId) : judge(services, client, taskId, reply);
}

/** The code that an OperationOutcome of the sender gives, when it is a code and no prose. */
export function outcomeCode(reply: RemoteReply): string | undefined {
  try {
    for (const issue of objects(parseResource(reply.body), 'issue')) {
      const code = text(object(issue, 'details'), 'text');
      if (code !== undefined && /^[a-z][a-z0-9_]{0,63}$/.test(code)) return code;
    }
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
  }
  return undefined;
}

async function judge(services: Services, client: SenderClient, taskId: string, reply: RemoteReply): Promise<TaskAnswer> {
  const resource = parseResource(reply.body);
  const base = await client.base();
  const view = readTask(resource, base);
  if (text(resource, 'resourceType') !== 'Task' || view.id !== taskId) return { outcome: 'mismatch', reason: 'task_id_mismatch' };
  if (!view.isTransfer) return { outcome: 'mismatch', reason: 'no_transfer' };
  // A URA or an internal number may stand there too: only a DID can be compared (facts §2.3).
  if (isOther(view.owner, services.tenant.did)) return { outcome: 'mismatch', reason: 'owner_mismatch' };
  if (isOther(view.requester, client.sender)) return { outcome: 'mismatch', reason: 'requester_mismatch' };
  if (view.status === '' || view.status.length > 64) return { outcome: 'mismatch', reason: 'status_missing' };
  const version = versionOf(resource, reply);
  const senderName = nameOf(resource);
  const refusedReferences = objects(resource, 'input').filter((input) => {
    const reference = referenceText(input, 'valueReference');
    return documentKind(input) !== undefined && reference !== undefined && compositionReference(reference, base) === undefined;
  }).length;
  return {
    outcome: 'task',
    task: {
      resource,
      view,
      refusedReferences,
      ...(version === undefined ? {} : { version }),
      ...(senderName === undefined ? {} : { senderName }),
    },
  };
}

function refusal(services: Services, reply: RemoteReply): TaskAnswer {
  const { status } = reply;
  if (status === 403) return { outcome: 'refused', code: 'forbidden', reason: 'refused_by_sender' };
  if (status === 404 || status === 410) return { outcome: 'refused', code: 'not_found', reason: 'task_unknown' };
  if (status === 422) return { outcome: 'refused', code: 'unprocessable', reason: outcomeCode(reply) ?? 'refused_by_sender' };
  const reason = `sender_answered_${String(status)}`;
  // 401 too: the token was refused twice then.
  if (status >= 500 || status === 401 || PASSING.has(status)) {
    const inMs = retryAfterMs(reply, services.now());
    return { outcome: 'later', reason, ...(inMs === undefined ? {} : { inMs }) };
  }
  return { outcome: 'refused', code: 'upstream_failed', reason };
}

function isOther(named: string | undefined, did: string): boolean {
  return named?.startsWith('did:') === true && named !== did;
}

/** The version in the `ETag`, else in the resource; undefined where it could not stand in an `If-Match`. */
function versionOf(resource: JsonObject, reply: RemoteReply): string | undefined {
  const tag = /^(?:W\/)?"([A-Za-z0-9\-.]{1,64})"$/.exec(reply.headers.get('etag') ?? '')?.[1];
  const version = tag ?? text(object(resource, 'meta'), 'versionId');
  return version !== undefined && /^[A-Za-z0-9\-.]{1,64}$/.test(version) ? version : undefined;
}

function nameOf(resource: JsonObject): string | undefined {
  const requester = object(resource, 'requester');
  return text(object(requester, 'onBehalfOf') ?? object(requester, 'agent'), 'display')?.slice(0, 200);
}

/** `Retry-After` in seconds, at most an hour. */
function retryAfterMs(reply: RemoteReply, now: Date): number | undefined {
  const value = reply.headers.get('retry-after');
  if (value === undefined) return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - now.getTime();
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), HOUR_MS) : undefined;
}
