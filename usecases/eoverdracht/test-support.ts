import {
  GatewayError,
  type ApiCall,
  type ApiReply,
  type AuditedEvent,
  type Grant,
  type IssuedCredential,
  type Job as JobDefinition,
  type JobView,
  type JsonObject,
  type JsonValue,
  type NewJob,
  type RecordKey,
  type RecordQuery,
  type RecordReader,
  type RemoteReply,
  type Services,
  type StoredRecord,
  type Unit,
  type UserSession,
} from 'sluis/usecase';
import { parseConfig, type EOverdrachtConfig } from './config.ts';
import { text } from './json.ts';
import { notifyJob } from './notify-job.ts';
import { settleJob } from './settle-job.ts';
import { sweepJob } from './sweep-job.ts';

/** A world in memory for tests of the use case: records with compare-and-set, a ledger, jobs, a FHIR store with versions, a node. */

export const SENDER = 'did:nuts:sender';
export const R1 = 'did:nuts:receiver1';
export const R2 = 'did:nuts:receiver2';

/** What a test lets happen at an effect: nothing, a failure before it, a lost answer after it, the death of the process, a late landing. */
export type Fault = 'none' | 'fail' | 'lose-answer' | 'crash-before' | 'crash-after' | 'late';

/** The process died: everything throws this until `world.restart()`. */
export class Crash extends Error {}

interface Job extends NewJob {
  readonly attempts: number;
}

interface KeyedRecord {
  readonly record: StoredRecord;
  readonly keys: readonly RecordKey[];
  readonly order: number;
}

interface State {
  records: Map<string, KeyedRecord>;
  grants: Map<string, Grant>;
  jobs: Map<string, Job>;
}

export interface SentNotification {
  readonly url: string;
  readonly token: string;
  /** Version of the Task at the moment of sending. */
  readonly taskVersion: string | undefined;
}

export type World = ReturnType<typeof createWorld>;

