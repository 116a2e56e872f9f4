/** Patches and conditional writes in a transaction at the gate before a real R4 server: `checkTransactions`. */
import { at, listAt, textAt } from '../../../../src/sandbox/scenario/step.ts';
import type { Report } from '../report.ts';
import type { Exchange } from '../server.ts';
import { same } from '../store-checks.ts';
import { JSON_PATCH, named, OTHERS, store, stored, storedAs, unchanged, type WritesGate } from './gate.ts';

const FINAL = [{ op: 'replace', path: '/status', value: 'final' }];
const by = (name: string, patient = 'mine'): string => `patient=${patient}&identifier=${name}`;

export async function checkTransactions({ check }: Report, gate: WritesGate): Promise<void> {
  const { server } = gate;
  const ask = (entry: readonly object[]): Promise<Exchange> =>
    gate.send('POST', '', { body: { resourceType: 'Bundle', type: 'transaction', entry } });
  const statuses = (answer: Exchange): readonly string[] =>
    listAt(answer.json, 'entry').map((each) => textAt(each, 'response', 'status').slice(0, 3));

  await check(
    'a transaction of patches and conditional writes: one step, each stored as alone, and told in its place',
    async () => {
      const [made, matched, gone, patched] = [named(), named(), named(), named()];
      const [matchedAt, goneAt, patchedAt] = [
        await store(server, matched.resource),
        await store(server, gone.resource),
        await store(server, patched.resource),
      ];
      const answer = await ask([
        { resource: made.resource, request: { method: 'POST', url: 'Observation', ifNoneExist: by(made.name) } },
        {
          resource: { ...matched.resource, note: [{ text: 'updated' }] },
          request: { method: 'PUT', url: `Observation?${by(matched.name)}` },
        },
        { request: { method: 'DELETE', url: `Observation?${by(gone.name)}`, ifMatch: 'W/"1"' } },
        { request: { method: 'DELETE', url: `Observation?${by('nothing-has-this')}` } },
        patchOf(patchedAt, FINAL, { ifMatch: 'W/"1"' }),
        { request: { method: 'GET', url: 'Observation/mine-1' } },
      ]);
      same([answer.status, statuses(answer)], [200, ['201', '200', '204', '204', '200', '200']]);
      same((await storedAs(server, made.name)).length, 1);
      same(at((await stored(server, matchedAt)).json, 'note', 0, 'text'), 'updated');
      same((await stored(server, goneAt)).status, 410);
      const now = (await stored(server, patchedAt)).json;
      same([at(now, 'status'), at(now, 'meta', 'versionId')], ['final', '2']);
    },
  );
  await check('a conditional create of what is there already stores nothing more', async () => {
    const { name, resource } = named();
    const path = await store(server, resource);
    const answer = await ask([{ resource, request: { method: 'POST', url: 'Observation', ifNoneExist: by(name) } }]);
    same([answer.status, statuses(answer)], [200, ['200']]);
    same(await storedAs(server, name), [path.slice(1)]);
  });
  await check('what one of its entries may not, or what the state does not allow, changes nothing', async () => {
    const own = named();
    const path = await store(server, own.resource);
    const create = { resource: named().resource, request: { method: 'POST', url: 'Observation' } };
    await unchanged(server, [path, OTHERS], async () => {
      for (const [what, status, entry] of [
        ['a patch of another’s', 403, patchOf(OTHERS, FINAL)],
        ['a stale patch', 412, patchOf(path, FINAL, { ifMatch: 'W/"7"' })],
        ['a patch beyond its guard', 422, patchOf(path, [{ op: 'add', path: '/device', value: { display: 'x' } }])],
        ['another’s criteria', 403, { request: { method: 'DELETE', url: `Observation?${by(own.name, 'other')}` } }],
        ['several matches', 412, { request: { method: 'DELETE', url: 'Observation?patient=mine', ifMatch: 'W/"1"' } }],
        ['an operation', 403, { request: { method: 'GET', url: 'Observation/$lastn?patient=mine&max=1' } }],
      ] as const) {
        same([what, (await ask([create, entry])).status], [what, status]);
      }
    });
  });
}

/** An entry with a JSON Patch, as a Binary has it (R4 http.html#transaction). */
function patchOf(path: string, steps: readonly object[], request: object = {}): object {
  return {
    resource: { resourceType: 'Binary', contentType: JSON_PATCH, data: Buffer.from(JSON.stringify(steps)).toString('base64') },
    request: { method: 'PATCH', url: path.slice(1), ...request },
  };
}
