import { searchParameterType } from '../fhir/parameter-names.ts';
import type { FhirVersion } from '../fhir/version.ts';
import type { Role, UseCase } from './definition.ts';
import { exampleOf } from './pattern-example.ts';
import type { IncludeRule, ParameterRule, PatientRule, Rule } from './rules.ts';

/** One request made from a rule: as the rule has it, or with the one difference that must not pass. */
export interface ContractCase {
  readonly role: string;
  readonly rule: string;
  readonly name: string;
  readonly expect: 'match' | 'no-match';
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'OPTIONS';
  /** Below the FHIR base. */
  readonly target: string;
  /** The form of a `POST …/_search`. */
  readonly form?: string;
  /** Of a patch its `content-type`, of a conditional create its `if-none-exist`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** The resource of a write, or what is stored, with the patient at the element of the rule. */
  readonly body?: Readonly<Record<string, unknown>>;
  /** Whether a natural person is proven. */
  readonly user: boolean;
}

type Pairs = readonly (readonly [string, string])[];

/**
 * The contract tests of a use case, from its rules alone: for each rule the requests that it lets in, and around each the nearest that it must not let in.
 * They are run against the rule alone as the gate judges it (`test/usecase/contract.test.ts`); a rule that is added is tested by that. Where a parameter must
 * match a pattern of which no example can be made, only what must not match is tried.
 */
export function contractCases({ roles }: Pick<UseCase, 'roles'>): readonly ContractCase[] {
  return roles.flatMap((role) =>
    role.rules.flatMap((rule) => {
      const types: readonly (string | undefined)[] = rule.types.length === 0 ? [undefined] : rule.types;
      return types.flatMap((type) => casesOf(role, rule, type));
    }),
  );
}

function casesOf(role: Role, rule: Rule, type: string | undefined): readonly ContractCase[] {
  const path = pathOf(rule, type);
  const method = rule.methods?.includes('GET') === false ? 'POST' : methodOf(rule);
  const at: At = (name, expect, pairs, more = {}) => ({
    role: role.id,
    rule: rule.id,
    name: rule.types.length > 1 ? `${type ?? ''} ${name}` : name,
    expect,
    ...sent(rule, more.path ?? path, more.method ?? method, pairs),
    ...(rule.patient === undefined || !('element' in rule.patient) ? {} : { body: bodyOf(rule, type, patientOf(rule.patient)) }),
    ...(more.body === undefined ? {} : { body: more.body }),
    user: more.user ?? rule.user === 'required',
  });
  const on: On = { rule, type, version: role.fhirVersion, at };
  const whole = pairsOf(on);
  const all = [
    at('with all that it must have', 'match', whole),
    ...methodCases(on, whole),
    ...parameterMutants(on, whole),
    ...instanceMutants(on, whole),
    ...patientCases(on, whole),
    ...userCases(on, whole),
    ...optionalCases(on, whole),
    ...includeCases(on, '_include', rule.includes, whole),
    ...includeCases(on, '_revinclude', rule.revincludes, whole),
  ];
  return hasExamples(on) ? all : all.filter(({ expect }) => expect === 'no-match');
}

interface Difference {
  readonly method?: ContractCase['method'];
  readonly path?: string;
  readonly body?: ContractCase['body'];
  readonly user?: boolean;
}
type At = (name: string, expect: ContractCase['expect'], pairs: Pairs, more?: Difference) => ContractCase;
interface On {
  readonly rule: Rule;
  readonly type: string | undefined;
  readonly version: FhirVersion;
  readonly at: At;
}

function sent(
  rule: Rule,
  path: string,
  method: ContractCase['method'],
  pairs: Pairs,
): Pick<ContractCase, 'method' | 'target' | 'form' | 'headers'> {
  const text = pairs.map(([key, value]) => `${encodeURIComponent(key)}=${encodeURIComponent(value)}`).join('&');
  if (method === 'POST' && isSearch(rule)) return { method, target: `${path === '/' ? '' : path}/_search`, form: text };
  if (rule.interaction === 'conditional-create') return { method, target: path, headers: { 'if-none-exist': text } };
  return {
    method,
    target: text === '' ? path : `${path}?${text}`,
    ...(method === 'PATCH' ? { headers: { 'content-type': 'application/json-patch+json' } } : {}),
  };
}

function isSearch({ interaction }: Rule): boolean {
  return interaction.startsWith('search');
}

