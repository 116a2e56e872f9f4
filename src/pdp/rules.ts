import { interactionType, type Interaction } from '../fhir/interaction.ts';
import type { Parameter } from '../fhir/parameter.ts';
import type { IncludeRule, ParameterRule, Rule } from '../usecase/rules.ts';

/** Why a rule does not match, for the operator. */
export interface RuleFault {
  /** snake_case, stable. */
  readonly code: string;
  /** Which field, what is missing or too much. Names only, never a value of the caller's. */
  readonly text: string;
}

/** What the declared rules make of a request, as far as it can be read from the request line alone. */
export type RuleMatch =
  | { readonly matched: true; readonly rules: readonly Rule[] }
  /** The fault of the last rule that names the interaction, or `no_rule`. */
  | { readonly matched: false; readonly fault: RuleFault };

/**
 * Finds the rules that an interaction matches: kind, type, operation, method, id, and every parameter, all exact. A parameter that FHIR knows
 * and no rule lists is a denial (design §12); one that FHIR does not know never came this far. Mostly there is one; where there are several
 * the first whose patient, user and grant are right is the one.
 */
export function matchRules(rules: readonly Rule[], interaction: Interaction): RuleMatch {
  let fault: RuleFault | undefined;
  let first: Rule | undefined;
  let more: Rule[] | undefined;
  for (const rule of rules) {
    if (!namesInteraction(rule, interaction)) continue;
    const found = firstFault(rule, interaction);
    if (found !== undefined) fault = found;
    else if (first === undefined) first = rule;
    else (more ??= [first]).push(rule);
  }
  if (first !== undefined) return { matched: true, rules: more ?? [first] };
  return { matched: false, fault: fault ?? { code: 'no_rule', text: `no rule names ${interaction.kind}` } };
}

/** Whether a rule is about this interaction, whatever its conditions. */
export function namesInteraction(rule: Rule, interaction: Interaction): boolean {
  if (rule.interaction !== interaction.kind) return false;
  const type = interactionType(interaction);
  // A system-level interaction has no type: only a rule without types names it.
  if (type === undefined ? rule.types.length > 0 : !rule.types.includes(type)) return false;
  if (!('operation' in interaction)) return rule.operation === undefined;
  return rule.operation !== undefined && interaction.operation === `$${rule.operation}`;
}

/** Everything that keeps a rule from matching a request that it names: for `explain`. */
export function allFaults(rule: Rule, interaction: Interaction): readonly RuleFault[] {
  return CHECKS.flatMap((check) => check(rule, interaction) ?? []);
}

type Check = (rule: Rule, interaction: Interaction) => RuleFault | undefined;
const CHECKS: readonly Check[] = [
  methodFault,
  instanceFault,
  unlistedFault,
  parameterFault,
  countFault,
  includeFault,
  revincludeFault,
];

