import { describe, expect, it } from '@jest/globals';
import type { Decision, Grant, GrantedResource, Interaction } from 'sluis/usecase';
import { parseConfig } from './config.ts';
import { decide } from './policy.ts';
import {
  A1,
  credential,
  document,
  documentEntries,
  grantFor,
  ledger,
  N1,
  now,
  read,
  requestFor,
  T1,
  taskEntry,
  update,
  user,
  type RequestDifference,
} from './policy-support.ts';

const config = parseConfig({});
const taskCredential = credential('T', [taskEntry]);
const noticeEntries = documentEntries(A1, '/Patient/P0', '/Condition/C0');
const noticeCredential = credential('A', noticeEntries);
const grants = [grantFor('T', [taskEntry]), grantFor('A', noticeEntries, { kind: 'advance-notice' })];

function judge(
  action: Interaction,
  difference: RequestDifference = {},
  known: readonly Grant[] = grants,
  settings: Record<string, unknown> = {},
): Promise<Decision> {
  return Promise.resolve(
    decide(
      requestFor(action, { credentials: [taskCredential, noticeCredential], ...difference }),
      { ...config, ...settings },
      ledger(known),
    ),
  );
}

async function code(decision: Promise<Decision>): Promise<string> {
  const { effect, reason } = await decision;
  return `${effect} ${reason.code}${reason.public === undefined ? '' : ` ${reason.public}`}`;
}

function decides(
  credentialEntries: readonly GrantedResource[],
  action: Interaction,
  difference: RequestDifference = {},
  settings = {},
): Promise<string> {
  return code(
    judge(
      action,
      { credentials: [credential('X', credentialEntries)], ...difference },
      [grantFor('X', credentialEntries)],
      settings,
    ),
  );
}

describe('reading a Task', () => {
  it('needs a credential and no user (checks 11, 12, 13, 29)', async () => {
    expect(await judge(read(T1))).toMatchObject({
      effect: 'permit',
      grantId: 'grant-T',
      credentialIds: ['T'],
      patient: { reference: 'Patient/p1', proof: 'grant' },
      obligations: [
        { kind: 'review', review: 'task-privacy' },
        { kind: 'audit', attributes: { credential: 'T', transfer: 'transfer-1' } },
      ],
    });
    const withUser = await judge(read(T1), { user });
    expect(withUser).toMatchObject({ effect: 'permit', obligations: [{ kind: 'audit' }] });
    expect(await code(judge(read(T1), { credentials: [] }))).toBe('deny no_credential');
  });

  it('is permitted as HEAD and with _summary, denied with any other parameter (checks 28, 32)', async () => {
    expect(await code(judge(read(T1, { head: true })))).toBe('permit granted');
    expect(await code(judge(read(T1, { key: '_elements' })))).toBe('permit granted');
    expect(await code(judge(read(T1, { key: '_include' })))).toBe('deny interaction_not_offered');
  });

  it('matches the path whole and exactly (checks 14, 24)', async () => {
    expect(await code(judge(read('/Task/T12')))).toBe('deny no_credential');
    expect(await decides([{ ...taskEntry, path: '/Task/T12' }], read(T1))).toBe('deny no_credential');
    expect(await decides([{ ...taskEntry, path: '/Task/t1' }], read(T1))).toBe('deny no_credential');
  });

  it('denies another receiver, even with the credential of the first (checks 15, 16)', async () => {
    const others = [grantFor('T', [taskEntry], { requester: 'did:nuts:r1' })];
    expect(await code(judge(read(T1), { requester: 'did:nuts:r2' }, others))).toBe('deny no_live_grant');
  });

  it('denies a grant for another purpose (check 18)', async () => {
    expect(await code(judge(read(T1), {}, [grantFor('T', [taskEntry], { purpose: 'zorginzage' })]))).toBe('deny no_live_grant');
  });

  it('denies once the grant has run out, ended or is not live yet (checks 19, 20, 30)', async () => {
    const until = grantFor('T', [taskEntry], { expiresAt: new Date('2027-03-01T09:00:00Z') });
    expect(await code(judge(read(T1), { at: new Date('2027-03-01T08:59:59Z') }, [until]))).toBe('permit granted');
    expect(await code(judge(read(T1), { at: new Date('2027-03-01T09:00:00Z') }, [until]))).toBe('deny no_live_grant');
    expect(await code(judge(read(T1), {}, [grantFor('T', [taskEntry], { state: 'ended' })]))).toBe('deny grant_ended');
    expect(await code(judge(read(T1), {}, [grantFor('T', [taskEntry], { state: 'pending' })]))).toBe('deny no_live_grant');
    expect(await code(judge(read(T1), {}, []))).toBe('deny no_live_grant');
  });

  it('reads a path without a slash, and another letter case only where the tenant is lenient (checks 25, 26)', async () => {
    const exact = [grantFor('X', [taskEntry])];
    const decideFor = (path: string, settings = {}): Promise<string> =>
      code(judge(read(T1), { credentials: [credential('X', [{ ...taskEntry, path }])] }, exact, settings));
    expect(await decideFor('Task/T1')).toBe('permit granted');
    expect(await decideFor('/task/T1')).toBe('deny no_credential');
    expect(await decideFor('/task/T1', { lenientTypeCase: true })).toBe('permit granted');
    expect(await decideFor('/task/t1', { lenientTypeCase: true })).toBe('deny no_credential');
    expect(await decideFor('/task/T1/x', { lenientTypeCase: true })).toBe('deny no_credential');
  });

  it('takes operations in any letter case (check 50)', async () => {
    expect(await decides([{ ...taskEntry, operations: ['READ', 'Update'] }], read(T1))).toBe('permit granted');
    expect(await decides([{ ...taskEntry, operations: ['READ', 'Update'] }], update(T1))).toBe('permit granted');
  });
});

