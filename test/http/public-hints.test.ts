import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { startGate, type TestGate } from '../support/gate.ts';
import { WRITES } from '../support/writes-use-case.ts';

// What a caller may mend it is told: which field, what is wrong, what is allowed. Nothing of its own words comes back, and of a denial there is no word.

let gate: TestGate;
beforeAll(async () => {
  gate = await startGate({ useCase: WRITES });
});
afterAll(() => gate.close());
beforeEach(() => {
  gate.arrived.length = 0;
});

interface Outcome {
  readonly issue: readonly {
    readonly severity: string;
    readonly code: string;
    readonly details: { readonly text: string };
    readonly diagnostics?: string;
  }[];
}

async function ask(method: string, path: string, body?: string, headers: Record<string, string> = {}) {
  const answer = await gate.get(
    `/a/fhir${path}`,
    {
      authorization: `Bearer ${gate.token({ facts: { service: 'writes' } })}`,
      ...(body === undefined ? {} : { 'content-type': 'application/fhir+json' }),
      ...headers,
    },
    method,
    body,
  );
  const id = answer.headers.get('x-request-id') ?? '';
  const [first, hint, ...more] = (JSON.parse(answer.body) as Outcome).issue;
  expect([first?.severity, first?.diagnostics, more]).toEqual(['error', id, []]);
  const why = (await gate.audited(id)).find(({ phase }) => phase === 'outcome')?.why;
  return { status: answer.status, code: first?.details.text, hint: hint?.details.text, why, body: answer.body };
}

describe('a refusal', () => {
  it.each<[string, string, string | undefined, Record<string, string>, number, string]>([
    ['GET', '/Observation?_count=many', undefined, {}, 400, '_count must be a whole number, once'],
    ['GET', '/Observation?_summary=some', undefined, {}, 400, '_summary must be one of true, false, text, data, count, once'],
    ['GET', '/Observation?date=2020-02-30', undefined, {}, 400, 'date names a day that is not in the calendar'],
    [
      'GET',
      '/Observation?patient=a,b%20c',
      undefined,
      {},
      400,
      'patient must be an id, a reference such as Patient/1, or an absolute URL',
    ],
    ['GET', '/Observation/1?_pretty=true&_pretty=false', undefined, {}, 400, '_pretty occurs twice'],
    ['GET', '/Observation/1?_format=json&_format=json', undefined, {}, 400, '_format occurs twice'],
    ['GET', '/Observation/1?_include=x', undefined, {}, 400, '_include is unknown for this interaction'],
    ['GET', '/Observation/1', undefined, { accept: 'text/html' }, 406, 'Accept must allow application/fhir+json'],
    [
      'PUT',
      '/Observation/1',
      '{"resourceType":"Observation","id":"1","subject":{"reference":"Patient/mine"}}',
      { 'if-match': '7' },
      400,
      'If-Match must be one entity tag such as W/"3"',
    ],
    [
      'POST',
      '/Observation',
      '{}',
      { 'content-type': 'text/plain' },
      415,
      'Content-Type must be application/fhir+json, in UTF-8 and of this FHIR version',
    ],
    [
      'PATCH',
      '/Observation/1',
      '[]',
      { 'content-type': 'application/json' },
      415,
      'Content-Type must be application/json-patch+json, in UTF-8 and of this FHIR version',
    ],
    ['POST', '/Observation', '{"a":1,"a":2}', {}, 400, 'body has a repeated member at character 7'],
    ['POST', '/Observation', '{"resourceType":"Patient"}', {}, 400, 'resourceType must be that of the path'],
    [
      'POST',
      '',
      '{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":"GET","url":"Patient/1"}},{"request":{"method":"GET","url":"Task?x=1"}}]}',
      {},
      400,
      'Bundle.entry[1].request.url is unknown for this interaction',
    ],
  ])('of %s %s tells what to mend', async (method, path, body, headers, status, hint) => {
    const answer = await ask(method, path, body, headers);
    expect([answer.status, answer.hint ?? '']).toEqual([status, hint]);
    // The operator has it by the correlation id, a denial's too.
    expect(answer.why).toEqual(expect.any(String));
    expect(gate.arrived).toEqual([]);
  });

  it('of the caller’s own words repeats none (H21)', async () => {
    for (const [method, path, body, headers] of [
      ['GET', '/Observation?zzmarker=1', undefined, {}],
      ['GET', '/Observation?patient:zzmarker=1', undefined, {}],
      ['GET', '/Observation?patient.zzmarker.999990019=1', undefined, {}],
      ['GET', '/Observation?date=zzmarker', undefined, {}],
      ['GET', '/Observation/zzmarker%2F', undefined, {}],
      ['GET', '/Observation/1', undefined, { accept: 'zzmarker' }],
      ['POST', '/Observation/$lastn', '{"resourceType":"Parameters","parameter":[{"name":"a","valueZzmarker":""}]}', {}],
      ['POST', '/Observation', '{"zzmarker":1,"zzmarker":2}', {}],
    ] as const) {
      const { status, body: said } = await ask(method, path, body, headers);
      expect([path, status, /zzmarker|999990019/iu.test(said)]).toEqual([path, status < 500 ? status : 0, false]);
    }
  });

  it('that is a denial, or of what is not there, has no word besides', async () => {
    expect((await ask('GET', '/Patient/other')).hint).toBeUndefined();
    expect((await ask('GET', '/Nothing/1')).hint).toBeUndefined();
  });
});
