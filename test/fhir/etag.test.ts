import { describe, expect, it } from '@jest/globals';
import { parseETag, parseIfMatch, parseIfNoneMatch, printETag } from '../../src/fhir/etag.ts';
import { refusal } from './refusal.ts';

describe('entity tags', () => {
  it('of a request name exactly one version', () => {
    expect(parseIfMatch('W/"3"')).toBe('3');
    expect(parseIfMatch(printETag('a.b-1'))).toBe('a.b-1');
    for (const value of [
      '*',
      '',
      '"3"',
      '3',
      'w/"3"',
      'W/"3',
      'W/3',
      'W/""',
      'W/"1", W/"2"',
      'W/"a b"',
      ' W/"3"',
      'W/"3" ',
      'W/"..".',
    ]) {
      expect(refusal(() => parseIfMatch(value))).toBe('invalid_header');
    }
  });

  it('of a conditional read may be strong or a star', () => {
    expect(['W/"3"', '"3"', '*'].map(parseIfNoneMatch)).toEqual(['3', '3', '*']);
    expect(refusal(() => parseIfNoneMatch('"1", "2"'))).toBe('invalid_header');
  });

  it('of an answer are read when they are a version', () => {
    expect(['W/"3"', '"3"', '3', '"', 'W/"', '""', 'W/"a"b"'].map(parseETag)).toEqual([
      '3',
      '3',
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });
});
