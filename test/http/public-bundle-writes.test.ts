import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import chart from '../attack/chart/index.ts';
import { defineUseCase, permitByRule } from '../../src/usecase/index.ts';
import { startGate, type FhirHandler, type TestGate } from '../support/gate.ts';
import { createObservationServer, type ObservationServer } from '../support/observations.ts';
import { WRITES } from '../support/writes-use-case.ts';

// Patches, conditional writes and conditions in a Bundle: each is judged and carried out as if it came alone.

let gate: TestGate;
let server: ObservationServer;
beforeAll(async () => {
  gate = await startGate({ useCase: WRITES });
});
afterAll(() => gate.close());
beforeEach(() => {
  server = createObservationServer();
  gate.fhir = withTransactions(server);
  gate.audit = undefined;
  gate.arrived.length = 0;
  for (const id of ['mine-1', 'mine-2', 'other-1'])
    server.put(
      id,
      {
        status: 'preliminary',
        subject: { reference: `Patient/${id.startsWith('mine') ? 'mine' : 'other'}` },
        identifier: [{ value: id }],
      },
      '3',
    );
});

interface SentEntry {
  readonly fullUrl?: string;
  readonly resource?: { readonly [name: string]: unknown };
  readonly request: { readonly method: string; readonly url: string; readonly ifMatch?: string; readonly ifNoneExist?: string };
}

/** The same server with transactions; what it finds by criteria may differ from what was found before, by `meanwhile`. */
function withTransactions(observations: ObservationServer, meanwhile?: () => void): FhirHandler {
  return (request, response, body) => {
    if (request.method !== 'POST' || request.url !== '/fhir') {
      observations.handler(request, response, body);
      return;
    }
    meanwhile?.();
    const { entry } = JSON.parse(body) as { entry: readonly SentEntry[] };
    const stored = (url: string) => observations.stored.get(url.split('/')[1] ?? '');
    const stale = entry.some(({ request: { url, ifMatch } }) => {
      return ifMatch !== undefined && ifMatch !== `W/"${stored(url)?.meta.versionId ?? ''}"`;
    });
    response.writeHead(stale ? 412 : 200, { 'content-type': 'application/fhir+json' });
    if (stale) {
      response.end('{"resourceType":"OperationOutcome"}');
      return;
    }
    const answers = entry.map(({ resource, request: { method, url, ifNoneExist } }, index) => {
      const id = url.split('/')[1] ?? '';
      const at = (name: string, version: string) => ({ location: `Observation/${name}/_history/${version}`, etag: version });
      if (method === 'GET') return { resource: stored(url), response: { status: '200 OK' } };
      if (method === 'DELETE') {
        observations.stored.delete(id);
        return { response: { status: '204' } };
      }
      if (method === 'POST') {
        const wanted = new URLSearchParams(ifNoneExist ?? 'identifier=-').get('identifier');
        const found = [...observations.stored.values()].find(({ identifier }) => identifier?.[0]?.value === wanted);
        if (found !== undefined) return { response: { status: '200 OK', ...at(found.id, found.meta.versionId) } };
        observations.put(`made-${String(index)}`, resource ?? {}, '1');
        return { response: { status: '201 Created', ...at(`made-${String(index)}`, '1') } };
      }
      observations.put(id, resource ?? {}, '4');
      return { response: { status: '200 OK', ...at(id, '4') } };
    });
    response.end(JSON.stringify({ resourceType: 'Bundle', type: 'transaction-response', entry: answers }));
  };
}

interface Answer {
  readonly resourceType: string;
  readonly issue?: readonly { readonly details?: { readonly text?: string }; readonly diagnostics?: string }[];
  readonly entry: readonly {
    readonly resource?: { readonly id?: string };
    readonly response: { readonly status: string; readonly outcome?: object; readonly location?: string; readonly etag?: string };
  }[];
}

async function post(
  type: 'batch' | 'transaction',
  entry: readonly object[],
  service = 'writes',
  more: Record<string, string> = {},
) {
  const answer = await gate.get(
    '/a/fhir',
    { authorization: `Bearer ${gate.token({ facts: { service } })}`, 'content-type': 'application/fhir+json', ...more },
    'POST',
    JSON.stringify({ resourceType: 'Bundle', type, entry }),
  );
  return { ...answer, json: JSON.parse(answer.body) as Answer };
}
const alone = (method: string, path: string, body: string, headers: Record<string, string>, service = 'writes') =>
  gate.get(`/a/fhir${path}`, { authorization: `Bearer ${gate.token({ facts: { service } })}`, ...headers }, method, body);
