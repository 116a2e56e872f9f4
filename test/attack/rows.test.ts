import { describe, expect, it } from '@jest/globals';
import { loadCases, loadRows, rowOf } from './run/case.ts';
import { SCENARIOS, WAITING } from './scenarios/index.ts';

describe('the attack corpus', () => {
  it('has a case or a scenario for every row, or says why it waits', () => {
    const shown = new Set([...loadCases(), ...SCENARIOS, ...WAITING].map(({ id }) => rowOf(id)));
    expect(loadRows().filter((row) => !shown.has(row))).toEqual([]);
  });

  it('has no row that waits and is run as well', () => {
    const run = new Set([...loadCases(), ...SCENARIOS].map(({ id }) => rowOf(id)));
    expect(WAITING.filter(({ id }) => run.has(id))).toEqual([]);
  });
});