/** An empty world; `fault` is asked at every effect. */
export function createWorld(options: { settings?: Record<string, unknown>; start?: string } = {}) {
  const config = parseConfig(options.settings ?? {});
  let nowMs = Date.parse(options.start ?? '2026-03-01T09:00:00Z');
  let dead = false;
  let counter = 0;
  let state: State = { records: new Map(), grants: new Map(), jobs: new Map() };
  let lock: Promise<unknown> = Promise.resolve();
  const fhir = new Map<string, { resource: JsonObject; version: number }>();
  const history = new Map<string, JsonObject[]>();
  const credentials: IssuedCredential[] = [];
  const late: (() => void)[] = [];
  const sent: SentNotification[] = [];
  const audited: AuditedEvent[] = [];
  const trace: string[] = [];
  const endpoints = new Map<string, string | undefined>();
  const world = {
    config,
    fhir,
    history,
    credentials,
    sent,
    trace,
    audited,
    endpoints,
    fault: (_effect: string): Fault => 'none',
    reply: (_attempt: number): { status: number; headers?: Record<string, string> } => ({ status: 202 }),
    now: () => new Date(nowMs),
    advance: (seconds: number) => void (nowMs += seconds * 1000),
    restart: () => void (dead = false),
    isDead: () => dead,
    grants: () => [...state.grants.values()],
    jobs: () => [...state.jobs.values()],
    landLate: () => {
      for (const land of late.splice(0)) land();
    },
    records: (kind: string) =>
      [...state.records.entries()].filter(([key]) => key.startsWith(`${kind}\n`)).map(([, value]) => value.record),
    put: (resource: JsonObject) => {
      const key = referenceOf(resource);
      const version = (fhir.get(key)?.version ?? 0) + 1;
      fhir.set(key, { resource, version });
      history.set(key, [...(history.get(key) ?? []), resource]);
      return String(version);
    },
    get: (reference: string): JsonObject | undefined => fhir.get(reference)?.resource,
    services: undefined as unknown as Services,
    transaction: undefined as unknown as Services['transaction'],
    takeJob: (filter: (job: Job) => boolean): Job | undefined => {
      for (const [key, job] of state.jobs) {
        if (!filter(job) || (job.runAt !== undefined && job.runAt > new Date(nowMs))) continue;
        state.jobs.delete(key);
        return job;
      }
      return undefined;
    },
    putBack: (job: Job) => {
      const key = `${job.name}\n${job.key}`;
      if (!state.jobs.has(key)) state.jobs.set(key, { ...job, attempts: job.attempts + 1 });
    },
  };

  async function effect<T>(name: string, work: () => T): Promise<T> {
    if (dead) throw new Crash('dead');
    // A turn of the event loop, so that what runs at once really interleaves.
    await Promise.resolve();
    const fault = world.fault(name);
    if (fault === 'crash-before') return die();
    if (fault === 'fail') throw new GatewayError('upstream_failed', `${name} failed`);
    if (fault === 'late') {
      late.push(work);
      throw new GatewayError('upstream_timeout', `${name} timed out`);
    }
    const result = work();
    trace.push(name);
    if (fault === 'crash-after') return die();
    if (fault === 'lose-answer') throw new GatewayError('upstream_timeout', `${name}: the answer was lost`);
    return result;
  }

  function die(): never {
    dead = true;
    throw new Crash('died');
  }

  const reader = (kind: string, at: () => State): RecordReader => ({
    get: (id) => alive(() => at().records.get(`${kind}\n${id}`)?.record),
    find: (query: RecordQuery) =>
      alive(() => {
        const all = [...at().records.entries()]
          .filter(([key, value]) => key.startsWith(`${kind}\n`) && matches(value, query))
          .map(([, value]) => value)
          .sort((a, b) => b.order - a.order);
        const from = query.cursor === undefined ? 0 : Number(query.cursor);
        const items = all.slice(from, from + query.limit).map((each) => each.record);
        return { items, ...(from + query.limit < all.length ? { cursor: String(from + query.limit) } : {}) };
      }),
  });

  function alive<T>(work: () => T): Promise<T> {
    return dead ? Promise.reject(new Crash('dead')) : Promise.resolve(work());
  }

  async function transaction<T>(work: (unit: Unit) => Promise<T>): Promise<T> {
    const turn = lock;
    let release: () => void = () => undefined;
    lock = new Promise<void>((resolve) => (release = resolve));
    await turn;
    try {
      if (dead) throw new Crash('dead');
      const draft: State = { records: new Map(state.records), grants: new Map(state.grants), jobs: new Map(state.jobs) };
      const result = await work(unitOf(draft));
      const fault = world.fault('commit');
      if (fault === 'crash-before') die();
      state = draft;
      if (fault === 'crash-after') die();
      return result;
    } finally {
      release();
    }
  }

  function unitOf(draft: State): Unit {
    return {
      now: new Date(nowMs),
      records: (kind) => ({
        ...reader(kind, () => draft),
        insert: (id, value, keys) =>
          alive(() => {
            const record = { id, version: 1, state: clone(value), createdAt: new Date(nowMs), updatedAt: new Date(nowMs) };
            draft.records.set(`${kind}\n${id}`, { record, keys, order: (counter += 1) });
            return record;
          }),
        update: (id, expected, value, keys) =>
          alive(() => {
            const present = draft.records.get(`${kind}\n${id}`);
            if (present?.record.version !== expected) throw new GatewayError('conflict', 'the record changed meanwhile');
            const record = { ...present.record, version: expected + 1, state: clone(value), updatedAt: new Date(nowMs) };
            draft.records.set(`${kind}\n${id}`, { ...present, record, keys });
            return record;
          }),
      }),
      grants: {
        open: (grant) => alive(() => void draft.grants.set(grant.id, { ...grant, state: 'pending' })),
        makeLive: (id, credentialId) =>
          alive(() => {
            const grant = draft.grants.get(id);
            if (grant?.state !== 'pending') throw new Error(`grant ${id} is ${grant?.state ?? 'unknown'}`);
            trace.push(`live:${grant.kind}:${grant.requester}`);
            draft.grants.set(id, { ...grant, state: 'live', ...(credentialId === undefined ? {} : { credentialId }) });
          }),
        end: (id) =>
          alive(() => {
            const grant = draft.grants.get(id);
            if (grant === undefined) throw new Error(`grant ${id} is unknown`);
            trace.push(`end:${grant.kind}:${grant.requester}`);
            draft.grants.set(id, { ...grant, state: 'ended' });
          }),
        get: (id) => alive(() => draft.grants.get(id)),
      },
      enqueue: (job) =>
        alive(() => {
          const key = `${job.name}\n${job.key}`;
          if (!draft.jobs.has(key)) draft.jobs.set(key, { ...job, attempts: 0 });
        }),
    };
  }

  const services: Services = {
    tenant: { id: 'oost', name: 'Ziekenhuis Oost', did: SENDER, fhirVersion: 'STU3', fhirUrl: 'https://fhir.oost.example/fhir' },
    now: world.now,
    records: (kind) => reader(kind, () => state),
    grants: (recordId) => alive(() => [...state.grants.values()].filter((grant) => grant.recordId === recordId)),
    jobs: (key) =>
      alive(() =>
        [...state.jobs.values()]
          .filter((job) => job.key === key)
          .map((job): JobView => ({ name: job.name, key, state: 'pending', attempts: [] })),
      ),
    transaction,
    runNow: async (name, key) => {
      const job = world.takeJob((each) => each.name === name && each.key === key);
      return job !== undefined && (await runTaken(world, job)) ? 'done' : 'pending';
    },
    fhir: {
      read: (type, id) =>
        alive(() => {
          const found = fhir.get(`${type}/${id}`);
          return found === undefined ? undefined : { resource: found.resource, version: String(found.version) };
        }),
      put: (resource, ifVersion) =>
        effect(`put:${text(resource, 'resourceType') ?? ''}`, () => {
          const key = referenceOf(resource);
          const present = fhir.get(key);
          const stale =
            ifVersion === 'absent' ? present !== undefined : ifVersion !== undefined && String(present?.version) !== ifVersion;
          if (stale) return { outcome: 'changed-meanwhile' as const };
          return { outcome: 'written' as const, version: world.put(resource) };
        }),
    },
    node: {
      issueCredential: (request) =>
        effect(`issue:${request.subject}`, () => {
          const id = `${SENDER}#${String((counter += 1)).padStart(6, '0')}`;
          const credential: IssuedCredential = {
            id,
            credential: { id, credentialSubject: { id: request.subject, purposeOfUse: request.purpose } },
            revoked: false,
            expiresAt: request.expiresAt,
            resources: request.resources,
          };
          credentials.push(credential);
          return credential;
        }),
      revokeCredential: (id) =>
        effect('revoke', () => {
          const index = credentials.findIndex((each) => each.id === id);
          const present = credentials[index];
          if (present !== undefined) credentials[index] = { ...present, revoked: true };
        }),
      findIssued: (subject) => alive(() => credentials.filter((each) => subjectOf(each) === subject)),
      findHeld: () => Promise.resolve([]),
      findOrganizations: () =>
        Promise.resolve([
          { id: R1, name: 'Thuiszorg West' },
          { id: R2, name: 'Zorghuis Noord' },
        ]),
      resolveEndpoint: (party, _service, endpoint) =>
        alive(() => {
          const key = `${party} ${endpoint}`;
          return endpoints.has(key) ? endpoints.get(key) : `https://${party.slice(-9)}.example/${endpoint}/`;
        }),
      requestToken: (request) => effect('token', () => `token-${request.authorizer}-${String((counter += 1))}`),
    },
    remote: {
      call: (request): Promise<RemoteReply> =>
        effect('notify', () => {
          const taskId = request.url.slice(request.url.lastIndexOf('/') + 1);
          const version = fhir.get(`Task/${taskId}`)?.version;
          const reply = world.reply(sent.length + 1);
          sent.push({ url: request.url, token: request.token, taskVersion: version === undefined ? undefined : String(version) });
          return { status: reply.status, headers: new Map(Object.entries(reply.headers ?? {})), body: new Uint8Array() };
        }),
    },
    audit: (event) => alive(() => void audited.push(event)),
    log: () => undefined,
  };
  world.services = services;
  world.transaction = transaction;
  return world;
}

