import { FHIR_JSON } from '../fhir/media.ts';
import type { JsonObject } from '../fhir/json.ts';
import { searchParameterType } from '../fhir/parameter-names.ts';
import type { Role } from '../usecase/definition.ts';
import type { IncludeRule, Rule } from '../usecase/rules.ts';

export interface CapabilityOptions {
  /** Our FHIR base of the tenant, without a slash at its end. */
  readonly base: string;
  /** What the use case is called. */
  readonly title: string;
  readonly now: Date;
}

const FHIR_VERSIONS = { STU3: '3.0.2', R4: '4.0.1' } as const;
const TYPE_INTERACTIONS: ReadonlySet<string> = new Set([
  'read',
  'vread',
  'update',
  'patch',
  'delete',
  'history-instance',
  'history-type',
  'create',
  'search-type',
]);

/**
 * The CapabilityStatement of one role: what its rules let its callers ask, and nothing of the server behind the gate.
 * (capabilitystatement.html of STU3 and R4; STU3 has operations at the system only.)
 */
export function capabilityStatement(role: Role, { base, title, now }: CapabilityOptions): JsonObject {
  const isStu3 = role.fhirVersion === 'STU3';
  const types = [...new Set(role.rules.flatMap((rule) => rule.types))].sort();
  const system = role.rules.flatMap(({ interaction }) => {
    if (interaction === 'bundle') return ['batch', 'transaction'];
    return interaction === 'search-system' || interaction === 'history-system' ? [interaction] : [];
  });
  const operations = role.rules.filter(({ operation, types: on }) => operation !== undefined && (isStu3 || on.length === 0));
  return {
    resourceType: 'CapabilityStatement',
    status: 'active',
    date: now.toISOString(),
    kind: 'instance',
    software: { name: 'Sluis' },
    implementation: { description: `${title}: ${role.id}`, url: base },
    fhirVersion: FHIR_VERSIONS[role.fhirVersion],
    ...(isStu3 ? { acceptUnknown: 'no' } : {}),
    format: [FHIR_JSON],
    rest: [
      {
        mode: 'server',
        ...listed(
          'resource',
          types.map((type) => resourceOf(role, type)),
        ),
        ...listed(
          'interaction',
          [...new Set(system)].map((code) => ({ code })),
        ),
        ...listed(
          'operation',
          operations.flatMap((rule) => operationOf(rule, rule.types[0], isStu3)),
        ),
      },
    ],
  };
}

function resourceOf(role: Role, type: string): JsonObject {
  const rules = role.rules.filter((rule) => rule.types.includes(type));
  const interactions = new Map<string, string | undefined>();
  for (const { interaction, title } of rules) {
    if (TYPE_INTERACTIONS.has(interaction) && !interactions.has(interaction)) interactions.set(interaction, title);
  }
  const names = new Set(rules.flatMap(searchNames));
  const parameters = [...names].sort().flatMap((name) => {
    // How a result looks is no search parameter.
    const kind = searchParameterType(role.fhirVersion, type, name);
    return kind === undefined ? [] : [{ name, type: kind }];
  });
  const operations = role.fhirVersion === 'STU3' ? [] : rules.flatMap((rule) => operationOf(rule, type, false));
  return {
    type,
    ...listed(
      'interaction',
      [...interactions].map(([code, documentation]) => ({ code, ...(documentation === undefined ? {} : { documentation }) })),
    ),
    ...(rules.some(({ ifMatch }) => ifMatch === 'required') ? { versioning: 'versioned-update' } : {}),
    ...(rules.some(({ interaction }) => interaction === 'conditional-create') ? { conditionalCreate: true } : {}),
    ...listed(
      'searchInclude',
      valuesOf(rules, ({ includes }) => includes),
    ),
    ...listed(
      'searchRevInclude',
      valuesOf(rules, ({ revincludes }) => revincludes),
    ),
    ...listed('searchParam', parameters),
    ...listed('operation', operations),
  };
}

/** Without modifiers and chains: a CapabilityStatement has no place for them. */
function searchNames({ interaction, parameters, patient }: Rule): readonly string[] {
  if (interaction !== 'search-type') return [];
  const named = Object.keys(parameters ?? {}).map((key) => key.split(/[:.]/)[0] ?? key);
  return patient?.from === 'parameter' ? [...named, ...patient.parameters] : named;
}

function operationOf({ operation, title }: Rule, type: string | undefined, isStu3: boolean): readonly JsonObject[] {
  if (operation === undefined) return [];
  const canonical = `http://hl7.org/fhir/OperationDefinition/${type ?? 'Resource'}-${operation}`;
  return [
    {
      name: operation,
      definition: isStu3 ? { reference: canonical } : canonical,
      ...(isStu3 || title === undefined ? {} : { documentation: title }),
    },
  ];
}

function valuesOf(rules: readonly Rule[], of: (rule: Rule) => IncludeRule | undefined): readonly string[] {
  return [...new Set(rules.flatMap((rule) => of(rule)?.values ?? []))];
}

/** FHIR's JSON has no empty lists. */
function listed(name: string, list: readonly (JsonObject | string)[]): JsonObject {
  return list.length === 0 ? {} : { [name]: list };
}
