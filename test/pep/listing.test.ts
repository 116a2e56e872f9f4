import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { ALARM_KINDS } from '../../src/metrics.ts';
import { defineUseCase, permitByRule } from '../../src/usecase/index.ts';
import { startGate, type TestGate } from '../support/gate.ts';

// Lists through the whole gate: what an entry is called must be what is in it, and what a server calls itself shows nowhere.

const record = defineUseCase({
  id: 'record',
  title: 'Record',
  parseConfig: () => ({}),
  roles: [
    {
      id: 'reader',
      purpose: 'record',
      scopes: [],
      fhirVersion: 'R4',
      rules: [
        { id: 'patient', interaction: 'read', types: ['Patient'], instance: ['mine'] },
        {
          id: 'search',
          interaction: 'search-type',
          types: ['Observation'],
          patient: { from: 'parameter', parameters: ['patient', 'subject'], element: 'subject', is: ['Patient/mine'] },
        },
        {
          id: 'conditions',
          interaction: 'search-type',
          types: ['Condition'],
          parameters: { code: { any: true } },
          obligations: [{ kind: 'filter', filter: 'broken' }],
        },
        { id: 'versions', interaction: 'history-instance', types: ['Task'], instance: ['mine'] },
        { id: 'changes', interaction: 'history-type', types: ['Task'] },
        { id: 'bundle', interaction: 'bundle', types: [] },
      ],
    },
  ],
  decide: permitByRule,
  filters: [
    {
      name: 'broken',
      keeps: () => {
        throw new Error('a bug');
      },
    },
  ],
});

let gate: TestGate;
beforeAll(async () => {
  gate = await startGate({ useCase: record });
});
afterAll(() => gate.close());
afterEach(() => {
  gate.fhir = undefined;
  gate.arrived.length = 0;
});

const headers = () => ({ authorization: `Bearer ${gate.token({ facts: { service: 'record' } })}` });
const get = (path: string) => gate.get(`/a/fhir${path}`, headers());

function answering(bundle: (base: string) => object): void {
  gate.fhir = (request, response) => {
    response.writeHead(200, { 'content-type': 'application/fhir+json' });
    response.end(JSON.stringify(bundle(`http://127.0.0.1:${String(request.socket.localPort)}/fhir`)));
  };
}
const list = (type: string, entry: readonly object[], url?: string) => ({
  resourceType: 'Bundle',
  type,
  ...(url === undefined ? {} : { link: [{ relation: 'self', url }] }),
  entry,
});
const observation = { resourceType: 'Observation', id: '1', subject: { reference: 'Patient/mine' } };
const task = { resourceType: 'Task', id: 'mine', status: 'requested' };
const INTERNAL = 'http://internal.example:9999/fhir';
const OURS = 'https://gate.example/a/fhir';

describe('an entry of a list', () => {
  it.each<[string, string | undefined, string | undefined]>([
    ['nothing', undefined, undefined],
    ['a urn', 'urn:uuid:0c6f2b30-5b1a-4b73-9e1d-2f7d4f4c8f11', 'urn:uuid:0c6f2b30-5b1a-4b73-9e1d-2f7d4f4c8f11'],
    ['what it is, below the base', '{base}/Observation/1', `${OURS}/Observation/1`],
    ['what it is, with a version', '{base}/Observation/1/_history/3', `${OURS}/Observation/1`],
    ['what it is, on the host that the server calls itself', `${INTERNAL}/Observation/1`, `${OURS}/Observation/1`],
    ['what it is, without a host', 'Observation/1', `${OURS}/Observation/1`],
    ['what it is, in another scheme', 'ftp://internal.example/Observation/1', `${OURS}/Observation/1`],
    ['what names no resource', `${INTERNAL}/x`, `${OURS}/Observation/1`],
  ])('that is called %s leaves, under our name', async (_what, fullUrl, expected) => {
    answering((base) =>
      list('searchset', [
        { ...(fullUrl === undefined ? {} : { fullUrl: fullUrl.replace('{base}', base) }), resource: observation },
      ]),
    );
    const answer = await get('/Observation?patient=mine');
    expect([answer.status, answer.body.includes('internal.example'), answer.body.includes('127.0.0.1')]).toEqual([
      200,
      false,
      false,
    ]);
    const { entry } = JSON.parse(answer.body) as { entry: { fullUrl?: string }[] };
    expect(entry[0]?.fullUrl).toBe(expected);
  });

  it.each(['{base}/Observation/2', '{base}/Patient/other', `${INTERNAL}/Observation/2`, 'Observation/2', 7])(
    'that is called something else withholds the whole, with an alarm: %s',
    async (fullUrl) => {
      const before = await gate.alarms('answer_unproved');
      answering((base) =>
        list('searchset', [
          { resource: observation },
          { fullUrl: typeof fullUrl === 'string' ? fullUrl.replace('{base}', base) : fullUrl, resource: observation },
        ]),
      );
      const answer = await get('/Observation?patient=mine');
      const records = await gate.audited(answer.headers.get('x-request-id') ?? '');
      expect([answer.status, records.at(-1)?.reason]).toEqual([502, 'answer_unproved']);
      expect((await gate.alarms('answer_unproved')) - before).toBe(1);
    },
  );
});

