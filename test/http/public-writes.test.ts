import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { startGate, type TestGate } from '../support/gate.ts';
import { createObservationServer, type ObservationServer } from '../support/observations.ts';
import { WRITES } from '../support/writes-use-case.ts';

// Patch, delete, conditional writes and operations by POST, through the whole gate: each pair of what passes and what does not.

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
  for (const [id, patient] of [
    ['mine-1', 'Patient/mine'],
    ['mine-2', 'Patient/mine'],
    ['other-1', 'Patient/other'],
  ] as const)
    server.put(id, { status: 'preliminary', subject: { reference: patient }, identifier: [{ value: id }] }, '3');
});

const PATCH = 'application/json-patch+json';
const send = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}, service = 'writes') =>
  gate.get(
    `/a/fhir${path}`,
    {
      authorization: `Bearer ${gate.token({ facts: { service } })}`,
      ...(body === undefined ? {} : { 'content-type': method === 'PATCH' ? PATCH : 'application/fhir+json' }),
      ...headers,
    },
    method,
    body === undefined ? undefined : JSON.stringify(body),
  );
const looksUp = (rawHeaders: readonly string[]) => rawHeaders.some((name) => name.toLowerCase() === 'x-sluis-lookup');
const upstream = () =>
  gate.arrived.filter(({ rawHeaders }) => !looksUp(rawHeaders)).map(({ method, target }) => `${method} ${target}`);
const header = (name: string) => {
  const { rawHeaders } = gate.arrived.findLast((each) => !looksUp(each.rawHeaders)) ?? { rawHeaders: [] };
  const at = rawHeaders.findIndex((each, index) => index % 2 === 0 && each.toLowerCase() === name);
  return at === -1 ? undefined : rawHeaders[at + 1];
};
const sent = () => JSON.parse(gate.arrived.findLast(({ body }) => body !== '')?.body ?? '{}') as Record<string, unknown>;
const issue = (answer: { readonly body: string }) =>
  (JSON.parse(answer.body) as { issue: { details?: { text?: string }; expression?: string[] }[] }).issue[0];
const observation = (patient = 'Patient/mine', more: object = {}) => ({
  resourceType: 'Observation',
  status: 'final',
  subject: { reference: patient },
  ...more,
});

