import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { ConfigError, parseConfig } from '../../../src/config.ts';
import { eventually, insist, same, type Scenario, type Stage } from '../run/scenario.ts';
import { portOf } from '../run/scripted.ts';
import { ask, give, statusOf } from './ask.ts';

const MINE = { path: '/Patient/mine' };

/** What tenants must not have of each other. */
export const tenancyScenarios: readonly Scenario[] = [
  {
    id: 'TN3',
    title: 'an unknown tenant, an unknown path and a tenant’s unknown path are one answer',
    run: async ({ bench }) => {
      const bodies = new Set<string>();
      for (const [tenant, path] of [
        ['nobody', '/Patient/mine'],
        ['nobody', '/x'],
        ['A', '/Patient/mine'],
      ] as const) {
        for (const token of [undefined, give(bench), 'nonsense']) {
          const answer = await ask(bench, { tenant, path, ...(token === undefined ? {} : { token }) });
          const id = answer.headers.find(([name]) => name === 'x-request-id')?.[1] ?? '';
          bodies.add(`${answer.status} ${answer.body.toString().replaceAll(id, '')}`);
        }
      }
      same(bodies.size, 1, 'different answers');
    },
  },
  {
    id: 'TN6',
    title: 'names that glue together to the same text are two tenants in every memory',
    run: async ({ bench }) => {
      const token = give(bench);
      same(await statusOf(bench, { ...MINE, token }), 200, 'a, remembered');
      // The same token at the other tenant: the introspection, the look-up and the page are that tenant’s own.
      same(await statusOf(bench, { ...MINE, tenant: 'b', token }), 401, 'b');
      const ofB = give(bench, { iss: 'https://node.example/oauth2/b' });
      const one = await ask(bench, { path: '/Observation/mine-1', token });
      const other = await ask(bench, { path: '/Observation/mine-1', tenant: 'b', token: ofB });
      same([one.status, other.status], [200, 200], 'both read their own');
      insist(!one.body.equals(other.body), 'both tenants get the same resource');
      const first = await ask(bench, { path: '/Observation?patient=mine&_count=5', token });
      const next = /"relation":"next","url":"https:\/\/gate\.example\/a\/fhir([^"]+)"/.exec(first.body.toString())?.[1];
      insist(next !== undefined, 'no next page');
      insist([400, 403].includes(await statusOf(bench, { path: next, tenant: 'b', token: ofB })), 'a page of a is a page of b');
    },
  },
  {
    id: 'TN8',
    title: 'one tenant’s flood does not slow the other',
    run: async (stage) => {
      const bench = await stage.ownBench({ tenant: { limits: { concurrentRequests: 4 } } });
      const ofB = give(bench, { iss: 'https://node.example/oauth2/b' });
      const token = give(bench);
      same(await statusOf(bench, { ...MINE, token }), 200, 'before');
      // a's server answers when b has been served: a gate at which b waits for a does not come to an end.
      const served = Promise.withResolvers<undefined>();
      const json = { resourceType: 'Patient', id: 'mine' };
      bench.script.upstream({ status: 200, headers: {}, until: served.promise, json, tenant: 'a' });
      const answered: number[] = [];
      const flood = Array.from({ length: 40 }, async () => answered.push(await statusOf(bench, { ...MINE, token })));
      await eventually(() => answered.length >= 36, 'the flood is refused but for its places');
      same([...new Set(answered)], [429], 'what is refused');
      same(await statusOf(bench, { ...MINE, tenant: 'b', token: ofB }), 200, 'b during the flood');
      same(answered.length, 36, 'the answers to a until then');
      served.resolve(undefined);
      await Promise.all(flood);
      same(answered.slice(36), [200, 200, 200, 200], 'those that had a place');
    },
  },
  {
    id: 'TN9',
    title: 'two tenants before one FHIR server: what a knows of b’s token is nothing',
    run: async (stage) => {
      const own = stage.bench.fhir.get('a')?.url ?? '';
      const bench = await stage.ownBench({ fhirUrl: () => own });
      const token = give(bench);
      same(await statusOf(bench, { ...MINE, token }), 200, 'a');
      same(await statusOf(bench, { ...MINE, tenant: 'b', token }), 401, 'b with a’s token');
      same(await statusOf(bench, { path: '/Patient/other', token }), 403, 'a beyond its rule');
    },
  },
  {
    id: 'TN10',
    title: 'a tenant’s operator reads its own audit and no other’s',
    run: async (stage) => {
      const world = await stage.sandbox();
      const read = (tenant: string, key: string) =>
        fetch(`${world.internal}/api/v1/tenants/${tenant}/audit?limit=5`, { headers: { authorization: `Bearer ${key}` } });
      same((await read('a', world.operatorKey('a'))).status, 200, 'a’s operator at a');
      same((await read('b', world.operatorKey('a'))).status, 404, 'a’s operator at b');
      same((await read('a', world.apiKey('a'))).status, 403, 'a’s EHR');
      same((await read('-', world.operatorKey('a'))).status, 404, 'the chain of no tenant');
      const body = await (await read('a', world.operatorKey('a'))).text();
      insist(!body.includes('"tenant":"b"'), 'b in a’s audit');
    },
  },
  {
    id: 'TN11',
    title: 'a tenant that is taken out is an unknown tenant, whatever token lives on',
    run: async (stage) => {
      const bench = await stage.ownBench({ tenants: ['b'] });
      const token = give(bench);
      same(await statusOf(bench, { ...MINE, token }), 404, 'the tenant that is gone');
      same(bench.introspections(), 0, 'calls to its node');
      same(
        await statusOf(bench, { ...MINE, tenant: 'b', token: give(bench, { iss: 'https://node.example/oauth2/b' }) }),
        200,
        'the other',
      );
    },
  },
  {
    id: 'TN12',
    title: 'a FHIR server or node at an address that is no URL of a server is refused at the start',
    run: () => {
      const problems = (fhir: string, mode = 'production'): readonly string[] => {
        try {
          parseConfig(config(fhir, mode), { file: 'sluis.yaml', environment: {} });
          return [];
        } catch (error) {
          if (error instanceof ConfigError) return error.problems.map(({ key }) => key);
          throw error;
        }
      };
      same(problems('https://fhir.example/base'), [], 'a good one');
      for (const url of [
        'file:///etc/passwd',
        'ftp://x',
        'https://u:p@fhir.example',
        'https://x/?a=b',
        'https://x/#f',
        'https://x/',
        'x',
        '',
      ])
        insist(problems(url).length > 0, `${url} is taken`);
      return Promise.resolve();
    },
  },
  {
    id: 'L8',
    title: 'a FHIR server with a certificate that nobody vouches for is not spoken to',
    run: (stage) => withTlsServer(stage),
  },
];

