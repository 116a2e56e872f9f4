/** Deletes at the gate before a real R4 server: `checkDeletes`. */
import { at, insist, listAt, textAt } from '../../../../src/sandbox/scenario/step.ts';
import type { Report } from '../report.ts';
import { same } from '../store-checks.ts';
import { named, OTHERS, patch, sameDenial, store, stored, unchanged, versionOf, type WritesGate } from './gate.ts';

const FIRST = { 'if-match': 'W/"1"' };

export async function checkDeletes({ check, line }: Report, gate: WritesGate): Promise<void> {
  const { server } = gate;
  await check('a delete of the current version is 204, and then it is gone: for the caller as if it had never been', async () => {
    const { name, resource } = named();
    const path = await store(server, resource);
    const answer = await gate.send('DELETE', path, { headers: FIRST });
    same([answer.status, answer.text, (await stored(server, path)).status], [204, '', 410]);
    sameDenial([
      await gate.send('DELETE', path, { headers: FIRST }),
      await gate.send('GET', path),
      await gate.send('PUT', path, { body: { ...resource, id: path.split('/').at(-1) } }),
      await gate.send('DELETE', '/Observation/none-1', { headers: FIRST }),
    ]);
    same((await gate.send('GET', `/Observation?patient=mine&identifier=${name}`)).text.includes('"entry"'), false);
  });
  await check('without a version it is 428, of a stale one 412, of another’s 403; all are still there', async () => {
    const path = await store(server, named().resource);
    await unchanged(server, [path, OTHERS], async () => {
      same((await gate.send('DELETE', path)).status, 428);
      same((await gate.send('DELETE', path, { headers: { 'if-match': 'W/"77"' } })).status, 412);
      const current = { 'if-match': `W/"${await versionOf(server, OTHERS)}"` };
      sameDenial([
        await gate.send('DELETE', OTHERS, { headers: current }),
        await gate.send('DELETE', OTHERS, { headers: { 'if-match': 'W/"77"' } }),
        await gate.send('DELETE', '/Observation/none-1', { headers: current }),
      ]);
    });
  });
  await check('of what others refer to: 409 and it is still there, or gone where the server does not mind', async () => {
    const path = await store(server, named().resource);
    const group = await store(server, named({ hasMember: [{ reference: path.slice(1) }] }).resource);
    const answer = await gate.send('DELETE', path, { headers: FIRST });
    insist(answer.status === 409 || answer.status === 204, `answered ${answer.status}`);
    same([answer.status, (await stored(server, path)).status], [answer.status, answer.status === 409 ? 200 : 410]);
    // Who it is that refers to it, the answer does not tell.
    insist(!answer.text.includes(group.slice(1)), 'it names who refers to it');
    same((await gate.send('DELETE', group, { headers: FIRST })).status, 204);
    line(`      ${answer.status === 409 ? 'the server keeps what is referred to' : 'the server lets it go'}`);
  });
  await check('two deletes at once: it is gone, and each hears that', async () => {
    const path = await store(server, named().resource);
    const answers = await Promise.all([1, 2].map(() => gate.send('DELETE', path, { headers: FIRST })));
    const statuses = answers.map(({ status }) => status);
    insist(statuses.includes(204), statuses.join());
    insist(
      statuses.every((status) => [204, 403, 409, 412].includes(status)),
      statuses.join(),
    );
    same((await stored(server, path)).status, 410);
  });
  await check('a patch or an update at the same time brings nothing back that was deleted', async () => {
    for (let round = 0; round < 5; round += 1) {
      const { resource } = named();
      const path = await store(server, resource);
      const [removed, ...changed] = await Promise.all([
        gate.send('DELETE', path, { headers: FIRST }),
        patch(gate, path, [{ op: 'add', path: '/note', value: [{ text: 'x' }] }]),
        gate.send('PUT', path, { body: { ...resource, id: path.split('/').at(-1), note: [{ text: 'y' }] } }),
      ]);
      const statuses = [removed, ...changed].map(({ status }) => status).join();
      insist(/^(?:204|412|409),(?:200|403|409),(?:200|403|409)$/.test(statuses), statuses);
      same([statuses, (await stored(server, path)).status], [statuses, removed.status === 204 ? 410 : 200]);
    }
  });
  await check('within a transaction: all or nothing', async () => {
    const [one, other] = [await store(server, named().resource), await store(server, named().resource)];
    const transaction = (...entry: readonly object[]): Promise<{ readonly status: number; readonly json: unknown }> =>
      gate.send('POST', '', { body: { resourceType: 'Bundle', type: 'transaction', entry } });
    await unchanged(server, [one, other, OTHERS], async () => {
      same((await transaction(remove(one), remove(OTHERS))).status, 403);
      same((await transaction(remove(one), remove(other, '77'))).status, 412);
    });
    const { name, resource } = named();
    const create = { resource, request: { method: 'POST', url: 'Observation' } };
    const answer = await transaction(remove(one), create, remove(other));
    same(answer.status, 200);
    const statuses = listAt(answer.json, 'entry').map((entry) => textAt(entry, 'response', 'status').slice(0, 3));
    insist(/^20[04],201,20[04]$/.test(statuses.join()), statuses.join());
    same([(await stored(server, one)).status, (await stored(server, other)).status], [410, 410]);
    const found = await gate.send('GET', `/Observation?patient=mine&identifier=${name}`);
    same(at(found.json, 'entry', 0, 'resource', 'identifier', 0, 'value'), name);
  });
}

function remove(path: string, version = '1'): object {
  return { request: { method: 'DELETE', url: path.slice(1), ifMatch: `W/"${version}"` } };
}
