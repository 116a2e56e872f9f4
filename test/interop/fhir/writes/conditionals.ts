/** Conditional writes at the gate before a real R4 server: `checkConditionals`. */
import { randomUUID } from 'node:crypto';
import { at, insist } from '../../../../src/sandbox/scenario/step.ts';
import { observation } from '../chart/gate.ts';
import type { Report } from '../report.ts';
import type { Exchange } from '../server.ts';
import { same } from '../store-checks.ts';
import {
  named,
  OTHERS,
  patch,
  pathIn,
  reasonOf,
  REPRESENTATION,
  sameDenial,
  store,
  stored,
  storedAs,
  unchanged,
  versionOf,
  type WritesGate,
} from './gate.ts';

const ROUNDS = 5;
const FINAL = [{ op: 'replace', path: '/status', value: 'final' }];

export async function checkConditionals(report: Report, gate: WritesGate): Promise<void> {
  await checkCreate(report, gate);
  await checkUpdate(report, gate);
  await checkPatchAndDelete(report, gate);
  await checkDenials(report, gate);
}

const by = (name: string): string => `patient=mine&identifier=${name}`;

async function checkCreate({ check, line }: Report, gate: WritesGate): Promise<void> {
  const { server } = gate;
  const create = (name: string, body: unknown, headers: Record<string, string> = {}): Promise<Exchange> =>
    gate.send('POST', '/Observation', { headers: { 'if-none-exist': by(name), ...headers }, body });

  await check(
    'a conditional create: 201 with its place when nothing matches, then 200 with the same, and one is stored',
    async () => {
      const { name, resource } = named();
      const made = await create(name, resource);
      same([made.status, made.headers.get('location')?.startsWith(`${gate.base}/Observation/`)], [201, true]);
      const again = await create(name, resource);
      same([again.status, pathIn(again), again.text], [200, pathIn(made), '']);
      same(await storedAs(server, name), [pathIn(made).slice(1)]);
      const shown = await create(name, resource, REPRESENTATION);
      same([shown.status, at(shown.json, 'identifier', 0, 'value')], [200, name]);
    },
  );
  await check('when several match it is 412, and nothing more is stored', async () => {
    const { name, resource } = named();
    for (let count = 0; count < 2; count += 1) await store(server, resource);
    same((await create(name, resource)).status, 412);
    same((await storedAs(server, name)).length, 2);
  });
  await check(`twice at once stores one, in each of ${ROUNDS} rounds`, async () => {
    const seen = new Map<string, number>();
    for (let round = 0; round < ROUNDS; round += 1) {
      const { name, resource } = named();
      const answers = await Promise.all([1, 2].map(() => create(name, resource)));
      const statuses = answers
        .map(({ status }) => status)
        .sort()
        .join(' ');
      seen.set(statuses, (seen.get(statuses) ?? 0) + 1);
      same([statuses, (await storedAs(server, name)).length], [statuses, 1]);
      insist(/^(?:200 201|201 412)$/.test(statuses), `answered ${statuses}`);
      same((await create(name, resource)).status, 200);
    }
    for (const [statuses, times] of seen) line(`      ${statuses}: ${times} of ${ROUNDS}`);
  });
}

async function checkUpdate({ check }: Report, gate: WritesGate): Promise<void> {
  const { server } = gate;
  const update = (name: string, body: unknown, headers: Record<string, string> = {}): Promise<Exchange> =>
    gate.send('PUT', `/Observation?${by(name)}`, { headers, body });

  await check('a conditional update: what matches has a new version, and keeps its id', async () => {
    const { name, resource } = named();
    const path = await store(server, resource);
    const answer = await update(name, { ...resource, status: 'final' });
    same([answer.status, answer.headers.get('etag'), await storedAs(server, name)], [200, 'W/"2"', [path.slice(1)]]);
    same(at((await stored(server, path)).json, 'status'), 'final');
    same((await update(name, { ...resource, id: 'x' })).status, 400);
  });
  await check('when nothing matches it creates, never under an id of the caller’s', async () => {
    const { name, resource } = named();
    const chosen = await update(name, { ...resource, id: 'chosen' });
    same([chosen.status, reasonOf(chosen), await storedAs(server, name)], [422, 'id_of_no_match', []]);
    const made = await update(name, resource);
    same([made.status, await storedAs(server, name)], [201, [pathIn(made).slice(1)]]);
  });
  await check('when several match it is 412, and none is changed', async () => {
    const { name, resource } = named();
    const paths = [await store(server, resource), await store(server, resource)];
    await unchanged(server, paths, async () => {
      same((await update(name, { ...resource, status: 'final' })).status, 412);
    });
  });
  await check('twice at once, when nothing matches, stores one', async () => {
    const { name, resource } = named();
    const answers = await Promise.all([1, 2].map(() => update(name, resource)));
    const statuses = answers
      .map(({ status }) => status)
      .sort()
      .join(' ');
    same([statuses, (await storedAs(server, name)).length], [statuses, 1]);
    insist(/^(?:200 201|201 412)$/.test(statuses), `answered ${statuses}`);
  });
  await check('of a stale version it is 412', async () => {
    const { name, resource } = named();
    const path = await store(server, resource);
    const body = { ...resource, status: 'final' };
    same((await update(name, body, { 'if-match': 'W/"77"' })).status, 412);
    same([(await update(name, body, { 'if-match': 'W/"1"' })).status, await versionOf(server, path)], [200, '2']);
  });
}

