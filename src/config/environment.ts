import type { ConfigProblem } from './source.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** Variables of this prefix that are no overrides of a key. */
const OTHER_VARIABLES = new Set(['SLUIS_CONFIG', 'SLUIS_TEST_DATA', 'SLUIS_TEST_DATABASE_URL', 'SLUIS_URL']);

/** Scalars outside `tenants` that a variable may override: key path → how its text is read. */
const OVERRIDABLE: Readonly<Record<string, 'text' | 'number' | 'list'>> = {
  mode: 'text',
  'public.host': 'text',
  'public.port': 'number',
  'public.url': 'text',
  'internal.host': 'text',
  'internal.port': 'number',
  dataDirectory: 'text',
  'log.level': 'text',
  'audit.segmentBytes': 'number',
  'audit.minimumFreeBytes': 'number',
  'limits.resourceBytes': 'number',
  'limits.bundleBytes': 'number',
  'limits.drainMs': 'number',
  'jobs.concurrency': 'number',
  trustedProxies: 'list',
  useCaseFolders: 'list',
};

/** Names of the variables that the gateway reads besides those that a secret names: `SLUIS_PUBLIC__PORT` for `public.port`, … */
export const ENVIRONMENT_NAMES: readonly string[] = [
  'SLUIS_CONFIG',
  'DATABASE_URL',
  ...Object.keys(OVERRIDABLE).map(variableName),
];

/** `limits.resourceBytes` → `SLUIS_LIMITS__RESOURCE_BYTES`. */
export function variableName(key: string): string {
  const levels = key.split('.').map((level) => level.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase());
  return `SLUIS_${levels.join('__')}`;
}

/**
 * Lays the overrides of the environment over the file's settings.
 * @returns the settings, the keys that came from a variable, and a problem for every variable with our prefix that overrides nothing.
 */
export function applyEnvironment(
  settings: Record<string, unknown>,
  environment: Environment,
): {
  readonly settings: Record<string, unknown>;
  readonly origins: ReadonlyMap<string, string>;
  readonly problems: readonly ConfigProblem[];
} {
  const known = new Map(Object.keys(OVERRIDABLE).map((key) => [variableName(key), key]));
  const origins = new Map<string, string>();
  const problems: ConfigProblem[] = [];
  const result = structuredClone(settings);
  for (const [name, value] of Object.entries(environment)) {
    if (!name.startsWith('SLUIS_') || OTHER_VARIABLES.has(name) || value === undefined) continue;
    const key = known.get(name);
    if (key === undefined) {
      problems.push({ key: name, problem: `overrides nothing; known are ${[...known.keys()].join(', ')}` });
      continue;
    }
    place(result, key.split('.'), convert(value, OVERRIDABLE[key] ?? 'text'));
    origins.set(key, name);
  }
  return { settings: result, origins, problems };
}

function convert(value: string, kind: 'text' | 'number' | 'list'): unknown {
  switch (kind) {
    case 'text':
      return value;
    case 'number':
      // Left as text when it is no number: the schema then says what is wrong with it.
      return /^-?\d+$/.test(value) ? Number(value) : value;
    case 'list':
      return value === '' ? [] : value.split(',').map((part) => part.trim());
  }
}

function place(target: Record<string, unknown>, path: readonly string[], value: unknown): void {
  const [first, ...rest] = path;
  if (first === undefined) return;
  if (rest.length === 0) {
    target[first] = value;
    return;
  }
  const child = target[first];
  const next: Record<string, unknown> = typeof child === 'object' && child !== null && !Array.isArray(child) ? { ...child } : {};
  place(next, rest, value);
  target[first] = next;
}
