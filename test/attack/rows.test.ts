import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { startGate, type TestGate } from '../support/gate.ts';

/** Rows of the attack corpus that concern reads and updates; the id is that of the corpus. */
const rows = z
  .array(
    z.strictObject({
      id: z.string(),
      /** The one answer, or those that are right. */
      status: z.union([z.int(), z.array(z.int())]),
      /** Request line without the version, then header lines, as they are. */
      request: z.array(z.string()).min(1),
      body: z.string().optional(),
      /** Without it a good token comes along. */
      token: z.literal(false).optional(),
      closes: z.literal(true).optional(),
      note: z.string().optional(),
    }),
  )
  .parse(JSON.parse(readFileSync(new URL('rows.json', import.meta.url), 'utf8')));

let gate: TestGate;

beforeAll(async () => {
  gate = await startGate();
  await gate.grant('/Patient/mine', ['read']);
  await gate.grant('/Task/mine', ['read', 'update']);
});
afterAll(() => gate.close());

describe('the attack corpus', () => {
  it.each(rows.map((row) => [row.id, row.status, row.request.join(' | ').slice(0, 90), row] as const))(
    '(%s) is %j, is recorded, and reaches the custodian not at all or as the canonical request: %s',
    async (_id, status, _request, row) => {
      gate.arrived.length = 0;
      const [line = '', ...headers] = row.request;
      const target = line.replace(/\{x\*(\d+)\}/, (_match, count: string) => Array(Number(count)).fill('x').join('/'));
      const all = [`${target} HTTP/1.1`, 'Host: pep.example'];
      if (row.token !== false) all.push(`Authorization: Bearer ${gate.token()}`);
      all.push(...headers);
      const body = row.body === undefined ? '' : Buffer.from(row.body).toString('latin1');
      const isChunked = headers.some((each) => each.startsWith('Transfer-Encoding'));
      if (body !== '' && !isChunked) all.push(`Content-Length: ${String(body.length)}`);
      // The answer to HEAD has a length and no body: its headers are all that comes.
      const isHead = line.startsWith('HEAD ');
      const before = (await gate.allAudited()).length;
      const { status: given, id, text, closed } = isHead ? await head(all) : await exchange(all, body, row.closes === true);

      expect([status].flat()).toContain(given);
      expect(closed || row.closes !== true).toBe(true);
      const records = (await gate.allAudited()).slice(before);
      const ends = records.filter((record) => record.phase === 'outcome');
      expect(ends.map((record) => [record.correlationId, record.status])).toEqual([[id, given]]);
      expect(gate.arrived.map((each) => `${each.method} ${each.target}`)).toEqual(
        given === 200 ? ['GET /fhir/Patient/mine'] : [],
      );
      for (const each of gate.arrived) {
        const names = each.rawHeaders.filter((_value, index) => index % 2 === 0).map((name) => name.toLowerCase());
        expect(names.sort()).toEqual(['accept', 'accept-encoding', 'authorization', 'connection', 'host']);
        expect(each.rawHeaders.join()).not.toMatch(/Bearer/);
      }
      expect(text).not.toMatch(/secret|forged|Set-Cookie:|evil/);
    },
  );
});

async function exchange(lines: readonly string[], body: string, untilClosed: boolean) {
  const { answers, closed } = await gate.raw(`${lines.join('\r\n')}\r\n\r\n${body}`, untilClosed ? Infinity : 1);
  expect(answers).toHaveLength(1);
  const [answer] = answers;
  const id = answer?.headers.get('x-request-id') ?? '';
  const text = `${[...(answer?.headers ?? [])].join('\n')}\n${answer?.status === 200 ? '' : (answer?.body ?? '')}`;
  return { status: answer?.status ?? 0, id, text, closed };
}

async function head(lines: readonly string[]) {
  const [line = '', ...rest] = lines;
  const [method, path = ''] = line.split(' ');
  const headers = Object.fromEntries(rest.map((each) => [each.slice(0, each.indexOf(':')), each.slice(each.indexOf(':') + 2)]));
  const answer = await gate.get(path, headers, method);
  expect(answer.body).toBe('');
  return { status: answer.status, id: answer.headers.get('x-request-id') ?? '', text: '', closed: true };
}
