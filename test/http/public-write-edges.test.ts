import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { defineUseCase, permitByRule, type Rule } from '../../src/usecase/index.ts';
import { startGate, type TestGate } from '../support/gate.ts';
import { createObservationServer, type ObservationServer } from '../support/observations.ts';

// Writes of callers who see less than they may write, references that only a server would resolve, and operations that end otherwise than with 200.

const IN_STORE = { from: 'look-up', element: 'subject', is: ['Patient/mine'] } as const;
const rules: readonly Rule[] = [
  {
    id: 'read',
    interaction: 'read',
    types: ['Observation'],
    instance: ['mine-1'],
    obligations: [{ kind: 'answer-locally', answer: 'stub' }],
  },
  { id: 'create', interaction: 'create', types: ['Observation'] },
  {
    id: 'update',
    interaction: 'update',
    types: ['Observation'],
    patient: IN_STORE,
    obligations: [{ kind: 'guard-changes', changed: ['status'] }],
  },
  {
    id: 'patch',
    interaction: 'patch',
    types: ['Observation'],
    patient: IN_STORE,
    obligations: [{ kind: 'guard-changes', changed: ['status', 'meta.tag'] }],
  },
  {
    id: 'seal',
    interaction: 'operation-instance',
    types: ['Observation'],
    operation: 'seal',
    methods: ['POST'],
    patient: IN_STORE,
  },
];
const edges = defineUseCase({
  id: 'edges',
  title: 'Edges of writes',
  roles: [{ id: 'writer', purpose: 'edges', scopes: [], fhirVersion: 'R4', rules }],
  parseConfig: (settings) => settings,
  decide: permitByRule,
  answers: [{ name: 'stub', answer: () => Promise.resolve({ resourceType: 'Observation', id: 'mine-1' }) }],
});

let gate: TestGate;
let server: ObservationServer;
beforeAll(async () => {
  gate = await startGate({ useCase: edges });
});
afterAll(() => gate.close());
beforeEach(() => {
  server = createObservationServer();
  gate.fhir = server.handler;
  gate.arrived.length = 0;
  server.put('mine-1', stored, '3');
});

const stored = { status: 'preliminary', subject: { reference: 'Patient/mine' }, valueInteger: 7, identifier: [{ value: 'x' }] };
const send = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
  gate.get(
    `/a/fhir${path}`,
    {
      authorization: `Bearer ${gate.token({ facts: { service: 'edges' } })}`,
      ...(body === undefined
        ? {}
        : { 'content-type': method === 'PATCH' ? 'application/json-patch+json' : 'application/fhir+json' }),
      ...headers,
    },
    method,
    body === undefined ? undefined : JSON.stringify(body),
  );
const issue = ({ body }: { readonly body: string }) =>
  (JSON.parse(body) as { issue: { details?: { text?: string }; expression?: string[] }[] }).issue[0];
const writes = () => gate.arrived.filter(({ method }) => method !== 'GET').map(({ method, target }) => `${method} ${target}`);

describe('who may write and not read', () => {
  it('is not told what is stored: neither what was written, nor which of its guesses are wrong', async () => {
    const update = (more: object) =>
      send('PUT', '/Observation/mine-1', { resourceType: 'Observation', id: 'mine-1', ...stored, ...more }, PREFER);
    const written = await update({ status: 'final' });
    // The answer of the use case stands in the custodian's place: it is no right to see what the custodian has.
    expect([written.status, written.body]).toEqual([200, '']);
    const guessed = await update({ status: 'final', valueInteger: 8 });
    expect([guessed.status, issue(guessed)?.details?.text, issue(guessed)?.expression]).toEqual([
      422,
      'element_not_changeable',
      undefined,
    ]);
  });

  it('learns nothing from a patch that sets what it may not change to what it may be (R2)', async () => {
    const answers = [];
    for (const value of [7, 8]) {
      const answer = await send('PATCH', '/Observation/mine-1', [{ op: 'add', path: '/valueInteger', value }]);
      answers.push([answer.status, issue(answer)?.expression]);
    }
    expect(answers).toEqual([
      [422, ['Observation.valueInteger']],
      [422, ['Observation.valueInteger']],
    ]);
    for (const path of ['/meta', '/meta/security', '/_valueInteger', '/absent'])
      expect([path, (await send('PATCH', '/Observation/mine-1', [{ op: 'remove', path }])).status]).toEqual([path, 403]);
    expect((await send('PATCH', '/Observation/mine-1', [{ op: 'add', path: '/status', value: 'final' }])).status).toBe(200);
  });
});

