/** Searches and their pages at the gate before a real R4 server: `checkChartSearches`. */
import { at, insist, listAt, textAt } from '../../../../src/sandbox/scenario/step.ts';
import { attackResources } from '../../../../src/sandbox/world/attack.ts';
import { outcomeText } from '../gate.ts';
import type { Report } from '../report.ts';
import type { ServerClient } from '../server.ts';
import { same } from '../store-checks.ts';
import { CUSTODIAN, linkOf, namesOf, storedIds, type ChartGate } from './gate.ts';

const MINE = 'patient=Patient/mine';
const HEART_RATE = 'http://loinc.org|8867-4';

export async function checkChartSearches(report: Report, gate: ChartGate, server: ServerClient): Promise<void> {
  const { check } = report;
  await check('a search finds what the server finds, by each name of the patient, by GET and by form', async () => {
    const expected = [...(await storedIds(server, MINE))].sort();
    for (const query of ['patient=mine', 'patient=Patient/mine', 'subject=mine', 'subject=Patient/mine']) {
      const [get, post] = [
        await gate.send('GET', `/Observation?${query}&_count=50`),
        await gate.send('POST', '/Observation/_search?_count=50', { body: new URLSearchParams(query) }),
      ];
      same([query, get.status, post.status], [query, 200, 200]);
      same([...namesOf(get.json)].sort(), expected);
      same([...namesOf(post.json)].sort(), expected);
    }
  });
  for (const query of [
    `code=${encodeURIComponent(HEART_RATE)}`,
    'date=ge2026-09-10&date=lt2026-09-20',
    '_sort=date',
    '_sort=-date',
  ]) {
    await check(`with ${query}: what the server finds, in its order`, async () => {
      const { status, json } = await gate.send('GET', `/Observation?patient=mine&${query}&_count=50`);
      const expected = await storedIds(server, `${MINE}&${query}`);
      insist(expected.length > 0, 'nothing is shown here');
      same(status, 200);
      same(
        query.startsWith('_sort') ? namesOf(json) : [...namesOf(json)].sort(),
        query.startsWith('_sort') ? expected : [...expected].sort(),
      );
    });
  }
  await check('HEAD of a search is answered, although servers refuse it', async () => {
    const { status, text } = await gate.send('HEAD', '/Observation?patient=mine');
    same([(await server.send('HEAD', '/Observation?patient=mine')).status, status, text], [400, 200, '']);
  });
  await check('all entries, links and references are at our base', async () => {
    const { json } = await gate.send('GET', '/Observation?patient=mine&_count=7&_include=Observation:subject');
    for (const entry of listAt(json, 'entry'))
      same(at(entry, 'fullUrl'), `${gate.base}/${textAt(entry, 'resource', 'resourceType')}/${textAt(entry, 'resource', 'id')}`);
    for (const link of listAt(json, 'link')) insist(textAt(link, 'url').startsWith(gate.base), textAt(link, 'url'));
  });
  await check('_include brings the one patient along, once a page', async () => {
    const found = await gate.pages('/Observation?patient=mine&_count=7&_include=Observation:subject');
    insist(found.length > 3, `there are ${found.length} pages`);
    for (const { json } of found) same(namesOf(json, 'include'), ['Patient/mine']);
  });
  await check('_count=7: every page to the end, each observation once', async () => {
    const found = await gate.pages('/Observation?patient=mine&_count=7&_sort=date');
    const names = found.flatMap(({ json }) => namesOf(json));
    same(names.length, new Set(names).size);
    same([...names].sort(), [...(await storedIds(server, MINE))].sort());
    for (const { status, json } of found) insist(status === 200 && namesOf(json).length <= 7, 'a page is longer');
    return `${found.length} pages`;
  });
  await check('and back by previous, where the server has it', async () => {
    const found = await gate.pages('/Observation?patient=mine&_count=7&_sort=date');
    const previous = linkOf(found[1], 'previous');
    if (previous === undefined) return;
    const first = await gate.send('GET', previous.slice(gate.base.length));
    same(namesOf(first.json), namesOf(found[0]?.json));
  });
  await check('the pages of a form too', async () => {
    const first = await gate.send('POST', '/Observation/_search', { body: new URLSearchParams('patient=mine&_count=20') });
    const next = linkOf(first, 'next');
    if (next === undefined) throw new Error('there is no next page');
    const second = await gate.send('GET', next.slice(gate.base.length));
    same([second.status, namesOf(second.json).some((name) => namesOf(first.json).includes(name))], [200, false]);
  });
  await check('_count=1000 is 50 at most, _count=0 tells no more than a search', async () => {
    same(namesOf((await gate.send('GET', '/Observation?patient=mine&_count=1000')).json).length <= 50, true);
    insist([200, 403].includes((await gate.send('GET', '/Observation?patient=mine&_count=0')).status), 'another answer');
  });
  await check('what is not about the one patient, and what nobody declared, does not pass', async () => {
    for (const [query, status] of REFUSED) {
      const answer = await gate.send('GET', `/Observation?${query}`);
      same([query, answer.status], [query, status]);
      if (status === 403) same(outcomeText(answer), 'access_denied');
    }
  });
  await checkLinks(report, gate);
  await checkProof(report, gate, server);
}

