import { describe, expect, it } from '@jest/globals';
import type { Interaction } from '../../src/fhir/interaction.ts';
import type { Question } from '../../src/pdp/question.ts';
import type { AccessRequest } from '../../src/usecase/access.ts';
import { deny, permit } from '../../src/usecase/decision.ts';
import type { UseCase } from '../../src/usecase/definition.ts';
import { ask, CUSTODIAN, grant, notes, now, REQUESTER, sender, tenant, type Setting } from './support.ts';

const subject: Question['subject'] = { organization: { id: REQUESTER }, scopes: [], claims: new Map(), credentials: [] };
const update: Interaction = { kind: 'update', type: 'Task', id: '1' };

async function reasonOf(setting: Setting, change: Partial<Question> = {}): Promise<string> {
  const verdict = await ask(setting, change);
  return verdict.effect === 'permit' ? 'permit' : verdict.reason.code;
}
/** A use case is JavaScript at run time: what it returns may be anything. */
const returning = (value: unknown): UseCase['decide'] => (() => value) as UseCase['decide'];

describe('the role', () => {
  it('is the one that the purpose, or a scope, selects', async () => {
    for (const purposes of [['notes-sender'], ['notes.read'], ['unknown', 'notes-sender']]) {
      expect(await ask({}, { purposes })).toMatchObject({ effect: 'permit', selected: { role: { id: 'sender' } } });
    }
  });

  it.each([
    ['nothing', []],
    ['something unknown (check 6)', ['zorginzage']],
    ['another letter case', ['Notes-Sender']],
    ['both at once as one text', ['notes-sender notes.read']],
    ['two roles', ['notes-sender', 'other']],
  ])('is none for a token for %s', async (_what, purposes) => {
    const other = notes(undefined, [{ ...sender, id: 'other', purpose: 'other', scopes: [] }], 'others');
    expect(await reasonOf({ others: [other] }, { purposes })).toBe('purpose_unknown');
  });

  it('is for one FHIR version, and for a tenant that serves it', async () => {
    const r4 = { ...tenant, fhir: { ...tenant.fhir, version: 'R4' as const } };
    expect(await reasonOf({}, { tenant: r4 })).toBe('other_fhir_version');
    expect(await reasonOf({ serves: false })).toBe('use_case_not_enabled');
  });

  it('is not asked about the custodian itself, or nobody (check 72, T34)', async () => {
    for (const [id, code] of [
      ['', 'no_requester'],
      [CUSTODIAN, 'self_request'],
    ] as const) {
      expect(await reasonOf({}, { subject: { ...subject, organization: { id } } })).toBe(code);
    }
  });
});

describe('a tenant of generation v2 alone', () => {
  const web = {
    ...tenant,
    identity: {
      did: '',
      subject: 'a',
      authorizationServerUrl: 'https://node.example/oauth2/a',
      organizationIds: ['did:web:a.example', '87654321'],
    },
  };
  const asked = (claims: Readonly<Record<string, string>>, of: Question['tenant'] = web, role = sender) =>
    reasonOf({ roles: [role] }, { tenant: of, claims: new Map(Object.entries(claims)) });

  it.each<[string, Readonly<Record<string, string>>]>([
    ['its DID', { organization_did: 'did:web:a.example' }],
    ['its URA', { organization_ura: '87654321' }],
    ['its URA, beside a DID that it has not named', { organization_did: 'did:web:other.example', organization_ura: '87654321' }],
    ['an id of its own', { organization_id: '87654321' }],
  ])('is not asked by itself, whatever a token calls it: %s', async (_what, claims) => {
    expect(await asked(claims)).toBe('self_request');
    expect(await asked(claims, web, { ...sender, judgesSelf: true })).toBe('permit');
  });

  it('is asked by another, and by anybody where it names nothing as its own', async () => {
    expect(await asked({ organization_did: 'did:web:b.example' })).toBe('permit');
    expect(await asked({ organization_did: 'did:web:A.example' })).toBe('permit');
    expect(await asked({ organization_ura: '87654322' })).toBe('permit');
    const { subject: id, authorizationServerUrl } = web.identity;
    const nameless = { ...web, identity: { did: '', subject: id, authorizationServerUrl } };
    expect(await asked({ organization_did: 'did:web:a.example' }, nameless)).toBe('permit');
    expect(await asked({}, nameless)).toBe('no_requester');
  });
});

