import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { EXPLAINED_HEADERS } from '../../src/pep/explain-request.ts';
import chart from '../attack/chart/index.ts';
import { loadCases, type AttackCase } from '../attack/run/case.ts';
import { startGate, type FhirHandler, type TestGate } from '../support/gate.ts';
import { createObservationServer } from '../support/observations.ts';
import { WRITES } from '../support/writes-use-case.ts';

// Whatever is asked: explain says beforehand what the gate then does, and nothing of it reaches the FHIR server but look-ups.

interface Ask {
  readonly method: string;
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

const server = createObservationServer();
let reading: TestGate;
let writing: TestGate;
beforeAll(async () => {
  reading = await startGate({ useCase: chart });
  reading.fhir = withPatients;
  writing = await startGate({ useCase: WRITES });
  writing.fhir = withPatients;
});
afterAll(async () => {
  await reading.close();
  await writing.close();
});

const withPatients: FhirHandler = (request, response, body) => {
  const [, id] = /^\/fhir\/Patient\/(mine|other)$/.exec(request.url ?? '') ?? [];
  const isWhole = request.method === 'POST' && request.url === '/fhir';
  if (request.url?.endsWith('/_search') === true) {
    response.writeHead(200, { 'content-type': 'application/fhir+json' });
    response.end(JSON.stringify({ resourceType: 'Bundle', type: 'searchset', entry: [] }));
    return;
  }
  if (id === undefined && !isWhole) {
    server.handler(request, response, body);
    return;
  }
  const resource = id === undefined ? carriedOut(body) : { resourceType: 'Patient', id, name: [{ family: 'Secretname' }] };
  response.writeHead(200, { 'content-type': 'application/fhir+json', etag: 'W/"1"' });
  response.end(JSON.stringify(resource));
};

/** A server that carries out every transaction, as far as its answer says. */
function carriedOut(body: string): object {
  const { entry } = JSON.parse(body) as { entry: { request: { method: string; url: string } }[] };
  const answers = entry.map(({ request: { method, url } }) => {
    const id = url.split('?')[0]?.split('/')[1];
    const found = { resourceType: 'Bundle', type: 'searchset', entry: [] };
    const resource =
      url.startsWith('Patient/') || id === undefined ? { resourceType: 'Patient', id } : (server.stored.get(id) ?? { id });
    const response = {
      status: method === 'POST' ? '201' : method === 'DELETE' ? '204' : '200',
      etag: 'W/"2"',
      ...(method === 'POST' ? { location: 'Observation/9/_history/1' } : {}),
    };
    return method === 'GET' ? { resource: url.includes('?') ? found : resource, response } : { response };
  });
  return { resourceType: 'Bundle', type: 'transaction-response', entry: answers };
}

function refill(): void {
  server.stored.clear();
  for (const id of ['mine-1', 'mine-2', 'mine-3', 'other-1', 'other-2'])
    server.put(id, {
      status: 'preliminary',
      subject: { reference: id.startsWith('mine') ? 'Patient/mine' : 'Patient/other' },
      identifier: [{ value: id }, ...(id === 'mine-3' ? [] : [{ value: 'several' }])],
      note: [{ text: 'Secretnote' }],
    });
}

const who = fc.constantFrom('mine', 'mine', 'other');
const ids = fc.constantFrom('mine-1', 'mine-2', 'mine-3', 'other-1', 'none');
const ifMatch = fc.constantFrom('W/"1"', 'W/"1"', '"1"', 'W/"7"', 'x', undefined);
const conditions = (name: string, value: string | undefined): Readonly<Record<string, string>> =>
  value === undefined ? {} : { [name]: value };
const observation = fc
  .tuple(
    who,
    fc.constantFrom(
      {},
      {},
      { meta: { tag: [{ code: 'x' }] } },
      { hasMember: [{ reference: 'Observation/other-1' }] },
      { hasMember: [{ reference: 'Observation/mine-2' }] },
    ),
  )
  .map(([patient, more]) => ({
    resourceType: 'Observation',
    status: 'final',
    subject: { reference: `Patient/${patient}` },
    ...more,
  }));
const criteria = fc
  .tuple(who, fc.constantFrom('mine-1', 'mine-3', 'several', 'none'))
  .map(([patient, value]) => `patient=Patient/${patient}&identifier=${value}`);
const steps = fc.constantFrom(
  [{ op: 'replace', path: '/status', value: 'final' }],
  [{ op: 'add', path: '/status', value: 'final' }],
  [{ op: 'replace', path: '/status', value: 'amended' }],
  [{ op: 'replace', path: '/subject/reference', value: 'Patient/other' }],
  [{ op: 'remove', path: '/device' }],
  [{ op: 'add', path: '/device', value: {} }],
);

const single: fc.Arbitrary<Ask> = fc.oneof(
  who.map((id): Ask => ({ method: 'GET', url: `Patient/${id}` })),
  ids.filter((id) => id !== 'none').map((id): Ask => ({ method: 'GET', url: `Observation/${id}` })),
  fc.tuple(fc.constantFrom('patient', 'subject', 'encounter'), who).map(([name, id]): Ask => ({
    method: 'GET',
    url: `Observation?${name}=Patient/${id}`,
  })),
  fc.constantFrom('metadata', 'Patient/mine/_history', 'Encounter/1', 'Observation?foo=1').map((url): Ask => ({
    method: 'GET',
    url,
  })),
  observation.map((resource): Ask => ({ method: 'POST', url: 'Observation', body: JSON.stringify(resource) })),
  fc.tuple(ids, observation, ifMatch).map(([id, resource, version]): Ask => ({
    method: 'PUT',
    url: `Observation/${id}`,
    body: JSON.stringify({ ...resource, id }),
    headers: conditions('if-match', version),
  })),
  fc.tuple(ids, steps, ifMatch).map(([id, patch, version]): Ask => ({
    method: 'PATCH',
    url: `Observation/${id}`,
    body: JSON.stringify(patch),
    headers: conditions('if-match', version),
  })),
  fc.tuple(ids, ifMatch).map(([id, version]): Ask => ({
    method: 'DELETE',
    url: `Observation/${id}`,
    headers: conditions('if-match', version),
  })),
);
const conditional: fc.Arbitrary<Ask> = fc.oneof(
  fc.tuple(criteria, observation).map(([query, resource]): Ask => ({
    method: 'POST',
    url: 'Observation',
    body: JSON.stringify(resource),
    headers: { 'if-none-exist': query },
  })),
  fc
    .tuple(criteria, observation, ifMatch, fc.constantFrom({}, {}, { id: 'mine-1' }))
    .map(([query, resource, version, more]): Ask => ({
      method: 'PUT',
      url: `Observation?${query}`,
      body: JSON.stringify({ ...resource, ...more }),
      headers: conditions('if-match', version),
    })),
  fc.tuple(criteria, steps).map(([query, patch]): Ask => ({
    method: 'PATCH',
    url: `Observation?${query}`,
    body: JSON.stringify(patch),
  })),
  fc.tuple(criteria, ifMatch).map(([query, version]): Ask => ({
    method: 'DELETE',
    url: `Observation?${query}`,
    headers: conditions('if-match', version),
  })),
);

const CONDITIONS = new Map([
  ['if-match', 'ifMatch'],
  ['if-none-exist', 'ifNoneExist'],
]);

function bundled(type: string, asks: readonly Ask[]): Ask {
  const entry = asks.map(({ method, url, headers = {}, body }) => {
    const resource = body === undefined ? undefined : (JSON.parse(body) as unknown);
    const binary = {
      resourceType: 'Binary',
      contentType: 'application/json-patch+json',
      data: Buffer.from(body ?? '').toString('base64'),
    };
    const named = Object.entries(headers).map(([name, value]) => [CONDITIONS.get(name) ?? name, value] as const);
    return {
      ...(resource === undefined ? {} : { resource: method === 'PATCH' ? binary : resource }),
      request: { method, url, ...Object.fromEntries<string>(named) },
    };
  });
  return { method: 'POST', url: '', body: JSON.stringify({ resourceType: 'Bundle', type, entry }) };
}

const TYPE: Readonly<Record<string, string>> = { PATCH: 'application/json-patch+json' };

/** What explain says, then what the gate does: outcome, reason and status, of the whole and of every entry. */
async function compare(gate: TestGate, purpose: string, { method, url, headers = {}, body }: Ask) {
  refill();
  const token = gate.token({ facts: { service: purpose } });
  gate.arrived.length = 0;
  const before = JSON.stringify([...server.stored]);
  const said = await gate.explain({ token, method, target: `/${url}`, headers, ...(body === undefined ? {} : { body }) });
  expect(gate.arrived.filter(({ rawHeaders, method: sent }) => sent !== 'GET' || !rawHeaders.includes('x-sluis-lookup'))).toEqual(
    [],
  );
  expect(JSON.stringify([...server.stored])).toBe(before);
  expect(JSON.stringify(said)).not.toMatch(/Secret|eyJ/);

  const isSaid = Object.keys(headers).some((name) => name.toLowerCase() === 'content-type');
  const type = body === undefined || isSaid ? {} : { 'content-type': TYPE[method] ?? 'application/fhir+json' };
  const answer = await gate.get(`/a/fhir/${url}`, { authorization: `Bearer ${token}`, ...type, ...headers }, method, body);
  const records = await gate.audited(answer.headers.get('x-request-id') ?? '');
  const endings = records.filter(({ phase }) => phase === 'outcome');
  const whole = endings.find(({ part }) => part === undefined);
  // Whether the caller has it already is the answer's to tell.
  const isKept = answer.status === 304 && said.notJudged?.includes('(304)') === true;
  expect([said.outcome, isKept ? 304 : said.status]).toEqual([whole?.outcome, answer.status]);
  const code = said.stages.find(({ outcome, stage }) => outcome === 'stopped' && stage !== 'rules')?.code;
  if (said.outcome !== 'permitted') expect(code).toBe(whole?.reason);
  expect(said.entries?.map(({ part }) => part) ?? []).toEqual(
    endings.flatMap(({ part }) => part ?? []).sort((one, other) => one.localeCompare(other)),
  );
  for (const { part, outcome, status, stages } of said.entries ?? []) {
    const ending = endings.find((each) => each.part === part);
    expect([part, outcome]).toEqual([part, ending?.outcome]);
    if (outcome !== 'permitted') {
      expect([part, status]).toEqual([part, ending?.status]);
      expect(stages.find((each) => each.outcome === 'stopped' && each.stage !== 'rules')?.code).toBe(ending?.reason);
    }
  }
  return said;
}

const MINE = JSON.stringify({
  resourceType: 'Observation',
  id: 'other-1',
  status: 'final',
  subject: { reference: 'Patient/mine' },
});

/** The cases that are a question to explain: not about bytes, other tokens, what a server answers or headers that explain has no need of. */
function asAsk(each: AttackCase): readonly Ask[] {
  const { request: [line = '', ...lines] = [], as, bare, body, json, bodyBase64, node, upstreamAnswers, proof, then } = each;
  const [, method = '', url] = /^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) \/a\/fhir\/?([!-~]*)$/.exec(line) ?? [];
  const isPlain = bare === undefined && node === undefined && upstreamAnswers === undefined && proof === undefined;
  if (url === undefined || as !== 'chart' || !isPlain || bodyBase64 !== undefined || then.length > 0) return [];
  const filled = (text: string): string => text.replaceAll(/\{version:[^}]*\}/g, '1');
  const headers = lines.map(
    (text) => [text.slice(0, text.indexOf(':')), filled(text.slice(text.indexOf(':') + 1).trim())] as const,
  );
  const names = new Set(headers.map(([name]) => name.toLowerCase()));
  if (names.size < headers.length || headers.some(([name, value]) => !KNOWN.has(name) || /[^ -~]/.test(value))) return [];
  const text = json === undefined ? body : JSON.stringify(json);
  if (text !== undefined && text !== '' && (!names.has('content-type') || method === 'GET' || method === 'HEAD')) return [];
  return [{ method, url, headers: Object.fromEntries(headers), ...(text === undefined ? {} : { body: filled(text) }) }];
}
const KNOWN = new Set(EXPLAINED_HEADERS);
const ATTACKS = loadCases().flatMap((each) => asAsk(each).map((ask) => [each.id, ask] as const));

