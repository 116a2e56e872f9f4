import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { z } from 'zod';
import { loadApiDescription } from '../../../src/http/api/description.ts';
import { createApiKey } from '../../../src/store/api-keys.ts';
import { call, startApi, type ApiWorld } from './world.ts';

/** Of HTTP itself, or the same on whatever this listener answers. */
const OF_EVERY_ANSWER: ReadonlySet<string> = new Set([
  'cache-control',
  'connection',
  'content-length',
  'content-security-policy',
  'content-type',
  'date',
  'keep-alive',
  'referrer-policy',
  'x-content-type-options',
  'x-frame-options',
]);

const A = '/api/v1/tenants/a';
let world: ApiWorld;
beforeAll(async () => {
  world = await startApi();
});
afterAll(() => world.close());
beforeEach(() => {
  Object.assign(world.probes, { audit: true });
  Object.assign(world.node, { down: false });
  world.audited.length = 0;
});

describe('who may call', () => {
  it('answers a tenant to its own key, and to the operator of the host', async () => {
    for (const key of ['ehr-a', 'operator-a', 'host']) {
      const answer = await call(world, 'GET', A, { key });
      expect(answer.status).toBe(200);
      expect(answer.json).toMatchObject({ id: 'a', organization: 'did:nuts:a', useCases: [{ id: 'counter', title: 'Counter' }] });
    }
  });

  it('says of a tenant of v2 alone what tokens call it, and nothing where that is not known', async () => {
    const shown = async (id: string) => (await call(world, 'GET', `/api/v1/tenants/${id}`, { key: 'host' })).json;
    const authorizationServerUrl = 'https://node.example/oauth2/web';
    expect(await shown('web')).toMatchObject({
      organization: 'did:web:web.example',
      organizationIds: ['did:web:web.example', '87654321'],
      authorizationServerUrl,
    });
    const nameless = await shown('nameless');
    expect(nameless).toMatchObject({ organizationIds: [], authorizationServerUrl });
    expect(nameless).not.toHaveProperty('organization');
    const v1 = await shown('a');
    expect(v1).toMatchObject({ organization: 'did:nuts:a', organizationIds: ['did:nuts:a'] });
    expect(v1).not.toHaveProperty('authorizationServerUrl');
  });

  it('describes every header of its own that an error answer has', async () => {
    world.node.down = true;
    const answers = [
      await call(world, 'GET', A),
      await call(world, 'GET', A, { key: 'unknown' }),
      await call(world, 'PUT', A, { key: 'ehr-a' }),
      await call(world, 'GET', `${A}/organizations?service=care`, { key: 'ehr-a' }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([401, 401, 405, 503]);
    const sent = new Set(answers.flatMap(({ headers }) => [...headers.keys()]));
    for (const name of ['x-request-id', 'www-authenticate', 'allow', 'retry-after']) expect(sent).toContain(name);
    const { components } = z
      .object({
        components: z.object({ responses: z.object({ Problem: z.object({ headers: z.record(z.string(), z.unknown()) }) }) }),
      })
      .parse(parse(loadApiDescription().yaml));
    const described = Object.keys(components.responses.Problem.headers).map((name) => name.toLowerCase());
    expect(described.sort()).toEqual([...sent].filter((name) => !OF_EVERY_ANSWER.has(name)).sort());
  });

  it('asks for a key before anything else, whatever the path', async () => {
    for (const path of [A, `${A}/audit`, '/api/v1/tenants/nobody', '/api/v1/nothing', `${A}/counter/notes/1?x=%zz`]) {
      const answer = await call(world, 'GET', path);
      expect(answer.status).toBe(401);
      expect(answer.json['code']).toBe('api_key_missing');
      expect(answer.headers.get('www-authenticate')).toBe('Bearer realm="sluis"');
    }
  });

  it('refuses an unknown, a misshapen and a revoked key', async () => {
    const made = await world.test.database.transaction((tx) => createApiKey(tx, { tenant: 'a', role: 'ehr' }, new Date()));
    await world.test.database.transaction((tx) =>
      tx.query.updateTable('api_key').set({ revoked_at: 'x' }).where('id', '=', made.id).execute(),
    );
    for (const key of [
      `slk_${'0'.repeat(16)}_${'A'.repeat(43)}`,
      'slk_',
      'hello',
      made.secret,
      `${world.keys['ehr-a'] ?? ''}x`,
    ]) {
      const answer = await call(world, 'GET', A, { key });
      expect([answer.status, answer.json['code']]).toEqual([401, 'api_key_invalid']);
      expect(answer.headers.get('www-authenticate')).toContain('error="invalid_token"');
    }
  });

  it('shows the tenant of another key exactly as one that does not exist, and tells the operator', async () => {
    const foreign = await call(world, 'GET', `${A}/counter/notes/1`, { key: 'ehr-b' });
    const absent = await call(world, 'GET', '/api/v1/tenants/nobody/counter/notes/1', { key: 'ehr-b' });
    const without = ({ json }: typeof foreign): unknown => ({ ...json, correlationId: '' });
    expect(foreign.status).toBe(404);
    expect(without(foreign)).toEqual(without(absent));
    expect([...foreign.headers.keys()].sort()).toEqual([...absent.headers.keys()].sort());
    expect(world.audited).toContainEqual(
      expect.objectContaining({ event: 'api-refused', tenant: 'b', reason: 'api_key_of_another_tenant' }),
    );
  });

  it('explains a request to an operator, and to nobody else', async () => {
    const body = { token: 'a.b.c', method: 'GET', target: '/Task/1' };
    const answer = await call(world, 'POST', `${A}/explain`, { key: 'operator-a', body });
    expect([answer.status, answer.json['stages']]).toEqual([
      200,
      [{ stage: 'address', outcome: 'stopped', code: 'not_found', text: 'a GET /Task/1' }],
    ]);
    expect((await call(world, 'POST', `${A}/explain`, { key: 'host', body })).status).toBe(200);
    expect((await call(world, 'POST', `${A}/explain`, { key: 'ehr-a', body })).status).toBe(403);
    const wrong = await call(world, 'POST', `${A}/explain`, { key: 'operator-a', body: { ...body, method: 'TRACE' } });
    expect(wrong.status).toBe(400);
    const counting = ['accept', 'Content-Type', 'IF-MATCH', 'if-none-exist', 'If-None-Match', 'if-unmodified-since', 'Prefer'];
    for (const name of counting) {
      const said = await call(world, 'POST', `${A}/explain`, { key: 'operator-a', body: { ...body, headers: { [name]: 'x' } } });
      expect([name, said.status]).toEqual([name, 200]);
    }
    const unknown = await call(world, 'POST', `${A}/explain`, {
      key: 'operator-a',
      body: { ...body, tenant: 'b', createdBy: 'x' },
    });
    expect([unknown.status, JSON.stringify(unknown.json)]).toEqual([400, expect.stringContaining('createdBy')]);
    expect(JSON.stringify(world.audited)).not.toContain('a.b.c');
  });

  it('keeps the audit trail from EHRs and the use cases from operators', async () => {
    expect((await call(world, 'GET', `${A}/audit`, { key: 'operator-a' })).status).toBe(200);
    const ehr = await call(world, 'GET', `${A}/audit`, { key: 'ehr-a' });
    expect([ehr.status, ehr.json['code']]).toEqual([403, 'role_not_allowed']);
    const operator = await call(world, 'POST', `${A}/counter/notes`, { key: 'operator-a', body: { text: 'one' } });
    expect([operator.status, operator.json['code']]).toEqual([403, 'role_not_allowed']);
  });

  it('serves the routes of a use case only to tenants that have it', async () => {
    expect((await call(world, 'POST', `${A}/counter/notes`, { key: 'ehr-a', body: { text: 'one' } })).status).toBe(201);
    const other = await call(world, 'POST', '/api/v1/tenants/b/counter/notes', { key: 'ehr-b', body: { text: 'one' } });
    expect([other.status, other.json['code']]).toEqual([404, 'use_case_unknown']);
  });
});

describe('what a request must look like', () => {
  const post = (body: unknown, headers: Record<string, string> = {}) =>
    call(world, 'POST', `${A}/counter/notes`, { key: 'ehr-a', body, headers });

  it.each([
    ['a missing member', {}, [{ field: 'text', problem: 'is required' }]],
    ['an unknown member', { text: 'one', status: 'x' }, [{ field: 'status', problem: 'is not known here' }]],
    [
      'a value that is not allowed',
      { text: 'three' },
      [{ field: 'text', problem: 'must be equal to one of the allowed values: one, two' }],
    ],
    [
      'several faults at once',
      { text: 1, tags: ['a', 'long one'] },
      [
        { field: 'text', problem: 'must be string; must be equal to one of the allowed values: one, two' },
        { field: 'tags[1]', problem: 'must NOT have more than 3 characters' },
      ],
    ],
  ])('names the field for %s', async (_name, body, fields) => {
    const answer = await post(body);
    expect([answer.status, answer.json['code']]).toEqual([400, 'invalid_body']);
    expect(answer.json['fields']).toEqual(expect.arrayContaining(fields));
    expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    expect(answer.json['correlationId']).toBe(answer.headers.get('x-request-id'));
  });

  it.each([
    ['no JSON', '{"text":', 400, 'invalid_body'],
    ['a repeated member', '{"text":"one","text":"two"}', 400, 'invalid_body'],
    ['something after the value', '{"text":"one"} {}', 400, 'invalid_body'],
    ['a list', '[]', 400, 'invalid_body'],
    ['a body that is too large', `{"text":"${'x'.repeat(262_144)}"}`, 413, 'body_too_large'],
  ])('refuses %s', async (_name, body, status, code) => {
    const answer = await post(body);
    expect([answer.status, answer.json['code']]).toEqual([status, code]);
  });

  it('wants JSON, unencoded, and a body where one is needed', async () => {
    expect((await post('text=one', { 'content-type': 'application/x-www-form-urlencoded' })).status).toBe(415);
    expect((await post('{"text":"one"}', { 'content-encoding': 'gzip' })).status).toBe(415);
    expect((await post('{"text":"one"}', { 'content-type': 'application/json; charset=utf-8' })).status).toBe(201);
    const empty = await call(world, 'POST', `${A}/counter/notes`, { key: 'ehr-a' });
    expect(empty.status).toBeGreaterThanOrEqual(400);
    expect(empty.status).toBeLessThan(500);
  });

  it('refuses parameters that are not described, twice given or out of bounds', async () => {
    for (const [query, field] of [
      ['limt=1', 'limt'],
      ['limit=0', 'limit'],
      ['limit=1&limit=2', 'limit'],
      ['from=yesterday', 'from'],
      ['outcome=good', 'outcome'],
      ['patient=', 'patient'],
    ]) {
      const answer = await call(world, 'GET', `${A}/audit?${query ?? ''}`, { key: 'operator-a' });
      expect([query, answer.status, answer.json['code']]).toEqual([query, 400, 'invalid_parameter']);
      expect(answer.json['fields']).toEqual([expect.objectContaining({ field })]);
    }
  });

  it('knows no other paths and methods', async () => {
    for (const path of [`${A}/nothing`, `${A}/audit/`, `${A}/Audit`, '/api/v1', '/api/v1/tenants', '/api/v2', '/']) {
      const answer = await call(world, 'GET', path, { key: 'operator-a' });
      expect([path, answer.status]).toEqual([path, 404]);
      expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    }
    const answer = await call(world, 'DELETE', `${A}/audit`, { key: 'operator-a' });
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'GET']);
  });

  it('tells the caller a code and never the words for the operator', async () => {
    const answer = await call(world, 'GET', `${A}/counter/notes/none`, { key: 'ehr-a' });
    expect(answer.status).toBe(404);
    expect(answer.json).toMatchObject({
      code: 'note_unknown',
      type: 'urn:sluis:problem:note_unknown',
      detail: 'There is no such thing.',
    });
    expect(answer.text).not.toContain('SECRET');
  });

  it('gives content with its media type, and nothing to sniff', async () => {
    const made = await post({ text: 'one' });
    const answer = await call(world, 'GET', `${A}/counter/notes/${String(made.json['id'])}`, { key: 'ehr-a' });
    expect([answer.status, answer.text, answer.headers.get('content-type')]).toEqual([200, '%PDF', 'application/pdf']);
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
    expect(answer.headers.get('cache-control')).toBe('no-store');
  });
});

