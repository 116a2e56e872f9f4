import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { defineUseCase, permitByRule, permit } from '../../src/usecase/index.ts';
import { startGate, type TestGate } from '../support/gate.ts';

// Conditional reads through the whole gate (http.html, "conditional read"): what the caller has is compared with what it would get.

let gate: TestGate;
const conditional = defineUseCase({
  id: 'conditional',
  title: 'Conditional reads',
  roles: [
    {
      id: 'reader',
      purpose: 'conditional',
      scopes: [],
      fhirVersion: 'R4',
      rules: [
        { id: 'plain', interaction: 'read', types: ['Patient', 'Binary'] },
        { id: 'redacted', interaction: 'read', types: ['Observation'] },
        { id: 'search', interaction: 'search-type', types: ['Observation'] },
      ],
    },
  ],
  parseConfig: (settings) => settings,
  decide: ({ context }) =>
    context.rule === 'redacted'
      ? permit('redacted', { obligations: [{ kind: 'redact', elements: ['Observation.note'] }] })
      : permitByRule(),
});
const MODIFIED = 'Sun, 01 Mar 2026 09:00:00 GMT';
const stored: Readonly<Record<string, object>> = {
  '/fhir/Patient/1': { resourceType: 'Patient', id: '1' },
  '/fhir/Observation/1': { resourceType: 'Observation', id: '1', status: 'final', note: [{ text: 'x' }] },
  '/fhir/Observation/2': { resourceType: 'Observation', id: '2', status: 'final' },
  '/fhir/Observation': { resourceType: 'Bundle', type: 'searchset', entry: [] },
};

beforeAll(async () => {
  gate = await startGate({ useCase: conditional });
});
afterAll(() => gate.close());
afterEach(() => {
  gate.arrived.length = 0;
});

function answering(): void {
  gate.fhir = ({ url = '', headers }, response) => {
    const resource = stored[url];
    // One tag it knows; its 304 says nothing, as that of some servers.
    if (headers['if-none-match'] === 'W/"7"') response.writeHead(304).end();
    else if (resource === undefined && url !== '/fhir/Binary/1') response.writeHead(404).end();
    else
      response
        .writeHead(200, {
          'content-type': resource === undefined ? 'application/pdf' : 'application/fhir+json',
          etag: 'W/"7"',
          'last-modified': MODIFIED,
        })
        .end(resource === undefined ? 'x' : JSON.stringify(resource));
  };
}

async function ask(path: string, headers: Readonly<Record<string, string>>, method = 'GET') {
  answering();
  const authorization = `Bearer ${gate.token({ facts: { service: 'conditional' } })}`;
  return gate.get(`/a/fhir${path}`, { authorization, ...headers }, method);
}
const EARLIER = 'Sun, 01 Mar 2026 08:59:59 GMT';
const LATER = 'Mon, 02 Mar 2026 09:00:00 GMT';

describe('a read by a caller that has a version', () => {
  it.each<[string, Record<string, string>]>([
    ['that one', { 'if-none-match': 'W/"7"' }],
    ['that one among others', { 'if-none-match': 'W/"9", "7"' }],
    ['any', { 'if-none-match': '*' }],
    ['that of its date', { 'if-modified-since': MODIFIED }],
    ['that of a later date', { 'if-modified-since': LATER }],
  ])('is 304 for %s, with the tag that a 200 would have', async (_what, condition) => {
    for (const path of ['/Patient/1', '/Binary/1'])
      for (const method of ['GET', 'HEAD']) {
        const { status, body, headers } = await ask(path, condition, method);
        expect([status, body, headers.get('etag'), headers.get('cache-control')]).toEqual([304, '', 'W/"7"', 'no-store']);
        expect(headers.has('content-type')).toBe(false);
      }
  });

  it.each<[string, Record<string, string>]>([
    ['another', { 'if-none-match': 'W/"9"' }],
    ['several others', { 'if-none-match': 'W/"9", W/"8"' }],
    ['an earlier date', { 'if-modified-since': EARLIER }],
    ['what is no date', { 'if-modified-since': 'yesterday' }],
    ['what is none in the calendar', { 'if-modified-since': 'Sun, 77 Mar 2026 09:00:00 GMT' }],
    ['another, whatever the date says (RFC 9110 §13.2.2)', { 'if-none-match': 'W/"9"', 'if-modified-since': LATER }],
  ])('is whole for %s', async (_what, condition) => {
    for (const path of ['/Patient/1', '/Binary/1']) {
      const { status, body, headers } = await ask(path, condition);
      expect([status, body === '', headers.get('etag')]).toEqual([200, false, 'W/"7"']);
    }
  });

  it('asks the server only about one version: others it may read in its own way', async () => {
    for (const condition of ['W/"7"', 'W/"9", W/"8"', '*']) await ask('/Patient/1', { 'if-none-match': condition });
    const asked = gate.arrived.map(({ rawHeaders }) => {
      const at = rawHeaders.findIndex((name) => name.toLowerCase() === 'if-none-match');
      return at === -1 ? undefined : rawHeaders[at + 1];
    });
    expect(asked).toEqual(['W/"7"', undefined, undefined]);
  });

  it('of what is changed on its way has no version to compare, only that it is there (X24)', async () => {
    for (const condition of [{ 'if-none-match': 'W/"7"' }, { 'if-none-match': 'W/"7", W/"8"' }, { 'if-modified-since': LATER }]) {
      const { status, body, headers } = await ask('/Observation/1', condition);
      expect([status, body.includes('note'), headers.has('etag'), headers.has('last-modified')]).toEqual([
        200,
        false,
        false,
        false,
      ]);
    }
    const any = await ask('/Observation/1', { 'if-none-match': '*' });
    expect([any.status, any.headers.has('etag')]).toEqual([304, false]);
  });

  it('of what is not there, or not permitted, tells no more than without it', async () => {
    for (const condition of [{ 'if-none-match': '*' }, { 'if-modified-since': LATER }, { 'if-none-match': 'W/"1", W/"7"' }]) {
      expect((await ask('/Patient/none', condition)).status).toBe(404);
      expect((await ask('/Condition/1', condition)).status).toBe(403);
    }
  });

  it('that cannot be read is told what to mend, and nothing goes up', async () => {
    const { status, body } = await ask('/Patient/1', { 'if-none-match': 'W/"7", 8' });
    const { issue } = JSON.parse(body) as { readonly issue: readonly { readonly details: { readonly text: string } }[] };
    expect([status, issue[1]?.details.text]).toEqual([400, 'If-None-Match must be at most 32 entity tags such as W/"3", or *']);
    expect(gate.arrived).toEqual([]);
  });

  it('of a search is whole: what it finds has no version', async () => {
    for (const condition of [{ 'if-none-match': '*' }, { 'if-none-match': 'W/"7"' }, { 'if-modified-since': LATER }])
      expect((await ask('/Observation', condition)).status).toBe(200);
  });

  it('is not 304 where the server says so without having been asked: it has shown nothing', async () => {
    const authorization = `Bearer ${gate.token({ facts: { service: 'conditional' } })}`;
    for (const path of ['/Patient/1', '/Observation/1', '/Observation', '/Binary/1'])
      for (const condition of [{}, { 'if-none-match': '*' }, { 'if-modified-since': LATER }]) {
        gate.fhir = (_request, response) => void response.writeHead(304, { etag: 'W/"7"' }).end();
        const { status, headers } = await gate.get(`/a/fhir${path}`, { authorization, ...condition }, 'GET');
        expect([path, condition, status, headers.has('etag')]).toEqual([path, condition, 502, false]);
      }
  });
});
