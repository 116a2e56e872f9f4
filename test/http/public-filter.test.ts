import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { defineUseCase, permit, permitByRule } from '../../src/usecase/index.ts';
import { startGate, type TestGate } from '../support/gate.ts';

// Filters, headers and redaction through the whole gate: what a permit demands holds for every way in which an answer leaves.

let gate: TestGate;
const any = { any: true, optional: true } as const;
const obligations = [
  { kind: 'filter', filter: 'final' },
  { kind: 'headers', request: { 'accept-language': 'nl' }, response: { 'last-modified': null } },
] as const;
const proof = { kind: 'narrow', parameter: 'patient', values: ['Patient/mine'], element: 'subject' } as const;
const filtered = defineUseCase({
  id: 'filtered',
  title: 'Final observations',
  roles: [
    {
      id: 'reader',
      purpose: 'filtered',
      scopes: [],
      fhirVersion: 'R4',
      rules: [
        {
          id: 'search',
          interaction: 'search-type',
          types: ['Observation'],
          parameters: { _summary: any, _elements: any, code: any },
        },
        {
          id: 'proved',
          interaction: 'search-type',
          types: ['Condition'],
          parameters: { patient: any, _summary: any, _elements: any },
        },
        { id: 'plain', interaction: 'read', types: ['Patient'], parameters: { _elements: { any: true, optional: true } } },
        { id: 'binary', interaction: 'read', types: ['Binary'], obligations: [{ kind: 'headers', response: { etag: null } }] },
      ],
    },
  ],
  parseConfig: (settings) => settings,
  // By code: a rule that lists what takes elements away beside these is refused at start.
  decide: ({ context }) => {
    if (context.rule === 'search') return permit('filtered', { obligations });
    return context.rule === 'proved' ? permit('narrowed', { obligations: [proof] }) : permitByRule();
  },
  filters: [{ name: 'final', keeps: ({ resource }) => resource['status'] === 'final' }],
});

beforeAll(async () => {
  gate = await startGate({ useCase: filtered });
});
afterAll(() => gate.close());
afterEach(() => {
  gate.fhir = undefined;
  gate.arrived.length = 0;
});

const get = (path: string, headers: Record<string, string> = {}) =>
  gate.get(`/a/fhir${path}`, { authorization: `Bearer ${gate.token({ facts: { service: 'filtered' } })}`, ...headers });

function answers(total: number, statuses: readonly string[], next = false): void {
  gate.fhir = (request, response) => {
    const base = `http://127.0.0.1:${String(request.socket.localPort)}/fhir`;
    const entry = statuses.map((status, index) => ({
      fullUrl: `http://internal.example:9999/fhir/Observation/${String(index)}`,
      resource: { resourceType: 'Observation', id: String(index), status },
      search: { mode: 'match' },
    }));
    const link = next ? [{ relation: 'next', url: `${base}?_getpages=1` }] : [];
    response.writeHead(200, { 'content-type': 'application/fhir+json', 'last-modified': 'Sun, 01 Mar 2026 09:00:00 GMT' });
    response.end(JSON.stringify({ resourceType: 'Bundle', type: 'searchset', total, link, entry }));
  };
}

describe('a filtered list', () => {
  it('has what is kept and no total of what is not; whole and kept, it has its total (X12)', async () => {
    answers(2, ['final', 'draft']);
    const some = await get('/Observation?code=x');
    expect(JSON.parse(some.body)).toMatchObject({ entry: [{ resource: { id: '0' } }] });
    expect(some.body).not.toMatch(/draft|total/);
    answers(2, ['final', 'final']);
    expect(JSON.parse((await get('/Observation?code=x')).body)).toMatchObject({ total: 2 });
  });

  it('tells no total while there are further pages, in which something may be that is not kept', async () => {
    answers(9, ['final'], true);
    expect((await get('/Observation?code=x')).body).not.toContain('total');
    answers(9, []);
    expect((await get('/Observation?code=x')).body).not.toContain('total');
  });

  it('does not say where the server is, whatever the server calls itself', async () => {
    answers(1, ['final']);
    const { body } = await get('/Observation?code=x');
    expect(body).not.toMatch(/internal\.example/);
    expect(JSON.parse(body)).toMatchObject({ entry: [{ fullUrl: 'https://gate.example/a/fhir/Observation/0' }] });
  });

  it.each(['_summary=count', '_summary=true', '_elements=id'])(
    'is denied without what a filter goes by: %s (Q25, Q50)',
    async (what) => {
      answers(1, ['final']);
      expect((await get(`/Observation?${what}`)).status).toBe(403);
      expect(gate.arrived).toEqual([]);
    },
  );
});

describe('an answer on which something is proved', () => {
  const condition = { resourceType: 'Condition', id: '1', subject: { reference: 'Patient/mine' } };
  const answering = (resource: object) => {
    gate.fhir = (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/fhir+json', etag: 'W/"1"' }).end(JSON.stringify(resource));
    };
  };

  it.each(['_summary=count', '_summary=true', '_summary=text', '_elements=id', '_elements=code,subject'])(
    'is not asked for without elements: %s is a denial, and no alarm (Q25, Q50)',
    async (what) => {
      answering(condition);
      const answer = await get(`/Condition?patient=Patient/mine&${what}`);
      expect([answer.status, gate.arrived]).toEqual([403, []]);
      const records = await gate.audited(answer.headers.get('x-request-id') ?? '');
      expect(records.at(-1)).toMatchObject({ outcome: 'denied', reason: 'obligation_unfit' });
      expect(await gate.alarms('answer_unproved')).toBe(0);
    },
  );

  it('is given whole; and where nothing is proved, in part', async () => {
    answering({ resourceType: 'Bundle', type: 'searchset', entry: [{ resource: condition }] });
    expect((await get('/Condition?patient=Patient/mine')).status).toBe(200);
    answering({ resourceType: 'Patient', id: '1' });
    expect((await get('/Patient/1?_elements=id')).status).toBe(200);
  });
});

describe('headers of a permit', () => {
  it('go up, and do not come down', async () => {
    answers(1, ['final']);
    const answer = await get('/Observation?code=x');
    expect(answer.status).toBe(200);
    expect(answer.headers.has('last-modified')).toBe(false);
    expect(gate.arrived[0]?.rawHeaders.map((each) => each.toLowerCase())).toContain('accept-language');
  });

  it('hold for bytes and for what has not changed', async () => {
    gate.fhir = (request, response) => {
      if (request.headers['if-none-match'] !== undefined) response.writeHead(304, { etag: 'W/"1"' }).end();
      else response.writeHead(200, { 'content-type': 'application/pdf', etag: 'W/"1"' }).end('x');
    };
    for (const condition of [{}, { 'if-none-match': 'W/"1"' }]) {
      const answer = await get('/Binary/1', condition);
      expect([200, 304]).toContain(answer.status);
      expect(answer.headers.has('etag')).toBe(false);
    }
  });
});
