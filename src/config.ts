import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { isIP } from 'node:net';
import type { z } from 'zod';
import { applyEnvironment } from './config/environment.ts';
import { configSchema, type ConfigSettings, type TenantSettings } from './config/schema.ts';
import { ConfigError, readSource, type ConfigProblem } from './config/source.ts';
import type { LogLevel } from './log.ts';
import { readSecret, type Secret, type SecretSource } from './secret.ts';
import type { FhirLogin, Tenant, TenantTls } from './tenant/tenant.ts';

export { ConfigError } from './config/source.ts';
export { ENVIRONMENT_NAMES } from './config/environment.ts';

/** The whole configuration, parsed once before anything starts. Paths are absolute, secrets are read. */
export interface Config {
  readonly mode: 'production' | 'development';
  readonly public: { readonly host: string; readonly port: number; readonly url: string };
  readonly internal: { readonly host: string; readonly port: number };
  readonly dataDirectory: string;
  /** PostgreSQL; without it SQLite in the data directory. */
  readonly databaseUrl?: Secret;
  readonly logLevel: LogLevel;
  readonly audit: { readonly segmentBytes: number; readonly minimumFreeBytes: number };
  readonly limits: { readonly resourceBytes: number; readonly bundleBytes: number; readonly drainMs: number };
  readonly jobs: { readonly concurrency: number };
  /** Keys for links to further pages: the first seals, all open. Empty: one is made for the life of the process. */
  readonly sealingKeys: readonly Secret[];
  /** Addresses or CIDR ranges of proxies whose `X-Forwarded-For` counts. */
  readonly trustedProxies: readonly string[];
  /** Folders of use cases besides those that come with Sluis. */
  readonly useCaseFolders: readonly string[];
  readonly tenants: readonly Tenant[];
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads the configuration: the YAML file, then the overrides of the environment, then the secrets that it names.
 * @param file path of the YAML file; default `SLUIS_CONFIG` or `sluis.yaml`.
 * @throws ConfigError with every fault there is, each with its key, what is wrong, and what is allowed.
 */
export function loadConfig(environment: Environment = process.env, file = environment['SLUIS_CONFIG'] ?? 'sluis.yaml'): Config {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const why = error instanceof Error && 'code' in error && error.code === 'ENOENT' ? 'does not exist' : 'cannot be read';
    throw new ConfigError(file, [
      { key: 'file', problem: `${why}; copy config.example.yaml to sluis.yaml, or name your file in SLUIS_CONFIG` },
    ]);
  }
  return parseConfig(text, { file, environment });
}

/** The same over a text that was read already. */
export function parseConfig(text: string, context: { readonly file: string; readonly environment: Environment }): Config {
  const { file, environment } = context;
  const source = readSource(file, text);
  const overridden = applyEnvironment(source.settings, environment);
  const problems: ConfigProblem[] = [...overridden.problems];

  const parsed = configSchema.safeParse(overridden.settings);
  if (!parsed.success) {
    for (const issue of parsed.error.issues) problems.push(...describe(issue, source.lineOf, overridden));
    throw new ConfigError(file, problems);
  }

  const folder = dirname(resolve(file));
  const collect = <T>(key: string, read: () => T): T | undefined => {
    try {
      return read();
    } catch (error) {
      const line = source.lineOf(key.split('.'));
      problems.push({
        key,
        problem: error instanceof Error ? error.message : String(error),
        ...(line === undefined ? {} : { line }),
      });
      return undefined;
    }
  };
  const config = build(parsed.data, { folder, environment, collect });
  checkMeaning(parsed.data, collect);
  if (problems.length > 0) throw new ConfigError(file, problems);
  return config;
}

interface BuildContext {
  readonly folder: string;
  readonly environment: Environment;
  readonly collect: <T>(key: string, read: () => T) => T | undefined;
}

function build(settings: ConfigSettings, context: BuildContext): Config {
  const databaseUrl =
    settings.database.url === undefined
      ? context.environment['DATABASE_URL'] === undefined
        ? undefined
        : context.collect('DATABASE_URL', () => readSecret({ env: 'DATABASE_URL' }, context.environment))
      : secret(settings.database.url, 'database.url', context);
  return {
    mode: settings.mode,
    public: settings.public,
    internal: settings.internal,
    dataDirectory: resolve(context.folder, settings.dataDirectory),
    ...(databaseUrl === undefined ? {} : { databaseUrl }),
    logLevel: settings.log.level,
    audit: settings.audit,
    limits: settings.limits,
    jobs: settings.jobs,
    sealingKeys: settings.sealing.keys.flatMap((key, index) => secret(key, `sealing.keys.${String(index)}`, context) ?? []),
    trustedProxies: settings.trustedProxies,
    useCaseFolders: settings.useCaseFolders.map((path) => resolve(context.folder, path)),
    tenants: Object.entries(settings.tenants).map(([id, tenant]) => buildTenant(id, tenant, settings, context)),
  };
}

