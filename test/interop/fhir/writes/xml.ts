/** XML at the gate before a real R4 server: `checkXml`. */
import { insist } from '../../../../src/sandbox/scenario/step.ts';
import type { Report } from '../report.ts';
import type { Exchange } from '../server.ts';
import { same } from '../store-checks.ts';
import type { WritesGate } from './gate.ts';

const XML = { accept: 'application/fhir+xml' };
const PATIENT = '/Patient/mine';

export async function checkXml({ check, line }: Report, gate: WritesGate): Promise<void> {
  const { server, chart } = gate;
  await check('the patient in XML: as the server writes it, byte for byte, with its version', async () => {
    const [mine, theirs] = [
      await chart.send('GET', PATIENT, { headers: XML }),
      await server.send('GET', PATIENT, { headers: XML }),
    ];
    same([mine.status, mine.headers.get('content-type')], [200, 'application/fhir+xml; charset=utf-8']);
    same([mine.latin1, mine.headers.get('etag')], [theirs.latin1, theirs.headers.get('etag')]);
    insist(mine.text.includes('<Patient xmlns="http://hl7.org/fhir"'), mine.text.slice(0, 200));
    same((await chart.send('GET', `${PATIENT}?_format=xml`)).text, mine.text);
  });
  await check('who takes JSON as well gets JSON where something must look inside, who takes nothing else 406', async () => {
    const path = '/Observation/mine-1';
    same((await chart.send('GET', path, { headers: XML })).status, 406);
    const both = await chart.send('GET', path, { headers: { accept: 'application/fhir+xml, application/fhir+json;q=0.5' } });
    same([both.status, both.headers.get('content-type')?.includes('json')], [200, true]);
    same((await chart.send('GET', '/Observation/other-1', { headers: XML })).status, 403);
    same((await chart.send('GET', '/Patient/other', { headers: XML })).status, 403);
  });
  await check('a resource in which the server’s own address stands is 502, or cut off before it', async () => {
    const before = (await server.send('GET', PATIENT)).text;
    const { host } = new URL(server.base);
    const seen: string[] = [];
    try {
      for (const [where, fill] of [
        ['in its first chunk', 0],
        ['after much else', 3_000],
      ] as const) {
        const filling = Array.from({ length: fill }, (_each, index) => ({ text: `Naam ${index} ${'x'.repeat(60)}` }));
        const stored = JSON.parse(before) as { readonly name: readonly object[] };
        const photo = [{ url: `${server.base}/Binary/1` }];
        const body = { ...stored, name: [...stored.name, ...filling], photo };
        same((await server.send('PUT', PATIENT, { body })).status, 200);
        const theirs = await server.send('GET', PATIENT, { headers: XML });
        insist(theirs.text.includes(host), 'the server does not write its address');
        const answer = await got(chart.send('GET', PATIENT, { headers: XML }));
        insist(answer === 'cut off' || answer.status === 502, `${where}: answered ${answer === 'cut off' ? '' : answer.status}`);
        seen.push(`${where}: ${answer === 'cut off' ? answer : answer.status}`);
        const json = await chart.send('GET', PATIENT);
        same([json.status, json.text.includes(`${gate.base}/Binary/1`)], [200, true]);
      }
    } finally {
      await server.send('PUT', PATIENT, { body: before });
    }
    same((await chart.send('GET', PATIENT, { headers: XML })).status, 200);
    line(`      ${seen.join(', ')}`);
  });
  await check('a write in XML is 415', async () => {
    const body = '<Observation xmlns="http://hl7.org/fhir"/>';
    same((await gate.send('POST', '/Observation', { headers: { 'content-type': 'application/fhir+xml' }, body })).status, 415);
  });
}

/** An answer that broke off is one that nobody has. */
async function got(answer: Promise<Exchange>): Promise<Exchange | 'cut off'> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof TypeError) return 'cut off';
    throw error;
  }
}