describe('organisations', () => {
  it('finds them, and says which endpoints resolve; a broken entry does not', async () => {
    const answer = await call(world, 'GET', `${A}/organizations?service=care`, { key: 'ehr-a' });
    expect(answer.status).toBe(200);
    expect(answer.json).toEqual({
      items: [
        {
          organization: 'did:nuts:west',
          name: 'Thuiszorg West',
          city: 'Leiden',
          endpoints: { oauth: true, notification: true, fhir: false },
        },
        {
          organization: 'did:nuts:broken',
          name: 'Zorghuis Kapot',
          endpoints: { oauth: false, notification: false, fhir: false },
        },
      ],
      total: 2,
    });
    const some = await call(world, 'GET', `${A}/organizations?service=care&query=west&limit=1`, { key: 'ehr-a' });
    expect(some.json['total']).toBe(1);
  });

  it('is 503 when the node does not answer, with when to come back', async () => {
    world.node.down = true;
    const answer = await call(world, 'GET', `${A}/organizations?service=care`, { key: 'ehr-a' });
    expect([answer.status, answer.json['code'], answer.headers.get('retry-after')]).toEqual([503, 'node_unavailable', '5']);
  });
});

describe('the audit trail', () => {
  it('is read by its conditions, and the reading is on record first', async () => {
    const path = `${A}/audit?from=2026-11-24T00:00:00Z&patient=Patient/1&outcome=denied&limit=5&cursor=abc`;
    const answer = await call(world, 'GET', path, { key: 'operator-a' });
    expect(answer.json).toMatchObject({ items: [{ id: 'g-0123456789:2', status: 200 }], cursor: 'more' });
    expect(world.queries.at(-1)).toEqual({
      tenant: 'a',
      from: new Date('2026-11-24T00:00:00Z'),
      patient: 'Patient/1',
      outcome: 'denied',
      limit: 5,
      cursor: 'abc',
    });
    expect(world.audited).toEqual([
      expect.objectContaining({ event: 'audit-read', tenant: 'a', correlationId: answer.headers.get('x-request-id') }),
    ]);
  });

  it('shows and does nothing when it cannot be written', async () => {
    world.probes.audit = false;
    const before = world.queries.length;
    expect((await call(world, 'GET', `${A}/audit`, { key: 'operator-a' })).status).toBe(503);
    expect(world.queries).toHaveLength(before);
    const runs = world.runs.count;
    const command = await call(world, 'POST', `${A}/counter/notes`, { key: 'ehr-a', body: { text: 'one' } });
    expect([command.status, command.json['code'], world.runs.count]).toEqual([503, 'audit_unavailable', runs]);
  });

  it('has every command, with the key that gave it', async () => {
    await call(world, 'POST', `${A}/counter/notes`, { key: 'ehr-a', body: { text: 'one' } });
    expect(world.audited).toEqual([
      expect.objectContaining({
        event: 'api-command',
        useCase: 'counter',
        attributes: { operation: 'addNote', apiKey: world.keys['ehr-a']?.slice(4, 20) },
      }),
    ]);
  });
});
