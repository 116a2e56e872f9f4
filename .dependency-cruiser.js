// The dependency rule: a row may import the rows above it, and itself; neighbours in a row do not know each other.
const rows = [
  ['errors', 'log', 'metrics', 'clock', 'secret'],
  ['fhir'],
  ['usecase'],
  ['tenant'],
  ['outbound'],
  ['nuts', 'upstream', 'store'],
  ['token', 'grant', 'audit', 'outbox'],
  ['pdp', 'workflow'],
  ['pep'],
  ['http'],
  ['config'],
  ['main'],
  ['sandbox'],
  ['cli'],
];

const place = (name) => `^src/${name}(/|\\.ts$)`;

const upward = rows.flatMap((row, index) =>
  row
    .filter(() => row.length > 1 || index < rows.length - 1)
    .map((name) => ({
      name: `${name}-imports-only-rows-above`,
      severity: 'error',
      from: { path: place(name) },
      to: {
        path: [...row.filter((other) => other !== name), ...rows.slice(index + 1).flat()].map(place),
      },
    })),
);

/** Third-party packages and the places that may use them. */
const homes = {
  express: ['http'],
  'express-openapi-validator': ['http'],
  'swagger-ui-dist': ['http'],
  undici: ['outbound', 'upstream', 'nuts'],
  axios: ['outbound', 'nuts'],
  kysely: ['store', 'outbox', 'grant', 'audit'],
  pg: ['store'],
  'prom-client': ['metrics'],
  pino: ['log'],
  'lru-cache': ['token', 'grant', 'nuts', 'outbound'],
  jose: ['token', 'nuts', 'audit', 'sandbox'],
  yaml: ['config', 'http', 'sandbox', 'cli'],
  commander: ['cli'],
};

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    ...upward,
    ...Object.entries(homes).map(([name, places]) => ({
      name: `${name}-has-one-home`,
      severity: 'error',
      from: { path: '^src/', pathNot: places.map(place) },
      to: { path: `node_modules/${name}/` },
    })),
    {
      name: 'a-use-case-knows-only-the-contract',
      severity: 'error',
      from: { path: '^usecases/([^/]+)/' },
      to: {
        pathNot: [
          '^usecases/$1/',
          '^src/usecase/index\\.ts$',
          '^sluis/usecase$',
          'node_modules/@types/',
          'node_modules/@jest/',
          'node_modules/fast-check/',
          '^node:',
          '^(path|fs|url|crypto)$',
        ],
      },
    },
    {
      name: 'the-core-names-no-use-case',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/sandbox/'] },
      to: { path: '^usecases/' },
    },
    { name: 'no-circles', severity: 'error', from: {}, to: { circular: true } },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default'],
      extensions: ['.ts', '.js', '.json'],
    },
  },
};