const statuses = ({ json }: { json: Answer }) => json.entry.map(({ response }) => Number(response.status.slice(0, 3)));
const isLookUp = ({ rawHeaders }: { readonly rawHeaders: readonly string[] }) => rawHeaders.includes('x-sluis-lookup');
const upstream = () => gate.arrived.filter((each) => !isLookUp(each)).map(({ method, target }) => `${method} ${target}`);
/** What went up as one transaction. */
const whole = () => (JSON.parse(gate.arrived.at(-1)?.body ?? '{}') as { entry: readonly SentEntry[] }).entry;
async function ends({ headers }: { readonly headers: ReadonlyMap<string, string> }) {
  const records = await gate.audited(headers.get('x-request-id') ?? '');
  return records
    .filter(({ phase }) => phase === 'outcome')
    .map(({ part, outcome, status, reason }) => [part ?? 'whole', outcome, status, reason])
    .sort();
}

const JSON_PATCH = 'application/json-patch+json';
const TO_FINAL = [{ op: 'replace', path: '/status', value: 'final' }];
const binary = (steps: unknown, contentType = JSON_PATCH) => ({
  resourceType: 'Binary',
  contentType,
  data: Buffer.from(typeof steps === 'string' ? steps : JSON.stringify(steps)).toString('base64'),
});
const patch = (url: string, steps: unknown = TO_FINAL, more: object = {}, contentType = JSON_PATCH) => ({
  resource: binary(steps, contentType),
  request: { method: 'PATCH', url, ...more },
});
const get = (url: string, more: object = {}) => ({ request: { method: 'GET', url, ...more } });
const observation = (more: object = {}) => ({
  resourceType: 'Observation',
  status: 'preliminary',
  subject: { reference: 'Patient/mine' },
  ...more,
});
const put = (url: string, more: object = {}, conditions: object = {}) => ({
  resource: observation(more),
  request: { method: 'PUT', url, ...conditions },
});
const createIf = (value: string, more: object = {}) => ({
  resource: observation({ identifier: [{ value }] }),
  request: { method: 'POST', url: 'Observation', ifNoneExist: `patient=mine&identifier=${value}` },
  ...more,
});
const remove = (url: string, more: object = {}) => ({ request: { method: 'DELETE', url, ...more } });
const A = 'urn:uuid:0c6f2b30-5b1a-4b73-9e1d-2f7d4f4c8f11';

