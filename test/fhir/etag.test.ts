import { describe, expect, it } from '@jest/globals';
import { parseETag, parseIfMatch, parseIfNoneMatch, parseIfNoneMatchList, printETag } from '../../src/fhir/etag.ts';
import { refusal } from './refusal.ts';

describe('entity tags', () => {
  it('of a request name exactly one version', () => {
    expect(parseIfMatch('W/"3"')).toBe('3');
    expect(parseIfMatch('"3"')).toBe('3');
    expect(parseIfMatch(printETag('a.b-1'))).toBe('a.b-1');
    for (const value of [
      '*',
      '',
      '"3" ',
      '"3", "4"',
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

  it('of a conditional read may be several, of which any may match', () => {
    expect(parseIfNoneMatchList('W/"7", W/"1"')).toEqual(['7', '1']);
    expect(parseIfNoneMatchList('"7",,\tW/"1" ,')).toEqual(['7', '1']);
    expect([parseIfNoneMatchList('W/"7"'), parseIfNoneMatchList('*')]).toEqual([['7'], '*']);
    const many = (count: number) => Array.from({ length: count }, (_, index) => `W/"${String(index)}"`).join();
    expect(parseIfNoneMatchList(many(32))).toHaveLength(32);
    for (const value of ['', ' , ', '7', 'W/"7", 8', 'W/"7", *', '*, W/"7"', 'W/"7" W/"8"', 'w/"7"', many(33), many(3000)])
      expect(refusal(() => parseIfNoneMatchList(value))).toBe('invalid_header');
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
