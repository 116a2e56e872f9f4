import { describe, expect, it } from '@jest/globals';
import type { Interaction } from '../../src/fhir/interaction.ts';
import { resolveAnswerFormat, resolveBodyFormat, resolvePatchFormat } from '../../src/fhir/media.ts';
import { parseQuery } from '../../src/fhir/target.ts';
import type { FhirVersion } from '../../src/fhir/version.ts';
import { refusal } from './refusal.ts';

const task: Interaction = { kind: 'read', type: 'Task', id: '1', parameters: [], head: false };
const binary: Interaction = { ...task, type: 'Binary' };
const update: Interaction = { kind: 'update', type: 'Task', id: '1' };
const patch = (contentType: string): Interaction => {
  const format = resolvePatchFormat(contentType, 'STU3');
  return { kind: 'patch', type: 'Task', id: '1', ...(format === undefined ? {} : { format }) };
};
const search: Interaction = { kind: 'search-type', type: 'Task', parameters: [], head: false, via: 'form' };

function answer(
  interaction: Interaction,
  accept?: string,
  query = '',
  version: FhirVersion = 'STU3',
  xml: 'none' | 'relative' = 'none',
): string {
  try {
    return resolveAnswerFormat({ interaction, version, xml, accept, query: parseQuery(query) });
  } catch (error) {
    return refusal(() => {
      throw error;
    });
  }
}

describe('the format of an answer', () => {
  it.each([
    [undefined, '', 'json'],
    ['*/*', '', 'json'],
    ['application/*', '', 'json'],
    ['application/fhir+json', '', 'json'],
    ['application/json', '', 'json'],
    ['application/json+fhir', '', 'json'],
    ['APPLICATION/FHIR+JSON', '', 'json'],
    ['application/fhir+xml;q=0.9, application/fhir+json;q=0.1', '', 'json'],
    ['application/fhir+json; fhirVersion=3.0', '', 'json'],
    ['text/html,application/xhtml+xml,*/*;q=0.8', '', 'json'],
    [', application/json,', '', 'json'],
    // Empty is as if absent (RFC 9110 §12.5.1).
    ['', '', 'json'],
    [' \t', '', 'json'],
    [' , ,', '', 'json'],
    // What java.net.HttpURLConnection sends when nobody told it what to send.
    ['text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2', '', 'json'],
    // A range that cannot be read is left out, the rest counts.
    ['???, application/json', '', 'json'],
    ['application/json;q=x, application/*;q=0.1', '', 'json'],
    ['application/json;, text/html', '', 'json'],
    ['application/json;q=x, text/html', '', 'not_acceptable'],
    ['*;q=0', '', 'not_acceptable'],
    ['*;q=0, ???', '', 'not_acceptable'],
    [`???${' '.repeat(16_000)}x`, '', 'not_acceptable'],
    [undefined, '_format=json', 'json'],
    [undefined, '_format=application/fhir%2Bjson', 'json'],
    [undefined, '_format=application/fhir+json', 'json'],
    ['application/fhir+xml', '_format=json', 'json'],
    [undefined, '_pretty=true', 'json'],
    // H25, H26, H27
    ['*/*;q=0, application/fhir+xml', '', 'not_acceptable'],
    ['application/fhir+json', '_format=xml', 'not_acceptable'],
    [undefined, '_format=html', 'not_acceptable'],
    [undefined, '_format=text/html', 'not_acceptable'],
    ['application/fhir+ndjson', '', 'not_acceptable'],
    ['text/turtle', '', 'not_acceptable'],
    ['application/fhir+json; fhirVersion=4.0', '', 'not_acceptable'],
    ['application/fhir+xml', '', 'not_acceptable'],
    ['application/fhir+json;q=0', '', 'not_acceptable'],
    ['application/fhir+json;q=0, */*', '', 'not_acceptable'],
    ['application/*;q=0, */*', '', 'not_acceptable'],
    ['application/json;q=x', '', 'not_acceptable'],
    ['application/json;q=1.1', '', 'not_acceptable'],
    ['application', '', 'not_acceptable'],
    [';;;,,/', '', 'not_acceptable'],
    [Array.from({ length: 100 }, () => 'application/json').join(), '', 'not_acceptable'],
    [undefined, '_format=json&_format=xml', 'invalid_parameter'],
    [undefined, '_pretty=yes', 'invalid_parameter'],
    [undefined, '_pretty=true&_pretty=false', 'invalid_parameter'],
    [undefined, '_pretty=true&_format=json&_pretty=true', 'invalid_parameter'],
  ])('is decided once: Accept %s, query %s -> %s', (accept, query, expected) => {
    expect(answer(task, accept, query)).toBe(expected);
  });

  it('follows the version of the custodian', () => {
    expect(answer(task, 'application/fhir+json; fhirVersion=4.0', '', 'R4')).toBe('json');
    expect(answer(task, 'application/fhir+json; fhirVersion="3.0"', '', 'R4')).toBe('not_acceptable');
  });

  it.each([
    [undefined, '', 'raw'],
    ['*/*', '', 'raw'],
    ['application/pdf', '', 'raw'],
    ['application/pdf, */*;q=0.1', '', 'raw'],
    ['', '', 'raw'],
    ['text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2', '', 'raw'],
    ['application/json', '', 'raw'],
    ['application/fhir+json', '', 'json'],
    ['application/fhir+json, */*;q=0.5', '', 'json'],
    ['application/fhir+json;q=0.1, application/pdf', '', 'raw'],
    [undefined, '_format=json', 'json'],
    ['application/fhir+xml', '', 'not_acceptable'],
    ['*/*;q=0', '', 'not_acceptable'],
    ['application/fhir+json;fhirVersion=4.0', '', 'not_acceptable'],
  ])('of a Binary is its bytes unless FHIR itself is named: Accept %s, query %s -> %s', (accept, query, expected) => {
    expect(answer(binary, accept, query)).toBe(expected);
  });
});

