import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import chart from '../attack/chart/index.ts';
import { startGate, type RawAnswer, type TestGate } from '../support/gate.ts';

// Links to further pages: whoever changes one has none, and a page that is no more is told as what it is.

let gate: TestGate;
let headers: Readonly<Record<string, string>>;
let link: { readonly path: string; readonly sealed: string };
const further = { status: 200 };

beforeAll(async () => {
  gate = await startGate({ useCase: chart });
  gate.fhir = (request, response) => {
    const base = `http://127.0.0.1:${String(request.socket.localPort)}/fhir`;
    const isFirst = request.url?.includes('_getpages') === false;
    const bundle = {
      resourceType: 'Bundle',
      type: 'searchset',
      link: [{ relation: 'next', url: `${base}?_getpages=5b0bd0c1&_getpagesoffset=2` }],
    };
    response.writeHead(isFirst ? 200 : further.status, { 'content-type': 'application/fhir+json' });
    response.end(JSON.stringify(isFirst || further.status === 200 ? bundle : { resourceType: 'OperationOutcome', text: 'HAPI' }));
  };
  headers = { authorization: `Bearer ${gate.token({ facts: { service: 'chart' } })}` };
  link = await linkOf('/Observation?patient=mine');
  gate.arrived.length = 0;
});
afterAll(() => gate.close());
afterEach(() => {
  further.status = 200;
  gate.arrived.length = 0;
});

async function linkOf(search: string) {
  const { body } = await gate.get(`/a/fhir${search}`, headers);
  const { link: links } = JSON.parse(body) as { link: { relation: string; url: string }[] };
  const next = new URL(links.find(({ relation }) => relation === 'next')?.url ?? '');
  return { path: `${next.pathname}?_continuation=`, sealed: next.searchParams.get('_continuation') ?? '' };
}
const follow = (sealed: string) => gate.get(`${link.path}${sealed}`, headers);
/** Without the id of the request. */
const plain = ({ status, body, headers: said }: RawAnswer) =>
  `${String(status)} ${said.get('www-authenticate') ?? ''} ${body.replaceAll(said.get('x-request-id') ?? '-', '')}`;

/** Of base64url, in the order of their bits. */
const letters = Array.from({ length: 64 }, (_, index) =>
  Buffer.from([index << 2])
    .toString('base64url')
    .charAt(0),
);

describe('a link to a further page', () => {
  it('is followed as it is', async () => {
    expect((await follow(link.sealed)).status).toBe(200);
    expect(gate.arrived.map(({ target }) => target)).toEqual(['/fhir?_getpages=5b0bd0c1&_getpagesoffset=2']);
  });

  it('is followed in a batch as alone, is one denial there when it is none of ours, and is denied in a transaction', async () => {
    const get = (sealed: string) => ({ request: { method: 'GET', url: `Observation?_continuation=${sealed}` } });
    const send = (type: string, entry: readonly object[]) =>
      gate.get(
        '/a/fhir',
        { ...headers, 'content-type': 'application/fhir+json' },
        'POST',
        JSON.stringify({ resourceType: 'Bundle', type, entry }),
      );
    const batch = await send('batch', [get(link.sealed), get('x'.repeat(40))]);
    expect(JSON.parse(batch.body)).toMatchObject({
      entry: [{ response: { status: '200 OK' } }, { response: { status: '403 Forbidden' } }],
    });
    expect(gate.arrived.map(({ target }) => target)).toEqual(['/fhir?_getpages=5b0bd0c1&_getpagesoffset=2']);
    expect((await send('transaction', [get(link.sealed)])).status).toBe(403);
    expect(gate.arrived).toHaveLength(1);
  });

  it('of which any one byte is another is refused, each in the same words as any denial', async () => {
    const denied = plain(await gate.get('/a/fhir/Patient/other', headers));
    const bytes = Buffer.from(link.sealed, 'base64url');
    const answers = new Set<string>();
    for (let index = 0; index < bytes.length; index += 1) {
      const changed = Buffer.from(bytes);
      // One bit, another one at each place.
      changed.writeUInt8(changed.readUInt8(index) ^ (1 << (index % 8)), index);
      answers.add(plain(await follow(changed.toString('base64url'))));
    }
    expect([...answers]).toEqual([denied]);
    expect(gate.arrived).toEqual([]);
  }, 240_000);

  it('that ends at any place before its end, or begins later, is refused in the same words', async () => {
    const denied = plain(await gate.get('/a/fhir/Patient/other', headers));
    const answers = new Set<string>();
    // Nothing at all is a parameter without a value, which is no request.
    for (let length = 1; length < link.sealed.length; length += 1) {
      answers.add(plain(await follow(link.sealed.slice(0, length))));
      if (length % 16 === 1) answers.add(plain(await follow(link.sealed.slice(length))));
    }
    expect([...answers]).toEqual([denied]);
    expect((await follow('')).status).toBe(400);
    expect(gate.arrived).toEqual([]);
  }, 240_000);

  it('is one text: whatever else is put for some of it is refused', async () => {
    const letters = Array.from({ length: 64 }, (_, index) =>
      Buffer.from([index << 2])
        .toString('base64url')
        .charAt(0),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.nat(link.sealed.length - 1),
        fc.nat(3),
        fc.string({ unit: fc.constantFrom(...letters), maxLength: 3 }),
        async (at, removed, added) => {
          const changed = `${link.sealed.slice(0, at)}${added}${link.sealed.slice(at + removed)}`;
          fc.pre(changed !== link.sealed);
          expect((await follow(changed)).status).toBe(403);
        },
      ),
      { numRuns: 200 },
    );
    expect(gate.arrived).toEqual([]);
  }, 240_000);

  it('does not have two forms: the last letter has bits that a lenient decoder drops', async () => {
    const endings = new Set<number>();
    for (const code of ['a', 'ab', 'abc']) {
      const { sealed } = await linkOf(`/Observation?patient=mine&code=${code}`);
      endings.add(sealed.length % 4);
      gate.arrived.length = 0;
      const last = letters.indexOf(sealed.at(-1) ?? '');
      for (const bit of [1, 2, 4, 8])
        expect((await follow(`${sealed.slice(0, -1)}${letters[last ^ bit] ?? ''}`)).status).toBe(403);
      for (const padded of [`${sealed}=`, `${sealed}%3D`, `${sealed}%0A`]) {
        const { status } = await follow(padded);
        expect([400, 403]).toContain(status);
      }
      expect(gate.arrived).toEqual([]);
    }
    expect([...endings].sort()).toEqual([0, 2, 3]);
  });
});

