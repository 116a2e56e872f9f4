import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { startGate, type TestGate } from '../support/gate.ts';
import { WRITES } from '../support/writes-use-case.ts';

// What an operation found: some servers take its parameters, and do not heed them.

let gate: TestGate;
let headers: Readonly<Record<string, string>>;
/** What the server answers to each request, the last one again and again. */
let bundles: ((base: string) => object)[];
beforeAll(async () => {
  gate = await startGate({ useCase: WRITES });
  headers = { authorization: `Bearer ${gate.token({ facts: { service: 'writes' } })}` };
});
afterAll(() => gate.close());
beforeEach(() => {
  bundles = [];
  gate.arrived.length = 0;
  gate.fhir = (request, response) => {
    const make = bundles.length > 1 ? bundles.shift() : bundles[0];
    response.writeHead(200, { 'content-type': 'application/fhir+json' });
    response.end(JSON.stringify(make?.(`http://127.0.0.1:${String(request.socket.localPort)}/fhir`)));
  };
});

const about = (subject: string, id = '1') => ({ resourceType: 'Observation', id, subject: { reference: subject } });
const found =
  (resources: readonly object[], more: object = {}, next?: string) =>
  (base: string): object => ({
    resourceType: 'Bundle',
    type: 'searchset',
    ...more,
    ...(next === undefined ? {} : { link: [{ relation: 'next', url: `${base}?_getpages=${next}` }] }),
    entry: resources.map((resource) => ({ resource, search: { mode: 'match' } })),
  });
const lastN = (method: 'GET' | 'POST') => {
  if (method === 'GET') return gate.get('/a/fhir/Observation/$lastn?patient=Patient/mine', headers);
  const parameter = [{ name: 'patient', valueString: 'Patient/mine' }];
  const body = JSON.stringify({ resourceType: 'Parameters', parameter });
  return gate.get('/a/fhir/Observation/$lastn', { ...headers, 'content-type': 'application/fhir+json' }, 'POST', body);
};
const nextOf = ({ body }: { readonly body: string }): string => {
  const { link } = JSON.parse(body) as { link: { relation: string; url: string }[] };
  const url = new URL(link.find(({ relation }) => relation === 'next')?.url ?? '');
  return `${url.pathname}${url.search}`;
};

describe('what an operation found', () => {
  it.each(['GET', 'POST'] as const)('leaves when it is about the patient of the rule, by %s', async (method) => {
    bundles = [found([about('Patient/mine'), { resourceType: 'Patient', id: 'mine' }], { total: 2 })];
    const answer = await lastN(method);
    expect([answer.status, (JSON.parse(answer.body) as { entry: object[] }).entry.length]).toEqual([200, 2]);
  });

  it.each<[string, 'GET' | 'POST', object]>([
    ['an entry about another', 'GET', about('Patient/other')],
    ['an entry about another', 'POST', about('Patient/other')],
    ['another patient', 'GET', { resourceType: 'Patient', id: 'other' }],
    ['what is about nobody', 'GET', { resourceType: 'Observation', id: '1' }],
    ['a Bundle of its own', 'GET', { resourceType: 'Bundle', id: '1', type: 'searchset' }],
  ])('is withheld with %s, by %s', async (_what, method, resource) => {
    bundles = [found([about('Patient/mine'), resource])];
    const answer = await lastN(method);
    expect([answer.status, answer.body.includes('other')]).toEqual([502, false]);
  });

  it('is a denial when it is no Bundle, and does not show the patient', async () => {
    bundles = [() => about('Patient/other')];
    expect((await lastN('GET')).status).toBe(403);
  });

  it('has pages that are links of ours, each proved as the first', async () => {
    bundles = [
      found([about('Patient/mine')], { total: 60 }, 'one'),
      found([about('Patient/mine', '2')], { total: 60 }, 'two'),
      found([about('Patient/other', '3')]),
    ];
    const first = await lastN('GET');
    expect(first.body).not.toMatch(/_getpages|"total"/u);
    expect(nextOf(first)).toMatch(/^\/a\/fhir\/Observation\/\$lastn\?_continuation=/u);
    const second = await gate.get(nextOf(first), headers);
    expect([second.status, second.body.includes('"id":"2"')]).toEqual([200, true]);
    expect((await gate.get(nextOf(second), headers)).status).toBe(502);
    expect(gate.arrived.map(({ target }) => target).slice(1)).toEqual(['/fhir?_getpages=one', '/fhir?_getpages=two']);
    const blind = { authorization: `Bearer ${gate.token({ facts: { service: 'blind' } })}` };
    expect((await gate.get(nextOf(first), blind)).status).toBe(403);
    expect((await gate.get(`${nextOf(first)}A`, headers)).status).toBe(403);
  });

  it('does not seem whole where nobody could fetch its further pages: by POST', async () => {
    bundles = [found([about('Patient/mine')], {}, 'one')];
    expect((await lastN('POST')).status).toBe(502);
    bundles = [found([about('Patient/mine')])];
    expect((await lastN('POST')).status).toBe(200);
  });

  it('has pages of ours where no element is proved', async () => {
    bundles = [found([about('Patient/mine')], { total: 60 }, 'one'), found([about('Patient/mine', '2')])];
    const first = await gate.get('/a/fhir/Patient/mine/$everything', headers);
    expect(first.body).not.toContain('_getpages');
    expect((await gate.get(nextOf(first), headers)).status).toBe(200);
  });

  it('is followed by no link within Parameters', async () => {
    bundles = [found([about('Patient/mine')], {}, 'one')];
    const sealed = new URL(nextOf(await lastN('GET')), 'http://x').searchParams.get('_continuation');
    const body = JSON.stringify({ resourceType: 'Parameters', parameter: [{ name: '_continuation', valueString: sealed }] });
    const type = { 'content-type': 'application/fhir+json' };
    expect((await gate.get('/a/fhir/Observation/$lastn', { ...headers, ...type }, 'POST', body)).status).toBe(403);
  });
});
