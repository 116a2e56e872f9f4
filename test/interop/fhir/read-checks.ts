/** Reads at the gate: `checkReads`. */
import { randomUUID } from 'node:crypto';
import { DOSSIER } from '../../../src/sandbox/dossier/index.ts';
import { at, insist, listAt, textAt } from '../../../src/sandbox/scenario/step.ts';
import { outcomeText, type Gate } from './gate.ts';
import type { Report } from './report.ts';
import { same } from './store-checks.ts';
import type { ServerClient } from './server.ts';

const BROWSER = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8';

export async function checkReads({ check }: Report, gate: Gate, server: ServerClient): Promise<void> {
  const absent = { composition: `Composition/${randomUUID()}`, observation: `Observation/${randomUUID()}` };
  const placed = `DocumentReference/${randomUUID()}`;
  const token = await gate.token('thuiszorg-west', {
    [`/${DOSSIER.nursingHandoff}`]: ['read', 'document'],
    [`/${absent.composition}`]: ['read', 'document'],
    [`/${absent.observation}`]: ['read'],
    [`/${DOSSIER.patient}`]: ['read'],
    [`/${DOSSIER.practitioner}`]: ['read'],
    [`/${DOSSIER.document}`]: ['read'],
    [`/${DOSSIER.pdf}`]: ['read'],
    [`/${placed}`]: ['read'],
  });
  const get = (path: string, headers: Record<string, string> = {}): ReturnType<Gate['send']> =>
    gate.send(token, 'GET', `/${path}`, { headers });

  await check('a read: the resource as the server has it, with its version', async () => {
    const [mine, theirs] = await Promise.all([get(DOSSIER.patient), server.send('GET', `/${DOSSIER.patient}`)]);
    const version = `W/"${textAt(theirs.json, 'meta', 'versionId')}"`;
    same([mine.status, mine.headers.get('etag'), theirs.headers.get('etag') ?? version], [200, version, version]);
    same(mine.json, theirs.json);
  });
  await check('HEAD of a read is answered like GET, without a body', async () => {
    const [head, whole] = await Promise.all([gate.send(token, 'HEAD', `/${DOSSIER.patient}`), get(DOSSIER.patient)]);
    same([head.status, head.text, head.headers.get('etag')], [200, '', whole.headers.get('etag')]);
  });
  await check('HEAD of $document is answered, although the server refuses it', async () => {
    same((await server.send('HEAD', `/${DOSSIER.nursingHandoff}/$document`)).status, 400);
    const head = await gate.send(token, 'HEAD', `/${DOSSIER.nursingHandoff}/$document`);
    same([head.status, head.text], [200, '']);
  });
  await check('If-None-Match with the current version is 304 where the server knows it, with another one 200', async () => {
    const etag = (await get(DOSSIER.patient)).headers.get('etag') ?? '';
    const theirs = await server.send('GET', `/${DOSSIER.patient}`, { headers: { 'if-none-match': etag } });
    const unchanged = await get(DOSSIER.patient, { 'if-none-match': etag });
    same([unchanged.status, unchanged.text === ''], [theirs.status, theirs.status === 304]);
    same((await get(DOSSIER.patient, { 'if-none-match': 'W/"77"' })).status, 200);
  });
  await check('_format=json and _pretty are resolved here; xml and html/json are 406', async () => {
    for (const query of ['_format=json', '_format=application%2Ffhir%2Bjson', '_pretty=true', '_format=json&_pretty=false']) {
      const { status, headers } = await get(`${DOSSIER.patient}?${query}`);
      same([status, headers.get('content-type')], [200, 'application/fhir+json; charset=utf-8']);
    }
    for (const query of ['_format=xml', '_format=html%2Fjson', '_format=text%2Fhtml', '_format=nonsense'])
      same((await get(`${DOSSIER.patient}?${query}`)).status, 406);
  });
  await check("a browser's Accept gets the resource, not the server's page", async () => {
    const { status, headers, json } = await get(DOSSIER.patient, { accept: BROWSER });
    same(
      [status, headers.get('content-type'), at(json, 'resourceType')],
      [200, 'application/fhir+json; charset=utf-8', 'Patient'],
    );
  });
  await check('_summary=true is the server’s to answer', async () => {
    const { status, json } = await get(`${DOSSIER.patient}?_summary=true`);
    same([status, at(json, 'resourceType')], [200, 'Patient']);
  });
  await check('what is granted and not there is 404, with our text only', async () => {
    for (const path of [absent.observation, absent.composition]) {
      const answer = await get(path);
      same([answer.status, outcomeText(answer)], [404, 'not_found']);
      same((await gate.send(token, 'HEAD', `/${path}`)).status, 404);
    }
  });
  await check('what is not granted is 403, whether it is there or not', async () => {
    const [there, gone] = await Promise.all([get(DOSSIER.outsideGrant), get(`Observation/${randomUUID()}`)]);
    same([there.status, outcomeText(there), gone.status, outcomeText(gone)], [403, 'access_denied', 403, 'access_denied']);
  });
  await check('$document of a Composition that does not exist is 404, although the server says 200', async () => {
    const theirs = await server.send('GET', `/${absent.composition}/$document`);
    same([theirs.status, listAt(theirs.json, 'entry').length], [200, 0]);
    const mine = await get(`${absent.composition}/$document`);
    same([mine.status, outcomeText(mine)], [404, 'not_found']);
  });
  await check('$document: the Composition first, names in our words, nothing that was not granted', async () => {
    const { status, json } = await get(`${DOSSIER.nursingHandoff}/$document`);
    same(status, 200);
    const names = listAt(json, 'entry').map((entry) => [
      at(entry, 'fullUrl'),
      `${String(at(entry, 'resource', 'resourceType'))}/${String(at(entry, 'resource', 'id'))}`,
    ]);
    for (const [url, reference = ''] of names) same(url, `${gate.base}/${String(reference)}`);
    same(names[0]?.[1], DOSSIER.nursingHandoff);
    const granted: readonly unknown[] = [DOSSIER.nursingHandoff, DOSSIER.patient, DOSSIER.practitioner, DOSSIER.document];
    for (const [, reference] of names) insist(granted.includes(reference), `${String(reference)} was not granted`);
    for (const link of listAt(json, 'link')) same(at(link, 'url'), `${gate.base}/${DOSSIER.nursingHandoff}/$document`);
  });
  await check("the server's base inside a resource leaves as ours", async () => {
    const url = `${server.base}/${DOSSIER.pdf}`;
    const written = await server.send('PUT', `/${placed}`, {
      body: {
        resourceType: 'DocumentReference',
        id: placed.split('/')[1],
        status: 'current',
        type: { text: url },
        indexed: '2026-11-01T09:00:00+01:00',
        description: `at ${url}?_format=json, and in a query: https://other.example/?u=${encodeURIComponent(url)}`,
        content: [{ attachment: { contentType: 'application/pdf', url } }],
      },
    });
    same(written.status, 201);
    const { status, json } = await get(placed);
    const ours = `${gate.base}/${DOSSIER.pdf}`;
    same([status, at(json, 'content', 0, 'attachment', 'url'), at(json, 'type', 'text')], [200, ours, ours]);
    insist(String(at(json, 'description')).includes(encodeURIComponent(ours)), 'the base in a query stayed');
  });
  await check('a Binary: raw bytes with their type for everybody but who names FHIR’s type', async () => {
    const resource = await get(DOSSIER.pdf);
    same(
      [resource.status, at(resource.json, 'resourceType'), at(resource.json, 'contentType')],
      [200, 'Binary', 'application/pdf'],
    );
    const bytes = Buffer.from(String(at(resource.json, 'content')), 'base64').toString('latin1');
    insist(bytes.startsWith('%PDF-'), 'the content is no PDF');
    for (const accept of ['application/pdf', '*/*', BROWSER, 'application/pdf, application/fhir+json;q=0.1']) {
      const raw = await get(DOSSIER.pdf, { accept });
      same(
        [raw.status, raw.headers.get('content-type'), raw.headers.get('content-disposition')],
        [200, 'application/pdf', 'attachment'],
      );
      same(raw.headers.get('x-content-type-options'), 'nosniff');
      insist(raw.latin1 === bytes, `with Accept ${accept} the bytes are others`);
      same(Number(raw.headers.get('content-length')), bytes.length);
    }
    same(at((await get(`${DOSSIER.pdf}?_format=json`, { accept: 'application/pdf' })).json, 'resourceType'), 'Binary');
    const head = await gate.send(token, 'HEAD', `/${DOSSIER.pdf}`, { headers: { accept: 'application/pdf' } });
    same([head.status, head.headers.get('content-type'), head.text], [200, 'application/pdf', '']);
  });
  await check('an id that the server would decode twice is refused here', async () => {
    const [type, id = ''] = DOSSIER.outsideGrant.split('/');
    for (const path of [
      `${String(type)}/%25${id.charCodeAt(0).toString(16)}${id.slice(1)}`,
      `${String(type)}//${id}`,
      `${String(type)}/${id}/`,
    ]) {
      const { status } = await get(path);
      insist(status >= 400 && status < 500, `${path}: ${status}`);
    }
  });
}
