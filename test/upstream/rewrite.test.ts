import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { createRewriter, rewriteBody, rewriteHeader } from '../../src/upstream/rewrite.ts';

const bases = { upstream: 'http://internal:8080/fhir', public: 'https://gate.example/oost/fhir' };

function rewrite(text: string): string {
  return rewriteBody(Buffer.from(text), bases).toString();
}

function inChunks(text: string, cuts: readonly number[]): string {
  const bytes = Buffer.from(text);
  const rewriter = createRewriter(bases);
  const out: Buffer[] = [];
  let from = 0;
  for (const cut of [...cuts].map((at) => at % (bytes.length + 1)).sort((a, b) => a - b)) {
    out.push(rewriter.push(bytes.subarray(from, cut)));
    from = cut;
  }
  out.push(rewriter.push(bytes.subarray(from)), rewriter.end());
  return Buffer.concat(out).toString();
}

/** Every character of the base as `\uXXXX`. */
function escapeAll(text: string): string {
  return text.replace(/./g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

describe('rewriting bodies', () => {
  it.each([
    [
      'below the base',
      '{"fullUrl":"http://internal:8080/fhir/Patient/1"}',
      '{"fullUrl":"https://gate.example/oost/fhir/Patient/1"}',
    ],
    ['the base itself', '{"url":"http://internal:8080/fhir"}', '{"url":"https://gate.example/oost/fhir"}'],
    ['a page', '{"url":"http://internal:8080/fhir?_getpages=1"}', '{"url":"https://gate.example/oost/fhir?_getpages=1"}'],
    [
      'slashes escaped',
      '{"u":"http:\\/\\/internal:8080\\/fhir\\/Patient\\/1"}',
      '{"u":"https://gate.example/oost/fhir\\/Patient\\/1"}',
    ],
    [
      'slashes as code points',
      '{"u":"http:\\u002f\\u002Finternal:8080\\u002ffhir\\u002fPatient"}',
      '{"u":"https://gate.example/oost/fhir\\u002fPatient"}',
    ],
    ['all as code points', `{"u":"${escapeAll(bases.upstream)}/x"}`, '{"u":"https://gate.example/oost/fhir/x"}'],
    [
      'in a narrative',
      '{"div":"<a href=\\"http://internal:8080/fhir/Patient/1\\">"}',
      '{"div":"<a href=\\"https://gate.example/oost/fhir/Patient/1\\">"}',
    ],
    [
      'at the end of an attribute',
      '{"div":"<a href=\\"http://internal:8080/fhir\\">"}',
      '{"div":"<a href=\\"https://gate.example/oost/fhir\\">"}',
    ],
    [
      'percent-encoded',
      '{"u":"https://x/?u=http%3A%2F%2Finternal%3A8080%2Ffhir%2FPatient"}',
      '{"u":"https://x/?u=https%3A%2F%2Fgate.example%2Foost%2Ffhir%2FPatient"}',
    ],
    [
      'after an escaped backslash',
      '{"u":"a\\\\http://internal:8080/fhir/1\\/"}',
      '{"u":"a\\\\https://gate.example/oost/fhir/1\\/"}',
    ],
    [
      'twice in a row',
      '"http://internal:8080/fhir,http://internal:8080/fhir"',
      '"https://gate.example/oost/fhir,https://gate.example/oost/fhir"',
    ],
  ])('finds it: %s', (_what, from, to) => expect(rewrite(from)).toBe(to));

  it.each([
    ['another base that begins so', '{"u":"http://internal:8080/fhir2/Patient/1"}'],
    ['and so', '{"u":"http://internal:8080/fhir-test"}'],
    ['another host', '{"u":"http://internal:80801/fhir/x"}'],
    ['a canonical of somebody else', '{"u":"http://hl7.org/fhir/StructureDefinition/Patient"}'],
    ['an escaped backslash before what looks like an escape', `{"u":"\\${escapeAll(bases.upstream)}\\/"}`],
    ['numbers', '{"a":1.50,"b":1e400,"c":123456789012345678901234567890}'],
  ])('leaves as it is: %s', (_what, text) => expect(rewrite(text)).toBe(text));

  it('keeps what looked like a beginning until the end', () => {
    const rewriter = createRewriter(bases);
    expect(rewriter.push(Buffer.from('"http://internal:8080/fhi')).toString()).toBe('"');
    expect(rewriter.end().toString()).toBe('http://internal:8080/fhi');
  });

  it('gives the same bytes however they are cut, and never a base that is left over', () => {
    const pieces = fc.constantFrom(
      bases.upstream,
      bases.upstream.replaceAll('/', '\\/'),
      bases.upstream.replaceAll('/', '\\u002f'),
      escapeAll(bases.upstream),
      encodeURIComponent(bases.upstream),
      // After `\\\\` this is text that looks like an escape.
      escapeAll(bases.upstream).slice(1),
      'http://internal:8080/fhi',
      'http://internal',
      'http:\\/\\/',
      'h',
      '\\u0068',
      '\\\\',
      '\\"',
      '\\/',
      '/',
      'x',
      '?',
      '","',
      'é',
      '𝄞',
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 20 }), fc.array(fc.nat(2000), { maxLength: 30 }), (parts, cuts) => {
        const text = `["${parts.join('')}"]`;
        const whole = rewrite(text);
        expect(inChunks(text, cuts)).toBe(whole);
        // What a reader of the JSON sees: each base that ends as one is gone, and the text is JSON still.
        const before = JSON.parse(text) as string[];
        const after = JSON.parse(whole) as string[];
        expect(after).toHaveLength(before.length);
        expect(after.join('\n')).not.toMatch(/http:\/\/internal:8080\/fhir(?![A-Za-z0-9._~-])/);
      }),
      { numRuns: 1_000 },
    );
  });

  it('gives the same byte by byte', () => {
    const text = `{"a":"${bases.upstream}/1","b":"${escapeAll(bases.upstream)}\\/2","c":"\\\\${bases.upstream.replaceAll('/', '\\/')}"}`;
    expect(inChunks(text, [...Buffer.from(text).keys()])).toBe(rewrite(text));
    const lookalike = `"\\${escapeAll(bases.upstream)}"`;
    expect(inChunks(lookalike, [...Buffer.from(lookalike).keys()])).toBe(lookalike);
  });
});

describe('rewriteHeader', () => {
  it.each([
    ['http://internal:8080/fhir/Task/1/_history/2', 'https://gate.example/oost/fhir/Task/1/_history/2'],
    ['/fhir/Task/1', 'https://gate.example/oost/fhir/Task/1'],
    ['Task/1/_history/2', 'https://gate.example/oost/fhir/Task/1/_history/2'],
  ])('%s becomes ours', (value, expected) => expect(rewriteHeader(value, bases)).toBe(expected));

  it.each([
    'http://internal:8080/fhir2/Task/1',
    'http://internal:8080/admin',
    'http://169.254.169.254/',
    '/admin',
    '//evil/fhir/x',
    '../x',
    '',
  ])('%j is dropped', (value) => expect(rewriteHeader(value, bases)).toBeUndefined());
});