describe('the format of an answer of a tenant that allows XML', () => {
  it.each([
    ['application/fhir+xml', '', 'xml'],
    ['application/xml+fhir', '', 'xml'],
    ['Application/XML', '', 'xml'],
    ['text/xml', '', 'xml'],
    ['*/*;q=0, application/fhir+xml', '', 'xml'],
    ['application/fhir+xml; fhirVersion=3.0', '', 'xml'],
    ['application/fhir+xml, application/fhir+json;q=0.1', '', 'xml-first'],
    ['application/fhir+xml, */*;q=0.1', '', 'xml-first'],
    // Who takes JSON as gladly gets what can be judged.
    ['application/fhir+xml, application/fhir+json', '', 'json'],
    ['application/fhir+xml;q=0.5, application/json;q=0.5', '', 'json'],
    ['application/fhir+xml, */*', '', 'json'],
    ['*/*', '', 'json'],
    [undefined, '', 'json'],
    [undefined, '_format=xml', 'xml'],
    [undefined, '_format=application/fhir%2Bxml', 'xml'],
    [undefined, '_format=application/fhir+xml', 'xml'],
    [undefined, '_format=application/xml+fhir', 'xml'],
    [undefined, '_format=application/xml', 'xml'],
    [undefined, '_format=text/xml', 'xml'],
    ['application/fhir+json', '_format=xml', 'xml'],
    ['application/fhir+xml', '_format=json', 'json'],
    ['application/fhir+xml;q=0', '', 'not_acceptable'],
    ['application/fhir+xml; fhirVersion=4.0', '', 'not_acceptable'],
    [undefined, '_format=application/fhir%2Bxml;fhirVersion=4.0', 'not_acceptable'],
    ['application/xhtml+xml', '', 'not_acceptable'],
    ['text/turtle', '', 'not_acceptable'],
    [undefined, '_format=html', 'not_acceptable'],
    [undefined, '_format=xml&_format=json', 'invalid_parameter'],
  ])('of one resource: Accept %s, query %s -> %s', (accept, query, expected) => {
    expect(answer(task, accept, query, 'STU3', 'relative')).toBe(expected);
    expect(answer({ ...task, kind: 'vread', versionId: '1' }, accept, query, 'STU3', 'relative')).toBe(expected);
  });

  it.each<[string, Interaction]>([
    ['a search', search],
    ['a history', { kind: 'history-instance', type: 'Task', id: '1', parameters: [], head: false }],
    ['the capabilities', { kind: 'capabilities', parameters: [], head: false }],
    [
      'an operation',
      { kind: 'operation-instance', type: 'Task', id: '1', operation: '$x', method: 'GET', parameters: [], head: false },
    ],
  ])('of %s is JSON all the same', (_what, interaction) => {
    expect(answer(interaction, 'application/fhir+xml', '', 'STU3', 'relative')).toBe('not_acceptable');
    expect(answer(interaction, undefined, '_format=xml', 'STU3', 'relative')).toBe('not_acceptable');
    expect(answer(interaction, 'application/fhir+xml, */*;q=0.1', '', 'STU3', 'relative')).toBe('json');
  });

  it.each([
    ['application/fhir+xml', '', 'xml'],
    ['application/xml+fhir', '', 'xml'],
    ['application/fhir+xml, application/pdf;q=0.5', '', 'xml'],
    ['application/fhir+xml, application/fhir+json;q=0.5', '', 'xml-first'],
    ['application/fhir+xml, application/fhir+json', '', 'json'],
    ['application/fhir+xml;q=0.1, application/pdf', '', 'raw'],
    ['application/xml', '', 'raw'],
    ['text/xml', '', 'raw'],
    [undefined, '', 'raw'],
    [undefined, '_format=xml', 'xml'],
  ])('of a Binary is its bytes unless FHIR itself is named: Accept %s, query %s -> %s', (accept, query, expected) => {
    expect(answer(binary, accept, query, 'STU3', 'relative')).toBe(expected);
  });
});

