import { afterEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { z } from 'zod';
import { createClock } from '../../../src/clock.ts';
import { DOSSIER, loadDossier } from '../../../src/sandbox/dossier/index.ts';
import { startSimulatedFhirServer } from '../../../src/sandbox/fhir/server.ts';
import type { SimulatedFhirServer, SimulatedFhirServerOptions } from '../../../src/sandbox/fhir/server.ts';

const open: SimulatedFhirServer[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((server) => server.close()));
});

async function start(options: Partial<SimulatedFhirServerOptions> = {}): Promise<SimulatedFhirServer> {
  const server = await startSimulatedFhirServer({
    name: 'test',
    version: 'STU3',
    clock: createClock(),
    resources: [],
    ...options,
  });
  open.push(server);
  return server;
}

const resourceSchema = z.looseObject({ resourceType: z.string(), id: z.string().optional() });
const bundleSchema = z.looseObject({
  type: z.string(),
  total: z.number().optional(),
  link: z.array(z.object({ relation: z.string(), url: z.string() })).default([]),
  entry: z
    .array(
      z.looseObject({
        fullUrl: z.string().optional(),
        resource: resourceSchema.optional(),
        search: z.object({ mode: z.string() }).optional(),
      }),
    )
    .default([]),
});
type Bundle = z.infer<typeof bundleSchema>;

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

