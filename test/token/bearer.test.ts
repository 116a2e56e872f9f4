import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { GatewayError } from '../../src/errors.ts';
import { parseAuthorization } from '../../src/token/bearer.ts';

function codeOf(header: string | undefined): string {
  try {
    parseAuthorization(header);
    return 'accepted';
  } catch (error) {
    return error instanceof GatewayError ? error.code : 'thrown';
  }
}

describe('the Authorization header', () => {
  it.each(['Bearer', 'bearer', 'BEARER', 'bEaReR'])('takes the scheme in any letter case: %s (H10, check 9)', (scheme) => {
    expect(parseAuthorization(`${scheme} abc.def.ghi`)).toEqual({ scheme: 'bearer', token: 'abc.def.ghi' });
  });

  it('keeps the token of another scheme apart', () => {
    expect(parseAuthorization('DPoP abc')).toEqual({ scheme: 'dpop', token: 'abc' });
  });

  it.each([
    ['T1, check 1', undefined],
    ['check 2', ''],
    ['check 2', 'Bearer'],
    ['check 2', 'Bearer '],
    ['check 2', 'Basic dG9r'],
    ['H9', 'Bearer good, Bearer bad'],
    ['H9', 'Bearer good,bad'],
    ['H10', 'bearer  tok'],
    ['H10', 'Bearer\ttok'],
    ['H10', ' Bearer tok'],
    ['H10', 'Bearer tok '],
    ['H10', 'BearerX tok'],
    ['H10', 'Bearer tok;x'],
    ['H10', 'Bearer "tok"'],
    ['T18', 'Bearer bad&token=T-A'],
    ['T18', 'Bearer bad%26token'],
    ['T18', 'Bearer a=b'],
    ['non-ASCII', 'Bearer t\u00f6k'],
    ['line break', 'Bearer tok\nx'],
  ])('that is not one bearer token is none at all: %s %j', (_row, header) => {
    expect(codeOf(header)).toBe('token_missing');
  });

  it('takes a token of 8,192 characters, and none of one more (T19)', () => {
    expect(codeOf(`Bearer ${'x'.repeat(8_192)}`)).toBe('accepted');
    expect(codeOf(`Bearer ${'x'.repeat(8_193)}`)).toBe('token_invalid');
    expect(codeOf(`Bearer ${'x'.repeat(1_000_000)}`)).toBe('token_invalid');
  });

  it('never accepts more than it says: what is accepted is the scheme, one blank, and the token', () => {
    const piece = fc.constantFrom(
      'Bearer',
      'bearer',
      'DPoP',
      ' ',
      '\t',
      ',',
      ';',
      '=',
      '==',
      'a',
      'Z9',
      '.',
      '-',
      '_',
      '~',
      '+',
      '/',
      '"',
    );
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join('')),
        (header) => {
          if (codeOf(header) !== 'accepted') return;
          const { scheme, token } = parseAuthorization(header);
          expect(header.toLowerCase()).toBe(`${scheme} ${token}`.toLowerCase());
          expect(header.endsWith(` ${token}`)).toBe(true);
          expect(token).toMatch(/^[A-Za-z0-9._~+/-]+=*$/);
        },
      ),
      { numRuns: 2_000 },
    );
  });
});
