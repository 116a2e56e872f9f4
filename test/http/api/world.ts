import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { z } from 'zod';
import type { AuditEntry } from '../../../src/audit/entry.ts';
import type { AuditIndex, AuditQuery } from '../../../src/audit/query.ts';
import { createClock, type MovableClock } from '../../../src/clock.ts';
import { GatewayError } from '../../../src/errors.ts';
import { createApiDescription } from '../../../src/http/api/description.ts';
import type { ApiNode, InternalDependencies, Probes } from '../../../src/http/api/dependencies.ts';
import { createInternalApp } from '../../../src/http/internal.ts';
import { createLogger } from '../../../src/log.ts';
import { createMetrics, type Metrics } from '../../../src/metrics.ts';
import type { SigningStatus } from '../../../src/nuts/signing.ts';
import { createApiKey } from '../../../src/store/api-keys.ts';
import { getRecord, insertRecord } from '../../../src/store/records.ts';
import { createTenantDirectory, type Tenant } from '../../../src/tenant/tenant.ts';
import { defineUseCase, type UseCase } from '../../../src/usecase/definition.ts';
import type { Services, Unit } from '../../../src/usecase/workflow.ts';
import { openTestDatabase, type TestDatabase } from '../../support/database.ts';
import { parse } from 'yaml';

/** An internal listener on a real port, over a real database, with a use case that counts. */
export interface ApiWorld {
  readonly url: string;
  readonly app: ReturnType<typeof createInternalApp>;
  readonly test: TestDatabase;
  readonly clock: MovableClock;
  readonly metrics: Metrics;
  readonly audited: AuditEntry[];
  readonly queries: AuditQuery[];
  /** Secrets by name: `ehr-a`, `operator-a`, `ehr-b`, `host`. */
  readonly keys: Readonly<Record<string, string>>;
  /** What the node says next about a signing session. */
  readonly node: { signing: SigningStatus; polls: number; down: boolean };
  /** How often the counting command ran its body, committed or not. */
  readonly runs: { count: number; crashAfterCommit: boolean; delayMs: number };
  readonly probes: { store: boolean; audit: boolean; node: boolean; fhirHangs: boolean; asked: number };
  state: { draining: boolean };
  close(): Promise<void>;
}

const NOTES = z.object({ text: z.string() });

/** The operations of the use case, as its own description would say them. */
const COUNTER_DESCRIPTION = {
  openapi: '3.1.0',
  paths: {
    '/tenants/{tenant}/counter/notes': {
      parameters: [{ $ref: '#/components/parameters/Tenant' }],
      post: {
        operationId: 'addNote',
        parameters: [{ $ref: '#/components/parameters/IdempotencyKey' }, { $ref: '#/components/parameters/UserSession' }],
        requestBody: {
          required: true,
          content: {
            'application/json': {
              schema: {
                type: 'object',
                required: ['text'],
                additionalProperties: false,
                properties: {
                  text: { type: 'string', enum: ['one', 'two'] },
                  tags: { type: 'array', items: { type: 'string', maxLength: 3 } },
                },
              },
            },
          },
        },
        responses: {
          '201': {
            description: 'made',
            content: {
              'application/json': {
                schema: {
                  type: 'object',
                  required: ['id'],
                  additionalProperties: false,
                  properties: {
                    id: { type: 'string' },
                    text: { type: 'string' },
                    user: { type: 'string' },
                    settled: { type: 'boolean' },
                  },
                },
              },
            },
          },
          default: { $ref: '#/components/responses/Problem' },
        },
      },
    },
    '/tenants/{tenant}/counter/notes/{note}': {
      parameters: [
        { $ref: '#/components/parameters/Tenant' },
        { name: 'note', in: 'path', required: true, schema: { type: 'string', maxLength: 100 } },
      ],
      get: {
        operationId: 'getNote',
        responses: {
          '200': { description: 'it', content: { 'application/pdf': { schema: { type: 'string', format: 'binary' } } } },
          default: { $ref: '#/components/responses/Problem' },
        },
      },
    },
  },
};

