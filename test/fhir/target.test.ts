import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parseQuery, parseTarget, printQuery } from '../../src/fhir/target.ts';
import { refusal, refused } from './refusal.ts';

describe('a request target', () => {
  it('is read into decoded segments and a flat list of pairs', () => {
    expect(parseTarget('/a/fhir/Composition/1/%24document?_format=json&code=http%3A%2F%2Floinc.org%7C1+2&code=x|y')).toEqual({
      segments: ['a', 'fhir', 'Composition', '1', '$document'],
      query: [
        { name: '_format', value: 'json' },
        { name: 'code', value: 'http://loinc.org|1 2' },
        { name: 'code', value: 'x|y' },
      ],
    });
  });

  it('may end in one slash directly after the base, and nowhere else', () => {
    expect(parseTarget('/a/fhir/?_type=Patient').segments).toEqual(['a', 'fhir']);
    expect(parseTarget('/fhir/', 1).segments).toEqual(['fhir']);
    expect(refusal(() => parseTarget('/a/fhir/Task/T1/'))).toBe('invalid_target');
    expect(refusal(() => parseTarget('/a/'))).toBe('invalid_target');
    expect(refusal(() => parseTarget('/a/fhir//'))).toBe('invalid_target');
  });

  it('keeps ids with dots and hyphens (P30)', () => {
    for (const id of ['a..b', '1...2', '-.-', '...']) {
      expect(parseTarget(`/a/fhir/Patient/${id}`).segments.at(-1)).toBe(id);
    }
  });

  it.each([
    ['P1', '/a/fhir/Patient%2Fmine'],
    ['P1', '/a/fhir/Patient%2fmine'],
    ['P1', '/a/fhir/Patient%5Cmine'],
    ['P1', '/a/fhir/Patient%5cmine'],
    ['P2', '/a/fhir/Patient/mine/../other'],
    ['P3', '/a/fhir/Patient/mine/%2e%2e/other'],
    ['P3', '/a/fhir/Patient/mine/.%2E/other'],
    ['P4', '/a/fhir/Patient/mine/%252e%252e/other'],
    ['P4', '/a/fhir/Patient/mine/%25252525252e/other'],
    ['P5', '/a/fhir/Patient/..'],
    ['P5', '/a/fhir/Patient/.'],
    ['P7', '/a/fhir/Patient\\other'],
    ['P8', '/a/fhir/Patient;x=1/other'],
    ['P8', '/a/fhir/Patient/other;jsessionid=1'],
    ['P8', '/a/fhir/Patient/other%3Bx'],
    ['P12', '/a/fhir/metadata/../Patient/other'],
    ['P13', '/admin-ui/..;/fhir/Patient'],
    ['P13', '/healthz/../a/fhir/Patient'],
    ['P14', 'http://internal-fhir:8080/fhir/Patient'],
    ['P15', '//evil.example/Patient'],
    ['P16', 'fhir:443'],
    ['P16', '*'],
    ['P18', '/a/fhir/Patient/%zz'],
    ['P18', '/a/fhir/Patient/%2'],
    ['P18', '/a/fhir/Patient/%'],
    ['P18', '/a/fhir/Patient/%C0%AE%C0%AE/other'],
    ['P29', '/a/fhir/P\u0430tient'],
    ['P29', '/a/fhir/P%D0%B0tient'],
    ['P29', '/a/fhir/Patient\uff0fmine'],
    ['', '/a/fhir/Patient/1%00'],
    ['', '/a/fhir/Patient/1#x'],
    ['', '/a//fhir/Patient'],
    ['', '/a/fhir/Patient/a b'],
    ['', '/a/fhir/Patient/a%20b'],
    ['', ''],
    ['', '?x=y'],
  ])('refuses what two readers may read differently: %s %s', (_row, target) => {
    expect(refusal(() => parseTarget(target))).toBe('invalid_target');
  });

  it('refuses one that is too long or too deep before it looks at it (P26)', () => {
    expect(refusal(() => parseTarget(`/${'a'.repeat(20_000)}`))).toBe('target_too_long');
    expect(refusal(() => parseTarget('/a'.repeat(300)))).toBe('target_too_long');
  });
});

describe('a query', () => {
  it.each([
    ['Q52', 'patient='],
    ['Q52', 'patient'],
    ['Q52', '=x'],
    ['', 'a=1&&b=2'],
    ['', '&a=1'],
    ['', 'a=1&'],
    ['', 'a=%zz'],
    ['', 'a=%C0%AE'],
    ['', 'a=%00'],
    ['', 'a=%0d%0a'],
    ['', 'a=\u00e9'],
    ['', 'a=b#c'],
    ['', 'a=b\\c'],
    ['Q7', 'patient[]=other'],
    ['H11', 'access_token=abc'],
    ['H11', 'ACCESS%5Ftoken=abc'],
    ['Q45', Array.from({ length: 5000 }, () => 'date=ge2020').join('&')],
  ])('is refused when it is not name=value throughout: %s %#', (_row, query) => {
    expect(refusal(() => parseQuery(query))).toBe('invalid_parameter');
  });

  it('never tells the token that was in it', () => {
    const error = refused(() => parseQuery('access_token=s3cr3t'));
    expect(JSON.stringify([error.message, error.options])).not.toContain('s3cr3t');
    expect(error.options.fields?.[0]?.field).toBe('access_token');
  });

  it('is printed in one canonical way that reads back the same', () => {
    const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }).filter((value) => !/[\p{Cc}\p{Cs}]/u.test(value));
    const pair = fc.record({ name: text.filter((name) => name.toLowerCase() !== 'access_token'), value: text });
    fc.assert(
      fc.property(fc.array(pair, { maxLength: 10 }), (pairs) => {
        const printed = printQuery(pairs);
        expect(printed).toMatch(/^[A-Za-z0-9._~%&=-]*$/);
        expect(parseQuery(printed)).toEqual(pairs);
      }),
      { numRuns: 2000 },
    );
  });
});