describe('a deletion in a history', () => {
  const deletion = (url: string, fullUrl?: string) => ({
    ...(fullUrl === undefined ? {} : { fullUrl }),
    request: { method: 'DELETE', url },
    response: { status: '204' },
  });

  it.each<[string, object]>([
    ['by its request', deletion('Task/mine')],
    ['by its request, with a version', deletion('Task/mine/_history/2')],
    ['by both its names', deletion('Task/mine/_history/2', `${INTERNAL}/Task/mine`)],
    ['on another host', deletion(`${INTERNAL}/Task/mine/_history/2`)],
    ['by a name only', { fullUrl: `${INTERNAL}/Task/mine`, request: { method: 'DELETE' } }],
  ])('of what was asked for, %s, leaves without the host of the server', async (_what, entry) => {
    answering(() => list('history', [entry, { resource: task, request: { method: 'POST', url: `${INTERNAL}/Task` } }]));
    for (const path of ['/Task/mine/_history', '/Task/_history']) {
      const answer = await get(path);
      expect([answer.status, answer.body.includes('internal.example')]).toEqual([200, false]);
      expect((JSON.parse(answer.body) as { entry: object[] }).entry).toMatchObject([
        { request: { method: 'DELETE' } },
        { request: { method: 'POST', url: 'Task' } },
      ]);
    }
  });

  it.each<[string, string, object]>([
    ['of another', '/Task/mine/_history', deletion('Task/other')],
    ['of another on the server’s host', '/Task/mine/_history', deletion(`${INTERNAL}/Task/other/_history/2`)],
    ['of another by its name', '/Task/mine/_history', { fullUrl: `${INTERNAL}/Task/other`, request: { method: 'DELETE' } }],
    ['of another type', '/Task/_history', deletion('Patient/mine')],
    ['of two things at once', '/Task/mine/_history', deletion('Task/mine', `${INTERNAL}/Task/other`)],
    ['of nobody knows what', '/Task/mine/_history', { request: { method: 'DELETE' } }],
    ['by criteria', '/Task/mine/_history', deletion('Task?owner=1')],
  ])('%s withholds the whole, with an alarm', async (_what, path, entry) => {
    const before = await gate.alarms('answer_unproved');
    answering(() => list('history', [{ resource: task, request: { method: 'PUT', url: 'Task/mine' } }, entry]));
    expect((await get(path)).status).toBe(502);
    expect((await gate.alarms('answer_unproved')) - before).toBe(1);
  });

  it('is not the only entry that says what it is of: a version that was made by a request of another does not leave', async () => {
    answering(() => list('history', [{ resource: task, request: { method: 'PUT', url: 'Task/other' } }]));
    expect((await get('/Task/mine/_history')).status).toBe(502);
    answering(() =>
      list('history', [
        {
          resource: task,
          request: { method: 'PUT', url: 'Task?identifier=secret' },
          response: { status: '200', location: `${INTERNAL}/Task/mine/_history/2` },
        },
      ]),
    );
    const answer = await get('/Task/mine/_history');
    expect([answer.status, answer.body.includes('secret')]).toEqual([200, false]);
    expect(JSON.parse(answer.body)).toMatchObject({
      entry: [{ request: { url: 'Task' }, response: { location: 'Task/mine/_history/2' } }],
    });
  });
});

describe('alarms', () => {
  it('are raised once for a filter that fails and for another resource than the one that was read', async () => {
    answering(() => list('searchset', [{ resource: { resourceType: 'Condition', id: '1' } }]));
    expect((await get('/Condition?code=1')).status).toBe(502);
    expect(await gate.alarms('filter_failed')).toBe(1);
    answering(() => ({ resourceType: 'Patient', id: 'other' }));
    expect((await get('/Patient/mine')).status).toBe(502);
    expect(await gate.alarms('upstream_other_resource')).toBe(1);
  });

  it('are raised once for a transaction, whatever of its answer is wrong', async () => {
    const url = 'Observation?patient=mine';
    const body = JSON.stringify({
      resourceType: 'Bundle',
      type: 'transaction',
      entry: [{ request: { method: 'GET', url } }],
    });
    const wrong = list('searchset', [{ resource: { ...observation, subject: { reference: 'Patient/other' } } }]);
    for (const entry of [[], [{ response: { status: '200' } }], [{ resource: wrong, response: { status: '200' } }]]) {
      const before = await gate.alarms('answer_unproved');
      answering(() => list('transaction-response', entry));
      const answer = await gate.get('/a/fhir', { ...headers(), 'content-type': 'application/fhir+json' }, 'POST', body);
      expect(answer.status).toBe(502);
      expect((await gate.alarms('answer_unproved')) - before).toBe(1);
    }
  });

  it('are not raised for what was asked for', async () => {
    const counts = async () => Promise.all(ALARM_KINDS.map((kind) => gate.alarms(kind)));
    const before = await counts();
    answering(() => ({ resourceType: 'Patient', id: 'mine' }));
    expect((await get('/Patient/mine')).status).toBe(200);
    expect(await counts()).toEqual(before);
  });

  it.each(ALARM_KINDS)('are explained to operators: %s', async (kind) => {
    const text = await readFile(new URL('../../docs/operations.md', import.meta.url), 'utf8');
    expect(text).toContain(`sluis_alarms_total{kind="${kind}"}`);
  });
});
