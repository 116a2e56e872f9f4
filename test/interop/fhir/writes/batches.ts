/** Batches of reads and writes at the gate before a real R4 server: `checkBatches`. */
import { at, insist, listAt, textAt } from '../../../../src/sandbox/scenario/step.ts';
import type { Report } from '../report.ts';
import { same } from '../store-checks.ts';
import { named, store, stored, type WritesGate } from './gate.ts';

export async function checkBatches({ check }: Report, gate: WritesGate): Promise<void> {
  const { server } = gate;
  await check('a batch of reads and writes: answered in their order, and each read sees the writes before it', async () => {
    const { resource } = named();
    const path = await store(server, resource);
    const id = path.split('/').at(-1);
    const read = { request: { method: 'GET', url: path.slice(1) } };
    const update = (text: string): object => ({
      resource: { ...resource, id, note: [{ text }] },
      request: { method: 'PUT', url: path.slice(1) },
    });
    const entry = [
      read,
      update('one'),
      read,
      read,
      update('two'),
      read,
      { request: { method: 'GET', url: 'Observation/other-1' } },
    ];
    const answer = await gate.send('POST', '', { body: { resourceType: 'Bundle', type: 'batch', entry } });
    same(answer.status, 200);
    const got = listAt(answer.json, 'entry').map((each) => [
      textAt(each, 'response', 'status').slice(0, 3),
      at(each, 'resource', 'note', 0, 'text') ?? '',
    ]);
    same(got, [
      ['200', ''],
      ['200', ''],
      ['200', 'one'],
      ['200', 'one'],
      ['200', ''],
      ['200', 'two'],
      ['403', ''],
    ]);
    same(at((await stored(server, path)).json, 'meta', 'versionId'), '3');
  });
  await check('a batch of twenty reads: each in its place', async () => {
    const numbers = Array.from({ length: 20 }, (_each, index) => index + 1);
    const entry = numbers.map((number) => ({ request: { method: 'GET', url: `Observation/mine-${number}` } }));
    const startedMs = performance.now();
    const answer = await gate.send('POST', '', { body: { resourceType: 'Bundle', type: 'batch', entry } });
    const tookMs = performance.now() - startedMs;
    same(
      listAt(answer.json, 'entry').map((each) => textAt(each, 'resource', 'id')),
      numbers.map((number) => `mine-${number}`),
    );
    insist(tookMs < 20_000, `it took ${tookMs} ms`);
  });
  await check('conditional writes and deletes in a batch are judged and stored as alone', async () => {
    const { name, resource } = named();
    const path = await store(server, named().resource);
    const entry = [
      { resource, request: { method: 'POST', url: 'Observation', ifNoneExist: `patient=mine&identifier=${name}` } },
      { resource, request: { method: 'POST', url: 'Observation', ifNoneExist: `patient=mine&identifier=${name}` } },
      { resource, request: { method: 'POST', url: 'Observation', ifNoneExist: `patient=other&identifier=${name}` } },
      { request: { method: 'DELETE', url: path.slice(1), ifMatch: 'W/"1"' } },
      { request: { method: 'DELETE', url: 'Observation/other-1', ifMatch: 'W/"1"' } },
    ];
    const answer = await gate.send('POST', '', { body: { resourceType: 'Bundle', type: 'batch', entry } });
    same(
      listAt(answer.json, 'entry').map((each) => textAt(each, 'response', 'status').slice(0, 3)),
      ['201', '200', '403', '204', '403'],
    );
    same((await stored(server, path)).status, 410);
  });
}
