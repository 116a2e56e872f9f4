import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { defineUseCase, permitByRule } from '../../src/usecase/index.ts';
import { startGate, type FhirHandler, type RawAnswer, type TestGate } from '../support/gate.ts';

// `document: assemble`: the gate makes `$document` from the Composition and what the caller may read of what it names.

const dossier = defineUseCase({
  id: 'dossier',
  title: 'Dossier',
  parseConfig: () => ({}),
  roles: [
    {
      id: 'reader',
      purpose: 'dossier',
      scopes: [],
      fhirVersion: 'R4',
      rules: [
        {
          id: 'document',
          interaction: 'operation-instance',
          types: ['Composition'],
          operation: 'document',
          instance: ['1', 'gone'],
        },
        { id: 'patient', interaction: 'read', types: ['Patient'], obligations: [{ kind: 'redact', elements: ['Patient.name'] }] },
        {
          id: 'observation',
          interaction: 'read',
          types: ['Observation'],
          patient: { from: 'look-up', element: 'subject', is: ['Patient/mine'] },
        },
        { id: 'binary', interaction: 'read', types: ['Binary'] },
      ],
    },
  ],
  decide: permitByRule,
});

type Store = ReadonlyMap<string, object>;
let assembling: TestGate;
let passing: TestGate;
beforeAll(async () => {
  assembling = await startGate({ useCase: dossier, document: 'assemble' });
  passing = await startGate({ useCase: dossier });
});
afterAll(async () => {
  await assembling.close();
  await passing.close();
});
afterEach(() => {
  assembling.arrived.length = 0;
});

const observation = (id: string, patient = 'mine') => ({
  resourceType: 'Observation',
  id,
  subject: { reference: `Patient/${patient}` },
});
const composition = (section: readonly object[], more: object = {}) => ({
  resourceType: 'Composition',
  id: '1',
  subject: { reference: 'Patient/mine' },
  section,
  ...more,
});
const naming = (...references: readonly string[]) => ({ entry: references.map((reference) => ({ reference })) });
const stored = (...resources: readonly { readonly resourceType: string; readonly id: string }[]): Store =>
  new Map(
    [{ resourceType: 'Patient', id: 'mine', name: [{ text: 'Secret' }] }, ...resources].map((each) => [
      `/fhir/${each.resourceType}/${each.id}`,
      each,
    ]),
  );
const serverOf =
  (store: Store): FhirHandler =>
  (request, response) => {
    const found = store.get(request.url ?? '');
    response.writeHead(found === undefined ? 404 : 200, { 'content-type': 'application/fhir+json', etag: 'W/"1"' });
    response.end(JSON.stringify(found ?? { resourceType: 'OperationOutcome', issue: [] }));
  };
function ask(gate: TestGate, id = '1', query = '', method = 'GET'): Promise<RawAnswer> {
  const authorization = `Bearer ${gate.token({ facts: { service: 'dossier' } })}`;
  return gate.get(`/a/fhir/Composition/${id}/$document${query}`, { authorization }, method);
}
interface Document {
  readonly type: string;
  readonly timestamp?: string;
  readonly identifier: { readonly value: string };
  readonly entry: readonly { readonly fullUrl: string; readonly resource: { readonly name?: object } }[];
}
const parsed = ({ body }: RawAnswer): Document => JSON.parse(body) as Document;
const BASE = 'https://gate.example/a/fhir/';
const namesOf = (answer: RawAnswer) => parsed(answer).entry.map(({ fullUrl }) => fullUrl.slice(BASE.length));