function buildTenant(id: string, settings: TenantSettings, whole: ConfigSettings, context: BuildContext): Tenant {
  const key = `tenants.${id}`;
  const apiKey = settings.node.apiKey;
  const privateKey = apiKey === undefined ? undefined : secret(apiKey.privateKey, `${key}.node.apiKey.privateKey`, context);
  return {
    id,
    name: settings.name,
    identity: {
      did: settings.did ?? '',
      ...(settings.subject === undefined ? {} : { subject: settings.subject }),
      ...(settings.authorizationServerUrl === undefined ? {} : { authorizationServerUrl: settings.authorizationServerUrl }),
      ...(settings.organizationIds.length === 0 ? {} : { organizationIds: settings.organizationIds }),
    },
    publicUrl: settings.publicUrl ?? `${whole.public.url}/${id}`,
    node: {
      url: settings.node.url,
      generations: settings.node.generations,
      ...(apiKey === undefined || privateKey === undefined
        ? {}
        : { apiKey: { privateKey, name: apiKey.name, audience: apiKey.audience } }),
      introspectionTimeoutMs: settings.node.introspectionTimeoutMs,
      introspectionCacheMs: settings.node.introspectionCacheMs,
      maxTokenLifeSeconds: settings.node.maxTokenLifeSeconds,
    },
    fhir: {
      url: settings.fhir.url,
      version: settings.fhir.version,
      login: buildLogin(settings.fhir.login, `${key}.fhir.login`, context),
      tls: buildTls(settings.fhir.tls, `${key}.fhir.tls`, context),
      timeoutMs: settings.fhir.timeoutMs,
      document: settings.fhir.document,
      xml: settings.fhir.xml,
    },
    outbound: buildTls(settings.outbound, `${key}.outbound`, context),
    grants: settings.grants,
    useCases: new Map(Object.entries(settings.useCases)),
    limits: settings.limits,
  };
}

function buildLogin(settings: TenantSettings['fhir']['login'], key: string, context: BuildContext): FhirLogin {
  if (settings === 'none') return { kind: 'none' };
  if ('basic' in settings) {
    const password = secret(settings.basic.password, `${key}.basic.password`, context);
    return password === undefined ? { kind: 'none' } : { kind: 'basic', username: settings.basic.username, password };
  }
  if ('bearer' in settings) {
    const token = secret(settings.bearer, `${key}.bearer`, context);
    return token === undefined ? { kind: 'none' } : { kind: 'bearer', token };
  }
  const { tokenUrl, clientId, clientSecret, scope } = settings.clientCredentials;
  const revealed = secret(clientSecret, `${key}.clientCredentials.clientSecret`, context);
  if (revealed === undefined) return { kind: 'none' };
  return { kind: 'client-credentials', tokenUrl, clientId, clientSecret: revealed, ...(scope === undefined ? {} : { scope }) };
}

function buildTls(settings: TenantSettings['outbound'], key: string, context: BuildContext): TenantTls {
  const read = (name: string, path: string | undefined): string | undefined =>
    path === undefined ? undefined : context.collect(`${key}.${name}`, () => readFileSync(resolve(context.folder, path), 'utf8'));
  const certificate = read('certificateFile', settings.certificateFile);
  const ca = read('caFile', settings.caFile);
  const keySecret = settings.key === undefined ? undefined : secret(settings.key, `${key}.key`, context);
  return {
    ...(certificate === undefined ? {} : { certificate }),
    ...(keySecret === undefined ? {} : { key: keySecret }),
    ...(ca === undefined ? {} : { ca }),
  };
}

/** A secret that cannot be read is a problem of the configuration like any other. */
function secret(source: SecretSource, key: string, context: BuildContext): Secret | undefined {
  const located: SecretSource = 'file' in source ? { file: resolve(context.folder, source.file) } : source;
  return context.collect(key, () => readSecret(located, context.environment));
}

/** Fixed in the node (nuts-node-api.md §1.3). */
const V2_TOKEN_LIFE_SECONDS = 900;