const REFUSED: readonly (readonly [query: string, status: number])[] = [
  ['', 403],
  ['patient=other', 403],
  ['patient=mine,other', 403],
  ['patient=mine&patient=other', 403],
  ['patient=mine&subject=Patient/other', 403],
  ['patient:not=mine', 403],
  ['patient=mine&_include=*', 403],
  ['patient=mine&_include=Observation:performer', 403],
  ['patient=mine&_revinclude=Provenance:target', 403],
  ['patient=mine&_has:Provenance:target:agent=x', 403],
  ['patient=mine&_filter=id eq other-1', 403],
  ['patient=mine&code:not=x', 403],
  ['patient=mine&colour=red', 400],
  ['patient=mine&_foo=bar', 400],
  ['patient', 400],
];

async function checkLinks({ check }: Report, gate: ChartGate): Promise<void> {
  await check(
    'a link is for who got it: of another caller, changed by a character, or the server’s own, it does not open',
    async () => {
      const first = await gate.send('GET', '/Observation?patient=mine&_count=7');
      const path = (linkOf(first, 'next') ?? '').slice(gate.base.length);
      same((await gate.send('GET', path)).status, 200);
      insist((await gate.send('GET', path, { requester: 'b' })).status >= 400, 'another organisation reads on');
      const at = path.length - 8;
      const changed = `${path.slice(0, at)}${path[at] === 'A' ? 'B' : 'A'}${path.slice(at + 1)}`;
      insist((await gate.send('GET', changed)).status >= 400, 'a changed link opens');
      for (const own of [
        '?_getpages=0c6cd7a5-b583-4beb-b27b-354d8f9c7e74',
        '/?_getpages=0c6cd7a5-b583-4beb-b27b-354d8f9c7e74&_getpagesoffset=0',
      ])
        insist([400, 403].includes((await gate.send('GET', own)).status), 'a cursor of the server is taken');
    },
  );
}

/** A server remembers which ids a search found, and reads them again for each page: by then they may be about somebody else. */
async function checkProof({ check }: Report, gate: ChartGate, server: ServerClient): Promise<void> {
  await check('an observation that becomes another patient’s between two pages is not shown', async () => {
    const first = await gate.send('GET', '/Observation?patient=mine&_count=7&_sort=date&_include=Observation:subject');
    const path = (linkOf(first, 'next') ?? '').slice(gate.base.length);
    const second = await gate.send('GET', path);
    const victim = namesOf(second.json, 'match')[0] ?? '';
    const stored = attackResources(CUSTODIAN).find(({ resourceType, id }) => `${resourceType}/${id}` === victim);
    if (stored === undefined) throw new Error(`${victim} is none of ours`);
    try {
      same(
        (await server.send('PUT', `/${victim}`, { body: { ...stored, subject: { reference: 'Patient/other' } } })).status,
        200,
      );
      const after = await gate.send('GET', path);
      insist(after.status === 502 || !namesOf(after.json).includes(victim), `${victim} left, with ${after.status}`);
      insist(!namesOf(after.json).includes('Patient/other'), 'the other patient came along');
      return `answered ${after.status}`;
    } finally {
      await server.send('PUT', `/${victim}`, { body: stored });
    }
  });
}
