import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AuditEntry } from '../../src/audit/entry.ts';
import { openJournal } from '../../src/audit/journal.ts';
import { storedRecord, type StoredRecord } from '../../src/audit/query.ts';
import { GatewayError } from '../../src/errors.ts';
import { createClock } from '../../src/clock.ts';
import { createGrantLedger } from '../../src/grant/ledger.ts';
import { openPublicListener } from '../../src/http/public.ts';
import { createLogger } from '../../src/log.ts';
import { createMetrics, type AlarmKind } from '../../src/metrics.ts';
import { createNode } from '../../src/nuts/node.ts';
import { createDecisionPoint } from '../../src/pdp/decide.ts';
import { createAdmission } from '../../src/pep/admission.ts';
import { createGate, type GateOptions } from '../../src/pep/enforce.ts';
import { createExplain, type ExplainRequest } from '../../src/pep/explain.ts';
import type { Explanation } from '../../src/pep/explanation.ts';
import { createSealer } from '../../src/sealing.ts';
import { Secret } from '../../src/secret.ts';
import { createProofIds } from '../../src/store/proof-ids.ts';
import { getRecord } from '../../src/store/records.ts';
import { createTenantDirectory, type Tenant } from '../../src/tenant/tenant.ts';
import { createAuthenticator } from '../../src/token/authenticate.ts';
import { createIntrospection } from '../../src/token/introspection.ts';
import { createUpstream } from '../../src/upstream/forward.ts';
import type { UseCase } from '../../src/usecase/definition.ts';
import { createRegistry } from '../../src/usecase/registry.ts';
import type { RemoteClient } from '../../src/usecase/workflow.ts';
import { createWorkflow } from '../../src/workflow/workflow.ts';
import { openTestDatabase } from './database.ts';
import { MESSAGES, NOTES, notes } from './notes-use-case.ts';

export const REQUESTER = 'did:nuts:requester';
export const didOf = (tenant: string): string => `did:nuts:${tenant}`;

/** What reached a FHIR server, exactly as it came. */
export interface Arrived {
  readonly method: string;
  readonly target: string;
  readonly rawHeaders: readonly string[];
  readonly body: string;
}

/** What came back over a raw socket: one or more answers, and whether the other side closed. */
export interface RawAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

export type FhirHandler = (request: IncomingMessage, response: ServerResponse, body: string) => void;

/** The whole gate in this process: real sockets, store and journal, a node that says what it is told, FHIR servers that record. */
export interface TestGate {
  readonly url: string;
  readonly port: number;
  readonly clock: ReturnType<typeof createClock>;
  /** What the node of a tenant says about a token; undefined: `{"active":false}`. Text is sent as it is. */
  readonly tokens: Map<string, object | string>;
  /** 200 unless said otherwise. */
  nodeHealth: number;
  /** How often a node was asked about a token. */
  introspections: number;
  /** Answers of the FHIR server of tenant `a`; `undefined` resets. */
  fhir: FhirHandler | undefined;
  readonly arrived: Arrived[];
  /** Rejects or delays what goes to the journal. */
  audit: ((entry: AuditEntry) => Promise<void> | undefined) | undefined;
  /** Whatever `notes` should do instead of judging; reset by hand. */
  readonly policy: { decide: UseCase['decide'] | undefined };
  /** A token that a node calls active. */
  token(options?: TokenOptions): string;
  /** A live grant of tenant `a` for the requester. */
  grant(path: string, operations: readonly string[], tenant?: string): Promise<string>;
  endGrant(id: string): Promise<void>;
  /** How often an alarm of tenant `a` was raised. */
  alarms(kind: AlarmKind): Promise<number>;
  /** Records in the journal of a correlation id. */
  audited(correlationId: string): Promise<readonly StoredRecord[]>;
  allAudited(): Promise<readonly StoredRecord[]>;
  /** Sends bytes; resolves when the other side closed, or after the count of answers has come. */
  raw(
    bytes: string | readonly string[],
    answers?: number,
  ): Promise<{ readonly answers: readonly RawAnswer[]; readonly closed: boolean }>;
  get(path: string, headers?: Readonly<Record<string, string>>, method?: string, body?: string): Promise<RawAnswer>;
  /** What this gate would do at tenant `a`. */
  explain(request: ExplainRequest, correlationId?: string): Promise<Explanation>;
  close(): Promise<void>;
}

