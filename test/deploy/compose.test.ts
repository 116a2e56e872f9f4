import { describe, expect, it } from '@jest/globals';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { ENVIRONMENT_NAMES, parseConfig } from '../../src/config.ts';

const root = join(import.meta.dirname, '../..');
const SECRETS = './deploy/compose/secrets/';

const service = z.object({
  image: z.string().optional(),
  environment: z.record(z.string(), z.unknown()).default({}),
  ports: z.array(z.string()).default([]),
  volumes: z.array(z.string()).default([]),
  secrets: z.array(z.string()).default([]),
  read_only: z.boolean().optional(),
  cap_drop: z.array(z.string()).default([]),
  cap_add: z.array(z.string()).default([]),
  networks: z.union([z.array(z.string()), z.record(z.string(), z.unknown())]).default([]),
  depends_on: z.record(z.string(), z.unknown()).default({}),
});
const composeFile = z.object({
  services: z.record(z.string(), service),
  networks: z.record(z.string(), z.unknown()),
  volumes: z.record(z.string(), z.unknown()),
  secrets: z.record(z.string(), z.object({ file: z.string() })),
});

const raw: unknown = parse(readFileSync(join(root, 'docker-compose.yml'), 'utf8'), { merge: true });
const compose = composeFile.parse(raw);
const services = Object.entries(compose.services);
const gateway = compose.services['gateway']!;

function validate(content: unknown): readonly string[] {
  const schema = JSON.parse(readFileSync(join(import.meta.dirname, 'compose-schema.json'), 'utf8')) as object;
  const check = new Ajv2020({ allErrors: true, allowUnionTypes: true }).compile(schema);
  check(content);
  return (check.errors ?? []).map((error) => `${error.instancePath} ${error.message ?? ''}`);
}

/** What a container sees at a path: a file of this repository, or a secret. */
function mountedAt(path: string): string | undefined {
  if (path.startsWith('/run/secrets/')) {
    const name = basename(path);
    return gateway.secrets.includes(name) ? compose.secrets[name]?.file : undefined;
  }
  return gateway.volumes.find((volume) => volume.split(':')[1] === path)?.split(':')[0];
}