/** What the shape alone cannot say. */
function checkMeaning(settings: ConfigSettings, collect: BuildContext['collect']): void {
  const insist = (key: string, holds: boolean, problem: string): void => {
    collect(key, () => {
      if (!holds) throw new Error(problem);
    });
  };
  settings.trustedProxies.forEach((text, index) => {
    const [address, prefix] = text.split('/');
    const bits = isIP(address ?? '') === 6 ? 128 : 32;
    const valid = isIP(address ?? '') !== 0 && (prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= bits));
    insist(`trustedProxies.${index}`, valid, `is ${JSON.stringify(text)}; must be an IP address or a range such as 10.0.0.0/8`);
  });
  const identities = new Map<string, string>();
  for (const [id, tenant] of Object.entries(settings.tenants)) {
    for (const name of ['did', 'authorizationServerUrl'] as const) {
      const value = tenant[name];
      if (value === undefined) continue;
      const other = identities.get(value);
      insist(`tenants.${id}.${name}`, other === undefined, `is also that of ${other ?? ''}; each tenant is one organisation`);
      identities.set(value, id);
    }
    tenant.organizationIds.forEach((value, index) => {
      const other = identities.get(value);
      insist(
        `tenants.${id}.organizationIds.${String(index)}`,
        other === undefined || other === id,
        `is also that of ${other ?? ''}; each tenant is one organisation`,
      );
      identities.set(value, id);
    });
    const { generations, maxTokenLifeSeconds } = tenant.node;
    insist(
      `tenants.${id}.node.maxTokenLifeSeconds`,
      maxTokenLifeSeconds >= V2_TOKEN_LIFE_SECONDS || !generations.includes('v2'),
      `is ${String(maxTokenLifeSeconds)}; must be at least 900 where generation v2 is served: a v2 node gives its tokens 900 s`,
    );
    insist(`tenants.${id}.did`, tenant.did !== undefined || !generations.includes('v1'), 'is missing; generation v1 needs it');
    for (const name of ['subject', 'authorizationServerUrl'] as const)
      insist(
        `tenants.${id}.${name}`,
        tenant[name] !== undefined || !generations.includes('v2'),
        'is missing; generation v2 needs it',
      );
    if (settings.mode === 'production') {
      const url = tenant.publicUrl ?? settings.public.url;
      insist(
        tenant.publicUrl === undefined ? 'public.url' : `tenants.${id}.publicUrl`,
        url.startsWith('https://'),
        'must begin with https:// in mode production: it is the address that other organisations use',
      );
    }
  }
}

type Overridden = ReturnType<typeof applyEnvironment>;

/** zod's issue in our words: the key, what stands there, what is allowed. */
function describe(
  issue: z.core.$ZodIssue,
  lineOf: (path: readonly PropertyKey[]) => number | undefined,
  overridden: Overridden,
): readonly ConfigProblem[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((name) => problemAt([...issue.path, name], 'is not a known key here', lineOf, overridden));
  }
  const present = valueAt(overridden.settings, issue.path);
  const said = present === undefined ? 'is missing' : typeof present === 'object' ? '' : `is ${JSON.stringify(present)}`;
  // An inner fault of a record key (a tenant's id) carries the words of the key's own rule.
  const inner = issue.code === 'invalid_key' ? issue.issues[0]?.message : undefined;
  const rule = allowed(issue) ?? inner ?? issue.message;
  return [problemAt(issue.path, said === '' ? rule : `${said}; ${rule}`, lineOf, overridden)];
}

function problemAt(
  path: readonly PropertyKey[],
  problem: string,
  lineOf: (path: readonly PropertyKey[]) => number | undefined,
  overridden: Overridden,
): ConfigProblem {
  const key = path.map(String).join('.');
  const variable = overridden.origins.get(key);
  const line = variable === undefined ? lineOf(path) : undefined;
  return { key: variable === undefined ? key : `${key} (from ${variable})`, problem, ...(line === undefined ? {} : { line }) };
}

function allowed(issue: z.core.$ZodIssue): string | undefined {
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${issue.expected === 'int' || issue.expected === 'number' ? 'a whole number' : issue.expected === 'record' || issue.expected === 'object' ? 'a mapping' : `a ${issue.expected}`}`;
    case 'invalid_value':
      return `must be ${issue.values.map(String).join(' or ')}`;
    case 'too_small':
      return issue.origin === 'string' ? 'must not be empty' : `must be at least ${issue.minimum}`;
    case 'too_big':
      return `must be at most ${issue.maximum}`;
    case 'invalid_format':
    case 'not_multiple_of':
    case 'unrecognized_keys':
    case 'invalid_union':
    case 'invalid_key':
    case 'invalid_element':
    case 'custom':
      return undefined;
  }
}

function valueAt(settings: unknown, path: readonly PropertyKey[]): unknown {
  let value = settings;
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = Object.entries(value).find(([name]) => name === String(key))?.[1];
  }
  return value;
}
