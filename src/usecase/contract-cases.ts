import type { Role, UseCase } from './definition.ts';
import type { IncludeRule, ParameterRule, PatientRule, Rule } from './rules.ts';

/** One request made from a rule: as the rule has it, or with the one difference that must not pass. */
export interface ContractCase {
  readonly role: string;
  readonly rule: string;
  readonly name: string;
  readonly expect: 'match' | 'no-match';
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT';
  /** Below the FHIR base. */
  readonly target: string;
  /** The resource of a write, or what is stored, with the patient at the element of the rule. */
  readonly body?: Readonly<Record<string, unknown>>;
}

type Pairs = readonly (readonly [string, string])[];

/**
 * The contract tests of a use case, from its rules alone: for each rule the requests that it lets in, and around each the nearest that it must not let in.
 * They are run against the rules as the gate judges them (`test/usecase/contract.test.ts`); a rule that is added is tested by that.
 */
export function contractCases({ roles }: Pick<UseCase, 'roles'>): readonly ContractCase[] {
  return roles.flatMap((role) => role.rules.flatMap((rule) => casesOf(role, rule)));
}

function casesOf(role: Role, rule: Rule): readonly ContractCase[] {
  const of = { role: role.id, rule: rule.id };
  const types: readonly (string | undefined)[] = rule.types.length === 0 ? [undefined] : [rule.types[0]];
  return types.flatMap((type) => {
    const path = pathOf(rule, type);
    if (path === undefined) return [];
    const method = methodOf(rule);
    const whole = pairsOf(rule);
    const at = (name: string, expect: ContractCase['expect'], pairs: Pairs, more: Partial<ContractCase> = {}): ContractCase => ({
      ...of,
      name,
      expect,
      method,
      target: `${path}${queryOf(pairs)}`,
      ...(rule.patient === undefined || !('element' in rule.patient)
        ? {}
        : { body: bodyOf(rule, type, patientOf(rule.patient)) }),
      ...more,
    });
    const cases = [at('with all that it must have', 'match', whole)];
    if (method === 'GET') cases.push(at('by HEAD', 'match', whole, { method: 'HEAD' }));
    if (whole.length > 0) cases.push(...parameterMutants(rule, whole, at));
    if (isSearch(rule)) cases.push(at('with a parameter that it does not list', 'no-match', [...whole, ['_filter', 'x eq y']]));
    if (Array.isArray(rule.instance))
      cases.push(at('with another id', 'no-match', whole, { target: `/${type ?? ''}/no-such-id` }));
    if (rule.patient?.is !== undefined) cases.push(...patientMutants(rule, rule.patient, type, whole, at));
    cases.push(
      ...optionalCases(rule, whole, at),
      ...includeCases('_include', rule.includes, whole, at),
      ...includeCases('_revinclude', rule.revincludes, whole, at),
    );
    return cases;
  });
}

type At = (name: string, expect: ContractCase['expect'], pairs: Pairs, more?: Partial<ContractCase>) => ContractCase;

function isSearch({ interaction }: Rule): boolean {
  return interaction.startsWith('search');
}

function methodOf({ interaction }: Rule): ContractCase['method'] {
  if (interaction === 'create' || interaction === 'bundle') return 'POST';
  return interaction === 'update' ? 'PUT' : 'GET';
}

function pathOf({ interaction, instance, operation, patient }: Rule, type: string | undefined): string | undefined {
  const fixed = patient?.from === 'path' ? patient.is?.[0]?.slice('Patient/'.length) : undefined;
  const id = (Array.isArray(instance) ? String(instance[0]) : undefined) ?? fixed ?? 'x1';
  const at = type ?? '';
  switch (interaction) {
    case 'read':
    case 'update':
      return `/${at}/${id}`;
    case 'vread':
      return `/${at}/${id}/_history/1`;
    case 'history-instance':
      return `/${at}/${id}/_history`;
    case 'history-type':
      return `/${at}/_history`;
    case 'history-system':
      return '/_history';
    case 'create':
    case 'search-type':
      return `/${at}`;
    case 'search-system':
    case 'bundle':
      return '/';
    case 'capabilities':
      return '/metadata';
    case 'search-compartment':
      return `/Patient/${id}/${at}`;
    case 'operation-instance':
      return `/${at}/${id}/$${operation ?? ''}`;
    case 'operation-type':
      return `/${at}/$${operation ?? ''}`;
    case 'operation-system':
      return `/$${operation ?? ''}`;
    case 'options':
    case 'patch':
    case 'delete':
    case 'conditional-create':
    case 'conditional-update':
    case 'conditional-patch':
    case 'conditional-delete':
      return undefined;
  }
}