describe('the format of a body', () => {
  it.each<[string, Interaction, string]>([
    ['application/fhir+json', update, 'json'],
    ['application/json', update, 'json'],
    ['application/json+fhir', update, 'json'],
    ['application/fhir+json; charset=utf-8', update, 'json'],
    ['application/fhir+json;charset=UTF-8', update, 'json'],
    ['application/fhir+json; charset="utf-8"', update, 'json'],
    ['application/fhir+json; fhirVersion=3.0', update, 'json'],
    ['application/x-www-form-urlencoded', search, 'form'],
    ['application/x-www-form-urlencoded;charset=utf-8', search, 'form'],
    ['application/json-patch+json', patch('application/json-patch+json'), 'json'],
  ])('is read from %s', (contentType, interaction, expected) => {
    expect(resolveBodyFormat(contentType, interaction, 'STU3')).toBe(expected);
  });

  it.each<[string, string | undefined, Interaction]>([
    ['H29', 'application/json', search],
    ['H29', undefined, search],
    ['H29', 'text/plain', search],
    ['H30', 'application/x-www-form-urlencoded;charset=iso-8859-1', search],
    ['H31', 'application/fhir+json; charset=utf-16', update],
    ['H31', 'application/fhir+json; charset=utf-7', update],
    ['H32', 'multipart/form-data', search],
    ['H32', 'application/fhir+json\tx', update],
    ['H32', ' application/fhir+json', update],
    ['H32', 'application/json garbage', update],
    ['H32', 'application/json ; charset=utf-8', update],
    ['', 'application/json; charset=utf-8; charset=utf-8', update],
    ['', 'application/json;', update],
    ['', 'application/json; fhirVersion=4.0', update],
    ['', 'application/fhir+xml', update],
    ['', undefined, update],
    ['', 'application/x-www-form-urlencoded', update],
    ['R7', 'application/xml-patch+xml', patch('application/xml-patch+xml')],
    ['R8', 'application/merge-patch+json', patch('application/merge-patch+json')],
    ['R9', 'application/json', patch('application/json')],
    ['', 'application/json-patch+json; charset=utf-16', patch('application/json-patch+json; charset=utf-16')],
    ['', 'application/fhir+json', task],
  ])('is refused when another reader could take it for something else: %s %s', (_row, contentType, interaction) => {
    expect(refusal(() => resolveBodyFormat(contentType, interaction, 'STU3'))).toBe('unsupported_media_type');
  });
});