const definitions: Readonly<Record<string, JobDefinition<EOverdrachtConfig>>> = {
  settle: settleJob,
  notify: notifyJob,
  sweep: sweepJob,
};

async function runTaken(world: World, job: Job): Promise<boolean> {
  const definition = definitions[job.name];
  if (definition === undefined) throw new Error(`no job ${job.name}`);
  try {
    const result = await definition.run(job.payload, world.config, world.services, { key: job.key, attempt: job.attempts + 1 });
    if (result.outcome === 'retry') world.putBack(job);
    return result.outcome === 'done';
  } catch (error) {
    world.putBack(job);
    throw error;
  }
}

/** Runs one job that is due, the `pick`th if there are so many. @returns whether there was one */
export async function runJob(world: World, pick = 0): Promise<boolean> {
  let index = 0;
  const job = world.takeJob(() => (index += 1) > pick) ?? world.takeJob(() => true);
  if (job === undefined) return false;
  await runTaken(world, job);
  return true;
}

/** Runs the jobs that are due, and those that they enqueue, until none is left. @throws when it does not end */
export async function drain(world: World): Promise<void> {
  for (let count = 0; count < 200; count += 1) if (!(await runJob(world))) return;
  throw new Error('the jobs do not come to an end');
}

/** A call of an API route, with the transaction of the world behind `command`. */
export function apiCall(
  world: World,
  call: { params?: Record<string, string>; query?: Record<string, string>; body?: unknown; userSession?: UserSession } = {},
): ApiCall {
  return {
    params: call.params ?? {},
    query: call.query ?? {},
    body: call.body,
    correlationId: 'test',
    ...(call.userSession === undefined ? {} : { userSession: call.userSession }),
    command: (work: (unit: Unit) => Promise<ApiReply>) => world.transaction(work),
  };
}

