import { randomUUID } from 'node:crypto';
import express, { type Express } from 'express';
import { GatewayError } from '../errors.ts';
import type { InternalDependencies } from './api/dependencies.ts';
import { createApi } from './api/router.ts';
import { createDocs } from './docs.ts';
import { createHealth } from './health.ts';
import { createProblemHandler } from './problem.ts';

export type { ApiNode, InternalDependencies, ProbeResult, Probes } from './api/dependencies.ts';
export { loadApiDescription, type ApiDescription } from './api/description.ts';

/**
 * The internal listener, for EHRs and operators: `/api/v1`, `/docs`, `/health`, `/metrics`. Every other path is a 404 problem.
 * @throws Error when a use case has a route that the description lacks
 */
export function createInternalApp(deps: InternalDependencies): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.enable('case sensitive routing');
  app.enable('strict routing');
  app.set('query parser', 'simple');
  app.use((_request, response, next) => {
    // Always ours: what a caller chooses could be made to look like another's (design §12).
    response.set({
      'X-Request-Id': randomUUID(),
      'X-Content-Type-Options': 'nosniff',
      'Cache-Control': 'no-store',
      'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
      'Referrer-Policy': 'no-referrer',
      'X-Frame-Options': 'DENY',
    });
    next();
  });
  app.use('/health', createHealth(deps));
  app.get('/metrics', async (_request, response) => {
    response.setHeader('Content-Type', deps.metrics.registry.contentType);
    response.end(await deps.metrics.registry.metrics());
  });
  app.use('/docs', createDocs(deps.description.yaml));
  app.use('/api/v1', createApi(deps));
  app.use(() => {
    throw new GatewayError('not_found', 'no such route', { reason: 'route_unknown' });
  });
  app.use(createProblemHandler(deps.description.problems, deps.logger.child({ module: 'http' })));
  return app;
}
