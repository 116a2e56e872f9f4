import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { verifyJournal } from '../../../src/audit/verify.ts';
import { insist, same, type Scenario } from '../run/scenario.ts';
import { headerOf } from '../run/wire.ts';
import { makeProof } from '../run/world.ts';
import { ask, give, statusOf } from './ask.ts';

const MINE = { path: '/Patient/mine' };
const BSN = '999990019';

/** What is recorded, and what is not. */
export const auditScenarios: readonly Scenario[] = [
  {
    id: 'A2',
    title: 'no token, no proof, no number of a person and no body stands in the log or the audit of the whole run',
    run: async ({ bench }) => {
      const { token, jwk } = await bench.freshToken('chart-dpop');
      insist(jwk !== undefined, 'no key');
      const proof = await makeProof(
        { token, jwk },
        { method: 'GET', url: `${bench.publicUrl}/a/fhir/Patient/mine`, nowS: bench.nowS() },
      );
      await statusOf(bench, { ...MINE, headers: [`Authorization: DPoP ${token}`, `DPoP: ${proof}`] });
      const bearer = give(bench);
      await statusOf(bench, { path: `/Patient?identifier=${BSN}`, token: bearer });
      await statusOf(bench, { path: `/Patient/mine?access_token=${bearer}`, token: bearer });
      await statusOf(bench, {
        method: 'POST',
        path: '/Observation',
        token: bearer,
        json: { resourceType: 'Observation', note: 'LEAK-IN-BODY', subject: { reference: 'Patient/other' } },
      });
      await statusOf(bench, { path: '/Observation?patient=LEAK-IN-VALUE', token: bearer });
      await statusOf(bench, { ...MINE, token: bearer, headers: ['Cookie: LEAK-IN-COOKIE', 'X-Request-Id: LEAK-IN-ID'] });
      const texts = { log: bench.logged(), audit: JSON.stringify(await bench.journal.all()) };
      for (const [where, text] of Object.entries(texts)) {
        insist(text.length > 1_000, `${where} is empty`);
        for (const secret of [token, proof, bearer, BSN, 'LEAK-IN', 'Anderman', 'Mijnheer'])
          insist(!text.includes(secret), `${secret.slice(0, 20)} stands in the ${where}`);
      }
    },
  },
  {
    id: 'A3',
    title: 'an audit that is down is fail closed: a read, a write, a denial and a refusal are 503',
    run: async (stage) => {
      const bench = await stage.ownBench();
      const token = give(bench);
      await bench.breakAudit();
      const write = {
        method: 'POST',
        path: '/Observation',
        token,
        json: { resourceType: 'Observation', subject: { reference: 'Patient/mine' } },
      };
      for (const asked of [{ ...MINE, token }, write, { path: '/Patient/other', token }, { path: '/x/y/z', token }, MINE])
        same(await statusOf(bench, asked), 503, JSON.stringify(asked.path));
      const sent = (await bench.received()).filter(({ method }) => method !== 'GET');
      same(sent.length, 0, 'writes that went up');
    },
  },
  {
    id: 'A7',
    title: 'a search has on record whose data it was about, as proved, and what was asked without its values',
    run: async ({ bench }) => {
      const answer = await ask(bench, { path: '/Observation?patient=mine&code=SECRETCODE', token: give(bench) });
      const records = await bench.recordsOf(headerOf(answer, 'x-request-id') ?? '');
      const intent = records.find(({ phase, part }) => phase === 'intent' && part === undefined);
      same([intent?.patient, intent?.interaction], ['Patient/mine', 'search-type'], 'the record');
      same(intent?.path, '/Observation?patient&code', 'the path with names of parameters only');
      insist(!JSON.stringify(records).includes('SECRETCODE'), 'a value is on record');
    },
  },
  {
    id: 'A9',
    title: 'a line that is changed, taken out or put in breaks the chain, and verification says where',
    run: async (stage) => {
      const bench = await stage.ownBench();
      const token = give(bench);
      for (let index = 0; index < 6; index += 1) await statusOf(bench, { ...MINE, token });
      const folder = await mkdtemp(join(tmpdir(), 'sluis-chain-'));
      const check = async (change: (text: string) => string): Promise<number> => {
        await cp(bench.gateway.journal.directory, folder, { recursive: true, force: true });
        for (const name of (await readdir(folder)).filter((each) => each.endsWith('.ndjson') || each.includes('-0'))) {
          const file = join(folder, name);
          const text = await readFile(file, 'latin1');
          await writeFile(file, change(text), 'latin1');
        }
        return (await verifyJournal(folder)).breaks.length;
      };
      try {
        same(await check((text) => text), 0, 'untouched');
        insist((await check((text) => text.replace('"status":200', '"status":403'))) > 0, 'a changed status is not seen');
        insist((await check((text) => text.replace(/\{"seq":3,[^\n]*\n/, ''))) > 0, 'a missing line is not seen');
        insist((await check((text) => text.replace(/(\{"seq":3,[^\n]*\n)/, '$1$1'))) > 0, 'a line twice is not seen');
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
  },
  {
    id: 'A10',
    title: 'when the clock is set back, sequence and chain go on',
    run: async (stage) => {
      const bench = await stage.ownBench();
      for (const jump of [0, -7_200, 3_600]) {
        bench.clock.advance(jump);
        same(await statusOf(bench, { ...MINE, token: give(bench) }), 200, `after ${jump} s`);
      }
      const sequences = (await bench.journal.all()).filter(({ tenant }) => tenant === 'a').map(({ seq }) => seq);
      same(
        sequences,
        sequences.map((_each, index) => (sequences[0] ?? 0) + index),
        'sequence numbers',
      );
      same((await verifyJournal(bench.gateway.journal.directory)).breaks.length, 0, 'breaks');
    },
  },
];
