import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { dateFault } from '../../src/fhir/date-value.ts';
import type { Interaction } from '../../src/fhir/interaction.ts';
import { parseInteraction } from '../../src/fhir/parse-interaction.ts';
import { printInteraction } from '../../src/fhir/print-interaction.ts';
import { parseTarget } from '../../src/fhir/target.ts';
import type { FhirVersion } from '../../src/fhir/version.ts';
import { refused } from './refusal.ts';

function parse(query: string, version: FhirVersion): Interaction {
  const target = parseTarget(`/${query}`, 0);
  return parseInteraction({ method: 'GET', segments: target.segments, query: target.query, version });
}

describe('a date of a search', () => {
  it.each([
    '2026',
    '2026-12',
    '2026-12-31',
    '2024-02-29',
    '2000-02-29',
    '2026-04-30',
    '2026-11-24T10:00',
    '2026-11-24T23:59:60',
    '2016-12-31T23:59:60.123456789Z',
    '2026-11-24T00:00:00-14:00',
    '2026-11-24T00:00:00+14:00',
  ])('is taken when it is one: %s', (value) => {
    expect(dateFault(value)).toBeUndefined();
  });

  it.each([
    ['2020-02-30', 'calendar'],
    ['2023-02-29', 'calendar'],
    ['1900-02-29', 'calendar'],
    ['2026-04-31', 'calendar'],
    ['2026-13', 'calendar'],
    ['2026-00', 'calendar'],
    ['2026-01-00', 'calendar'],
    ['2026-01-32T10:00Z', 'calendar'],
    ['0000', 'calendar'],
    ['2026-11-24T24:00:00', 'clock'],
    ['2026-11-24T10:60', 'clock'],
    ['2026-11-24T10:00:61', 'clock'],
    ['2026-11-24T10:00:00+14:01', 'time zone'],
    ['2026-11-24T10:00:00-01:60', 'time zone'],
    ['2026-11-24T10:00:00 01:00', '%2B'],
    ['2026-11-24T10:00 01:00', '%2B'],
    ['2026-11-24T10', 'must be a date'],
    ['2026-11-24 10:00', 'must be a date'],
    ['2026-1-1', 'must be a date'],
    ['2026-11-24T10:00:00+0100', 'must be a date'],
    ['', 'must be a date'],
  ])('is refused in words that help: %s, %s', (value, words) => {
    expect(dateFault(value)).toContain(words);
  });

  it('is a day exactly where the calendar has it', () => {
    const number = (max: number) => fc.integer({ min: 0, max });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9999 }), number(13), number(32), (year, month, day) => {
        const text = `${String(year).padStart(4, '0')}-${String(month).padStart(2, '0')}-${String(day).padStart(2, '0')}`;
        const read = new Date(`${text}T00:00:00Z`);
        const isDay = !Number.isNaN(read.getTime()) && read.toISOString().startsWith(text);
        return (dateFault(text) === undefined) === isDay;
      }),
    );
  });
});

describe.each<FhirVersion>(['STU3', 'R4'])('a search in %s', (version) => {
  it.each([
    'Observation?date=2020-02-30',
    'Observation?date=ge2020-02-30',
    'Observation?date=2020-01-01,2020-02-30',
    'Observation?_lastUpdated=lt2020-13',
    'Patient?birthdate=2023-02-29',
    'Observation/_history?_since=2020-02-30T10:00:00Z',
  ])('is refused for a day that is none: %s', (query) => {
    const { code, options } = refused(() => parse(query, version));
    expect([code, options.fields]).toMatchObject(['invalid_parameter', [{ problem: 'names a day that is not in the calendar' }]]);
  });

  it('takes the plus of a time zone when it is percent-encoded, and sends it so', () => {
    const query = 'Observation?date=ge2020-01-01T10:00:00%2B01:00';
    const interaction = parse(query, version);
    expect(interaction).toMatchObject({ parameters: [{ values: ['ge2020-01-01T10:00:00+01:00'] }] });
    expect(printInteraction(interaction).query).toBe('date=ge2020-01-01T10%3A00%3A00%2B01%3A00');
  });

  it.each(['Observation?date=ge2020-01-01T10:00:00+01:00', 'Observation?date=2020-01-01T10:00+01:00'])(
    'says of a bare plus what to write instead: %s',
    (query) => {
      const { code, options } = refused(() => parse(query, version));
      expect(code).toBe('invalid_parameter');
      expect(options.fields?.[0]).toMatchObject({ field: 'date' });
      expect(options.fields?.[0]?.problem).toContain('%2B');
    },
  );
});
