import { connect } from 'node:net';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import chart from '../attack/chart/index.ts';
import { defineUseCase, permitByRule } from '../../src/usecase/index.ts';
import { startGate, type FhirHandler, type TestGate } from '../support/gate.ts';
import { until } from '../support/until.ts';

// How a batch goes on: reads side by side, writes one by one, and nothing for a caller that has gone.

let gate: TestGate;
beforeAll(async () => {
  gate = await startGate({ useCase: chart });
});
afterAll(() => gate.close());
afterEach(() => {
  gate.fhir = undefined;
  gate.arrived.length = 0;
});

interface Answer {
  readonly entry: readonly { readonly resource?: { readonly id?: string }; readonly response: { readonly status: string } }[];
}

const get = (url: string) => ({ request: { method: 'GET', url } });
const patient = get('Patient/mine');
const create = {
  resource: { resourceType: 'Observation', status: 'final', subject: { reference: 'Patient/mine' } },
  request: { method: 'POST', url: 'Observation' },
};
const batch = (entry: readonly object[]) => JSON.stringify({ resourceType: 'Bundle', type: 'batch', entry });
const headersOf = () => ({
  authorization: `Bearer ${gate.token({ facts: { service: 'chart' } })}`,
  'content-type': 'application/fhir+json',
});
async function post(entry: readonly object[]) {
  const answer = await gate.get('/a/fhir', headersOf(), 'POST', batch(entry));
  return { ...answer, json: JSON.parse(answer.body) as Answer };
}

/**
 * A server that counts how many it has in hand. It answers none of the first few before all of these have arrived, and none at all before `held`
 * is over.
 */
function slow(
  { first = 1, held }: { readonly first?: number; readonly held?: Promise<unknown> },
  body: (target: string) => object = () => ({ resourceType: 'Patient', id: 'mine' }),
) {
  const seen = { now: 0, most: 0, arrived: 0, log: [] as string[] };
  const together = Promise.withResolvers<undefined>();
  const handler: FhirHandler = (request, response) => {
    seen.now += 1;
    seen.arrived += 1;
    if (seen.arrived === first) together.resolve(undefined);
    seen.most = Math.max(seen.most, seen.now);
    seen.log.push(`> ${request.method ?? ''}`);
    const wait = seen.arrived <= first ? together.promise : undefined;
    void Promise.all([wait, held]).then(async () => {
      // More would come in this time, if more could.
      await sleep(20);
      seen.now -= 1;
      seen.log.push(`< ${request.method ?? ''}`);
      const location = request.method === 'POST' ? { location: 'http://named.otherwise/fhir/Observation/9/_history/1' } : {};
      response.writeHead(request.method === 'POST' ? 201 : 200, { 'content-type': 'application/fhir+json', ...location });
      response.end(JSON.stringify(body(request.url ?? '')));
    });
  };
  gate.fhir = handler;
  return seen;
}

