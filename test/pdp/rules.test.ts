import { describe, expect, it } from '@jest/globals';
import { parseInteraction } from '../../src/fhir/parse-interaction.ts';
import { parseTarget } from '../../src/fhir/target.ts';
import { grantOperation } from '../../src/pdp/operation.ts';
import { matchRules } from '../../src/pdp/rules.ts';
import { sender } from './support.ts';

function read(method: string, target: string) {
  const { segments, query } = parseTarget(target, 0);
  return parseInteraction({ method, segments, query, version: 'STU3' });
}
const outcome = (method: string, target: string): string => {
  const match = matchRules(sender.rules, read(method, target));
  return match.matched ? match.rules.map(({ id }) => id).join() : match.fault.code;
};

describe('the rules of a role', () => {
  it.each([
    ['GET', '/Task/1', 'read'],
    ['HEAD', '/Task/1', 'read'],
    ['GET', '/Task/1?_summary=true', 'read'],
    ['GET', '/Task/1?_format=json&_pretty=true', 'read'],
    ['PUT', '/Task/1', 'update'],
    ['GET', '/Composition/1/$document', 'document'],
    ['GET', '/Patient?_id=1', 'search'],
    ['POST', '/Patient/_search', 'search'],
  ])('match what they name: %s %s (M5, M12)', (method, target, rule) => {
    expect(outcome(method, target)).toBe(rule);
  });

  it.each([
    ['GET', '/Observation/1', 'no_rule'],
    ['GET', '/Task?_id=1', 'no_rule'],
    ['PUT', '/Patient/1', 'no_rule'],
    ['PUT', '/Task?_id=1', 'no_rule'],
    ['GET', '/Task/1/_history', 'no_rule'],
    ['GET', '/Task/1/_history/1', 'no_rule'],
    ['GET', '/Composition/1/$everything', 'no_rule'],
    ['GET', '/Composition/$document', 'no_rule'],
    ['GET', '/$document', 'no_rule'],
    ['GET', '/metadata', 'no_rule'],
    ['POST', '/', 'no_rule'],
    ['GET', '/Task/1?_elements=id', 'parameter_not_in_rule'],
    ['GET', '/Composition/1/$document?persist=true', 'parameter_not_in_rule'],
    ['GET', '/Patient?_id=1&name=x', 'parameter_not_in_rule'],
    ['GET', '/Patient?_id:not=1', 'parameter_not_in_rule'],
  ])('match nothing else: %s %s (E3, check 63)', (method, target, code) => {
    expect(outcome(method, target)).toBe(code);
  });
});

describe('the word of a grant', () => {
  it.each([
    ['GET', '/Task/1', 'read'],
    ['HEAD', '/Task/1', 'read'],
    ['GET', '/Task/1/_history/1', 'vread'],
    ['GET', '/Task/1/_history', 'history'],
    ['PUT', '/Task/1', 'update'],
    ['PATCH', '/Task/1', 'patch'],
    ['DELETE', '/Task/1', 'delete'],
    ['POST', '/Task', 'create'],
    ['GET', '/Task?_id=1', 'search'],
    ['GET', '/Composition/1/$document', 'document'],
    ['GET', '/Task/1/$document', undefined],
    ['GET', '/Composition/1/$everything', undefined],
    ['GET', '/metadata', undefined],
    ['POST', '/', undefined],
    ['PUT', '/Task?_id=1', undefined],
    ['DELETE', '/Task?_id=1', undefined],
    ['GET', '/_history', undefined],
  ])('for %s %s is %s (check 58)', (method, target, word) => {
    expect(grantOperation(read(method, target))).toBe(word);
  });
});