describe('a patch', () => {
  const final = [{ op: 'replace', path: '/status', value: 'final' }];

  it('goes up as the new version that it makes of what is stored, in the version that was looked at', async () => {
    const answer = await send('PATCH', '/Observation/mine-1', final);
    expect([answer.status, answer.body]).toEqual([200, '']);
    expect(answer.headers.get('etag')).toBe('W/"4"');
    expect(upstream()).toEqual(['PUT /fhir/Observation/mine-1']);
    expect(header('if-match')).toBe('W/"3"');
    expect(sent()).toMatchObject({ status: 'final', subject: { reference: 'Patient/mine' }, identifier: [{ value: 'mine-1' }] });
  });

  it('in the version that a strong tag names goes up with ours', async () => {
    expect((await send('PATCH', '/Observation/mine-1', final, { 'if-match': '"3"' })).status).toBe(200);
    expect(header('if-match')).toBe('W/"3"');
  });

  it('keeps the text of what it does not change', async () => {
    gate.fhir = (request, response, body) => {
      if (request.method === 'PUT') {
        server.handler(request, response, body);
        return;
      }
      response.writeHead(200, { 'content-type': 'application/fhir+json', etag: 'W/"3"' });
      response.end(
        '{"resourceType":"Observation","id":"mine-1","meta":{"versionId":"3"},"status":"preliminary","subject":{"reference":"Patient/mine"},"valueQuantity":{"value":1.50}}',
      );
    };
    expect((await send('PATCH', '/Observation/mine-1', final)).status).toBe(200);
    expect(gate.arrived.at(-1)?.body).toContain('"value":1.50');
  });

  it('of another’s and of what is not there is one denial, whatever its steps and its If-Match (R10)', async () => {
    const bodies = new Set<string>();
    for (const [id, steps, headers] of [
      ['other-1', final, {}],
      ['other-1', [{ op: 'test', path: '/nothing', value: 1 }], {}],
      ['other-1', final, { 'if-match': 'W/"9"' }],
      ['none', final, {}],
      ['none', final, { 'if-match': 'W/"9"' }],
    ] as const) {
      const answer = await send('PATCH', `/Observation/${id}`, steps, headers);
      expect([id, answer.status]).toEqual([id, 403]);
      bodies.add(answer.body.replace(/"diagnostics":"[^"]*"/u, ''));
    }
    expect(bodies.size).toBe(1);
    expect(upstream()).toEqual([]);
  });

  it('is held by its guard: elements, states, labels, and the patient it is about (R4, R8)', async () => {
    const rejected = async (steps: object[]) => {
      const answer = await send('PATCH', '/Observation/mine-1', steps);
      return [answer.status, issue(answer)?.details?.text, issue(answer)?.expression?.[0]];
    };
    expect(await rejected([{ op: 'add', path: '/device', value: {} }])).toEqual([
      422,
      'element_not_changeable',
      'Observation.device',
    ]);
    expect(await rejected([{ op: 'replace', path: '/status', value: 'amended' }])).toEqual([
      422,
      'state_not_allowed',
      'Observation.status',
    ]);
    expect(await rejected([{ op: 'add', path: '/meta/security', value: [] }])).toEqual([
      422,
      'label_not_changeable',
      'Observation.meta.security',
    ]);
    expect(await rejected([{ op: 'replace', path: '/id', value: 'mine-2' }])).toEqual([
      422,
      'element_not_changeable',
      'Observation.id',
    ]);
    expect(await rejected([{ op: 'remove', path: '/subject/reference/x' }])).toEqual([422, 'patch_step_unfit', '[0]']);
    for (const steps of [
      [{ op: 'remove', path: '/subject' }],
      [{ op: 'replace', path: '/subject', value: { reference: 'Patient/other' } }],
      [{ op: 'add', path: '/note', value: [{ authorReference: { reference: 'Patient/other' } }] }],
    ])
      expect((await send('PATCH', '/Observation/mine-1', steps)).status).toBe(403);
    expect(upstream()).toEqual([]);
  });

  it('that asks what is stored is for who may read it (R2)', async () => {
    const steps = [{ op: 'test', path: '/status', value: 'preliminary' }, ...final];
    expect((await send('PATCH', '/Observation/mine-1', steps, {}, 'blind')).status).toBe(403);
    for (const step of [...final, { op: 'remove', path: '/note' }, { op: 'add', path: '/note/-', value: {} }])
      expect((await send('PATCH', '/Observation/mine-1', [step], {}, 'blind')).status).toBe(403);
    const whole = [{ op: 'add', path: '/status', value: 'final' }];
    expect((await send('PATCH', '/Observation/mine-1', whole, {}, 'blind')).status).toBe(200);
    expect((await send('PATCH', '/Observation/mine-2', steps)).status).toBe(200);
    const failed = await send('PATCH', '/Observation/mine-2', steps);
    expect([failed.status, issue(failed)?.details?.text]).toEqual([422, 'patch_step_unfit']);
  });

  it('of a stale version is 412, and one that is no patch 400 or 415, with what would be taken (RFC 5789 §2.2)', async () => {
    expect((await send('PATCH', '/Observation/mine-1', final, { 'if-match': 'W/"2"' })).status).toBe(412);
    expect((await send('PATCH', '/Observation/mine-1', final, { 'if-match': '"2"' })).status).toBe(412);
    expect((await send('PATCH', '/Observation/mine-1', { op: 'remove' })).status).toBe(400);
    for (const type of ['application/json', 'application/merge-patch+json', 'application/xml-patch+xml', 'text/plain']) {
      const answer = await send('PATCH', '/Observation/mine-1', final, { 'content-type': type });
      expect([type, answer.status, answer.headers.get('accept-patch')]).toEqual([type, 415, PATCH]);
    }
    // FHIRPath Patch is known, and carried out for nobody.
    const parameters = { resourceType: 'Parameters' };
    expect((await send('PATCH', '/Observation/mine-1', parameters, { 'content-type': 'application/fhir+json' })).status).toBe(
      403,
    );
    expect(upstream()).toEqual([]);
  });
});

describe('what a write refers to', () => {
  const referring = (reference: string, id?: string) =>
    observation('Patient/mine', { ...(id === undefined ? {} : { id }), hasMember: [{ reference }] });

  it('is the caller’s to read, unless it is about nobody; whether it is there shows nowhere (C13, C16)', async () => {
    expect((await send('POST', '/Observation', referring('Observation/mine-2'))).status).toBe(201);
    expect((await send('POST', '/Observation', referring('Practitioner/1'))).status).toBe(201);
    gate.arrived.length = 0;
    for (const reference of [
      'Observation/other-1',
      'Observation/none',
      'Observation/other-1/_history/3',
      'Encounter/1',
      'Binary/1',
    ])
      expect([reference, (await send('POST', '/Observation', referring(reference))).status]).toEqual([reference, 403]);
    expect((await send('PUT', '/Observation/mine-1', referring('Observation/other-1', 'mine-1'))).status).toBe(403);
    const steps = [{ op: 'add', path: '/note', value: [{ authorReference: { reference: 'Observation/other-1' } }] }];
    expect((await send('PATCH', '/Observation/mine-1', steps)).status).toBe(403);
    const entry = { resource: referring('Observation/other-1'), request: { method: 'POST', url: 'Observation' } };
    expect((await send('POST', '', { resourceType: 'Bundle', type: 'transaction', entry: [entry] })).status).toBe(403);
    expect(upstream()).toEqual([]);
  });

  it('may stay as it is stored, whatever it is', async () => {
    server.put('mine-1', referring('Observation/other-1'), '3');
    const body = { ...referring('Observation/other-1', 'mine-1'), note: [{ text: 'x' }] };
    expect((await send('PUT', '/Observation/mine-1', body)).status).toBe(200);
  });

  it('is no question what is stored: who may not read it may not keep it either (R2)', async () => {
    server.put('mine-1', { ...referring('Observation/other-1', 'mine-1'), status: 'preliminary' }, '3');
    for (const reference of ['Observation/other-1', 'Observation/other-2']) {
      const steps = [
        { op: 'add', path: '/note', value: [{ authorReference: { reference } }] },
        { op: 'add', path: '/status', value: 'bogus' },
      ];
      expect([reference, (await send('PATCH', '/Observation/mine-1', steps, {}, 'blind')).status]).toEqual([reference, 403]);
    }
  });

  it('is not looked up without end', async () => {
    const hasMember = Array.from({ length: 26 }, (_each, index) => ({ reference: `Observation/x${String(index)}` }));
    expect((await send('POST', '/Observation', observation('Patient/mine', { hasMember }))).status).toBe(422);
    expect(gate.arrived).toEqual([]);
  });
});

describe('a resource that is too large to come alone', () => {
  const note = [{ text: 'x'.repeat(200_000) }];

  it('comes neither in a Bundle, nor patch by patch: a page that holds it could be shown to nobody', async () => {
    const entry = (more: object) => ({
      resource: observation('Patient/mine', more),
      request: { method: 'POST', url: 'Observation' },
    });
    const bundle = (type: string) => ({ resourceType: 'Bundle', type, entry: [entry({}), entry({ note: [...note, ...note] })] });
    for (const type of ['batch', 'transaction'])
      expect([type, (await send('POST', '', bundle(type))).status]).toEqual([type, 413]);
    expect(upstream()).toEqual([]);
    const more = [{ op: 'add', path: '/note/-', value: note[0] }];
    server.put('mine-1', observation('Patient/mine', { note }), '3');
    expect((await send('PATCH', '/Observation/mine-1', more)).status).toBe(413);
    server.put('mine-1', observation('Patient/mine', { note: [] }), '3');
    expect((await send('PATCH', '/Observation/mine-1', more)).status).toBe(200);
    // One that is too large already may become smaller.
    server.put('mine-1', observation('Patient/mine', { note: [...note, ...note, ...note] }), '3');
    expect((await send('PATCH', '/Observation/mine-1', [{ op: 'remove', path: '/note/0' }])).status).toBe(200);
  });
});

describe('meta that is no object', () => {
  it('is refused, because some servers read a list of one as the one, labels and all (C9)', async () => {
    for (const meta of [[{ security: [{ code: 'R' }], tag: [{ code: 'mine' }] }], null, 'x']) {
      const refused = [
        await send('POST', '/Observation', observation('Patient/mine', { meta })),
        await send('PUT', '/Observation/mine-1', observation('Patient/mine', { id: 'mine-1', meta })),
        await send('PATCH', '/Observation/mine-1', [{ op: 'add', path: '/meta', value: meta }]),
      ];
      for (const answer of refused) expect([answer.status, issue(answer)?.details?.text]).toEqual([422, 'meta_unreadable']);
    }
    expect(upstream()).toEqual([]);
  });
});

describe('an absolute URL of our own', () => {
  it('is the reference that it is, as in a Bundle', async () => {
    const own = (id: string) => observation(`https://gate.example/a/fhir/Patient/${id}`);
    expect((await send('POST', '/Observation', own('mine'))).status).toBe(201);
    expect(sent()).toMatchObject({ subject: { reference: 'Patient/mine' } });
    expect((await send('POST', '/Observation', own('other'))).status).toBe(403);
  });
});

describe('a write that nothing confirms', () => {
  const saying = (method: string, status: number, headers: Record<string, string> = {}) => {
    gate.fhir = (request, response, body) => {
      if (request.method === method) response.writeHead(status, { 'content-type': 'text/plain', ...headers }).end('ok');
      else server.handler(request, response, body);
    };
  };

  it('has the date at which it was written, where the server tells it', async () => {
    const modified = 'Sun, 01 Mar 2026 09:00:00 GMT';
    for (const [said, told] of [
      [modified, modified],
      ['yesterday', undefined],
    ] as const) {
      gate.fhir = (request, response) => {
        const location = `http://127.0.0.1:${String(request.socket.localPort)}/fhir/Observation/new/_history/1`;
        response.writeHead(201, { location, etag: 'W/"1"', 'last-modified': said }).end();
      };
      const { status, headers } = await send('POST', '/Observation', observation());
      expect([status, headers.get('etag'), headers.get('last-modified')]).toEqual([201, 'W/"1"', told]);
    }
    gate.fhir = (request, response, body) => {
      if (request.method !== 'PUT') {
        server.handler(request, response, body);
        return;
      }
      const meta = { versionId: '4', lastUpdated: '2026-03-01T10:00:00.123+01:00' };
      response.writeHead(200, { 'content-type': 'application/fhir+json', etag: 'W/"4"' });
      response.end(JSON.stringify({ ...(JSON.parse(body) as object), meta }));
    };
    const update = await send(
      'PUT',
      '/Observation/mine-1',
      observation('Patient/mine', { id: 'mine-1', identifier: [{ value: 'mine-1' }] }),
    );
    expect([update.status, update.headers.get('last-modified')]).toEqual([200, modified]);
  });

  it('that the server is too busy to take up is 503 with a time, and a failure in the audit; any other fault stays 502', async () => {
    for (const [theirs, retryAfter, status, told] of [
      [503, '7', 503, '7'],
      [429, '7', 503, '7'],
      [503, '86400', 503, '30'],
      [503, '0', 503, '1'],
      [503, 'soon', 503, '5'],
      [500, '7', 502, undefined],
    ] as const) {
      gate.fhir = (_request, response) => response.writeHead(theirs, { 'retry-after': retryAfter }).end();
      const answer = await send('POST', '/Observation', observation());
      expect([theirs, answer.status, answer.headers.get('retry-after')]).toEqual([theirs, status, told]);
      expect(await gate.audited(answer.headers.get('x-request-id') ?? '')).toMatchObject([
        {},
        { outcome: 'failed', status, reason: `upstream_status_${String(theirs)}` },
      ]);
      // A server that answers again is not left alone for what it answered before.
      gate.fhir = server.handler;
      await send('PATCH', '/Observation/mine-1', [{ op: 'add', path: '/status', value: 'final' }]);
    }
  });

  it('is a failure: a create without 201 and a Location, an update without a new version', async () => {
    for (const status of [200, 201, 202, 204]) {
      saying('POST', status);
      expect([status, (await send('POST', '/Observation', observation())).status]).toEqual([status, 502]);
    }
    saying('POST', 201, { location: 'http://x/fhir/Patient/1' });
    expect((await send('POST', '/Observation', observation())).status).toBe(502);
    saying('PUT', 200);
    expect((await send('PUT', '/Observation/mine-1', observation('Patient/mine', { id: 'mine-1' }))).status).toBe(502);
  });

  it('is none where the server calls itself otherwise than it is called here', async () => {
    saying('POST', 201, { location: 'http://named.otherwise:8080/r4/Observation/7/_history/1', etag: 'W/"1"' });
    const answer = await send('POST', '/Observation', observation());
    expect([answer.status, answer.headers.get('location')]).toEqual([
      201,
      'https://gate.example/a/fhir/Observation/7/_history/1',
    ]);
  });
});

describe('what a write says twice, or so that nobody can read it', () => {
  it('is refused: a condition that is not kept', async () => {
    const body = observation('Patient/mine', { id: 'mine-1' });
    const update = await send('PUT', '/Observation/mine-1', body, { 'if-match': 'W/"3"', 'if-none-match': '*' });
    expect(update.status).toBe(400);
    expect((await send('POST', '/Observation', observation(), { 'if-match': 'W/"3"' })).status).toBe(400);
    expect(upstream()).toEqual([]);
  });

  it.each<[string, unknown]>([
    ['a reference that is a number', { reference: 7 }],
    ['a reference that is null', { reference: null }],
    ['a reference that is a list of texts', { reference: ['Patient/other'] }],
    ['a person by number', { identifier: { system: 'http://fhir.nl/fhir/NamingSystem/bsn', value: '999990020' } }],
    [
      'a person by number beside a reference',
      { reference: 'Patient/mine', identifier: { system: 'urn:oid:2.16.840.1.113883.2.4.6.3' } },
    ],
  ])('is denied: %s (C13)', async (_what, performer) => {
    expect((await send('POST', '/Observation', observation('Patient/mine', { performer: [performer] }))).status).toBe(403);
    expect(gate.arrived).toEqual([]);
  });

  it('is neither a practitioner by number nor a Reference within an element of that name', async () => {
    const performer = [{ identifier: { system: 'http://fhir.nl/fhir/NamingSystem/uzi-nr-pers', value: '1' } }];
    expect((await send('POST', '/Observation', observation('Patient/mine', { performer }))).status).toBe(201);
    const extension = [{ url: 'http://x', data: { reference: { reference: 'Practitioner/1' } } }];
    expect((await send('POST', '/Observation', observation('Patient/mine', { extension }))).status).toBe(201);
  });

  it('is none when it is deep: what was written comes back in a page', async () => {
    const deep = (levels: number): unknown => (levels === 0 ? 1 : [deep(levels - 1)]);
    expect((await send('POST', '/Observation', observation('Patient/mine', { x: deep(64) }))).status).toBe(400);
    expect((await send('POST', '/Observation', observation('Patient/mine', { x: deep(63) }))).status).toBe(201);
    expect((await send('GET', '/Observation?patient=mine')).status).toBe(200);
  });
});

describe('a search that the server refuses', () => {
  it('is the caller’s to mend where it is its own, and a failure else', async () => {
    for (const [status, seen] of [
      [400, 400],
      [422, 400],
      [404, 502],
      [500, 502],
    ] as const) {
      gate.fhir = (_request, response) => response.writeHead(status, { 'content-type': 'application/fhir+json' }).end('{}');
      expect([status, (await send('GET', '/Observation?patient=mine')).status]).toEqual([status, seen]);
    }
  });
});

describe('a delete', () => {
  it('is carried out in the version that the caller names', async () => {
    expect((await send('DELETE', '/Observation/mine-1', undefined, { 'if-match': 'W/"3"' })).status).toBe(204);
    expect(upstream()).toEqual(['DELETE /fhir/Observation/mine-1']);
    expect(header('if-match')).toBe('W/"3"');
    expect([...server.stored.keys()]).toEqual(['mine-2', 'other-1']);
  });

  it('of another’s and of what is not there is one denial; without a version 428, of a stale one 412', async () => {
    const other = await send('DELETE', '/Observation/other-1', undefined, { 'if-match': 'W/"3"' });
    const none = await send('DELETE', '/Observation/none', undefined, { 'if-match': 'W/"3"' });
    expect([other.status, none.status]).toEqual([403, 403]);
    expect((await send('DELETE', '/Observation/mine-1')).status).toBe(428);
    expect((await send('DELETE', '/Observation/mine-1', undefined, { 'if-match': 'W/"2"' })).status).toBe(412);
    expect(upstream()).toEqual([]);
    expect(server.stored.size).toBe(3);
  });

  it('that the server refuses because others refer to it is 409', async () => {
    gate.fhir = (request, response, body) => {
      if (request.method === 'DELETE') response.writeHead(409, { 'content-type': 'application/fhir+json' }).end('{}');
      else server.handler(request, response, body);
    };
    expect((await send('DELETE', '/Observation/mine-1', undefined, { 'if-match': 'W/"3"' })).status).toBe(409);
  });

  it('goes in a transaction with the others, held as alone', async () => {
    const transaction = (id: string) => ({
      resourceType: 'Bundle',
      type: 'transaction',
      entry: [{ request: { method: 'DELETE', url: `Observation/${id}`, ifMatch: 'W/"3"' } }],
    });
    gate.fhir = (request, response, body) => {
      if (request.method !== 'POST') server.handler(request, response, body);
      else {
        response.writeHead(200, { 'content-type': 'application/fhir+json' });
        response.end(
          JSON.stringify({
            resourceType: 'Bundle',
            type: 'transaction-response',
            entry: [{ response: { status: '204 No Content' } }],
          }),
        );
      }
    };
    const answer = await send('POST', '', transaction('mine-1'));
    expect([answer.status, JSON.parse(answer.body)]).toMatchObject([
      200,
      { entry: [{ response: { status: '204 No Content' } }] },
    ]);
    expect((await send('POST', '', transaction('other-1'))).status).toBe(403);
    expect(upstream()).toEqual(['POST /fhir']);
  });
});

describe('a conditional create', () => {
  const create = (criteria: string, body: object = observation(), headers: Record<string, string> = {}) =>
    send('POST', '/Observation', body, { 'if-none-exist': criteria, ...headers });

  it('creates when nothing matches, and the server holds the criteria once more', async () => {
    const answer = await create('patient=Patient/mine&identifier=new');
    expect([answer.status, answer.headers.get('location')]).toEqual([
      201,
      'https://gate.example/a/fhir/Observation/new-1/_history/1',
    ]);
    expect(upstream()).toEqual(['POST /fhir/Observation']);
    expect(header('if-none-exist')).toBe('patient=Patient%2Fmine&identifier=new');
  });

  it('gives what matches, creates nothing, and is 412 when several match', async () => {
    const answer = await create('patient=mine&identifier=mine-1');
    expect([answer.status, answer.headers.get('location')?.endsWith('/a/fhir/Observation/mine-1/_history/3')]).toEqual([
      200,
      true,
    ]);
    expect((await create('patient=mine')).status).toBe(412);
    expect(upstream()).toEqual([]);
  });

  it('is as narrow as the search, so that it finds nothing that the caller could not (H39)', async () => {
    for (const criteria of ['identifier=other-1', 'patient=other&identifier=other-1', 'identifier=none', 'status=final'])
      expect([criteria, (await create(criteria)).status]).toEqual([criteria, 403]);
    expect((await create('patient=mine&identifier=x', observation('Patient/other'))).status).toBe(403);
    expect(gate.arrived).toEqual([]);
  });

  it('that came about meanwhile is 412', async () => {
    gate.fhir = (request, response, body) => {
      if (request.method === 'POST')
        server.put('quick', { subject: { reference: 'Patient/mine' }, identifier: [{ value: 'new' }] });
      server.handler(request, response, body);
    };
    expect((await create('patient=mine&identifier=new')).status).toBe(412);
  });

  it('is not sure of one match when there is a further page, and fails when an entry is not what was asked for', async () => {
    const answering = (bundle: (base: string) => object) => {
      gate.fhir = (request, response) => {
        const base = `http://127.0.0.1:${String(request.socket.localPort)}/fhir`;
        response.writeHead(200, { 'content-type': 'application/fhir+json' });
        response.end(JSON.stringify({ resourceType: 'Bundle', type: 'searchset', ...bundle(base) }));
      };
    };
    answering((base) => ({ link: [{ relation: 'next', url: `${base}?_getpages=1` }], entry: [] }));
    expect((await create('patient=mine&identifier=x')).status).toBe(412);
    answering(() => ({ entry: [{ resource: { ...observation('Patient/other'), id: 'other-1' }, search: { mode: 'match' } }] }));
    expect((await create('patient=mine&identifier=x')).status).toBe(502);
    expect(upstream()).toEqual([]);
  });
});

describe('a conditional update, patch and delete', () => {
  it('are what they come to, judged as that', async () => {
    const update = await send('PUT', '/Observation?patient=mine&identifier=mine-1', observation('Patient/mine', { note: [] }));
    expect(update.status).toBe(200);
    const patch = await send('PATCH', '/Observation?patient=mine&identifier=mine-2', [
      { op: 'replace', path: '/status', value: 'final' },
    ]);
    expect(patch.status).toBe(200);
    const remove = await send('DELETE', '/Observation?patient=mine&identifier=mine-2', undefined, { 'if-match': 'W/"4"' });
    expect(remove.status).toBe(204);
    expect(upstream()).toEqual([
      'PUT /fhir/Observation/mine-1',
      'PUT /fhir/Observation/mine-2',
      'DELETE /fhir/Observation/mine-2',
    ]);
  });

  it('create, find nothing, and delete nothing where nothing matches', async () => {
    expect((await send('PUT', '/Observation?patient=mine&identifier=x', observation())).status).toBe(201);
    expect(header('if-none-exist')).toBe('patient=Patient%2Fmine&identifier=x');
    const named = await send('PUT', '/Observation?patient=mine&identifier=y', observation('Patient/mine', { id: 'chosen' }));
    expect([named.status, issue(named)?.details?.text]).toEqual([422, 'id_of_no_match']);
    expect((await send('PATCH', '/Observation?patient=mine&identifier=z', [{ op: 'remove', path: '/note' }])).status).toBe(404);
    expect((await send('DELETE', '/Observation?patient=mine&identifier=z')).status).toBe(204);
    expect(upstream()).toEqual(['POST /fhir/Observation']);
  });

  it('are denied by whatever they come to, and by the search', async () => {
    const on = '/Observation?patient=mine&identifier=mine-1';
    expect((await send('PUT', on, observation('Patient/other'))).status).toBe(403);
    expect((await send('PATCH', on, [{ op: 'remove', path: '/subject' }])).status).toBe(403);
    expect((await send('DELETE', on)).status).toBe(428);
    const bodies = { PUT: observation(), PATCH: [{ op: 'remove', path: '/note' }], DELETE: undefined };
    for (const [method, body] of Object.entries(bodies))
      for (const criteria of ['identifier=other-1', 'patient=other&identifier=other-1', 'identifier=none']) {
        const answer = await send(method, `/Observation?${criteria}`, body);
        expect([method, criteria, answer.status]).toEqual([method, criteria, 403]);
      }
    const other = await send('PUT', on, observation('Patient/mine', { id: 'mine-2' }));
    expect(other.status).toBe(400);
    expect((await send('PUT', '/Observation?patient=mine', observation())).status).toBe(412);
    expect(upstream()).toEqual([]);
  });

  it('tell in the audit what they came to, and whose data it was', async () => {
    const answer = await send('PUT', '/Observation?patient=mine&identifier=mine-1', observation());
    const records = await gate.audited(answer.headers.get('x-request-id') ?? '');
    expect(records.find(({ phase }) => phase === 'intent')).toMatchObject({
      interaction: 'update',
      path: '/Observation?patient&identifier',
      rule: 'update',
      patient: 'Patient/mine',
    });
    expect(records.filter(({ phase }) => phase === 'outcome')).toHaveLength(1);
  });
});

describe('what was written', () => {
  const representation = { prefer: 'return=representation' };

  it('comes back to who prefers it and may read it, and else does not (H36)', async () => {
    const update = await send('PUT', '/Observation/mine-1', observation('Patient/mine', { id: 'mine-1' }), representation);
    expect([update.status, JSON.parse(update.body)]).toMatchObject([
      200,
      { id: 'mine-1', status: 'final', meta: { versionId: '4' } },
    ]);
    expect(update.headers.get('content-type')).toBe('application/fhir+json; charset=utf-8');
    const create = await send('POST', '/Observation', observation(), representation);
    expect([create.status, JSON.parse(create.body)]).toMatchObject([201, { id: 'new-1' }]);
    const patch = await send(
      'PATCH',
      '/Observation/mine-2',
      [{ op: 'replace', path: '/status', value: 'final' }],
      representation,
    );
    expect(JSON.parse(patch.body)).toMatchObject({ id: 'mine-2', status: 'final' });
    const body = observation('Patient/mine', { id: 'mine-1' });
    expect((await send('PUT', '/Observation/mine-1', body, representation, 'blind')).body).toBe('');
    expect((await send('POST', '/Observation', observation(), representation, 'blind')).body).toBe('');
    expect((await send('PUT', '/Observation/mine-1', body, { prefer: 'return=minimal' })).body).toBe('');
    expect((await send('PUT', '/Observation/mine-1', body, { prefer: 'return=OperationOutcome' })).body).toBe('');
  });
});

describe('OPTIONS', () => {
  it('tells what the grammar has for a path, where the role may ask, and asks no server', async () => {
    const answer = await send('OPTIONS', '/Observation/other-1');
    expect([answer.status, answer.headers.get('allow'), answer.headers.get('accept-patch')]).toEqual([
      204,
      'GET, HEAD, PUT, PATCH, DELETE',
      PATCH,
    ]);
    expect((await send('OPTIONS', '/metadata')).headers.get('allow')).toBe('GET, HEAD');
    expect((await send('OPTIONS', '/nothing')).status).toBe(404);
    expect(gate.arrived).toEqual([]);
  });
});

describe('an operation by POST', () => {
  const parameters = (...parameter: object[]) => ({ resourceType: 'Parameters', parameter });
  const mine = { name: 'patient', valueReference: { reference: 'Patient/mine' } };
  const named = { name: 'patient', valueString: 'Patient/mine' };

  it('is judged by what its body brings, and goes up as that', async () => {
    const answer = await send('POST', '/Observation/$lastn', parameters(named, { name: 'max', valueInteger: 2 }));
    expect(answer.status).toBe(200);
    expect(upstream()).toEqual(['POST /fhir/Observation/$lastn']);
    expect(sent()).toEqual(parameters(named, { name: 'max', valueInteger: 2 }));
    expect((await send('GET', '/Observation/$lastn?patient=Patient/mine&max=2')).status).toBe(200);
    // However the patient is said, and how often: once, in one form, as by GET.
    const twice = parameters({ name: 'patient', valueUri: 'mine' }, { name: 'max', valueInteger: 2 }, named);
    expect((await send('POST', '/Observation/$lastn', twice)).status).toBe(200);
    expect(sent()).toEqual(parameters(named, { name: 'max', valueInteger: 2 }));
  });

  it('is denied for another value, one that no rule lists, one that no rule can judge, and by a rule that has GET only', async () => {
    for (const body of [
      parameters(),
      parameters({ name: 'patient', valueString: 'Patient/other' }),
      parameters(named, { name: 'patient', valueString: 'Patient/other' }),
      parameters(named, { name: 'max', valueInteger: 9 }),
      parameters(named, { name: 'code', valueString: 'x' }),
      parameters(mine),
      parameters(named, { name: 'resource', resource: observation() }),
    ])
      expect([body, (await send('POST', '/Observation/$lastn', body)).status]).toEqual([body, 403]);
    expect((await send('POST', '/Observation/$lastn?patient=Patient/other', parameters(named))).status).toBe(403);
    expect((await send('POST', '/Observation/$lastn', observation())).status).toBe(403);
    expect((await send('POST', '/Patient/mine/$everything', parameters())).status).toBe(403);
    expect(upstream()).toEqual([]);
  });

  it('is judged in a batch by what its entry brings', async () => {
    const entry = (parameter: object) => ({
      resource: parameters(parameter),
      request: { method: 'POST', url: 'Observation/$lastn' },
    });
    const batch = {
      resourceType: 'Bundle',
      type: 'batch',
      entry: [entry(named), entry({ name: 'patient', valueString: 'Patient/other' })],
    };
    const answer = await send('POST', '', batch);
    expect(JSON.parse(answer.body)).toMatchObject({
      entry: [{ response: { status: '200 OK' } }, { response: { status: '403 Forbidden' } }],
    });
    expect(upstream()).toEqual(['POST /fhir/Observation/$lastn']);
  });
});
