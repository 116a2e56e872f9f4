import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import express, { type Router } from 'express';

const UI = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));
const UI_FILES = ['swagger-ui.css', 'swagger-ui-bundle.js', 'favicon-16x16.png', 'favicon-32x32.png'] as const;

/** Everything from ourselves; no inline script or style, no frame, no other host. `data:` images are the icons of the style sheet. */
export const DOCS_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sluis API</title>
<link rel="icon" type="image/png" sizes="32x32" href="favicon-32x32.png">
<link rel="icon" type="image/png" sizes="16x16" href="favicon-16x16.png">
<link rel="stylesheet" href="swagger-ui.css">
</head>
<body>
<div id="docs"><p>Loading the API reference. It needs JavaScript; the description itself is <a href="openapi.yaml">openapi.yaml</a>.</p></div>
<script src="swagger-ui-bundle.js"></script>
<script src="docs.js"></script>
</body>
</html>
`;

const SCRIPT = `window.addEventListener('load', () => {
  SwaggerUIBundle({
    url: 'openapi.yaml',
    dom_id: '#docs',
    deepLinking: true,
    displayRequestDuration: true,
    docExpansion: 'list',
    defaultModelsExpandDepth: 0,
    tryItOutEnabled: false,
    persistAuthorization: false,
    validatorUrl: null,
  });
});
`;

/** The API reference in a browser, from the given description, with Swagger UI's own files. Needs no internet. */
export function createDocs(yaml: string): Router {
  const router = express.Router({ caseSensitive: true, strict: true });
  router.use((_request, response, next) => {
    response.set('Content-Security-Policy', DOCS_POLICY);
    next();
  });
  router.get('/', (request, response) => {
    // Relative links need the slash.
    if (request.originalUrl.split('?')[0]?.endsWith('/') !== true) response.redirect(308, `${request.baseUrl}/`);
    else response.type('text/html; charset=utf-8').send(PAGE);
  });
  router.get('/docs.js', (_request, response) => void response.type('text/javascript; charset=utf-8').send(SCRIPT));
  router.get('/openapi.yaml', (_request, response) => void response.type('application/yaml; charset=utf-8').send(yaml));
  for (const name of UI_FILES) {
    router.get(`/${name}`, (_request, response) => {
      response.sendFile(join(UI, name), { cacheControl: false, etag: false, lastModified: false });
    });
  }
  return router;
}
