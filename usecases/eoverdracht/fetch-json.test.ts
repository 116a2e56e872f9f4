import { describe, expect, it } from '@jest/globals';
import { GatewayError, printJson } from 'sluis/usecase';
import { parseResource } from './fetch-json.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('an answer of another party', () => {
  it('is read as it was written', () => {
    const text = '{"a":[1,1.50,-0.0,1e3,{"b":":\\"{:"}],"c":null,"rawJSON":"x","":true}';
    expect(printJson(parseResource(bytes(text)))).toBe(text);
  });

  it.each([
    '{"a":1,"a":2}',
    '{"a":{"b":1,"b":1}}',
    '{"a":1,"\\u0061":2}',
    '{"__proto__":{}}',
    '{"a":"\\ud800"}',
    '{"a":"\\u0000"}',
    '\uFEFF{}',
    '[]',
    '1',
    '',
    '{} {}',
    `${'{"a":'.repeat(80)}1${'}'.repeat(80)}`,
  ])('is refused when it could be read in two ways: %s', (text) => {
    expect(() => parseResource(bytes(text))).toThrow(GatewayError);
  });

  it('is refused when it is not UTF-8', () => {
    expect(() => parseResource(Uint8Array.of(0x22, 0xff, 0x22))).toThrow(GatewayError);
  });
});