describe('docker-compose.yml', () => {
  it('keeps to the compose schema', () => {
    expect(validate(raw)).toEqual([]);
  });

  it('would not keep to it with a misspelt key, an image without a version, or a port that is none', () => {
    const changed = (change: object): unknown => ({ services: { gateway: { image: 'sluis:0.1.0', ...change } } });
    expect(validate(changed({}))).toEqual([]);
    expect(validate(changed({ readonly: true }))).not.toEqual([]);
    expect(validate(changed({ image: 'sluis' }))).not.toEqual([]);
    expect(validate(changed({ image: 'sluis:latest' }))).not.toEqual([]);
    expect(validate(changed({ ports: ['web'] }))).not.toEqual([]);
  });

  it.each(services.flatMap(([name, { volumes }]) => volumes.map((volume) => [name, volume] as const)))(
    'mounts into %s only what exists: %s',
    (_name, volume) => {
      const [source = ''] = volume.split(':');
      if (source.startsWith('.')) expect(statSync(join(root, source)).isFile()).toBe(true);
      else expect(Object.keys(compose.volumes)).toContain(source);
    },
  );

  it('names only networks, secrets and services that it has', () => {
    for (const [, each] of services) {
      const networks = Array.isArray(each.networks) ? each.networks : Object.keys(each.networks);
      for (const name of networks) expect(Object.keys(compose.networks)).toContain(name);
      for (const name of each.secrets) expect(Object.keys(compose.secrets)).toContain(name);
      for (const name of Object.keys(each.depends_on)) expect(Object.keys(compose.services)).toContain(name);
    }
  });

  it('has every secret in a file that prepare.sh makes, and none in the file itself', () => {
    for (const [, { file }] of Object.entries(compose.secrets)) expect(file.startsWith(SECRETS)).toBe(true);
    for (const [name, { environment }] of services) {
      for (const [variable, value] of Object.entries(environment)) {
        if (/password|secret|token|key/i.test(variable)) expect(`${name} ${String(value)}`).toMatch(/ \/run\/secrets\//);
      }
    }
    if (spawnSync('openssl', ['version']).status !== 0) {
      console.warn('not shown that prepare.sh makes the secrets: there is no openssl here');
      return;
    }
    const folder = mkdtempSync(join(tmpdir(), 'sluis-compose-'));
    try {
      const run = spawnSync('sh', [join(root, 'deploy/compose/prepare.sh'), folder], { encoding: 'utf8' });
      expect(run.stderr).toBe('');
      const made = readdirSync(folder);
      for (const { file } of Object.values(compose.secrets)) expect(made).toContain(basename(file));
      const password = readFileSync(join(folder, 'database-password'), 'utf8');
      expect(new URL(readFileSync(join(folder, 'database-url'), 'utf8')).password).toBe(password);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('gives the gateway only variables that the configuration reads', () => {
    const names = Object.keys(gateway.environment);
    expect(names.length).toBeGreaterThan(0);
    for (const name of names) expect(ENVIRONMENT_NAMES).toContain(name);
  });

  it('mounts a configuration with which the gateway starts', () => {
    const path = z.string().parse(gateway.environment['SLUIS_CONFIG']);
    const source = mountedAt(path);
    expect(source).toBeDefined();
    const folder = mkdtempSync(join(tmpdir(), 'sluis-compose-'));
    try {
      // A secret's content does not matter here, but it must be one that the service has.
      const text = readFileSync(join(root, source!), 'utf8').replace(/\/run\/secrets\/[\w.-]+/g, (secret) => {
        expect(mountedAt(secret)).toBeDefined();
        return join(root, 'LICENSE');
      });
      const environment = Object.fromEntries(Object.entries(gateway.environment).map(([name, value]) => [name, String(value)]));
      const config = parseConfig(text, { file: join(folder, 'sluis.yaml'), environment });
      expect(config.databaseUrl).toBeDefined();
      expect(config.internal.host).toBe('0.0.0.0');
      // Its own hosts are services of this file.
      for (const { node, fhir } of config.tenants) {
        for (const url of [node.url, fhir.url]) expect(Object.keys(compose.services)).toContain(new URL(url).hostname);
      }
      // Where it writes is a volume; the rest of the file system is read-only.
      expect(gateway.volumes.map((volume) => volume.split(':')[1])).toContain(config.dataDirectory);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('opens to others the proxy and nothing else', () => {
    for (const [name, { ports }] of services) {
      for (const port of ports) if (name !== 'proxy') expect(`${name} ${port}`).toMatch(/ 127\.0\.0\.1:/);
    }
  });

  it.each(services)('confines %s: read-only, without capabilities', (name, each) => {
    expect(each.read_only).toBe(true);
    expect(each.cap_drop).toEqual(['ALL']);
    expect(each.cap_add).toEqual(name === 'node-volumes' ? ['CHOWN'] : []);
  });
});

describe('Dockerfile', () => {
  const dockerfile = readFileSync(join(root, 'Dockerfile'), 'utf8');
  const lines = dockerfile.split('\n').filter((line) => !line.startsWith('#'));
  const ignored = readFileSync(join(root, '.dockerignore'), 'utf8');

  it('copies what exists and what .dockerignore lets through', () => {
    const sources = lines
      .filter((line) => line.startsWith('COPY ') && !line.includes('--from='))
      .flatMap((line) => line.split(' ').slice(1, -1));
    expect(sources).toContain('src');
    for (const source of sources) {
      expect({ source, exists: existsSync(join(root, source)) }).toEqual({ source, exists: true });
      expect(ignored.split('\n')).toContain(`!${source}`);
    }
  });

  it('sets only variables that the configuration reads, besides NODE_ENV', () => {
    const names = [...dockerfile.matchAll(/\b(SLUIS_\w+|DATABASE_URL)=/g)].map(([, name]) => name);
    expect(names.length).toBeGreaterThan(0);
    for (const name of names) expect(ENVIRONMENT_NAMES).toContain(name);
  });

  it('runs as a user of its own, on a named version, without a shell', () => {
    expect(lines).toContain('USER 10001:10001');
    for (const [, image] of dockerfile.matchAll(/^FROM (\S+)/gm)) expect(image).toMatch(/:\d+\.\d+\.\d+/);
    for (const line of lines.filter((each) => /^\s*(CMD|ENTRYPOINT) /.test(each))) expect(line).toMatch(/(CMD|ENTRYPOINT) \[/);
    expect(dockerfile).toContain('--disable-proto=delete');
  });
});
