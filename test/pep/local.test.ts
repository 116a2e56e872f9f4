import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import chart from '../attack/chart/index.ts';
import { defineUseCase, permitByRule, type Role } from '../../src/usecase/index.ts';
import { startGate, type TestGate } from '../support/gate.ts';

// What the gate answers itself: of the custodian's server nothing is asked, and nothing shows.

const given: { answer: () => unknown } = { answer: () => undefined };
const desk: Role = {
  id: 'desk',
  purpose: 'desk',
  scopes: [],
  fhirVersion: 'R4',
  rules: [
    {
      id: 'patient',
      interaction: 'read',
      types: ['Patient'],
      instance: ['mine'],
      obligations: [
        { kind: 'answer-locally', answer: 'card' },
        { kind: 'redact', elements: ['Patient.name'] },
      ],
    },
    { id: 'bundle', interaction: 'bundle', types: [] },
  ],
};
const useCase = defineUseCase({
  id: 'desk',
  title: 'Desk',
  parseConfig: () => ({}),
  roles: [desk],
  decide: permitByRule,
  answers: [{ name: 'card', answer: () => given.answer() as Promise<undefined> }],
});

let local: TestGate;
let short: TestGate;
let charts: TestGate;
beforeAll(async () => {
  local = await startGate({ useCase });
  short = await startGate({ useCase, reviewDeadlineMs: 100 });
  charts = await startGate({ useCase: chart });
});
afterAll(async () => {
  await local.close();
  await short.close();
  await charts.close();
});
afterEach(() => {
  expect([...local.arrived, ...short.arrived, ...charts.arrived]).toEqual([]);
});

const bearer = (gate: TestGate, service: string) => ({ authorization: `Bearer ${gate.token({ facts: { service } })}` });
const card = { resourceType: 'Patient', id: 'mine', name: [{ text: 'Secret' }], gender: 'female' };

describe('an answer of the use case', () => {
  it('leaves in the custodian’s place, redacted and recorded', async () => {
    given.answer = () => Promise.resolve(card);
    const answer = await local.get('/a/fhir/Patient/mine', bearer(local, 'desk'));
    expect([answer.status, JSON.parse(answer.body)]).toMatchObject([200, { id: 'mine', gender: 'female' }]);
    expect(answer.body).not.toContain('Secret');
    const phases = (await local.audited(answer.headers.get('x-request-id') ?? '')).map(({ phase }) => phase);
    expect(phases).toEqual(['intent', 'outcome']);
  });

  it.each<[string, () => unknown, number]>([
    ['nothing', () => Promise.resolve(undefined), 404],
    ['a rejection', () => Promise.reject(new Error('a bug')), 500],
    [
      'a throw',
      () => {
        throw new Error('a bug');
      },
      500,
    ],
    ['text', () => Promise.resolve('Patient'), 500],
    ['null', () => Promise.resolve(null), 500],
    ['no resource', () => Promise.resolve({ id: 'mine' }), 500],
    ['what is too large', () => Promise.resolve({ ...card, note: 'x'.repeat(1_100_000) }), 500],
    ['another Patient', () => Promise.resolve({ ...card, id: 'other' }), 502],
  ])('that is %s does not leave', async (_what, answer, status) => {
    given.answer = answer;
    const { status: said, body } = await local.get('/a/fhir/Patient/mine', bearer(local, 'desk'));
    expect([said, body.includes('bug')]).toEqual([status, false]);
  });

  it('that comes to no end does not leave', async () => {
    given.answer = () => new Promise(() => undefined);
    expect((await short.get('/a/fhir/Patient/mine', bearer(short, 'desk'))).status).toBe(500);
  });

  it('stands in a batch, and not in a transaction', async () => {
    given.answer = () => Promise.resolve(card);
    const headers = { ...bearer(local, 'desk'), 'content-type': 'application/fhir+json' };
    const post = (type: string) =>
      local.get(
        '/a/fhir',
        headers,
        'POST',
        JSON.stringify({ resourceType: 'Bundle', type, entry: [{ request: { method: 'GET', url: 'Patient/mine' } }] }),
      );
    expect(JSON.parse((await post('batch')).body)).toMatchObject({ entry: [{ resource: { id: 'mine' } }] });
    expect((await post('transaction')).status).toBe(403);
  });

  it('is not asked for what no rule names', async () => {
    given.answer = () => Promise.reject(new Error('asked'));
    expect((await local.get('/a/fhir/Patient/other', bearer(local, 'desk'))).status).toBe(403);
  });
});

