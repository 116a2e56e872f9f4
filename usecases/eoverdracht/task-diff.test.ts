import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { JsonObject, JsonValue } from 'sluis/usecase';
import { parseConfig } from './config.ts';
import { judgeTaskUpdate } from './task-diff.ts';
import { alternativeDateOutput, buildTask } from './task.ts';
import { privateTask } from './task-privacy.ts';
import { mayMove, TASK_STATUSES, type TaskStatus } from './task-state.ts';

const now = new Date('2026-03-02T09:00:00Z');

function stored(status: TaskStatus, extra: Record<string, JsonValue> = {}): JsonObject {
  const task = buildTask(
    {
      id: 't1',
      status,
      requester: { did: 'did:nuts:s', name: 'S' },
      owner: { did: 'did:nuts:r', name: 'R' },
      inputs: { advanceNotice: 'Composition/a1' },
      now: new Date('2026-03-01T09:00:00Z'),
    },
    parseConfig({}),
  );
  return { ...task, meta: { versionId: '3', lastUpdated: '2026-03-01T09:00:00Z', profile: ['p'] }, ...extra };
}

function judge(before: JsonObject, change: Record<string, JsonValue>, mayCancel = true) {
  return judgeTaskUpdate({ stored: before, proposed: { ...before, ...change }, id: 't1', now }, mayCancel);
}

