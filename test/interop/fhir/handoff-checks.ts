/** A direct hand-off through the API, read whole by its receiver: `checkHandoff`. */
import { setTimeout as delay } from 'node:timers/promises';
import { DOSSIER } from '../../../src/sandbox/dossier/index.ts';
import { localReference, references } from '../../../src/sandbox/fhir/resource.ts';
import { at, insist, listAt, textAt } from '../../../src/sandbox/scenario/step.ts';
import { TRANSFER_DATE, USERS } from '../../../src/sandbox/world/demo.ts';
import { SENDER, type Gate } from './gate.ts';
import type { Report } from './report.ts';
import { exchange, type ServerClient } from './server.ts';
import { same } from './store-checks.ts';

const RECEIVER = 'thuiszorg-west';

export async function checkHandoff({ check }: Report, gate: Gate, server: ServerClient): Promise<void> {
  const transfer = await check('a direct hand-off is announced', async () => {
    const { json } = await gate.ehr(SENDER, 'POST', '/eoverdracht/transfers', 201, {
      body: {
        patient: DOSSIER.patient,
        transferDate: TRANSFER_DATE,
        handoff: { composition: DOSSIER.nursingHandoff },
        receivers: [{ organization: gate.did(RECEIVER) }],
      },
    });
    return { id: textAt(json, 'id'), task: textAt(json, 'negotiations', 0, 'task', 'id') };
  });
  if (transfer === undefined) return;
  const item = await check('its receiver finds it', async () => {
    for (let left = 50; left > 0; left -= 1) {
      const { json } = await gate.ehr(RECEIVER, 'GET', '/eoverdracht/inbox', 200);
      const found = listAt(json, 'items').find((each) => at(each, 'task', 'id') === transfer.task);
      if (found !== undefined && at(found, 'handoff') !== undefined) return textAt(found, 'id');
      await delay(100);
    }
    throw new Error('it is not in the inbox');
  });
  const session = await check('a care worker says who they are', () => userSession(gate));
  if (item === undefined || session === undefined) return;
  const headers = { 'x-user-session': session };

  await check("the server's $document is not whole, the receiver's Bundle is", async () => {
    const composition = await server.send('GET', `/${DOSSIER.nursingHandoff}`);
    const wanted = new Set(references(composition.json).flatMap((each) => localReference(each) ?? []));
    const shallow = namesOf((await server.send('GET', `/${DOSSIER.nursingHandoff}/$document`)).json);
    const missing = [...wanted].filter((each) => !shallow.includes(each));
    insist(missing.includes(DOSSIER.vitalSign), 'this server follows nested sections: nothing is shown here');
    const { json } = await gate.ehr(RECEIVER, 'GET', `/eoverdracht/inbox/${item}/handoff`, 200, { headers });
    const names = namesOf(json);
    for (const reference of wanted) insist(names.includes(reference), `${reference} is not in it`);
    same([names[0], new Set(names).size], [DOSSIER.nursingHandoff, names.length]);
    insist(!names.includes(DOSSIER.outsideGrant), 'there is more in it than was handed over');
    for (const entry of listAt(json, 'entry'))
      insist(textAt(entry, 'fullUrl').startsWith(`${gate.base}/`), 'a fullUrl is not ours');
    return `${shallow.length} of ${names.length}`;
  });
  await check('its PDF, as the bytes that the server has', async () => {
    const pdf = await gate.ehr(RECEIVER, 'GET', `/eoverdracht/inbox/${item}/binary/${String(DOSSIER.pdf.split('/')[1])}`, 200, {
      headers,
    });
    const theirs = await server.send('GET', `/${DOSSIER.pdf}`, { headers: { accept: 'application/pdf' } });
    insist(pdf.latin1.startsWith('%PDF-') && pdf.latin1 === theirs.latin1, 'the bytes are others');
  });
  await check('the receiver completes; the Task on the server says so, and reading ends', async () => {
    await gate.ehr(RECEIVER, 'POST', `/eoverdracht/inbox/${item}/status`, 200, { body: { status: 'completed' } });
    same(at((await server.send('GET', `/Task/${transfer.task}`)).json, 'status'), 'completed');
    await gate.ehr(RECEIVER, 'GET', `/eoverdracht/inbox/${item}/handoff`, 403, { headers });
    const after = await gate.ehr(SENDER, 'GET', `/eoverdracht/transfers/${transfer.id}`, 200);
    same(at(after.json, 'status'), 'completed');
  });
}

async function userSession(gate: Gate): Promise<string> {
  const created = await gate.ehr(RECEIVER, 'POST', '/user-sessions', 201, {
    body: { means: 'employeeid', user: USERS[RECEIVER] },
  });
  const page = textAt(created.json, 'url');
  const { text } = await exchange(page, { method: 'GET' });
  const [, secret] = /name="secret" value="([^"]+)"/.exec(text) ?? [];
  if (secret === undefined) throw new Error('the page has no form');
  await exchange(page, { method: 'POST', body: new URLSearchParams({ secret, accept: 'true' }) });
  return textAt(created.json, 'id');
}

function namesOf(bundle: unknown): readonly string[] {
  return listAt(bundle, 'entry').map(
    (entry) => `${textAt(entry, 'resource', 'resourceType')}/${textAt(entry, 'resource', 'id')}`,
  );
}
