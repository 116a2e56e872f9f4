import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { createOpenIntents, type IntentKey } from '../../src/audit/open-intents.ts';

describe('open intents', () => {
  it('are told apart by tenant, correlation id and part, and the newest of one key closes first', () => {
    const open = createOpenIntents([]);
    const request = { correlationId: 'c' };
    open.add('a', request, 1, 1);
    open.add('b', request, 1, 1);
    open.add('a', { ...request, part: 'entry-1' }, 2, 2);
    open.add('a', request, 3, 3);
    expect(open.find('a', request)).toMatchObject({ sequence: 3, segment: 3 });
    expect(open.find('a', { ...request, part: 'entry-1' })).toMatchObject({ sequence: 2 });
    expect(open.find('b', request)).toMatchObject({ sequence: 1 });
    for (const other of [open.find('b', { ...request, part: 'entry-1' }), open.find('a', { correlationId: 'd' })])
      expect(other).toBe(undefined);
  });

  it('are what a list of them says, in any order of opening and closing', () => {
    const key = fc.record({
      tenant: fc.constantFrom('a', 'b'),
      correlationId: fc.constantFrom('x', 'y'),
      part: fc.constantFrom(undefined, 'p', 'q'),
    });
    const step = fc.record({ key, opens: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const open = createOpenIntents([]);
        let model: { readonly name: string; readonly tenant: string; readonly sequence: number }[] = [];
        steps.forEach(({ key: { tenant, correlationId, part }, opens }, sequence) => {
          const intent: IntentKey = { correlationId, ...(part === undefined ? {} : { part }) };
          const name = JSON.stringify([tenant, correlationId, part]);
          if (opens) {
            open.add(tenant, intent, sequence, sequence);
            model.push({ name, tenant, sequence });
          } else {
            const found = open.find(tenant, intent);
            const newest = model.findLast((each) => each.name === name);
            expect(found?.sequence).toBe(newest?.sequence);
            if (found !== undefined) open.remove(found);
            // Twice does no more than once.
            if (found !== undefined) open.remove(found);
            model = model.filter((each) => each !== newest);
          }
          expect(open.size()).toBe(model.length);
          expect(open.oldestSegment(99)).toBe(Math.min(99, ...model.map((each) => each.sequence)));
          for (const each of model) expect(open.has(each.tenant, each.sequence)).toBe(true);
        });
      }),
    );
  });
});
