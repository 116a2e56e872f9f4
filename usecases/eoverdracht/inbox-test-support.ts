import {
  GatewayError,
  printJson,
  type ApiReply,
  type IssuedCredential,
  type Job,
  type JsonObject,
  type RemoteReply,
  type Services,
  type UserSession,
} from 'sluis/usecase';
import type { EOverdrachtConfig } from './config.ts';
import { INBOX, toItem, type InboxItem } from './inbox.ts';
import { inboxRoutes } from './inbox-api.ts';
import { receiverInbound, receiverJobs } from './inbox-plug.ts';
import { text } from './json.ts';
import { apiCall, createWorld, R1, SENDER } from './test-support.ts';

/** The receiver's world: its own records and jobs, a wallet, and the sender's FHIR server behind a gate that asks for tokens. */

export const BASE = 'https://gate.oost.example/fhir';
export const TASK = 'task-1';
export const SESSION: UserSession = {
  id: 'session',
  user: { id: 'u1', initials: 'A', familyName: 'Jansen', level: 'low' },
  presentation: { type: 'VerifiablePresentation' },
};

export interface RemoteRequest {
  readonly method: 'GET' | 'POST' | 'PUT';
  readonly url: string;
  readonly token: string;
  readonly json?: JsonObject;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What a token of this world was made from. */
export interface MadeToken {
  readonly authorizer: string;
  readonly service: string;
  readonly credentials: readonly JsonObject[];
  readonly withUser: boolean;
}

export type InboxWorld = ReturnType<typeof createInboxWorld>;

export function createInboxWorld(options: { settings?: Record<string, unknown> } = {}) {
  const world = createWorld(options);
  const remote = new Map<string, { resource: JsonObject; version: number }>();
  const wallet: { issuer: string; credential: IssuedCredential }[] = [];
  const tokens = new Map<string, MadeToken>();
  const requests: RemoteRequest[] = [];
  let counter = 0;
  const inbox = {
    ...world,
    remote,
    wallet,
    tokens,
    requests,
    endpoint: BASE as string | undefined,
    /** Answers instead of the sender; undefined lets it answer. */
    answer: (_request: RemoteRequest): RemoteReply | undefined | Promise<RemoteReply | undefined> => undefined,
    /** What happens after the sender did what was asked. */
    after: (_request: RemoteRequest): void => undefined,
    write: (resource: JsonObject): void => {
      const key = `${text(resource, 'resourceType') ?? ''}/${text(resource, 'id') ?? ''}`;
      remote.set(key, { resource, version: (remote.get(key)?.version ?? 0) + 1 });
    },
    /** A credential in the wallet; each path with its operations. */
    grant: (resources: Readonly<Record<string, readonly string[]>>, issuer = SENDER): IssuedCredential => {
      const id = `${issuer}#${String((counter += 1))}`;
      const credential: IssuedCredential = {
        id,
        credential: { id },
        revoked: false,
        resources: Object.entries(resources).map(([path, operations]) => ({
          path,
          operations,
          userContext: !path.startsWith('/Task/'),
        })),
      };
      wallet.push({ issuer, credential });
      return credential;
    },
    items: (): readonly InboxItem[] => world.records(INBOX).map((record) => toItem(record).item),
  };

  const services: Services = {
    ...world.services,
    tenant: { ...world.services.tenant, id: 'west', name: 'Thuiszorg West', did: R1 },
    runNow: async (name, key) => {
      const job = world.takeJob((each) => each.name === name && each.key === key);
      return job !== undefined && (await runTaken(inbox, job)) ? 'done' : 'pending';
    },
    node: {
      ...world.services.node,
      resolveEndpoint: (_party, service, endpoint) =>
        Promise.resolve(service === 'eOverdracht-sender' && endpoint === 'fhir' ? inbox.endpoint : undefined),
      findHeld: ({ issuer, path }) =>
        Promise.resolve(
          wallet
            .filter((each) => each.issuer === issuer && each.credential.resources.some((resource) => resource.path === path))
            .map((each) => each.credential),
        ),
      requestToken: ({ authorizer, service, credentials, identity }) => {
        const token = `t${String((counter += 1))}`;
        tokens.set(token, { authorizer, service, credentials, withUser: identity !== undefined });
        return Promise.resolve(token);
      },
    },
    remote: {
      call: async (request) => {
        requests.push(request);
        await Promise.resolve();
        const reply = (await inbox.answer(request)) ?? sender(inbox, request);
        inbox.after(request);
        return reply;
      },
    },
  };
  inbox.services = services;
  return inbox;
}

/** The sender's gate and FHIR server: the token's credentials must name the resource; `$document` gives everything that stands in `documents`. */
function sender(world: InboxWorld, request: RemoteRequest): RemoteReply {
  const path = request.url.slice(BASE.length);
  const document = path.endsWith('/$document');
  const target = document ? path.slice(0, -'/$document'.length) : path;
  const token = world.tokens.get(request.token);
  const operation = request.method === 'PUT' ? 'update' : document ? 'document' : 'read';
  const ids = new Set(token?.credentials.map((each) => text(each, 'id')));
  const permitted = world.wallet.some(
    ({ credential }) =>
      ids.has(credential.id) &&
      credential.resources.some(
        (each) => each.path === target && each.operations.includes(operation) && (!each.userContext || token?.withUser === true),
      ),
  );
  if (!permitted) return fhirReply(403, outcome('access_denied'));
  const stored = world.remote.get(target.slice(1));
  if (stored === undefined) return fhirReply(404, outcome('not_found'));
  if (request.method === 'PUT') {
    const ifMatch = request.headers?.['if-match'];
    if (ifMatch !== undefined && ifMatch !== `W/"${String(stored.version)}"`) return fhirReply(409, outcome('conflict'));
    world.write(request.json ?? {});
    const now = world.remote.get(target.slice(1));
    return fhirReply(200, now?.resource ?? {}, String(now?.version));
  }
  return document ? fhirReply(501, outcome('not_supported')) : fhirReply(200, stored.resource, String(stored.version));
}

export function fhirReply(status: number, body: JsonObject, version?: string): RemoteReply {
  const headers = new Map([
    ['content-type', 'application/fhir+json'],
    ...(version === undefined ? [] : [['etag', `W/"${version}"`] as const]),
  ]);
  return { status, headers, body: new TextEncoder().encode(printJson(body)) };
}

export function outcome(code: string): JsonObject {
  return { resourceType: 'OperationOutcome', issue: [{ severity: 'error', code: 'processing', details: { text: code } }] };
}

/** A Task of the sender for this receiver. */
export function task(more: JsonObject = {}): JsonObject {
  return {
    resourceType: 'Task',
    id: TASK,
    status: 'requested',
    intent: 'order',
    code: { coding: [{ system: 'http://snomed.info/sct', code: '308292007' }] },
    for: { display: 'Niet-identificerend' },
    requester: { agent: { identifier: { system: 'http://nuts.nl', value: SENDER }, display: 'Ziekenhuis Oost' } },
    owner: { identifier: { system: 'http://nuts.nl', value: R1 }, display: 'Thuiszorg West' },
    input: [input('721915006', 'Composition/an-1')],
    ...more,
  };
}

export function input(code: string, reference: string, system = 'http://snomed.info/sct'): JsonObject {
  return {
    type: {
      coding: [
        { system: 'urn:other', code: 'x' },
        { system, code },
      ],
    },
    valueReference: { reference },
  };
}

/** The sender's Task with its credential, and the notification of it. */
export async function offer(world: InboxWorld, more: JsonObject = {}): Promise<void> {
  world.write(task(more));
  world.grant({ [`/Task/${TASK}`]: ['read', 'update'] });
  await notify(world);
  await drainInbox(world);
}

export async function notify(world: InboxWorld, sender = SENDER, taskId = TASK): Promise<void> {
  await receiverInbound[0]?.receive({ sender, params: { taskId }, correlationId: 'test' }, world.config, world.services);
}

export function inboxApi(
  world: InboxWorld,
  operationId: string,
  call: { item?: string; binary?: string; body?: unknown; query?: Record<string, string>; user?: UserSession | undefined } = {},
): Promise<ApiReply> {
  const found = inboxRoutes.find((route) => route.operationId === operationId);
  if (found === undefined) throw new Error(`no route ${operationId}`);
  const params = {
    item: call.item ?? world.items()[0]?.id ?? 'none',
    ...(call.binary === undefined ? {} : { binary: call.binary }),
  };
  return found.handle(
    apiCall(world, {
      params,
      query: call.query ?? {},
      body: call.body,
      ...(call.user === undefined ? {} : { userSession: call.user }),
    }),
    world.config,
    world.services,
  );
}

/** `status reason` of a failure. */
export async function failure(work: Promise<unknown>): Promise<GatewayError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof GatewayError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

type Taken = NonNullable<ReturnType<InboxWorld['takeJob']>>;

async function runTaken(world: InboxWorld, job: Taken): Promise<boolean> {
  const definition: Job<EOverdrachtConfig> | undefined = receiverJobs.find((each) => each.name === job.name);
  if (definition === undefined) throw new Error(`no job ${job.name}`);
  try {
    const result = await definition.run(job.payload, world.config, world.services, { key: job.key, attempt: job.attempts + 1 });
    if (result.outcome === 'retry') {
      const wait = result.inMs ?? definition.scheduleMs[Math.min(job.attempts, definition.scheduleMs.length - 1)] ?? 0;
      world.putBack({ ...job, runAt: new Date(world.now().getTime() + wait) });
    }
    return result.outcome === 'done';
  } catch (error) {
    world.putBack(job);
    throw error;
  }
}

/** Runs what is due. @returns how many ran */
export async function drainInbox(world: InboxWorld): Promise<number> {
  for (let count = 0; count < 100; count += 1) {
    const job = world.takeJob(() => true);
    if (job === undefined) return count;
    await runTaken(world, job);
  }
  throw new Error('the jobs do not come to an end');
}
