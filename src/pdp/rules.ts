import { interactionType, type Interaction } from '../fhir/interaction.ts';
import type { Parameter } from '../fhir/parameter.ts';
import type { Rule } from '../usecase/definition.ts';

/** Whether a role's declared rules allow a request to be asked at all. */
export type RuleMatch =
  | { readonly matched: true; readonly rule: Rule }
  | { readonly matched: false; readonly code: 'no_rule' | 'parameter_not_in_rule' };

/**
 * Finds the rule that an interaction matches: kind, type, operation and every parameter, all exact. A parameter that FHIR knows and no rule
 * lists is a denial (design §12); one that FHIR does not know never came this far.
 */
export function matchRule(rules: readonly Rule[], interaction: Interaction): RuleMatch {
  let code: 'no_rule' | 'parameter_not_in_rule' = 'no_rule';
  for (const rule of rules) {
    if (!namesInteraction(rule, interaction)) continue;
    if (parametersOf(interaction).every((parameter) => rule.parameters?.includes(parameter.key) === true))
      return { matched: true, rule };
    code = 'parameter_not_in_rule';
  }
  return { matched: false, code };
}

function namesInteraction(rule: Rule, interaction: Interaction): boolean {
  if (rule.interaction !== interaction.kind) return false;
  const type = interactionType(interaction);
  // A system-level interaction has no type: only a rule without types names it.
  if (type === undefined ? rule.types.length > 0 : !rule.types.includes(type)) return false;
  if (!('operation' in interaction)) return rule.operation === undefined;
  return rule.operation !== undefined && interaction.operation === `$${rule.operation}`;
}

const NONE: readonly Parameter[] = [];

function parametersOf(interaction: Interaction): readonly Parameter[] {
  if ('parameters' in interaction) return interaction.parameters;
  return 'criteria' in interaction ? interaction.criteria : NONE;
}
