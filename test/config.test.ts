import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { ConfigError, ENVIRONMENT_NAMES, loadConfig, parseConfig } from '../src/config.ts';

const GOOD = `
public: { url: https://gate.example.com }
tenants:
  a:
    name: A
    did: did:nuts:AAA
    node: { url: http://127.0.0.1:8081 }
    fhir: { url: http://127.0.0.1:8090/fhir }
`;

function faults(text: string, environment: Record<string, string> = {}): readonly string[] {
  try {
    parseConfig(text, { file: 'sluis.yaml', environment });
  } catch (error) {
    if (error instanceof ConfigError) return error.message.split('\n').slice(1);
    throw error;
  }
  return [];
}

describe('the configuration', () => {
  it('config.example.yaml loads as it is', () => {
    const config = loadConfig({}, 'config.example.yaml');
    expect(config.tenants.map((tenant) => [tenant.id, tenant.publicUrl])).toEqual([
      ['ziekenhuis-oost', 'https://gate.example.com/ziekenhuis-oost'],
      ['thuiszorg-west', 'https://gate.example.com/thuiszorg-west'],
    ]);
    expect(config.mode).toBe('production');
    expect(config.tenants[0]?.useCases.has('eoverdracht')).toBe(true);
  });

  it('names every scalar outside the tenants in config.example.yaml', () => {
    const text = readFileSync('config.example.yaml', 'utf8');
    for (const name of ENVIRONMENT_NAMES.filter((candidate) => candidate.startsWith('SLUIS_') && candidate !== 'SLUIS_CONFIG')) {
      const last = name.split('__').at(-1)?.replace('SLUIS_', '') ?? '';
      const key = last.toLowerCase().replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
      expect(text).toContain(`${key}:`);
    }
  });

  it('has defaults that a small installation needs not touch', () => {
    const config = parseConfig(GOOD, { file: 'sluis.yaml', environment: {} });
    expect(config).toMatchObject({
      mode: 'production',
      public: { host: '0.0.0.0', port: 7080 },
      internal: { host: '127.0.0.1', port: 7081 },
      limits: { resourceBytes: 262_144 },
    });
    expect(config.tenants[0]).toMatchObject({ grants: 'ledger', fhir: { version: 'STU3', login: { kind: 'none' } } });
  });

  it('tells every fault at once, each with its line, its key, what stands there and what is allowed', () => {
    const found = faults(`
mode: prod
public: { url: gate.example.com, port: 70800 }
tenants:
  Bad_Id:
    name: ''
    did: did:web:example.com
    node: { url: "http://node:8081/", generation: [v1] }
    fhir: { url: http://fhir/base?x=1, login: { basic: { username: u, password: geheim } } }
`);
    const text = found.join('\n');
    expect(text).toContain('sluis.yaml:2  mode: is "prod"; must be production or development');
    expect(text).toContain('public.url: is "gate.example.com"; must be an absolute URL');
    expect(text).toContain('public.port: is 70800; must be at most 65535');
    expect(text).toContain('a tenant id is 1 to 63 lower-case letters');
    expect(text).not.toContain('geheim');
    expect(found.length).toBeGreaterThanOrEqual(4);
  });

  it('tells the faults inside a tenant by its id', () => {
    const found = faults(
      GOOD.replace('did:nuts:AAA', 'did:web:x').replace('http://127.0.0.1:8081', 'http://127.0.0.1:8081/'),
    ).join('\n');
    expect(found).toContain('tenants.a.did: is "did:web:x"; must be a did:nuts identifier');
    expect(found).toContain('sluis.yaml:7  tenants.a.node.url: is "http://127.0.0.1:8081/"; must not end with a slash');
  });

  it('knows whether a tenant allows XML, and allows none unless it says so', () => {
    const xmlOf = (text: string) => parseConfig(text, { file: 'sluis.yaml', environment: {} }).tenants[0]?.fhir.xml;
    const withXml = (value: string): string => GOOD.replace('/fhir }', `/fhir, xml: ${value} }`);
    expect([xmlOf(GOOD), xmlOf(withXml('none')), xmlOf(withXml('relative'))]).toEqual(['none', 'none', 'relative']);
    expect(faults(withXml('absolute')).join()).toContain('tenants.a.fhir.xml: is "absolute"; must be none or relative');
    expect(faults(withXml('true')).join()).toContain('tenants.a.fhir.xml: is true; must be none or relative');
  });

  it('refuses a key that it does not know, and a key that stands twice', () => {
    expect(faults(`${GOOD}\nlogg: { level: info }`).join()).toContain('logg: is not a known key here');
    expect(faults(`${GOOD}\nmode: development\nmode: production`).join()).toContain('unique');
  });

  it('takes overrides from the environment, and names the variable when its value does not hold', () => {
    const config = parseConfig(GOOD, {
      file: 'sluis.yaml',
      environment: { SLUIS_PUBLIC__PORT: '9000', SLUIS_LOG__LEVEL: 'warn', SLUIS_TRUSTED_PROXIES: '10.0.0.1, 10.1.0.0/16' },
    });
    expect(config.public.port).toBe(9000);
    expect(config.logLevel).toBe('warn');
    expect(config.trustedProxies).toEqual(['10.0.0.1', '10.1.0.0/16']);
    expect(faults(GOOD, { SLUIS_PUBLIC__PORT: 'many' }).join()).toContain(
      'public.port (from SLUIS_PUBLIC__PORT): is "many"; must be a whole number',
    );
    expect(faults(GOOD, { SLUIS_PUBLIC__PROT: '1' }).join()).toContain('SLUIS_PUBLIC__PROT: overrides nothing');
  });

  it('reads secrets from files and variables, never from the YAML, and never prints them', () => {
    const folder = mkdtempSync(join(tmpdir(), 'sluis-config-'));
    writeFileSync(join(folder, 'password'), 'geheim\n');
    const login = (password: string): string =>
      GOOD.replace('/fhir }', `/fhir, login: { basic: { username: u, password: ${password} } } }`);
    const config = parseConfig(login('{ file: password }'), { file: join(folder, 'sluis.yaml'), environment: {} });
    const made = config.tenants[0]?.fhir.login;
    expect(made?.kind === 'basic' ? made.password.reveal() : undefined).toBe('geheim');
    expect(JSON.stringify(config.tenants[0])).not.toContain('geheim');
    expect(faults(login('{ env: NOT_THERE }')).join()).toContain('the environment variable NOT_THERE is not set');
    expect(faults(login('geheim')).join()).toContain('must be none, {basic:');
    expect(faults(login('{ file: /does/not/exist }')).join()).toContain('tenants.a.fhir.login.basic.password');
  });

  it('takes PostgreSQL from DATABASE_URL', () => {
    const config = parseConfig(GOOD, { file: 'sluis.yaml', environment: { DATABASE_URL: 'postgres://x' } });
    expect(config.databaseUrl?.reveal()).toBe('postgres://x');
  });

  it('insists on https for the public address in production, and not in development', () => {
    const plain = GOOD.replace('https://gate', 'http://gate');
    expect(faults(plain).join()).toContain('public.url: must begin with https://');
    expect(faults(`mode: development\n${plain}`)).toEqual([]);
  });

  it('refuses two tenants with one DID, and a trusted proxy that is no address', () => {
    const two = `${GOOD}  b:\n    name: B\n    did: did:nuts:AAA\n    node: { url: http://127.0.0.1:1 }\n    fhir: { url: http://127.0.0.1:2/fhir }\n`;
    expect(faults(two).join()).toContain('tenants.b.did: is also that of a');
    expect(faults(`trustedProxies: [proxy.local]\n${GOOD}`).join()).toContain(
      'trustedProxies.0: is "proxy.local"; must be an IP address',
    );
  });

  it('bounds the life of tokens per tenant, and lets none be below what a v2 node gives', () => {
    const node = (settings: string): string => GOOD.replace('8081 }', `8081, ${settings} }`);
    const v2 = (seconds: number): string =>
      node(`generations: [v1, v2], maxTokenLifeSeconds: ${String(seconds)}`).replace(
        'did: did:nuts:AAA',
        'did: did:nuts:AAA\n    subject: a\n    authorizationServerUrl: https://node.example.com/oauth2/a',
      );
    const lifeOf = (text: string) =>
      parseConfig(text, { file: 'sluis.yaml', environment: {} }).tenants[0]?.node.maxTokenLifeSeconds;
    expect([lifeOf(GOOD), lifeOf(node('maxTokenLifeSeconds: 60')), lifeOf(v2(900))]).toEqual([3600, 60, 900]);
    expect(faults(node('maxTokenLifeSeconds: 59')).join()).toContain(
      'tenants.a.node.maxTokenLifeSeconds: is 59; must be at least 60',
    );
    expect(faults(node('maxTokenLifeSeconds: 86401')).join()).toContain('is 86401; must be at most 86400');
    expect(faults(node('maxTokenLifeSeconds: 60.5')).join()).toContain('is 60.5; must be a whole number');
    expect(faults(node('maxTokenLifeSeconds: 1h')).join()).toContain('is "1h"; must be a whole number');
    expect(faults(v2(899)).join()).toContain(
      'tenants.a.node.maxTokenLifeSeconds: is 899; must be at least 900 where generation v2 is served: a v2 node gives its tokens 900 s',
    );
  });

  it('takes what v2 tokens call the organisation, and lets no two tenants be one', () => {
    const V2 = GOOD.replace(
      'did: did:nuts:AAA',
      'subject: a\n    authorizationServerUrl: https://node.example.com/oauth2/a\n    organizationIds: [did:web:a.example, "87654321"]',
    ).replace('8081 }', '8081, generations: [v2] }');
    expect(parseConfig(V2, { file: 'sluis.yaml', environment: {} }).tenants[0]?.identity).toEqual({
      did: '',
      subject: 'a',
      authorizationServerUrl: 'https://node.example.com/oauth2/a',
      organizationIds: ['did:web:a.example', '87654321'],
    });
    const second = (id: string): string =>
      `${V2}  b:\n    name: B\n    did: did:nuts:BBB\n    organizationIds: [${id}]\n    node: { url: http://127.0.0.1:1 }\n    fhir: { url: http://127.0.0.1:2/fhir }\n`;
    expect(faults(second('did:web:b.example'))).toEqual([]);
    // The same organisation may have both names.
    expect(faults(second('did:nuts:BBB'))).toEqual([]);
    expect(faults(second('did:web:a.example')).join()).toContain(
      'tenants.b.organizationIds.0: is also that of a; each tenant is one organisation',
    );
    for (const [bad, said] of [
      ["' x'", 'must be a DID, a URA or another id'],
      ["''", 'must be a DID, a URA or another id'],
      ['87654321', 'must be a string'],
    ] as const)
      expect(faults(second(bad)).join()).toContain(said);
  });

  it('says what to do when there is no file', () => {
    expect(() => loadConfig({ SLUIS_CONFIG: '/does/not/exist.yaml' })).toThrow(/copy config.example.yaml to sluis.yaml/);
  });
});
