import { describe, expect, it } from '@jest/globals';
import { join, resolve } from 'node:path';
import { isJsonObject, parseJsonText, type JsonObject } from '../../src/fhir/json.ts';
import { parseInteraction } from '../../src/fhir/parse-interaction.ts';
import { parseTarget } from '../../src/fhir/target.ts';
import { capabilityStatement } from '../../src/pdp/capabilities.ts';
import { establishPatient, isFault } from '../../src/pdp/patient.ts';
import { matchRules } from '../../src/pdp/rules.ts';
import { ruleFaults } from '../../src/usecase/check-rules.ts';
import { contractCases, type ContractCase } from '../../src/usecase/contract-cases.ts';
import type { Role, Rule, UseCase } from '../../src/usecase/index.ts';
import { ruleTable } from '../../src/usecase/rule-table.ts';
import template from '../../usecases/_template/index.ts';
import eoverdracht from '../../usecases/eoverdracht/index.ts';
import chart from '../attack/chart/index.ts';

// What the rules of every use case promise, tested from the rules alone. An integrator runs it for a folder of their own:
// SLUIS_USE_CASE=/path/to/folder npm run -s test:unit -- test/usecase/contract.test.ts

const named = process.env['SLUIS_USE_CASE'];
const own =
  named === undefined ? [] : [((await import(join(resolve(named), 'index.ts'))) as { readonly default: UseCase }).default];

async function matched(role: Role, { method, target, body }: ContractCase): Promise<string | undefined> {
  const { segments, query } = parseTarget(target, 0);
  const interaction = parseInteraction({ method, segments, query, version: role.fhirVersion });
  const match = matchRules(role.rules, interaction);
  if (!match.matched) return undefined;
  const resource = body === undefined ? undefined : json(body);
  for (const rule of match.rules) if (await isAbout(rule, interaction, resource)) return rule.id;
  return undefined;
}

async function isAbout(
  rule: Rule,
  interaction: ReturnType<typeof parseInteraction>,
  body: JsonObject | undefined,
): Promise<boolean> {
  if (rule.patient === undefined) return true;
  const read = () => Promise.resolve(body);
  return !isFault(
    await establishPatient(rule.patient, { interaction, body, information: { read }, grant: () => Promise.resolve(undefined) }),
  );
}

function json(value: object): JsonObject {
  const parsed = parseJsonText(JSON.stringify(value));
  if (!isJsonObject(parsed)) throw new Error('no object');
  return parsed;
}

describe.each([eoverdracht, template, chart, ...own].map((useCase) => [useCase.id, useCase] as const))(
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
          const found = await matched(role, each);
          if (expected === 'match') expect(found).toBe(ruleId);
          else expect(found).not.toBe(ruleId);
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
          for (const type of rule.types) expect(said).toContain(`"type":"${type}"`);
          if (rule.operation !== undefined) expect(said).toContain(rule.operation);
        }
      }
    });
  },
);