export interface TokenOptions {
  readonly tenant?: string;
  readonly facts?: object;
  /** v2: of the organisation with the DID `REQUESTER`, for the scope `notes-sender`. Only of a gate that was started with v2. */
  readonly generation?: 'v1' | 'v2';
  /** v2: binds the token to the key with this thumbprint. */
  readonly jkt?: string;
}

export const authorizationServerOf = (tenant: string): string => `https://node.example/oauth2/${tenant}`;

/** Far from what a slow machine needs. */
const LONG_MS = 30_000;
const TASK = { resourceType: 'Task', id: 'mine', status: 'requested', meta: { versionId: '3' } };

export async function startGate(
  limits: {
    readonly concurrentRequests?: number;
    readonly generations?: Tenant['node']['generations'];
    /** Served in R4 by both tenants, instead of `notes`. */
    readonly useCase?: UseCase;
    readonly document?: Tenant['fhir']['document'];
    readonly xml?: Tenant['fhir']['xml'];
    /** Of a decision. This and the next are so long that no slow machine meets them, unless a test is about the limit. */
    readonly decisionDeadlineMs?: number;
    /** Of a review, and of an answer of the use case's own. */
    readonly reviewDeadlineMs?: number;
  } = {},
): Promise<TestGate> {
  const { decisionDeadlineMs = LONG_MS, reviewDeadlineMs = LONG_MS } = limits;
  const clock = createClock();
  const logger = createLogger('silent');
  const metrics = createMetrics(false);
  const closers: (() => Promise<unknown>)[] = [];
  const tokens = new Map<string, object | string>();
  const arrived: Arrived[] = [];
  const state = {
    nodeHealth: 200,
    introspections: 0,
    fhir: undefined as FhirHandler | undefined,
    audit: undefined as TestGate['audit'],
  };
  let stored = { ...TASK };

  const answerFhir: FhirHandler = (request, response, body) => {
    const json = (status: number, resource: object, version?: string): void => {
      const headers = { 'content-type': 'application/fhir+json', server: 'secret', 'set-cookie': 'a=b' };
      response.writeHead(status, { ...headers, ...(version === undefined ? {} : { etag: `W/"${version}"` }) });
      response.end(JSON.stringify(resource));
    };
    if (request.method === 'PUT') {
      const match = /^W\/"(.*)"$/.exec(request.headers['if-match'] ?? '')?.[1];
      if (match !== undefined && match !== stored.meta.versionId) {
        json(412, { resourceType: 'OperationOutcome', issue: [] });
        return;
      }
      const next = JSON.parse(body) as typeof TASK;
      stored = { ...next, meta: { versionId: String(Number(stored.meta.versionId) + 1) } };
      json(200, stored, stored.meta.versionId);
      return;
    }
    if (request.url === '/fhir/Task/mine') {
      json(200, stored, stored.meta.versionId);
      return;
    }
    if (request.url?.startsWith('/fhir/Patient/') === true) {
      const self = `http://127.0.0.1:${String(request.socket.localPort)}/fhir`;
      json(200, { resourceType: 'Patient', id: request.url.split('/').at(-1), link: `${self}/Patient/2` }, '1');
      return;
    }
    if (request.url === '/fhir/Binary/1') {
      response.writeHead(200, { 'content-type': 'application/pdf', 'content-length': '300000' });
      response.end(Buffer.alloc(300_000, 7));
      return;
    }
    json(404, { resourceType: 'OperationOutcome', issue: [{ diagnostics: 'SQL at internal.host' }] });
  };

  const fhirServer = await listen(async (request, response) => {
    const body = await read(request);
    arrived.push({ method: request.method ?? '', target: request.url ?? '', rawHeaders: request.rawHeaders, body });
    (state.fhir ?? answerFhir)(request, response, body);
  });
  const nodeServer = await listen(async (request, response) => {
    if (request.url === '/health') {
      response.writeHead(state.nodeHealth).end('{}');
      return;
    }
    state.introspections += 1;
    // nuts-node-api.md §1.3: exactly so, or 415.
    const isV2 = request.url === '/internal/auth/v2/accesstoken/introspect';
    if (isV2 && request.headers['content-type'] !== 'application/x-www-form-urlencoded') {
      response.writeHead(415).end();
      return;
    }
    const token = new URLSearchParams(await read(request)).get('token') ?? '';
    const said = tokens.get(token) ?? { active: false };
    if (isV2 && said === 'sick') {
      response.writeHead(500).end();
      return;
    }
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(typeof said === 'string' ? said : JSON.stringify(said));
  });
  closers.push(
    () => shut(fhirServer),
    () => shut(nodeServer),
  );

  const tenants = ['a', 'b'].map((id) =>
    tenantOf(
      id,
      urlOf(nodeServer),
      urlOf(fhirServer),
      limits.concurrentRequests ?? 64,
      limits.generations ?? ['v1'],
      limits.useCase,
      limits.document ?? 'upstream',
      limits.xml ?? 'none',
    ),
  );
  const directory = createTenantDirectory(tenants);
  const journalFolder = await mkdtemp(join(tmpdir(), 'sluis-gate-'));
  const journal = await openJournal({ directory: journalFolder, clock, logger, segmentBytes: 1_048_576, minFreeBytes: 0 });
  const store = await openTestDatabase();
  closers.push(
    () => journal.close(),
    () => rm(journalFolder, { recursive: true, force: true }),
    () => store.close(),
  );
  const audit = {
    record: async (entry: AuditEntry) => {
      await state.audit?.(entry);
      await journal.record(entry);
    },
  };
  const policy: TestGate['policy'] = { decide: undefined };
  const registry = createRegistry([limits.useCase ?? notes(policy)]);
  const ledger = createGrantLedger({ database: store.database });
  const nodes = new Map(tenants.map((tenant) => [tenant.id, createNode({ tenant, clock, logger })]));
  const upstreams = new Map(tenants.map((tenant) => [tenant.id, createUpstream(tenant, { clock })]));
  closers.push(
    ...[...nodes.values()].map((node) => () => node.close()),
    ...[...upstreams.values()].map((upstream) => () => upstream.close()),
  );
  const noRemote: RemoteClient = { call: () => Promise.reject(new GatewayError('internal', 'no other parties here')) };
  const workflow = createWorkflow({
    database: store.database,
    ledger,
    registry,
    tenants: directory,
    connect: (tenant) => ({
      fhir: upstreams.get(tenant.id)!.store,
      node: nodes.get(tenant.id)!.services(),
      remote: noRemote,
    }),
    audit,
    clock,
    instance: 'gate-1',
    logger,
  });
  const options: GateOptions = {
    tenants: directory,
    registry,
    settings: workflow,
    services: (tenant, useCase) => workflow.services(tenant, useCase),
    effects: workflow.effects,
    authenticator: createAuthenticator({
      clock,
      proofIds: createProofIds(store.database),
      introspection: createIntrospection({
        clock,
        metrics,
        node: {
          introspectV1: (tenant, token) => nodes.get(tenant.id)!.introspectV1(token),
          introspectV2: (tenant, token) => nodes.get(tenant.id)!.introspectV2(token),
          isHealthy: (tenant) => nodes.get(tenant.id)!.isHealthy(),
        },
      }),
    }),
    decisions: createDecisionPoint({
      registry,
      settings: workflow,
      deadlineMs: decisionDeadlineMs,
      sources: {
        matching: (question) => ledger.matching(question),
        byCredential: (tenant, id, now) => ledger.byCredential(tenant, id, now),
        read: async (tenant, type, id) => (await upstreams.get(tenant.id)!.store.read(type, id))?.resource,
        record: async (tenant, useCase, kind, id) => (await getRecord(store.database, { tenant, useCase, kind }, id))?.state,
      },
    }),
    upstream: (tenant) => upstreams.get(tenant.id)!,
    sealer: createSealer([]),
    audit,
    admission: createAdmission(),
    clock,
    logger,
    metrics,
    maxMessageBytes: 65_536,
    maxResourceBytes: 262_144,
    maxBundleBytes: 1_048_576,
    maxReviewBytes: 1_048_576,
    reviewDeadlineMs,
    judgeDeadlineMs: LONG_MS,
  };
  const gate = createGate(options);
  const explain = createExplain(options);
  const listener = await openPublicListener({ host: '127.0.0.1', port: 0, gate, trustedProxies: [], logger, metrics });
  closers.unshift(() => listener.drain(200));
  const port = Number(new URL(listener.url).port);

  const allAudited = async (): Promise<readonly StoredRecord[]> => {
    const records: StoredRecord[] = [];
    for (const file of (await readdir(journalFolder)).sort()) {
      for (const line of (await readFile(join(journalFolder, file), 'utf8')).split('\n')) {
        if (line.startsWith('{"seq"')) records.push(storedRecord.parse(JSON.parse(line)));
      }
    }
    return records;
  };

  let count = 0;
  return Object.assign(state, {
    url: listener.url,
    port,
    clock,
    tokens,
    arrived,
    policy,
    token: (options: TokenOptions = {}) => {
      count += 1;
      const nowSeconds = Math.floor(clock.now().getTime() / 1000);
      if (options.generation === 'v2') {
        const opaque = `opaque-${String(count)}`;
        tokens.set(opaque, {
          active: true,
          iss: authorizationServerOf(options.tenant ?? 'a'),
          client_id: 'https://anybody.example/oauth2/x',
          scope: NOTES,
          iat: nowSeconds,
          exp: nowSeconds + 900,
          ...(options.jkt === undefined ? {} : { cnf: { jkt: options.jkt } }),
          organization_did: REQUESTER,
          ...options.facts,
        });
        return opaque;
      }
      const token = `eyJ.${String(count)}.sig`;
      tokens.set(token, {
        active: true,
        iss: didOf(options.tenant ?? 'a'),
        sub: REQUESTER,
        aud: '',
        service: NOTES,
        iat: nowSeconds,
        exp: nowSeconds + 60,
        ...options.facts,
      });
      return token;
    },
    grant: async (path: string, operations: readonly string[], tenant = 'a') => {
      count += 1;
      const id = `grant-${String(count)}`;
      const resources = [{ path, operations, userContext: false }];
      await store.database.transaction(async (tx) => {
        const open = {
          id,
          tenant,
          useCase: 'notes',
          requester: REQUESTER,
          purpose: NOTES,
          kind: 'note',
          recordId: id,
          resources,
        };
        await ledger.open(tx, open, clock.now());
        await ledger.makeLive(tx, tenant, id, clock.now());
      });
      return id;
    },
    endGrant: (id: string) =>
      store.database.transaction(async (tx) => {
        await ledger.end(tx, { tenant: 'a', id }, 'test', clock.now());
      }),
    allAudited,
    alarms: async (kind: AlarmKind) => {
      const { values } = await metrics.alarms.get();
      return values.find(({ labels }) => labels.tenant === 'a' && labels.kind === kind)?.value ?? 0;
    },
    audited: async (correlationId: string) => (await allAudited()).filter((record) => record.correlationId === correlationId),
    raw: (bytes: string | readonly string[], answers = Infinity) =>
      sendRaw(port, typeof bytes === 'string' ? [bytes] : bytes, answers),
    get: async (path: string, headers: Readonly<Record<string, string>> = {}, method = 'GET', body = '') => {
      const all = {
        Host: 'pep.example',
        ...(body === '' ? {} : { 'Content-Length': String(Buffer.byteLength(body)) }),
        ...headers,
      };
      const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
      const { answers } = await sendRaw(
        port,
        [`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`],
        1,
        method === 'HEAD',
      );
      const [answer] = answers;
      if (answer === undefined) throw new Error(`no answer to ${method} ${path}`);
      return answer;
    },
    explain: (request: ExplainRequest, correlationId = 'explained') => explain(directory.get('a')!, request, correlationId),
    close: async () => {
      for (const close of closers) await close();
    },
  });
}