describe('a patch in a batch', () => {
  it('goes up as the version that it makes, and its record is that of a patch', async () => {
    const answer = await post('batch', [patch('Observation/mine-1', TO_FINAL, { ifMatch: 'W/"3"' }), get('Observation/mine-1')]);
    expect([answer.status, statuses(answer)]).toEqual([200, [200, 200]]);
    expect(upstream()).toEqual(['PUT /fhir/Observation/mine-1', 'GET /fhir/Observation/mine-1']);
    expect(server.stored.get('mine-1')).toMatchObject({ status: 'final', meta: { versionId: '4' } });
    expect(answer.json.entry[0]?.response.etag).toBe('W/"4"');
    expect((await ends(answer))[0]).toEqual(['entry-1', 'permitted', 200, 'answered']);
    const records = await gate.audited(answer.headers.get('x-request-id') ?? '');
    expect(records.find(({ part }) => part === 'entry-1')).toMatchObject({ interaction: 'patch', rule: 'patch' });
  });

  it.each<[string, object, string, Record<string, string>, string]>([
    ['of another’s record', patch('Observation/other-1'), '/Observation/other-1', {}, JSON.stringify(TO_FINAL)],
    ['of what is not there', patch('Observation/none'), '/Observation/none', {}, JSON.stringify(TO_FINAL)],
    [
      'of a stale version',
      patch('Observation/mine-1', TO_FINAL, { ifMatch: 'W/"2"' }),
      '/Observation/mine-1',
      { 'if-match': 'W/"2"' },
      JSON.stringify(TO_FINAL),
    ],
    [
      'of what may not change',
      patch('Observation/mine-1', [{ op: 'add', path: '/issued', value: '2026' }]),
      '/Observation/mine-1',
      {},
      JSON.stringify([{ op: 'add', path: '/issued', value: '2026' }]),
    ],
    ['that is none', patch('Observation/mine-1', '{"op":1}'), '/Observation/mine-1', {}, '{"op":1}'],
    ['that is no JSON', patch('Observation/mine-1', '[{"a":1,"a":2}]'), '/Observation/mine-1', {}, '[{"a":1,"a":2}]'],
    [
      'in XML',
      patch('Observation/mine-1', '<diff/>', {}, 'application/xml-patch+xml'),
      '/Observation/mine-1',
      { 'content-type': 'application/xml-patch+xml' },
      '<diff/>',
    ],
    [
      'that is a merge patch',
      patch('Observation/mine-1', {}, {}, 'application/merge-patch+json'),
      '/Observation/mine-1',
      { 'content-type': 'application/merge-patch+json' },
      '{}',
    ],
    [
      'in a charset of its own',
      patch('Observation/mine-1', TO_FINAL, {}, `${JSON_PATCH}; charset=utf-16`),
      '/Observation/mine-1',
      { 'content-type': `${JSON_PATCH}; charset=utf-16` },
      JSON.stringify(TO_FINAL),
    ],
    [
      'in FHIRPath',
      { resource: { resourceType: 'Parameters' }, request: { method: 'PATCH', url: 'Observation/mine-1' } },
      '/Observation/mine-1',
      { 'content-type': 'application/fhir+json' },
      '{"resourceType":"Parameters"}',
    ],
    [
      'with a condition for reads',
      patch('Observation/mine-1', TO_FINAL, { ifNoneMatch: '*' }),
      '/Observation/mine-1',
      { 'if-none-match': '*' },
      JSON.stringify(TO_FINAL),
    ],
    [
      'by criteria that find one',
      patch('Observation?patient=mine&identifier=none'),
      '/Observation?patient=mine&identifier=none',
      {},
      JSON.stringify(TO_FINAL),
    ],
  ])('%s gets what it gets alone, and the others what they get', async (_what, entry, path, headers, body) => {
    const one = await alone('PATCH', path, body, { 'content-type': JSON_PATCH, ...headers });
    expect(one.status).toBeGreaterThanOrEqual(400);
    gate.arrived.length = 0;
    const answer = await post('batch', [entry, get('Observation/mine-1')]);
    expect([answer.status, statuses(answer)]).toEqual([200, [one.status, 200]]);
    expect(upstream()).toEqual(['GET /fhir/Observation/mine-1']);
    expect((await ends(answer)).map(([part]) => part)).toEqual(['entry-1', 'entry-2', 'whole']);
  });

  it('says where in the Bundle it is at fault', async () => {
    const answer = await post('batch', [
      patch('Observation/mine-1', '<diff/>', {}, 'application/xml-patch+xml'),
      patch('Observation/mine-1', TO_FINAL, { ifNoneMatch: '*' }),
      patch('Observation/mine-1', [{ op: 'put', path: '/status' }]),
    ]);
    const said = answer.json.entry.map(({ response }) => JSON.stringify(response.outcome));
    expect(said[0]).toContain(`Bundle.entry[0].resource.contentType must be ${JSON_PATCH}`);
    expect(said[1]).toContain('Bundle.entry[1].request.ifNoneMatch is for reads');
    expect(said[2]).toContain('Bundle.entry[2].resource.data must be a JSON Patch: [0].op must be');
  });

  it('by criteria is of what they find', async () => {
    expect(statuses(await post('batch', [patch('Observation?patient=mine&identifier=mine-2')]))).toEqual([200]);
    expect(upstream().at(-1)).toBe('PUT /fhir/Observation/mine-2');
  });

  it('that is too large to come alone is too large here', async () => {
    const steps = [{ op: 'add', path: '/note', value: [{ text: 'x'.repeat(270_000) }] }];
    for (const type of ['batch', 'transaction'] as const)
      expect((await post(type, [patch('Observation/mine-1', steps)])).status).toBe(413);
    expect(gate.arrived).toEqual([]);
  });
});

describe('conditional writes in a batch', () => {
  it('are carried out as alone', async () => {
    const answer = await post('batch', [
      createIf('mine-1'),
      createIf('fresh'),
      put('Observation?patient=mine&identifier=mine-2', { status: 'final' }),
      remove('Observation?patient=mine&identifier=none'),
      remove('Observation?patient=mine&identifier=mine-1', { ifMatch: 'W/"3"' }),
      put('Observation?patient=mine&identifier=none', { id: 'chosen' }),
      put('Observation?patient=other&identifier=other-1'),
    ]);
    expect(statuses(answer)).toEqual([200, 201, 200, 204, 204, 422, 403]);
    expect(answer.json.entry[0]?.response.location).toBe('https://gate.example/a/fhir/Observation/mine-1/_history/3');
    expect([...server.stored.keys()].sort()).toEqual(['mine-2', 'new-1', 'other-1']);
  });
});

