import { describe, expect, it } from '@jest/globals';
import type { JsonObject, WriteVerdict } from 'sluis/usecase';
import { parseConfig } from './config.ts';
import { grantFor, ledger, requestFor, T1, taskEntry, update, type RequestDifference } from './policy-support.ts';
import { buildTask } from './task.ts';
import type { TaskStatus } from './task-state.ts';
import { taskWrite } from './task-write.ts';
import type { Negotiation, Transfer } from './transfer.ts';

const config = parseConfig({});

function negotiation(difference: Partial<Negotiation> = {}): Negotiation {
  return {
    id: 'n1',
    organization: 'did:nuts:r1',
    name: 'R1',
    status: 'requested',
    task: { id: 'T1', inputs: {}, revision: 1, written: 1, seen: { status: 'requested', version: '1' } },
    grants: [],
    notification: { wanted: 1, queued: 1, delivered: 1, refused: 0 },
    ...difference,
  };
}

function transfer(of: Negotiation): Transfer {
  return {
    id: 'transfer-1',
    patient: 'Patient/p1',
    transferDate: '2026-03-05',
    status: 'requested',
    createdAt: '2026-03-01T09:00:00Z',
    documents: [],
    negotiations: [of],
    timeline: [],
  };
}

function stored(status: TaskStatus): JsonObject {
  return buildTask(
    {
      id: 'T1',
      status,
      requester: { did: 's', name: 's' },
      owner: { did: 'r', name: 'r' },
      inputs: {},
      now: new Date('2026-03-01T09:00:00Z'),
    },
    config,
  );
}

function judge(
  local: Negotiation | undefined,
  from: TaskStatus,
  to: TaskStatus,
  difference: RequestDifference = {},
): Promise<WriteVerdict> {
  const records = new Map(local === undefined ? [] : [['transfer-1', transfer(local)]]);
  const before = stored(from);
  return taskWrite.judge(
    { request: requestFor(update(T1), difference), proposed: { ...before, status: to }, stored: before },
    config,
    ledger(local === undefined ? [] : [grantFor('T', [taskEntry])], records),
  );
}

describe('judging a PUT of a Task with the local record as second lock', () => {
  it('lets the receiver of this Task answer', async () => {
    expect(await judge(negotiation(), 'requested', 'accepted')).toMatchObject({
      outcome: 'write',
      resource: { status: 'accepted' },
    });
  });

  it('is only for the receiver of our own administration, whatever Task.owner says (facts §2.6 step 2)', async () => {
    expect(await judge(negotiation(), 'requested', 'accepted', { requester: 'did:nuts:r2' })).toMatchObject({
      outcome: 'rejected',
      code: 'forbidden',
    });
    expect(await judge(undefined, 'requested', 'accepted')).toMatchObject({ outcome: 'rejected', code: 'forbidden' });
  });

  it('takes no answer to an offer that the sender has ended, even if FHIR does not know yet (check 69)', async () => {
    const ended = negotiation({ status: 'cancelled', task: { ...negotiation().task, revision: 2 } });
    expect(await judge(ended, 'requested', 'accepted')).toMatchObject({ outcome: 'rejected', code: 'unprocessable' });
  });

  it('asks to read again where the sender’s change is on its way', async () => {
    const assigned = negotiation({ status: 'in-progress', task: { ...negotiation().task, revision: 2 } });
    expect(await judge(assigned, 'accepted', 'cancelled')).toMatchObject({ outcome: 'rejected', code: 'conflict' });
    expect(await judge(assigned, 'in-progress', 'completed')).toMatchObject({ outcome: 'write' });
  });

  it('judges Tasks of earlier software by the Task alone while the tenant takes over', async () => {
    expect(await judge(undefined, 'requested', 'accepted', { mode: 'credential' })).toMatchObject({ outcome: 'write' });
    expect(await judge(undefined, 'requested', 'completed', { mode: 'credential' })).toMatchObject({ outcome: 'rejected' });
  });
});