function createCounter(runs: ApiWorld['runs']): UseCase {
  return defineUseCase<{ readonly settled: boolean }>({
    id: 'counter',
    title: 'Counter',
    roles: [],
    parseConfig: () => ({ settled: true }),
    decide: () => ({ effect: 'deny', reason: { code: 'no_rule' } }),
    api: [
      {
        operationId: 'addNote',
        method: 'POST',
        path: 'counter/notes',
        role: 'ehr',
        handle: async (call, config) => {
          const { text } = NOTES.parse(call.body);
          if (runs.delayMs > 0) await new Promise((done) => setTimeout(done, runs.delayMs));
          const committed = await call.command(async (unit) => {
            runs.count += 1;
            const id = `note-${runs.count}`;
            await unit.records('note').insert(id, { text }, []);
            return { status: 201, body: { id, text } };
          });
          if (runs.crashAfterCommit) throw new GatewayError('unavailable', 'the process died here, as far as the caller can see');
          const user = call.userSession?.user?.id;
          return {
            ...committed,
            headers: { etag: '"1"' },
            body: {
              ...z.record(z.string(), z.string()).parse(committed.body),
              ...(user === undefined ? {} : { user }),
              settled: config.settled,
            },
          };
        },
      },
      {
        operationId: 'getNote',
        method: 'GET',
        path: 'counter/notes/:note',
        role: 'ehr',
        handle: async (call, _config, services) => {
          const id = call.params['note'] ?? '';
          if ((await services.records('note').get(id)) === undefined) {
            throw new GatewayError('not_found', 'SECRET words for the operator', { reason: 'note_unknown' });
          }
          return { status: 200, content: { type: 'application/pdf', bytes: new Uint8Array([37, 80, 68, 70]) } };
        },
      },
    ],
  });
}

const tenant = (id: string, useCases: readonly string[]): Tenant => ({
  id,
  name: `Organisation ${id}`,
  identity: { did: `did:nuts:${id}` },
  publicUrl: `https://gate.example/${id}`,
  node: { url: 'http://node.invalid', generations: ['v1'], introspectionTimeoutMs: 1_000, introspectionCacheMs: 0 },
  fhir: {
    url: 'http://fhir.invalid',
    version: 'STU3',
    login: { kind: 'none' },
    tls: {},
    timeoutMs: 1_000,
    document: 'upstream',
    xml: 'none',
  },
  outbound: {},
  grants: 'ledger',
  useCases: new Map(useCases.map((name) => [name, {}])),
  limits: { concurrentRequests: 8, maxAnswerBytes: 1_000_000, bundleEntries: 20 },
});

const WEB = { did: '', subject: 'web', authorizationServerUrl: 'https://node.example/oauth2/web' };

/** A use case of the repository, over a world of its own; tenant `a` has it too. */
export interface OtherUseCase {
  readonly useCase: UseCase;
  readonly services: Services;
  transaction<T>(work: (unit: Unit) => Promise<T>): Promise<T>;
}