describe('what eOverdracht does not offer', () => {
  const everything: GrantedResource = {
    path: T1,
    operations: ['read', 'vread', 'update', 'patch', 'delete', 'history', 'create', 'search', 'document'],
    userContext: false,
  };

  it('is denied even when a credential and a grant list it (checks 22, 23, 46, 64)', async () => {
    const bare = { head: false, parameters: [] } as const;
    const actions: readonly Interaction[] = [
      { kind: 'vread', type: 'Task', id: 'T1', versionId: '1', ...bare },
      { kind: 'history-instance', type: 'Task', id: 'T1', ...bare },
      { kind: 'history-type', type: 'Task', ...bare },
      { kind: 'history-system', ...bare },
      { kind: 'patch', type: 'Task', id: 'T1' },
      { kind: 'delete', type: 'Task', id: 'T1' },
      { kind: 'create', type: 'Task' },
      { kind: 'search-type', type: 'Task', via: 'query', ...bare },
      { kind: 'search-type', type: 'Task', via: 'form', ...bare },
      { kind: 'search-system', via: 'query', ...bare },
      { kind: 'search-compartment', type: '*', compartment: { type: 'Patient', id: 'P1' }, via: 'query', ...bare },
      { kind: 'capabilities', ...bare },
      { kind: 'bundle' },
      { kind: 'operation-instance', type: 'Patient', id: 'P1', operation: '$everything', method: 'GET', ...bare },
      { kind: 'operation-type', type: 'Composition', operation: '$document', method: 'POST', ...bare },
      { kind: 'operation-system', operation: '$document', method: 'GET', ...bare },
      { kind: 'conditional-update', type: 'Task', criteria: [] },
      { kind: 'conditional-create', type: 'Task', criteria: [] },
      { kind: 'conditional-patch', type: 'Task', criteria: [] },
      { kind: 'conditional-delete', type: 'Task', criteria: [] },
    ];
    for (const action of actions) {
      for (const path of [T1, '/Task', '/Patient/P1', '/Composition', '/']) {
        expect(`${action.kind} ${await decides([{ ...everything, path }], action, { user })}`).toBe(
          `${action.kind} deny interaction_not_offered`,
        );
      }
    }
    expect(await decides([everything], read(T1), { user })).toBe('permit granted');
  });

  it('is an update of anything but a Task (check 48)', async () => {
    expect(await decides([{ path: N1, operations: ['update'], userContext: true }], update(N1), { user })).toBe(
      'deny interaction_not_offered',
    );
  });

  it('is anything at all for the role receiver (check 5)', async () => {
    expect(await code(judge(read(T1), { role: 'receiver' }))).toBe('deny role_has_no_fhir');
  });

  it('is a request by the custodian itself, unless the tenant allows it (check 72)', async () => {
    expect(await code(judge(read(T1), { requester: 'did:nuts:sender', mode: 'credential' }, []))).toBe(
      'deny requester_is_custodian',
    );
    expect(await code(judge(read(T1), { requester: 'did:nuts:sender', mode: 'credential' }, [], { allowSelf: true }))).toBe(
      'permit granted',
    );
  });
});

