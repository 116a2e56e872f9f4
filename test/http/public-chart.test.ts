import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import chart from '../attack/chart/index.ts';
import { startGate, type FhirHandler, type TestGate } from '../support/gate.ts';

// Rules with fixed conditions, through the whole gate: what a permit demands of the answer, of a write, and of a further page.

let gate: TestGate;
beforeAll(async () => {
  gate = await startGate({ useCase: chart });
});
afterAll(() => gate.close());
afterEach(() => {
  gate.fhir = undefined;
  gate.arrived.length = 0;
});

const observation = (id: string, patient = 'Patient/mine', more: object = {}) => ({
  resourceType: 'Observation',
  id,
  meta: { versionId: '1' },
  status: 'final',
  subject: { reference: patient },
  ...more,
});
const found = (resource: object, mode = 'match') => ({ fullUrl: 'http://x/y', resource, search: { mode } });
const bundle = (entries: readonly object[], more: object = {}) => ({
  resourceType: 'Bundle',
  type: 'searchset',
  total: entries.length,
  entry: entries,
  ...more,
});

function answering(
  answer: (
    target: string,
    base: string,
  ) => object | { readonly status: number; readonly headers?: Record<string, string>; readonly body?: object },
): FhirHandler {
  return (request, response) => {
    const base = `http://127.0.0.1:${String(request.socket.localPort)}/fhir`;
    const said = answer(request.url ?? '', base);
    const { status, headers, body } =
      'status' in said && typeof said.status === 'number'
        ? (said as { status: number; headers?: Record<string, string>; body?: object })
        : { status: 200, headers: {}, body: said };
    response.writeHead(status, { 'content-type': 'application/fhir+json', etag: 'W/"1"', ...headers });
    response.end(body === undefined ? '' : JSON.stringify(body));
  };
}

const bearer = () => ({ authorization: `Bearer ${gate.token({ facts: { service: 'chart' } })}` });
const get = (path: string, headers: Record<string, string> = bearer()) => gate.get(`/a/fhir${path}`, headers);
const send = (method: string, path: string, body: object, headers: Record<string, string> = {}) =>
  gate.get(`/a/fhir${path}`, { ...bearer(), 'content-type': 'application/fhir+json', ...headers }, method, JSON.stringify(body));
const upstream = () =>
  gate.arrived
    .filter(({ rawHeaders }) => !rawHeaders.includes('x-sluis-lookup'))
    .map(({ method, target }) => `${method} ${target}`);

describe('a read by rule', () => {
  it('gives the one patient, and no other', async () => {
    expect((await get('/Patient/mine')).status).toBe(200);
    expect(upstream()).toEqual(['GET /fhir/Patient/mine']);
    gate.arrived.length = 0;
    expect((await get('/Patient/other')).status).toBe(403);
    expect(gate.arrived).toEqual([]);
  });

  it('looks at whom a record is about before it is fetched; another’s and none are one answer (X27)', async () => {
    gate.fhir = answering((target) =>
      target.endsWith('none')
        ? { status: 404, body: {} }
        : observation(target.split('/').at(-1) ?? '', target.includes('mine') ? 'Patient/mine' : 'Patient/other'),
    );
    expect((await get('/Observation/mine-1')).status).toBe(200);
    expect(upstream()).toEqual(['GET /fhir/Observation/mine-1']);
    gate.arrived.length = 0;
    const other = await get('/Observation/other-1');
    const none = await get('/Observation/none');
    expect([other.status, none.status, upstream()]).toEqual([403, 403, []]);
    const without = (answer: typeof other) => answer.body.replaceAll(answer.headers.get('x-request-id') ?? '', '');
    expect(without(other)).toBe(without(none));
  });

  it('denies a record that became another’s between look-up and answer', async () => {
    let count = 0;
    gate.fhir = answering(() => observation('mine-1', (count += 1) === 1 ? 'Patient/mine' : 'Patient/other'));
    const answer = await get('/Observation/mine-1');
    expect([answer.status, answer.body.includes('Patient/other')]).toEqual([403, false]);
  });
});