/** Sends a batch over a socket of its own and leaves once `when` says so; calls `left` when the gate can know. @returns the records of the batch, when all are closed */
async function leaveAfter(entry: readonly object[], when: () => boolean, left: () => void = () => undefined) {
  const body = batch(entry);
  const lines = Object.entries({ host: 'gate.example', ...headersOf(), 'content-length': String(Buffer.byteLength(body)) });
  const before = (await gate.allAudited()).length;
  const socket = connect(gate.port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write(`POST /a/fhir HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`);
  await until(when);
  socket.resetAndDestroy();
  // The gate is in this process: in each turn of the event loop it reads what there is.
  for (let turns = 0; turns < 20; turns += 1) await turn();
  left();
  const records = async () => (await gate.allAudited()).slice(before);
  await until(async () => (await records()).some(({ phase, part }) => phase === 'outcome' && part === undefined));
  return records();
}

describe('reads of a batch', () => {
  it('that follow one another go up four at a time, and are answered in the order of the question', async () => {
    let count = 0;
    const seen = slow({ first: 4 }, (target) => ({ resourceType: 'Patient', id: target.split('/').at(-1), n: (count += 1) }));
    const answer = await post([...Array.from({ length: 7 }, () => patient), get('Patient/other'), patient]);
    expect(seen.most).toBe(4);
    expect(answer.json.entry.map(({ response }) => response.status.slice(0, 3))).toEqual([
      ...Array.from({ length: 7 }, () => '200'),
      '403',
      '200',
    ]);
  });

  it('do not overtake a write, nor does a write overtake them', async () => {
    const seen = slow({ first: 2 });
    await post([patient, patient, create, create, patient]);
    expect(seen.log).toEqual([
      ...['> GET', '> GET', '< GET', '< GET'],
      ...['> POST', '< POST', '> POST', '< POST'],
      ...['> GET', '< GET'],
    ]);
  });

  it('are together no more than one answer may be: what does not fit fails alone, and every entry has its record', async () => {
    gate.fhir = (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/fhir+json' });
      response.end(JSON.stringify({ resourceType: 'Patient', id: 'mine', note: 'x'.repeat(400_000) }));
    };
    expect((await post([patient, patient])).status).toBe(200);
    const answer = await post(Array.from({ length: 12 }, () => patient));
    const statuses = answer.json.entry.map(({ response }) => response.status);
    expect([answer.status, statuses.length]).toEqual([200, 12]);
    expect(new Set(statuses)).toEqual(new Set(['200 OK', '502 Bad Gateway']));
    const records = await gate.audited(answer.headers.get('x-request-id') ?? '');
    const ends = records.filter(({ phase }) => phase === 'outcome').map(({ part }) => part ?? 'whole');
    expect(ends.sort()).toEqual([...Array.from({ length: 12 }, (_, index) => `entry-${String(index + 1)}`), 'whole'].sort());
  });
});

describe('a caller that has gone', () => {
  it('gets nothing more fetched or written, and every entry and the whole have their record', async () => {
    const over = Promise.withResolvers<undefined>();
    slow({ held: over.promise });
    const entries = [patient, patient, patient, patient, patient, create, patient];
    const records = await leaveAfter(entries, () => gate.arrived.length >= 4);
    over.resolve(undefined);
    for (let turns = 0; turns < 20; turns += 1) await turn();
    expect(gate.arrived.map(({ method }) => method)).toEqual(['GET', 'GET', 'GET', 'GET']);
    const ends = records.filter(({ phase }) => phase === 'outcome');
    expect(ends.map(({ part }) => part ?? 'whole').sort()).toEqual([
      ...entries.map((_, index) => `entry-${String(index + 1)}`),
      'whole',
    ]);
    for (const end of ends) expect(end).toMatchObject({ outcome: 'failed', status: 0, reason: 'caller_gone' });
  });

  it('during a write has that write carried out and recorded, and no other', async () => {
    const over = Promise.withResolvers<undefined>();
    slow({ held: over.promise });
    const records = await leaveAfter(
      [create, create],
      () => gate.arrived.length === 1,
      () => over.resolve(undefined),
    );
    expect(gate.arrived.map(({ method }) => method)).toEqual(['POST']);
    const ends = new Map(records.filter(({ phase }) => phase === 'outcome').map((each) => [each.part ?? 'whole', each]));
    expect(ends.get('entry-1')).toMatchObject({ outcome: 'permitted', status: 201 });
    expect(ends.get('entry-2')).toMatchObject({ outcome: 'failed', status: 0, reason: 'caller_gone' });
    expect(ends.get('whole')).toMatchObject({ outcome: 'failed', status: 0, reason: 'caller_gone' });
  });

  it('is not one that waits', async () => {
    slow({});
    expect((await post([patient, patient, create])).json.entry).toHaveLength(3);
  });
});

describe('a Binary in a batch', () => {
  let files: TestGate;
  beforeAll(async () => {
    files = await startGate({
      useCase: defineUseCase({
        id: 'files',
        title: 'Files',
        parseConfig: () => ({}),
        roles: [
          {
            id: 'reader',
            purpose: 'files',
            scopes: [],
            fhirVersion: 'R4',
            rules: [
              { id: 'binary', interaction: 'read', types: ['Binary'] },
              { id: 'bundle', interaction: 'bundle', types: [] },
            ],
          },
        ],
        decide: permitByRule,
      }),
    });
  });
  afterAll(() => files.close());

  it('that breaks off, or is no JSON, concerns no other entry', async () => {
    files.fhir = ({ url }, response) => {
      response.writeHead(200, { 'content-type': 'application/fhir+json' });
      if (url?.endsWith('/broken') === true) response.write('{"resourceType":', () => setTimeout(() => response.destroy(), 10));
      else response.end(url?.endsWith('/twice') === true ? '{"id":"1","id":"2"}' : '{"resourceType":"Binary","id":"whole"}');
    };
    const answer = await files.get(
      '/a/fhir',
      { authorization: `Bearer ${files.token({ facts: { service: 'files' } })}`, 'content-type': 'application/fhir+json' },
      'POST',
      batch(['Binary/whole', 'Binary/broken', 'Binary/twice', 'Binary/whole'].map(get)),
    );
    expect(answer.status).toBe(200);
    const { entry } = JSON.parse(answer.body) as Answer;
    expect(entry.map(({ response }) => response.status)).toEqual(['200 OK', '502 Bad Gateway', '502 Bad Gateway', '200 OK']);
    expect(entry.map(({ resource }) => resource?.id)).toEqual(['whole', undefined, undefined, 'whole']);
    const records = await files.audited(answer.headers.get('x-request-id') ?? '');
    expect(records.filter(({ phase }) => phase === 'outcome')).toHaveLength(5);
    expect(records.find(({ phase, part }) => phase === 'outcome' && part === 'entry-2')).toMatchObject({ outcome: 'failed' });
  });
});
