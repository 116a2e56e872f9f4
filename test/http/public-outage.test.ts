import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import chart from '../attack/chart/index.ts';
import { startGate, type FhirHandler, type TestGate } from '../support/gate.ts';

// What is judged by what is stored needs the FHIR server. Where that is away nobody has judged: a failure, as for what needs no look-up (reliability G12).

let gate: TestGate;
beforeAll(async () => {
  gate = await startGate({ useCase: chart });
});
afterAll(() => gate.close());
afterEach(() => {
  gate.fhir = undefined;
  // Its breaker closes again.
  gate.clock.advance(60);
});

const ask = async (path: string) => {
  const answer = await gate.get(`/a/fhir${path}`, { authorization: `Bearer ${gate.token({ facts: { service: 'chart' } })}` });
  const records = await gate.audited(answer.headers.get('x-request-id') ?? '');
  return { ...answer, outcome: records.at(-1)?.outcome, reason: records.at(-1)?.reason };
};

const saying =
  (status: number, body: string): FhirHandler =>
  (_request, response) =>
    response.writeHead(status, { 'content-type': 'application/fhir+json', etag: 'W/"1"' }).end(body);

describe('a FHIR server that is away', () => {
  it.each<[string, FhirHandler, string]>([
    ['closes', (request) => request.socket.destroy(), 'upstream_failed'],
    ['answers 500', saying(500, '{}'), 'upstream_status_500'],
    ['answers 503', saying(503, '{}'), 'upstream_status_503'],
    ['refuses our login', saying(401, '{}'), 'upstream_failed'],
    ['sends us elsewhere', saying(302, '{}'), 'upstream_failed'],
  ])('and %s fails the read that is judged by a look-up, whatever it asks for', async (_what, handler, reason) => {
    for (const path of ['/Observation/mine-1', '/Observation/other-1', '/Observation/none']) {
      gate.fhir = handler;
      const { status, outcome, reason: said } = await ask(path);
      expect([path, status, outcome, said]).toEqual([path, 502, 'failed', reason]);
      gate.clock.advance(60);
    }
  });

  it('is told for the entry of a batch that needs it, and for no other', async () => {
    gate.fhir = (request, response, body) => {
      if (request.url?.includes('/Patient/') === true)
        saying(200, '{"resourceType":"Patient","id":"mine"}')(request, response, body);
      else saying(500, '{}')(request, response, body);
    };
    const entry = ['Patient/mine', 'Observation/mine-1', 'Patient/other'].map((url) => ({ request: { method: 'GET', url } }));
    const headers = {
      authorization: `Bearer ${gate.token({ facts: { service: 'chart' } })}`,
      'content-type': 'application/fhir+json',
    };
    const bundle = JSON.stringify({ resourceType: 'Bundle', type: 'batch', entry });
    const answer = await gate.get('/a/fhir', headers, 'POST', bundle);
    const { entry: said } = JSON.parse(answer.body) as { entry: { response: { status: string } }[] };
    expect(said.map(({ response }) => response.status.slice(0, 3))).toEqual(['200', '502', '403']);
  });
});

describe('a FHIR server that answers', () => {
  it.each([
    ['with what cannot be read in one way', 200, '{"resourceType":"Observation","resourceType":"Patient"}'],
    ['with another resource', 200, '{"resourceType":"Observation","id":"another"}'],
    ['that it may not say', 403, '{}'],
  ])('%s is a denial: what is wrong is the record’s, and nobody’s to learn', async (_what, status, body) => {
    gate.fhir = saying(status, body);
    const answer = await ask('/Observation/mine-1');
    expect([answer.status, answer.outcome, answer.reason]).toEqual([403, 'denied', 'decision_failed']);
  });
});
