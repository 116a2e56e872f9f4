import { describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { ruleFaults } from '../../src/usecase/check-rules.ts';
import { defineUseCase, permitByRule, type Rule } from '../../src/usecase/index.ts';

// What the guide shows is copied: it holds as it stands.

const guide = readFileSync(new URL('../../docs/add-a-use-case.md', import.meta.url), 'utf8');
const [, shown = ''] = /```ts\nrules: (\[[^]*?\n\]),\n```/.exec(guide) ?? [];
const source = `data:text/javascript,${encodeURIComponent(`export default ${shown};`)}`;
const { default: rules } = (await import(source)) as { readonly default: readonly Rule[] };

describe('the rules in the guide for integrators', () => {
  it('hold as they stand, one of every kind', () => {
    const role = { id: 'reader', purpose: 'guide', scopes: [], fhirVersion: 'R4' as const, rules };
    const useCase = defineUseCase({
      id: 'guide',
      title: 'Guide',
      roles: [role],
      parseConfig: () => undefined,
      decide: permitByRule,
      filters: [{ name: 'current', keeps: () => true }],
    });
    expect(ruleFaults(useCase)).toEqual([]);
    const kinds = new Set(rules.map(({ interaction }) => interaction));
    for (const kind of [
      'read',
      'search-type',
      'update',
      'patch',
      'delete',
      'conditional-update',
      'operation-instance',
      'bundle',
      'capabilities',
    ])
      expect(kinds).toContain(kind);
  });
});
