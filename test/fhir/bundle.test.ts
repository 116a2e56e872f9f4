import { describe, expect, it } from '@jest/globals';
import { parseBundle, printBundle, type RequestBundle } from '../../src/fhir/bundle.ts';
import { isJsonObject, parseJsonText, printJson, type JsonObject } from '../../src/fhir/json.ts';
import { refusal, refused } from './refusal.ts';

const options = { version: 'R4', base: 'https://pep/a/fhir', maxEntries: 3 } as const;

function json(value: unknown): JsonObject {
  const parsed = parseJsonText(JSON.stringify(value));
  if (!isJsonObject(parsed)) throw new Error('not an object');
  return parsed;
}

function parse(value: unknown): RequestBundle {
  return parseBundle(json(value), options);
}

/** A batch with one entry. */
function batch(entry: unknown): object {
  return { resourceType: 'Bundle', type: 'batch', entry: [entry] };
}

const observation = { resourceType: 'Observation', id: '1', subject: { reference: 'Patient/mine' } };
const put = {
  fullUrl: 'https://pep/a/fhir/Observation/1',
  resource: observation,
  request: { method: 'PUT', url: 'Observation/1', ifMatch: 'W/"3"' },
};

describe('a request bundle', () => {
  it('is read into requests that could have come alone, and printed from them', () => {
    const bundle = parse({
      resourceType: 'Bundle',
      type: 'transaction',
      entry: [
        put,
        {
          fullUrl: 'urn:uuid:0c6f2b30-5b1a-4b73-9e1d-2f7d4f4c8f11',
          resource: { resourceType: 'Observation' },
          request: { method: 'POST', url: 'Observation', ifNoneExist: 'identifier=1' },
        },
        { request: { method: 'GET', url: 'Observation?patient=mine' } },
      ],
    });
    expect(bundle.entries.map(({ interaction }) => interaction.kind)).toEqual(['update', 'conditional-create', 'search-type']);
    expect(JSON.parse(printJson(printBundle(bundle, 'http://upstream/fhir')))).toEqual({
      resourceType: 'Bundle',
      type: 'transaction',
      entry: [
        { ...put, fullUrl: 'http://upstream/fhir/Observation/1' },
        {
          fullUrl: 'urn:uuid:0c6f2b30-5b1a-4b73-9e1d-2f7d4f4c8f11',
          resource: { resourceType: 'Observation' },
          request: { method: 'POST', url: 'Observation', ifNoneExist: 'identifier=1' },
        },
        { request: { method: 'GET', url: 'Observation?patient=mine' } },
      ],
    });
  });

  it.each<[string, unknown]>([
    ['B3', batch({ request: { method: 'GET', url: '../b/Patient/1' } })],
    ['B3', batch({ request: { method: 'GET', url: '/b/Patient/1' } })],
    ['B3', batch({ request: { method: 'GET', url: '//x' } })],
    ['B3', batch({ request: { method: 'GET', url: '%2e%2e/Patient/1' } })],
    ['B3', batch({ request: { method: 'GET', url: 'https://pep/a/fhir/Patient/1' } })],
    ['', batch({ request: { method: 'GET', url: 'Patient/1/' } })],
    ['', batch({ request: { method: 'POST', url: '' } })],
    ['', batch({ request: { method: 'GET', url: 7 } })],
    ['', batch({ request: { method: 'POST', url: 'Observation/_search' } })],
    ['B4', batch({ ...put, request: { method: 'PUT', url: 'Patient/other' } })],
    ['B4', batch({ ...put, request: { method: 'PUT', url: 'Observation/2' } })],
    ['B5', batch({ ...put, fullUrl: 'https://pep/a/fhir/Patient/other' })],
    ['B5', batch({ ...put, fullUrl: 'urn:uuid:1' })],
    ['B11', { ...batch(put), type: 'history' }],
    ['B11', { resourceType: 'Bundle', entry: [put] }],
    ['', { ...batch(put), resourceType: 'Parameters' }],
    ['B12', batch({ request: { method: 'patch', url: 'Observation/1' } })],
    ['B12', batch({ request: { method: 'GET ', url: 'Observation/1' } })],
    ['B12', batch({ request: { method: 'HEAD', url: 'Observation/1' } })],
    ['B17', { resourceType: 'Bundle', type: 'batch' }],
    ['B17', { resourceType: 'Bundle', type: 'batch', entry: [] }],
    ['B17', { resourceType: 'Bundle', type: 'batch', entry: null }],
    ['B17', batch(null)],
    ['B17', batch({})],
    ['', batch({ request: put.request })],
    ['', batch({ resource: observation, request: { method: 'GET', url: 'Observation/1' } })],
    ['', batch({ ...put, request: { ...put.request, ifMatch: '*' } })],
    ['', batch({ ...put, request: { ...put.request, ifNoneMatch: '*' } })],
    ['', { ...batch(put), entry: [put, put] }],
  ])('is refused when it contradicts itself or escapes: %s %#', (_row, value) => {
    expect(refusal(() => parse(value))).toBe('invalid_body');
    expect(refusal(() => parse(batch(put)))).toBe('accepted');
  });

  it('names the entry at fault', () => {
    const error = refused(() => parse({ ...batch(put), entry: [put, { request: { method: 'GET', url: 'Nothing/1' } }] }));
    expect(error.options.fields?.[0]?.field).toBe('Bundle.entry[1].request.url');
  });

  it('has a limit (B15)', () => {
    const entry = { request: { method: 'GET', url: 'Patient/1' } };
    expect(refusal(() => parse({ resourceType: 'Bundle', type: 'batch', entry: [entry, entry, entry, entry] }))).toBe(
      'body_too_large',
    );
  });
});