/** `a` has the use case, `b` has not. */
export async function startApi(mode: 'production' | 'development' = 'production', other?: OtherUseCase): Promise<ApiWorld> {
  const test = await openTestDatabase();
  const clock = createClock();
  const metrics = createMetrics(false);
  const audited: AuditEntry[] = [];
  const queries: AuditQuery[] = [];
  const node: ApiWorld['node'] = { signing: { status: 'pending' }, polls: 0, down: false };
  const runs = { count: 0, crashAfterCommit: false, delayMs: 0 };
  const probes = { store: true, audit: true, node: true, fhirHangs: false, asked: 0 };
  const state = { draining: false };
  const useCase = createCounter(runs);
  const description = createApiDescription([
    parse(await readFile(new URL('../../../openapi.yaml', import.meta.url), 'utf8')),
    COUNTER_DESCRIPTION,
  ]);

  const apiNode: ApiNode = {
    services: () => ({
      findOrganizations: (query, service) => {
        if (node.down) return Promise.reject(new GatewayError('node_unavailable', 'no answer', { retryAfterSeconds: 5 }));
        const all = [
          { id: 'did:nuts:west', name: 'Thuiszorg West', city: 'Leiden' },
          { id: 'did:nuts:broken', name: 'Zorghuis Kapot' },
        ];
        return Promise.resolve(service === 'care' ? all.filter(({ name }) => name.toLowerCase().includes(query)) : []);
      },
      resolveEndpoint: (party, _service, endpoint) => {
        if (party === 'did:nuts:broken')
          return Promise.reject(new GatewayError('upstream_failed', 'a reference that leads nowhere'));
        return Promise.resolve(endpoint === 'fhir' ? undefined : `https://west.example/${endpoint}`);
      },
    }),
    signing: {
      startSigning: ({ means }) =>
        Promise.resolve({
          id: 'node-session',
          means,
          pointer: {},
          ...(means === 'employeeid' ? { url: 'https://node.example/confirm' } : {}),
        }),
      pollSigning: async () => {
        node.polls += 1;
        const answer = node.signing;
        // Said once, as a real node does.
        if (answer.status === 'completed') node.signing = { status: 'gone' };
        await new Promise((done) => setTimeout(done, 20));
        return answer;
      },
    },
  };
  const look: Probes = {
    store: () => {
      probes.asked += 1;
      return Promise.resolve({ up: probes.store });
    },
    audit: () => (probes.audit ? Promise.resolve({ up: true }) : Promise.reject(new Error('disk'))),
    tenant: () =>
      Promise.resolve(undefined).then(async () => {
        if (probes.fhirHangs) await new Promise(() => undefined);
        return { node: probes.node ? { up: true } : { up: false, reason: 'not healthy' }, fhir: { up: true } };
      }),
  };
  const unit = (tenantId: string, tx: Parameters<Parameters<typeof test.database.transaction>[0]>[0]): Unit => ({
    now: clock.now(),
    records: (kind) => {
      const place = { tenant: tenantId, useCase: useCase.id, kind };
      return {
        get: (id) => getRecord(tx, place, id),
        find: () => Promise.resolve({ items: [] }),
        insert: (id, value, keys) => insertRecord(tx, place, { id, state: value, keys, now: clock.now() }),
        update: () => Promise.reject(new Error('not here')),
      };
    },
    grants: {} as Unit['grants'],
    enqueue: () => Promise.resolve(),
  });
  const deps: InternalDependencies = {
    mode,
    description,
    tenants: createTenantDirectory([
      tenant('a', ['counter', ...(other === undefined ? [] : [other.useCase.id])]),
      tenant('b', []),
      // Of generation v2 alone: one that says what tokens call it, and one that does not.
      { ...tenant('web', []), identity: { ...WEB, organizationIds: ['did:web:web.example', '87654321'] } },
      { ...tenant('nameless', []), identity: WEB },
    ]),
    useCases: other === undefined ? [useCase] : [useCase, other.useCase],
    workflow: {
      serves: (of, which) => of.useCases.has(which.id),
      configOf: (_of, which) => which.parseConfig({}),
      services: (of, which) =>
        which.id === other?.useCase.id
          ? other.services
          : ({
              records: (kind: string) => ({
                get: (id: string) => getRecord(test.database, { tenant: of.id, useCase: useCase.id, kind }, id),
              }),
            } as unknown as Services),
      transaction: (of, which, work) =>
        test.database.transaction((tx) =>
          which.id === other?.useCase.id ? other.transaction((opened) => work(opened, tx)) : work(unit(of.id, tx), tx),
        ),
    },
    database: test.database,
    node: () => apiNode,
    audit: {
      record: (entry) => {
        if (!probes.audit) return Promise.reject(new GatewayError('audit_unavailable', 'the disk is full'));
        audited.push(entry);
        return Promise.resolve();
      },
    },
    auditIndex: auditIndex(queries),
    explain: (of, { method, target }) =>
      Promise.resolve({
        outcome: 'refused',
        status: 404,
        headline: 'refused (404)',
        stages: [{ stage: 'address', outcome: 'stopped', code: 'not_found', text: `${of.id} ${method} ${target}` }],
      }),
    metrics,
    clock,
    logger: createLogger('silent'),
    validateResponses: true,
    probes: look,
    draining: () => state.draining,
  };
  const app = createInternalApp(deps);
  const server: Server = createServer(app);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  const key = async (role: 'ehr' | 'operator', of?: string): Promise<string> =>
    (
      await test.database.transaction((tx) =>
        createApiKey(tx, { role, ...(of === undefined ? {} : { tenant: of }) }, clock.now()),
      )
    ).secret;
  return {
    url: `http://127.0.0.1:${port}`,
    app,
    test,
    clock,
    metrics,
    audited,
    queries,
    keys: {
      'ehr-a': await key('ehr', 'a'),
      'operator-a': await key('operator', 'a'),
      'ehr-b': await key('ehr', 'b'),
      host: await key('operator'),
    },
    node,
    runs,
    probes,
    state,
    close: async () => {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
      await test.close();
    },
  };
}

function auditIndex(queries: AuditQuery[]): AuditIndex {
  return {
    query: (query) => {
      queries.push(query);
      return Promise.resolve({
        entries: [
          {
            id: 'g-0123456789:2',
            kind: 'access',
            tenant: 'a',
            at: '2026-11-24T10:00:00.000Z',
            correlationId: 'c',
            outcome: 'permitted',
            status: 200,
          },
        ],
        next: 'more',
      });
    },
  };
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly json: Record<string, unknown>;
}

/** One call of the API. */
export async function call(
  world: ApiWorld,
  method: string,
  path: string,
  options: { readonly key?: string; readonly body?: unknown; readonly headers?: Readonly<Record<string, string>> } = {},
): Promise<Answer> {
  const secret = options.key === undefined ? undefined : (world.keys[options.key] ?? options.key);
  const body =
    options.body === undefined ? undefined : typeof options.body === 'string' ? options.body : JSON.stringify(options.body);
  const response = await fetch(`${world.url}${path}`, {
    method,
    redirect: 'manual',
    headers: {
      ...(secret === undefined ? {} : { authorization: `Bearer ${secret}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...options.headers,
    },
    ...(body === undefined ? {} : { body }),
  });
  const text = await response.text();
  const isJson = /json/.test(response.headers.get('content-type') ?? '');
  return {
    status: response.status,
    headers: response.headers,
    text,
    json: isJson ? z.record(z.string(), z.unknown()).parse(JSON.parse(text)) : {},
  };
}
