import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createKey, listKeys, revokeKey } from '../../src/cli/apikey.ts';
import { withDatabase } from '../../src/cli/database.ts';
import { listJobs, retryJob } from '../../src/cli/jobs.ts';
import { loadConfig, type Config } from '../../src/config.ts';
import { enqueue } from '../../src/outbox/enqueue.ts';
import { verifyApiKey } from '../../src/store/api-keys.ts';

let folder: string;
let config: () => Config;
let lines: string[];
const print = (line: string): void => void lines.push(line);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluis-cli-'));
  const file = join(folder, 'sluis.yaml');
  const tenant = 'name: A, did: "did:nuts:AAA", node: { url: "http://127.0.0.1:1" }, fhir: { url: "http://127.0.0.1:2/fhir" }';
  writeFileSync(file, `public: { url: "https://gate.example.com" }\ntenants: { a: { ${tenant} } }\n`);
  config = () => loadConfig({}, file);
  lines = [];
});

afterEach(() => rmSync(folder, { recursive: true }));

describe('sluis apikey', () => {
  it('makes a key that is good until it is revoked, shown once and stored as a hash', async () => {
    await createKey(config, { tenant: 'a', role: 'ehr', label: 'EHR' }, print);
    const [secret = ''] = lines;
    const good = () => withDatabase(config(), (database) => verifyApiKey(database, secret, new Date()));
    expect(await good()).toMatchObject({ tenant: 'a', role: 'ehr', label: 'EHR' });
    lines = [];
    await listKeys(config, {}, print);
    expect(lines.join()).toMatch(/a {2}ehr {2}valid/);
    expect(lines.join()).not.toContain(secret);
    const id = secret.split('_')[1] ?? '';
    await expect(revokeKey(config, { id }, print)).rejects.toThrow('the host has no valid key');
    await revokeKey(config, { id, tenant: 'a' }, print);
    expect(await good()).toBeUndefined();
  });

  it('keeps the database for its owner alone', async () => {
    await createKey(config, { role: 'operator' }, print);
    expect(statSync(join(config().dataDirectory, 'sluis.db')).mode & 0o777).toBe(0o600);
  });

  it('says what is wrong with a tenant or a role', async () => {
    await expect(createKey(config, { tenant: 'b', role: 'ehr' }, print)).rejects.toThrow(
      '--tenant b is not in the configuration; there are a',
    );
    await expect(createKey(config, { role: 'ehr' }, print)).rejects.toThrow('--tenant is missing');
    await expect(listJobs(config, { tenant: 'b' }, print)).rejects.toThrow('there are a');
    await expect(revokeKey(config, { id: 'x' }, print)).rejects.toThrow('needs --tenant');
    expect(lines).toEqual([]);
  });
});

describe('sluis jobs', () => {
  const job = { tenant: 'a', useCase: 'u', name: 'notify', key: 't/n' };

  it('lists what gave up and lets it try again, once', async () => {
    await listJobs(config, {}, print);
    expect(lines).toEqual(['No job has given up.']);
    await withDatabase(config(), (database) =>
      database.transaction(async (tx) => {
        await enqueue(tx, { ...job, payload: null }, new Date());
        await tx.query.updateTable('job').set({ state: 'dead' }).execute();
      }),
    );
    lines = [];
    await listJobs(config, { tenant: 'a' }, print);
    expect(lines.join()).toContain('a u notify t/n');
    await retryJob(config, job, print);
    await expect(retryJob(config, job, print)).rejects.toThrow('no such job');
  });
});