describe('updating a Task', () => {
  it('is put under guard, with or without a user (check 49)', async () => {
    expect(await judge(update(T1))).toMatchObject({
      effect: 'permit',
      obligations: [{ kind: 'guard-write', guard: 'task' }, { kind: 'review', review: 'task-privacy' }, { kind: 'audit' }],
    });
    expect(await judge(update(T1), { user })).toMatchObject({
      effect: 'permit',
      obligations: [{ kind: 'guard-write', guard: 'task' }, { kind: 'audit' }],
    });
  });

  it('needs the operation in the credential and in the grant (check 47)', async () => {
    const readOnly: GrantedResource = { ...taskEntry, operations: ['read'] };
    expect(await decides([readOnly], update(T1))).toBe('deny no_credential');
    expect(await code(judge(update(T1), {}, [grantFor('T', [readOnly])]))).toBe('deny no_live_grant');
  });
});

describe('medical data', () => {
  it('is read by a proven user with credential and grant (checks 51, 54)', async () => {
    expect(await code(judge(read(A1), { user }))).toBe('permit granted');
    expect(await judge(document(A1), { user })).toMatchObject({
      effect: 'permit',
      obligations: [{ kind: 'review', review: 'document' }, { kind: 'audit' }],
    });
    expect(await code(judge(read('/Condition/C0'), { user }))).toBe('permit granted');
  });

  it('says that a user is needed only where the caller’s own live grant names the path (checks 52, 53, 55)', async () => {
    expect(await code(judge(read(A1)))).toBe('deny user_missing user_context_required');
    expect(await code(judge(read(A1), { mode: 'credential' }, []))).toBe('deny user_missing');
    expect(await code(judge(read(A1), {}, []))).toBe('deny no_live_grant');
  });

  it('wants a user for everything but a Task, whatever the entry says', async () => {
    expect(await decides([{ path: '/Patient/P1', operations: ['read'], userContext: false }], read('/Patient/P1'))).toBe(
      'deny user_missing user_context_required',
    );
  });

  it('wants the level of the entry, low by default (checks 56, 57)', async () => {
    const entry: GrantedResource = { path: N1, operations: ['read'], userContext: true, assuranceLevel: 'substantial' };
    expect(await decides([entry], read(N1), { user })).toBe('deny level_too_low assurance_level_too_low');
    expect(await decides([entry], read(N1), { user: { ...user, level: 'high' } })).toBe('permit granted');
    expect(await decides([{ path: N1, operations: ['read'], userContext: true }], read(N1), { user })).toBe('permit granted');
  });

  it('does not take one operation for the other (check 58)', async () => {
    expect(await decides([{ path: N1, operations: ['read'], userContext: true }], document(N1), { user })).toBe(
      'deny no_credential',
    );
    expect(await decides([{ path: N1, operations: ['document'], userContext: true }], read(N1), { user })).toBe(
      'deny no_credential',
    );
  });

  it('is closed before there is a grant, and what a grant does not name is closed for ever (checks 59, 60, 61, 65, 67)', async () => {
    expect(await code(judge(read(N1), { user }))).toBe('deny no_credential');
    expect(await code(judge(read('/Observation/other'), { user }))).toBe('deny no_credential');
    expect(await code(judge(read('/Patient/P1'), { user }))).toBe('deny no_credential');
    const withLetter = documentEntries(N1, '/DocumentReference/D1');
    expect(await decides(withLetter, read('/Binary/B1'), { user })).toBe('deny no_credential');
    expect(await decides([...withLetter, ...documentEntries('/Binary/B1')], read('/Binary/B1'), { user })).toBe('permit granted');
    expect(await code(judge(read(A1), { user, credentials: [taskCredential] }))).toBe('deny no_credential');
  });

  it('takes $document by GET alone, without persist or graph (check 63)', async () => {
    expect(await code(judge(document(A1, { key: 'persist' }), { user }))).toBe('deny interaction_not_offered');
    expect(await code(judge(document(A1, { key: 'graph' }), { user }))).toBe('deny interaction_not_offered');
    expect(await code(judge(document(A1, { method: 'POST' }), { user }))).toBe('deny interaction_not_offered');
  });

  it('never mixes entries: path, operation, user and level must come from one (check 66)', async () => {
    const strict: GrantedResource = { path: N1, operations: ['read'], userContext: true, assuranceLevel: 'high' };
    const lax: GrantedResource = { path: '/Patient/P1', operations: ['read'], userContext: true, assuranceLevel: 'low' };
    const wrongOperation: GrantedResource = { path: N1, operations: ['document'], userContext: true, assuranceLevel: 'low' };
    expect(await decides([strict, lax, wrongOperation], read(N1), { user })).toBe('deny level_too_low assurance_level_too_low');
    // The credential is lax, the ledger strict: the ledger rules.
    const laxN1: GrantedResource = { ...strict, assuranceLevel: 'low' };
    expect(await code(judge(read(N1), { user, credentials: [credential('X', [laxN1])] }, [grantFor('X', [strict])]))).toBe(
      'deny level_too_low assurance_level_too_low',
    );
  });

  it('is closed after the end, the Task stays open (check 68)', async () => {
    const after = [grantFor('T', [taskEntry]), grantFor('A', noticeEntries, { state: 'ended' })];
    expect(await code(judge(read(A1), { user }, after))).toBe('deny grant_ended');
    expect(await code(judge(read(T1), {}, after))).toBe('permit granted');
  });

  it('is closed by the ledger alone, with a credential that nobody could revoke (check 69)', async () => {
    expect(await code(judge(document(A1), { user }, [grantFor('A', noticeEntries, { state: 'ended' })]))).toBe(
      'deny grant_ended',
    );
  });

  it('denies in the same words whether the resource exists or not (check 70)', async () => {
    const existing = await judge(read('/Patient/P1'), { user });
    const missing = await judge(read('/Patient/none'), { user });
    expect(existing).toEqual(missing);
  });

  it('works with one credential for all (check 71)', async () => {
    const combined = [taskEntry, ...noticeEntries];
    expect(await decides(combined, read(T1))).toBe('permit granted');
    expect(await decides(combined, read(A1), { user })).toBe('permit granted');
    expect(await decides(combined, read(A1))).toBe('deny user_missing user_context_required');
  });
});

describe('a tenant that takes over from other software (grants: credential)', () => {
  it('permits by credential alone', async () => {
    expect(await code(judge(read(T1), { mode: 'credential' }, []))).toBe('permit granted');
    expect(await code(judge(read(T1), { mode: 'ledger' }, []))).toBe('deny no_live_grant');
  });

  it('still denies a credential whose grant we ended, also for paths that only the credential names', async () => {
    const ended = [grantFor('A', noticeEntries, { state: 'ended' })];
    expect(await code(judge(read(A1), { mode: 'credential', user }, ended))).toBe('deny grant_ended');
    const wider = credential('A', [...noticeEntries, ...documentEntries('/Condition/C9')]);
    expect(await code(judge(read('/Condition/C9'), { mode: 'credential', user, credentials: [wider] }, ended))).toBe(
      'deny grant_ended',
    );
  });
});

it('judges at the moment of the request and reads no clock', async () => {
  const late = grantFor('T', [taskEntry], { expiresAt: now });
  expect(await code(judge(read(T1), {}, [late]))).toBe('deny no_live_grant');
});
