import { z } from 'zod';
import { DEFAULT_MAX_TOKEN_LIFE_SECONDS } from '../tenant/tenant.ts';

// The shape of the configuration file. Unknown keys are refused everywhere: a misspelt option must not be silently ignored.

const port = z.int().min(0).max(65535).describe('a port number, 0 to 65535 (0 takes a free one)');
const milliseconds = z.int().min(0).max(3_600_000);
const bytes = z.int().min(1);

/** An absolute http or https URL without query, fragment, user name and trailing slash. */
const baseUrl = z.string().superRefine((text, context) => {
  const fault = baseUrlFault(text);
  if (fault !== undefined) context.addIssue({ code: 'custom', message: fault });
});

const did = z
  .string()
  .regex(
    /^did:nuts:[A-Za-z0-9]+$/,
    'must be a did:nuts identifier, such as did:nuts:B8PUHs2AUHbFF1xLLK4eZjgErEcMXHxs68FteY7NDtCY',
  );

const organizationId = z
  .string()
  .max(256)
  .regex(
    /^[^\s\p{C}](?:[^\p{C}\p{Zl}\p{Zp}]*[^\s\p{C}])?$/u,
    'must be a DID, a URA or another id as the claims of v2 tokens name this organisation: one line of text in quotes, without blanks around it',
  );

/** Where a secret is: never the secret itself. */
export const secretSource = z.union([z.strictObject({ file: z.string().min(1) }), z.strictObject({ env: z.string().min(1) })], {
  error: 'must say where the secret is: {file: /path} or {env: NAME}; a value is not allowed here',
});

const tls = z
  .strictObject({
    certificateFile: z.string().min(1).optional(),
    key: secretSource.optional(),
    caFile: z.string().min(1).optional(),
  })
  .refine((settings) => (settings.certificateFile === undefined) === (settings.key === undefined), {
    message: 'certificateFile and key go together: give both or neither',
  });

const login = z.union(
  [
    z.literal('none'),
    z.strictObject({ basic: z.strictObject({ username: z.string().min(1), password: secretSource }) }),
    z.strictObject({ bearer: secretSource }),
    z.strictObject({
      clientCredentials: z.strictObject({
        tokenUrl: baseUrl,
        clientId: z.string().min(1),
        clientSecret: secretSource,
        scope: z.string().min(1).optional(),
      }),
    }),
  ],
  {
    error:
      'must be none, {basic: {username, password}}, {bearer: …} or {clientCredentials: {tokenUrl, clientId, clientSecret, scope?}}',
  },
);

export const tenantSchema = z.strictObject({
  name: z.string().min(1),
  /** Generation v1. */
  did: did.optional(),
  /** Generation v2: the subject at the node, and the URL of its authorization server, which is the `iss` of its tokens. */
  subject: z.string().min(1).optional(),
  authorizationServerUrl: baseUrl.optional(),
  /** What v2 tokens call this organisation, as `token/claims.ts` takes it. */
  organizationIds: z.array(organizationId).max(16).default([]),
  /** Default: the public URL of the gateway, a slash and the tenant's id. */
  publicUrl: baseUrl.optional(),
  node: z.strictObject({
    url: baseUrl,
    generations: z
      .array(z.enum(['v1', 'v2']))
      .min(1)
      .default(['v1']),
    apiKey: z.strictObject({ privateKey: secretSource, name: z.string().min(1), audience: z.string().min(1) }).optional(),
    introspectionTimeoutMs: milliseconds.min(100).default(2_000),
    introspectionCacheMs: milliseconds.max(5_000).default(5_000),
    maxTokenLifeSeconds: z.int().min(60).max(86_400).default(DEFAULT_MAX_TOKEN_LIFE_SECONDS),
  }),
  fhir: z.strictObject({
    url: baseUrl,
    version: z.enum(['STU3', 'R4']).default('STU3'),
    login: login.default('none'),
    tls: tls.prefault({}),
    timeoutMs: milliseconds.min(100).default(30_000),
    document: z.enum(['upstream', 'assemble']).default('upstream'),
    xml: z.enum(['none', 'relative']).default('none'),
  }),
  outbound: tls.prefault({}),
  grants: z.enum(['ledger', 'credential']).default('ledger'),
  useCases: z.record(z.string().regex(/^[a-z][a-z0-9-]*$/, 'must be the folder name of a use case'), z.unknown()).default({}),
  limits: z
    .strictObject({
      concurrentRequests: z.int().min(1).max(10_000).default(64),
      maxAnswerBytes: bytes.default(1_073_741_824),
      bundleEntries: z.int().min(1).max(1_000).default(100),
    })
    .prefault({}),
});

/** The id of a tenant is a path segment, a metric label and a part of every key. */
export const tenantId = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9-]{0,62}$/,
    'a tenant id is 1 to 63 lower-case letters, digits and hyphens, and does not begin with a hyphen',
  );

export const configSchema = z.strictObject({
  mode: z.enum(['production', 'development']).default('production'),
  public: z.strictObject({ host: z.string().min(1).default('0.0.0.0'), port: port.default(7080), url: baseUrl }),
  internal: z.strictObject({ host: z.string().min(1).default('127.0.0.1'), port: port.default(7081) }).prefault({}),
  dataDirectory: z.string().min(1).default('./data'),
  database: z.strictObject({ url: z.union([secretSource, z.undefined()]).optional() }).prefault({}),
  log: z.strictObject({ level: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info') }).prefault({}),
  audit: z
    .strictObject({
      segmentBytes: bytes.min(1_048_576).max(1_073_741_824).default(16_777_216),
      minimumFreeBytes: z.int().min(0).default(536_870_912),
    })
    .prefault({}),
  limits: z
    .strictObject({
      resourceBytes: bytes.max(16_777_216).default(262_144),
      bundleBytes: bytes.max(67_108_864).default(8_388_608),
      drainMs: milliseconds.default(30_000),
    })
    .prefault({}),
  jobs: z.strictObject({ concurrency: z.int().min(1).max(64).default(8) }).prefault({}),
  sealing: z.strictObject({ keys: z.array(secretSource).default([]) }).prefault({}),
  trustedProxies: z.array(z.string().min(1)).default([]),
  useCaseFolders: z.array(z.string().min(1)).default([]),
  tenants: z
    .record(tenantId, tenantSchema)
    .refine((tenants) => Object.keys(tenants).length > 0, { message: 'at least one tenant is needed' }),
});

export type ConfigSettings = z.infer<typeof configSchema>;
export type TenantSettings = z.infer<typeof tenantSchema>;

function baseUrlFault(text: string): string | undefined {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return 'must be an absolute URL, such as https://fhir.example.com/base';
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return 'must begin with https:// or http://';
  if (url.username !== '' || url.password !== '') return 'must not contain a user name or password';
  if (url.search !== '' || url.hash !== '') return 'must not contain a query or a fragment';
  if (text.endsWith('/')) return 'must not end with a slash';
  return undefined;
}