function tenantOf(
  id: string,
  node: string,
  fhir: string,
  concurrentRequests: number,
  generations: Tenant['node']['generations'],
  useCase: UseCase | undefined,
  document: Tenant['fhir']['document'],
  xml: Tenant['fhir']['xml'],
): Tenant {
  return {
    id,
    name: id,
    identity: {
      did: generations.includes('v1') ? didOf(id) : '',
      ...(generations.includes('v2') ? { subject: id, authorizationServerUrl: authorizationServerOf(id) } : {}),
    },
    publicUrl: `https://gate.example/${id}`,
    node: { url: node, generations, introspectionTimeoutMs: LONG_MS, introspectionCacheMs: 5_000 },
    fhir: {
      url: `${fhir}/fhir`,
      version: useCase === undefined ? 'STU3' : 'R4',
      login: { kind: 'basic', username: 'sluis', password: new Secret('upstream-password') },
      tls: {},
      timeoutMs: LONG_MS,
      document,
      xml,
    },
    outbound: {},
    grants: 'ledger',
    useCases: new Map([[useCase?.id ?? 'notes', {}]]),
    limits: { concurrentRequests, maxAnswerBytes: 10_000_000, bundleEntries: 20 },
  };
}

/** Sends pieces one after the other and reads answers until the socket closes or there are enough. */
async function sendRaw(port: number, pieces: readonly string[], wanted: number, head = false) {
  const socket = connect(port, '127.0.0.1');
  socket.setNoDelay(true);
  let bytes = Buffer.alloc(0);
  let closed = false;
  return new Promise<{ answers: readonly RawAnswer[]; closed: boolean }>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ answers: parseAnswers(bytes, head), closed });
    };
    const timer = setTimeout(done, LONG_MS);
    socket.on('data', (chunk) => {
      bytes = Buffer.concat([bytes, chunk]);
      if (parseAnswers(bytes, head).length >= wanted) done();
    });
    socket.on('close', () => {
      closed = true;
      done();
    });
    socket.on('error', () => undefined);
    void (async () => {
      for (const piece of pieces) {
        socket.write(Buffer.from(piece, 'latin1'));
        await new Promise((next) => setTimeout(next, 15));
      }
    })();
  });
}