function methodOf({ interaction }: Rule): ContractCase['method'] {
  switch (interaction.replace('conditional-', '')) {
    case 'create':
    case 'bundle':
      return 'POST';
    case 'update':
      return 'PUT';
    case 'patch':
      return 'PATCH';
    case 'delete':
      return 'DELETE';
    case 'options':
      return 'OPTIONS';
    default:
      return 'GET';
  }
}

function methodCases({ rule, at }: On, whole: Pairs): readonly ContractCase[] {
  const may = (method: 'GET' | 'POST') => (rule.methods?.includes(method) === false ? 'no-match' : 'match');
  if (isSearch(rule)) {
    return [
      at('by GET', may('GET'), whole, { method: 'GET' }),
      at('by HEAD', may('GET'), whole, { method: 'HEAD' }),
      at('by POST', may('POST'), whole, { method: 'POST' }),
    ];
  }
  if (methodOf(rule) !== 'GET') {
    const other = methodOf(rule) === 'DELETE' ? 'PUT' : 'DELETE';
    return [at(`by ${other}`, 'no-match', whole, { method: other })];
  }
  const changing = at('by PUT', 'no-match', whole, { method: 'PUT' });
  if (rule.operation === undefined) return [at('by HEAD', 'match', whole, { method: 'HEAD' }), changing];
  const isListed = (method: 'GET' | 'POST') => ((rule.methods ?? ['GET']).includes(method) ? 'match' : 'no-match');
  return [
    at('by HEAD', isListed('GET'), whole, { method: 'HEAD' }),
    at('by POST', isListed('POST'), whole, { method: 'POST' }),
    changing,
  ];
}

function pathOf({ interaction, instance, operation, patient }: Rule, type: string | undefined, other?: string): string {
  const fixed = patient?.from === 'path' ? patient.is?.[0]?.slice('Patient/'.length) : undefined;
  const id = other ?? (Array.isArray(instance) ? String(instance[0]) : undefined) ?? fixed ?? 'x1';
  const at = type ?? '';
  switch (interaction) {
    case 'read':
    case 'update':
    case 'patch':
    case 'delete':
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
    case 'conditional-create':
    case 'conditional-update':
    case 'conditional-patch':
    case 'conditional-delete':
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
      return '/Basic/x1';
  }
}

/** What must be there: mandatory parameters, the patient by its first name, exact includes. */
function pairsOf(on: On): Pairs {
  const { patient, parameters, includes, revincludes } = on.rule;
  const named =
    patient?.from === 'parameter' && patient.parameters[0] !== undefined ? [[patient.parameters[0], idOf(patient)] as const] : [];
  const mandatory = Object.entries(parameters ?? {}).flatMap(([key, wanted]) =>
    wanted.optional === true ? [] : (valuesOf(on, key, wanted) ?? []),
  );
  const exact = (key: string, include: IncludeRule | undefined): Pairs =>
    include?.match === 'exact' ? include.values.map((value) => [key, value] as const) : [];
  return [...named, ...mandatory, ...exact('_include', includes), ...exact('_revinclude', revincludes)];
}

function hasExamples(on: On): boolean {
  return Object.entries(on.rule.parameters ?? {}).every(
    ([key, wanted]) => wanted.optional === true || valuesOf(on, key, wanted) !== undefined,
  );
}

/** Values that a parameter rule takes; undefined where none can be thought of. */
function valuesOf({ type, version }: On, key: string, wanted: ParameterRule): Pairs | undefined {
  if ('oneOf' in wanted) return wanted.oneOf.slice(0, 1).map((value) => [key, value] as const);
  if ('subsetOf' in wanted) return wanted.subsetOf.slice(0, 1).map((value) => [key, value] as const);
  if ('equals' in wanted) return wanted.equals.map((values) => [key, values.join(',')] as const);
  if ('range' in wanted) return [[key, String(wanted.range[0])]];
  if ('any' in wanted) return [[key, anyValue(key, type, version)]];
  const example = exampleOf(wanted.pattern);
  return example === undefined ? undefined : [[key, example]];
}

const FORMS: Readonly<Record<string, string>> = {
  _count: '10',
  _since: '2020-01-01',
  _at: '2020-01-01',
  _summary: 'true',
  _total: 'none',
  _contained: 'true',
  _containedType: 'contained',
  _type: 'Patient',
};

function anyValue(key: string, type: string | undefined, version: FhirVersion): string {
  const [name = key, modifier] = key.split(':');
  if (modifier === 'missing') return 'true';
  const form = FORMS[name];
  if (form !== undefined) return form;
  const compares = searchParameterType(version, type, name);
  if (compares === 'date') return '2020-01-01';
  return compares === 'number' || compares === 'quantity' ? '1' : 'x1';
}

