import { describe, expect, it } from '@jest/globals';
import { createRegistry } from '../../src/usecase/registry.ts';
import { defineUseCase, deny, type Role } from '../../src/usecase/index.ts';

const role = (id: string, purpose: string, scopes: readonly string[]): Role => ({
  id,
  purpose,
  scopes,
  fhirVersion: 'STU3',
  rules: [],
});
const useCase = (id: string, roles: readonly Role[]) =>
  defineUseCase({ id, title: id, roles, parseConfig: () => undefined, decide: () => deny('no') });

describe('the registry of use cases', () => {
  const registry = createRegistry([
    useCase('one', [role('a', 'one-a', ['scope-1', 'scope-2']), role('b', 'one-b', [])]),
    useCase('two', [role('c', 'two-c', [])]),
  ]);

  it('selects the one role that a token is for', () => {
    expect(registry.select(['one-a'])?.role.id).toBe('a');
    expect(registry.select(['something', 'two-c'])?.useCase.id).toBe('two');
  });

  it('selects a role by two scopes of it', () => {
    expect(registry.select(['scope-1', 'scope-2'])?.role.id).toBe('a');
  });

  it('selects none for a token that is for two roles, for nothing, or for what nobody declares', () => {
    expect(registry.select(['one-a', 'one-b'])).toBeUndefined();
    expect(registry.select(['one-a', 'two-c'])).toBeUndefined();
    expect(registry.select([])).toBeUndefined();
    expect(registry.select(['__proto__'])).toBeUndefined();
  });

  it('refuses two that claim one purpose, or one id', () => {
    expect(() => createRegistry([useCase('x', [role('a', 'p', [])]), useCase('y', [role('b', 'q', ['p'])])])).toThrow(
      'purpose p is claimed by x/a and by y/b',
    );
    expect(() => createRegistry([useCase('x', []), useCase('x', [])])).toThrow('loaded twice');
  });
});