function firstFault(rule: Rule, interaction: Interaction): RuleFault | undefined {
  for (const check of CHECKS) {
    const fault = check(rule, interaction);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function methodFault(rule: Rule, interaction: Interaction): RuleFault | undefined {
  // An operation by POST is a write: a rule must say so.
  const methods = rule.methods ?? (rule.operation === undefined ? undefined : GET_ONLY);
  if (methods === undefined) return undefined;
  const method =
    'via' in interaction
      ? interaction.via === 'form'
        ? 'POST'
        : 'GET'
      : 'method' in interaction
        ? interaction.method
        : undefined;
  if (method === undefined || methods.includes(method)) return undefined;
  return { code: 'method_not_in_rule', text: `must come by ${methods.join(' or ')}` };
}

const GET_ONLY: NonNullable<Rule['methods']> = ['GET'];

function instanceFault(rule: Rule, interaction: Interaction): RuleFault | undefined {
  if (rule.instance === undefined || rule.instance === 'granted') return undefined;
  if ('id' in interaction && rule.instance.includes(interaction.id)) return undefined;
  return { code: 'instance_not_in_rule', text: 'the id is none of the rule' };
}

const NONE: readonly Parameter[] = [];

/** The parameters that a request is judged by: those of a search, a read, an operation, or the criteria of a conditional interaction. */
export function parametersOf(interaction: Interaction): readonly Parameter[] {
  if ('parameters' in interaction) return interaction.parameters;
  return 'criteria' in interaction ? interaction.criteria : NONE;
}

function unlistedFault(rule: Rule, interaction: Interaction): RuleFault | undefined {
  for (const { key } of parametersOf(interaction)) {
    if (!isListed(rule, key)) return { code: 'parameter_not_in_rule', text: `the parameter ${key} stands nowhere in the rule` };
  }
  return undefined;
}

function isListed(rule: Rule, key: string): boolean {
  if (rule.parameters !== undefined && Object.hasOwn(rule.parameters, key)) return true;
  if (rule.patient?.from === 'parameter' && rule.patient.parameters.includes(key)) return true;
  if (key === '_count') return rule.maxCount !== undefined;
  return (key === '_include' && rule.includes !== undefined) || (key === '_revinclude' && rule.revincludes !== undefined);
}

function parameterFault(rule: Rule, interaction: Interaction): RuleFault | undefined {
  const { parameters } = rule;
  if (parameters === undefined) return undefined;
  for (const key of Object.keys(parameters)) {
    const wanted = parameters[key];
    if (wanted === undefined) continue;
    const found = parametersOf(interaction).filter((parameter) => parameter.key === key);
    if (found.length === 0) {
      if (wanted.optional !== true) return { code: 'parameter_missing', text: `the parameter ${key} must be there` };
    } else if (!hasValues(wanted, found))
      return { code: 'parameter_value_not_in_rule', text: `the parameter ${key} ${wants(wanted)}` };
  }
  return undefined;
}

function hasValues(wanted: ParameterRule, found: readonly Parameter[]): boolean {
  if ('any' in wanted) return true;
  if ('subsetOf' in wanted) return found.every(({ values }) => values.every((value) => wanted.subsetOf.includes(value)));
  if ('pattern' in wanted) {
    const whole = anchored(wanted.pattern);
    return found.every(({ values }) => values.every((value) => whole.test(value)));
  }
  if ('equals' in wanted) {
    return sameSets(
      wanted.equals.map(setOf),
      found.map(({ values }) => setOf(values)),
    );
  }
  const [only, ...others] = found.flatMap(({ values }) => values);
  if (only === undefined || others.length > 0) return false;
  if ('oneOf' in wanted) return wanted.oneOf.includes(only);
  const [minimum, maximum] = wanted.range;
  return /^\d{1,9}$/.test(only) && Number(only) >= minimum && Number(only) <= maximum;
}

/** What a parameter must be, in words: for the operator and the documentation. */
export function wants(wanted: ParameterRule): string {
  if ('any' in wanted) return 'may have any value';
  if ('oneOf' in wanted) return `must be once, and one of ${wanted.oneOf.join(' ')}`;
  if ('subsetOf' in wanted) return `must be among ${wanted.subsetOf.join(' ')}`;
  if ('equals' in wanted) return `must be exactly ${wanted.equals.map((values) => values.join(',')).join(' and ')}`;
  if ('pattern' in wanted) return `must match ${wanted.pattern.source}`;
  return `must be once, and a whole number from ${String(wanted.range[0])} to ${String(wanted.range[1])}`;
}

const ANCHORED = new WeakMap<RegExp, RegExp>();

// A `g` or `y` would make the answer depend on the one before, a missing `^` would find a good part in a bad whole (attack case E6).
function anchored(pattern: RegExp): RegExp {
  let whole = ANCHORED.get(pattern);
  if (whole === undefined) {
    whole = new RegExp(`^(?:${pattern.source})$`, pattern.flags.replace(/[gmy]/g, ''));
    ANCHORED.set(pattern, whole);
  }
  return whole;
}

function setOf(values: readonly string[]): string {
  return JSON.stringify([...new Set(values)].sort());
}

function sameSets(wanted: readonly string[], found: readonly string[]): boolean {
  const sorted = [...found].sort();
  return wanted.length === found.length && [...wanted].sort().every((each, index) => each === sorted[index]);
}

// A page of none is a question how many there are (attack cases Q24, Q29).
function countFault(rule: Rule, interaction: Interaction): RuleFault | undefined {
  if (rule.maxCount === undefined || rule.parameters?.['_count'] !== undefined) return undefined;
  const isNone = parametersOf(interaction).some(({ key, values }) => key === '_count' && Number(values[0]) === 0);
  return isNone ? { code: 'parameter_value_not_in_rule', text: '_count must be at least 1' } : undefined;
}

function includeFault(rule: Rule, interaction: Interaction): RuleFault | undefined {
  return triplesFault('_include', rule.includes, interaction);
}

function revincludeFault(rule: Rule, interaction: Interaction): RuleFault | undefined {
  return triplesFault('_revinclude', rule.revincludes, interaction);
}

/** Triples are compared whole: a missing target is every target, and so another one (attack case Q13). */
function triplesFault(key: string, wanted: IncludeRule | undefined, interaction: Interaction): RuleFault | undefined {
  if (wanted === undefined) return undefined;
  const asked = parametersOf(interaction).flatMap((parameter) => (parameter.key === key ? parameter.values : []));
  const isSubset = asked.every((triple) => wanted.values.includes(triple));
  const isWhole = wanted.match === 'subset' || wanted.values.every((triple) => asked.includes(triple));
  return isSubset && isWhole
    ? undefined
    : {
        code: 'include_not_in_rule',
        text: `${key} must be ${wanted.match === 'exact' ? 'exactly' : 'among'} ${wanted.values.join(' ')}`,
      };
}
