import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import type { Caller } from './case.ts';
import { createJournalReader } from './journal.ts';
import { below } from './bench.ts';
import type { AttackWorld, PresentedToken, Recorded } from './world.ts';

/** The sandbox with the world `attack`, as its own process, driven over its control API (design §11). */
export interface SandboxWorld extends AttackWorld {
  readonly internal: string;
  readonly operatorKey: (tenant: string) => string;
  readonly apiKey: (tenant: string) => string;
  /** A call to the control API. */
  control(method: string, path: string, body?: unknown): Promise<unknown>;
}

const tenant = z.object({ apiKey: z.string(), operatorKey: z.string(), fhir: z.string(), node: z.string(), did: z.string() });
const description = z.object({
  public: z.string(),
  internal: z.string(),
  control: z.string(),
  tenants: z.object({ a: tenant, b: tenant }),
});
const token = z.object({ access_token: z.string(), dpopJwk: z.record(z.string(), z.unknown()).optional() });
const recorded = z.array(
  z.object({ method: z.string(), target: z.string(), rawHeaders: z.array(z.string()), bodyBase64: z.string() }),
);

const MAIN = resolve(import.meta.dirname, '../../../src/sandbox/main.ts');

/** How the control API is asked for a token of each caller. */
const ASKED: Readonly<Record<Exclude<Caller, 'none' | 'unknown'>, Readonly<Record<string, unknown>>>> = {
  chart: { scope: 'chart', generation: 'v2' },
  'chart-v1': { purpose: 'chart', generation: 'v1' },
  'chart-dpop': { scope: 'chart', generation: 'v2', dpop: true },
  'other-scope': { scope: 'something-else', generation: 'v2' },
  'two-scopes': { scope: 'chart something-else', generation: 'v2' },
  'other-tenant': { scope: 'chart', generation: 'v2', tenant: 'b' },
  expired: { scope: 'chart', generation: 'v2', expiresInS: -60 },
};

/** Starts it on free ports; resolves when everything answers. */
export async function startSandboxWorld(): Promise<SandboxWorld> {
  const folder = await mkdtemp(join(tmpdir(), 'sluis-attack-'));
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', MAIN, '--world', 'attack', '--ports', 'auto', '--json', '--data', folder],
    { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, DATABASE_URL: undefined } },
  );
  const said = description.parse(JSON.parse(await firstLine(child)));
  const journal = createJournalReader(join(folder, 'data/audit'));
  const address = { host: '127.0.0.1', port: Number(new URL(said.public).port) };

  const control = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    const answer = await fetch(`${said.control}${path}`, {
      method,
      ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path} of the control API: ${answer.status} ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  };
  const freshToken = async (caller: Exclude<Caller, 'none'>): Promise<PresentedToken> => {
    if (caller === 'unknown') return { token: `nobodys-${Math.random().toString(36).slice(2)}` };
    const asked = { tenant: 'a', requester: 'c', ...ASKED[caller] };
    const { access_token, dpopJwk } = token.parse(await control('POST', '/tokens', asked));
    return { token: access_token, ...(dpopJwk === undefined ? {} : { jwk: dpopJwk }) };
  };
  const kept = new Map<string, { readonly token: Promise<PresentedToken>; readonly sinceMs: number }>();
  const received = async (): Promise<readonly Recorded[]> => {
    const both = await Promise.all(['a', 'b'].map((id) => control('GET', `/upstream/${id}/requests`)));
    return both.flatMap((list) =>
      recorded.parse(list).map(({ method, target, rawHeaders, bodyBase64 }) => ({
        method,
        target: below(target),
        rawHeaders,
        body: Buffer.from(bodyBase64, 'base64'),
      })),
    );
  };

  return {
    name: 'sandbox',
    address,
    publicUrl: said.public,
    internal: said.internal,
    operatorKey: (id) => (id === 'a' ? said.tenants.a : said.tenants.b).operatorKey,
    apiKey: (id) => (id === 'a' ? said.tenants.a : said.tenants.b).apiKey,
    control,
    secrets: [...(await secretsOf(said.tenants.a.fhir)), ...(await secretsOf(said.tenants.b.fhir))],
    freshToken,
    token: (caller) => {
      const known = kept.get(caller);
      // A v1 token lives for a minute, and a case may take long.
      if (known !== undefined && performance.now() - known.sinceMs < 20_000) return known.token;
      const made = freshToken(caller);
      kept.set(caller, { token: made, sinceMs: performance.now() });
      return made;
    },
    nowS: () => Date.now() / 1000,
    received,
    clear: async () => {
      await Promise.all(['a', 'b'].map((id) => control('DELETE', `/upstream/${id}/requests`)));
    },
    versionOf: async (reference) => {
      const answer = await fetch(`${said.tenants.a.fhir}/${reference}`);
      const body = z.object({ meta: z.object({ versionId: z.string() }).optional() }).parse(await answer.json());
      await control('DELETE', '/upstream/a/requests');
      return body.meta?.versionId;
    },
    recordsOf: (correlationId) => journal.of(correlationId),
    close: async () => {
      const gone = new Promise((done) => child.once('exit', done));
      child.kill('SIGTERM');
      await gone;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((done, fail) => {
    child.once('exit', (code) => fail(new Error(`the sandbox ended with ${code ?? 'a signal'} before it was ready`)));
    if (child.stdout === null) throw new Error('the sandbox has no output');
    createInterface({ input: child.stdout }).once('line', done);
  });
}

/** Names and texts of what belongs to `Patient/other`: read from the FHIR server itself, as only the suite may. */
async function secretsOf(fhir: string): Promise<readonly string[]> {
  const found = new Set<string>();
  for (const path of ['Patient/other', 'Observation/other-1']) {
    const answer = await fetch(`${fhir}/${path}`);
    collect(await answer.json(), found);
  }
  for (const path of ['Patient/mine', 'Observation/mine-1']) {
    const common = new Set<string>();
    collect(await (await fetch(`${fhir}/${path}`)).json(), common);
    for (const each of common) found.delete(each);
  }
  return [...found];
}

/** Texts that stand in names, notes and numbers; not codes, ids and moments, which others may have as well. */
function collect(value: unknown, into: Set<string>, name = ''): void {
  if (typeof value === 'string') {
    if (['family', 'text', 'display', 'value', 'div', 'given'].includes(name) && value.length > 4) into.add(value);
    return;
  }
  if (typeof value !== 'object' || value === null) return;
  for (const [member, each] of Object.entries(value)) collect(each, into, Array.isArray(value) ? name : member);
}
