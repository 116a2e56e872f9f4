import { describe, expect, it } from '@jest/globals';
import { GatewayError } from '../../src/errors.ts';
import type { Interaction } from '../../src/fhir/interaction.ts';
import { parseInteraction } from '../../src/fhir/parse-interaction.ts';
import { createDecisionPoint, type Verdict } from '../../src/pdp/decide.ts';
import type { Tenant } from '../../src/tenant/tenant.ts';
import { createRegistry } from '../../src/usecase/registry.ts';
import {
  defineUseCase,
  deny,
  permit,
  type Decision,
  type Grant,
  type PolicyInformation,
  type Role,
  type Subject,
} from '../../src/usecase/index.ts';
import { CUSTODIAN, now as NOW, REQUESTER, tenant } from './support.ts';

const role: Role = {
  id: 'sender',
  purpose: 'notes',
  scopes: [],
  fhirVersion: 'STU3',
  rules: [
    { id: 'read', interaction: 'read', types: ['Task', 'Patient'], parameters: { _summary: { any: true, optional: true } } },
    { id: 'document', interaction: 'operation-instance', types: ['Composition'], operation: 'document' },
    { id: 'update', interaction: 'update', types: ['Task'] },
    { id: 'search', interaction: 'search-type', types: ['Patient'], parameters: { _id: { any: true, optional: true } } },
  ],
};

const live: Grant = {
  id: 'g1',
  requester: REQUESTER,
  purpose: 'notes',
  state: 'live',
  kind: 'k',
  recordId: 'r',
  resources: [{ path: '/Task/1', operations: ['read'], userContext: false }],
};

interface World {
  readonly decide?: (information: PolicyInformation) => Decision | Promise<Decision>;
  readonly grants?: readonly Grant[];
  readonly requester?: string;
  readonly purposes?: readonly string[];
  readonly serves?: boolean;
  readonly tenant?: Partial<Tenant>;
  readonly role?: Partial<Role>;
  readonly interaction?: Interaction;
  readonly deadlineMs?: number;
  readonly read?: () => Promise<undefined>;
  readonly onLookUp?: () => Promise<void>;
}

function interaction(method: string, ...segments: string[]): Interaction {
  return parseInteraction({ method, segments, query: [], version: 'STU3' });
}

async function ask(
  world: World = {},
): Promise<{ readonly verdict: Verdict; readonly questions: number; readonly wasAsked: boolean }> {
  let questions = 0;
  let wasAsked = false;
  const useCase = defineUseCase({
    id: 'notes',
    title: 'Notes',
    roles: [{ ...role, ...world.role }],
    parseConfig: () => undefined,
    decide: (_request, _config, information) => {
      wasAsked = true;
      return world.decide?.(information) ?? permit('granted', { grantId: 'g1' });
    },
  });
  const point = createDecisionPoint({
    registry: createRegistry([useCase]),
    settings: { serves: () => world.serves ?? true, configOf: () => undefined },
    deadlineMs: world.deadlineMs ?? 60_000,
    sources: {
      matching: () => {
        questions += 1;
        return Promise.resolve(world.grants ?? [live]);
      },
      byCredential: () => Promise.resolve(undefined),
      read: world.read ?? (() => Promise.resolve(undefined)),
      record: () => Promise.resolve(undefined),
    },
  });
  const subject: Subject = { organization: { id: world.requester ?? REQUESTER }, scopes: [], claims: new Map(), credentials: [] };
  const verdict = await point.decide({
    tenant: { ...tenant, ...world.tenant },
    subject,
    purposes: world.purposes ?? ['notes'],
    interaction: world.interaction ?? interaction('GET', 'Task', '1'),
    now: NOW,
    onLookUp: world.onLookUp ?? (() => Promise.resolve()),
  });
  return { verdict, questions, wasAsked };
}