describe('explain', () => {
  it('says of the cases of the attack suite what the gate then does', async () => {
    const differing: string[] = [];
    for (const [id, ask] of ATTACKS) {
      await compare(reading, 'chart', ask).catch((error: unknown) => {
        differing.push(`${id} ${ask.method} ${ask.url}: ${error instanceof Error ? error.message.slice(0, 400) : String(error)}`);
      });
    }
    expect(differing).toEqual([]);
    expect(ATTACKS.length).toBeGreaterThan(100);
  }, 240_000);

  it('says of any request what the gate then does', async () => {
    const seen = new Set<string>();
    const kinds = fc.oneof({ weight: 3, arbitrary: single }, { weight: 2, arbitrary: conditional });
    await fc.assert(
      fc.asyncProperty(kinds, fc.constantFrom('chart', 'writes', 'blind'), async (ask, purpose) => {
        const said = await compare(purpose === 'chart' ? reading : writing, purpose, ask);
        seen.add(`${said.outcome} ${String(said.status)}`);
      }),
      {
        numRuns: 300,
        examples: [
          [{ method: 'PUT', url: 'Observation/other-1', body: MINE, headers: { 'if-match': 'W/"1"' } }, 'chart'],
          [{ method: 'DELETE', url: 'Observation/mine-1' }, 'writes'],
          [{ method: 'DELETE', url: 'Observation/mine-1', headers: { 'if-match': 'W/"7"' } }, 'writes'],
          [{ method: 'DELETE', url: 'Observation/mine-1', headers: { 'if-match': 'W/"1"' } }, 'writes'],
          [{ method: 'POST', url: 'Observation', body: MINE }, 'writes'],
          [{ method: 'GET', url: 'Observation/mine-1' }, 'chart'],
          [{ method: 'PATCH', url: 'Observation/mine-1', body: '[{"op":"remove","path":"/device"}]' }, 'writes'],
        ],
      },
    );
    expect([...seen]).toEqual(
      expect.arrayContaining([
        'permitted 200',
        'permitted 201',
        'permitted 204',
        'denied 403',
        'rejected 412',
        'rejected 422',
        'rejected 428',
        'refused 400',
      ]),
    );
  }, 240_000);

  it('says of any batch and transaction what becomes of it, and of each of its entries', async () => {
    const seen = new Set<string>();
    // What an entry of a batch does, a later one may be judged by: explain says so, and here a write comes last, and is one.
    const asks = fc.uniqueArray(fc.oneof(single, conditional), {
      minLength: 1,
      maxLength: 4,
      selector: ({ method, url }) => (method === 'GET' ? url : 'write'),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('batch', 'transaction'),
        asks,
        fc.constantFrom('chart', 'writes'),
        async (type, all, purpose) => {
          const inOrder = all.toSorted((one, other) => Number(one.method !== 'GET') - Number(other.method !== 'GET'));
          const said = await compare(purpose === 'chart' ? reading : writing, purpose, bundled(type, inOrder));
          seen.add(`${type} ${said.outcome}`);
        },
      ),
      {
        numRuns: 150,
        examples: [
          ['transaction', [{ method: 'GET', url: 'Patient/other' }], 'chart'],
          ['transaction', [{ method: 'GET', url: 'Patient/mine' }], 'chart'],
          [
            'transaction',
            [{ method: 'PUT', url: 'Observation/other-1', body: MINE, headers: { 'if-match': 'W/"1"' } }],
            'writes',
          ],
          ['transaction', [{ method: 'DELETE', url: 'Observation/mine-1', headers: { 'if-match': 'W/"7"' } }], 'writes'],
          ['batch', [{ method: 'GET', url: 'Patient/other' }], 'chart'],
        ],
      },
    );
    expect([...seen]).toEqual(
      expect.arrayContaining(['batch permitted', 'transaction permitted', 'transaction denied', 'transaction rejected']),
    );
  }, 240_000);
});
