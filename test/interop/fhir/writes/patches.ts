/** Patches at the gate before a real R4 server: `checkPatches`. */
import { at, insist, listAt, textAt } from '../../../../src/sandbox/scenario/step.ts';
import type { Report } from '../report.ts';
import { same } from '../store-checks.ts';
import {
  JSON_PATCH,
  named,
  OTHERS,
  patch,
  reasonOf,
  REPRESENTATION,
  sameDenial,
  store,
  stored,
  unchanged,
  versionOf,
  type WritesGate,
} from './gate.ts';

const FINAL = [{ op: 'replace', path: '/status', value: 'final' }];
/** What JSON can say of a decimal, and a server may say in another way afterwards. */
const DECIMALS = ['1.50', '0.0', '100', '100.00', '-0.10', '0.12345678901234567890', '1E3', '1.0e-3', '12345678901234567890.1'];

export async function checkPatches({ check, line }: Report, gate: WritesGate): Promise<void> {
  const { server } = gate;
  await check('a patch: 200, the new version’s ETag, and on the server what its steps make of what was stored', async () => {
    const path = await store(server, named({ note: [{ text: 'stays' }] }).resource);
    const answer = await patch(gate, path, [...FINAL, { op: 'add', path: '/note/-', value: { text: 'new' } }]);
    const now = await stored(server, path);
    same([answer.status, answer.text, answer.headers.get('etag')], [200, '', 'W/"2"']);
    same([at(now.json, 'meta', 'versionId'), at(now.json, 'status')], ['2', 'final']);
    same(
      listAt(now.json, 'note').map((note) => textAt(note, 'text')),
      ['stays', 'new'],
    );
    same(answer.headers.get('content-location'), `${gate.base}${path}/_history/2`);
  });
  await check('a patch that changes nothing is 200, and the version that the server has then', async () => {
    const path = await store(server, named().resource);
    const answer = await patch(gate, path, [{ op: 'replace', path: '/status', value: 'preliminary' }]);
    same([answer.status, answer.headers.get('etag')], [200, `W/"${await versionOf(server, path)}"`]);
  });
  await check('a patch keeps the text of decimals that it does not touch, as far as the server does', async () => {
    const kept: string[] = [];
    for (const decimal of DECIMALS) {
      const text = JSON.stringify(named({ valueQuantity: { value: 0 } }).resource).replace('"value":0', `"value":${decimal}`);
      const path = await store(server, text);
      const before = decimalIn((await stored(server, path)).text);
      same([decimal, (await patch(gate, path, FINAL)).status], [decimal, 200]);
      same([decimal, decimalIn((await stored(server, path)).text)], [decimal, before]);
      kept.push(before === decimal ? decimal : `${decimal} as ${before}`);
    }
    line(`      stored: ${kept.join(', ')}`);
  });
  await check('a patch of another’s, or of what is not there, is one denial, whatever its steps and its version', async () => {
    await unchanged(server, [OTHERS], async () => {
      sameDenial([
        await patch(gate, OTHERS, FINAL),
        await patch(gate, OTHERS, [{ op: 'test', path: '/nothing', value: 1 }]),
        await patch(gate, OTHERS, FINAL, { headers: { 'if-match': 'W/"77"' } }),
        await patch(gate, '/Observation/none-1', FINAL),
      ]);
    });
    same((await stored(server, '/Observation/none-1')).status, 404);
  });
  await check('a patch beyond its guard is 422, one that moves it to another patient 403, and nothing is stored', async () => {
    const path = await store(server, named().resource);
    await unchanged(server, [path], async () => {
      for (const [reason, steps] of [
        ['element_not_changeable', [{ op: 'add', path: '/device', value: { display: 'x' } }]],
        ['state_not_allowed', [{ op: 'replace', path: '/status', value: 'amended' }]],
        ['label_not_changeable', [{ op: 'add', path: '/meta/security', value: [{ code: 'x' }] }]],
        ['patch_step_unfit', [{ op: 'remove', path: '/component/0' }]],
      ] as const) {
        const answer = await patch(gate, path, steps);
        same([answer.status, reasonOf(answer)], [422, reason]);
      }
      const moved = [{ op: 'replace', path: '/subject', value: { reference: 'Patient/other' } }];
      sameDenial([await patch(gate, path, moved), await patch(gate, path, [{ op: 'remove', path: '/subject' }])]);
    });
  });
  await check('a test is for who may read: 200 or 422; without that right 403, and other steps 200', async () => {
    const path = await store(server, named().resource);
    const testing = [{ op: 'test', path: '/status', value: 'preliminary' }, ...FINAL];
    same((await patch(gate.blind, path, testing)).status, 403);
    same((await patch(gate, path, testing)).status, 200);
    same((await patch(gate, path, testing)).status, 422);
    same((await patch(gate.blind, path, [{ op: 'add', path: '/note', value: [{ text: 'x' }] }])).status, 200);
  });
  await check('a patch of the current version is 200, of a stale one 412', async () => {
    const path = await store(server, named().resource);
    same((await patch(gate, path, FINAL, { headers: { 'if-match': 'W/"1"' } })).status, 200);
    same((await patch(gate, path, FINAL, { headers: { 'if-match': 'W/"1"' } })).status, 412);
    same(await versionOf(server, path), '2');
  });
  await check('of patches at once none is lost: each is stored, or told that it was not', async () => {
    const path = await store(server, named({ note: [{ text: 'first' }] }).resource);
    const answers = await Promise.all(
      ['a', 'b', 'c', 'd'].map((text) => patch(gate, path, [{ op: 'add', path: '/note/-', value: { text } }])),
    );
    const done = answers.filter(({ status }) => status === 200).length;
    insist(
      done > 0 && answers.every(({ status }) => status === 200 || status === 409),
      answers.map(({ status }) => status).join(),
    );
    const now = await stored(server, path);
    same([listAt(now.json, 'note').length, at(now.json, 'meta', 'versionId')], [done + 1, String(done + 1)]);
  });
  await check('what a patch made is shown to who prefers it and may read it, and to nobody else', async () => {
    const path = await store(server, named().resource);
    const shown = await patch(gate, path, FINAL, { headers: REPRESENTATION });
    same(JSON.parse(shown.text), (await gate.send('GET', path)).json);
    const note = [{ op: 'add', path: '/note', value: [{ text: 'x' }] }];
    same((await patch(gate.blind, path, note, { headers: REPRESENTATION })).text, '');
  });
  await check('another kind of patch is 415, with the kind that is taken', async () => {
    for (const type of ['application/json', 'application/merge-patch+json', 'application/xml-patch+xml']) {
      const answer = await patch(gate, '/Observation/mine-1', FINAL, { headers: { 'content-type': type } });
      same([type, answer.status, answer.headers.get('accept-patch')], [type, 415, JSON_PATCH]);
    }
  });
}

function decimalIn(text: string): string {
  return /"value": ?(-?[0-9][^,\s}]*)/.exec(text)?.[1] ?? 'none';
}
