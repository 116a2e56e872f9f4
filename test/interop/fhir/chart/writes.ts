/** Creates and updates at the gate before a real R4 server: `checkChartWrites`. */
import { at, insist, textAt } from '../../../../src/sandbox/scenario/step.ts';
import { outcomeText } from '../gate.ts';
import type { Report } from '../report.ts';
import type { Exchange, ServerClient } from '../server.ts';
import { same } from '../store-checks.ts';
import { namesOf, observation, storedIds, type ChartGate } from './gate.ts';

export async function checkChartWrites({ check }: Report, gate: ChartGate, server: ServerClient): Promise<void> {
  const count = async (about: string): Promise<number> => (await storedIds(server, `patient=Patient/${about}`)).length;
  const versionOf = async (path: string): Promise<string> => textAt((await server.send('GET', path)).json, 'meta', 'versionId');

  const created = await check('a create: 201, at our base, and on the server as it was sent', async () => {
    const text = JSON.stringify(observation('Patient/mine', { id: 'chosen', valueQuantity: { value: 0 } }));
    const answer = await gate.send('POST', '/Observation', { body: text.replace('"value":0', '"value":1.50') });
    same(answer.status, 201);
    const location = answer.headers.get('location') ?? '';
    insist(location.startsWith(`${gate.base}/Observation/`), `its Location is ${location}`);
    const path = location.slice(gate.base.length).replace(/\/_history\/.*$/, '');
    const { status, text: stored } = await server.send('GET', path);
    same([status, path === '/Observation/chosen', /"value": ?1\.50/.test(stored)], [200, false, true]);
    same((await gate.send('GET', path)).status, 200);
    return path;
  });
  await check('what was created is found at once, although servers remember what a search found before', async () => {
    const found = async (): Promise<readonly string[]> =>
      (await gate.pages('/Observation?patient=mine&_sort=-date&_count=50')).flatMap(({ json }) => namesOf(json));
    const before = await found();
    const answer = await gate.send('POST', '/Observation', { body: observation('Patient/mine') });
    const name = /Observation\/[^/]+/.exec(answer.headers.get('location') ?? '')?.[0] ?? '';
    same([before.includes(name), (await found()).includes(name)], [false, true]);
  });
  await check('what was written is sent back to who prefers that and may read it', async () => {
    for (const prefer of ['minimal', 'representation', 'OperationOutcome']) {
      const headers = { prefer: `return=${prefer}` };
      const answer = await gate.send('POST', '/Observation', { headers, body: observation('Patient/mine') });
      same([prefer, answer.status, answer.text === ''], [prefer, 201, prefer !== 'representation']);
      if (prefer !== 'representation') continue;
      const shown = JSON.parse(answer.text) as { readonly id: string; readonly subject: object };
      same(shown.subject, { reference: 'Patient/mine' });
      same(answer.headers.get('location')?.includes(`/Observation/${shown.id}/_history/`), true);
    }
  });
  await check('a create about somebody else, or about nobody, is 403, and the server has nothing new', async () => {
    const before = [await count('mine'), await count('other')];
    for (const about of [
      'Patient/other',
      'Patient/none',
      'Practitioner/mine',
      `${gate.base}/Patient/other`,
      'Patient/mine/_history/1',
    ])
      same([about, (await gate.send('POST', '/Observation', { body: observation(about) })).status], [about, 403]);
    const { subject: _subject, ...nobody } = observation('Patient/mine');
    same((await gate.send('POST', '/Observation', { body: nobody })).status, 403);
    same([await count('mine'), await count('other')], before);
  });
  await check('a conditional create, another type, and what is no JSON do not pass', async () => {
    const before = await count('mine');
    const asked = await gate.send('POST', '/Observation', {
      headers: { 'if-none-exist': 'identifier=x' },
      body: observation('Patient/mine'),
    });
    same(asked.status, 403);
    same((await gate.send('POST', '/Patient', { body: { resourceType: 'Patient' } })).status, 403);
    same((await gate.send('POST', '/Observation', { body: '{"resourceType":"Observation",' })).status, 400);
    const twice = JSON.stringify(observation('Patient/mine')).replace('{', '{"subject":{"reference":"Patient/other"},');
    same((await gate.send('POST', '/Observation', { body: twice })).status, 400);
    same(await count('mine'), before);
  });
  if (created === undefined) return;
  const put = (about: string, headers: Record<string, string>, more: object = {}, path = created): Promise<Exchange> =>
    gate.send('PUT', path, { headers, body: observation(about, { id: path.split('/')[2], ...more }) });

  await check('an update of the current version is 200, of a stale one 412, without a version 428', async () => {
    const current = `W/"${await versionOf(created)}"`;
    same((await put('Patient/mine', {}, { status: 'amended' })).status, 428);
    const done = await put('Patient/mine', { 'if-match': current }, { status: 'amended' });
    same([done.status, done.headers.get('etag')], [200, `W/"${await versionOf(created)}"`]);
    for (const stale of [current, 'W/"77"']) {
      const refused = await put('Patient/mine', { 'if-match': stale }, { status: 'corrected' });
      same([refused.status, at(refused.json, 'resourceType')], [412, 'OperationOutcome']);
    }
    same(at((await server.send('GET', created)).json, 'status'), 'amended');
  });
  await check('of two updates of one version at once one is written, the other is 412', async () => {
    for (let round = 0; round < 5; round += 1) {
      const current = `W/"${await versionOf(created)}"`;
      const answers = await Promise.all(
        ['one', 'other'].map((text) => put('Patient/mine', { 'if-match': current }, { code: { text: `${text} ${round}` } })),
      );
      same(answers.map(({ status }) => status).sort(), [200, 412]);
    }
  });
  await check('another subject, new or stored, is 403, and nothing is written', async () => {
    const before = [await versionOf(created), await versionOf('/Observation/other-1')];
    const moved = await put('Patient/other', { 'if-match': `W/"${String(before[0])}"` });
    same([moved.status, outcomeText(moved)], [403, 'access_denied']);
    const taken = await put('Patient/mine', { 'if-match': `W/"${String(before[1])}"` }, {}, '/Observation/other-1');
    const absent = await put('Patient/mine', { 'if-match': 'W/"1"' }, {}, '/Observation/none-1');
    same([taken.status, outcomeText(taken), absent.status, outcomeText(absent)], [403, 'access_denied', 403, 'access_denied']);
    same([await versionOf(created), await versionOf('/Observation/other-1')], before);
    same((await server.send('GET', '/Observation/none-1')).status, 404);
  });
  await check('a body of another id, a delete and a patch do not pass', async () => {
    const current = `W/"${await versionOf(created)}"`;
    const other = await gate.send('PUT', created, {
      headers: { 'if-match': current },
      body: observation('Patient/mine', { id: 'x' }),
    });
    insist(other.status >= 400 && other.status < 500, `another id: ${other.status}`);
    same((await gate.send('DELETE', created)).status, 403);
    const patch = await gate.send('PATCH', created, {
      headers: { 'content-type': 'application/json-patch+json', 'if-match': current },
      body: [{ op: 'replace', path: '/status', value: 'cancelled' }],
    });
    same([patch.status, `W/"${await versionOf(created)}"`], [403, current]);
  });
}
