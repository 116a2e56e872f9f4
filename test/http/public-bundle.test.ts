import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import chart from '../attack/chart/index.ts';
import { startGate, type FhirHandler, type TestGate } from '../support/gate.ts';

// Batch and transaction through the whole gate: every entry is judged as if it came alone.

let gate: TestGate;
beforeAll(async () => {
  gate = await startGate({ useCase: chart });
});
afterAll(() => gate.close());
afterEach(() => {
  gate.fhir = undefined;
  gate.arrived.length = 0;
});

interface Answer {
  readonly type: string;
  readonly entry: readonly {
    readonly resource?: { readonly id?: string };
    readonly response: { readonly status: string; readonly outcome?: object; readonly location?: string; readonly etag?: string };
  }[];
}

const patientOf = (id: string) => `Patient/${id.startsWith('other') ? 'other' : 'mine'}`;
const observation = (id: string, patient = patientOf(id)) => ({
  resourceType: 'Observation',
  id,
  meta: { versionId: '1' },
  status: 'final',
  subject: { reference: patient },
});
const fresh = (patient: string) => ({ resourceType: 'Observation', status: 'final', subject: { reference: patient } });

/** A server that has what it is asked for, and answers a transaction with one entry for each. */
const server: FhirHandler = (request, response, body) => {
  const [path = '', query = ''] = (request.url ?? '').slice('/fhir'.length).split('?');
  const id = path.split('/').at(-1) ?? '';
  const say = (status: number, resource: object, headers: Record<string, string> = {}): void => {
    response.writeHead(status, { 'content-type': 'application/fhir+json', etag: 'W/"1"', ...headers });
    response.end(JSON.stringify(resource));
  };
  if (request.method === 'POST' && path === '/Observation')
    say(201, {}, { location: `http://127.0.0.1:${String(request.socket.localPort)}/fhir/Observation/9/_history/1` });
  else if (request.method === 'POST') {
    const { entry } = JSON.parse(body) as { entry: { request: { method: string; url: string } }[] };
    say(200, {
      resourceType: 'Bundle',
      type: 'transaction-response',
      entry: entry.map(({ request: { method, url } }) =>
        method === 'GET'
          ? {
              resource: url.startsWith('Patient')
                ? { resourceType: 'Patient', id: 'mine' }
                : observation(url.split('/')[1] ?? ''),
              response: { status: '200' },
            }
          : {
              resource: { secret: true },
              response: { status: method === 'POST' ? '201 Created' : '200', location: 'Observation/9/_history/1', etag: '1' },
            },
      ),
    });
  } else if (path.startsWith('/Patient/')) say(200, { resourceType: 'Patient', id });
  else if (path === '/Observation')
    say(200, {
      resourceType: 'Bundle',
      type: 'searchset',
      entry: query === '' ? [] : [{ resource: observation('mine-1'), search: { mode: 'match' } }],
    });
  else say(200, observation(id), request.method === 'PUT' ? { etag: 'W/"2"' } : {});
};

async function post(bundle: object) {
  gate.fhir ??= server;
  const headers = {
    authorization: `Bearer ${gate.token({ facts: { service: 'chart' } })}`,
    'content-type': 'application/fhir+json',
  };
  const answer = await gate.get('/a/fhir', headers, 'POST', JSON.stringify({ resourceType: 'Bundle', ...bundle }));
  return { ...answer, json: JSON.parse(answer.body) as Answer };
}
const upstream = () =>
  gate.arrived
    .filter(({ rawHeaders }) => !rawHeaders.includes('x-sluis-lookup'))
    .map(({ method, target }) => `${method} ${target}`);
const statuses = ({ json }: { json: Answer }) => json.entry.map(({ response }) => response.status.slice(0, 3));

const get = (url: string) => ({ request: { method: 'GET', url } });
const put = (id: string, patient = patientOf(id), ifMatch: string | null = 'W/"1"') => ({
  resource: observation(id, patient),
  request: { method: 'PUT', url: `Observation/${id}`, ...(ifMatch === null ? {} : { ifMatch }) },
});
const create = (patient: string) => ({ resource: fresh(patient), request: { method: 'POST', url: 'Observation' } });