describe('a search by rule', () => {
  it('goes up with the patient in one form and a bounded page, by GET and by POST', async () => {
    gate.fhir = answering(() => bundle([found(observation('1'))]));
    expect((await get('/Observation?patient=mine')).status).toBe(200);
    expect((await get('/Observation?subject=Patient/mine&_count=1000&_sort=-date&_include=Observation:subject')).status).toBe(
      200,
    );
    expect(
      (
        await gate.get(
          '/a/fhir/Observation/_search?patient=mine',
          { ...bearer(), 'content-type': 'application/x-www-form-urlencoded' },
          'POST',
          'code=x',
        )
      ).status,
    ).toBe(200);
    expect(upstream()).toEqual([
      'GET /fhir/Observation?patient=Patient%2Fmine&_count=50',
      'GET /fhir/Observation?subject=Patient%2Fmine&_count=50&_sort=-date&_include=Observation%3Asubject',
      'POST /fhir/Observation/_search',
    ]);
    expect(gate.arrived.at(-1)?.body).toBe('patient=Patient%2Fmine&code=x&_count=50');
  });

  it.each([
    ['no patient', ''],
    ['another', '?patient=other'],
    ['two', '?patient=mine,other'],
    ['two in two', '?patient=mine&patient=other'],
    ['two by two names (Q36)', '?patient=mine&subject=Patient/other'],
    ['a version (Q35)', '?patient=Patient/mine/_history/1'],
    ['a page of none (Q29)', '?patient=mine&_count=0'],
    ['another include (Q13)', '?patient=mine&_include=Observation:subject:Patient'],
    ['a negation (Q31)', '?patient:not=mine'],
    ['a total (Q24)', '?patient=mine&_total=accurate'],
  ])('denies %s', async (_what, query) => {
    expect((await get(`/Observation${query}`)).status).toBe(403);
    expect(gate.arrived).toEqual([]);
  });

  it('lets the patient come along, and drops what the server says besides', async () => {
    gate.fhir = answering(() =>
      bundle([
        found(observation('1')),
        found({ resourceType: 'Patient', id: 'mine' }, 'include'),
        found({ resourceType: 'OperationOutcome', id: 'o', issue: [{ diagnostics: 'SQL' }] }, 'outcome'),
      ]),
    );
    const answer = JSON.parse((await get('/Observation?patient=mine&_include=Observation:subject')).body) as {
      entry: { resource: { resourceType: string } }[];
    };
    expect(answer.entry.map(({ resource }) => resource.resourceType)).toEqual(['Observation', 'Patient']);
  });

  it.each<[string, object]>([
    ['another’s record (X10)', found(observation('1', 'Patient/other'))],
    ['a record about nobody', found(observation('1', 'Group/1'))],
    ['a record about another by an absolute reference', found(observation('1', 'https://x.example/fhir/Patient/mine'))],
    ['another patient that came along', found({ resourceType: 'Patient', id: 'other' }, 'include')],
    ['another type (X9)', found({ resourceType: 'Condition', id: '1', subject: { reference: 'Patient/mine' } })],
    ['another type that came along', found({ resourceType: 'Condition', id: '1' }, 'include')],
    ['an entry of nothing', { search: { mode: 'match' } }],
  ])('withholds everything for %s', async (_what, entry) => {
    gate.fhir = answering(() => bundle([found(observation('1')), entry]));
    const answer = await get('/Observation?patient=mine');
    expect([answer.status, answer.body.includes('Patient/')]).toEqual([502, false]);
  });

  it('withholds what the server says to have searched otherwise, and takes other words for the same (X11, Q48)', async () => {
    const self = (query: string) =>
      answering((_target, base) =>
        bundle([found(observation('1'))], { link: [{ relation: 'self', url: `${base}/Observation?${query}` }] }),
      );
    for (const same of ['patient=mine&_count=50', 'subject=Patient%2Fmine', 'patient=Patient/mine']) {
      gate.fhir = self(same);
      expect((await get('/Observation?patient=mine')).status).toBe(200);
    }
    for (const other of ['_count=50', 'patient=other', 'patient=mine,other', 'subject=Group/mine']) {
      gate.fhir = self(other);
      expect((await get('/Observation?patient=mine')).status).toBe(502);
    }
  });

  it('tells a total where it tells nothing else', async () => {
    const total = async () => (JSON.parse((await get('/Observation?patient=mine')).body) as { total?: number }).total;
    gate.fhir = answering(() => bundle([found(observation('1'))]));
    expect(await total()).toBe(1);
    gate.fhir = answering(() => bundle([found(observation('1'))], { total: 4711 }));
    expect(await total()).toBeUndefined();
  });
});