describe('what was written in a batch', () => {
  it('comes back to who prefers that and may read it', async () => {
    const entry = [put('Observation/mine-1', { id: 'mine-1', status: 'final' }), patch('Observation/mine-2'), createIf('fresh')];
    const prefer = { prefer: 'return=representation' };
    const shown = async (service: string, more: Record<string, string>) =>
      (await post('batch', entry, service, more)).json.entry.map(({ resource }) => resource?.id);
    expect(await shown('writes', {})).toEqual([undefined, undefined, undefined]);
    expect(await shown('writes', prefer)).toEqual(['mine-1', 'mine-2', expect.stringMatching(/^new-/)]);
    expect((await shown('blind', prefer))[0]).toBeUndefined();
  });
});

describe('a condition of a read in a Bundle', () => {
  it.each(['batch', 'transaction'] as const)('is held against what was proved: %s', async (type) => {
    const answer = await post(type, [
      get('Observation/mine-1', { ifNoneMatch: 'W/"3"' }),
      get('Observation/mine-2', { ifNoneMatch: 'W/"2"' }),
    ]);
    expect(statuses(answer)).toEqual([304, 200]);
    expect(answer.json.entry.map(({ resource }) => resource?.id)).toEqual([undefined, 'mine-2']);
    expect(statuses(await post('batch', [get('Observation/other-1', { ifNoneMatch: 'W/"3"' })]))).toEqual([403]);
  });

  it.each(['batch', 'transaction'] as const)('ends on record with the status that its caller gets: %s', async (type) => {
    const entry = [createIf('fresh'), get('Observation/mine-1'), get('Observation/mine-1', { ifNoneMatch: 'W/"3"' })];
    const answer = await post(type, entry);
    expect(statuses(answer)).toEqual([201, 200, 304]);
    expect(await ends(answer)).toEqual([
      ['entry-1', 'permitted', 201, 'answered'],
      ['entry-2', 'permitted', 200, 'answered'],
      ['entry-3', 'permitted', 304, 'answered'],
      ['whole', 'permitted', 200, 'answered'],
    ]);
  });

  it('does not fit a write: the entry of a batch, and a transaction as a whole, is what it is alone', async () => {
    const entry = put('Observation/mine-1', { id: 'mine-1' }, { ifNoneMatch: '*' });
    const one = await alone('PUT', '/Observation/mine-1', JSON.stringify(entry.resource), {
      'content-type': 'application/fhir+json',
      'if-none-match': '*',
    });
    expect(one.status).toBe(400);
    expect(statuses(await post('batch', [entry, createIf('fresh', {})]))).toEqual([400, 201]);
    gate.arrived.length = 0;
    const answer = await post('transaction', [get('Observation/mine-1'), entry]);
    expect(answer.status).toBe(400);
    expect(answer.body).toContain('Bundle.entry[1].request.ifNoneMatch is for reads');
    expect(await ends(answer)).toEqual([
      ['entry-1', 'refused', 400, 'transaction_refused'],
      ['entry-2', 'refused', 400, 'invalid_header'],
      ['whole', 'refused', 400, 'invalid_header'],
    ]);
    expect(gate.arrived).toEqual([]);
  });
});