describe('a batch', () => {
  it('carries out each entry as if it came alone, and answers in the order of the question', async () => {
    const answer = await post({
      type: 'batch',
      entry: [
        get('Patient/mine'),
        get('Patient/other'),
        get('Observation?patient=mine'),
        create('Patient/mine'),
        put('mine-1'),
        put('mine-2', 'Patient/mine', 'W/"7"'),
      ],
    });
    expect([answer.status, answer.json.type, statuses(answer)]).toEqual([
      200,
      'batch-response',
      ['200', '403', '200', '201', '200', '412'],
    ]);
    // Reads go side by side.
    expect(upstream().slice(0, 2).sort()).toEqual([
      'GET /fhir/Observation?patient=Patient%2Fmine&_count=50',
      'GET /fhir/Patient/mine',
    ]);
    expect(upstream().slice(2)).toEqual(['POST /fhir/Observation', 'PUT /fhir/Observation/mine-1']);
    expect(answer.json.entry[3]?.response).toMatchObject({ location: 'https://gate.example/a/fhir/Observation/9/_history/1' });
  });

  it('says of a denied entry what it says of any denial, and records each entry', async () => {
    const answer = await post({ type: 'batch', entry: [get('Observation/other-1'), get('Observation/mine-1')] });
    expect(answer.json.entry[0]?.response).toMatchObject({
      status: '403 Forbidden',
      outcome: { issue: [{ details: { text: 'access_denied' } }] },
    });
    const records = await gate.audited(answer.headers.get('x-request-id') ?? '');
    const ends = records.filter(({ phase }) => phase === 'outcome').map(({ part, status }) => [part, status]);
    expect(ends).toEqual([
      ['entry-1', 403],
      ['entry-2', 200],
      [undefined, 200],
    ]);
  });

  it('with as many denied and permitted entries as anybody likes sends exactly the permitted ones', async () => {
    const entry = fc.constantFrom('mine', 'other');
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { minLength: 1, maxLength: 6 }), async (ids) => {
        gate.arrived.length = 0;
        const answer = await post({ type: 'batch', entry: ids.map((id) => get(`Patient/${id}`)) });
        expect(statuses(answer)).toEqual(ids.map((id) => (id === 'mine' ? '200' : '403')));
        expect(upstream()).toEqual(ids.filter((id) => id === 'mine').map((id) => `GET /fhir/Patient/${id}`));
      }),
      { numRuns: 50 },
    );
  });
});

