import type { Interaction } from '../../src/fhir/interaction.ts';
import { createDecisionPoint, type Verdict } from '../../src/pdp/decide.ts';
import type { Question } from '../../src/pdp/question.ts';
import type { InformationSources } from '../../src/pdp/information.ts';
import type { Tenant } from '../../src/tenant/tenant.ts';
import type { Grant } from '../../src/usecase/access.ts';
import { permit } from '../../src/usecase/decision.ts';
import { defineUseCase, type Role, type UseCase } from '../../src/usecase/definition.ts';
import { createRegistry } from '../../src/usecase/registry.ts';

export const CUSTODIAN = 'did:nuts:custodian';
export const REQUESTER = 'did:nuts:requester';
export const now = new Date('2026-03-01T09:00:00Z');

export const tenant: Tenant = {
  id: 'a',
  name: 'a',
  identity: { did: CUSTODIAN },
  publicUrl: 'https://gate.example/a',
  node: { url: 'http://127.0.0.1:1', generations: ['v1'], introspectionTimeoutMs: 1_000, introspectionCacheMs: 0 },
  fhir: {
    url: 'http://127.0.0.1:1/fhir',
    version: 'STU3',
    login: { kind: 'none' },
    tls: {},
    timeoutMs: 1_000,
    document: 'upstream',
    xml: 'none',
  },
  outbound: {},
  grants: 'ledger',
  useCases: new Map(),
  limits: { concurrentRequests: 1, maxAnswerBytes: 1, bundleEntries: 20 },
};

export const sender: Role = {
  id: 'sender',
  purpose: 'notes-sender',
  scopes: ['notes.read'],
  fhirVersion: 'STU3',
  rules: [
    { id: 'read', interaction: 'read', types: ['Task', 'Patient'], parameters: { _summary: { any: true, optional: true } } },
    { id: 'update', interaction: 'update', types: ['Task'] },
    { id: 'create', interaction: 'create', types: ['Task'] },
    { id: 'document', interaction: 'operation-instance', types: ['Composition'], operation: 'document' },
    { id: 'search', interaction: 'search-type', types: ['Patient'], parameters: { _id: { any: true, optional: true } } },
  ],
};

export const grant: Grant = {
  id: 'grant-1',
  requester: REQUESTER,
  purpose: 'notes-sender',
  state: 'live',
  kind: 'note',
  recordId: 'r',
  resources: [{ path: '/Task/1', operations: ['read', 'update'], userContext: false }],
};

export const readTask: Interaction = { kind: 'read', type: 'Task', id: '1', head: false, parameters: [] };

export interface Setting {
  readonly decide?: UseCase['decide'];
  readonly roles?: readonly Role[];
  readonly others?: readonly UseCase[];
  readonly grants?: readonly Grant[];
  readonly sources?: Partial<InformationSources>;
  readonly serves?: boolean;
  readonly deadlineMs?: number;
}

/** A use case that permits everything that reaches it, unless told otherwise. */
export function notes(decide: UseCase['decide'] = () => permit('ok'), roles: readonly Role[] = [sender], id = 'notes'): UseCase {
  return defineUseCase({
    id,
    title: id,
    roles,
    parseConfig: (settings) => settings,
    decide,
    writes: [
      {
        name: 'status',
        judge: () => Promise.resolve({ outcome: 'unchanged' }),
        settle: () => Promise.resolve(),
      },
    ],
    reviews: [{ name: 'look', review: () => ({ outcome: 'pass' }) }],
  });
}

/** Asks a decision point about one question. */
export function ask(setting: Setting = {}, change: Partial<Question> = {}): Promise<Verdict> {
  const point = createDecisionPoint({
    registry: createRegistry([notes(setting.decide, setting.roles), ...(setting.others ?? [])]),
    settings: { serves: () => setting.serves ?? true, configOf: () => ({ setting: 1 }) },
    deadlineMs: setting.deadlineMs ?? 60_000,
    sources: {
      matching: ({ path }) =>
        Promise.resolve((setting.grants ?? []).filter(({ resources }) => resources.some((each) => each.path === path))),
      byCredential: () => Promise.resolve(undefined),
      read: () => Promise.resolve(undefined),
      record: () => Promise.resolve(undefined),
      ...setting.sources,
    },
  });
  return point.decide({
    tenant,
    subject: { organization: { id: REQUESTER }, scopes: ['notes-sender'], claims: new Map(), credentials: [] },
    purposes: ['notes-sender'],
    interaction: readTask,
    now,
    onLookUp: () => Promise.resolve(),
    ...change,
  });
}
