/** Batches and transactions at the gate before a real R4 server: `checkChartBundles`. */
import { randomUUID } from 'node:crypto';
import { at, insist, listAt, textAt } from '../../../../src/sandbox/scenario/step.ts';
import type { Report } from '../report.ts';
import type { Exchange, ServerClient } from '../server.ts';
import { same } from '../store-checks.ts';
import { namesOf, observation, storedIds, type ChartGate } from './gate.ts';

type Entry = Readonly<Record<string, unknown>>;

export async function checkChartBundles({ check }: Report, gate: ChartGate, server: ServerClient): Promise<void> {
  const send = (type: string, entry: readonly Entry[]): Promise<Exchange> =>
    gate.send('POST', '', { body: { resourceType: 'Bundle', type, entry } });
  const both = async (): Promise<readonly number[]> =>
    Promise.all(['mine', 'other'].map(async (who) => (await storedIds(server, `patient=Patient/${who}`)).length));
  const statuses = ({ json }: Exchange): readonly string[] =>
    listAt(json, 'entry').map((entry) => textAt(entry, 'response', 'status').slice(0, 3));

  await check('a batch: each entry as if it came alone, in its place', async () => {
    const before = await both();
    const answer = await send('batch', [
      read('Patient/mine'),
      read('Patient/other'),
      read('Observation/mine-1'),
      read('Observation/other-1'),
      read('Observation?patient=mine&_count=3&_include=Observation:subject'),
      read('Observation?patient=other'),
      create('Patient/mine'),
      create('Patient/other'),
    ]);
    same([answer.status, at(answer.json, 'type')], [200, 'batch-response']);
    same(statuses(answer), ['200', '403', '200', '403', '200', '403', '201', '403']);
    const found = at(answer.json, 'entry', 4, 'resource');
    same([namesOf(found, 'match').length, namesOf(found, 'include')], [3, ['Patient/mine']]);
    for (const link of listAt(found, 'link')) insist(textAt(link, 'url').startsWith(gate.base), textAt(link, 'url'));
    const location = textAt(answer.json, 'entry', 6, 'response', 'location');
    insist(/^(?:.*\/)?Observation\/[^/]+\/_history\/1$/.test(location), `the location is ${location}`);
    same(await both(), [(before[0] ?? 0) + 1, before[1]]);
  });
  await check('the next page of a search within a batch is sealed, and opens', async () => {
    const answer = await send('batch', [read('Observation?patient=mine&_count=7')]);
    const first = at(answer.json, 'entry', 0, 'resource');
    const next = listAt(first, 'link').find((link) => at(link, 'relation') === 'next');
    if (next === undefined) return 'no further page is offered';
    const second = await gate.send('GET', textAt(next, 'url').slice(gate.base.length));
    same([second.status, namesOf(second.json).some((name) => namesOf(first).includes(name))], [200, false]);
    return 'opened';
  });
  await check('a transaction: creates that refer to each other, and an update, all stored', async () => {
    const before = await both();
    const name = `urn:uuid:${randomUUID()}`;
    const made = create('Patient/mine', { code: { text: 'group' }, hasMember: [{ reference: name }] });
    const answer = await send('transaction', [made, { ...create('Patient/mine', { code: { text: 'member' } }), fullUrl: name }]);
    same([answer.status, statuses(answer)], [200, ['201', '201']]);
    same(await both(), [(before[0] ?? 0) + 2, before[1]]);
    const [group = '', member = ''] = listAt(answer.json, 'entry').map(
      (entry) => /Observation\/[^/]+/.exec(textAt(entry, 'response', 'location'))?.[0] ?? '',
    );
    const stored = await server.send('GET', `/${group}`);
    same(at(stored.json, 'hasMember', 0, 'reference'), member);
    const again = await send('transaction', [update(member, '1', 'Patient/mine'), read('Patient/mine')]);
    same([again.status, statuses(again)], [200, ['200', '200']]);
  });
  await check(
    'a transaction with one entry denied is 403 as a whole; with one stale version it is 412; nothing is stored',
    async () => {
      const before = await both();
      same((await send('transaction', [create('Patient/mine'), create('Patient/other')])).status, 403);
      same((await send('transaction', [create('Patient/mine'), read('Patient/other')])).status, 403);
      const stale = await send('transaction', [create('Patient/mine'), update('Observation/mine-3', '77', 'Patient/mine')]);
      same(stale.status, 412);
      same(await both(), before);
    },
  );
  await check('in a batch a stale version is that entry’s 412', async () => {
    const answer = await send('batch', [update('Observation/mine-3', '77', 'Patient/mine'), read('Patient/mine')]);
    same([answer.status, statuses(answer)], [200, ['412', '200']]);
  });
  await check('what the server would read otherwise than it says is not sent', async () => {
    const before = await both();
    // Its url says Observation, its resource is a Patient: stored as a Patient by some.
    const liar = { ...create('Patient/mine'), resource: { resourceType: 'Patient' } };
    const absolute = { request: { method: 'GET', url: `${server.base}/Patient/other` } };
    for (const entry of [liar, absolute, { request: { method: 'GET', url: 'Patient/%256dine' } }]) {
      const answer = await send('batch', [entry]);
      insist(answer.status === 400 || /^4/.test(statuses(answer)[0] ?? ''), `${JSON.stringify(entry)}: ${answer.status}`);
      insist((await send('transaction', [entry, create('Patient/mine')])).status >= 400, 'a transaction has it');
    }
    insist(
      (await gate.send('POST', '', { body: { resourceType: 'Bundle', entry: [create('Patient/mine')] } })).status >= 400,
      'no type',
    );
    same(
      (
        await send(
          'batch',
          Array.from({ length: 200 }, () => read('Patient/mine')),
        )
      ).status,
      413,
    );
    same(await both(), before);
  });
}

function read(url: string): Entry {
  return { request: { method: 'GET', url } };
}

function create(about: string, more: Readonly<Record<string, unknown>> = {}): Entry {
  return { resource: observation(about, more), request: { method: 'POST', url: 'Observation' } };
}

function update(path: string, version: string, about: string): Entry {
  const [, id] = path.split('/');
  return {
    resource: observation(about, { id, status: 'amended' }),
    request: { method: 'PUT', url: path, ifMatch: `W/"${version}"` },
  };
}
