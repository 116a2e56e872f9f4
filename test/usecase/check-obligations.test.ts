import { describe, expect, it } from '@jest/globals';
import { ruleFaults } from '../../src/usecase/check-rules.ts';
import { defineUseCase, permitByRule, type Rule } from '../../src/usecase/index.ts';

const faults = (rule: object): readonly string[] =>
  ruleFaults(
    defineUseCase({
      id: 'x',
      title: 'X',
      parseConfig: () => undefined,
      decide: permitByRule,
      filters: [{ name: 'f', keeps: () => true }],
      answers: [{ name: 'a', answer: () => Promise.resolve(undefined) }],
      reviews: [{ name: 'r', review: () => ({ outcome: 'pass' }) }],
      writes: [{ name: 'w', judge: () => Promise.resolve({ outcome: 'unchanged' }), settle: () => Promise.resolve() }],
      roles: [
        {
          id: 'r',
          purpose: 'p',
          scopes: [],
          fhirVersion: 'R4',
          rules: [{ id: 'it', types: ['Observation'], ...rule } as unknown as Rule],
        },
      ],
    }),
  );
const having = (interaction: string, ...obligations: object[]) => ({ interaction, obligations });
const guard = { kind: 'guard-changes', changed: ['status'] };
const redact = { kind: 'redact', elements: ['Observation.note'] };

describe('the obligations of a rule', () => {
  it('hold where they can be kept', () => {
    for (const rule of [
      having('read', redact, { kind: 'review', review: 'r' }, { kind: 'headers', response: { etag: null } }),
      having('search-type', redact, { kind: 'filter', filter: 'f' }, { kind: 'max-count', count: 5 }),
      having('update', guard, { kind: 'audit', attributes: { why: 'x' } }),
      having('update', { kind: 'guard-write', guard: 'w' }, redact, { kind: 'review', review: 'r' }),
      having('patch', { ...guard, states: [{ element: 'status', steps: [{ from: 'preliminary', to: 'final' }] }] }),
      having('patch', { ...guard, changed: ['value', 'meta.tag', 'meta'] }),
      having('update', { ...guard, changed: ['value'], states: [{ element: 'valueCode', steps: [{ from: 'a', to: 'b' }] }] }),
      having('read', { kind: 'answer-locally', answer: 'a' }),
    ])
      expect(faults(rule)).toEqual([]);
  });

  // No compiler sees a use case outside the repository: a condition under a mistyped name would be no condition.
  it.each<[string, object, string]>([
    ['the states of a guard', having('update', { ...guard, state: [] }), 'guard-changes: Unrecognized key: "state"'],
    ['what may change', having('update', { kind: 'guard-changes', changed: [] }), 'guard-changes.changed: '],
    [
      'a step',
      having('update', { ...guard, states: [{ element: 's', steps: [{ form: 'a', to: 'b' }] }] }),
      'guard-changes.states.0.steps.0',
    ],
    ['what is redacted', having('read', { kind: 'redact', element: ['Observation.note'] }), 'redact.elements: '],
    [
      'a header',
      having('read', { kind: 'headers', response: { Etag: null } }),
      'headers.response.Etag: is not the use case’s; there are content-language',
    ],
    ['the headers', having('read', { kind: 'headers', responses: { etag: null } }), 'headers: Unrecognized key: "responses"'],
  ])('do not hold where %s is mistyped', (_what, rule, fault) => {
    expect(faults(rule).join('\n')).toContain(`x/r/it: obligations: ${fault}`);
  });

  it.each<[string, object, string]>([
    [
      'a filter of what is no list',
      having('read', { kind: 'filter', filter: 'f' }),
      'filter is for searches and histories, not for read',
    ],
    [
      'a redacted create',
      having('create', redact),
      'redact is for what a rule answers; put it on the rule for the read, not for create',
    ],
    ['a reviewed patch', having('patch', guard, { kind: 'review', review: 'r' }), 'review is for what a rule answers'],
    [
      'headers of a write',
      having('delete', { kind: 'headers', request: { prefer: 'x' } }),
      'headers.request are the gate’s own on delete',
    ],
    [
      'a local answer to a write',
      having('create', { kind: 'answer-locally', answer: 'a' }),
      'answer-locally is for reads, not for create',
    ],
    [
      'a change of a choice in brackets',
      having('update', { ...guard, changed: ['value[x]'] }),
      'guard-changes.changed.0: must be an element from the top but id, as status; a choice by its name, as value',
    ],
    ['a change inside an element', having('patch', { ...guard, changed: ['code.text'] }), 'guard-changes.changed.0: must be'],
    ['a change of the id', having('update', { ...guard, changed: ['id'] }), 'guard-changes.changed.0: must be'],
    [
      'steps of what may not change',
      having('update', { ...guard, states: [{ element: 'state', steps: [{ from: 'a', to: 'b' }] }] }),
      'guard-changes.states: state has steps and is not among changed',
    ],
    [
      'an element without its type',
      having('read', { kind: 'redact', elements: ['note'] }),
      'redact.elements.0: must be named from its type, as in Patient.name',
    ],
    [
      'a choice in brackets',
      having('read', { kind: 'redact', elements: ['Observation.value[x]'] }),
      'redact.elements.0: must be named from its type',
    ],
  ])('do not hold with %s', (_what, rule, fault) => {
    expect(faults(rule).join('\n')).toContain(`x/r/it: obligations: ${fault}`);
  });
});

describe('a rule that could never match', () => {
  const taking = { parameters: { _summary: { any: true, optional: true }, _elements: { any: true, optional: true } } };

  it.each<[string, object]>([
    ['patient.element', { interaction: 'read', patient: { from: 'look-up', element: 'subject' } }],
    [
      'patient.element',
      { interaction: 'search-type', patient: { from: 'parameter', parameters: ['patient'], element: 'subject' } },
    ],
    ['narrow', { interaction: 'search-type', narrow: [{ parameter: 'status', with: ['final'], element: 'status' }] }],
    ['narrow', having('search-type', { kind: 'narrow', parameter: 'status', values: ['final'], element: 'status' })],
    ['filter', having('search-type', { kind: 'filter', filter: 'f' })],
  ])('with elements taken away beside %s is refused at start (Q25, Q50)', (what, rule) => {
    expect(faults({ ...rule, ...taking })).toEqual(
      ['_elements', '_summary'].map(
        (key) =>
          `x/r/it: parameters.${key}: is always denied beside ${what}, which needs all elements: leave out the one or the other`,
      ),
    );
    expect(faults({ interaction: 'search-type', ...taking })).toEqual([]);
  });
});
