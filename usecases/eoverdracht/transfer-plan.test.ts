import { describe, expect, it } from '@jest/globals';
import { parseConfig } from './config.ts';
import { apply, type Command } from './transfer-commands.ts';
import { documentWritten, grantIssued, nextSteps, taskWritten } from './transfer-plan.ts';
import { parseTransfer, toState, type Negotiation, type Transfer, type TransferDocument } from './transfer.ts';

let ids = 0;
const context = { now: new Date('2026-03-01T09:00:00Z'), newId: () => `id-${String((ids += 1))}`, config: parseConfig({}) };
const receiver = { organization: 'did:nuts:r1', name: 'R1' };

function document(kind: TransferDocument['kind'], id: string, written = true): TransferDocument {
  return { composition: `Composition/${id}`, kind, resources: [`Composition/${id}`, 'Condition/c'], written };
}

const empty: Transfer = {
  id: 't',
  patient: 'Patient/p',
  transferDate: '2026-03-05',
  status: 'created',
  createdAt: '2026-03-01T09:00:00Z',
  notice: 'Composition/a',
  documents: [document('advanceNotice', 'a', false)],
  negotiations: [],
  timeline: [],
};

function after(transfer: Transfer, ...commands: readonly Command[]): Transfer {
  return commands.reduce((now, command) => {
    const applied = apply(now, command, context);
    if (!applied.ok) throw new Error(applied.reason);
    return applied.transfer;
  }, transfer);
}

function first(transfer: Transfer): Negotiation {
  return transfer.negotiations[0]!;
}

const kinds = (transfer: Transfer): readonly string[] => nextSteps(transfer).map((step) => step.kind);

/** The plan carried out, but for the revocations. */
function carriedOut(transfer: Transfer): Transfer {
  let now = transfer;
  for (const step of nextSteps(now)) {
    const negotiation = 'negotiation' in step ? now.negotiations.find((each) => each.id === step.negotiation) : undefined;
    if (step.kind === 'write-document') now = documentWritten(now, step.composition);
    if (step.kind === 'write-task' && negotiation !== undefined) {
      now = taskWritten(now, negotiation, negotiation.task.revision, { status: negotiation.status, version: '1' });
    }
    if (step.kind === 'issue' && negotiation !== undefined)
      now = grantIssued(now, negotiation, step.grant, `credential-of-${step.grant}`);
  }
  return now;
}

describe('the plan of a transfer', () => {
  it('is document, Task, credentials, notification, each only after the one before (check 84)', () => {
    const offered = after(empty, { kind: 'offer', ...receiver });
    expect(kinds(offered)).toEqual(['write-document']);
    const written = carriedOut(offered);
    expect(kinds(written)).toEqual(['write-task']);
    const there = carriedOut(written);
    expect(kinds(there)).toEqual(['issue', 'issue']);
    expect(kinds(carriedOut(there))).toEqual(['notify']);
  });

  it('does not announce the end before the credential is gone', () => {
    const offered = carriedOut(carriedOut(carriedOut(after(empty, { kind: 'offer', ...receiver }))));
    const cancelled = after(offered, { kind: 'cancel', negotiation: first(offered).id });
    expect(kinds(cancelled)).toEqual(['revoke', 'write-task']);
    expect(kinds(carriedOut(cancelled))).toEqual(['revoke']);
  });

  it('does not issue anew what says the same as a credential that is still to be revoked (reliability §3.1 rule 4)', () => {
    const offered = carriedOut(carriedOut(carriedOut(after(empty, { kind: 'offer', ...receiver }))));
    const again = carriedOut(after(offered, { kind: 'cancel', negotiation: first(offered).id }, { kind: 'offer', ...receiver }));
    const second = again.negotiations[1]!;
    const issues = nextSteps(again).filter((step) => step.kind === 'issue');
    expect(issues.map((step) => second.grants.find((grant) => grant.id === step.grant)?.kind)).toEqual(['task']);
  });

  it('opens no hand-off while another receiver has one', () => {
    const direct = carriedOut(
      carriedOut(after(empty, { kind: 'hand-off', ...receiver, handoff: document('nursingHandoff', 'n') })),
    );
    const other: Negotiation = {
      ...first(direct),
      id: 'other',
      organization: 'did:nuts:r2',
      grants: first(direct).grants.map((grant) => ({ ...grant, id: `other-${grant.id}`, state: 'pending' })),
    };
    const both = { ...direct, negotiations: [first(direct), other] };
    const issues = nextSteps(both).filter((step) => step.kind === 'issue' && step.negotiation === 'other');
    expect(issues).toHaveLength(1);
  });

  it('survives being stored', () => {
    const offered = after(empty, { kind: 'offer', ...receiver });
    expect(parseTransfer(JSON.parse(JSON.stringify(toState(offered))))).toEqual(offered);
    expect(() => parseTransfer({ ...offered, status: 'lost' })).toThrow();
  });
});
