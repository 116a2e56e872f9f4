import { ruleFaults } from './check-rules.ts';
import type { Role, UseCase } from './definition.ts';

/** A role and the use case that declares it. */
export interface LoadedRole {
  readonly useCase: UseCase;
  readonly role: Role;
}

/** The use cases that are loaded, and the role that a purpose or a set of scopes selects. */
export interface UseCaseRegistry {
  readonly all: readonly UseCase[];
  get(id: string): UseCase | undefined;
  /** Exactly one role must be selected by what the token is for; none and two are both `undefined`. */
  select(purposes: readonly string[]): LoadedRole | undefined;
}

/**
 * Checks the loaded use cases against each other.
 * @throws Error with every fault of their roles and rules, or naming the two that claim the same id, purpose or scope: such a configuration does not start.
 */
export function createRegistry(useCases: readonly UseCase[]): UseCaseRegistry {
  const byId = new Map<string, UseCase>();
  const byPurpose = new Map<string, LoadedRole>();
  const faults = useCases.flatMap(ruleFaults);
  if (faults.length > 0) throw new Error(`rules that do not hold:\n  ${faults.join('\n  ')}`);
  for (const useCase of useCases) {
    if (byId.has(useCase.id)) throw new Error(`use case ${useCase.id} is loaded twice`);
    byId.set(useCase.id, useCase);
    for (const role of useCase.roles) {
      // One object per role: a token with two scopes of one role selects that role.
      const loaded: LoadedRole = { useCase, role };
      for (const purpose of new Set([role.purpose, ...role.scopes])) {
        const other = byPurpose.get(purpose);
        if (other !== undefined) {
          throw new Error(
            `purpose ${purpose} is claimed by ${other.useCase.id}/${other.role.id} and by ${useCase.id}/${role.id}`,
          );
        }
        byPurpose.set(purpose, loaded);
      }
    }
  }
  return {
    all: useCases,
    get: (id) => byId.get(id),
    select: (purposes) => {
      const selected = new Set<LoadedRole>();
      for (const purpose of purposes) {
        const role = byPurpose.get(purpose);
        if (role !== undefined) selected.add(role);
      }
      const [only, ...others] = selected;
      return others.length === 0 ? only : undefined;
    },
  };
}
