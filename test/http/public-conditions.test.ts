import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { startGate, type TestGate } from '../support/gate.ts';
import { createObservationServer, type ObservationServer } from '../support/observations.ts';
import { WRITES } from '../support/writes-use-case.ts';

// Conditions of writes through the whole gate: each is kept, or refused; none is passed over.

let gate: TestGate;
let server: ObservationServer;
beforeAll(async () => {
  gate = await startGate({ useCase: WRITES });
});
afterAll(() => gate.close());
beforeEach(() => {
  server = createObservationServer();
  gate.fhir = server.handler;
  gate.arrived.length = 0;
  for (const id of ['mine-1', 'mine-2'])
    server.put(id, { status: 'preliminary', subject: { reference: 'Patient/mine' }, identifier: [{ value: id }] }, '3');
});

const send = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
  gate.get(
    `/a/fhir${path}`,
    {
      authorization: `Bearer ${gate.token({ facts: { service: 'writes' } })}`,
      'content-type': method === 'PATCH' ? 'application/json-patch+json' : 'application/fhir+json',
      ...headers,
    },
    method,
    body === undefined ? undefined : JSON.stringify(body),
  );
const upstream = () =>
  gate.arrived
    .filter(({ rawHeaders }) => !rawHeaders.some((name) => name.toLowerCase() === 'x-sluis-lookup'))
    .map(({ method, target }) => `${method} ${target}`);
const observation = (more: object = {}) => ({
  resourceType: 'Observation',
  status: 'final',
  subject: { reference: 'Patient/mine' },
  ...more,
});

describe('a version that is named', () => {
  it('is refused where nothing has one: operations, and what is created in a Bundle', async () => {
    const parameters = { resourceType: 'Parameters', parameter: [{ name: 'patient', valueString: 'Patient/mine' }] };
    expect((await send('POST', '/Observation/$lastn', parameters, { 'if-match': 'W/"3"' })).status).toBe(400);
    for (const type of ['batch', 'transaction'])
      for (const [url, resource] of [
        ['Observation', observation()],
        ['Observation/$lastn', parameters],
      ] as const) {
        const entry = [{ resource, request: { method: 'POST', url, ifMatch: 'W/"3"' } }];
        const answer = await send('POST', '', { resourceType: 'Bundle', type, entry });
        expect([type, url, answer.status]).toEqual([type, url, 400]);
      }
    expect(gate.arrived).toEqual([]);
  });

  it('is stale where nothing matches the criteria: nothing is created, and nothing is called deleted', async () => {
    const where = '/Observation?patient=mine&identifier=none';
    expect((await send('PUT', where, observation(), { 'if-match': 'W/"3"' })).status).toBe(412);
    expect((await send('DELETE', where, undefined, { 'if-match': 'W/"3"' })).status).toBe(412);
    expect(upstream()).toEqual([]);
  });
});

describe('a link to a further page', () => {
  it('is no input of an operation: it stands in the query, or it is none', async () => {
    const parameters = { resourceType: 'Parameters', parameter: [{ name: '_continuation', valueString: 'x'.repeat(40) }] };
    const answer = await send('POST', '/Observation/$lastn', parameters);
    const records = await gate.audited(answer.headers.get('x-request-id') ?? '');
    expect([answer.status, records.at(-1)?.reason]).toEqual([403, 'operation_input_unjudged']);
  });
});

describe('a time that is named', () => {
  it('is refused of a write, which goes by versions', async () => {
    const at = { 'if-unmodified-since': 'Sun, 01 Mar 2026 09:00:00 GMT' };
    expect((await send('PUT', '/Observation/mine-1', observation({ id: 'mine-1' }), at)).status).toBe(400);
    expect((await send('POST', '/Observation', observation(), at)).status).toBe(400);
    expect(gate.arrived).toEqual([]);
  });
});

describe('the search of a conditional write', () => {
  it('is not made where it cannot be recorded (A3)', async () => {
    gate.audit = ({ phase }) => (phase === 'event' ? Promise.reject(new Error('disk')) : undefined);
    expect((await send('PUT', '/Observation?patient=mine&identifier=mine-1', observation())).status).toBe(500);
    gate.audit = undefined;
    expect(gate.arrived).toEqual([]);
  });
});

describe('the match of a conditional write', () => {
  const onSearch = (search: (base: string) => object): void => {
    gate.fhir = (request, response, body) => {
      if (request.method !== 'GET' || request.url?.includes('?') !== true) {
        server.handler(request, response, body);
        return;
      }
      const found = search(`http://127.0.0.1:${String(request.socket.localPort)}/fhir`);
      response.writeHead(200, { 'content-type': 'application/fhir+json' });
      response.end(JSON.stringify({ resourceType: 'Bundle', type: 'searchset', ...found }));
    };
  };
  const entry = (id: string, search: object | undefined) => ({
    resource: { ...observation(), id, meta: { versionId: '3' } },
    ...(search === undefined ? {} : { search }),
  });

  it.each<[string, object | undefined]>([
    ['no word of how it came', undefined],
    ['a score alone', { score: 1 }],
    ['an empty word', {}],
  ])('is one with %s', async (_what, how) => {
    onSearch(() => ({ entry: [entry('mine-1', { mode: 'match' }), entry('mine-2', how)] }));
    expect((await send('PUT', '/Observation?patient=mine', observation())).status).toBe(412);
    onSearch(() => ({ entry: [entry('mine-1', how)] }));
    expect((await send('DELETE', '/Observation?patient=mine', undefined, { 'if-match': 'W/"3"' })).status).toBe(204);
    expect(upstream()).toEqual(['DELETE /fhir/Observation/mine-1']);
  });

  it('is written in the version that matched: what changed since may match no more', async () => {
    const change = () => {
      const stored = server.stored.get('mine-1');
      onSearch(() => {
        server.put('mine-1', { status: 'amended', subject: { reference: 'Patient/mine' } }, '4');
        return { entry: [{ resource: stored, search: { mode: 'match' } }] };
      });
    };
    for (const [method, body, headers] of [
      ['PUT', observation(), {}],
      ['PATCH', [{ op: 'replace', path: '/status', value: 'final' }], {}],
      ['DELETE', undefined, { 'if-match': 'W/"4"' }],
    ] as const) {
      server.put('mine-1', observation({ status: 'preliminary' }), '3');
      change();
      const answer = await send(method, '/Observation?patient=mine&identifier=mine-1', body, headers);
      expect([method, answer.status]).toEqual([method, 412]);
    }
    expect(upstream()).toEqual([]);
  });
});
