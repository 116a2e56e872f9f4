import { describe, expect, it } from '@jest/globals';
import express from 'express';
import request from 'supertest';
import { parse } from 'yaml';
import { ERROR_CODES } from '../../src/errors.ts';
import { compareRoutes, createApiDescription, loadApiDescription } from '../../src/http/api/description.ts';
import { apiRoutes, toDescribed } from '../../src/http/api/router.ts';
import { createDocs, DOCS_POLICY } from '../../src/http/docs.ts';
import eoverdracht from '../../usecases/eoverdracht/index.ts';

const description = loadApiDescription();
const app = express().enable('strict routing').use('/docs', createDocs(description.yaml));

describe('/docs', () => {
  it('is a page whose every file comes from ourselves, under a strict policy', async () => {
    await request(app).get('/docs').expect(308).expect('location', '/docs/');
    const page = await request(app).get('/docs/').expect(200);
    expect(page.headers['content-security-policy']).toBe(DOCS_POLICY);
    expect(DOCS_POLICY).not.toMatch(/unsafe|http|\*/);
    expect(page.text).not.toMatch(/https?:|<script>|style=| on[a-z]+=/);
    const files = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1] ?? '');
    expect(files).toContain('swagger-ui-bundle.js');
    for (const file of files) {
      const answer = await request(app).get(`/docs/${file}`);
      expect([file, answer.status]).toEqual([file, 200]);
    }
    const script = await request(app).get('/docs/docs.js').expect('content-type', 'text/javascript; charset=utf-8');
    expect(script.text).toContain('validatorUrl: null');
  });

  it('has the description that requests are judged by', async () => {
    const answer = await request(app).get('/docs/openapi.yaml').buffer(true).expect(200);
    expect(answer.headers['content-type']).toContain('application/yaml');
    expect(parse(answer.text)).toEqual(parse(description.yaml));
  });

  it('gives nothing else of the package', async () => {
    for (const file of ['package.json', 'index.html', 'swagger-initializer.js', '..%2Fpackage.json', 'oauth2-redirect.html']) {
      await request(app).get(`/docs/${file}`).expect(404);
    }
  });
});

describe('openapi.yaml', () => {
  it('has every route that is mounted, by the same operationId, and none besides', () => {
    expect(compareRoutes(apiRoutes([eoverdracht]).map(toDescribed), description)).toEqual({ undescribed: [], unmounted: [] });
  });

  it('would be found out otherwise, in both directions', () => {
    const routes = apiRoutes([eoverdracht]).map(toDescribed);
    const [first, ...rest] = routes;
    expect(compareRoutes(rest, description).unmounted).toEqual([expect.stringContaining(`(${first?.operationId ?? ''})`)]);
    expect(compareRoutes([...routes, { operationId: 'x', method: 'GET', path: 'x/:y' }], description).undescribed).toEqual([
      'GET /tenants/{tenant}/x/{y} (x)',
    ]);
  });

  it('says what every problem code means', () => {
    for (const code of Object.keys(ERROR_CODES)) expect(description.problems.has(code)).toBe(true);
  });

  it('has an Idempotency-Key for every command, a summary and a problem for every operation', () => {
    for (const [path, item] of Object.entries(
      description.document['paths'] as Record<string, Record<string, Record<string, unknown>>>,
    )) {
      for (const method of ['get', 'post'] as const) {
        const operation = item[method];
        if (operation === undefined) continue;
        expect([path, operation['summary']]).toEqual([path, expect.any(String)]);
        expect(operation['responses']).toHaveProperty('default');
        const parameters = JSON.stringify(operation['parameters'] ?? []);
        // A question is no command, although it comes by POST.
        const isCommand = method === 'post' && !path.endsWith('/explain');
        expect([path, parameters.includes('IdempotencyKey')]).toEqual([path, isCommand]);
      }
    }
  });

  it('takes in the description of a use case from elsewhere, and refuses one that takes a name twice', () => {
    const core = parse(description.yaml) as unknown;
    const other = {
      openapi: '3.1.0',
      paths: { '/tenants/{tenant}/x': { get: { operationId: 'x' } } },
      'x-problem-codes': { x_y: 'Why.' },
    };
    const merged = createApiDescription([core, other]);
    expect(merged.operations).toContainEqual({ operationId: 'x', method: 'GET', path: '/tenants/{tenant}/x' });
    expect(merged.problems.get('x_y')).toBe('Why.');
    expect(() => createApiDescription([core, other, other])).toThrow('two API descriptions give paths./tenants/{tenant}/x');
  });
});
