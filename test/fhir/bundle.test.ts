import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parseBundle, printBundle, withEntryReferences, type RequestBundle } from '../../src/fhir/bundle.ts';
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

const patch = {
  resource: { resourceType: 'Binary', contentType: 'application/json-patch+json', data: 'W10=' },
  request: { method: 'PATCH', url: 'Observation/1', ifMatch: 'W/"3"' },
};

const createIf = (ifNoneExist: unknown) =>
  batch({ resource: observation, request: { method: 'POST', url: 'Observation', ifNoneExist } });

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
    ['', batch({ ...put, request: { ...put.request, ifNoneMatch: '"3", "4"' } })],
    ['', batch({ ...put, request: { ...put.request, ifNoneMatch: 3 } })],
    ['', batch({ request: { method: 'GET', url: 'Patient/1', ifModifiedSince: 'yesterday' } })],
    ['B13', batch({ request: patch.request })],
    ['B13', batch({ ...patch, resource: observation })],
    ['B13', batch({ ...patch, resource: { ...patch.resource, contentType: undefined } })],
    ['B13', batch({ ...patch, resource: { ...patch.resource, data: undefined } })],
    ['B13', batch({ ...patch, resource: { ...patch.resource, data: '' } })],
    ['B13', batch({ ...patch, resource: { ...patch.resource, data: 'W10' } })],
    ['B13', batch({ ...patch, resource: { ...patch.resource, data: 'W1=0' } })],
    ['B13', batch({ ...patch, resource: { ...patch.resource, data: 'W-0=' } })],
    ['B13', batch({ ...patch, resource: { ...patch.resource, data: 'W11=' } })],
    ['B13', batch({ ...patch, request: { method: 'PATCH', url: 'Observation' } })],
    ['B13', batch({ ...patch, resource: { ...patch.resource, data: ['W10='] } })],
    ['', { ...batch(put), entry: [put, put] }],
  ])('is refused when it contradicts itself or escapes: %s %#', (_row, value) => {
    expect(refusal(() => parse(value))).toBe('invalid_body');
    expect(refusal(() => parse(batch(put)))).toBe('accepted');
  });

  it.each<[string, unknown, string]>([
    [
      'Bundle.implicitRules',
      { ...batch(put), implicitRules: 'http://example.org/rules' },
      'must be absent: no other rules are known here',
    ],
    ['Bundle.entry', { ...batch(put), entry: {} }, 'must be a list of entries'],
    ['Bundle.entry', { ...batch(put), entry: [] }, 'has no entries'],
    ['Bundle.entry[0].request.url', batch({ request: { method: 'GET' } }), 'is missing'],
    ['Bundle.entry[0].request.url', batch({ request: { method: 'GET', url: 5 } }), 'must be a text'],
    [
      'Bundle.entry[0].request.url',
      batch({ request: { method: 'GET', url: 'Nothing/1', ifNoneExist: 'a=1' } }),
      'is no FHIR request',
    ],
    ['Bundle.entry[0].request.ifNoneExist', createIf(''), 'has no criteria'],
    ['Bundle.entry[0].request.ifNoneExist', createIf(5), 'must be a text'],
    ['Bundle.entry[0].request.ifNoneExist', createIf('patient=%zz'), 'has a malformed escape'],
    [
      'Bundle.entry[0].request.ifNoneExist',
      batch({ request: { method: 'GET', url: 'Observation/1', ifNoneExist: 'patient=1' } }),
      'belongs to a create only',
    ],
  ])('is refused with the field and what is wrong with it: %s %#', (field, value, problem) => {
    expect(refused(() => parse(value)).options.fields).toEqual([{ field, problem }]);
  });

  it('takes a patch as what its Binary says it is, and reads nothing of it', () => {
    const kinds = [
      ['application/json-patch+json', 'json-patch'],
      ['application/json-patch+json; charset=utf-8', 'json-patch'],
      ['application/xml-patch+xml', 'xml-patch'],
      ['application/merge-patch+json', undefined],
      ['application/json', undefined],
      ['', undefined],
    ] as const;
    for (const [contentType, format] of kinds) {
      const [entry] = parse(batch({ ...patch, resource: { ...patch.resource, contentType, data: 'bm90 IGEgcGF0Y2g=' } })).entries;
      expect(entry?.interaction).toEqual({ kind: 'patch', type: 'Observation', id: '1', ...(format && { format }) });
      expect(Buffer.from(entry?.patch?.bytes ?? []).toString()).toBe('not a patch');
      expect([entry?.resource, entry?.ifMatch]).toEqual([undefined, '3']);
    }
    const [byPath] = parse(batch({ ...patch, resource: { resourceType: 'Parameters' } })).entries;
    expect(byPath?.interaction).toMatchObject({ kind: 'patch', format: 'fhirpath-patch' });
  });

  it('has no patch in STU3, whose Bundles have none', () => {
    const error = refused(() => parseBundle(json(batch(patch)), { ...options, version: 'STU3' }));
    expect(error.options.fields?.[0]).toEqual({
      field: 'Bundle.entry[0].request.method',
      problem: 'is none of GET, POST, PUT, DELETE',
    });
  });

  it('of a transaction changes no resource by a patch and in another way', () => {
    expect(refusal(() => parse({ ...batch(put), type: 'transaction', entry: [put, patch] }))).toBe('invalid_body');
    expect(refusal(() => parse({ ...batch(put), entry: [put, patch] }))).toBe('accepted');
  });

  it('resolves in what came about later what it resolved in what came', () => {
    const name = 'urn:uuid:0c6f2b30-5b1a-4b73-9e1d-2f7d4f4c8f11';
    const other = 'urn:uuid:0c6f2b30-5b1a-4b73-9e1d-2f7d4f4c8f12';
    const { entries } = parse({ ...batch(put), entry: [{ ...put, fullUrl: name }, patch] });
    const made = json({ resourceType: 'Observation', hasMember: [{ reference: name }, { reference: other }] });
    expect(JSON.parse(printJson(withEntryReferences(made, entries)))).toEqual({
      resourceType: 'Observation',
      hasMember: [{ reference: 'Observation/1' }, { reference: other }],
    });
  });

  it('is read from what is printed as what was printed, whatever its entries are', () => {
    const id = fc.stringMatching(/^[A-Za-z0-9-]{1,12}$/);
    const version = fc.option(id, { nil: undefined });
    const tag = (name: string, of: string | undefined) => (of === undefined ? {} : { [name]: `W/"${of}"` });
    const binary = fc.record({
      resourceType: fc.constant('Binary'),
      contentType: fc.oneof(fc.constantFrom('application/json-patch+json', 'application/xml-patch+xml'), fc.string()),
      data: fc.uint8Array({ minLength: 1 }).map((bytes) => Buffer.from(bytes).toString('base64')),
    });
    const criteria = id.map((value) => `identifier=${value}&patient=${value}`);
    const entry = fc.oneof(
      fc.tuple(id, fc.oneof(version, fc.constant('*'))).map(([name, known]) => ({
        request: { method: 'GET', url: `Patient/${name}`, ...(known === '*' ? { ifNoneMatch: '*' } : tag('ifNoneMatch', known)) },
      })),
      fc.tuple(id, version, fc.oneof(binary, fc.constant({ resourceType: 'Parameters' }))).map(([name, known, resource]) => ({
        resource,
        request: { method: 'PATCH', url: `Observation/${name}`, ...tag('ifMatch', known) },
      })),
      fc.tuple(criteria, binary).map(([where, resource]) => ({
        resource,
        request: { method: 'PATCH', url: `Observation?${where}` },
      })),
      fc.tuple(criteria, fc.uuid()).map(([where, uuid]) => ({
        fullUrl: `urn:uuid:${uuid}`,
        resource: { resourceType: 'Observation', status: 'final' },
        request: { method: 'POST', url: 'Observation', ifNoneExist: where },
      })),
      criteria.map((where) => ({ request: { method: 'DELETE', url: `Observation?${where}` } })),
      fc.tuple(id, version).map(([name, known]) => ({
        fullUrl: `https://pep/a/fhir/Observation/${name}`,
        resource: { ...observation, id: name },
        request: { method: 'PUT', url: `Observation/${name}`, ...tag('ifMatch', known) },
      })),
    );
    fc.assert(
      fc.property(
        fc.constantFrom('batch', 'transaction'),
        fc.uniqueArray(entry, { minLength: 1, maxLength: 3, selector: ({ request: { url } }) => url }),
        (type, entries) => {
          const bundle = parse({ resourceType: 'Bundle', type, entry: entries });
          const printed = printBundle(bundle, options.base);
          expect(parseBundle(printed, options)).toEqual(bundle);
          expect(printBundle(parseBundle(printed, options), options.base)).toEqual(printed);
        },
      ),
      { numRuns: 300 },
    );
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