async function call(
  server: SimulatedFhirServer,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await fetch(path.startsWith('http') ? path : server.url + path, {
    method,
    headers: {
      ...(body === undefined || typeof body === 'string' ? {} : { 'content-type': 'application/fhir+json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

async function bundle(server: SimulatedFhirServer, path: string): Promise<Bundle> {
  const { status, text } = await call(server, 'GET', path);
  expect(status).toBe(200);
  return bundleSchema.parse(JSON.parse(text));
}

const keys = ({ entry }: Bundle, mode?: string): string[] =>
  entry
    .filter(({ search }) => mode === undefined || search?.mode === mode)
    .map(({ resource }) => `${resource?.resourceType ?? ''}/${resource?.id ?? ''}`);

const patient = (id: string, more: Record<string, unknown> = {}) => ({ resourceType: 'Patient', id, ...more });
const dossier = loadDossier('ziekenhuis-oost');

describe('versions', () => {
  it('creates with 201, updates with 200 and a new version, keeps an identical one', async () => {
    const server = await start();
    const statuses = [];
    for (const gender of ['female', 'male', 'male']) {
      const { status, headers } = await call(server, 'PUT', '/Patient/p', patient('p', { gender }));
      statuses.push([status, headers.get('etag'), headers.get('content-location')]);
    }
    expect(statuses).toEqual([
      [201, 'W/"1"', `${server.url}/Patient/p/_history/1`],
      [200, 'W/"2"', `${server.url}/Patient/p/_history/2`],
      [200, 'W/"2"', `${server.url}/Patient/p/_history/2`],
    ]);
    expect(JSON.parse((await call(server, 'GET', '/Patient/p/_history/1')).text)).toMatchObject({
      gender: 'female',
      meta: { versionId: '1' },
    });
    expect((await bundle(server, '/Patient/p/_history')).total).toBe(2);
  });

  it.each([
    ['STU3', undefined, 409],
    ['R4', undefined, 412],
    ['R4', 409, 409],
    ['STU3', 412, 412],
  ] as const)(
    '%s (staleVersionStatus %s): a stale If-Match is %i and writes nothing, a current one is 200',
    async (version, option, expected) => {
      const server = await start({
        version,
        resources: [patient('p')],
        ...(option === undefined ? {} : { staleVersionStatus: option }),
      });
      const stale = await call(server, 'PUT', '/Patient/p', patient('p', { gender: 'male' }), { 'if-match': 'W/"7"' });
      expect([stale.status, server.read('Patient', 'p')?.['gender']]).toEqual([expected, undefined]);
      const current = await call(server, 'PUT', '/Patient/p', patient('p', { gender: 'male' }), { 'if-match': 'W/"1"' });
      expect([current.status, server.read('Patient', 'p')?.['gender']]).toEqual([200, 'male']);
    },
  );

  it('If-Match W/"0" creates only: of six in parallel one gets 201, and a deleted id stays taken', async () => {
    const server = await start();
    const only = { 'if-match': 'W/"0"' };
    const all = await Promise.all(
      [1, 2, 3, 4, 5, 6].map((n) => call(server, 'PUT', '/Patient/p', patient('p', { active: n > 3 }), only)),
    );
    expect(all.map(({ status }) => status).sort()).toEqual([201, 409, 409, 409, 409, 409]);
    await call(server, 'DELETE', '/Patient/p');
    expect((await call(server, 'PUT', '/Patient/p', patient('p'), only)).status).toBe(409);
    expect((await call(server, 'PUT', '/Patient/p', patient('p'))).headers.get('etag')).toBe('W/"3"');
  });

  it('If-None-Match: * on a PUT is silently ignored and overwrites; with ifMatch "ignored" so is a stale If-Match', async () => {
    const server = await start({ resources: [patient('p')] });
    expect((await call(server, 'PUT', '/Patient/p', patient('p', { gender: 'male' }), { 'if-none-match': '*' })).status).toBe(
      200,
    );
    const careless = await start({ resources: [patient('p')], ifMatch: 'ignored' });
    expect((await call(careless, 'PUT', '/Patient/p', patient('p', { gender: 'male' }), { 'if-match': 'W/"9"' })).status).toBe(
      200,
    );
  });

  it('gone is 410, never there is 404, an old version of a deleted one is still readable', async () => {
    const server = await start({ resources: [patient('p')] });
    expect((await call(server, 'DELETE', '/Patient/p')).status).toBe(200);
    expect((await call(server, 'GET', '/Patient/p')).status).toBe(410);
    expect((await call(server, 'GET', '/Patient/q')).status).toBe(404);
    expect((await call(server, 'GET', '/Patient/p/_history/1')).status).toBe(200);
  });

  it('whatever the sequence of writes, a read gives the last content and the version counts the changes', async () => {
    const server = await start();
    const operation = fc.oneof(
      fc.record({
        kind: fc.constant('put' as const),
        value: fc.constantFrom('a', 'b', 'c'),
        ifMatch: fc.option(fc.integer({ min: 0, max: 6 })),
      }),
      fc.record({ kind: fc.constant('delete' as const) }),
    );
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 12 }), async (operations) => {
        run += 1;
        const id = `p${run}`;
        let version = 0;
        let content: string | undefined;
        for (const step of operations) {
          if (step.kind === 'delete') {
            expect((await call(server, 'DELETE', `/Patient/${id}`)).status).toBe(200);
            if (content !== undefined) version += 1;
            content = undefined;
            continue;
          }
          const headers: Record<string, string> = step.ifMatch === null ? {} : { 'if-match': `W/"${step.ifMatch}"` };
          const { status } = await call(server, 'PUT', `/Patient/${id}`, patient(id, { language: step.value }), headers);
          if (version > 0 && step.ifMatch !== null && step.ifMatch !== version) {
            expect(status).toBe(409);
            continue;
          }
          expect(status).toBe(content === undefined ? 201 : 200);
          if (content !== step.value) version += 1;
          content = step.value;
        }
        const stored = server.read('Patient', id);
        expect([stored?.['language'], stored?.meta?.['versionId']]).toEqual([
          content,
          content === undefined ? undefined : String(version),
        ]);
      }),
      { numRuns: 40 },
    );
  });
});

describe('what is refused', () => {
  it('bodies that do not fit the address', async () => {
    const server = await start();
    const status = async (path: string, body: unknown, headers = {}) => (await call(server, 'PUT', path, body, headers)).status;
    expect(await status('/Patient/p', patient('q'))).toBe(400);
    expect(await status('/Patient/p', { resourceType: 'Patient' })).toBe(400);
    expect(await status('/Patient/p', { resourceType: 'Task', id: 'p' })).toBe(400);
    expect(await status('/Patient/p_1', patient('p_1'))).toBe(400);
    expect(await status('/Patient/p', '{"resourceType":', { 'content-type': 'application/fhir+json' })).toBe(400);
    expect(await status('/Patient/p', '<Patient/>', { 'content-type': 'application/fhir+xml' })).toBe(415);
    expect(await status('/patient/p', patient('p'))).toBe(404);
    expect(server.all()).toEqual([]);
  });

  it('dangling references and the deletion of what is referred to, unless told otherwise', async () => {
    const condition = { resourceType: 'Condition', id: 'c', subject: { reference: 'Patient/p' } };
    const server = await start();
    expect((await call(server, 'PUT', '/Condition/c', condition)).status).toBe(400);
    server.put(patient('p'));
    expect((await call(server, 'PUT', '/Condition/c', condition)).status).toBe(201);
    const refused = await call(server, 'DELETE', '/Patient/p');
    expect([refused.status, refused.text.includes('Condition/c')]).toEqual([409, true]);
    const lax = await start({ referentialIntegrity: false });
    expect((await call(lax, 'PUT', '/Condition/c', condition)).status).toBe(201);
  });

  it('XML is 406; HEAD is 400 on searches and operations and 200 on a read; a 400 closes the connection', async () => {
    const server = await start({ resources: dossier });
    expect((await call(server, 'GET', `/${DOSSIER.patient}`, undefined, { accept: 'application/fhir+xml' })).status).toBe(406);
    expect((await call(server, 'HEAD', '/Patient')).status).toBe(400);
    expect((await call(server, 'HEAD', `/${DOSSIER.nursingHandoff}/$document`)).status).toBe(400);
    const read = await call(server, 'HEAD', `/${DOSSIER.patient}`);
    expect([read.status, read.text, read.headers.get('etag')]).toEqual([200, '', 'W/"1"']);
    expect((await call(server, 'GET', '/Patient?nonsense=1')).headers.get('connection')).toBe('close');
  });

  it('without the required credentials everything is 401; with them it is not', async () => {
    const server = await start({ requireAuthorization: 'Bearer upstream', resources: [patient('p')] });
    expect((await call(server, 'GET', '/Patient/p')).status).toBe(401);
    expect((await call(server, 'GET', '/Patient/p', undefined, { authorization: 'Bearer other' })).status).toBe(401);
    expect((await call(server, 'GET', '/Patient/p', undefined, { authorization: 'Bearer upstream' })).status).toBe(200);
  });

  it('production: it does not start', async () => {
    await expect(start({ mode: 'production' })).rejects.toThrow('production');
  });
});

describe('search', () => {
  it('finds by patient in every form of reference, code, identifier, status and date', async () => {
    const server = await start({ resources: dossier });
    const [, id = ''] = DOSSIER.patient.split('/');
    const expected = keys(await bundle(server, `/Observation?patient=${DOSSIER.patient}`)).sort();
    expect(expected).toContain(DOSSIER.vitalSign);
    for (const query of [
      `subject=${id}`,
      `patient=${id}`,
      `subject:Patient=${id}`,
      `subject=${encodeURIComponent(`${server.url}/${DOSSIER.patient}`)}`,
    ]) {
      expect(keys(await bundle(server, `/Observation?${query}&_count=100`)).sort()).toEqual(expected);
    }
    expect(keys(await bundle(server, `/Observation?code=http://loinc.org%7C85354-9`))).toEqual([DOSSIER.vitalSign]);
    expect(keys(await bundle(server, `/Observation?code=http://snomed.info/sct%7C85354-9`))).toEqual([]);
    expect(keys(await bundle(server, `/Patient?identifier=http://fhir.nl/fhir/NamingSystem/bsn%7C999911120`))).toEqual([
      DOSSIER.patient,
    ]);
    expect(keys(await bundle(server, `/Observation?date=ge2026-11-23&date=lt2026-11-24&code=85354-9,8867-4`))).toHaveLength(2);
    expect(keys(await bundle(server, `/Condition?patient=Patient/unknown`))).toEqual([]);
    expect((await bundle(server, `/Patient?_lastUpdated=gt2100`)).total).toBe(0);
  });

  it('an unknown parameter is 400 and names the known; one that begins with _ or is empty silently does nothing', async () => {
    const server = await start({ resources: dossier });
    const refused = await call(server, 'GET', '/Patient?nonsense=1');
    expect([refused.status, refused.text.includes('birthdate')]).toEqual([400, true]);
    const all = (await bundle(server, '/Patient')).total;
    expect((await bundle(server, '/Patient?_nonsense=1')).total).toBe(all);
    expect((await bundle(server, '/Patient?identifier=')).total).toBe(all);
  });

  it('POST reads a form only under its media type, and is unrestricted otherwise', async () => {
    const server = await start({ resources: dossier });
    const total = async (type: string) =>
      bundleSchema.parse(
        JSON.parse((await call(server, 'POST', '/Patient/_search', 'identifier=999911120', { 'content-type': type })).text),
      ).total;
    expect(await total('application/x-www-form-urlencoded')).toBe(1);
    expect(await total('text/plain')).toBe(dossier.filter(({ resourceType }) => resourceType === 'Patient').length);
  });

  it('pages through all matches once, by a cursor that is enough on its own', async () => {
    const server = await start({ resources: dossier });
    const expected = dossier.filter(({ resourceType }) => resourceType === 'Condition').map(({ id }) => `Condition/${id}`);
    let page = await bundle(server, '/Condition?_count=4');
    expect(page.total).toBeUndefined();
    const found = [...keys(page)];
    for (
      let next = page.link.find(({ relation }) => relation === 'next');
      next !== undefined;
      next = page.link.find(({ relation }) => relation === 'next')
    ) {
      expect(next.url.startsWith(`${server.url}?_getpages=`)).toBe(true);
      page = await bundle(server, next.url);
      found.push(...keys(page));
    }
    expect(found.sort()).toEqual(expected.sort());
    expect((await call(server, 'GET', '?_getpages=unknown')).status).toBe(410);
  });

  it('a further page has what is stored by now, and what that refers to', async () => {
    const about = (id: string, subject: string) => ({
      ...{ resourceType: 'Observation', id, status: 'final', code: { text: 'x' } },
      subject: { reference: `Patient/${subject}` },
    });
    const server = await start({ version: 'R4', resources: [patient('p'), patient('q'), about('1', 'p'), about('2', 'p')] });
    const first = await bundle(server, '/Observation?patient=p&_count=1&_include=Observation:subject');
    expect(keys(first)).toEqual(['Observation/1', 'Patient/p']);
    server.put(about('2', 'q'));
    const next = first.link.find(({ relation }) => relation === 'next')?.url ?? '';
    expect(keys(await bundle(server, next))).toEqual(['Observation/2', 'Patient/q']);
  });

  it('includes what a parameter refers to, marked as such, and sorts by date both ways', async () => {
    const server = await start({ resources: dossier });
    const result = await bundle(server, `/Observation?_id=${DOSSIER.vitalSign.split('/')[1] ?? ''}&_include=Observation:subject`);
    expect([keys(result, 'match'), keys(result, 'include')]).toEqual([[DOSSIER.vitalSign], [DOSSIER.patient]]);
    const up = keys(await bundle(server, '/Composition?_sort=date&_count=50'));
    expect(up.at(-1)).toBe(DOSSIER.nursingHandoff);
    expect(keys(await bundle(server, '/Composition?_sort=-date'))[0]).toBe(DOSSIER.nursingHandoff);
  });
});

describe('$document', () => {
  it('complete: the Composition first, sections in depth, an identifier, no Binary; 404 for one that does not exist', async () => {
    const server = await start({ resources: dossier });
    const document = await bundle(server, `/${DOSSIER.nursingHandoff}/$document`);
    expect(document.type).toBe('document');
    expect(document).toHaveProperty('identifier.value');
    expect(keys(document)[0]).toBe(DOSSIER.nursingHandoff);
    expect(keys(document)).toEqual(
      expect.arrayContaining([DOSSIER.patient, DOSSIER.vitalSign, DOSSIER.document, ...DOSSIER.problems]),
    );
    expect(keys(document)).not.toContain(DOSSIER.pdf);
    expect(keys(document)).not.toContain(DOSSIER.outsideGrant);
    expect(new Set(keys(document)).size).toBe(document.entry.length);
    expect((await call(server, 'GET', '/Composition/none/$document')).status).toBe(404);
  });

  it('shallow: nested sections are missing, and one that does not exist is 200 and empty', async () => {
    const server = await start({ resources: dossier, document: 'shallow' });
    const document = await bundle(server, `/${DOSSIER.nursingHandoff}/$document`);
    expect(keys(document)).toEqual([DOSSIER.nursingHandoff, DOSSIER.patient, DOSSIER.practitioner, DOSSIER.document]);
    expect(await bundle(server, '/Composition/none/$document')).toMatchObject({ type: 'document', total: 0, entry: [] });
  });

  it('none: 400', async () => {
    const server = await start({ resources: dossier, document: 'none' });
    expect((await call(server, 'GET', `/${DOSSIER.nursingHandoff}/$document`)).status).toBe(400);
  });
});

describe('Binary', () => {
  it('comes raw, or as a resource where FHIR JSON is asked for', async () => {
    const server = await start({ resources: dossier });
    const raw = await call(server, 'GET', `/${DOSSIER.pdf}`, undefined, { accept: 'application/pdf' });
    expect([raw.status, raw.headers.get('content-type'), raw.text.slice(0, 5)]).toEqual([200, 'application/pdf', '%PDF-']);
    const resource = await call(server, 'GET', `/${DOSSIER.pdf}`, undefined, { accept: 'application/fhir+json' });
    expect(JSON.parse(resource.text)).toMatchObject({ resourceType: 'Binary', contentType: 'application/pdf' });
  });

  it('is written raw, under the element of its version', async () => {
    for (const [version, element] of [
      ['STU3', 'content'],
      ['R4', 'data'],
    ] as const) {
      const server = await start({ version });
      expect((await call(server, 'PUT', '/Binary/b', 'hello', { 'content-type': 'text/plain' })).status).toBe(201);
      expect(server.read('Binary', 'b')).toMatchObject({
        contentType: 'text/plain',
        [element]: Buffer.from('hello').toString('base64'),
      });
    }
  });
});

describe('batch and transaction', () => {
  const put = (id: string, more: Record<string, unknown> = {}) => ({
    resource: patient(id),
    request: { method: 'PUT', url: `Patient/${id}`, ...more },
  });

  it('a batch answers each entry; a transaction with one refused write leaves nothing', async () => {
    const server = await start({ resources: [patient('old')] });
    const entry = [put('a'), put('old', { ifMatch: 'W/"9"' }), { request: { method: 'GET', url: 'Patient/a' } }];
    const batch = await call(server, 'POST', '', { resourceType: 'Bundle', type: 'batch', entry });
    expect(JSON.parse(batch.text)).toMatchObject({
      type: 'batch-response',
      entry: [
        { response: { status: '201 Created', location: 'Patient/a/_history/1', etag: '1' } },
        { response: { status: '409 Conflict', outcome: { resourceType: 'OperationOutcome' } } },
        { resource: { id: 'a' }, response: { status: '200 OK' } },
      ],
    });
    const failed = await call(server, 'POST', '', {
      resourceType: 'Bundle',
      type: 'transaction',
      entry: [put('b'), put('old', { ifMatch: 'W/"9"' })],
    });
    expect([failed.status, server.read('Patient', 'b')]).toEqual([409, undefined]);
  });

  it('a transaction turns references to what it creates into references to what was created', async () => {
    const server = await start({ version: 'R4' });
    const [one, other] = ['urn:uuid:0b5a5d0c-0d3c-4bd7-9bd5-1f4ef0c0a001', 'urn:uuid:0b5a5d0c-0d3c-4bd7-9bd5-1f4ef0c0a002'];
    const observation = { resourceType: 'Observation', status: 'final', code: { text: 'x' }, subject: { reference: one } };
    const create = (fullUrl: string, resource: object) => ({
      fullUrl,
      resource,
      request: { method: 'POST', url: (resource as { resourceType: string }).resourceType },
    });
    const entry = [create(other, observation), create(one, { resourceType: 'Patient' })];
    const done = await call(server, 'POST', '', { resourceType: 'Bundle', type: 'transaction', entry });
    expect(done.status).toBe(200);
    const stored = (type: string) => server.all().find(({ resourceType }) => resourceType === type);
    expect(stored('Observation')?.['subject']).toEqual({ reference: `Patient/${stored('Patient')?.id ?? ''}` });
    // In a batch nobody knows of the others: there it dangles.
    const batch = await call(server, 'POST', '', { resourceType: 'Bundle', type: 'batch', entry });
    expect(JSON.parse(batch.text)).toMatchObject({ type: 'batch-response' });
    expect(server.all()).toContainEqual(expect.objectContaining({ subject: { reference: one } }));
  });

  it('keeps the text of decimals, alone and in a bundle', async () => {
    const server = await start({ version: 'R4' });
    const text = '{"resourceType":"Observation","id":"o","status":"final","code":{"text":"x"},"valueQuantity":{"value":1.00}}';
    const json = { 'content-type': 'application/fhir+json' };
    expect((await call(server, 'PUT', '/Observation/o', text, json)).status).toBe(201);
    expect((await call(server, 'GET', '/Observation/o')).text).toContain('"value":1.00');
    const entry = `{"fullUrl":"urn:uuid:0b5a5d0c-0d3c-4bd7-9bd5-1f4ef0c0a001","resource":${text.replace('1.00', '2.50')},"request":{"method":"POST","url":"Observation"}}`;
    await call(server, 'POST', '', `{"resourceType":"Bundle","type":"transaction","entry":[${entry}]}`, json);
    expect((await call(server, 'GET', '/Observation?status=final')).text).toContain('"value":2.50');
  });

  it('believes the resource of a POST entry rather than its url', async () => {
    const server = await start();
    const entry = [{ resource: { resourceType: 'Patient' }, request: { method: 'POST', url: 'Task' } }];
    await call(server, 'POST', '', { resourceType: 'Bundle', type: 'batch', entry });
    expect(server.all().map(({ resourceType }) => resourceType)).toEqual(['Patient']);
  });
});

describe('what it does that a gate must be safe against', () => {
  it('decodes ids twice and skips empty segments; strict paths do not', async () => {
    const paths = ['/Patient/%2570', '/Patient//p'];
    const lenient = await start({ resources: [patient('p')] });
    for (const path of paths) expect((await call(lenient, 'GET', path)).status).toBe(200);
    const strict = await start({ resources: [patient('p')], lenientPaths: false });
    for (const path of paths) expect((await call(strict, 'GET', path)).status).not.toBe(200);
  });

  it('has other doors beside its base', async () => {
    const server = await start();
    expect((await call(server, 'GET', server.url.replace('/fhir', '/'))).status).toBe(200);
    expect((await call(server, 'GET', server.url.replace('/fhir', '/actuator/health'))).status).toBe(200);
  });

  it('writes the Host of the request into its URLs where it is told to, and its own base otherwise', async () => {
    for (const echoHost of [true, false]) {
      const server = await start({ resources: [patient('p')], echoHost });
      const alias = server.url.replace('127.0.0.1', 'localhost');
      const { headers } = await call(server, 'GET', `${alias}/Patient/p`);
      expect(headers.get('content-location')?.startsWith(echoHost ? alias : server.url)).toBe(true);
    }
  });

  it('gives a browser a page instead of the resource', async () => {
    const server = await start({ resources: [patient('p')] });
    const { headers } = await call(server, 'GET', '/Patient/p', undefined, { accept: 'text/html,application/xhtml+xml,*/*' });
    expect(headers.get('content-type')).toContain('text/html');
  });
});

describe('the record of requests', () => {
  it('has each request exactly as it came, until it is cleared, also one that a fault cut off', async () => {
    const server = await start({ resources: [patient('p')] });
    await call(server, 'POST', '/Patient/_search?_count=%31', 'name=%C3%A9', {
      'content-type': 'application/x-www-form-urlencoded',
      'X-Mixed': 'Case',
    });
    server.faults.set({ kind: 'status', status: 503 });
    await call(server, 'PUT', '/Patient/p', patient('p', { gender: 'male' }));
    const [first, second] = server.requests();
    expect(first).toMatchObject({ method: 'POST', target: '/fhir/Patient/_search?_count=%31' });
    expect(Buffer.from(first?.bodyBase64 ?? '', 'base64').toString()).toBe('name=%C3%A9');
    expect(first?.rawHeaders).toContain('Case');
    expect(Buffer.from(second?.bodyBase64 ?? '', 'base64').toString()).toContain('male');
    expect(server.read('Patient', 'p')).not.toHaveProperty('gender');
    server.clearRequests();
    expect(server.requests()).toEqual([]);
  });

  it('lose-answer: the write has happened and the caller does not know', async () => {
    const server = await start();
    server.faults.set({ kind: 'lose-answer', match: { method: 'PUT' }, times: 1 });
    await expect(call(server, 'PUT', '/Patient/p', patient('p'))).rejects.toThrow();
    expect(server.read('Patient', 'p')).toBeDefined();
  });
});

describe.each(['STU3', 'R4'] as const)('%s', (version) => {
  it('says what it is, marks every answer, and holds its own version of FHIR', async () => {
    const server = await start({ version });
    const { text, headers } = await call(server, 'GET', '/metadata');
    expect(JSON.parse(text)).toMatchObject({
      resourceType: 'CapabilityStatement',
      fhirVersion: version === 'STU3' ? '3.0.2' : '4.0.1',
    });
    expect(headers.get('x-sluis-sandbox')).toBe('simulated-fhir-server');
    expect((await call(server, 'GET', '/None/x')).headers.get('x-sluis-sandbox')).toBe('simulated-fhir-server');
    expect((await call(server, 'GET', '/ServiceRequest')).status).toBe(version === 'R4' ? 200 : 404);
  });
});