describe('a transaction', () => {
  it('is on record as one, and a batch as a batch', async () => {
    for (const type of ['transaction', 'batch']) {
      const answer = await post({ type, entry: [get('Patient/mine')] });
      expect(answer.status).toBe(200);
      const records = (await gate.allAudited()).filter(
        ({ part, interaction }) => part === undefined && interaction !== undefined,
      );
      expect(records.at(-1)?.interaction).toBe(type);
    }
  });

  it('goes up whole, rebuilt, with the versions that it was judged against', async () => {
    const answer = await post({ type: 'transaction', entry: [get('Patient/mine'), create('Patient/mine'), put('mine-1')] });
    expect([answer.status, answer.json.type, statuses(answer)]).toEqual([200, 'transaction-response', ['200', '201', '200']]);
    expect(upstream()).toEqual(['POST /fhir']);
    const sent = JSON.parse(gate.arrived.at(-1)?.body ?? '') as { entry: { request: object; resource?: object }[] };
    expect(sent.entry.map(({ request }) => request)).toEqual([
      { method: 'GET', url: 'Patient/mine' },
      { method: 'POST', url: 'Observation' },
      { method: 'PUT', url: 'Observation/mine-1', ifMatch: 'W/"1"' },
    ]);
    expect(answer.body).not.toContain('secret');
    expect(answer.json.entry[1]?.response).toEqual({
      status: '201 Created',
      location: 'https://gate.example/a/fhir/Observation/9/_history/1',
      etag: 'W/"1"',
    });
  });

  it.each<[string, readonly object[], number]>([
    ['one entry is denied', [get('Patient/mine'), get('Patient/other')], 403],
    ['one creates about another', [create('Patient/mine'), create('Patient/other')], 403],
    ['one updates another’s record', [put('other-1', 'Patient/mine')], 403],
    ['one names no version', [put('mine-1', 'Patient/mine', null)], 428],
    ['one names a stale version', [get('Patient/mine'), put('mine-1', 'Patient/mine', 'W/"7"')], 412],
    [
      'one is about what another creates: nobody knows who that is',
      [
        { fullUrl: 'urn:uuid:0c6f2b30-5b1a-4b73-9e1d-2f7d4f4c8f11', ...create('Patient/mine') },
        create('urn:uuid:0c6f2b30-5b1a-4b73-9e1d-2f7d4f4c8f11'),
      ],
      403,
    ],
    ['one deletes', [{ request: { method: 'DELETE', url: 'Observation/mine-1' } }], 403],
  ])('is refused as a whole, and nothing goes up, where %s', async (_what, entry, status) => {
    expect((await post({ type: 'transaction', entry })).status).toBe(status);
    expect(upstream()).toEqual([]);
  });

  it.each<[string, readonly object[], readonly [string, string, number, string][]]>([
    [
      'denied',
      [get('Patient/mine'), get('Patient/other'), put('mine-1')],
      [
        ['entry-1', 'denied', 403, 'transaction_denied'],
        ['entry-2', 'denied', 403, 'instance_not_in_rule'],
        ['entry-3', 'denied', 403, 'transaction_denied'],
        ['whole', 'denied', 403, 'entry_denied'],
      ],
    ],
    [
      'not the caller’s to change',
      [get('Patient/mine'), put('other-1', 'Patient/mine')],
      [
        ['entry-1', 'denied', 403, 'transaction_denied'],
        ['entry-2', 'denied', 403, 'stored_of_another_patient'],
        ['whole', 'denied', 403, 'entry_denied'],
      ],
    ],
    [
      'rejected',
      [get('Patient/mine'), put('mine-1', 'Patient/mine', 'W/"7"'), create('Patient/mine')],
      [
        ['entry-1', 'rejected', 412, 'transaction_rejected'],
        ['entry-2', 'rejected', 412, 'stale_version'],
        ['entry-3', 'rejected', 412, 'transaction_rejected'],
        ['whole', 'rejected', 412, 'stale_version'],
      ],
    ],
  ])('of which one entry is %s has a closed record of each, with what became of it', async (_what, entry, expected) => {
    const answer = await post({ type: 'transaction', entry });
    const records = await gate.audited(answer.headers.get('x-request-id') ?? '');
    const ends = records
      .filter(({ phase }) => phase === 'outcome')
      .map(({ part, outcome, status, reason }) => [part ?? 'whole', outcome, status, reason]);
    expect(ends.sort()).toEqual(expected);
    // The answer may be read when all is written: the whole is closed last.
    expect(records.at(-1)).toMatchObject({ phase: 'outcome' });
    expect(records.at(-1)).not.toHaveProperty('part');
  });

  it('of which a look-up fails, or that the server rejects, leaves no record open', async () => {
    for (const [status, outcome] of [
      [500, 'failed'],
      [422, 'rejected'],
    ] as const) {
      gate.fhir = (request, response, body) => {
        if (request.method !== 'POST' && status === 422) {
          server(request, response, body);
          return;
        }
        response.writeHead(status, { 'content-type': 'application/fhir+json' }).end('{}');
      };
      const answer = await post({ type: 'transaction', entry: [create('Patient/mine'), put('mine-1')] });
      const records = await gate.audited(answer.headers.get('x-request-id') ?? '');
      const ends = records.filter(({ phase }) => phase === 'outcome').map((each) => [each.part ?? 'whole', each.outcome]);
      expect(ends.sort()).toEqual([
        ['entry-1', outcome],
        ['entry-2', outcome],
        ['whole', outcome],
      ]);
    }
  });

  it('that gets no answer leaves no record open', async () => {
    gate.fhir = (request, response, body) => {
      if (request.method === 'POST') request.socket.destroy();
      else server(request, response, body);
    };
    const answer = await post({ type: 'transaction', entry: [create('Patient/mine'), put('mine-1')] });
    expect(answer.status).toBe(502);
    const records = await gate.audited(answer.headers.get('x-request-id') ?? '');
    const partsOf = (phase: string) => records.filter((each) => each.phase === phase).map(({ part }) => part ?? 'whole');
    expect(partsOf('intent').sort()).toEqual(['entry-1', 'entry-2', 'whole']);
    expect(partsOf('outcome').sort()).toEqual(['entry-1', 'entry-2', 'whole']);
  });

  it('whose answer has another number of entries, or another’s record, does not leave (B18, X10)', async () => {
    const answering =
      (entry: object[]): FhirHandler =>
      (_request, response) => {
        response.writeHead(200, { 'content-type': 'application/fhir+json' });
        response.end(JSON.stringify({ resourceType: 'Bundle', type: 'transaction-response', entry }));
      };
    const ok = { resource: { resourceType: 'Patient', id: 'mine' }, response: { status: '200' } };
    const two = { type: 'transaction', entry: [get('Patient/mine'), get('Patient/mine')] };
    for (const entries of [
      [ok],
      [ok, ok, ok],
      [ok, { ...ok, resource: { resourceType: 'Patient', id: 'other' } }],
      [ok, { response: { status: '200' } }],
    ]) {
      gate.fhir = answering(entries);
      expect((await post(two)).status).toBe(502);
    }
    gate.fhir = answering([ok, ok]);
    expect((await post(two)).status).toBe(200);
  });
});