describe('a patch in a transaction', () => {
  it('goes up as the version that it makes, in the version that was looked at', async () => {
    const answer = await post('transaction', [{ fullUrl: A, ...patch('Observation/mine-1') }, get('Observation/mine-2')]);
    expect([answer.status, statuses(answer)]).toEqual([200, [200, 200]]);
    expect(upstream()).toEqual(['POST /fhir']);
    expect(whole()[0]).toEqual({
      fullUrl: A,
      resource: { ...observation({ status: 'final', identifier: [{ value: 'mine-1' }] }), id: 'mine-1' },
      request: { method: 'PUT', url: 'Observation/mine-1', ifMatch: 'W/"3"' },
    });
    expect(answer.json.entry[0]?.response).toEqual({
      status: '200 OK',
      location: 'https://gate.example/a/fhir/Observation/mine-1/_history/4',
      etag: 'W/"4"',
    });
    const records = await gate.audited(answer.headers.get('x-request-id') ?? '');
    expect(records.filter(({ part }) => part === 'entry-1')).toMatchObject([
      { phase: 'intent', interaction: 'patch', rule: 'patch', patient: 'Patient/mine' },
      { phase: 'outcome', outcome: 'permitted', status: 200 },
    ]);
  });

  it.each<[string, object, number, string]>([
    ['of another’s record', patch('Observation/other-1'), 403, 'entry_denied'],
    ['of what is not there', patch('Observation/none'), 403, 'entry_denied'],
    ['that takes the record to another', patch('Observation/mine-1', [about('other')]), 403, 'entry_denied'],
    ['of a stale version', patch('Observation/mine-1', TO_FINAL, { ifMatch: 'W/"2"' }), 412, 'stale_version'],
    ['of a step that cannot be', patch('Observation/mine-1', [{ op: 'remove', path: '/x' }]), 422, 'patch_step_unfit'],
    ['of a label', patch('Observation/mine-1', [{ op: 'add', path: '/meta/tag', value: [] }]), 422, 'label_not_changeable'],
    ['that is none', patch('Observation/mine-1', '{}'), 400, 'invalid_body'],
    ['in XML', patch('Observation/mine-1', '<x/>', {}, 'application/xml-patch+xml'), 415, 'unsupported_media_type'],
    [
      'in FHIRPath',
      { resource: { resourceType: 'Parameters' }, request: { method: 'PATCH', url: 'Observation/mine-1' } },
      403,
      'entry_denied',
    ],
    ['by criteria that find nothing', patch('Observation?patient=mine&identifier=none'), 404, 'none_matches'],
  ])('%s lets nothing go up, and every record is closed', async (_what, entry, status, reason) => {
    const answer = await post('transaction', [createIf('fresh'), entry]);
    expect(answer.status).toBe(status);
    expect(upstream().filter((line) => line.startsWith('POST'))).toEqual([]);
    const closed = await ends(answer);
    expect(closed.map(([part]) => part)).toEqual(['entry-1', 'entry-2', 'whole']);
    expect(closed[2]?.[3]).toBe(reason);
  });

  it('refers to no other entry that the caller may not read, whatever name that has', async () => {
    const link = [{ op: 'add', path: '/note', value: [{ authorReference: { reference: A } }] }];
    const changed = put('Observation/mine-2', { id: 'mine-2' });
    expect((await post('transaction', [{ fullUrl: A, ...changed }, patch('Observation/mine-1', link)])).status).toBe(200);
    expect(JSON.stringify(whole()[1]?.resource)).toContain('"reference":"Observation/mine-2"');
    gate.arrived.length = 0;
    expect((await post('transaction', [{ fullUrl: A, ...changed }, patch('Observation/mine-1', link)], 'blind')).status).toBe(
      403,
    );
    expect(upstream()).toEqual([]);
  });

  it('by who may not read is no question whether a name stands in what is stored', async () => {
    const add = [{ op: 'add', path: '/status', value: 'final' }];
    server.put('mine-1', observation({ hasMember: [{ reference: A }] }), '3');
    const named = { fullUrl: A, ...createIf('fresh') };
    for (const id of ['mine-1', 'mine-2'])
      expect((await post('transaction', [named, patch(`Observation/${id}`, add)], 'blind')).status).toBe(403);
    expect(upstream().filter((line) => line.startsWith('POST'))).toEqual([]);
    expect((await post('transaction', [patch('Observation/mine-1', add)], 'blind')).status).toBe(200);
  });

  it('may refer to what another entry creates, as an update may', async () => {
    const made = { fullUrl: A, resource: observation(), request: { method: 'POST', url: 'Observation' } };
    expect((await post('transaction', [made, patch('Observation/mine-1', [noteOf(A)])])).status).toBe(200);
    expect(JSON.stringify(whole()[1]?.resource)).toContain(A);
  });
});

function about(id: string) {
  return { op: 'add', path: '/subject', value: { reference: `Patient/${id}` } };
}

