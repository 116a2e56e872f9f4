import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { z } from 'zod';
import { loadApiDescription } from '../../../src/http/api/description.ts';
import eoverdracht from '../../../usecases/eoverdracht/index.ts';
import { createWorld, drain, fillDossier, HANDOFF, NOTICE, R1, R2 } from '../../../usecases/eoverdracht/test-support.ts';
import { call, startApi, type Answer, type ApiWorld } from './world.ts';

// The real use case behind the real API: each answer is judged by the description too, and a wrong one would be a 500.
const TRANSFERS = '/api/v1/tenants/a/eoverdracht/transfers';
const care = createWorld();
let world: ApiWorld;
beforeAll(async () => {
  fillDossier(care);
  world = await startApi('production', {
    useCase: eoverdracht,
    services: care.services,
    transaction: (work) => care.transaction(work),
  });
});
afterAll(() => world.close());

const get = (path: string): Promise<Answer> => call(world, 'GET', path, { key: 'ehr-a' });
const post = (path: string, body?: unknown): Promise<Answer> => call(world, 'POST', path, { key: 'ehr-a', body });
const transferSchema = z.looseObject({
  id: z.string(),
  negotiations: z.array(z.looseObject({ id: z.string(), organization: z.string() })),
});

describe('eOverdracht through the API', () => {
  it('offers, shows, lists, adds, withdraws and cancels in the words of the description', async () => {
    const created = await post(TRANSFERS, {
      patient: 'Patient/p1',
      transferDate: '2026-03-05',
      advanceNotice: NOTICE,
      receivers: [{ organization: R1 }],
    });
    expect([created.status, created.json['code']]).toEqual([201, undefined]);
    const { id } = transferSchema.parse(created.json);
    await drain(care);
    const shown = await get(`${TRANSFERS}/${id}`);
    expect([shown.status, shown.json['status']]).toEqual([200, 'requested']);
    expect(shown.headers.get('etag')).toMatch(/^"\d+"$/);
    expect(
      (await get(`${TRANSFERS}?patient=Patient/p1&status=requested&limit=1&since=2026-01-01T00:00:00Z`)).json['items'],
    ).toHaveLength(1);
    const added = await post(`${TRANSFERS}/${id}/receivers`, { organization: R2 });
    expect([added.status, added.json['code']]).toEqual([200, undefined]);
    const [first] = transferSchema.parse(added.json).negotiations;
    expect((await post(`${TRANSFERS}/${id}/assignment`, { negotiation: first?.id, handoff: HANDOFF })).json).toMatchObject({
      status: 409,
      code: 'transition_not_allowed',
    });
    expect((await post(`${TRANSFERS}/${id}/negotiations/${first?.id ?? ''}/cancellation`)).status).toBe(200);
    expect((await post(`${TRANSFERS}/${id}/cancellation`, {})).json).toMatchObject({ status: 'cancelled', actions: [] });
    expect((await post(`${TRANSFERS}/${id}/cancellation`)).json).toMatchObject({ status: 409, code: 'transfer_closed' });
  });

  it('hands off directly', async () => {
    const body = { patient: 'Patient/p1', transferDate: '2026-03-05', handoff: HANDOFF, receivers: [{ organization: R1 }] };
    const created = await post(TRANSFERS, body);
    expect(created.json).toMatchObject({ status: 'assigned' });
    const { id } = transferSchema.parse(created.json);
    expect((await post(`${TRANSFERS}/${id}/handoff`, { handoff: { ...HANDOFF, documents: [] } })).status).toBe(200);
  });

  it('says which place of a body is wrong, of the branch that was meant', async () => {
    const body = { patient: 'Patient/p1', transferDate: '2026-03-05', receivers: [] };
    expect((await post(TRANSFERS, { ...body, advanceNotice: { problems: [] } })).json['fields']).toEqual(
      expect.arrayContaining([
        { field: 'advanceNotice.interventions', problem: 'is required' },
        { field: 'advanceNotice.problems', problem: 'must NOT have fewer than 1 items' },
      ]),
    );
    expect(
      (await post(TRANSFERS, { ...body, advanceNotice: { composition: 'Composition/1', problems: [] } })).json['fields'],
    ).toEqual([{ field: 'advanceNotice.problems', problem: 'is not known here' }]);
    expect((await post(TRANSFERS, { ...body, transferDate: '31-12-2026' })).json['fields']).toEqual([
      { field: 'transferDate', problem: 'must match format "date"' },
    ]);
    expect((await post(TRANSFERS, { ...body, receivers: [{ organization: R1, url: 'https://x' }] })).json['fields']).toEqual([
      { field: 'receivers[0].url', problem: 'is not known here' },
    ]);
  });

  it('lists the inbox, and knows no item that is not there', async () => {
    expect((await get('/api/v1/tenants/a/eoverdracht/inbox')).json).toEqual({ items: [] });
    const none = await get('/api/v1/tenants/a/eoverdracht/inbox/none');
    expect([none.status, none.json['code']]).toEqual([404, 'item_unknown']);
  });

  it('has a text for every code that it gave', () => {
    const { problems } = loadApiDescription();
    for (const code of ['transition_not_allowed', 'transfer_closed', 'item_unknown']) expect(problems.get(code)).toBeDefined();
  });
});

describe('the examples of openapi.yaml', () => {
  const { document } = loadApiDescription();
  const ajv = new Ajv2020({ strict: false, validateFormats: true });
  addFormats.default(ajv);
  ajv.addSchema({ $id: 'api', ...document });

  const componentsSchema = z.looseObject({
    schemas: z.record(z.string(), z.looseObject({ examples: z.array(z.unknown()).default([]) })),
  });
  const content = z.looseObject({
    schema: z.unknown(),
    example: z.unknown().optional(),
    examples: z.record(z.string(), z.looseObject({ value: z.unknown() })).optional(),
  });

  it('are what their schemas ask for', () => {
    let judged = 0;
    const visit = (value: unknown, path: readonly string[]): void => {
      if (typeof value !== 'object' || value === null) return;
      const media = content.safeParse(value);
      if (
        media.success &&
        media.data.schema !== undefined &&
        path.some((name) => name.includes('/json') || name.includes('+json'))
      ) {
        const examples = [
          ...(media.data.example === undefined ? [] : [media.data.example]),
          ...Object.values(media.data.examples ?? {}).map((each) => each.value),
        ];
        const pointer = path.map((name) => encodeURIComponent(name.replaceAll('~', '~0').replaceAll('/', '~1'))).join('/');
        const validate = ajv.compile({ $ref: `api#/${pointer}/schema` });
        for (const example of examples) {
          judged += 1;
          expect([path.join(' '), validate(example), validate.errors]).toEqual([path.join(' '), true, null]);
        }
        return;
      }
      for (const [name, member] of Object.entries(value)) visit(member, [...path, name]);
    };
    visit(document['paths'], ['paths']);
    visit(document['components'], ['components']);
    for (const name of ['Transfer', 'InboxItem']) {
      const validate = ajv.compile({ $ref: `api#/components/schemas/${name}` });
      const examples = componentsSchema.parse(document['components']).schemas[name]?.examples ?? [];
      expect(examples).toHaveLength(1);
      for (const example of examples) expect([name, validate(example), validate.errors]).toEqual([name, true, null]);
    }
    expect(judged).toBeGreaterThan(20);
  });
});