describe('what a use case returns', () => {
  it.each<[string, unknown]>([
    ['nothing', undefined],
    ['null', null],
    ['true', true],
    ['a text', 'permit'],
    ['another effect', { effect: 'allow', reason: { code: 'x' }, obligations: [] }],
    ['no reason', { effect: 'permit', obligations: [] }],
    ['a reason without code', { effect: 'permit', reason: {}, obligations: [] }],
    ['no obligations', { effect: 'permit', reason: { code: 'x' } }],
    ['obligations that are no list', { effect: 'permit', reason: { code: 'x' }, obligations: 'all' }],
    ['a list of a permit', [permit('x')]],
    ['a promise of nothing', Promise.resolve()],
  ])('is a denial when it is no decision: %s (E1)', async (_what, value) => {
    expect(await reasonOf({ decide: returning(value) })).toBe('decision_malformed');
  });

  it.each<[string, readonly unknown[], string]>([
    ['unknown', [{ kind: 'mask' }], 'obligation_unknown'],
    ['without a kind', [{}], 'obligation_unknown'],
    ['null', [null], 'decision_failed'],
    ['a review that it does not have', [{ kind: 'review', review: 'other' }], 'obligation_unknown'],
    ['a guard that it does not have', [{ kind: 'guard-write', guard: 'other' }], 'obligation_unknown'],
    ['an element without its type', [{ kind: 'redact', elements: ['name'] }], 'obligation_unfit'],
    ['elements that are no list', [{ kind: 'redact', elements: 'Patient.name' }], 'obligation_unfit'],
    ['a guard on a read', [{ kind: 'guard-write', guard: 'status' }], 'obligation_unfit'],
  ])('with a condition that cannot be kept is a denial: %s', async (_what, obligations, code) => {
    expect(await reasonOf({ decide: returning({ effect: 'permit', reason: { code: 'x' }, obligations }) })).toBe(code);
  });

  it('lets a write pass only as an update under exactly one guard', async () => {
    const guard = { kind: 'guard-write', guard: 'status' } as const;
    const guards = (...obligations: (typeof guard)[]): Setting => ({ decide: () => permit('x', { obligations }) });
    expect(await reasonOf(guards(guard), { interaction: update })).toBe('permit');
    expect(await reasonOf(guards(), { interaction: update })).toBe('write_without_guard');
    expect(await reasonOf(guards(guard, guard), { interaction: update })).toBe('obligations_conflict');
  });

  it('cannot reach what is forwarded: the request is frozen in depth (E9)', async () => {
    const changes: ((request: AccessRequest) => void)[] = [
      (request) => Object.assign(request, { subject: {} }),
      (request) => Object.assign(request.resource, { path: '/Task/2' }),
      (request) => Object.assign(request.action, { id: '2' }),
      (request) => Object.assign(request.context, { tenantId: 'b' }),
      (request) => Object.assign('parameters' in request.action ? request.action.parameters : [], { 0: {} }),
    ];
    for (const change of changes) {
      const decide: UseCase['decide'] = (request) => {
        change(request);
        return permit('x');
      };
      expect(await reasonOf({ decide })).toBe('decision_failed');
    }
    const at = new Date(now);
    const moving: UseCase['decide'] = (request) => {
      request.context.now.setFullYear(1999);
      return permit('x');
    };
    await ask({ decide: moving }, { now: at });
    expect(at).toEqual(now);
  });
});

describe('a denial', () => {
  const decide: UseCase['decide'] = () => deny('user_missing', undefined, 'user_context_required');

  it('says more than that only where the caller’s own live grant names the path', async () => {
    expect(await ask({ decide, grants: [grant] })).toMatchObject({ shown: 'user_context_required' });
    for (const grants of [[], [{ ...grant, state: 'ended' as const }], [{ ...grant, requester: 'did:nuts:other' }]])
      expect(await ask({ decide, grants })).not.toHaveProperty('shown');
  });

  it('comes of a look-up that cannot be recorded: nothing is read then', async () => {
    let wasRead = false;
    const looking: UseCase['decide'] = async (_request, _config, information) => {
      await information.read('Task', '1');
      return permit('x');
    };
    const sources = {
      read: () => {
        wasRead = true;
        return Promise.resolve(undefined);
      },
    };
    expect(await reasonOf({ decide: looking, sources }, { onLookUp: () => Promise.reject(new Error('disk')) })).toBe(
      'decision_failed',
    );
    expect(wasRead).toBe(false);
    expect(await reasonOf({ decide: looking, sources })).toBe('permit');
    expect(wasRead).toBe(true);
  });
});