describe('conditional writes in a transaction', () => {
  it('go up as what they come to', async () => {
    const answer = await post('transaction', [
      createIf('fresh'),
      createIf('mine-1'),
      put('Observation?patient=mine&identifier=mine-2', { status: 'final' }),
      put('Observation?patient=mine&identifier=second', { identifier: [{ value: 'second' }] }),
      remove('Observation?patient=mine&identifier=none'),
      patch('Observation?patient=mine&identifier=mine-1'),
    ]);
    expect([answer.status, statuses(answer)]).toEqual([200, [201, 200, 200, 201, 204, 200]]);
    expect(upstream().filter((line) => line.startsWith('POST'))).toEqual(['POST /fhir']);
    expect(whole().map(({ request }) => request)).toEqual([
      { method: 'POST', url: 'Observation', ifNoneExist: 'patient=Patient%2Fmine&identifier=fresh' },
      { method: 'POST', url: 'Observation', ifNoneExist: 'patient=Patient%2Fmine&identifier=mine-1' },
      { method: 'PUT', url: 'Observation/mine-2', ifMatch: 'W/"3"' },
      { method: 'POST', url: 'Observation', ifNoneExist: 'patient=Patient%2Fmine&identifier=second' },
      { method: 'PUT', url: 'Observation/mine-1', ifMatch: 'W/"3"' },
    ]);
    expect(answer.json.entry.map(({ response }) => response.location?.split('/fhir/')[1])).toEqual([
      'Observation/made-0/_history/1',
      'Observation/mine-1/_history/3',
      'Observation/mine-2/_history/4',
      'Observation/made-3/_history/1',
      undefined,
      'Observation/mine-1/_history/4',
    ]);
    expect((await ends(answer)).map(([, outcome]) => outcome)).toEqual(Array.from({ length: 7 }, () => 'permitted'));
  });

  it('that all come to nothing are answered without the server', async () => {
    const answer = await post('transaction', [remove('Observation?patient=mine&identifier=none')]);
    expect([answer.status, statuses(answer)]).toEqual([200, [204]]);
    expect(upstream().filter((line) => !line.startsWith('GET'))).toEqual([]);
  });

  it('say nothing of what came about meanwhile but that it is there', async () => {
    gate.fhir = withTransactions(server, () => {
      server.put('secret-9', { identifier: [{ value: 'fresh' }], subject: { reference: 'Patient/other' } }, '8');
    });
    const answer = await post('transaction', [createIf('fresh')]);
    expect(answer.json.entry).toEqual([{ response: { status: '200 OK' } }]);
    expect(answer.body).not.toContain('secret-9');
  });

  it('write the version that matched: what changed meanwhile is stale', async () => {
    gate.fhir = withTransactions(server, () => {
      server.put('mine-1', observation(), '7');
    });
    expect((await post('transaction', [put('Observation?patient=mine&identifier=mine-1')])).status).toBe(412);
  });

  it.each<[string, readonly object[], number, string]>([
    ['are of another patient', [createIf('x'), put('Observation?patient=other&identifier=other-1')], 403, 'entry_denied'],
    ['find several', [put('Observation?patient=mine')], 412, 'several_match'],
    ['create under an id', [put('Observation?patient=mine&identifier=none', { id: 'x' })], 422, 'id_of_no_match'],
    ['name another id', [put('Observation?patient=mine&identifier=mine-1', { id: 'x' })], 400, 'invalid_body'],
    [
      'name a version of nothing',
      [remove('Observation?patient=mine&identifier=none', { ifMatch: 'W/"3"' })],
      412,
      'stale_version',
    ],
    ['name no version that the rule wants', [remove('Observation?patient=mine&identifier=mine-1')], 428, 'if_match_missing'],
    [
      'change one resource twice',
      [put('Observation?patient=mine&identifier=mine-1'), patch('Observation/mine-1')],
      422,
      'one_resource_twice',
    ],
    [
      'create about another',
      [{ ...createIf('x'), resource: observation({ subject: { reference: 'Patient/other' } }) }],
      403,
      'entry_denied',
    ],
    [
      'are referred to by another entry: what they will find, nobody has judged',
      [createIf('fresh', { fullUrl: A }), patch('Observation/mine-1', [noteOf(A)])],
      403,
      'entry_denied',
    ],
    [
      'are referred to by what has an id',
      [
        { fullUrl: A, ...put('Observation?patient=mine&identifier=mine-2') },
        put('Observation/mine-1', { id: 'mine-1', hasMember: [{ reference: A }] }),
      ],
      403,
      'entry_denied',
    ],
  ])('that %s let nothing go up', async (_what, entry, status, reason) => {
    const answer = await post('transaction', entry);
    expect(answer.status).toBe(status);
    expect(upstream().filter((line) => !line.startsWith('GET'))).toEqual([]);
    expect((await ends(answer)).at(-1)?.[3]).toBe(reason);
    expect(await ends(answer)).toHaveLength(entry.length + 1);
  });

  it('name the entry whose words are at fault', async () => {
    const wrong = put('Observation?patient=mine&identifier=mine-1', { id: 'x' });
    expect((await post('transaction', [createIf('x'), wrong])).body).toContain('Bundle.entry[1].resource.id must be');
    const none = patch('Observation/mine-1', '{}');
    expect((await post('transaction', [createIf('x'), none])).body).toContain(
      'Bundle.entry[1].resource.data must be a JSON Patch',
    );
  });

  it('may be denied what the server alone would do: operations are not run in a transaction', async () => {
    const answer = await post('transaction', [get('Observation/$lastn?patient=mine')]);
    expect(answer.status).toBe(403);
    const records = await gate.audited(answer.headers.get('x-request-id') ?? '');
    expect(records.at(-1)?.why).toContain('operation-type is carried out alone or in a batch');
  });
});