describe('a receiver’s PUT of its Task', () => {
  it('accepts when only the status differs, and is rebuilt from the stored Task (check 33)', () => {
    const before = stored('requested', { priority: 'urgent' });
    expect(judge(before, { status: 'accepted' })).toEqual({
      outcome: 'write',
      resource: { ...before, status: 'accepted', lastModified: now.toISOString() },
    });
  });

  it('rejects with a reason in words (check 34), and takes no other kind of reason', () => {
    const verdict = judge(stored('requested'), { status: 'rejected', statusReason: { text: 'vol' } });
    expect(verdict).toMatchObject({ outcome: 'write', resource: { status: 'rejected', statusReason: { text: 'vol' } } });
    expect(judge(stored('requested'), { status: 'rejected', statusReason: { coding: [{ code: 'x' }] } })).toMatchObject({
      outcome: 'rejected',
      code: 'unprocessable',
      expression: ['Task.statusReason'],
    });
    expect(judge(stored('in-progress'), { status: 'completed', statusReason: { text: 'klaar' } })).toMatchObject({
      outcome: 'rejected',
    });
  });

  it('holds with exactly one alternative date and not without (check 35)', () => {
    const proposal = { ...alternativeDateOutput('2026-03-08') };
    expect(judge(stored('requested'), { status: 'on-hold', output: [proposal] })).toMatchObject({
      outcome: 'write',
      resource: { status: 'on-hold', output: [proposal] },
    });
    for (const output of [
      [],
      [proposal, proposal],
      [{ ...proposal, valueString: 'x' }],
      [{ ...proposal, valueDateTime: 'morgen' }],
      [proposal, { type: { text: 'other' }, valueString: 'x' }],
      [{ type: proposal['type'] ?? null }],
    ]) {
      expect(judge(stored('requested'), { status: 'on-hold', output })).toMatchObject({
        outcome: 'rejected',
        code: 'unprocessable',
      });
    }
    expect(judge(stored('requested'), { status: 'on-hold' })).toMatchObject({ reason: 'task_alternative_date_missing' });
  });

  it('moves only as the machine says (checks 36, 37, 38)', () => {
    for (const from of TASK_STATUSES) {
      for (const to of TASK_STATUSES) {
        if (from === to) continue;
        const output = to === 'on-hold' ? { output: [alternativeDateOutput('2026-03-08')] } : {};
        const verdict = judge(stored(from), { status: to, ...output });
        expect(`${from}->${to}: ${verdict.outcome}`).toBe(
          `${from}->${to}: ${mayMove(from, to, 'receiver') ? 'write' : 'rejected'}`,
        );
      }
    }
    expect(judge(stored('requested'), { status: 'cancelled' }, false)).toMatchObject({ reason: 'task_transition_not_allowed' });
  });

  it('refuses completing together with any other change (check 39)', () => {
    const changes: Record<string, JsonValue> = {
      owner: { identifier: { system: 'http://nuts.nl', value: 'did:nuts:other' } },
      requester: { agent: { display: 'x' } },
      for: { reference: 'Patient/p1' },
      input: [],
      code: { coding: [] },
      intent: 'plan',
      identifier: [{ value: 'x' }],
      extension: [{ url: 'http://x', valueString: 'x' }],
      contained: [{ resourceType: 'Patient' }],
      meta: { profile: ['other'] },
    };
    for (const [name, value] of Object.entries(changes)) {
      expect(judge(stored('in-progress'), { status: 'completed', [name]: value })).toEqual({
        outcome: 'rejected',
        code: 'unprocessable',
        reason: 'task_element_not_changeable',
        expression: [`Task.${name}`],
      });
    }
  });

  it('ignores version, time and narrative, the order of members and empty ones (check 40)', () => {
    const before = stored('in-progress');
    const change = {
      status: 'completed',
      text: { div: '<div/>' },
      lastModified: '2026-01-01',
      note: [],
      meta: { profile: ['p'], versionId: '99' },
    };
    expect(judge(before, change)).toMatchObject({ outcome: 'write', resource: { status: 'completed', meta: before['meta'] } });
    const reversed = Object.fromEntries(Object.entries({ ...before, status: 'completed' }).reverse());
    expect(judgeTaskUpdate({ stored: before, proposed: reversed, id: 't1', now }, true).outcome).toBe('write');
  });

  it('takes no output with completing (check 41)', () => {
    expect(judge(stored('in-progress'), { status: 'completed', output: [alternativeDateOutput('2026-03-08')] })).toMatchObject({
      expression: ['Task.output'],
    });
  });

  it('refuses another id or type as malformed (check 42)', () => {
    expect(judge(stored('requested'), { id: 't12', status: 'accepted' })).toMatchObject({ code: 'bad_request' });
    expect(judge(stored('requested'), { resourceType: 'Patient', status: 'accepted' })).toMatchObject({ code: 'bad_request' });
  });

  it('changes nothing when it is repeated (check 44)', () => {
    expect(judge(stored('completed'), {})).toEqual({ outcome: 'unchanged' });
    expect(judge(stored('requested'), { statusReason: { text: 'x' } })).toMatchObject({ outcome: 'rejected' });
    expect(judge(stored('requested'), { output: [alternativeDateOutput('2026-03-08')] })).toMatchObject({ outcome: 'rejected' });
  });

  it('takes the Task back as it was shown without a user', () => {
    const before = stored('requested', { note: [{ text: 'intern' }], for: { reference: 'Patient/p1' }, description: 'x' });
    const proposed = { ...privateTask(before), status: 'accepted' };
    expect(judgeTaskUpdate({ stored: before, proposed, id: 't1', now }, true)).toMatchObject({
      outcome: 'write',
      resource: { status: 'accepted', note: [{ text: 'intern' }], for: { reference: 'Patient/p1' } },
    });
  });

  it('never writes anything of the receiver’s but status, reason and date, whatever it sends', () => {
    const before = stored('requested');
    const proposed = fc
      .dictionary(fc.string(), fc.jsonValue() as fc.Arbitrary<JsonValue>)
      .map((extra): JsonObject => ({ ...before, ...extra, status: 'accepted', id: 't1', resourceType: 'Task' }));
    fc.assert(
      fc.property(proposed, (body) => {
        const verdict = judgeTaskUpdate({ stored: before, proposed: body, id: 't1', now }, true);
        if (verdict.outcome !== 'write') return;
        const { status: _s, lastModified: _l, statusReason: _r, ...rest } = verdict.resource;
        const { status: _s2, lastModified: _l2, ...expected } = before;
        expect(rest).toEqual(expected);
      }),
    );
  });
});

describe('a reason that is no object', () => {
  const stored: JsonObject = { resourceType: 'Task', id: 't', status: 'requested', statusReason: { text: 'kept' } };
  const judge = (statusReason: JsonValue) =>
    judgeTaskUpdate({ stored, proposed: { ...stored, status: 'accepted', statusReason }, id: 't', now: new Date() }, true);

  it('is refused rather than taken for none, and the stored one stays (check 39)', () => {
    for (const wrong of ['free text', [{ text: 'x' }], 5]) {
      expect(judge(wrong)).toMatchObject({ outcome: 'rejected', reason: 'task_reason_not_allowed' });
    }
    expect(judge({ text: 'new' })).toMatchObject({ outcome: 'write', resource: { statusReason: { text: 'new' } } });
  });
});
