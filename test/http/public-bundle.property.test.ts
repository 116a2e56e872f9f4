import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import chart from '../attack/chart/index.ts';
import { startGate, type Arrived, type FhirHandler, type TestGate } from '../support/gate.ts';

// Whatever stands in a batch or a transaction: each entry gets what the same request gets that comes alone, and the server sees the same of it.

let gate: TestGate;
beforeAll(async () => {
  gate = await startGate({ useCase: chart });
  gate.fhir = server;
});
afterAll(() => gate.close());

/** One thing to ask, as it stands in a Bundle and as it comes alone. */
interface Ask {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly url: string;
  readonly resource?: object;
  readonly ifMatch?: string;
  /** Of a patch, which stands in a Binary where it is an entry. */
  readonly patch?: { readonly contentType: string; readonly text: string };
}

const observation = (id: string, patient: string) => ({
  resourceType: 'Observation',
  id,
  meta: { versionId: '1' },
  status: 'final',
  subject: { reference: `Patient/${patient}` },
});
const patientOf = (id: string) => (id.startsWith('mine') ? 'mine' : 'other');

const who = fc.constantFrom('mine', 'other');
const ids = fc.constantFrom('mine-1', 'mine-2', 'other-1', 'none');
const asks: fc.Arbitrary<Ask> = fc.oneof(
  { weight: 3, arbitrary: who.map((id): Ask => ({ method: 'GET', url: `Patient/${id}` })) },
  { weight: 3, arbitrary: ids.map((id): Ask => ({ method: 'GET', url: `Observation/${id}` })) },
  {
    weight: 3,
    arbitrary: fc
      .tuple(
        fc.constantFrom('patient=', 'subject=', 'subject=Patient/', 'patient:Patient='),
        who,
        fc.subarray(['code=a%7Cb', '_sort=-date', '_count=900', '_include=Observation:subject', 'date=ge2020']),
      )
      .map(([name, patient, others]): Ask => ({
        method: 'GET',
        url: `Observation?${[`${name}${patient}`, ...others].join('&')}`,
      })),
  },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom('Observation', 'Observation?code=a', 'Condition?patient=mine')
      .map((url): Ask => ({ method: 'GET', url })),
  },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom('Patient/mine/_history', 'Patient/mine/_history/1', 'Patient/mine/$everything', 'Encounter/1', 'metadata')
      .map((url): Ask => ({ method: 'GET', url })),
  },
  { weight: 1, arbitrary: ids.map((id): Ask => ({ method: 'DELETE', url: `Observation/${id}` })) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(
        ids,
        fc.constantFrom('application/json-patch+json', 'application/xml-patch+xml', 'application/merge-patch+json'),
        fc.constantFrom('[]', '{}', '[{"op":"remove","path":"/subject"}]'),
      )
      .map(([id, contentType, text]): Ask => ({ method: 'PATCH', url: `Observation/${id}`, patch: { contentType, text } })),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(who, fc.boolean()).map(([patient, labelled]): Ask => ({
      method: 'POST',
      url: 'Observation',
      resource: {
        resourceType: 'Observation',
        ...(labelled ? { meta: { tag: [{ code: 'x' }] } } : {}),
        status: 'final',
        subject: { reference: `Patient/${patient}` },
      },
    })),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(ids, who, fc.constantFrom('W/"1"', 'W/"7"', undefined)).map(([id, patient, ifMatch]): Ask => ({
      method: 'PUT',
      url: `Observation/${id}`,
      resource: observation(id, patient),
      ...(ifMatch === undefined ? {} : { ifMatch }),
    })),
  },
);

/** What happens seldom, and must have happened. */
const change = (ifMatch?: string): Ask => ({
  method: 'PUT',
  url: 'Observation/mine-1',
  resource: observation('mine-1', 'mine'),
  ...(ifMatch === undefined ? {} : { ifMatch }),
});
const create = (more: object = {}): Ask => ({
  method: 'POST',
  url: 'Observation',
  resource: { resourceType: 'Observation', status: 'final', subject: { reference: 'Patient/mine' }, ...more },
});
const SELDOM: readonly (readonly Ask[])[] = [
  [change('W/"1"'), { method: 'GET', url: 'Patient/mine' }, create()],
  [{ method: 'PATCH', url: 'Observation/mine-2', patch: { contentType: 'application/xml-patch+xml', text: '<diff/>' } }],
  [change('W/"7"'), create({ meta: { tag: [{ code: 'x' }] } })],
  [change(), { method: 'GET', url: 'Patient/other' }],
];

