/** What writes refer to, and what comes back of them, at the gate before a real R4 server: `checkReferences`. */
import { at, insist } from '../../../../src/sandbox/scenario/step.ts';
import type { Report } from '../report.ts';
import { same } from '../store-checks.ts';
import {
  named,
  OTHERS,
  pathIn,
  REPRESENTATION,
  sameDenial,
  store,
  stored,
  unchanged,
  versionOf,
  type WritesGate,
} from './gate.ts';

export async function checkReferences({ check }: Report, gate: WritesGate): Promise<void> {
  const { server } = gate;
  const referring = (...references: readonly string[]): Readonly<Record<string, unknown>> =>
    named({ hasMember: references.map((reference) => ({ reference })) }).resource;

  await check('a write refers to what its caller may read; to another’s and to nothing it is one denial', async () => {
    const member = await store(server, named().resource);
    const answer = await gate.send('POST', '/Observation', { body: referring(member.slice(1)) });
    same(answer.status, 201);
    same(at((await stored(server, pathIn(answer))).json, 'hasMember', 0, 'reference'), member.slice(1));
    await unchanged(server, [member, OTHERS], async () => {
      const own = { ...referring(OTHERS.slice(1)), id: member.split('/').at(-1) };
      sameDenial([
        await gate.send('POST', '/Observation', { body: referring(OTHERS.slice(1)) }),
        await gate.send('POST', '/Observation', { body: referring('Observation/none-1') }),
        await gate.send('POST', '/Observation', { body: referring(member.slice(1), OTHERS.slice(1)) }),
        await gate.send('PUT', member, { body: own }),
        await gate.send('PATCH', member, {
          headers: { 'content-type': 'application/json-patch+json' },
          body: [{ op: 'add', path: '/note', value: [{ authorReference: { reference: OTHERS.slice(1) } }] }],
        }),
      ]);
    });
  });
  await check('to what is about nobody a write may refer: where the server insists that it is there, 422', async () => {
    const answer = await gate.send('POST', '/Observation', {
      body: { ...named().resource, performer: [{ reference: 'Practitioner/none-1' }] },
    });
    insist(answer.status === 201 || answer.status === 422, `answered ${answer.status}`);
  });
  await check('what was written is shown as a read would, to who prefers it and may read it', async () => {
    const { resource } = named({ valueQuantity: { value: 2 } });
    const made = await gate.send('POST', '/Observation', { headers: REPRESENTATION, body: resource });
    const path = pathIn(made);
    same([made.status, made.headers.get('etag')], [201, 'W/"1"']);
    same(JSON.parse(made.text), (await gate.send('GET', path)).json);
    const body = { ...resource, id: path.split('/').at(-1), status: 'final' };
    const changed = await gate.send('PUT', path, { headers: REPRESENTATION, body });
    same([changed.status, at(changed.json, 'status'), at(changed.json, 'meta', 'versionId')], [200, 'final', '2']);
    same(JSON.parse(changed.text), (await gate.send('GET', path)).json);
  });
  await check('and to a role that may write but not read, nothing is shown', async () => {
    const { resource } = named();
    const made = await gate.blind.send('POST', '/Observation', { headers: REPRESENTATION, body: resource });
    same([made.status, made.text, (await stored(server, pathIn(made))).status], [201, '', 200]);
    const path = pathIn(made);
    const body = { ...resource, id: path.split('/').at(-1), status: 'final' };
    const changed = await gate.blind.send('PUT', path, { headers: REPRESENTATION, body });
    same([changed.status, changed.text, await versionOf(server, path)], [200, '', '2']);
    same((await gate.blind.send('GET', path)).status, 403);
  });
  await check('a label is the custodian’s: 422 in a create and in an update', async () => {
    const labelled = { ...named().resource, meta: { security: [{ system: 'urn:x', code: 'x' }] } };
    same((await gate.send('POST', '/Observation', { body: labelled })).status, 422);
    const path = await store(server, labelled);
    const { resource } = named();
    const id = path.split('/').at(-1);
    await unchanged(server, [path], async () => {
      same((await gate.send('PUT', path, { body: { ...resource, id } })).status, 422);
    });
    const kept = await gate.send('PUT', path, { body: { ...resource, id, meta: labelled.meta } });
    same([kept.status, at((await stored(server, path)).json, 'meta', 'security', 0, 'code')], [200, 'x']);
  });
}