function parameterMutants({ rule, at }: On, whole: Pairs): readonly ContractCase[] {
  const listed = rule.parameters ?? {};
  const cases = whole.flatMap(([key], index) => {
    const wanted = listed[key];
    const swapped = (to: readonly [string, string]): Pairs => whole.map((pair, other) => (other === index ? to : pair));
    const value = whole[index]?.[1] ?? '';
    return [
      at(
        `without ${key}`,
        'no-match',
        whole.filter((_pair, other) => other !== index),
      ),
      ...(Object.hasOwn(listed, `${key}:not`) ? [] : [at(`with ${key}:not`, 'no-match', swapped([`${key}:not`, value]))]),
      ...(wanted === undefined || 'any' in wanted || ('pattern' in wanted && wanted.pattern.test('no-such-value'))
        ? []
        : [at(`with another value of ${key}`, 'no-match', swapped([key, 'no-such-value']))]),
    ];
  });
  if (isSearch(rule)) cases.push(at('with a parameter that it does not list', 'no-match', [...whole, ['_filter', 'x eq y']]));
  return cases;
}

function instanceMutants({ rule, type, at }: On, whole: Pairs): readonly ContractCase[] {
  const cases: ContractCase[] = [];
  const other = pathOf(rule, type, 'no-such-id');
  if (Array.isArray(rule.instance) || (rule.patient?.from === 'path' && rule.patient.is !== undefined))
    cases.push(at('with another id', 'no-match', whole, { path: other }));
  const elsewhere = pathOf(rule, 'Basic');
  if (type !== undefined && !rule.types.includes('Basic'))
    cases.push(at('on another type', 'no-match', whole, { path: elsewhere }));
  return cases;
}

function optionalCases(on: On, whole: Pairs): readonly ContractCase[] {
  return Object.entries(on.rule.parameters ?? {}).flatMap(([key, wanted]) => {
    const pairs = wanted.optional === true ? valuesOf(on, key, wanted) : undefined;
    return pairs === undefined ? [] : [on.at(`with ${key} too`, 'match', [...whole, ...pairs])];
  });
}

function includeCases({ rule, at }: On, key: string, include: IncludeRule | undefined, whole: Pairs): readonly ContractCase[] {
  const [known] = include?.values ?? ['Basic:author'];
  const cases: ContractCase[] = [];
  const iterated = `${key}:iterate`;
  if (isSearch(rule) && known !== undefined && !Object.hasOwn(rule.parameters ?? {}, iterated))
    cases.push(at(`with ${iterated}`, 'no-match', [...whole, [iterated, known]]));
  if (isSearch(rule) && !Object.hasOwn(rule.parameters ?? {}, key) && include?.values.includes('Basic:author') !== true)
    cases.push(at(`with another ${key}`, 'no-match', [...whole, [key, 'Basic:author']]));
  if (include === undefined) return cases;
  if (include.match === 'subset')
    cases.push(...include.values.map((value) => at(`with ${key} of ${value}`, 'match', [...whole, [key, value] as const])));
  // A missing target is every target, and so another one (attack case Q13).
  for (const value of include.values)
    if (value.split(':').length === 2) cases.push(at(`with a target in ${key}`, 'no-match', [...whole, [key, `${value}:Basic`]]));
  return cases;
}

function patientCases({ rule, type, at }: On, whole: Pairs): readonly ContractCase[] {
  const { patient } = rule;
  if (patient?.from === 'parameter') {
    const rest = whole.filter(([key]) => !patient.parameters.includes(key));
    return patient.parameters.flatMap((key) => [
      at(`with the patient as ${key}`, 'match', [...rest, [key, idOf(patient)] as const]),
      at(`with another patient as ${key} besides`, 'no-match', [...whole, [key, 'no-such-patient'] as const]),
      ...(patient.is === undefined
        ? []
        : [at(`with another patient as ${key}`, 'no-match', [...rest, [key, 'no-such-patient'] as const])]),
    ]);
  }
  if (patient?.from !== 'body' && patient?.from !== 'look-up') return [];
  const nobody = at('about nobody', 'no-match', whole, { body: { resourceType: type } });
  if (patient.is === undefined) return [nobody];
  return [nobody, at('about another patient', 'no-match', whole, { body: bodyOf(rule, type, 'Patient/no-such-patient') })];
}

function userCases({ rule, at }: On, whole: Pairs): readonly ContractCase[] {
  if (rule.user === undefined) return [];
  const user = rule.user === 'forbidden';
  return [at(user ? 'with a natural person' : 'without a natural person', 'no-match', whole, { user })];
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
