import type { Interaction } from '../fhir/interaction.ts';
import type { Role } from '../usecase/definition.ts';
import { allFaults, namesInteraction, type RuleFault } from './rules.ts';

/** What one rule makes of a request line, for an operator. */
export interface ExplainedRule {
  readonly id: string;
  readonly title?: string;
  /** Whether it is about this interaction and type at all. */
  readonly names: boolean;
  /** What keeps it from matching; empty where it matches. Patient, user and grant are judged later: see the decision's reason. */
  readonly faults: readonly RuleFault[];
}

/** Every rule of a role against a request, not only the first that fails. */
export function explainRules({ rules }: Pick<Role, 'rules'>, interaction: Interaction): readonly ExplainedRule[] {
  return rules.map((rule) => {
    const names = namesInteraction(rule, interaction);
    return {
      id: rule.id,
      ...(rule.title === undefined ? {} : { title: rule.title }),
      names,
      faults: names
        ? allFaults(rule, interaction)
        : [{ code: 'other_interaction', text: `is for ${rule.interaction} ${rule.types.join(' ')}`.trimEnd() }],
    };
  });
}
