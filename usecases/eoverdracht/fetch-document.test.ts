import { beforeEach, describe, expect, it } from '@jest/globals';
import { GatewayError, type JsonObject } from 'sluis/usecase';
import { createSenderClient } from './fetch-client.ts';
import { fetchDocument } from './fetch-document.ts';
import { BASE, createInboxWorld, failure, fhirReply, outcome, type InboxWorld } from './inbox-test-support.ts';
import { objects, object, text } from './json.ts';
import { SENDER } from './test-support.ts';

let world: InboxWorld;
const SUBJECT = { reference: 'Patient/p1' };
const RESOURCES: readonly JsonObject[] = [
  {
    resourceType: 'Composition',
    id: 'nh',
    subject: SUBJECT,
    author: [{ reference: 'Practitioner/pr1' }],
    custodian: { reference: `${BASE}/Organization/o1` },
    attester: [{ mode: ['legal'], party: { reference: '/Practitioner/pr2' } }],
    extension: [{ url: 'urn:x', valueReference: { reference: 'Goal/g1' } }],
    section: [
      { section: [{ entry: [{ reference: 'Condition/c1' }, { reference: 'Coverage/v1/_history/2' }] }] },
      { entry: [{ reference: 'DocumentReference/d1' }] },
    ],
  },
  { resourceType: 'Patient', id: 'p1' },
  { resourceType: 'Practitioner', id: 'pr1' },
  { resourceType: 'Practitioner', id: 'pr2' },
  { resourceType: 'Organization', id: 'o1' },
  { resourceType: 'Goal', id: 'g1', subject: SUBJECT },
  { resourceType: 'Condition', id: 'c1', subject: SUBJECT, asserter: { reference: 'Practitioner/never-granted' } },
  { resourceType: 'Coverage', id: 'v1', beneficiary: SUBJECT, payor: [{ reference: 'Organization/payer' }] },
  { resourceType: 'Organization', id: 'payer' },
  { resourceType: 'DocumentReference', id: 'd1', subject: SUBJECT, content: [{ attachment: { url: 'Binary/b1' } }] },
];
const WHOLE = RESOURCES.map((each) => key(each));

function key(resource: JsonObject | undefined): string {
  return `${text(resource, 'resourceType') ?? ''}/${text(resource, 'id') ?? ''}`;
}

function document(resources: readonly JsonObject[]): JsonObject {
  return {
    resourceType: 'Bundle',
    type: 'document',
    identifier: { system: 'urn:s', value: 'doc-1' },
    entry: resources.map((resource) => ({ fullUrl: `${BASE}/${key(resource)}`, resource })),
  };
}

function offersDocument(resources: readonly JsonObject[]): void {
  world.answer = (request) => (request.url.endsWith('$document') ? fhirReply(200, document(resources)) : undefined);
}

const fetched = (): Promise<JsonObject> =>
  fetchDocument(world.services, createSenderClient(world.services, SENDER, {}), 'nursingHandoff', 'Composition/nh', world.config);
const entries = (bundle: JsonObject): string[] => objects(bundle, 'entry').map((entry) => key(object(entry, 'resource')));
const reads = () =>
  world.requests.filter((each) => !each.url.endsWith('$document')).map((each) => each.url.slice(BASE.length + 1));

beforeEach(() => {
  world = createInboxWorld();
  for (const resource of RESOURCES) world.write(resource);
  world.grant({ ...Object.fromEntries(WHOLE.map((each) => [`/${each}`, ['read']])), '/Composition/nh': ['read', 'document'] });
});

