import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  canReach,
  givesAdvanceNotice,
  givesHandoff,
  isFinal,
  mayMove,
  nextStatuses,
  TASK_STATUSES,
  type Actor,
} from './task-state.ts';

const status = fc.constantFrom(...TASK_STATUSES);
const actor = fc.constantFrom<Actor>('receiver', 'sender');

describe('the state machine of a Task (facts §2.7)', () => {
  it('is exactly the table', () => {
    const receiver = TASK_STATUSES.map((from) => [from, [...nextStatuses(from, 'receiver')].sort()]);
    const sender = TASK_STATUSES.map((from) => [from, [...nextStatuses(from, 'sender')].sort()]);
    expect(Object.fromEntries(receiver)).toEqual({
      requested: ['accepted', 'cancelled', 'on-hold', 'received', 'rejected'],
      received: ['accepted', 'cancelled', 'on-hold', 'rejected'],
      accepted: ['cancelled'],
      rejected: [],
      'on-hold': ['cancelled'],
      'in-progress': ['cancelled', 'completed'],
      cancelled: [],
      completed: [],
    });
    expect(Object.fromEntries(sender)).toEqual({
      requested: ['cancelled'],
      received: ['cancelled'],
      accepted: ['cancelled', 'in-progress'],
      rejected: ['cancelled'],
      'on-hold': ['cancelled', 'requested'],
      'in-progress': ['cancelled', 'completed'],
      cancelled: [],
      completed: [],
    });
  });

  it('never leaves a final status, whoever moves (check 38)', () => {
    fc.assert(fc.property(status, status, actor, (from, to, who) => !isFinal(from) || !mayMove(from, to, who)));
  });

  it('never lets a receiver assign itself: in-progress is the sender’s word alone (check 36)', () => {
    fc.assert(
      fc.property(status, (from) => !mayMove(from, 'in-progress', 'receiver') && !canReach(from, 'in-progress', 'receiver')),
    );
  });

  it('completes only from in-progress (checks 36, 37)', () => {
    fc.assert(fc.property(status, actor, (from, who) => !mayMove(from, 'completed', who) || from === 'in-progress'));
  });

  it('lets a receiver withdraw or not, as the tenant decides', () => {
    expect(mayMove('accepted', 'cancelled', 'receiver')).toBe(true);
    fc.assert(fc.property(status, (from) => !mayMove(from, 'cancelled', 'receiver', false)));
  });

  it('gives the hand-off only while the transfer goes on, and the notice as long as the offer stands (facts §2.8)', () => {
    expect(TASK_STATUSES.filter(givesHandoff)).toEqual(['in-progress']);
    expect(TASK_STATUSES.filter((each) => !givesAdvanceNotice(each))).toEqual(['rejected', 'cancelled', 'completed']);
  });
});
