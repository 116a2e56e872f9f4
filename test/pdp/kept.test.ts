import { describe, expect, it } from '@jest/globals';
import type { Interaction } from '../../src/fhir/interaction.ts';
import { parseJsonObject } from '../../src/fhir/json.ts';
import { resolveObligations } from '../../src/pdp/obligations.ts';
import type { Obligation } from '../../src/usecase/decision.ts';
import { defineUseCase, type UseCase } from '../../src/usecase/definition.ts';
import { permit } from '../../src/usecase/decision.ts';
import { ask, notes, sender } from './support.ts';

// What a permit demands is kept, or the permit is none: on each interaction the conditions that the gate can keep there, and beside them those that it cannot.

const useCase: UseCase = defineUseCase({
  ...notes(),
  filters: [{ name: 'final', keeps: () => true }],
});
const faultOf = (interaction: Interaction, ...obligations: Obligation[]): string => {
  const resolved = resolveObligations(useCase, interaction, obligations);
  return 'code' in resolved ? resolved.code : 'kept';
};

const read: Interaction = { kind: 'read', type: 'Task', id: '1', head: false, parameters: [] };
const search: Interaction = { kind: 'search-type', type: 'Task', head: false, parameters: [], via: 'query' };
const history: Interaction = { kind: 'history-instance', type: 'Task', id: '1', head: false, parameters: [] };
const byGet: Interaction = {
  kind: 'operation-type',
  type: 'Task',
  operation: '$lastn',
  method: 'GET',
  head: false,
  parameters: [],
};
const byPost: Interaction = { ...byGet, method: 'POST' };
const create: Interaction = { kind: 'create', type: 'Task' };
const update: Interaction = { kind: 'update', type: 'Task', id: '1' };
const remove: Interaction = { kind: 'delete', type: 'Task', id: '1' };
const bundle: Interaction = { kind: 'bundle' };

const byCode: Obligation = { kind: 'guard-write', guard: 'status' };
const byChanges: Obligation = { kind: 'guard-changes', changed: ['status'] };
const filter: Obligation = { kind: 'filter', filter: 'final' };
const redact: Obligation = { kind: 'redact', elements: ['Task.note'] };
const review: Obligation = { kind: 'review', review: 'look' };
const sent: Obligation = { kind: 'headers', request: { 'accept-language': 'nl' } };
const given: Obligation = { kind: 'headers', response: { etag: null } };

describe('a condition of a permit', () => {
  it('filters the entries of a list, and nothing else: what is one resource, or of an operation, has no entries to leave out', () => {
    for (const interaction of [search, history]) expect(faultOf(interaction, filter)).toBe('kept');
    for (const interaction of [read, byGet, byPost, create]) expect(faultOf(interaction, filter)).toBe('obligation_unfit');
  });

  it('redacts, reviews and strips of what the permit itself answers', () => {
    for (const condition of [redact, review, given]) {
      for (const interaction of [read, search, byGet, byPost]) expect(faultOf(interaction, condition)).toBe('kept');
      expect(faultOf(update, byCode, condition)).toBe('kept');
      // What was written comes back as a read has it: these are for its rule.
      for (const interaction of [create, remove]) expect(faultOf(interaction, condition)).toBe('obligation_unfit');
      expect(faultOf(update, byChanges, condition)).toBe('obligation_unfit');
    }
    for (const condition of [redact, review]) expect(faultOf(bundle, condition)).toBe('obligation_unfit');
  });

  it('sets headers of the request where the gate sends the caller’s request on', () => {
    for (const interaction of [read, search, byPost]) expect(faultOf(interaction, sent)).toBe('kept');
    for (const interaction of [create, remove, bundle]) expect(faultOf(interaction, sent)).toBe('obligation_unfit');
    expect(faultOf(update, byCode, sent)).toBe('obligation_unfit');
  });
});

describe('the input of an operation', () => {
  it('is not the use case’s to change: it goes up as it was judged (E9)', async () => {
    const input = parseJsonObject(Buffer.from('{"resourceType":"Parameters","parameter":[{"name":"max","valueInteger":1}]}'));
    const rules = [
      { id: 'last', interaction: 'operation-type', types: ['Task'], operation: 'lastn', methods: ['POST'] },
    ] as const;
    const verdict = await ask(
      {
        roles: [{ ...sender, rules }],
        decide: (request) => {
          const asked = request.action as unknown as { input: { parameter: { valueInteger: number }[] } };
          asked.input.parameter[0]!.valueInteger = 1_000;
          return permit('x');
        },
      },
      { interaction: { ...byPost, kind: 'operation-type', type: 'Task', input } as Interaction },
    );
    expect(verdict).toMatchObject({ effect: 'deny', reason: { code: 'decision_failed' } });
  });
});