describe('the hand-off', () => {
  it('is what $document gave, when that is whole: one request, the Composition first', async () => {
    offersDocument(RESOURCES);
    const bundle = await fetched();
    expect(bundle).toMatchObject({ resourceType: 'Bundle', type: 'document', identifier: { value: 'doc-1' } });
    expect(entries(bundle)[0]).toBe('Composition/nh');
    expect(entries(bundle).sort()).toEqual([...WHOLE].sort());
    expect(reads()).toEqual([]);
    expect([...world.tokens.values()]).toMatchObject([{ withUser: true, credentials: [{}] }]);
  });

  it.each(WHOLE.slice(1))('is completed when the Bundle lacks %s', async (missing) => {
    offersDocument(RESOURCES.filter((each) => key(each) !== missing));
    expect(entries(await fetched()).sort()).toEqual([...WHOLE].sort());
    expect(reads()).toEqual([missing]);
  });

  it.each(WHOLE.slice(1))('is an error when %s cannot be read', async (missing) => {
    offersDocument(RESOURCES.filter((each) => key(each) !== missing));
    world.remote.delete(missing);
    const error = await failure(fetched());
    expect([error.status, error.options.reason]).toEqual([502, 'handoff_incomplete']);
    expect(error.options.fields).toEqual([{ field: missing, problem: 'the sender answered 404' }]);
  });

  it.each([
    ['501', () => fhirReply(501, outcome('not_supported'))],
    ['403', () => fhirReply(403, outcome('access_denied'))],
    ['an empty Bundle', () => fhirReply(200, document([]))],
    ['a searchset', () => fhirReply(200, { ...document(RESOURCES), type: 'searchset' })],
    [
      'two things of one name',
      () => fhirReply(200, document([...RESOURCES, { resourceType: 'Patient', id: 'p1', gender: 'male' }])),
    ],
    ['another Composition', () => fhirReply(200, document([{ resourceType: 'Composition', id: 'else', subject: SUBJECT }]))],
    ['nothing in time', () => Promise.reject(new GatewayError('upstream_timeout', 'late'))],
  ])('is read one by one when $document answers %s', async (_name, answer) => {
    world.answer = (request) => (request.url.endsWith('$document') ? answer() : undefined);
    expect(entries(await fetched()).sort()).toEqual([...WHOLE].sort());
    expect(reads().sort()).toEqual([...WHOLE].sort());
  });

  it('does not ask for $document where only reading was granted', async () => {
    world.wallet.length = 0;
    world.grant(Object.fromEntries(WHOLE.map((each) => [`/${each}`, ['read']])));
    expect(entries(await fetched())).toHaveLength(WHOLE.length);
    expect(world.requests.some((each) => each.url.endsWith('$document'))).toBe(false);
  });

  it('has nothing that the Composition does not lead to, and no Binary (check 62)', async () => {
    offersDocument([
      ...RESOURCES,
      { resourceType: 'Observation', id: 'stray', subject: SUBJECT },
      { resourceType: 'Binary', id: 'b1' },
    ]);
    expect(entries(await fetched()).sort()).toEqual([...WHOLE].sort());
    expect(reads()).toEqual([]);
  });

  it('is an error when it holds another patient (check 88)', async () => {
    const other = { resourceType: 'Condition', id: 'c1', subject: { reference: 'Patient/p2' } };
    offersDocument([...RESOURCES.filter((each) => key(each) !== 'Condition/c1'), other]);
    expect((await failure(fetched())).options.reason).toBe('mixed_patients');
    world.write(other);
    world.answer = () => undefined;
    expect((await failure(fetched())).options.reason).toBe('mixed_patients');
  });

  it('never follows a reference to another server: it is missing', async () => {
    const [composition = {}, ...rest] = RESOURCES;
    offersDocument([{ ...composition, author: [{ reference: 'https://evil/Practitioner/1' }] }, ...rest]);
    const error = await failure(fetched());
    expect(error.options).toMatchObject({ reason: 'handoff_incomplete', fields: [{ field: 'https://evil/Practitioner/1' }] });
    expect(world.requests.every((each) => each.url.startsWith(`${BASE}/`))).toBe(true);
  });

  it('says that the sender refuses, and what for', async () => {
    world.answer = () => fhirReply(403, outcome('assurance_level_too_low'));
    const error = await failure(fetched());
    expect([error.status, error.options.reason]).toEqual([403, 'assurance_level_too_low']);
  });

  it('reads at most four at a time, and no more than the settings allow', async () => {
    let now = 0;
    let most = 0;
    world.answer = async (request) => {
      if (request.url.endsWith('$document')) return fhirReply(501, outcome('x'));
      now += 1;
      most = Math.max(most, now);
      await new Promise((resolve) => setImmediate(resolve));
      now -= 1;
      return undefined;
    };
    await fetched();
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThanOrEqual(4);
    world = createInboxWorld({ settings: { collect: { maxResources: 3 } } });
    for (const resource of RESOURCES) world.write(resource);
    world.grant({ ...Object.fromEntries(WHOLE.map((each) => [`/${each}`, ['read']])), '/Composition/nh': ['read', 'document'] });
    expect((await failure(fetched())).options.reason).toBe('document_too_large');
  });

  it('keeps the precision of a decimal', async () => {
    const body = `{"resourceType":"Goal","id":"g1","subject":{"reference":"Patient/p1"},"value":1.50}`;
    offersDocument(RESOURCES.filter((each) => key(each) !== 'Goal/g1'));
    const before = world.answer;
    world.answer = (request) =>
      request.url.endsWith('Goal/g1')
        ? { status: 200, headers: new Map<string, string>(), body: new TextEncoder().encode(body) }
        : before(request);
    expect(JSON.stringify(await fetched())).toContain('"value":1.50');
  });
});
