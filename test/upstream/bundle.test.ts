import { describe, expect, it } from '@jest/globals';
import { parseJsonObject, printJson } from '../../src/fhir/json.ts';
import { nameEntries } from '../../src/upstream/bundle.ts';

const BASES = { upstream: 'http://10.0.0.1:8080/fhir', public: 'https://gate.example/a/fhir' };
const PATIENT = { resourceType: 'Patient', id: '1' };

function named(bundle: object): unknown {
  return JSON.parse(printJson(nameEntries(parseJsonObject(Buffer.from(JSON.stringify(bundle))), BASES)));
}

describe('the names in a document', () => {
  it('are those below the base that we know, whatever the server calls itself; a link elsewhere goes', () => {
    const theirs = 'http://fhir.internal.example:9999/fhir';
    expect(
      named({
        resourceType: 'Bundle',
        type: 'document',
        link: [{ relation: 'self', url: `${theirs}/Composition/9/$document` }],
        entry: [{ fullUrl: `${theirs}/Patient/1`, resource: PATIENT }],
      }),
    ).toEqual({
      resourceType: 'Bundle',
      type: 'document',
      entry: [{ fullUrl: `${BASES.upstream}/Patient/1`, resource: PATIENT }],
    });
  });

  it.each([`${BASES.upstream}/Patient/1`, 'urn:uuid:2c0f4a52-4b3c-4a4e-9c39-0f2f5a0f6a01'])(
    'stay where they show nothing: %s',
    (fullUrl) => {
      const link = [{ relation: 'self', url: `${BASES.upstream}/Composition/9/$document` }];
      const bundle = parseJsonObject(
        Buffer.from(JSON.stringify({ resourceType: 'Bundle', type: 'document', link, entry: [{ fullUrl, resource: PATIENT }] })),
      );
      expect(nameEntries(bundle, BASES)).toBe(bundle);
    },
  );

  it('of what is no answer are not touched', () => {
    const bundle = parseJsonObject(
      Buffer.from('{"resourceType":"Bundle","type":"collection","entry":[{"fullUrl":"http://x/Patient/1"}]}'),
    );
    expect(nameEntries(bundle, BASES)).toBe(bundle);
  });
});

describe('the names in a list', () => {
  it.each(['searchset', 'history'])('are ours whatever the server calls itself, and entries have no links: %s', (type) => {
    const theirs = 'http://fhir.internal.example:9999/fhir';
    const deletion = { request: { method: 'DELETE', url: 'Patient/2' } };
    const link = [{ relation: 'self', url: `${BASES.public}/Patient` }];
    expect(
      named({
        resourceType: 'Bundle',
        type,
        link,
        entry: [
          { fullUrl: `${theirs}/Patient/1`, link: [{ relation: 'alternate', url: `${theirs}/x` }], resource: PATIENT },
          { fullUrl: `${theirs}/Patient/2`, ...deletion },
        ],
      }),
    ).toEqual({
      resourceType: 'Bundle',
      type,
      link,
      entry: [{ fullUrl: `${BASES.upstream}/Patient/1`, resource: PATIENT }, deletion],
    });
  });
});
