/** Reads and the capability statement, at the gate before a real R4 server: `checkChartReads`. */
import { at, insist, listAt, textAt } from '../../../../src/sandbox/scenario/step.ts';
import { outcomeText } from '../gate.ts';
import type { Report } from '../report.ts';
import type { Exchange, ServerClient } from '../server.ts';
import { same } from '../store-checks.ts';
import type { ChartGate } from './gate.ts';

export async function checkChartReads({ check }: Report, gate: ChartGate, server: ServerClient): Promise<void> {
  for (const path of ['/Patient/mine', '/Observation/mine-1']) {
    await check(`${path}: as the server has it, with its version; HEAD the same without a body`, async () => {
      const [mine, theirs] = [await gate.send('GET', path), await server.send('GET', path)];
      same([mine.status, mine.headers.get('etag')], [200, theirs.headers.get('etag')]);
      same(JSON.parse(mine.text), JSON.parse(theirs.text));
      const head = await gate.send('HEAD', path);
      same([head.status, head.text, head.headers.get('etag')], [200, '', mine.headers.get('etag')]);
    });
  }
  await check('If-None-Match with the current version is 304, with another one 200', async () => {
    const etag = (await gate.send('GET', '/Patient/mine')).headers.get('etag') ?? '';
    const unchanged = await gate.send('GET', '/Patient/mine', { headers: { 'if-none-match': etag } });
    same([unchanged.status, unchanged.text], [304, '']);
    same((await gate.send('GET', '/Patient/mine', { headers: { 'if-none-match': 'W/"77"' } })).status, 200);
  });
  await check('what the caller has no right to is the same 403, there or not, read, HEAD, by version or history', async () => {
    const refused: Exchange[] = [];
    for (const path of ['/Patient/other', '/Patient/none', '/Observation/other-1', '/Observation/none-1', '/Condition/1'])
      for (const method of ['GET', 'HEAD']) refused.push(await gate.send(method, path));
    for (const path of ['/Patient/mine/_history', '/Patient/mine/_history/1', '/_history', '/Observation/_history'])
      refused.push(await gate.send('GET', path));
    same([...new Set(refused.map(({ status }) => status))], [403]);
    const bodies = refused.filter(({ text }) => text !== '').map((each) => outcomeText(each));
    same([...new Set(bodies)], ['access_denied']);
  });
  await check('what the server offers beside its base is out of reach', async () => {
    for (const path of [
      '/$meta',
      '/Patient/mine/$everything',
      '/Patient/$everything',
      '/Observation/$lastn',
      '/Patient/mine/$expunge',
    ])
      same([path, (await gate.send('GET', path)).status], [path, 403]);
    for (const path of ['/swagger-ui/', '/api-docs', '/../actuator/health', '/%2e%2e/mcp/messages'])
      insist([400, 404].includes((await gate.send('GET', path)).status), `${path} was answered`);
  });
  await check('metadata shows what this role may ask, at our base, and nothing of the server', async () => {
    const { status, json } = await gate.send('GET', '/metadata');
    same([status, at(json, 'resourceType'), at(json, 'fhirVersion')], [200, 'CapabilityStatement', '4.0.1']);
    const types = listAt(json, 'rest', 0, 'resource').map((each) => textAt(each, 'type'));
    same([...types].sort(), ['Observation', 'Patient']);
    const url = at(json, 'implementation', 'url');
    insist(url === undefined || url === gate.base, `its url is ${String(url)}`);
  });
}
