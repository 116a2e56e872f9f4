import { describe, expect, it } from '@jest/globals';
import { join, resolve } from 'node:path';
import { GatewayError } from '../../src/errors.ts';
import type { Interaction } from '../../src/fhir/interaction.ts';
import { isJsonObject, parseJsonText, type JsonObject } from '../../src/fhir/json.ts';
import { parseInteraction } from '../../src/fhir/parse-interaction.ts';
import { parseQuery, parseTarget } from '../../src/fhir/target.ts';
import { userFault } from '../../src/pdp/bind-rule.ts';
import { capabilityStatement } from '../../src/pdp/capabilities.ts';
import { establishPatient, isFault } from '../../src/pdp/patient.ts';
import { matchRules } from '../../src/pdp/rules.ts';
import { ruleFaults } from '../../src/usecase/check-rules.ts';
import { contractCases, type ContractCase } from '../../src/usecase/contract-cases.ts';
import { defineUseCase, permitByRule, type Grant, type Role, type Rule, type UseCase } from '../../src/usecase/index.ts';
import { ruleTable } from '../../src/usecase/rule-table.ts';
import template from '../../usecases/_template/index.ts';
import eoverdracht from '../../usecases/eoverdracht/index.ts';
import chart from '../attack/chart/index.ts';
import { WRITES } from '../support/writes-use-case.ts';

// What the rules of every use case promise, tested from the rules alone. An integrator runs it for a folder of their own:
// SLUIS_USE_CASE=/path/to/folder npm run -s test:unit -- test/usecase/contract.test.ts

const named = process.env['SLUIS_USE_CASE'];
const own =
  named === undefined ? [] : [((await import(join(resolve(named), 'index.ts'))) as { readonly default: UseCase }).default];

/** Whether the rule alone lets the request in; what is no FHIR request at all is let in by none. */
async function isMatched(role: Role, rule: Rule, { method, target, form, headers, body, user }: ContractCase): Promise<boolean> {
  const { segments, query } = parseTarget(target, 0);
  const version = role.fhirVersion;
  const contentType = headers?.['content-type'];
  const ifNoneExist = headers?.['if-none-exist'];
  let interaction: Interaction;
  try {
    interaction = parseInteraction({
      method,
      segments,
      query,
      version,
      ...(form === undefined ? {} : { form: parseQuery(form) }),
      ...(contentType === undefined ? {} : { contentType }),
      ...(ifNoneExist === undefined ? {} : { ifNoneExist }),
    });
  } catch (error) {
    if (error instanceof GatewayError) return false;
    throw error;
  }
  if (!matchRules([rule], interaction).matched || userFault(rule, user) !== undefined) return false;
  return isAbout(rule, interaction, body === undefined ? undefined : json(body));
}

const grant: Grant = {
  id: 'g1',
  requester: 'r',
  purpose: 'p',
  state: 'live',
  kind: 'k',
  recordId: 'r1',
  resources: [],
  patient: 'Patient/p1',
};

async function isAbout(rule: Rule, interaction: Interaction, body: JsonObject | undefined): Promise<boolean> {
  if (rule.patient === undefined) return true;
  const read = () => Promise.resolve(body);
  const { is } = rule.patient;
  const granted = { ...grant, patient: is?.[0] ?? 'Patient/p1' };
  return !isFault(
    await establishPatient(rule.patient, { interaction, body, information: { read }, grant: () => Promise.resolve(granted) }),
  );
}

function json(value: object): JsonObject {
  const parsed = parseJsonText(JSON.stringify(value));
  if (!isJsonObject(parsed)) throw new Error('no object');
  return parsed;
}

/** What STU3 can say in words only. */
const UNLISTED = defineUseCase({
  id: 'unlisted',
  title: 'Unlisted',
  parseConfig: () => undefined,
  decide: permitByRule,
  roles: [
    {
      id: 'caller',
      purpose: 'unlisted',
      scopes: [],
      fhirVersion: 'STU3',
      rules: [
        {
          id: 'everything',
          interaction: 'operation-instance',
          types: ['Patient'],
          operation: 'everything',
          patient: { from: 'path' },
          user: 'required',
        },
        {
          id: 'of-patient',
          interaction: 'search-compartment',
          types: ['Condition'],
          patient: { from: 'path' },
          narrow: [{ parameter: 'patient', with: 'patient', element: 'subject' }],
        },
      ],
    },
  ],
});

describe.each([eoverdracht, template, chart, WRITES, UNLISTED, ...own].map((useCase) => [useCase.id, useCase] as const))(
  'the rules of %s',
  (_id, useCase) => {
    const cases = contractCases(useCase);

    it('hold, and each has a case', () => {
      expect(ruleFaults(useCase)).toEqual([]);
      const rules = useCase.roles.flatMap((role) => role.rules.map((rule) => `${role.id} ${rule.id}`));
      expect(new Set(cases.map(({ role, rule }) => `${role} ${rule}`))).toEqual(new Set(rules));
    });

    if (cases.length > 0) {
      it.each(cases.map((each) => [each.role, each.rule, each.name, each.expect, each] as const))(
        '%s %s: %s is a %s',
        async (_role, ruleId, _name, expected, each) => {
          const role = useCase.roles.find(({ id }) => id === each.role);
          if (role === undefined) throw new Error('no role');
          const rule = role.rules.find(({ id }) => id === ruleId);
          if (rule === undefined) throw new Error('no rule');
          expect(await isMatched(role, rule, each)).toBe(expected === 'match');
        },
      );
    }

    it('stand in the table and in the CapabilityStatement, each of them', () => {
      const table = ruleTable(useCase);
      for (const role of useCase.roles) {
        const said = JSON.stringify(
          capabilityStatement(role, { base: 'https://gate.example/a/fhir', title: useCase.title, now: new Date(0) }),
        );
        for (const rule of role.rules) {
          expect(table).toContain(`\`${rule.id}\``);
          // STU3 lists no resource without an interaction: that one is told in words.
          for (const type of rule.types)
            expect(said).toMatch(new RegExp(`"type":"${type}"|\\b${type} (?:by \\$|in a compartment)`));
          if (rule.operation !== undefined) expect(said).toContain(rule.operation);
        }
      }
    });
  },
);