function noteOf(reference: string) {
  return { op: 'add', path: '/note', value: [{ authorReference: { reference } }] };
}

describe('what is about nobody', () => {
  let registry: TestGate;
  const criteria = { identifier: { any: true } } as const;
  beforeAll(async () => {
    registry = await startGate({
      useCase: defineUseCase({
        id: 'registry',
        title: 'Registry',
        parseConfig: () => ({}),
        roles: [
          {
            id: 'clerk',
            purpose: 'registry',
            scopes: [],
            fhirVersion: 'R4',
            rules: [
              { id: 'search', interaction: 'search-type', types: ['Practitioner'], parameters: criteria },
              { id: 'create', interaction: 'create', types: ['Practitioner', 'Observation'] },
              { id: 'create-if', interaction: 'conditional-create', types: ['Practitioner'], parameters: criteria },
              { id: 'bundle', interaction: 'bundle', types: [] },
            ],
          },
        ],
        decide: permitByRule,
      }),
    });
  });
  afterAll(() => registry.close());

  it('may be created if it is not there, and referred to in the same transaction', async () => {
    registry.fhir = (_request, response, body) => {
      response.writeHead(200, { 'content-type': 'application/fhir+json' });
      const none = { resourceType: 'Bundle', type: 'searchset', entry: [] };
      const made = (type: string) => ({ response: { status: '201', location: `${type}/1/_history/1` } });
      const both = { resourceType: 'Bundle', type: 'transaction-response', entry: [made('Practitioner'), made('Observation')] };
      response.end(JSON.stringify(body === '' ? none : both));
    };
    const practitioner = {
      fullUrl: A,
      resource: { resourceType: 'Practitioner' },
      request: { method: 'POST', url: 'Practitioner', ifNoneExist: 'identifier=1' },
    };
    const performed = {
      resource: { resourceType: 'Observation', status: 'final', performer: [{ reference: A }] },
      request: { method: 'POST', url: 'Observation' },
    };
    const answer = await registry.get(
      '/a/fhir',
      { authorization: `Bearer ${registry.token({ facts: { service: 'registry' } })}`, 'content-type': 'application/fhir+json' },
      'POST',
      JSON.stringify({ resourceType: 'Bundle', type: 'transaction', entry: [practitioner, performed] }),
    );
    expect([answer.status, statuses({ json: JSON.parse(answer.body) as Answer })]).toEqual([200, [201, 201]]);
    const { entry } = JSON.parse(registry.arrived.at(-1)?.body ?? '{}') as { entry: readonly SentEntry[] };
    expect(entry[0]).toEqual(practitioner);
    expect(entry[1]).toEqual(performed);
  });
});

describe('a history in a transaction', () => {
  let histories: TestGate;
  beforeAll(async () => {
    histories = await startGate({
      useCase: defineUseCase({
        id: 'histories',
        title: 'Histories',
        parseConfig: () => ({}),
        roles: [
          {
            id: 'reader',
            purpose: 'histories',
            scopes: [],
            fhirVersion: 'R4',
            rules: [
              { id: 'history', interaction: 'history-instance', types: ['Patient'], instance: ['mine'] },
              { id: 'bundle', interaction: 'bundle', types: [] },
            ],
          },
        ],
        decide: permitByRule,
      }),
    });
  });
  afterAll(() => histories.close());

  it.each([
    ['mine', 200],
    ['other', 502],
  ])('is judged as alone: one of %s is %i', async (id, status) => {
    histories.fhir = (_request, response) => {
      const found = { fullUrl: `http://any.example/fhir/Patient/${id}`, resource: { resourceType: 'Patient', id } };
      const history = { resourceType: 'Bundle', type: 'history', entry: [found] };
      const entry = [{ resource: history, response: { status: '200' } }];
      response.writeHead(200, { 'content-type': 'application/fhir+json' });
      response.end(JSON.stringify({ resourceType: 'Bundle', type: 'transaction-response', entry }));
    };
    const answer = await histories.get(
      '/a/fhir',
      {
        authorization: `Bearer ${histories.token({ facts: { service: 'histories' } })}`,
        'content-type': 'application/fhir+json',
      },
      'POST',
      JSON.stringify({ resourceType: 'Bundle', type: 'transaction', entry: [get('Patient/mine/_history')] }),
    );
    expect(answer.status).toBe(status);
    expect(answer.body.includes('any.example')).toBe(false);
  });
});

