/** Operations at the gate before a real R4 server: `checkOperations`. */
import { at, insist, listAt, textAt } from '../../../../src/sandbox/scenario/step.ts';
import { linkOf, namesOf } from '../chart/gate.ts';
import type { Report } from '../report.ts';
import type { Exchange } from '../server.ts';
import { same } from '../store-checks.ts';
import { MINE, sameDenial, type WritesGate } from './gate.ts';

const LAST = '/Observation/$lastn';

export async function checkOperations({ check, line }: Report, gate: WritesGate): Promise<void> {
  const { server } = gate;
  await check('everything of the one patient, page by page: at our base, and no page of the server’s own', async () => {
    const pages = await gate.pages('/Patient/mine/$everything');
    same(
      pages.map(({ status }) => status),
      pages.map(() => 200),
    );
    const names = pages.flatMap(({ json }) => namesOf(json));
    same([names.includes('Patient/mine'), names.length], [true, new Set(names).size]);
    for (const { json } of pages)
      for (const entry of listAt(json, 'entry')) insist(textAt(entry, 'fullUrl').startsWith(gate.base), textAt(entry, 'fullUrl'));
    const { json } = await server.send('GET', `/Observation?${MINE}&_summary=count`, {
      headers: { 'cache-control': 'no-cache' },
    });
    same(names.filter((name) => name.startsWith('Observation/')).length, at(json, 'total'));
    line(`      ${pages.length} pages`);
  });
  await check('what the server answers beyond the patient of an operation does not leave, by GET and by POST', async () => {
    for (const ask of [byGet, byPost]) {
      let answer = await ask(gate);
      let count = 0;
      for (; ; count += 1) {
        if (answer.status !== 200) break;
        for (const entry of listAt(answer.json, 'entry')) same(at(entry, 'resource', 'subject', 'reference'), 'Patient/mine');
        const next = linkOf(answer, 'next');
        if (next === undefined) break;
        answer = await gate.send('GET', next.slice(gate.base.length));
      }
      insist(answer.status === 200 || answer.status === 502, `answered ${answer.status}`);
      line(
        `      ${answer.status === 200 ? 'the server heeds the patient' : `withheld at page ${count + 1}: the server does not heed the patient, or gives pages by POST`}`,
      );
    }
  });
  await check(
    'another patient, another parameter, what no rule can judge, and a method that no rule has: one denial',
    async () => {
      const parameters = (...parameter: readonly object[]): unknown => ({ resourceType: 'Parameters', parameter });
      const mine = { name: 'patient', valueString: 'Patient/mine' };
      sameDenial([
        await gate.send('GET', `${LAST}?patient=Patient/other`),
        await gate.send('GET', LAST),
        await gate.send('GET', `${LAST}?patient=Patient/mine&code=x`),
        await gate.send('POST', LAST, { body: parameters({ name: 'patient', valueString: 'Patient/other' }) }),
        await gate.send('POST', LAST, { body: parameters({ name: 'patient', valueReference: { reference: 'Patient/mine' } }) }),
        await gate.send('POST', LAST, { body: parameters(mine, { name: 'max', valueInteger: 9 }) }),
        await gate.send('POST', '/Patient/mine/$everything', { body: parameters() }),
        await gate.send('GET', '/Patient/other/$everything'),
        await gate.send('GET', '/Patient/$everything'),
        await gate.send('GET', '/Observation/mine-1/$meta'),
      ]);
    },
  );
}

function byGet(gate: WritesGate): Promise<Exchange> {
  return gate.send('GET', `${LAST}?patient=Patient/mine&max=5`);
}

function byPost(gate: WritesGate): Promise<Exchange> {
  const parameter = [
    { name: 'patient', valueString: 'Patient/mine' },
    { name: 'max', valueInteger: 5 },
  ];
  return gate.send('POST', LAST, { body: { resourceType: 'Parameters', parameter } });
}