describe('a Bundle that can be read in two ways', () => {
  it.each<[string, object, number]>([
    ['no type (B11)', { entry: [get('Patient/mine')] }, 400],
    ['another type (B11)', { type: 'collection', entry: [get('Patient/mine')] }, 400],
    ['no entries (B17)', { type: 'batch', entry: [] }, 400],
    ['an entry of nothing (B17)', { type: 'batch', entry: [{}] }, 400],
    [
      'a type that is not the URL’s (B4)',
      { type: 'batch', entry: [{ resource: observation('1'), request: { method: 'PUT', url: 'Patient/other' } }] },
      400,
    ],
    [
      'an id that is not the URL’s',
      { type: 'batch', entry: [{ resource: observation('1'), request: { method: 'PUT', url: 'Observation/2' } }] },
      400,
    ],
    ['a URL of another place (B3)', { type: 'batch', entry: [get('../b/Patient/1')] }, 400],
    ['an absolute URL (B3)', { type: 'batch', entry: [get('http://x/Patient/1')] }, 400],
    ['a method in lower case (B12)', { type: 'batch', entry: [{ request: { method: 'get', url: 'Patient/mine' } }] }, 400],
    [
      'a fullUrl of another (B5)',
      { type: 'batch', entry: [{ fullUrl: 'https://gate.example/a/fhir/Patient/other', ...get('Patient/mine') }] },
      400,
    ],
    [
      'a Bundle in it',
      { type: 'batch', entry: [{ resource: { resourceType: 'Bundle' }, request: { method: 'POST', url: '' } }] },
      400,
    ],
    [
      'a patch in a Binary (B13)',
      {
        type: 'batch',
        entry: [{ resource: { resourceType: 'Binary' }, request: { method: 'PATCH', url: 'Observation/mine-1' } }],
      },
      400,
    ],
    [
      'a version for a read',
      { type: 'batch', entry: [{ request: { method: 'GET', url: 'Patient/mine', ifMatch: 'W/"1"' } }] },
      400,
    ],
    ['one resource twice in a transaction', { type: 'transaction', entry: [put('mine-1'), put('mine-1')] }, 400],
    ['too many entries (B15)', { type: 'batch', entry: Array.from({ length: 21 }, () => get('Patient/mine')) }, 413],
  ])('%s is refused, and nothing goes up', async (_what, bundle, status) => {
    expect((await post(bundle)).status).toBe(status);
    expect(gate.arrived).toEqual([]);
  });
});