describe('a further page', () => {
  const pages: FhirHandler = answering((target, base) =>
    target.includes('_getpages')
      ? bundle([found(observation('2'))], {
          total: 2,
          link: [{ relation: 'previous', url: `${base}?_getpages=abc&_getpagesoffset=0` }],
        })
      : bundle([found(observation('1'))], {
          total: 2,
          link: [
            { relation: 'self', url: `${base}/Observation?patient=Patient%2Fmine` },
            { relation: 'next', url: `${base}?_getpages=abc&_getpagesoffset=1&_pretty=true` },
            { relation: 'search', url: 'https://elsewhere.example/' },
          ],
        }),
  );
  const linksOf = (body: string) => (JSON.parse(body) as { link: { relation: string; url: string }[] }).link;
  const next = async (headers?: Record<string, string>) => {
    const { url = '' } =
      linksOf((await get('/Observation?patient=mine', headers)).body).find(({ relation }) => relation === 'next') ?? {};
    return url.slice('https://gate.example/a/fhir'.length);
  };

  it('is sealed, and fetched by the server’s own cursor', async () => {
    gate.fhir = pages;
    const first = await get('/Observation?patient=mine');
    expect(linksOf(first.body).map(({ relation }) => relation)).toEqual(['self', 'next']);
    expect(first.body).not.toMatch(/_getpages|127\.0\.0\.1|elsewhere/);
    const second = await get(await next());
    expect(second.status).toBe(200);
    expect(second.body).toContain('"id":"2"');
    expect(upstream().at(-1)).toBe('GET /fhir?_getpages=abc&_getpagesoffset=1&_pretty=true');
  });

  it('is proved as the first one was', async () => {
    gate.fhir = answering((target, base) =>
      target.includes('_getpages')
        ? bundle([found(observation('2', 'Patient/other'))])
        : bundle([found(observation('1'))], { link: [{ relation: 'next', url: `${base}?_getpages=abc` }] }),
    );
    expect((await get(await next())).status).toBe(502);
  });

  it('is denied to another caller, at another tenant, when it was changed, when it is old, and beside anything else', async () => {
    gate.fhir = pages;
    const link = await next();
    gate.arrived.length = 0;
    const other = { authorization: `Bearer ${gate.token({ facts: { service: 'chart', sub: 'did:nuts:another' } })}` };
    expect((await get(link, other)).status).toBe(403);
    const ofB = { authorization: `Bearer ${gate.token({ tenant: 'b', facts: { service: 'chart' } })}` };
    expect((await gate.get(`/b/fhir${link}`, ofB)).status).toBe(403);
    const at = link.length - 20;
    expect((await get(link.slice(0, at) + (link[at] === 'A' ? 'B' : 'A') + link.slice(at + 1))).status).toBe(403);
    expect((await get(link.replace('/Observation', '/Patient'))).status).toBe(403);
    expect((await get(`${link}&_count=5`)).status).toBe(400);
    expect((await get('?_getpages=abc')).status).toBe(403);
    expect(gate.arrived).toEqual([]);
    gate.clock.advance(16 * 60_000);
    expect((await get(link)).status).toBe(403);
  });

  it('that leads to another place withholds the list: one that ends too early looks whole (X2)', async () => {
    for (const url of ['https://elsewhere.example/x?_getpages=1', 'http://127.0.0.1/other/fhir?x=1', 'not a url']) {
      gate.fhir = answering(() => bundle([found(observation('1'))], { link: [{ relation: 'next', url }] }));
      expect((await get('/Observation?patient=mine')).status).toBe(502);
    }
  });
});