describe('an assembled document', () => {
  it('has the Composition first and, once each, what the caller may read of what it names, sections at every depth', async () => {
    const own = `http://127.0.0.1:${String(assembling.port)}/fhir/Observation/foreign`;
    assembling.fhir = serverOf(
      stored(
        composition([
          { ...naming('Observation/1', 'Observation/other'), section: [{ section: [naming('Observation/2', 'Observation/1')] }] },
          naming(
            '#contained',
            'urn:uuid:0c6f2b30-5b1a-4b73-9e1d-2f7d4f4c8f11',
            own,
            'Observation/absent',
            'Binary/1',
            'Condition/1',
          ),
        ]),
        observation('1'),
        observation('2'),
        observation('other', 'other'),
        { resourceType: 'Condition', id: '1' },
        { resourceType: 'Binary', id: '1' },
      ),
    );
    const answer = await ask(assembling);
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/fhir+json; charset=utf-8']);
    expect(namesOf(answer)).toEqual(['Composition/1', 'Patient/mine', 'Observation/1', 'Observation/2']);
    const { type, timestamp, identifier } = parsed(answer);
    expect([type, timestamp === undefined, /^urn:uuid:/.test(identifier.value)]).toEqual(['document', false, true]);
    // What is redacted in a read is redacted here.
    expect(answer.body).not.toContain('Secret');
    // Nothing but look-ups went up, and none of what no rule names.
    expect(assembling.arrived.every(({ rawHeaders }) => rawHeaders.includes('x-sluis-lookup'))).toBe(true);
    expect(assembling.arrived.map(({ target }) => target)).not.toContain('/fhir/Condition/1');
    expect(assembling.arrived.map(({ target }) => target)).not.toContain('/fhir/Binary/1');
  });

  it('has an audit intent, an event for each look-up and an outcome', async () => {
    assembling.fhir = serverOf(stored(composition([])));
    const { headers } = await ask(assembling);
    const phases = (await assembling.audited(headers.get('x-request-id') ?? '')).map(({ phase }) => phase);
    expect(phases).toEqual(['intent', 'event', 'event', 'outcome']);
  });

  it('of HEAD has the headers only, and of what is not there is 404', async () => {
    assembling.fhir = serverOf(stored(composition([])));
    expect(await ask(assembling, '1', '', 'HEAD')).toMatchObject({ status: 200, body: '' });
    expect((await ask(assembling, 'gone')).status).toBe(404);
  });

  it('is denied for another Composition, and nothing is read', async () => {
    assembling.fhir = serverOf(stored({ ...composition([]), id: '2' }));
    expect((await ask(assembling, '2')).status).toBe(403);
    expect((await ask(assembling, '1', '?persist=true')).status).toBe(403);
    expect(assembling.arrived).toEqual([]);
  });

  it('does not leave when one of its resources cannot be read, or when it names too many', async () => {
    const store = stored(composition([naming('Observation/1', 'Observation/2')]), observation('1'));
    assembling.fhir = (request, response, body) => {
      if (request.url === '/fhir/Observation/2') response.writeHead(500).end();
      else serverOf(store)(request, response, body);
    };
    // The look-up of the decision fails: nobody knows whether it belongs to what would look whole.
    expect((await ask(assembling)).status).toBe(502);
    assembling.fhir = (request, response, body) => {
      if (request.url === '/fhir/Patient/mine') response.writeHead(500).end();
      else serverOf(store)(request, response, body);
    };
    expect((await ask(assembling)).status).toBe(502);
    const many = Array.from({ length: 501 }, (_, index) => `Observation/${String(index)}`);
    assembling.fhir = serverOf(stored(composition([naming(...many)])));
    expect((await ask(assembling)).status).toBe(502);
  });

  it('holds, for any sections, exactly what is permitted, in the order of the references, however often it is asked', async () => {
    const id = fc.constantFrom('1', '2', '3', '4', 'other-1', 'other-2', 'absent');
    const section = fc.letrec<{ section: object }>((tie) => ({
      section: fc.record({
        entry: fc.array(
          id.map((each) => ({ reference: `Observation/${each}` })),
          { maxLength: 3 },
        ),
        section: fc.oneof({ depthSize: 'small' }, fc.constant([]), fc.array(tie('section'), { maxLength: 2 })),
      }),
    })).section;
    const all = ['1', '2', '3', '4', 'other-1', 'other-2'].map((each) =>
      observation(each, each.startsWith('other') ? 'other' : 'mine'),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(section, { maxLength: 3 }), async (sections) => {
        const found = JSON.stringify(sections).match(/Observation\/[1-4](?=")/g) ?? [];
        assembling.fhir = serverOf(stored(composition(sections), ...all));
        const expected = ['Composition/1', 'Patient/mine', ...new Set(found)];
        expect(namesOf(await ask(assembling))).toEqual(expected);
        expect(namesOf(await ask(assembling))).toEqual(expected);
      }),
      { numRuns: 20 },
    );
  });
});

describe('a document of the custodian’s server', () => {
  const answering =
    (resource: object): FhirHandler =>
    (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/fhir+json' });
      response.end(JSON.stringify(resource));
    };
  const bundle = (...entry: readonly object[]) => ({ resourceType: 'Bundle', type: 'document', entry });

  it('leaves when its first entry is the Composition that was asked for', async () => {
    passing.fhir = answering(bundle({ resource: composition([]) }));
    expect((await ask(passing)).status).toBe(200);
  });

  it.each([
    ['another Composition', bundle({ resource: { resourceType: 'Composition', id: '2' } })],
    ['something else first', bundle({ resource: { resourceType: 'Patient', id: '1' } }, { resource: composition([]) })],
    ['no document', { resourceType: 'Bundle', type: 'searchset', entry: [{ resource: composition([]) }] }],
    ['the Composition alone', composition([])],
  ])('does not leave when it is %s', async (_what, resource) => {
    passing.fhir = answering(resource);
    expect((await ask(passing)).status).toBe(502);
  });

  it('without entries is of something that does not exist', async () => {
    passing.fhir = answering(bundle());
    expect((await ask(passing)).status).toBe(404);
  });
});