/** What the server has: nothing that is asked of it changes anything, so that order makes no difference. */
function stored(method: string, url: string): { readonly status: number; readonly resource: object } {
  const [path = '', query] = url.split('?');
  const id = path.split('/').at(-1) ?? '';
  if (method === 'POST') return { status: 201, resource: {} };
  if (path === 'Observation' && query !== undefined)
    return {
      status: 200,
      resource: {
        resourceType: 'Bundle',
        type: 'searchset',
        entry: [{ fullUrl: 'http://internal.example/fhir/Observation/mine-1', resource: observation('mine-1', 'mine') }],
      },
    };
  if (id === 'none') return { status: 404, resource: { resourceType: 'OperationOutcome' } };
  return { status: 200, resource: path.startsWith('Patient') ? { resourceType: 'Patient', id } : observation(id, patientOf(id)) };
}

const server: FhirHandler = (request, response, body) => {
  const url = (request.url ?? '').slice('/fhir/'.length);
  const isWhole = request.method === 'POST' && url === '';
  const { status, resource } = isWhole ? { status: 200, resource: whole(body) } : stored(request.method ?? '', url);
  const location = status === 201 ? { location: 'http://internal.example/fhir/Observation/9/_history/1' } : {};
  response.writeHead(status, { 'content-type': 'application/fhir+json', etag: 'W/"1"', ...location });
  response.end(JSON.stringify(resource));
};

function whole(body: string): object {
  const { entry } = JSON.parse(body) as { entry: { request: { method: string; url: string } }[] };
  return {
    resourceType: 'Bundle',
    type: 'transaction-response',
    entry: entry.map(({ request }) => {
      const { status, resource } = stored(request.method, request.url);
      const location = request.method === 'POST' ? { location: 'http://internal.example/fhir/Observation/9/_history/1' } : {};
      return {
        ...(request.method === 'GET' ? { resource } : {}),
        response: { status: String(status), etag: 'W/"1"', ...location },
      };
    }),
  };
}

const bearer = () => ({ authorization: `Bearer ${gate.token({ facts: { service: 'chart' } })}` });

interface Seen {
  readonly status: number;
  /** Without the id of the request. */
  readonly said: unknown;
  readonly headers: ReadonlyMap<string, string>;
  readonly upstream: readonly string[];
}

/** Everything that reached the server, look-ups by themselves, whatever the order. */
function arrivals(isLookUp: boolean): readonly string[] {
  const conditions = ({ rawHeaders }: Arrived) =>
    rawHeaders[rawHeaders.findIndex((each) => each.toLowerCase() === 'if-match') + 1];
  return gate.arrived
    .filter((each) => each.rawHeaders.includes('x-sluis-lookup') === isLookUp)
    .map((each) => `${each.method} ${each.target} ${each.method === 'PUT' ? String(conditions(each)) : ''} ${each.body}`)
    .sort();
}

async function send(
  method: string,
  path: string,
  body: object | string | undefined,
  headers: Record<string, string> = {},
): Promise<Seen> {
  gate.arrived.length = 0;
  const all = { ...bearer(), ...(body === undefined ? {} : { 'content-type': 'application/fhir+json' }), ...headers };
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const answer = await gate.get(`/a/fhir${path}`, all, method, body === undefined ? '' : text);
  const id = answer.headers.get('x-request-id') ?? '-';
  const said: unknown = answer.body === '' ? undefined : JSON.parse(answer.body.replaceAll(id, 'ID'));
  return { status: answer.status, said, headers: answer.headers, upstream: arrivals(false) };
}
const alone = ({ method, url, resource, ifMatch, patch }: Ask) => {
  if (patch !== undefined) return send(method, `/${url}`, patch.text, { 'content-type': patch.contentType });
  // An id of a create is the server's to give, and in a Bundle the same.
  return send(method, `/${url}`, resource, ifMatch === undefined ? {} : { 'if-match': ifMatch });
};
const bundle = (type: 'batch' | 'transaction', all: readonly Ask[]) =>
  send('POST', '', {
    resourceType: 'Bundle',
    type,
    entry: all.map(({ method, url, resource, ifMatch, patch }) => ({
      ...(resource === undefined ? {} : { resource }),
      ...(patch === undefined ? {} : { resource: binary(patch) }),
      request: { method, url, ...(ifMatch === undefined ? {} : { ifMatch }) },
    })),
  });

