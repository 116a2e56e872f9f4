import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parseJsonText, isJsonObject, type JsonObject } from '../../src/fhir/json.ts';
import { localReference, parseReference, printReference, references } from '../../src/fhir/reference.ts';

const base = 'https://fhir.example/fhir';

function resource(value: unknown): JsonObject {
  const parsed = parseJsonText(JSON.stringify(value));
  if (!isJsonObject(parsed)) throw new Error('not an object');
  return parsed;
}

describe('a reference', () => {
  it.each([
    ['Composition/x', { type: 'Composition', id: 'x' }],
    ['/Composition/x', { type: 'Composition', id: 'x' }],
    [`${base}/Composition/x`, { type: 'Composition', id: 'x' }],
    ['Composition/x/_history/3', { type: 'Composition', id: 'x', versionId: '3' }],
    ['/Binary/a..b', { type: 'Binary', id: 'a..b' }],
  ])('names a resource of the custodian: %s', (text, expected) => {
    expect(localReference(text, base)).toEqual(expected);
    expect(printReference(expected)).toBe(`${expected.type}/${expected.id}`);
  });

  it.each([
    ['#c1', 'contained'],
    ['#', 'contained'],
    ['urn:uuid:0c6f2b30-5b1a-4b73-9e1d-2f7d4f4c8f11', 'urn'],
    ['https://evil/Composition/x', 'foreign'],
    ['https://fhir.example/fhirx/Composition/x', 'foreign'],
    ['HTTPS://FHIR.EXAMPLE/fhir/Composition/x', 'foreign'],
    ['javascript:alert(1)', 'foreign'],
    ['Patient?identifier=x', 'conditional'],
    [`${base}/`, 'invalid'],
    [`${base}/../b/Composition/x`, 'invalid'],
    [`${base}//Composition/x`, 'invalid'],
    ['//evil/Composition/x', 'invalid'],
    ['composition/x', 'invalid'],
    ['Nothing/x', 'invalid'],
    ['Composition/..', 'invalid'],
    ['Composition/x/y', 'invalid'],
    ['Composition/x/_history', 'invalid'],
    ['Composition/x/_history/1/2', 'invalid'],
    ['Composition/x?y=z', 'invalid'],
    ['Composition/x#y', 'invalid'],
    ['Composition/%78', 'invalid'],
    ['Composition', 'invalid'],
    ['', 'invalid'],
  ])('that names none is told apart: %s is %s', (text, kind) => {
    expect(parseReference(text, base).kind).toBe(kind);
    expect(localReference(text, base)).toBeUndefined();
  });

  it('is foreign when there is no base to compare with', () => {
    expect(parseReference(`${base}/Composition/x`).kind).toBe('foreign');
  });

  it('is read without an exception, whatever the text', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => typeof parseReference(text, base).kind === 'string'));
  });
});

describe('the references of a resource', () => {
  it('are found in nested sections, contained resources and extensions, in order', () => {
    const composition = resource({
      resourceType: 'Composition',
      extension: [{ url: 'http://x', valueReference: { reference: 'Device/1' } }],
      contained: [{ resourceType: 'Observation', subject: { reference: '#' } }],
      subject: { reference: 'Patient/1', display: 'J' },
      author: [{ reference: '/Practitioner/1' }, { identifier: { system: 'x', value: '1' } }],
      section: [{ section: [{ entry: [{ reference: 'Observation/1' }, { reference: 'DocumentReference/1' }] }] }],
    });
    expect([...references(composition)]).toEqual([
      { path: 'extension[0].valueReference.reference', value: 'Device/1', element: 'Reference' },
      { path: 'contained[0].subject.reference', value: '#', element: 'Reference' },
      { path: 'subject.reference', value: 'Patient/1', element: 'Reference' },
      { path: 'author[0].reference', value: '/Practitioner/1', element: 'Reference' },
      { path: 'section[0].section[0].entry[0].reference', value: 'Observation/1', element: 'Reference' },
      { path: 'section[0].section[0].entry[1].reference', value: 'DocumentReference/1', element: 'Reference' },
    ]);
  });

  it('include the Binary behind an attachment, which is no Reference', () => {
    const document = resource({
      resourceType: 'DocumentReference',
      subject: { reference: 'Patient/1' },
      content: [{ attachment: { contentType: 'application/pdf', url: 'Binary/1' } }],
      extension: [{ url: 'http://not-an-attachment' }],
    });
    expect([...references(document)]).toEqual([
      { path: 'subject.reference', value: 'Patient/1', element: 'Reference' },
      { path: 'content[0].attachment.url', value: 'Binary/1', element: 'Attachment' },
    ]);
  });
});