describe('a create by rule', () => {
  it('goes up as it was judged, without an id of the caller’s, and answers with a place of ours', async () => {
    gate.fhir = answering((_target, base) => ({ status: 201, headers: { location: `${base}/Observation/9/_history/1` } }));
    const { meta: _meta, ...fresh } = observation('x');
    const answer = await send('POST', '/Observation', { ...fresh, value: 1 });
    expect([answer.status, answer.headers.get('location'), answer.headers.get('etag'), answer.body]).toEqual([
      201,
      'https://gate.example/a/fhir/Observation/9/_history/1',
      'W/"1"',
      '',
    ]);
    expect(upstream()).toEqual(['POST /fhir/Observation']);
    expect(JSON.parse(gate.arrived[0]?.body ?? '')).toEqual({
      resourceType: 'Observation',
      status: 'final',
      subject: { reference: 'Patient/mine' },
      value: 1,
    });
  });

  it.each<[string, object, number]>([
    ['about another', observation('x', 'Patient/other'), 403],
    ['about nobody', { resourceType: 'Observation' }, 403],
    [
      'that names another in an extension (C13)',
      observation('x', 'Patient/mine', { extension: [{ valueReference: { reference: 'Patient/other' } }] }),
      403,
    ],
    ['of another type (C8)', { ...observation('x'), resourceType: 'Patient' }, 400],
    ['with a label (C9)', observation('x', 'Patient/mine', { meta: { tag: [{ code: 'a' }] } }), 422],
  ])('%s is refused, and nothing is sent', async (_what, body, status) => {
    expect((await send('POST', '/Observation', body)).status).toBe(status);
    expect(gate.arrived).toEqual([]);
  });

  it.each([
    ['by an identifier besides the reference', { subject: { reference: 'Patient/mine', identifier: { value: '9' } } }],
    ['by another type besides the reference', { subject: { reference: 'Patient/mine', type: 'Group' } }],
    ['by an identifier elsewhere', { focus: [{ type: 'Patient', identifier: { value: '9' } }] }],
  ])('that may name another patient %s is 403 (C13)', async (_how, more) => {
    const { meta: _meta, ...rest } = observation('x');
    expect((await send('POST', '/Observation', { ...rest, ...more })).status).toBe(403);
    expect(gate.arrived).toEqual([]);
  });

  it('is 403 where it would search for a match first (H39)', async () => {
    const answer = await send('POST', '/Observation', observation('x'), { 'if-none-exist': 'identifier=x' });
    expect([answer.status, gate.arrived]).toEqual([403, []]);
  });

  it('that the server does not accept is 422 in our own words', async () => {
    gate.fhir = answering(() => ({ status: 422, body: { resourceType: 'OperationOutcome', issue: [{ diagnostics: 'SQL' }] } }));
    const { meta: _meta, ...fresh } = observation('x');
    const answer = await send('POST', '/Observation', fresh);
    expect([answer.status, answer.body.includes('SQL')]).toEqual([422, false]);
  });
});

describe('an update by rule', () => {
  const stored =
    (patient: string): FhirHandler =>
    (request, response) => {
      response.writeHead(200, { 'content-type': 'application/fhir+json', etag: request.method === 'PUT' ? 'W/"2"' : 'W/"1"' });
      response.end(JSON.stringify(observation('1', patient)));
    };

  it('is written on the version that it was judged against', async () => {
    gate.fhir = stored('Patient/mine');
    const answer = await send('PUT', '/Observation/1', { ...observation('1'), status: 'amended' }, { 'if-match': 'W/"1"' });
    expect([answer.status, answer.headers.get('etag')]).toEqual([200, 'W/"2"']);
    const [put] = gate.arrived.filter(({ method }) => method === 'PUT');
    expect(put?.rawHeaders).toEqual(expect.arrayContaining(['if-match', 'W/"1"']));
    expect(JSON.parse(put?.body ?? '')).toMatchObject({ status: 'amended' });
  });

  it.each<[string, string, object, Record<string, string>, number]>([
    ['of another’s record, which the body says is mine (C6)', 'Patient/other', observation('1'), { 'if-match': 'W/"1"' }, 403],
    ['of another’s record without a version (H38)', 'Patient/other', observation('1'), {}, 403],
    ['to another patient', 'Patient/mine', observation('1', 'Patient/other'), { 'if-match': 'W/"1"' }, 403],
    ['without a version', 'Patient/mine', observation('1'), {}, 428],
    ['of a stale version', 'Patient/mine', observation('1'), { 'if-match': 'W/"7"' }, 412],
    ['of another id (C8)', 'Patient/mine', observation('2'), { 'if-match': 'W/"1"' }, 400],
    [
      'of a label (C9)',
      'Patient/mine',
      observation('1', 'Patient/mine', { meta: { security: [{ code: 'R' }] } }),
      { 'if-match': 'W/"1"' },
      422,
    ],
  ])('%s is refused, and nothing is written', async (_what, patient, body, headers, status) => {
    gate.fhir = stored(patient);
    expect((await send('PUT', '/Observation/1', body, headers)).status).toBe(status);
    expect(upstream().filter((each) => each.startsWith('PUT'))).toEqual([]);
  });
});
