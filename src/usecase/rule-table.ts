import type { Obligation } from './decision.ts';
import type { Role, UseCase } from './definition.ts';
import type { ParameterRule, PatientRule, Rule } from './rules.ts';

/** What each role of a use case may ask, as Markdown for people: made from the very rules that judge. */
export function ruleTable({ id, title, roles }: Pick<UseCase, 'id' | 'title' | 'roles'>): string {
  const lines = [
    `# ${title}: what may be asked`,
    '',
    `Made from the rules of \`${id}\` by \`npm run rules\`. What no line names is denied.`,
    '',
  ];
  for (const role of roles) lines.push(...roleTable(role));
  return `${lines.join('\n')}\n`;
}

function roleTable(role: Role): readonly string[] {
  const scopes = role.scopes.length === 0 ? '' : `, v2 scope ${role.scopes.map(code).join(' ')}`;
  const head = [`## ${role.id}`, '', `FHIR ${role.fhirVersion}, purpose ${code(role.purpose)}${scopes}.`, ''];
  if (role.rules.length === 0) return [...head, 'No FHIR requests: this role is sent messages only.', ''];
  return [
    ...head,
    '| Rule | Request | Whose data, and how that is known | Conditions |',
    '|---|---|---|---|',
    ...role.rules.map((rule) => `| ${[named(rule), request(rule), patient(rule), conditions(rule)].map(cell).join(' | ')} |`),
    '',
  ];
}

function named({ id, title }: Rule): string {
  return title === undefined ? code(id) : `${code(id)}: ${title}`;
}

function request({ interaction, types, operation, methods, instance }: Rule): string {
  const what = [interaction, ...(operation === undefined ? [] : [`$${operation}`])].join(' ');
  const ids =
    instance === undefined ? '' : instance === 'granted' ? ', ids of a live grant' : `, ids ${instance.map(code).join(' ')}`;
  return `${methods === undefined ? '' : `${methods.join(' or ')} `}${code(what)} ${types.map(code).join(' ')}${ids}`.trimEnd();
}

function patient({ patient: rule, interaction }: Rule): string {
  if (interaction === 'bundle') return 'each entry as if it came alone';
  if (interaction === 'capabilities') return 'nobody’s';
  if (interaction.startsWith('conditional-'))
    return `as the search by its criteria and the ${interaction.slice('conditional-'.length)} that follows say`;
  if (rule === undefined) return 'the use case’s code says';
  return `${rule.is === undefined ? 'judged by the use case’s code' : rule.is.map(code).join(' or ')}: ${from(rule, interaction)}`;
}

function from(rule: PatientRule, interaction: Rule['interaction']): string {
  switch (rule.from) {
    case 'path':
      return 'in the path';
    case 'parameter':
      return `in ${rule.parameters.map(code).join(' or ')}, proved on ${code(rule.element)} of each entry`;
    case 'body':
      return `at ${code(rule.element)} of what is written${interaction === 'update' ? ', and of what is stored' : ''}`;
    case 'look-up':
      return `at ${code(rule.element)} of what is stored${provedAgain(interaction)}`;
    case 'grant':
      return 'of the live grant';
  }
}

function provedAgain(interaction: Rule['interaction']): string {
  // Of a deletion there is nothing else to see.
  if (interaction === 'delete') return '';
  return `, proved again on ${interaction === 'update' || interaction === 'patch' ? 'what is written' : 'the answer'}`;
}

function conditions(rule: Rule): string {
  const all = Object.entries(rule.parameters ?? {}).map(([key, wanted]) => `${code(key)} ${values(wanted)}`);
  for (const [name, include] of [['_include', rule.includes] as const, ['_revinclude', rule.revincludes] as const]) {
    if (include !== undefined)
      all.push(
        `${code(name)} ${include.match === 'exact' ? 'exactly' : 'of'} ${include.values.map(code).join(' ')}, brings ${include.types.join(' ')}`,
      );
  }
  for (const { parameter, element } of rule.narrow ?? []) all.push(`narrowed by ${code(parameter)}, proved on ${code(element)}`);
  if (rule.maxCount !== undefined) all.push(`pages of at most ${String(rule.maxCount)}`);
  if (rule.ifMatch !== undefined) all.push('only with `If-Match`');
  if (rule.user !== undefined)
    all.push(rule.user === 'required' ? 'a natural person must be proven' : 'no natural person may be named');
  for (const obligation of rule.obligations ?? []) all.push(obliged(obligation));
  return all.join('; ');
}

function obliged(obligation: Obligation): string {
  switch (obligation.kind) {
    case 'guard-write':
      return `written as the use case’s ${code(obligation.guard)} judges`;
    case 'guard-changes': {
      const { changed, states = [] } = obligation;
      const steps = states.flatMap((each) =>
        each.steps.map(({ from, to }) => `${code(each.element)} from ${code(from)} to ${code(to)}`),
      );
      const may = changed.includes('*') ? 'all but labels may change' : `only ${changed.map(code).join(' ')} may change`;
      return steps.length === 0 ? may : `${may}, ${steps.join(', ')}`;
    }
    case 'narrow':
      return `narrowed by ${code(obligation.parameter)}, proved on ${code(obligation.element)}`;
    case 'filter':
      return `entries that the use case’s ${code(obligation.filter)} keeps`;
    case 'redact':
      return `without ${obligation.elements.map(code).join(' ')}`;
    case 'max-count':
      return `pages of at most ${String(obligation.count)}`;
    case 'headers': {
      const { request = {}, response = {} } = obligation;
      return `headers ${[...Object.keys(request), ...Object.keys(response)].map(code).join(' ')} are set or stripped`;
    }
    case 'answer-locally':
      return `answered by the use case’s ${code(obligation.answer)}`;
    case 'review':
      return `shown to the use case’s ${code(obligation.review)} before it leaves`;
    case 'audit':
      return `${Object.keys(obligation.attributes).map(code).join(' ')} for the audit`;
  }
}

function values(wanted: ParameterRule): string {
  const may = wanted.optional === true ? 'may be' : 'must be';
  if ('any' in wanted) return wanted.optional === true ? 'may be there' : 'must be there';
  if ('oneOf' in wanted) return `${may} one of ${wanted.oneOf.map(code).join(' ')}`;
  if ('subsetOf' in wanted) return `${may} any of ${wanted.subsetOf.map(code).join(' ')}`;
  if ('equals' in wanted) return `${may} exactly ${wanted.equals.map((each) => code(each.join(','))).join(' and ')}`;
  if ('pattern' in wanted) return `${may} like ${code(wanted.pattern.source)}`;
  return `${may} ${String(wanted.range[0])} to ${String(wanted.range[1])}`;
}

function code(text: string): string {
  return `\`${text}\``;
}

/** A bar would end the cell. */
function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}
