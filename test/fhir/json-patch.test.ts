import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { equalJson } from '../../src/fhir/json-equal.ts';
import { applyJsonPatch, parseJsonPatch } from '../../src/fhir/json-patch.ts';
import { parseJsonText, printJson, type JsonObject } from '../../src/fhir/json.ts';
import { refusal, refused } from './refusal.ts';

const read = (value: unknown) => parseJsonText(JSON.stringify(value));
const resource = (value: unknown): JsonObject => read(value) as JsonObject;

function apply(document: unknown, ...steps: object[]): unknown {
  const patched = applyJsonPatch(resource(document), parseJsonPatch(read(steps)));
  return patched.outcome === 'patched' ? JSON.parse(printJson(patched.resource)) : `unfit at ${String(patched.step)}`;
}

describe('a JSON Patch', () => {
  // The examples of RFC 6902, Appendix A, that are about objects.
  it.each<[string, object, object[], unknown]>([
    ['A.1 adds a member', { foo: 'bar' }, [{ op: 'add', path: '/baz', value: 'qux' }], { baz: 'qux', foo: 'bar' }],
    [
      'A.2 adds an element',
      { foo: ['bar', 'baz'] },
      [{ op: 'add', path: '/foo/1', value: 'qux' }],
      { foo: ['bar', 'qux', 'baz'] },
    ],
    ['A.3 removes a member', { baz: 'qux', foo: 'bar' }, [{ op: 'remove', path: '/baz' }], { foo: 'bar' }],
    ['A.4 removes an element', { foo: ['bar', 'qux', 'baz'] }, [{ op: 'remove', path: '/foo/1' }], { foo: ['bar', 'baz'] }],
    ['A.5 replaces', { baz: 'qux', foo: 'bar' }, [{ op: 'replace', path: '/baz', value: 'boo' }], { baz: 'boo', foo: 'bar' }],
    [
      'A.6 moves a value',
      { foo: { bar: 'baz', waldo: 'fred' }, qux: { corge: 'grault' } },
      [{ op: 'move', from: '/foo/waldo', path: '/qux/thud' }],
      { foo: { bar: 'baz' }, qux: { corge: 'grault', thud: 'fred' } },
    ],
    [
      'A.7 moves an element',
      { foo: ['all', 'grass', 'cows', 'eat'] },
      [{ op: 'move', from: '/foo/1', path: '/foo/3' }],
      { foo: ['all', 'cows', 'eat', 'grass'] },
    ],
    [
      'A.8 tests',
      { baz: 'qux', foo: ['a', 2, 'c'] },
      [
        { op: 'test', path: '/baz', value: 'qux' },
        { op: 'test', path: '/foo/1', value: 2 },
      ],
      { baz: 'qux', foo: ['a', 2, 'c'] },
    ],
    ['A.9 tests in vain', { baz: 'qux' }, [{ op: 'test', path: '/baz', value: 'bar' }], 'unfit at 0'],
    ['A.10 adds an object', { foo: 'bar' }, [{ op: 'add', path: '/child', value: { a: {} } }], { foo: 'bar', child: { a: {} } }],
    ['A.12 adds to what is not there', { foo: 'bar' }, [{ op: 'add', path: '/baz/bat', value: 'qux' }], 'unfit at 0'],
    ['A.14 unescapes', { '/': 9, '~1': 10 }, [{ op: 'test', path: '/~01', value: 10 }], { '/': 9, '~1': 10 }],
    ['A.15 compares a text with a number', { '/': 9, '~1': 10 }, [{ op: 'test', path: '/~01', value: '10' }], 'unfit at 0'],
    ['A.16 appends', { foo: ['bar'] }, [{ op: 'add', path: '/foo/-', value: ['abc'] }], { foo: ['bar', ['abc']] }],
    ['copies', { a: { b: 1 } }, [{ op: 'copy', from: '/a', path: '/c' }], { a: { b: 1 }, c: { b: 1 } }],
    ['replaces what is not there', { a: 1 }, [{ op: 'replace', path: '/b', value: 1 }], 'unfit at 0'],
    ['removes what is not there', { a: 1 }, [{ op: 'remove', path: '/b' }], 'unfit at 0'],
    ['adds beyond the end', { a: [1] }, [{ op: 'add', path: '/a/2', value: 1 }], 'unfit at 0'],
    ['takes an index with a zero before it (R5)', { a: [1, 2] }, [{ op: 'replace', path: '/a/01', value: 1 }], 'unfit at 0'],
    ['takes the end for a place', { a: [1] }, [{ op: 'replace', path: '/a/-', value: 1 }], 'unfit at 0'],
    ['goes through a text', { a: 'xyz' }, [{ op: 'add', path: '/a/0', value: 1 }], 'unfit at 0'],
    ['has a member of no name', { '': { x: 1 } }, [{ op: 'replace', path: '//x', value: 2 }], { '': { x: 2 } }],
    [
      'fails at its second step',
      { a: 1 },
      [
        { op: 'add', path: '/b', value: 1 },
        { op: 'test', path: '/b', value: 2 },
      ],
      'unfit at 1',
    ],
  ])('%s', (_name, document, steps, wanted) => {
    expect(apply(document, ...steps)).toEqual(wanted);
  });

  it('keeps the text of numbers, and tests them by value (RFC 6902 §4.6)', () => {
    const document = parseJsonText('{"value":1.50,"other":100000000000000000001}') as JsonObject;
    const steps = (text: string) => parseJsonPatch(parseJsonText(text));
    const patched = applyJsonPatch(
      document,
      steps('[{"op":"test","path":"/value","value":15e-1},{"op":"add","path":"/x","value":2.00}]'),
    );
    expect(patched.outcome === 'patched' && printJson(patched.resource)).toBe(
      '{"value":1.50,"other":100000000000000000001,"x":2.00}',
    );
    const other = applyJsonPatch(document, steps('[{"op":"test","path":"/other","value":100000000000000000000}]'));
    expect(other.outcome).toBe('unfit');
  });

  it.each<[string, unknown, string]>([
    ['no list', { op: 'remove', path: '/a' }, 'patch'],
    ['too many steps', Array.from({ length: 101 }, () => ({ op: 'remove', path: '/a' })), 'patch'],
    ['a step that is none', ['x'], '[0]'],
    ['an unknown op', [{ op: 'Add', path: '/a', value: 1 }], '[0].op'],
    ['no path', [{ op: 'remove' }], '[0].path'],
    ['the whole document', [{ op: 'replace', path: '', value: {} }], '[0].path'],
    ['a path without a slash', [{ op: 'remove', path: 'status' }], '[0].path'],
    ['a tilde that escapes nothing', [{ op: 'remove', path: '/a~2' }], '[0].path'],
    ['a prototype', [{ op: 'add', path: '/__proto__/x', value: 1 }], '[0].path'],
    ['no value', [{ op: 'add', path: '/a' }], '[0].value'],
    ['no from', [{ op: 'move', path: '/a' }], '[0].from'],
    ['a move into itself', [{ op: 'move', from: '/a', path: '/a/b' }], '[0].path'],
  ])('is refused for %s', (_name, document, field) => {
    const error = refused(() => parseJsonPatch(read(document)));
    expect([error.code, error.options.fields?.[0]?.field]).toEqual(['invalid_body', field]);
    expect(refusal(() => parseJsonPatch(read(document)))).toBe('invalid_body');
  });

  it('of no step changes nothing, and what a step has besides is ignored (RFC 6902 §4)', () => {
    expect(apply({ a: 1 })).toEqual({ a: 1 });
    expect(apply({ a: 1 }, { op: 'add', path: '/b', value: 2, comment: 'why' })).toEqual({ a: 1, b: 2 });
  });

  it('takes no longer for many steps in a wide object than for few', () => {
    const wide = Object.fromEntries(Array.from({ length: 27_000 }, (_each, index) => [`m${String(index)}`, 1]));
    const steps = Array.from({ length: 98 }, () => ({ op: 'replace', path: '/code/x/m1', value: 1 }));
    const startedMs = performance.now();
    expect(apply({ code: {} }, { op: 'add', path: '/code/x', value: wide }, ...steps, { op: 'remove', path: '/code/x' })).toEqual(
      {
        code: {},
      },
    );
    expect(performance.now() - startedMs).toBeLessThan(10_000);
  });

  it('does not grow without end by copies of copies', () => {
    const steps = Array.from({ length: 60 }, (_each, index) => ({ op: 'copy', from: '/a', path: `/a/x${String(index)}` }));
    const startedMs = performance.now();
    expect(apply({ a: { x: 1 } }, ...steps)).toMatch(/^unfit at/);
    expect(performance.now() - startedMs).toBeLessThan(20_000);
  });

  it('does not grow without end by copies of one long text, or under one long name: a few values can be any size', () => {
    const doubling = Array.from({ length: 12 }, () => ({ op: 'copy', from: '/a', path: '/a/-' }));
    expect(apply({ a: ['x'.repeat(100_000)] }, ...doubling)).toMatch(/^unfit at \d+$/);
    expect(apply({ a: [{ ['x'.repeat(100_000)]: 1 }] }, ...doubling)).toMatch(/^unfit at \d+$/);
    expect(apply({ a: ['x'.repeat(100)] }, ...doubling.slice(0, 8))).toHaveProperty('a.8');
  });

  it('leaves what it was given as it was, and tests true of what it added, whatever it is', () => {
    const name = fc.constantFrom('a', 'b', '~', '/', '0', '-', '');
    fc.assert(
      fc.property(
        fc.dictionary(name, fc.jsonValue({ maxDepth: 2 })),
        name,
        fc.jsonValue({ maxDepth: 2 }),
        (document, member, value) => {
          fc.pre(!/__proto__|constructor|prototype/u.test(JSON.stringify([document, value])));
          const before = resource(document);
          const printed = printJson(before);
          const path = `/${member.replaceAll('~', '~0').replaceAll('/', '~1')}`;
          const steps = parseJsonPatch(
            read([
              { op: 'add', path, value },
              { op: 'test', path, value },
            ]),
          );
          const patched = applyJsonPatch(before, steps);
          expect(printJson(before)).toBe(printed);
          expect(patched.outcome === 'patched' && equalJson(patched.resource[member], read(value), 'by-text')).toBe(true);
        },
      ),
    );
  });
});