async function checkPatchAndDelete({ check }: Report, gate: WritesGate): Promise<void> {
  const { server } = gate;
  await check('a conditional patch: of the one match; 404 when there is none, 412 when there are several', async () => {
    const { name, resource } = named();
    const path = await store(server, resource);
    same((await patch(gate, `/Observation?${by(name)}`, FINAL)).status, 200);
    same([at((await stored(server, path)).json, 'status'), await versionOf(server, path)], ['final', '2']);
    same((await patch(gate, `/Observation?${by(randomUUID())}`, FINAL)).status, 404);
    const second = await store(server, resource);
    await unchanged(server, [path, second], async () => {
      same((await patch(gate, `/Observation?${by(name)}`, FINAL)).status, 412);
    });
  });
  await check(
    'a conditional delete: of the one match in its version; 204 when there is none, 412 when there are several',
    async () => {
      const { name, resource } = named();
      const remove = (headers: Record<string, string> = {}): Promise<Exchange> =>
        gate.send('DELETE', `/Observation?${by(name)}`, { headers });
      const paths = [await store(server, resource), await store(server, resource)];
      await unchanged(server, paths, async () => {
        same((await remove({ 'if-match': 'W/"1"' })).status, 412);
      });
      await server.send('DELETE', paths[1] ?? '');
      await unchanged(server, [paths[0] ?? ''], async () => {
        same([(await remove()).status, (await remove({ 'if-match': 'W/"77"' })).status], [428, 412]);
      });
      same((await remove({ 'if-match': 'W/"1"' })).status, 204);
      same([(await stored(server, paths[0] ?? '')).status, (await remove()).status], [410, 204]);
    },
  );
}

async function checkDenials({ check }: Report, gate: WritesGate): Promise<void> {
  const { server } = gate;
  await check('another’s is found by no criteria, and criteria that name nobody or another are one denial', async () => {
    const name = randomUUID();
    const path = await store(server, observation('Patient/other', { identifier: [{ value: name }], status: 'preliminary' }));
    const { resource } = named();
    await unchanged(server, [path, OTHERS], async () => {
      const answers: Exchange[] = [];
      for (const criteria of [`identifier=${name}`, `patient=other&identifier=${name}`, 'patient=mine&status=final']) {
        const place = `/Observation?${criteria}`;
        answers.push(
          await gate.send('POST', '/Observation', { headers: { 'if-none-exist': criteria }, body: resource }),
          await gate.send('PUT', place, { body: resource }),
          await patch(gate, place, FINAL),
          await gate.send('DELETE', place, { headers: { 'if-match': 'W/"1"' } }),
        );
      }
      sameDenial(answers);
      same((await patch(gate, `/Observation?${by(name)}`, FINAL)).status, 404);
      same((await gate.send('DELETE', `/Observation?${by(name)}`)).status, 204);
    });
    const made = await gate.send('POST', '/Observation', {
      headers: { 'if-none-exist': by(name) },
      body: { ...resource, identifier: [{ value: name }] },
    });
    same([made.status, (await storedAs(server, name)).length], [201, 2]);
  });
  await check('what a conditional write comes to is judged as that', async () => {
    const { name, resource } = named();
    const path = await store(server, resource);
    const about = observation('Patient/other', { identifier: [{ value: name }] });
    await unchanged(server, [path], async () => {
      sameDenial([
        await gate.send('PUT', `/Observation?${by(name)}`, { body: about }),
        await gate.send('PUT', `/Observation?${by(randomUUID())}`, { body: about }),
        await gate.send('POST', '/Observation', { headers: { 'if-none-exist': by(randomUUID()) }, body: about }),
        await patch(gate, `/Observation?${by(name)}`, [{ op: 'remove', path: '/subject' }]),
      ]);
    });
  });
}