function config(fhir: string, mode: string): string {
  return stringify({
    mode,
    public: { url: 'https://gate.example' },
    tenants: { a: { name: 'a', did: 'did:nuts:a', node: { url: 'https://node.example' }, fhir: { url: fhir } } },
  });
}

async function withTlsServer(stage: Stage): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'sluis-tls-'));
  const [key, cert, other] = ['key.pem', 'cert.pem', 'other.pem'].map((name) => join(folder, name)) as [string, string, string];
  const make = (out: string, subject: string): void => {
    const names = [
      '-keyout',
      key,
      '-out',
      out,
      '-days',
      '2',
      '-subj',
      `/CN=${subject}`,
      '-addext',
      `subjectAltName=${subject === 'right' ? 'IP:127.0.0.1' : 'DNS:elsewhere.example'}`,
    ];
    execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', ...names], { stdio: 'ignore' });
  };
  let seen = 0;
  const serve = async (certificate: string) => {
    const server = createServer({ key: readFileSync(key), cert: readFileSync(certificate) }, (_request, response) => {
      seen += 1;
      response.writeHead(200, { 'content-type': 'application/fhir+json' }).end('{"resourceType":"Patient","id":"mine"}');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return server;
  };
  const read = async (port: number, tls: object): Promise<number> => {
    const bench = await stage.ownBench({ fhirUrl: () => `https://127.0.0.1:${port}/fhir`, fhir: { tls } });
    return statusOf(bench, { ...MINE, token: give(bench) });
  };
  writeFileSync(other, '');
  make(cert, 'right');
  const good = await serve(cert);
  try {
    same(await read(portOf(good), {}), 502, 'a certificate of nobody');
    same(await read(portOf(good), { caFile: cert }), 200, 'a certificate that the tenant trusts');
    make(other, 'wrong');
    const wrong = await serve(other);
    same(await read(portOf(wrong), { caFile: other }), 502, 'a trusted certificate of another name');
    wrong.close();
    same(seen, 1, 'requests that were sent');
  } finally {
    good.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