describe('a caller whose rules look at nothing that is stored', () => {
  let reading: TestGate;
  beforeAll(async () => {
    reading = await startGate({ useCase: chart });
  });
  afterAll(() => reading.close());

  const send = (type: string, entry: readonly object[]) => {
    reading.arrived.length = 0;
    const headers = {
      authorization: `Bearer ${reading.token({ facts: { service: 'chart' } })}`,
      'content-type': 'application/fhir+json',
    };
    return reading.get('/a/fhir', headers, 'POST', JSON.stringify({ resourceType: 'Bundle', type, entry }));
  };

  it('is told of a version that it has: not modified', async () => {
    reading.fhir = (request, response) => {
      const isKnown = request.headers['if-none-match'] === 'W/"5"';
      const headers = { 'content-type': 'application/fhir+json', etag: 'W/"5"' };
      const patient = { resourceType: 'Patient', id: 'mine', meta: { versionId: '5' } };
      const answer = (status: number, body?: object): void => {
        response.writeHead(status, headers).end(body === undefined ? undefined : JSON.stringify(body));
      };
      if (request.method === 'GET') answer(isKnown ? 304 : 200, isKnown ? undefined : patient);
      else {
        const one = { resource: patient, response: { status: '200' } };
        answer(200, { resourceType: 'Bundle', type: 'transaction-response', entry: [one, one, one] });
      }
    };
    const asked = ['W/"5"', 'W/"4"', '*'].map((ifNoneMatch) => get('Patient/mine', { ifNoneMatch }));
    const batch = JSON.parse((await send('batch', asked.slice(0, 2))).body) as Answer;
    expect(batch.entry.map(({ response, resource }) => [response.status, response.etag, resource?.id])).toEqual([
      ['304 Not Modified', 'W/"5"', undefined],
      ['200 OK', 'W/"5"', 'mine'],
    ]);
    expect(reading.arrived.map(({ rawHeaders }) => rawHeaders[rawHeaders.indexOf('if-none-match') + 1])).toContain('W/"5"');
    const transaction = JSON.parse((await send('transaction', asked)).body) as Answer;
    expect(transaction.entry.map(({ response, resource }) => [response.status, resource?.id])).toEqual([
      ['304 Not Modified', undefined],
      ['200 OK', 'mine'],
      ['304 Not Modified', undefined],
    ]);
    reading.fhir = undefined;
  });

  it('and that may not patch gets 403 for that entry of a batch, and for a transaction', async () => {
    const entry = [get('Patient/mine'), patch('Observation/mine-1'), get('Patient/mine')];
    const batch = await send('batch', entry);
    expect(statuses({ json: JSON.parse(batch.body) as Answer })).toEqual([200, 403, 200]);
    expect(reading.arrived.map(({ method, target }) => `${method} ${target}`)).toEqual([
      'GET /fhir/Patient/mine',
      'GET /fhir/Patient/mine',
    ]);
    expect((await send('transaction', entry)).status).toBe(403);
    expect(reading.arrived).toEqual([]);
  });
});

describe('a transaction of which one record cannot be written', () => {
  it('goes up with every intent on record or not at all, and no record has two ends, or an end before its intent', async () => {
    const entry = [
      patch('Observation/mine-1'),
      createIf('new'),
      get('Observation/mine-1'),
      remove('Observation/mine-2', { ifMatch: 'W/"3"' }),
    ];
    let isThrough = false;
    for (let fails = 0; !isThrough; fails += 1) {
      gate.arrived.length = 0;
      server = createObservationServer();
      gate.fhir = withTransactions(server);
      for (const id of ['mine-1', 'mine-2']) server.put(id, observation({ identifier: [{ value: id }] }), '3');
      let count = 0;
      gate.audit = () => {
        count += 1;
        return count === fails + 1 ? Promise.reject(new Error('not this one')) : undefined;
      };
      const answer = await post('transaction', entry);
      isThrough = count <= fails;
      gate.audit = undefined;
      expect([fails, answer.status === 200]).toEqual([fails, isThrough]);
      const records = await gate.audited(answer.headers.get('x-request-id') ?? '');
      const phases = new Map<string, string>();
      for (const { phase, part = 'whole' } of records)
        if (phase !== 'event') phases.set(part, `${phases.get(part) ?? ''} ${phase}`);
      expect(phases.size).toBeLessThanOrEqual(5);
      for (const [part, said] of phases)
        expect([fails, part, said]).toEqual([fails, part, expect.stringMatching(/^( intent)?( outcome)?$/)]);
      if (upstream().length > 0)
        expect([fails, [...phases.values()].filter((said) => said.startsWith(' intent')).length]).toEqual([fails, 5]);
    }
  });
});