describe('a page that the server has no more', () => {
  it.each([410, 404])('is the 404 of what is not there, in our words: %i', async (status) => {
    further.status = status;
    const answer = await follow(link.sealed);
    expect(answer.status).toBe(404);
    expect(JSON.parse(answer.body)).toMatchObject({ resourceType: 'OperationOutcome', issue: [{ code: 'not-found' }] });
    expect(answer.body).not.toContain('HAPI');
    const records = await gate.audited(answer.headers.get('x-request-id') ?? '');
    expect(records.at(-1)).toMatchObject({ phase: 'outcome', outcome: 'refused', status: 404, reason: 'not_at_custodian' });
  });

  it('does not end the search: it is asked again from its beginning', async () => {
    further.status = 410;
    expect((await follow(link.sealed)).status).toBe(404);
    expect((await gate.get('/a/fhir/Observation?patient=mine', headers)).status).toBe(200);
  });

  it.each([400, 500])('is a failure where the server says something else: %i', async (status) => {
    further.status = status;
    expect((await follow(link.sealed)).status).toBe(502);
  });
});

describe('the pages of a server that calls itself otherwise than it is called here', () => {
  const search = '/a/fhir/Observation?patient=mine';
  const named = 'https://named.otherwise.example:8443/r4';
  const page = (self: string | undefined, next: string | undefined) => ({
    resourceType: 'Bundle',
    type: 'searchset',
    link: Object.entries({ self, next }).flatMap(([relation, url]) => (url === undefined ? [] : [{ relation, url }])),
  });
  const nextOf = ({ body }: RawAnswer): string => {
    const { link: links } = JSON.parse(body) as ReturnType<typeof page>;
    const url = new URL(links.find(({ relation }) => relation === 'next')?.url ?? '');
    return `${url.pathname}${url.search}`;
  };
  let pages: object[];
  let serve: TestGate['fhir'];
  beforeAll(() => {
    serve = gate.fhir;
    gate.fhir = (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/fhir+json' }).end(JSON.stringify(pages.shift()));
    };
  });
  afterAll(() => {
    gate.fhir = serve;
  });

  it('are below the path that its self link shows, page after page', async () => {
    pages = [
      page(`${named}/Observation?patient=Patient%2Fmine`, `${named}?_getpages=1`),
      page(`${named}?_getpages=1`, `${named}/?_getpages=2`),
      page(`${named}/?_getpages=2`, `${named}/Observation?_offset=3`),
      page(undefined, undefined),
    ];
    let answer = await gate.get(search, headers);
    for (let count = 0; count < 3; count += 1) answer = await gate.get(nextOf(answer), headers);
    expect(answer.status).toBe(200);
    expect(gate.arrived.map(({ target }) => target).slice(1)).toEqual([
      '/fhir?_getpages=1',
      '/fhir?_getpages=2',
      '/fhir/Observation?_offset=3',
    ]);
  });

  it.each<[string, string | undefined, string]>([
    ['beside that path', `${named}/Observation?patient=Patient%2Fmine`, 'https://named.otherwise.example:8443/stu3?_getpages=1'],
    ['at a path of which it shows none', undefined, `${named}?_getpages=1`],
    ['where its self link is another request', `${named}/Patient?patient=Patient%2Fmine`, `${named}?_getpages=1`],
    ['with a path that begins alike', `${named}/Observation?patient=Patient%2Fmine`, `${named}x?_getpages=1`],
    ['below it by a way that nobody can read', `${named}/Observation?patient=Patient%2Fmine`, `${named}/../x?_getpages=1`],
  ])('are a failure %s: a list that ends too early looks whole', async (_where, self, next) => {
    pages = [page(self, next)];
    expect((await gate.get(search, headers)).status).toBe(502);
  });
});
