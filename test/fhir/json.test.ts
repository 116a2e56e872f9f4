import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { isJsonObject, JsonNumber, parseJson, parseJsonObject, printJson, type JsonValue } from '../../src/fhir/json.ts';
import { refusal, refused } from './refusal.ts';

const encoder = new TextEncoder();

function parse(text: string): JsonValue {
  return parseJson(encoder.encode(text));
}

/** The same value with ordinary objects, to compare with what JSON.parse gives. */
function plain(value: JsonValue): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (isJsonObject(value)) return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, plain(member)]));
  return value;
}

describe('strict JSON', () => {
  it('gives objects that have no prototype', () => {
    const value = parse('{"a":{"b":[1,true,null,"x"]}}');
    expect(plain(value)).toEqual({ a: { b: [1, true, null, 'x'] } });
    expect(isJsonObject(value) && Object.getPrototypeOf(value) === null && value['toString'] === undefined).toBe(true);
  });

  it('knows names apart however alike they are to it, and refuses the second of one in any spelling', () => {
    // Of one hash: what is remembered of one must not be taken for the other.
    for (const [one, other] of [
      ['Aa', 'BB'],
      ['AaAa', 'BBBB'],
      ['', 'a'],
      ['x'.repeat(39), 'x'.repeat(40)],
      ['idx', 'id'],
    ] as const) {
      for (let i = 0; i < 3; i += 1) {
        expect(plain(parse(`{"${one}":1,"${other}":2}`))).toEqual({ [one]: 1, [other]: 2 });
        expect(plain(parse(`{"${other}":1}`))).toEqual({ [other]: 1 });
        expect(refusal(() => parse(`{"${one}":1,"${other}":2,"${one}":3}`))).toBe('invalid_body');
      }
    }
    const letters = fc.string({ unit: fc.constantFrom('A', 'B', 'a', 'b', '_', '1', 'é', '\\', 'K'), maxLength: 4 });
    fc.assert(
      fc.property(fc.dictionary(letters, fc.integer(), { noNullPrototype: true }), (value) => {
        expect(plain(parse(JSON.stringify(value)))).toEqual(value);
      }),
    );
  });

  it.each([
    ['C17', '{"subject":1,"subject":2}'],
    ['C17', '{"a":{"b":1,"b":1}}'],
    ['C17', '{"a":1,"\\u0061":2}'],
    ['C19', '{"__proto__":{}}'],
    ['C19', '{"a":[{"constructor":1}]}'],
    ['C19', '{"prototype":1}'],
    ['C19', '{"\\u005f_proto__":1}'],
    ['C23', '"\\ud800"'],
    ['C23', '"\\ud800\\u0041"'],
    ['C23', '"\\udc00"'],
    ['C23', '"\\udc00\\ud800"'],
    ['C23', '"\\ud800x"'],
    ['C23', '"\\u0000"'],
    ['C23', '"a\u0000"'],
    ['C23', '\ufeff{}'],
    ['S8', `${'['.repeat(65)}${']'.repeat(65)}`],
    ['S8', '['.repeat(100_000)],
    ['S8', '{"a":'.repeat(100_000)],
    ['', ''],
    ['', ' '],
    ['', '{} x'],
    ['', '{}{}'],
    ['', '{"a":1,}'],
    ['', '[1,]'],
    ['', '[1 2]'],
    ['', '{"a" 1}'],
    ['', '{a:1}'],
    ['', "{'a':1}"],
    ['', '"\n"'],
    ['', '"\\x41"'],
    ['', '"\\u00g0"'],
    ['', '"\\u 123"'],
    ['', '"abc'],
    ['', '"abc\\'],
    ['', '{"a":1'],
    ['', '[1'],
    ['', '01'],
    ['', '-01'],
    ['', '+1'],
    ['', '1.'],
    ['', '.5'],
    ['', '1e'],
    ['', '1e+'],
    ['', '-'],
    ['', '0x10'],
    ['', 'NaN'],
    ['', 'Infinity'],
    ['', 'tru'],
    ['', 'nullx'],
    ['', '/*x*/1'],
    ['', '\u00a01'],
  ])('refuses what parsers read differently: %s %#', (_row, text) => {
    expect(refusal(() => parse(text))).toBe('invalid_body');
  });

  it('refuses bytes that are not UTF-8', () => {
    for (const bytes of [
      [0x22, 0xff, 0x22],
      [0x22, 0xc0, 0xae, 0x22],
      [0x22, 0xed, 0xa0, 0x80, 0x22],
      [0xff, 0xfe, 0x31, 0x00],
      [0x22, 0xe2, 0x82],
    ]) {
      expect(refusal(() => parseJson(Uint8Array.from(bytes)))).toBe('invalid_body');
    }
  });

  it('says where, and nothing of what was there', () => {
    const error = refused(() => parse('{"secret":1,"secret":2}'));
    expect(error.options.fields).toEqual([{ field: 'body', problem: 'has a repeated member at character 12' }]);
    expect(JSON.stringify([error.message, error.options])).not.toContain('secret');
  });

  it('takes 64 levels, pairs of surrogates and every escape', () => {
    expect(refusal(() => parse(`${'['.repeat(64)}${']'.repeat(64)}`))).toBe('accepted');
    expect(parse('"\\ud83d\\ude00 \u{1f600} \\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9"')).toBe('\u{1f600} \u{1f600} "\\/\b\f\n\r\t\u00e9');
  });

  it('keeps the text of numbers that JavaScript would change (C20)', () => {
    const text = '[1,1.50,1e400,-0,123456789012345678901234567890.10,0.1,1E5,1e-7,100,0.30000000000000004,9007199254740993]';
    const value = parse(text);
    expect(printJson(value)).toBe(text);
    expect(Array.isArray(value) && value.map((item: JsonValue) => item instanceof JsonNumber)).toEqual([
      false,
      true,
      true,
      true,
      true,
      false,
      true,
      false,
      false,
      false,
      true,
    ]);
    expect(printJson({ a: new JsonNumber('1.50') })).toBe('{"a":1.50}');
  });

  it('takes an object where a resource is expected, and nothing else', () => {
    expect(parseJsonObject(encoder.encode('{"resourceType":"Task"}'))['resourceType']).toBe('Task');
    for (const text of ['[]', 'null', '1.50', '"x"'])
      expect(refusal(() => parseJsonObject(encoder.encode(text)))).toBe('invalid_body');
  });

  it('reads valid JSON as JSON.parse does, and prints it back', () => {
    const names = ['__proto__', 'constructor', 'prototype'];
    fc.assert(
      fc.property(fc.json({ stringUnit: 'grapheme', maxDepth: 8 }), fc.boolean(), (compact, spaced) => {
        fc.pre(!names.some((name) => compact.includes(name)) && !compact.includes('\\u0000'));
        const native: unknown = JSON.parse(compact);
        const text = spaced ? JSON.stringify(native, undefined, ' \t') : compact;
        const value = parse(text);
        expect(JSON.parse(printJson(value))).toEqual(native);
        expect(parse(printJson(value))).toEqual(value);
      }),
      { numRuns: 5000 },
    );
  });

  it('throws nothing but its refusal, whatever the bytes, and takes only what JSON.parse takes', () => {
    const piece = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"',
      '\\',
      'u',
      '"a"',
      '1',
      '-',
      '.',
      'e',
      'true',
      'null',
      ' ',
      'd800',
      '\u00e9',
    );
    const bytes = fc.oneof(
      fc.array(piece, { maxLength: 12 }).map((pieces) => encoder.encode(pieces.join(''))),
      fc.uint8Array({ maxLength: 12 }),
    );
    let accepted = 0;
    fc.assert(
      fc.property(bytes, (input) => {
        if (refusal(() => parseJson(input)) !== 'accepted') return;
        accepted += 1;
        JSON.parse(new TextDecoder().decode(input));
      }),
      { numRuns: 50_000 },
    );
    expect(accepted).toBeGreaterThan(100);
  });
});