const PREFER = { prefer: 'return=representation' };

describe('a reference that a server would resolve', () => {
  it.each([
    'Patient?identifier=999990020',
    'Observation?_id=other-1',
    'https://gate.example/a/fhir/Observation/other-1',
    'Observation/other-1/',
    'observation/other-1',
  ])('is denied where the caller may not read what it may name: %s (C13)', async (reference) => {
    const body = { resourceType: 'Observation', status: 'final', hasMember: [{ reference }] };
    expect((await send('POST', '/Observation', body)).status).toBe(403);
    const entry = [{ resource: body, request: { method: 'POST', url: 'Observation' } }];
    expect((await send('POST', '', { resourceType: 'Bundle', type: 'transaction', entry })).status).toBe(403);
    expect(gate.arrived).toEqual([]);
  });

  it('is denied below the address of the server itself', async () => {
    let base = '';
    gate.fhir = (request, response, body) => {
      base = `http://127.0.0.1:${String(request.socket.localPort)}/fhir`;
      server.handler(request, response, body);
    };
    const referring = (reference: string) => ({ resourceType: 'Observation', status: 'final', hasMember: [{ reference }] });
    expect((await send('POST', '/Observation', referring('Practitioner/1'))).status).toBe(201);
    expect((await send('POST', '/Observation', referring(`${base}/Observation/other-1`))).status).toBe(403);
  });

  it.each(['Practitioner/1', 'Practitioner?identifier=1', 'http://elsewhere.example/fhir/Observation/1', '#c', 'urn:oid:1.2.3'])(
    'may be of nobody’s, or of elsewhere: %s',
    async (reference) => {
      const body = { resourceType: 'Observation', status: 'final', performer: [{ reference }] };
      expect((await send('POST', '/Observation', body)).status).toBe(201);
    },
  );
});

describe('an operation that was carried out', () => {
  const seal = async (status: number, body = '') => {
    gate.fhir = (request, response, sent) => {
      if (request.method !== 'POST') server.handler(request, response, sent);
      else response.writeHead(status, { 'content-type': 'application/fhir+json' }).end(body);
    };
    return send('POST', '/Observation/mine-1/$seal');
  };

  it('is done where the server has nothing to say', async () => {
    expect((await seal(204)).status).toBe(204);
    expect(writes()).toEqual(['POST /fhir/Observation/mine-1/$seal']);
  });

  it.each([
    ['in another format', 'text/html', 'x'],
    ['that is too large', 'application/fhir+json', 'x'.repeat(1_100_000)],
  ])('lets go of an answer %s, whose end nobody waits for', async (_what, type, beginning) => {
    const gone = new Promise<void>((resolve) => {
      gate.fhir = (request, response, sent) => {
        if (request.method !== 'POST') server.handler(request, response, sent);
        else {
          response.writeHead(200, { 'content-type': type }).write(beginning);
          // It goes on for ever: no time that the server has comes to an end.
          const more = setInterval(() => response.write('x'), 50);
          response.on('close', () => {
            clearInterval(more);
            resolve();
          });
        }
      };
    });
    expect((await send('POST', '/Observation/mine-1/$seal')).status).toBe(502);
    await gone;
  });

  it('is told as a conflict where the state does not allow it', async () => {
    for (const status of [409, 412]) expect((await seal(status, '{}')).status).toBe(status);
  });

  it('is no denial where its answer does not show whose it is: it has happened, and what it answered is withheld', async () => {
    const before = await gate.alarms('answer_unproved');
    const answer = await seal(200, '{"resourceType":"Observation","id":"x","subject":{"reference":"Patient/other"}}');
    expect(answer.status).toBe(502);
    expect(await gate.alarms('answer_unproved')).toBe(before + 1);
    expect((await seal(200, '{"resourceType":"Observation","id":"x","subject":{"reference":"Patient/mine"}}')).status).toBe(200);
  });
});
