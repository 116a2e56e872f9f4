/** Writes on a Task at the gate: `checkTasks`. */
import { randomUUID } from 'node:crypto';
import { DOSSIER } from '../../../src/sandbox/dossier/index.ts';
import { at, insist, listAt, textAt } from '../../../src/sandbox/scenario/step.ts';
import { TRANSFER_DATE } from '../../../src/sandbox/world/demo.ts';
import { outcomeText, SENDER, type Gate } from './gate.ts';
import type { Report } from './report.ts';
import { same } from './store-checks.ts';
import type { Exchange, ServerClient } from './server.ts';

/** A Task that the sender has offered, and its receiver's token. */
interface Offer {
  readonly transfer: string;
  readonly path: string;
  readonly token: string;
}

export async function checkTasks({ check }: Report, gate: Gate, server: ServerClient): Promise<void> {
  const offer = async (): Promise<Offer> => {
    const created = await gate.ehr(SENDER, 'POST', '/eoverdracht/transfers', 201, {
      body: {
        patient: DOSSIER.patient,
        transferDate: TRANSFER_DATE,
        advanceNotice: { composition: DOSSIER.advanceNotice },
        receivers: [{ organization: gate.did('thuiszorg-west') }],
      },
    });
    const path = `/Task/${textAt(created.json, 'negotiations', 0, 'task', 'id')}`;
    return {
      transfer: textAt(created.json, 'id'),
      path,
      token: await gate.token('thuiszorg-west', { [path]: ['read', 'update'] }),
    };
  };
  const read = ({ token, path }: Offer): Promise<Exchange> => gate.send(token, 'GET', path);
  const put = (
    { token, path }: Offer,
    before: Exchange,
    status: string,
    headers: Record<string, string> = {},
  ): Promise<Exchange> => gate.send(token, 'PUT', path, { headers, body: { ...record(before.json), status } });
  const etag = ({ headers }: Exchange): string => headers.get('etag') ?? '';
  const stored = async ({ path }: Offer): Promise<string> => {
    const { json } = await server.send('GET', path);
    return `${textAt(json, 'status')} ${textAt(json, 'meta', 'versionId')}`;
  };

  await check('a Task: HEAD is GET without its body', async () => {
    const one = await offer();
    const [whole, head] = [await read(one), await gate.send(one.token, 'HEAD', one.path)];
    same([whole.status, head.status, head.text, head.headers.get('etag')], [200, 200, '', whole.headers.get('etag')]);
  });
  await check('two PUTs of one version at once, ten times: one wins, 409 for the other', async () => {
    for (let round = 0; round < 10; round += 1) {
      const one = await offer();
      const before = await read(one);
      const headers = { 'if-match': etag(before) };
      const answers = await Promise.all(['accepted', 'rejected'].map((status) => put(one, before, status, headers)));
      same(answers.map(({ status }) => status).sort(), [200, 409]);
      const [winner, loser] = answers[0]?.status === 200 ? answers : [...answers].reverse();
      if (loser === undefined || winner === undefined) throw new Error('there is no answer');
      outcomeText(loser);
      // A rejection is confirmed by the sender, so that the stored Task may be further by now.
      const now = (await stored(one)).split(' ')[0];
      const won = textAt(winner.json, 'status');
      insist(now === won || (won === 'rejected' && now === 'cancelled'), `${won} won, ${String(now)} is stored`);
    }
  });
  await check('two PUTs at once without If-Match: what both cannot have, one does not get', async () => {
    for (let round = 0; round < 5; round += 1) {
      const one = await offer();
      const before = await read(one);
      const answers = await Promise.all(['accepted', 'rejected'].map((status) => put(one, before, status)));
      const statuses = answers.map(({ status }) => status).sort();
      // Accepted first, rejected after it is a way that the state machine may allow.
      insist(statuses[0] === 200 && [200, 409, 422].includes(statuses[1] ?? 0), `answered ${statuses.join(' and ')}`);
    }
  });
  await check('a stale If-Match is 409, and nothing is written', async () => {
    const one = await offer();
    const before = await read(one);
    same((await put(one, before, 'accepted', { 'if-match': etag(before) })).status, 200);
    const is = await stored(one);
    same((await put(one, before, 'rejected', { 'if-match': etag(before) })).status, 409);
    same((await put(one, before, 'rejected', { 'if-match': 'W/"99"' })).status, 409);
    same(await stored(one), is);
  });
  await check(
    'a write by the EHR in between: stale If-Match is 409; without one it is judged by what is stored now',
    async () => {
      const one = await offer();
      const before = await read(one);
      const theirs = await server.send('GET', one.path);
      same(
        (await server.send('PUT', one.path, { body: { ...record(theirs.json), description: 'changed by the EHR' } })).status,
        200,
      );
      same((await put(one, before, 'accepted', { 'if-match': etag(before) })).status, 409);
      const fresh = await read(one);
      same((await put(one, fresh, 'accepted', { 'if-match': etag(fresh) })).status, 200);
      const after = await server.send('GET', one.path);
      same([at(after.json, 'status'), at(after.json, 'description')], ['accepted', 'changed by the EHR']);
    },
  );
  await check('the same PUT again is no new version', async () => {
    const one = await offer();
    const before = await read(one);
    const first = await put(one, before, 'accepted');
    const is = await stored(one);
    const again = await put(one, first, 'accepted');
    same([first.status, again.status, etag(again), await stored(one)], [200, 200, etag(first), is]);
  });
  await check('If-Match: * and what no FHIR server can read never reach the server', async () => {
    const one = await offer();
    const before = await read(one);
    for (const condition of ['*', 'W/"abc", W/"1"', 'w/"1"', 'W/"a b"']) {
      const { status } = await put(one, before, 'accepted', { 'if-match': condition });
      insist(status === 400 || status === 409, `${condition}: ${status}`);
    }
    same((await stored(one)).split(' ')[0], 'requested');
  });
  await check('a PUT on a Task that is not there is 404, and creates none', async () => {
    const path = `/Task/${randomUUID()}`;
    const token = await gate.token('thuiszorg-west', { [path]: ['read', 'update'] });
    const body = { resourceType: 'Task', id: path.slice(6), status: 'accepted', intent: 'order' };
    for (const headers of [{}, { 'if-match': 'W/"0"' }, { 'if-match': 'W/"1"' }])
      same((await gate.send(token, 'PUT', path, { headers, body })).status, 404);
    same((await server.send('GET', path)).status, 404);
  });
  await check('create, delete, history, search and batches do not pass', async () => {
    const one = await offer();
    const body = { resourceType: 'Task', status: 'requested', intent: 'order' };
    const is = await stored(one);
    same((await gate.send(one.token, 'POST', '/Task', { body })).status, 403);
    same((await gate.send(one.token, 'DELETE', one.path)).status, 403);
    same((await gate.send(one.token, 'GET', `${one.path}/_history`)).status, 403);
    same((await gate.send(one.token, 'GET', `${one.path}/_history/1`)).status, 403);
    same((await gate.send(one.token, 'GET', '/Task?_id=1')).status, 403);
    same((await gate.send(one.token, 'GET', '/metadata')).status, 403);
    same((await gate.send(one.token, 'POST', '', { body: { resourceType: 'Bundle', type: 'batch', entry: [] } })).status, 403);
    same(await stored(one), is);
  });
  await check('a cancelled transfer: the Task on the server is cancelled, and the receiver cannot move it any more', async () => {
    const one = await offer();
    const before = await read(one);
    const cancelled = await gate.ehr(SENDER, 'POST', `/eoverdracht/transfers/${one.transfer}/cancellation`, 200, { body: {} });
    same(at(cancelled.json, 'status'), 'cancelled');
    same((await stored(one)).split(' ')[0], 'cancelled');
    insist([403, 409, 422].includes((await put(one, before, 'accepted')).status), 'the answer was taken');
    same(listAt(cancelled.json, 'negotiations').length, 1);
  });
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) throw new Error('there is no resource');
  return { ...value };
}