const binary = ({ contentType, text }: { readonly contentType: string; readonly text: string }) => ({
  resourceType: 'Binary',
  contentType,
  data: Buffer.from(text).toString('base64'),
});

interface Entry {
  readonly resource?: unknown;
  readonly response: { readonly status: string; readonly outcome?: unknown; readonly location?: string; readonly etag?: string };
}

describe('an entry of any batch', () => {
  it('gets what the same request gets alone, and the server sees the same', async () => {
    const statuses = new Set<number>();
    await fc.assert(
      fc.asyncProperty(fc.array(asks, { minLength: 1, maxLength: 8 }), async (all) => {
        const each: Seen[] = [];
        for (const ask of all) each.push(await alone(ask));
        const batch = await bundle('batch', all);
        expect(batch.status).toBe(200);
        expect(batch.upstream).toEqual(each.flatMap(({ upstream }) => upstream).sort());
        const entries = (batch.said as { entry: Entry[] }).entry;
        expect(entries).toHaveLength(all.length);
        entries.forEach(({ resource, response }, index) => {
          const seen = each[index];
          statuses.add(seen?.status ?? 0);
          expect(Number(response.status.slice(0, 3))).toBe(seen?.status);
          // When it was asked for stands in a statement of capabilities.
          // A refusal names the place in the Bundle.
          if (all[index]?.url !== 'metadata' && seen?.status !== 415) expect(resource ?? response.outcome).toEqual(seen?.said);
          expect([response.location, response.etag]).toEqual([seen?.headers.get('location'), seen?.headers.get('etag')]);
        });
      }),
      { numRuns: 60, examples: SELDOM.map((all) => [[...all]]) },
    );
    // A test in which everything is denied would say little.
    expect([...statuses].sort()).toEqual(expect.arrayContaining([200, 201, 403, 412, 415, 422, 428]));
  }, 240_000);
});

describe('any transaction', () => {
  it('goes up whole or not at all: with one entry that would get nothing alone, nothing does', async () => {
    let carriedOut = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(asks, { minLength: 1, maxLength: 5 }), async (all) => {
        const each: Seen[] = [];
        for (const ask of all) each.push(await alone(ask));
        const refused = each.map(({ status }) => status).filter((status) => status >= 400);
        const transaction = await bundle('transaction', all);
        const changed = all.filter(({ method }) => ['PUT', 'PATCH', 'DELETE'].includes(method)).map(({ url }) => url);
        if (new Set(changed).size < changed.length) {
          expect([transaction.status, transaction.upstream]).toEqual([400, []]);
        } else if (refused.length > 0 || all.some(({ url }) => url === 'metadata')) {
          expect([403, ...refused]).toContain(transaction.status);
          expect(transaction.upstream).toEqual([]);
          // By the request line and the body alone: before anything is held against what is stored, but not before all entries can be read.
          const isDenied = all.some(({ url }) => url === 'Patient/other');
          if (isDenied && !refused.includes(415)) expect(transaction.status).toBe(403);
        } else {
          carriedOut += 1;
          expect([transaction.status, transaction.upstream.length]).toEqual([200, 1]);
          const entries = (transaction.said as { entry: Entry[] }).entry;
          expect(entries.map(({ response }) => Number(response.status.slice(0, 3)))).toEqual(each.map(({ status }) => status));
          entries.forEach(({ resource }, index) => {
            if (all[index]?.method === 'GET') expect(resource).toEqual(each[index]?.said);
          });
        }
      }),
      { numRuns: 100, examples: SELDOM.map((all) => [[...all]]) },
    );
    expect(carriedOut).toBeGreaterThan(0);
  }, 240_000);
});
