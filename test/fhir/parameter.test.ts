import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { searchParameterType } from '../../src/fhir/parameter-names.ts';
import { parseInclude } from '../../src/fhir/parameter-values.ts';
import { parseParameter, printParameter, splitPrefix } from '../../src/fhir/parameter.ts';

describe('a parameter', () => {
  it('keeps alternatives apart from commas that are text (Q4)', () => {
    expect(parseParameter({ name: 'code', value: 'a,b' }, 'R4').values).toEqual(['a', 'b']);
    expect(parseParameter({ name: 'code', value: 'a\\,b' }, 'R4').values).toEqual(['a\\,b']);
  });

  it('prints back what was read, whatever the text', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ minLength: 1 }), { minLength: 1, maxLength: 4 }), (texts) => {
        const escaped = texts.map((text) => text.replace(/[,|$\\]/g, '\\$&'));
        const value = escaped.join(',');
        const parameter = parseParameter({ name: 'code:text', value }, 'R4');
        expect(parameter.values).toEqual(escaped);
        expect(printParameter(parameter)).toEqual({ name: 'code:text', value });
      }),
    );
  });

  it('has a prefix where its type has one', () => {
    expect(splitPrefix('ge2020-01-01')).toEqual({ prefix: 'ge', rest: '2020-01-01' });
    expect(splitPrefix('2020')).toEqual({ prefix: 'eq', rest: '2020' });
  });

  it('is known by version and type', () => {
    expect(searchParameterType('STU3', 'Task', 'patient')).toBe('reference');
    expect(searchParameterType('R4', 'Observation', 'date')).toBe('date');
    expect(searchParameterType('R4', 'Task', 'birthdate')).toBeUndefined();
    expect(searchParameterType('R4', undefined, 'birthdate')).toBe('date');
    expect(searchParameterType('R4', 'Task', '_id')).toBe('token');
    expect(searchParameterType('STU3', 'Composition', 'constructor')).toBeUndefined();
  });

  it('that includes is read as a complete triple (Q13)', () => {
    expect(parseInclude('Observation:subject:Patient', 'R4')).toEqual({
      source: 'Observation',
      parameter: 'subject',
      target: 'Patient',
    });
    expect(parseInclude('Observation:subject', 'R4')).toEqual({ source: 'Observation', parameter: 'subject' });
    for (const value of [
      'Observation',
      'observation:subject',
      'Observation:subject:patient',
      'Observation:subject:Patient:x',
      '*',
    ]) {
      expect(parseInclude(value, 'R4')).toBeUndefined();
    }
  });
});