describe('a decision', () => {
  it('permits what the use case permits by a grant that is live for this requester, purpose, path and operation', async () => {
    expect((await ask()).verdict).toMatchObject({ effect: 'permit', permit: { grantId: 'g1' } });
  });

  it.each([
    ['has ended', { state: 'ended' }],
    ['is not live yet', { state: 'pending' }],
    ['is another', { id: 'g2' }],
    ['is of another requester', { requester: 'did:nuts:other' }],
    ['is for another purpose', { purpose: 'other' }],
    ['has expired', { expiresAt: NOW }],
    ['names another operation', { resources: [{ path: '/Task/1', operations: ['update'], userContext: false }] }],
    ['names another path', { resources: [{ path: '/Task/12', operations: ['read'], userContext: false }] }],
  ] as [string, Partial<Grant>][])('denies, whatever the use case made of it, when the grant %s', async (_what, difference) => {
    const { verdict } = await ask({ grants: [{ ...live, ...difference }] });
    expect(verdict).toMatchObject({ effect: 'deny', reason: { code: 'grant_not_live' } });
  });

  it('needs no grant for a rule with fixed conditions, nor in a tenant where credentials alone count', async () => {
    expect((await ask({ decide: () => permit('fixed'), grants: [] })).verdict.effect).toBe('permit');
    expect((await ask({ grants: [], tenant: { grants: 'credential' } })).verdict.effect).toBe('permit');
    expect((await ask({ grants: [] })).verdict.effect).toBe('deny');
  });

  it('reads the ledger once, for the use case and for itself', async () => {
    const { questions } = await ask({
      decide: async (information) => {
        await information.grants('/Task/1');
        return permit('granted', { grantId: 'g1' });
      },
    });
    expect(questions).toBe(1);
  });

  it.each([
    ['no_requester', { requester: '' }],
    ['self_request', { requester: CUSTODIAN }],
    ['purpose_unknown', { purposes: ['other'] }],
    ['purpose_unknown', { purposes: [] }],
    ['use_case_not_enabled', { serves: false }],
    ['other_fhir_version', { role: { fhirVersion: 'R4' } }],
    ['no_rule', { interaction: interaction('GET', 'Observation', '1') }],
    ['no_rule', { interaction: interaction('GET', 'Task', '1', '_history') }],
    ['no_rule', { interaction: interaction('DELETE', 'Task', '1') }],
    ['no_rule', { interaction: interaction('GET', 'metadata') }],
  ] as [string, World][])('is a denial before the use case is asked: %s', async (code, world) => {
    const { verdict, wasAsked } = await ask(world);
    expect(verdict).toMatchObject({ effect: 'deny', reason: { code } });
    expect(wasAsked).toBe(false);
  });

  it('leaves the custodian’s own requests to a use case that says that it judges them', async () => {
    const world = { requester: CUSTODIAN, role: { judgesSelf: true } };
    expect((await ask({ ...world, decide: () => permit('own') })).verdict.effect).toBe('permit');
    expect((await ask({ ...world, decide: () => deny('own') })).verdict.effect).toBe('deny');
  });

  it('is a denial when a look-up fails or takes too long, and the reason says so', async () => {
    const failing = await ask({ decide: () => Promise.reject(new Error('look-up')) });
    expect(failing.verdict).toMatchObject({
      effect: 'deny',
      reason: { code: 'decision_failed' },
      cause: expect.any(Error) as unknown,
    });
    const slow = await ask({ deadlineMs: 50, decide: () => new Promise(() => undefined) });
    expect(slow.verdict).toMatchObject({ effect: 'deny', reason: { code: 'decision_timed_out' } });
  });

  it('is none when the FHIR server that a look-up needs is away, or has not answered in time: nobody has judged', async () => {
    const decide = async (information: PolicyInformation) => {
      await information.read('Task', '1');
      return permit('fixed');
    };
    const outage = new GatewayError('upstream_failed', 'away', { outage: true });
    await expect(ask({ decide, read: () => Promise.reject(outage) })).rejects.toBe(outage);
    const forever = () => new Promise<undefined>(() => undefined);
    await expect(ask({ decide, read: forever, deadlineMs: 50 })).rejects.toMatchObject({ code: 'upstream_timeout' });
    // Of another failure, and of a use case that takes long by itself, it is the denial.
    const other = await ask({ decide, read: () => Promise.reject(new GatewayError('upstream_failed', 'unreadable')) });
    expect(other.verdict).toMatchObject({ effect: 'deny', reason: { code: 'decision_failed' } });
  });

  it('looks nothing up once its time is over', async () => {
    const over = Promise.withResolvers<undefined>();
    const late = Promise.withResolvers<unknown>();
    const { verdict } = await ask({
      deadlineMs: 50,
      decide: async (information) => {
        await over.promise;
        late.resolve(await information.read('Task', '1').catch((error: unknown) => error));
        return deny('late');
      },
    });
    expect(verdict).toMatchObject({ effect: 'deny', reason: { code: 'decision_timed_out' } });
    over.resolve(undefined);
    expect(await late.promise).toMatchObject({ message: 'the time for the decision is over' });
  });

  it('reads nothing of which the record was durable only after its time', async () => {
    const recorded = Promise.withResolvers<undefined>();
    const late = Promise.withResolvers<unknown>();
    let reads = 0;
    const { verdict } = await ask({
      deadlineMs: 50,
      onLookUp: () => recorded.promise,
      read: () => {
        reads += 1;
        return Promise.resolve(undefined);
      },
      decide: async (information) => {
        late.resolve(await information.read('Task', '1').catch((error: unknown) => error));
        return deny('late');
      },
    });
    expect(verdict).toMatchObject({ effect: 'deny', reason: { code: 'decision_timed_out' } });
    recorded.resolve(undefined);
    expect(await late.promise).toMatchObject({ message: 'the time for the decision is over' });
    expect(reads).toBe(0);
  });

  it('refuses a write that no guard looks at', async () => {
    const { verdict } = await ask({ decide: () => permit('fixed'), interaction: interaction('PUT', 'Task', '1') });
    expect(verdict).toMatchObject({ effect: 'deny', reason: { code: 'write_without_guard' } });
  });
});