/** What must be there: mandatory parameters, the patient by its first name, exact includes. */
function pairsOf(rule: Rule): Pairs {
  const { patient, parameters, includes, revincludes } = rule;
  const named =
    patient?.from === 'parameter' && patient.parameters[0] !== undefined ? [[patient.parameters[0], idOf(patient)] as const] : [];
  const mandatory = Object.entries(parameters ?? {}).flatMap(([key, wanted]) =>
    wanted.optional === true ? [] : valuesOf(key, wanted),
  );
  const exact = (key: string, include: IncludeRule | undefined): Pairs =>
    include?.match === 'exact' ? include.values.map((value) => [key, value] as const) : [];
  return [...named, ...mandatory, ...exact('_include', includes), ...exact('_revinclude', revincludes)];
}

/** Values that a parameter rule takes; none where only its author knows one. */
function valuesOf(key: string, wanted: ParameterRule): Pairs {
  if ('oneOf' in wanted) return wanted.oneOf.slice(0, 1).map((value) => [key, value] as const);
  if ('subsetOf' in wanted) return [[key, wanted.subsetOf.join(',')]];
  if ('equals' in wanted) return wanted.equals.map((values) => [key, values.join(',')] as const);
  if ('range' in wanted) return [[key, String(wanted.range[0])]];
  return [];
}

function parameterMutants(rule: Rule, whole: Pairs, at: At): readonly ContractCase[] {
  return whole.flatMap(([key], index) => {
    const without = whole.filter((_pair, other) => other !== index);
    const wrong = whole.map((pair, other) => (other === index ? ([key, 'no-such-value'] as const) : pair));
    const isPatient = rule.patient?.from === 'parameter' && rule.patient.parameters.includes(key);
    const cases = [at(`without ${key}`, 'no-match', without)];
    if (!isPatient && !key.startsWith('_')) cases.push(at(`with another value of ${key}`, 'no-match', wrong));
    return cases;
  });
}

function optionalCases(rule: Rule, whole: Pairs, at: At): readonly ContractCase[] {
  const optional = Object.entries(rule.parameters ?? {}).flatMap(([key, wanted]) =>
    wanted.optional === true ? valuesOf(key, wanted) : [],
  );
  return optional.map((pair) => at(`with ${pair[0]} too`, 'match', [...whole, pair]));
}

function includeCases(key: string, include: IncludeRule | undefined, whole: Pairs, at: At): readonly ContractCase[] {
  if (include === undefined) return [];
  const cases = [at(`with another ${key}`, 'no-match', [...whole, [key, 'Basic:author']])];
  if (include.match === 'subset')
    cases.push(...include.values.map((value) => at(`with ${key} of ${value}`, 'match', [...whole, [key, value] as const])));
  // A missing target is every target, and so another one (attack case Q13).
  for (const value of include.values)
    if (value.split(':').length === 2) cases.push(at(`with a target in ${key}`, 'no-match', [...whole, [key, `${value}:Basic`]]));
  return cases;
}

function patientMutants(
  rule: Rule,
  patient: PatientRule,
  type: string | undefined,
  whole: Pairs,
  at: At,
): readonly ContractCase[] {
  switch (patient.from) {
    case 'parameter': {
      const rest = whole.filter(([key]) => !patient.parameters.includes(key));
      const aliases = patient.parameters.map((key) =>
        at(`with the patient as ${key}`, 'match', [...rest, [key, idOf(patient)] as const]),
      );
      const others = patient.parameters.map((key) =>
        at(`with another patient as ${key}`, 'no-match', [...rest, [key, 'no-such-patient'] as const]),
      );
      const two = patient.parameters.map((key) =>
        at(`with another patient as ${key} besides`, 'no-match', [...whole, [key, 'no-such-patient'] as const]),
      );
      return [...aliases, ...others, ...two];
    }
    case 'body':
    case 'look-up':
      return [
        at('about another patient', 'no-match', whole, { body: bodyOf(rule, type, 'Patient/no-such-patient') }),
        at('about nobody', 'no-match', whole, { body: { resourceType: type } }),
      ];
    case 'path':
    case 'grant':
      return [];
  }
}

function patientOf(patient: PatientRule): string {
  return patient.is?.[0] ?? 'Patient/p1';
}

function idOf(patient: PatientRule): string {
  return patientOf(patient).slice('Patient/'.length);
}

function bodyOf({ patient }: Rule, type: string | undefined, reference: string): Readonly<Record<string, unknown>> {
  const path = patient !== undefined && 'element' in patient ? patient.element.split('.') : [];
  return {
    resourceType: type,
    ...path.reduceRight<Record<string, unknown>>((inner, name) => ({ [name]: inner }), { reference }),
  };
}

function queryOf(pairs: Pairs): string {
  return pairs.length === 0
    ? ''
    : `?${pairs.map(([key, value]) => `${encodeURIComponent(key)}=${encodeURIComponent(value)}`).join('&')}`;
}
