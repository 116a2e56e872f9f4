import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import request from 'supertest';
import { call, startApi, type ApiWorld } from './api/world.ts';

let world: ApiWorld;
beforeAll(async () => {
  world = await startApi();
});
afterAll(() => world.close());
beforeEach(() => {
  Object.assign(world.probes, { store: true, audit: true, node: true, fhirHangs: false });
  world.state.draining = false;
  // Past the life of every result.
  world.clock.advance(10);
});

describe('health', () => {
  it('is live as long as it answers', async () => {
    world.probes.store = false;
    world.state.draining = true;
    await request(world.app).get('/health/live').expect(200, { status: 'up' });
  });

  it('is ready, with a line per tenant', async () => {
    const up = { node: { status: 'up' }, fhir: { status: 'up' } };
    await request(world.app)
      .get('/health/ready')
      .expect(200, {
        status: 'up',
        store: { status: 'up' },
        audit: { status: 'up' },
        tenants: { a: up, b: up, web: up, nameless: up },
      });
  });

  it('is degraded, and still ready, by the trouble of tenants', async () => {
    world.probes.node = false;
    const { text } = await request(world.app).get('/health/ready').expect(200);
    expect(JSON.parse(text)).toMatchObject({
      status: 'degraded',
      tenants: { a: { node: { status: 'down', reason: 'not healthy' }, fhir: { status: 'up' } } },
    });
  });

  it.each(['store', 'audit'] as const)('is not ready without its %s', async (what) => {
    world.probes[what] = false;
    const { text } = await request(world.app).get('/health/ready').expect(503);
    expect(JSON.parse(text)).toMatchObject({ status: 'down', [what]: { status: 'down' } });
  });

  it('is not ready while it drains', async () => {
    world.state.draining = true;
    const { text } = await request(world.app).get('/health/ready').expect(503);
    expect(JSON.parse(text)).toMatchObject({ status: 'draining', store: { status: 'up' } });
  });

  it('waits two seconds for what does not answer, and looks once for many', async () => {
    world.probes.fhirHangs = true;
    const before = world.probes.asked;
    const [began, beganAt] = [performance.now(), world.clock.now().getTime()];
    const answers = await Promise.all([1, 2, 3].map(() => request(world.app).get('/health/ready')));
    const waitedMs = performance.now() - began;
    expect(waitedMs).toBeGreaterThan(1_900);
    expect(waitedMs).toBeLessThan(20_000);
    for (const { status, text } of answers) {
      expect(status).toBe(200);
      expect(JSON.parse(text)).toMatchObject({
        status: 'degraded',
        tenants: { a: { node: { status: 'down', reason: 'no answer within 2000 ms' } } },
      });
    }
    expect(world.probes.asked).toBe(before + 1);
    // A result counts for 5 s from when it was asked for: however long it took, of these 3 are over.
    world.clock.advance(3 - (world.clock.now().getTime() - beganAt) / 1000);
    await request(world.app).get('/health/ready');
    expect(world.probes.asked).toBe(before + 1);
  });
});

describe('the internal listener', () => {
  it('has metrics, with the operations of the API', async () => {
    await call(world, 'GET', '/api/v1/tenants/a', { key: 'ehr-a' });
    const answer = await request(world.app).get('/metrics').expect(200);
    expect(answer.headers['content-type']).toContain('text/plain');
    expect(answer.text).toContain('sluis_api_requests_total{operation="getTenant",status="200"}');
  });

  it.each([
    '/',
    '/health',
    '/health/',
    '/health/live/',
    '/HEALTH/live',
    '/metrics/x',
    '/api',
    '/docs/../openapi.yaml',
    '/%zz',
    '/docs/package.json',
  ])('knows no %s', async (path) => {
    const answer = await request(world.app).get(path);
    expect([400, 404]).toContain(answer.status);
    expect(answer.headers['content-type']).toContain('application/problem+json');
  });

  it('sends strict headers and its own correlation id with everything', async () => {
    for (const path of ['/health/live', '/metrics', '/nothing', '/api/v1/tenants/a']) {
      const { headers } = await request(world.app).get(path).set('X-Request-Id', 'mine');
      expect(headers).toMatchObject({
        'x-content-type-options': 'nosniff',
        'cache-control': 'no-store',
        'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
      });
      expect(headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
      expect(headers['x-powered-by']).toBeUndefined();
      expect(headers['etag']).toBeUndefined();
    }
  });
});