describe('a list of the use case', () => {
  const listed = { local: true, answer: {} as object };
  let lists: TestGate;
  beforeAll(async () => {
    lists = await startGate({
      useCase: defineUseCase({
        id: 'desk',
        title: 'Desk',
        parseConfig: () => ({}),
        roles: [
          {
            id: 'desk',
            purpose: 'desk',
            scopes: [],
            fhirVersion: 'R4',
            rules: [{ id: 'tasks', interaction: 'search-type', types: ['Task'], parameters: { status: { any: true } } }],
          },
        ],
        decide: () => ({
          effect: 'permit',
          reason: { code: 'ok' },
          obligations: listed.local ? [{ kind: 'answer-locally', answer: 'tasks' }] : [],
        }),
        answers: [{ name: 'tasks', answer: () => Promise.resolve(listed.answer as Record<string, string>) }],
      }),
    });
  });
  afterAll(() => lists.close());
  const get = (path: string) => lists.get(path, bearer(lists, 'desk'));
  const task = { resourceType: 'Task', id: '1', status: 'requested' };
  const bundle = (link?: unknown) => ({ resourceType: 'Bundle', type: 'searchset', link, entry: [{ resource: task }] });

  it.each<[string, unknown]>([
    ['no links', undefined],
    ['none in a list', []],
    [
      'a link to itself and to others',
      [
        { relation: 'self', url: 'http://x/Task' },
        { relation: 'first', url: 'http://x/Task' },
      ],
    ],
  ])('with %s leaves with the gate’s own link', async (_what, link) => {
    listed.answer = bundle(link);
    const answer = await get('/a/fhir/Task?status=requested');
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.body)).toMatchObject({
      link: [{ relation: 'self', url: 'https://gate.example/a/fhir/Task?status=requested' }],
      entry: [{ resource: { id: '1' } }],
    });
    expect(answer.body).not.toContain('http://x');
    expect(lists.arrived).toEqual([]);
  });

  it.each<[string, unknown]>([
    ['goes on at the custodian', [{ relation: 'next', url: '/fhir/Task?_offset=2' }]],
    [
      'goes on elsewhere',
      [
        { relation: 'self', url: '?' },
        { relation: 'next', url: 'http://x/Task?page=2' },
      ],
    ],
    ['has links that are no list', { relation: 'next' }],
  ])('that %s is a fault of the use case: the operator learns it, the caller does not', async (_what, link) => {
    listed.answer = bundle(link);
    const answer = await get('/a/fhir/Task?status=requested');
    expect(answer.status).toBe(500);
    const records = await lists.audited(answer.headers.get('x-request-id') ?? '');
    expect(records.at(-1)).toMatchObject({ outcome: 'failed', reason: 'local_answer_malformed' });
  });

  it('is not given for a further page of the custodian’s', async () => {
    listed.local = false;
    lists.fhir = (request, response) => {
      const link = [{ relation: 'next', url: `http://127.0.0.1:${String(request.socket.localPort)}/fhir?_getpages=1` }];
      response.writeHead(200, { 'content-type': 'application/fhir+json' }).end(JSON.stringify(bundle(link)));
    };
    const { body } = await get('/a/fhir/Task?status=requested');
    const next = (JSON.parse(body) as ReturnType<typeof bundle> & { link: { relation: string; url: string }[] }).link.find(
      ({ relation }) => relation === 'next',
    );
    listed.local = true;
    listed.answer = bundle();
    const further = new URL(next?.url ?? '');
    expect((await get(`${further.pathname}${further.search}`)).status).toBe(403);
    listed.local = false;
    expect((await get(`${further.pathname}${further.search}`)).status).toBe(200);
  });
});

describe('metadata', () => {
  it('shows what the role of the caller may ask, and nothing of the server', async () => {
    const answer = await charts.get('/a/fhir/metadata', bearer(charts, 'chart'));
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.body)).toMatchObject({
      resourceType: 'CapabilityStatement',
      fhirVersion: '4.0.1',
      kind: 'instance',
      implementation: { url: 'https://gate.example/a/fhir' },
      rest: [
        {
          mode: 'server',
          resource: [
            {
              type: 'Observation',
              interaction: [{ code: 'read' }, { code: 'search-type' }, { code: 'create' }, { code: 'update' }],
              versioning: 'versioned-update',
              searchInclude: ['Observation:subject'],
              searchParam: [
                { name: 'code', type: 'token' },
                { name: 'date', type: 'date' },
                { name: 'patient', type: 'reference' },
                { name: 'subject', type: 'reference' },
              ],
            },
            { type: 'Patient', interaction: [{ code: 'read' }] },
          ],
          interaction: [{ code: 'batch' }, { code: 'transaction' }],
        },
      ],
    });
    const phases = (await charts.audited(answer.headers.get('x-request-id') ?? '')).map(({ phase }) => phase);
    expect(phases).toEqual(['intent', 'outcome']);
  });

  it('is the same at every call, with a tag, and says where tokens come from', async () => {
    const ask = async (): Promise<readonly unknown[]> => {
      const { body, headers } = await charts.get('/a/fhir/metadata', bearer(charts, 'chart'));
      return [body, headers.get('etag')];
    };
    const first = await ask();
    charts.clock.advance(3_600);
    expect(await ask()).toEqual(first);
    const full = await charts.get('/a/fhir/metadata?mode=full', bearer(charts, 'chart'));
    expect([full.body, full.headers.get('etag')]).toEqual(first);
    for (const mode of ['mode=normative', 'mode=terminology', 'mode=full,normative', 'mode=full&mode=full'])
      expect((await charts.get(`/a/fhir/metadata?${mode}`, bearer(charts, 'chart'))).status).toBe(403);
    const known = { 'if-none-match': `"none", ${String(first[1])}` };
    const same = await charts.get('/a/fhir/metadata', { ...bearer(charts, 'chart'), ...known });
    expect([same.status, same.body, same.headers.get('etag')]).toEqual([304, '', first[1]]);
    expect(first[1]).toMatch(/^W\/"[0-9a-f]{16}"$/);
    expect(JSON.parse(String(first[0]))).toMatchObject({
      version: expect.stringMatching(/^[0-9a-f]{16}$/),
      rest: [{ security: { description: expect.stringContaining('for the service chart') } }],
    });
  });

  it('is there for HEAD, without a body', async () => {
    expect(await charts.get('/a/fhir/metadata', bearer(charts, 'chart'), 'HEAD')).toMatchObject({ status: 200, body: '' });
  });

  it('is 401 without a token and 403 for a role without the rule', async () => {
    expect((await charts.get('/a/fhir/metadata')).status).toBe(401);
    expect((await local.get('/a/fhir/metadata', bearer(local, 'desk'))).status).toBe(403);
  });
});