/** Whole answers only. */
function parseAnswers(bytes: Buffer, head: boolean): readonly RawAnswer[] {
  const answers: RawAnswer[] = [];
  let rest = bytes.toString('latin1');
  for (;;) {
    const end = rest.indexOf('\r\n\r\n');
    if (end === -1) return answers;
    const [first = '', ...lines] = rest.slice(0, end).split('\r\n');
    const status = Number(first.split(' ')[1]);
    const headers = new Map(
      lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 2)]),
    );
    rest = rest.slice(end + 4);
    if (status === 100) continue;
    let body = '';
    if (headers.get('transfer-encoding') === 'chunked') {
      const last = rest.indexOf('0\r\n\r\n');
      if (last === -1) return answers;
      for (let at = 0; at < last;) {
        const line = rest.indexOf('\r\n', at);
        const size = Number.parseInt(rest.slice(at, line), 16);
        if (size === 0) break;
        body += rest.slice(line + 2, line + 2 + size);
        at = line + 2 + size + 2;
      }
      rest = rest.slice(last + 5);
    } else if (!head && status !== 304) {
      const length = Number(headers.get('content-length') ?? 0);
      if (rest.length < length) return answers;
      body = rest.slice(0, length);
      rest = rest.slice(length);
    }
    answers.push({ status, headers, body });
  }
}

async function listen(handler: (request: IncomingMessage, response: ServerResponse) => Promise<void>): Promise<Server> {
  const server = createServer((request, response) => void handler(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

async function shut(server: Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
}

function urlOf(server: Server): string {
  const address = server.address();
  return typeof address === 'object' && address !== null ? `http://127.0.0.1:${String(address.port)}` : '';
}

async function read(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return text;
}

export { MESSAGES, NOTES };