/** Whom a credential of this world is for. */
export function subjectOf(credential: IssuedCredential): string {
  const subject = credential.credential['credentialSubject'];
  return typeof subject === 'object' && subject !== null && 'id' in subject && typeof subject['id'] === 'string'
    ? subject['id']
    : '';
}

/** `Type/id` of a resource. */
function referenceOf(resource: JsonObject): string {
  return `${text(resource, 'resourceType') ?? ''}/${text(resource, 'id') ?? ''}`;
}

function matches(value: KeyedRecord, query: RecordQuery): boolean {
  if (query.since !== undefined && value.record.updatedAt < query.since) return false;
  return Object.entries(query.where ?? {}).every(([name, wanted]) =>
    value.keys.some((key) => key.name === name && key.value === wanted),
  );
}

function clone(value: JsonValue): unknown {
  return JSON.parse(JSON.stringify(value));
}

const SUBJECT = { reference: 'Patient/p1' };

/** A believable dossier: a patient with a name and a number, what nurses know, a letter; and a stranger. */
export function fillDossier(world: World): void {
  const resources: readonly JsonObject[] = [
    {
      resourceType: 'Patient',
      id: 'p1',
      identifier: [{ system: 'http://fhir.nl/fhir/NamingSystem/bsn', value: '999911120' }],
      name: [{ family: 'van der Akker', given: ['Wilhelmina'] }],
      gender: 'female',
      birthDate: '1942-05-03',
      telecom: [{ system: 'phone', value: '0531234567' }],
      address: [{ line: ['Dorpsstraat 12'], postalCode: '7511AB', city: 'Enschede' }],
    },
    { resourceType: 'Patient', id: 'p2', name: [{ family: 'Stranger' }] },
    {
      resourceType: 'Condition',
      id: 'c1',
      meta: { versionId: '3', profile: ['http://nictiz.nl/fhir/StructureDefinition/zib-Problem'] },
      identifier: [{ system: 'urn:hospital', value: 'c-77' }],
      text: { status: 'generated', div: '<div>mevr. van der Akker</div>' },
      clinicalStatus: 'active',
      verificationStatus: 'confirmed',
      code: {
        coding: [{ system: 'http://snomed.info/sct', code: '230690007', display: 'CVA' }],
        text: 'CVA van mevr. van der Akker',
      },
      subject: { ...SUBJECT, display: 'W. van der Akker' },
      asserter: { reference: 'Practitioner/pr1', display: 'dr. Vos' },
      note: [{ text: 'dochter belt' }],
    },
    { resourceType: 'Condition', id: 'c2', code: { text: 'Van een ander' }, subject: { reference: 'Patient/p2' } },
    {
      resourceType: 'Procedure',
      id: 'i1',
      status: 'in-progress',
      code: { text: 'Wondzorg 1x daags' },
      subject: SUBJECT,
      performer: [{ actor: { reference: 'Practitioner/pr1' } }],
    },
    {
      resourceType: 'Coverage',
      id: 'v1',
      subscriberId: '12345',
      beneficiary: SUBJECT,
      payor: [{ reference: 'Organization/payer' }],
    },
    { resourceType: 'Organization', id: 'payer', name: 'Verzekeraar' },
    { resourceType: 'Organization', id: 'own', name: 'Ziekenhuis Oost' },
    { resourceType: 'Practitioner', id: 'pr1', name: [{ family: 'Vos' }] },
    {
      resourceType: 'PractitionerRole',
      id: 'role1',
      practitioner: { reference: 'Practitioner/pr1' },
      organization: { reference: 'https://fhir.oost.example/fhir/Organization/own' },
    },
    {
      resourceType: 'DocumentReference',
      id: 'd1',
      status: 'current',
      subject: SUBJECT,
      content: [{ attachment: { contentType: 'application/pdf', url: 'Binary/b1' } }],
    },
    { resourceType: 'Binary', id: 'b1', contentType: 'application/pdf', content: 'JVBERi0xLjQK' },
  ];
  for (const resource of resources) world.put(resource);
}

/** References of the dossier from which a notice is built. */
export const NOTICE = { problems: ['Condition/c1'], interventions: ['Procedure/i1'], payers: ['Coverage/v1'] };

/** References of the dossier from which a hand-off is built. */
export const HANDOFF = {
  problems: ['Condition/c1'],
  interventions: ['Procedure/i1'],
  payers: ['Coverage/v1'],
  practitioners: ['Practitioner/pr1', 'PractitionerRole/role1'],
  documents: ['DocumentReference/d1'],
};
