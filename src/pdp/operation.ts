import type { Interaction } from '../fhir/interaction.ts';

/** The word of a grant for an interaction (eoverdracht.md §5.7); undefined where no grant can name it. */
export function grantOperation(interaction: Interaction): string | undefined {
  switch (interaction.kind) {
    case 'read':
    case 'vread':
    case 'update':
    case 'patch':
    case 'delete':
    case 'create':
      return interaction.kind;
    case 'history-instance':
      return 'history';
    case 'search-type':
      return 'search';
    case 'operation-instance':
      return interaction.operation === '$document' && interaction.type === 'Composition' ? 'document' : undefined;
    case 'history-type':
    case 'history-system':
    case 'search-system':
    case 'search-compartment':
    case 'capabilities':
    case 'options':
    case 'bundle':
    case 'operation-type':
    case 'operation-system':
    case 'conditional-create':
    case 'conditional-update':
    case 'conditional-patch':
    case 'conditional-delete':
      return undefined;
  }
}
