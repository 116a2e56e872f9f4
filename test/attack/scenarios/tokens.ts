import { setTimeout as delay } from 'node:timers/promises';
import { getHeapSnapshot, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createIntrospection } from '../../../src/token/introspection.ts';
import { createProofIds } from '../../../src/store/proof-ids.ts';
import { openDatabase } from '../../../src/store/database.ts';
import { createClock } from '../../../src/clock.ts';
import { createLogger } from '../../../src/log.ts';
import { createMetrics } from '../../../src/metrics.ts';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { insist, same, type Scenario } from '../run/scenario.ts';
import { makeProof } from '../run/world.ts';
import { ask, facts, give, statusOf } from './ask.ts';

const CACHE_S = 6;
const MINE = { path: '/Patient/mine' };

/** Tokens over time: what is remembered, and what is judged anew. */
export const tokenScenarios: readonly Scenario[] = [
  {
    id: 'T23',
    title: 'a revoked token ends with the cache, and at once for a write',
    run: async ({ bench }) => {
      const token = give(bench);
      same(await statusOf(bench, { ...MINE, token }), 200, 'before');
      bench.tell(token, { active: false });
      const write = { method: 'POST', path: '/Observation', token, json: { resourceType: 'Observation' } };
      same(await statusOf(bench, write), 401, 'a write after the revocation');
      bench.clock.advance(CACHE_S);
      same(await statusOf(bench, { ...MINE, token }), 401, 'a read after the cache’s time');
    },
  },
  {
    id: 'T24',
    title: 'a cache hit is judged anew: purpose, proof and end',
    run: async ({ bench }) => {
      const { token, jwk } = await bench.freshToken('chart-dpop');
      insist(jwk !== undefined, 'no key');
      const asked = bench.introspections();
      const proof = () =>
        makeProof({ token, jwk }, { method: 'GET', url: `${bench.publicUrl}/a/fhir/Patient/mine`, nowS: bench.nowS() });
      const head = async () => [`Authorization: DPoP ${token}`, `DPoP: ${await proof()}`];
      same(await statusOf(bench, { ...MINE, headers: await head() }), 200, 'with a proof');
      same(await statusOf(bench, { ...MINE, headers: await head() }), 200, 'with another proof');
      same(await statusOf(bench, { ...MINE, headers: [`Authorization: DPoP ${token}`] }), 401, 'without one');
      same(await statusOf(bench, { ...MINE, token }), 401, 'as bearer');
      same(await statusOf(bench, { path: '/Patient/other', headers: await head() }), 401, 'a proof for another path');
      same(bench.introspections() - asked, 1, 'calls to the node');
      const short = give(bench, { exp: Math.floor(bench.nowS()) + 2 });
      same(await statusOf(bench, { ...MINE, token: short }), 200, 'before its end');
      bench.clock.advance(2);
      same(await statusOf(bench, { ...MINE, token: short }), 401, 'after its end, within the cache’s time');
    },
  },
  {
    id: 'T25',
    title: 'what is remembered of one tenant’s token says nothing at another',
    run: async ({ bench }) => {
      const token = give(bench);
      same(await statusOf(bench, { ...MINE, token }), 200, 'at a');
      const asked = bench.introspections();
      same(await statusOf(bench, { ...MINE, token, tenant: 'b' }), 401, 'at b');
      same(bench.introspections() - asked, 1, 'b asks its own node');
      same(await statusOf(bench, { ...MINE, token }), 200, 'at a again');
    },
  },
  {
    id: 'T26',
    title: 'the memory of introspection holds no token',
    run: async () => {
      const clock = createClock();
      const nowS = Math.floor(clock.now().getTime() / 1000);
      const known = { active: true, iss: 'x', iat: nowS, exp: nowS + 60, claims: new Map() } as const;
      const introspection = createIntrospection({
        clock,
        metrics: createMetrics(false),
        node: {
          introspectV1: () => Promise.resolve({ active: false }),
          introspectV2: () => Promise.resolve(known),
          isHealthy: () => Promise.resolve(true),
        },
      });
      const tenant = { id: 'a', node: { url: 'http://node', generations: ['v2'], introspectionCacheMs: 5_000 } };
      // Written in two parts, so that the program itself does not hold the whole.
      const mark = ['heap', Math.random().toString(36).slice(2)].join('-mark-');
      await introspection.introspect(tenant as never, { scheme: 'bearer', token: Buffer.from(mark).toString('hex') }, false);
      const found = await inHeap(Buffer.from(Buffer.from(mark).toString('hex')));
      insist(!found, 'a heap snapshot shows the token');
      // The same way of looking finds what is there.
      const kept = { text: Buffer.from(`${mark}-kept`).toString('hex') };
      insist(await inHeap(Buffer.from(Buffer.from(`${mark}-kept`).toString('hex'))), 'the snapshot shows nothing at all');
      insist(kept.text.length > 0, 'kept');
    },
  },
  {
    id: 'T27',
    title: 'many unknown tokens are remembered shortly and not without bound',
    run: async () => {
      const clock = createClock();
      let asked = 0;
      const introspection = createIntrospection({
        clock,
        metrics: createMetrics(false),
        node: {
          introspectV1: () => Promise.resolve({ active: false }),
          introspectV2: () => {
            asked += 1;
            return Promise.resolve({ active: false } as const);
          },
          isHealthy: () => Promise.resolve(true),
        },
      });
      const tenant = { id: 'a', node: { url: 'http://node', generations: ['v2'], introspectionCacheMs: 5_000 } } as never;
      const try1 = (token: string): Promise<unknown> =>
        introspection.introspect(tenant, { scheme: 'bearer', token }, false).catch(() => undefined);
      const before = heapUsed();
      for (let number = 0; number < 100_000; number += 1) await try1(`random-${number}`);
      const grown = heapUsed() - before;
      insist(grown < 20_000_000, `100,000 unknown tokens take ${grown} bytes`);
      same(asked, 100_000, 'each is asked once');
      await try1('random-99999');
      same(asked, 100_000, 'the last is remembered');
      clock.advance(3);
      await try1('random-99999');
      same(asked, 100_001, 'and not for long');
    },
  },
  {
    id: 'T29',
    title: 'a decision is not remembered with the token',
    run: async ({ bench }) => {
      const token = give(bench);
      same(await statusOf(bench, { path: '/Observation/mine-11', token }), 200, 'while it is about the patient');
      const asked = bench.introspections();
      bench.script.upstream({
        status: 200,
        headers: {},
        json: { resourceType: 'Observation', id: 'mine-11', meta: { versionId: '2' }, subject: { reference: 'Patient/other' } },
      });
      same(await statusOf(bench, { path: '/Observation/mine-11', token }), 403, 'once it is not any more');
      bench.script.upstream(undefined);
      same(bench.introspections(), asked, 'the token was remembered');
    },
  },
  {
    id: 'T33',
    title: 'a role for a natural person denies a token without one',
    run: async ({ bench }) => {
      const named = { scope: 'lab-person', employee_id: 'e1', employee_name: 'J. Jansen' };
      same(await statusOf(bench, { ...MINE, token: give(bench, named) }), 200, 'with a person');
      for (const change of [{ employee_id: undefined }, { employee_name: '' }, { employee_id: ['e1'] }, { employee_name: 5 }]) {
        same(await statusOf(bench, { ...MINE, token: give(bench, { ...named, ...change }) }), 403, JSON.stringify(change));
      }
    },
  },
  {
    id: 'T34',
    title: 'absent on both sides is not equal',
    run: async ({ bench }) => {
      // A token without iss, an organisation without a DID, a resource without a subject.
      same(await statusOf(bench, { ...MINE, token: give(bench, { iss: undefined }) }), 401, 'no issuer');
      same(
        await statusOf(bench, { ...MINE, token: give(bench, { organization_did: undefined, organization_name: undefined }) }),
        403,
        'no organisation',
      );
      bench.script.upstream({
        status: 200,
        headers: {},
        json: { resourceType: 'Observation', id: 'mine-12', meta: { versionId: '1' } },
      });
      same(await statusOf(bench, { path: '/Observation/mine-12', token: give(bench) }), 403, 'no subject');
      bench.script.upstream(undefined);
    },
  },
  {
    id: 'T31',
    title: 'a claim of another type, or that does not match whole, is a denial',
    run: async ({ bench }) => {
      const of = (ward: unknown) => give(bench, { scope: 'lab', ward });
      same(await statusOf(bench, { ...MINE, token: of('ICU') }), 200, 'a ward');
      for (const ward of [['ICU', 'B'], ['ICU'], { a: 1 }, 7, 'icu', 'ICU ', 'XICUX', '', 'ICU\n', 'A","criteria":"Patient'])
        same(await statusOf(bench, { ...MINE, token: of(ward) }), 403, `ward ${JSON.stringify(ward)}`);
    },
  },
  {
    id: 'T35',
    title: 'each tenant’s token is judged by its own node, whatever runs at once',
    run: async ({ bench }) => {
      const ofA = give(bench);
      const ofB = give(bench, { iss: 'https://node.example/oauth2/b' });
      const asked = Array.from({ length: 40 }, (_each, index) => {
        const tenant = index % 2 === 0 ? 'a' : 'b';
        const token = index % 4 < 2 ? ofA : ofB;
        const right = (tenant === 'a') === (token === ofA) ? 200 : 401;
        return statusOf(bench, { ...MINE, tenant, token }).then((status) => same(status, right, `${tenant} with ${token}`));
      });
      await Promise.all(asked);
    },
  },
  {
    id: 'T36',
    title: 'each page of a walk is judged with the token of that moment',
    run: async ({ bench }) => {
      const token = give(bench);
      const first = await ask(bench, { path: '/Observation?patient=mine&_count=5', token });
      const next = /"relation":"next","url":"https:\/\/gate\.example\/a\/fhir([^"]+)"/.exec(first.body.toString())?.[1];
      insist(next?.includes('_continuation=') === true, 'no sealed link to the next page');
      same(await statusOf(bench, { path: next, token }), 200, 'the next page');
      same(
        await statusOf(bench, { path: next, token: give(bench, { organization_did: 'did:web:d.example' }) }),
        403,
        'by another',
      );
      same(await statusOf(bench, { path: next, token: give(bench, { scope: 'lab-narrowed' }) }), 403, 'for another purpose');
      same(await statusOf(bench, { path: next }), 401, 'without a token');
      bench.tell(token, { ...facts(bench), exp: Math.floor(bench.nowS()) + 1 });
      bench.clock.advance(CACHE_S);
      same(await statusOf(bench, { path: next, token }), 401, 'after the token’s end');
    },
  },
  {
    id: 'D11',
    title: 'a proof that one process has seen is used for every process with the same database',
    run: async () => {
      const directory = await mkdtemp(join(tmpdir(), 'sluis-proofs-'));
      const logger = createLogger('silent');
      const one = await openDatabase({ directory, logger });
      try {
        // Processes share a PostgreSQL; a second one on the same files is told so.
        const second = await openDatabase({ directory, logger }).then(
          async (other) => {
            await other.close();
            return 'opened';
          },
          () => 'refused',
        );
        same(second, 'refused', 'a second process on the same SQLite files');
        const used = { tenant: 'a', jkt: 'k', jti: 'j', expiresAt: new Date(createClock().now().getTime() + 60_000) };
        const results = await Promise.all([createProofIds(one).use(used), createProofIds(one).use(used)]);
        same(results.filter((each) => each).length, 1, 'of two at once, one is the first');
        same(await createProofIds(one).use(used), false, 'and later none');
      } finally {
        await one.close();
        await rm(directory, { recursive: true, force: true });
      }
    },
  },
  {
    id: 'D17',
    title: 'a proof is not spent by a look-up of the token that failed, and not tried again by itself',
    run: async ({ bench }) => {
      const { token, jwk } = await bench.freshToken('chart-dpop');
      insist(jwk !== undefined, 'no key');
      const url = `${bench.publicUrl}/a/fhir/Patient/mine`;
      const proof = await makeProof({ token, jwk }, { method: 'GET', url, nowS: bench.nowS() });
      const headers = [`Authorization: DPoP ${token}`, `DPoP: ${proof}`];
      bench.script.node({ status: 500, headers: {}, text: 'x' });
      const asked = bench.introspections();
      same(await statusOf(bench, { ...MINE, headers }), 503, 'while the node is sick');
      same(bench.introspections() - asked, 1, 'calls to the node');
      bench.script.node(undefined);
      same(await statusOf(bench, { ...MINE, headers }), 200, 'the caller’s own repeat');
      same(await statusOf(bench, { ...MINE, headers }), 401, 'and once only');
    },
  },
];

function heapUsed(): number {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc()');
  return process.memoryUsage().heapUsed;
}

async function inHeap(mark: Buffer): Promise<boolean> {
  await delay(0);
  let rest = Buffer.alloc(0);
  let found = false;
  for await (const chunk of getHeapSnapshot()) {
    const bytes = Buffer.concat([rest, chunk as Buffer]);
    found ||= bytes.includes(mark);
    rest = bytes.subarray(-mark.length);
  }
  return found;
}
