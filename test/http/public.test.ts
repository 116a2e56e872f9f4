import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { connect } from 'node:net';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { GatewayError } from '../../src/errors.ts';
import { deny, permit } from '../../src/usecase/index.ts';
import { didOf, MESSAGES, REQUESTER, startGate, type RawAnswer, type TestGate } from '../support/gate.ts';
import { until } from '../support/until.ts';
import { receivedMessages } from '../support/notes-use-case.ts';

let gate: TestGate;

beforeAll(async () => {
  gate = await startGate();
  await gate.grant('/Patient/mine', ['read']);
  await gate.grant('/Task/mine', ['read', 'update']);
});
afterAll(() => gate.close());
beforeEach(() => {
  gate.arrived.length = 0;
});
afterEach(() => {
  gate.fhir = undefined;
  gate.audit = undefined;
  gate.policy.decide = undefined;
  gate.nodeHealth = 200;
});

const bearer = (token = gate.token()) => ({ Authorization: `Bearer ${token}` });

/** What every refusal has: an OperationOutcome of our own with the correlation id, headers, and a record in the journal. */
async function expectRefusal(answer: RawAnswer, status: number, text?: string, from = gate): Promise<void> {
  expect(answer.status).toBe(status);
  const id = answer.headers.get('x-request-id') ?? '';
  expect(id).toMatch(/^[0-9a-f-]{36}$/);
  const outcome = JSON.parse(answer.body) as {
    resourceType: string;
    issue: [{ diagnostics: string; details: { text: string } }];
  };
  expect(outcome.resourceType).toBe('OperationOutcome');
  expect(outcome.issue[0].diagnostics).toBe(id);
  if (text !== undefined) expect(outcome.issue[0].details.text).toBe(text);
  expect(answer.headers.get('cache-control')).toBe('no-store');
  expect(answer.headers.get('content-type')).toMatch(/^application\/fhir\+json/);
  const closed = (await from.audited(id)).filter((record) => record.phase === 'outcome');
  expect(closed).toHaveLength(1);
  expect(closed[0]).toMatchObject({ status });
}

/** Without the correlation id. */
function withoutId(answer: RawAnswer): string {
  return `${String(answer.status)} ${answer.body.replaceAll(answer.headers.get('x-request-id') ?? '-', 'ID')}`;
}

describe('a permitted read', () => {
  it('is answered with the custodian’s resource, its base in our words, and nothing else of the custodian’s', async () => {
    const answer = await gate.get('/a/fhir/Patient/mine', bearer());
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.body)).toMatchObject({ id: 'mine', link: 'https://gate.example/a/fhir/Patient/2' });
    expect(answer.headers.get('etag')).toBe('W/"1"');
    for (const name of ['server', 'set-cookie', 'x-powered-by']) expect(answer.headers.has(name)).toBe(false);
    expect(answer.headers.get('cache-control')).toBe('no-store');
  });

  it('reaches the custodian as the canonical request, with the tenant’s own login and none of the caller’s headers', async () => {
    const token = gate.token();
    await gate.get('/a/fhir/Patient/%6Dine?_format=json', {
      ...bearer(token),
      Cookie: 'a=b',
      'X-Upsert-Extended-Handling': 'x',
      'X-Forwarded-For': '10.0.0.1',
      Prefer: 'respond-async',
      Range: 'bytes=0-',
      'Accept-Encoding': 'br',
      Accept: 'application/json;q=0.5, */*;q=0.1',
    });
    expect(gate.arrived).toHaveLength(1);
    const [arrived] = gate.arrived;
    expect(arrived).toMatchObject({ method: 'GET', target: '/fhir/Patient/mine', body: '' });
    const headers = new Map<string, string>();
    const raw = arrived?.rawHeaders ?? [];
    for (let index = 0; index < raw.length; index += 2) headers.set(raw[index]!.toLowerCase(), raw[index + 1]!);
    expect([...headers.keys()].sort()).toEqual(['accept', 'accept-encoding', 'authorization', 'connection', 'host']);
    expect(headers.get('authorization')).toMatch(/^Basic /);
    expect(headers.get('accept')).toBe('application/fhir+json');
    expect(raw.join()).not.toContain(token);
  });

  it('has an intent that is durable before the answer, and an outcome that closes it', async () => {
    const answer = await gate.get('/a/fhir/Patient/mine', bearer());
    const records = await gate.audited(answer.headers.get('x-request-id') ?? '');
    expect(records.map((record) => record.phase)).toEqual(['intent', 'outcome']);
    expect(records[0]).toMatchObject({
      tenant: 'a',
      requester: { id: REQUESTER },
      useCase: 'notes',
      role: 'sender',
      interaction: 'read',
      path: '/Patient/mine',
    });
    expect(records[0]?.tokenHash).toMatch(/^[0-9a-f]{32}$/);
    expect(records[1]).toMatchObject({ outcome: 'permitted', status: 200, complete: true, intent: records[0]?.seq });
  });

  it('by HEAD is judged and fetched as GET, and has no body', async () => {
    const answer = await gate.get('/a/fhir/Patient/mine', bearer(), 'HEAD');
    expect(answer).toMatchObject({ status: 200, body: '' });
    expect(gate.arrived.map((each) => each.method)).toEqual(['GET']);
    const denied = await gate.get('/a/fhir/Patient/other', bearer(), 'HEAD');
    expect(denied).toMatchObject({ status: 403, body: '' });
    expect(gate.arrived).toHaveLength(1);
  });

  it('of a resource that is not there is 404, of one that is deleted too, and says nothing of the upstream’s text', async () => {
    await gate.grant('/Patient/gone', ['read']);
    for (const status of [404, 410]) {
      gate.fhir = (_request, response) =>
        response.writeHead(status, { 'content-type': 'application/json' }).end('{"diagnostics":"SQL"}');
      const answer = await gate.get('/a/fhir/Patient/gone', bearer());
      await expectRefusal(answer, 404);
      expect(answer.body).not.toContain('SQL');
    }
  });

  it('is 304 when the caller has the version that there is (H37), and 403 where it has no right, whatever it has', async () => {
    gate.fhir = (request, response) =>
      response.writeHead(request.headers['if-none-match'] === 'W/"1"' ? 304 : 500, { etag: 'W/"1"' }).end();
    expect((await gate.get('/a/fhir/Patient/mine', { ...bearer(), 'If-None-Match': 'W/"1"' })).status).toBe(304);
    await expectRefusal(await gate.get('/a/fhir/Patient/other', { ...bearer(), 'If-None-Match': 'W/"1"' }), 403);
    expect(gate.arrived).toHaveLength(1);
  });
});

describe('a denial', () => {
  it('is one and the same 403, whether the resource exists, the type is listed, or the interaction is another', async () => {
    const texts = new Set<string>();
    const requests = [
      ['GET', '/Patient/other'],
      ['GET', '/Patient/none'],
      ['GET', '/Observation/1'],
      ['GET', '/metadata'],
      ['GET', '/Patient/mine/_history'],
      ['GET', '/Patient/mine/_history/1'],
      ['GET', '/Patient/mine/$everything'],
      ['GET', '/Patient?_id=mine'],
      ['GET', '/Patient/mine/Observation'],
      ['DELETE', '/Patient/mine'],
      ['GET', '/Patient/mine?_elements=id'],
    ] as const;
    for (const [method, path] of requests) {
      const answer = await gate.get(`/a/fhir${path}`, bearer(), method);
      await expectRefusal(answer, 403, 'access_denied');
      texts.add(withoutId(answer));
      expect(answer.headers.get('www-authenticate')).toContain('insufficient_scope');
    }
    expect(texts.size).toBe(1);
    expect(gate.arrived).toEqual([]);
  });

  it('follows at once when the grant ends, though the token lives on', async () => {
    const id = await gate.grant('/Patient/brief', ['read']);
    const token = gate.token();
    expect((await gate.get('/a/fhir/Patient/brief', bearer(token))).status).toBe(200);
    await gate.endGrant(id);
    await expectRefusal(await gate.get('/a/fhir/Patient/brief', bearer(token)), 403);
  });

  it('meets an organisation that asks itself, a token for another role, and one for nothing we know', async () => {
    for (const facts of [{ sub: didOf('a') }, { service: MESSAGES }, { service: 'unknown' }]) {
      await expectRefusal(await gate.get('/a/fhir/Patient/mine', bearer(gate.token({ facts }))), 403, 'access_denied');
    }
    expect(gate.arrived).toEqual([]);
  });

  it.each([
    ['throws', () => Promise.reject(new Error('a bug'))],
    ['returns nothing', () => undefined],
    ['returns a truthy text', () => 'permit'],
    ['returns an effect that nobody knows', () => ({ effect: 'allow', reason: { code: 'x' }, obligations: [] })],
    [
      'permits with a condition that nobody knows',
      () => ({ effect: 'permit', reason: { code: 'x' }, obligations: [{ kind: 'mask' }] }),
    ],
    ['permits with a review that it does not have', () => permit('x', { obligations: [{ kind: 'review', review: 'none' }] })],
    ['permits by a grant that is not there', () => permit('x', { grantId: 'none' })],
  ])('is what comes of a use case that %s (E1 to E4)', async (_what, decide) => {
    gate.policy.decide = decide as never;
    await expectRefusal(await gate.get('/a/fhir/Patient/mine', bearer()), 403, 'access_denied');
    expect(gate.arrived).toEqual([]);
  });

  it('is what comes of a use case that never settles (E1)', async () => {
    const short = await startGate({ decisionDeadlineMs: 100 });
    short.policy.decide = () => new Promise(() => undefined);
    await expectRefusal(await short.get('/a/fhir/Patient/mine', bearer(short.token())), 403, 'access_denied', short);
    expect(short.arrived).toEqual([]);
    await short.close();
  });

  it('shows what the use case shows only where a live grant of the caller names the path', async () => {
    gate.policy.decide = () => deny('user_missing', undefined, 'user_context_required');
    await expectRefusal(await gate.get('/a/fhir/Patient/mine', bearer()), 403, 'user_context_required');
    await expectRefusal(await gate.get('/a/fhir/Patient/other', bearer()), 403, 'access_denied');
  });

  it('keeps the request that it judges out of the reach of the use case (E9)', async () => {
    gate.policy.decide = (request) => {
      (request.resource as { path: string }).path = '/Patient/other';
      return permit('x');
    };
    await expectRefusal(await gate.get('/a/fhir/Patient/mine', bearer()), 403);
  });
});

describe('a request that cannot be read in one way, or is none of ours', () => {
  it.each([
    // path and target
    ['P1', 400, 'GET', '/a/fhir/Patient%2Fmine'],
    ['P1', 400, 'GET', '/a/fhir/Patient%2fmine'],
    ['P2', 400, 'GET', '/a/fhir/Patient/mine/../other'],
    ['P3', 400, 'GET', '/a/fhir/Patient/mine/%2e%2e/other'],
    ['P4', 400, 'GET', '/a/fhir/Patient/mine/%252e%252e/other'],
    ['P5', 400, 'GET', '/a/fhir/Patient/..'],
    ['P5', 400, 'GET', '/a/fhir/Patient/.'],
    ['P7', 400, 'GET', '/a/fhir/Patient\\other'],
    ['P8', 400, 'GET', '/a/fhir/Patient;x=1/other'],
    ['P12', 400, 'GET', '/a/fhir/metadata/../Patient/other'],
    ['P12', 404, 'GET', '/a/fhir/metadata/Patient'],
    ['P13', 400, 'GET', '/admin-ui/..;/fhir/Patient'],
    ['P14', 400, 'GET', 'http://internal-fhir:8080/fhir/Patient'],
    ['P14', 400, 'GET', 'http://pep.example/a/fhir/Patient/mine'],
    ['P15', 400, 'GET', '//evil.example/Patient'],
    ['P18', 400, 'GET', '/a/fhir/Patient/%zz'],
    ['P18', 400, 'GET', '/a/fhir/Patient/%C0%AE%C0%AE/other'],
    ['P21', 404, 'GET', '/a/fhir/Patient/mine/_history/1/extra'],
    ['P22', 404, 'GET', '/a/fhir/DEFAULT/Patient/other'],
    ['P24', 400, 'GET', '/a/fhir/Observation?internal=https%3A%2F%2Fevil%2Fx'],
    ['P26', 414, 'GET', `/a/fhir/Patient/${'x'.repeat(20_000)}`],
    ['P29', 400, 'GET', '/a/fhir/P%D0%B0tient/1'],
    ['no tenant', 404, 'GET', '/nobody/fhir/Patient/mine'],
    ['TN2', 404, 'GET', '/__proto__/fhir/Patient/mine'],
    ['TN2', 404, 'GET', '/A/fhir/Patient/mine'],
    ['no place', 404, 'GET', '/a/other'],
    ['no path', 404, 'GET', '/'],
    // methods
    ['M2', 400, 'POST', '/a/fhir/Patient/other?_method=DELETE'],
    ['M3', 405, 'TRACE', '/a/fhir/Patient'],
    ['M13', 405, 'PUT', '/a/fhir/Patient/_search'],
    ['P16', 405, 'OPTIONS', '*'],
    ['letter case', 404, 'GET', '/a/fhir/patient/mine'],
  ])('is refused: %s, %i, %s %s', async (_row, status, method, target) => {
    const answer = await gate.get(target, bearer(), method);
    await expectRefusal(answer, status);
    if (status === 405) expect(answer.headers.get('allow')).toBeTruthy();
    expect(gate.arrived).toEqual([]);
  });

  it.each([
    ['H1', 400, 'Connection: keep-alive, x-request-id'],
    ['H7', 400, 'X_Tenant_Id: b'],
    ['H8', 400, 'Authorization: Bearer other'],
    ['H16', 400, 'Transfer-Encoding: xchunked'],
    ['H17', 400, 'Content-Length: +5'],
    ['H22', 431, `X-Long: ${'x'.repeat(30_000)}`],
    ['H22', 431, Array.from({ length: 500 }, (_, index) => `X-${String(index)}: 1`).join('\r\n')],
    ['H25', 406, 'Accept: */*;q=0, application/fhir+xml'],
    ['H27', 406, 'Accept: application/fhir+ndjson'],
    ['H27', 406, 'Accept: application/fhir+json; fhirVersion=4.0'],
    ['Upgrade', 400, 'Upgrade: h2c'],
    ['Expect', 417, 'Expect: something'],
    ['body', 400, 'Content-Length: 3'],
  ])('is refused for its headers: %s, %i, %.40s', async (_row, status, line) => {
    const authorization = `Authorization: Bearer ${gate.token()}`;
    const { answers } = await gate.raw(
      `GET /a/fhir/Patient/mine HTTP/1.1\r\nHost: pep.example\r\n${authorization}\r\n${line}\r\n\r\n`,
      1,
    );
    expect(answers).toHaveLength(1);
    await expectRefusal(answers[0]!, status);
    expect(gate.arrived).toEqual([]);
  });

  it.each([
    [
      'H15',
      'POST /a/fhir/Patient/_search HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /a/fhir/Patient/mine HTTP/1.1\r\nX: y\r\n\r\n',
    ],
    ['H17', 'POST /a/fhir/Patient/_search HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd'],
    ['H18', 'GET /a/fhir/Patient/mine HTTP/1.1\nHost: x\n\n'],
    ['H18', 'GET /a/fhir/Patient/mine HTTP/1.1\r\nHost : x\r\n\r\n'],
    ['M4', 'get /a/fhir/Patient/mine HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['no host', 'GET /a/fhir/Patient/mine HTTP/1.1\r\n\r\n'],
    ['version', 'GET /a/fhir/Patient/mine HTTP/2.0\r\nHost: x\r\n\r\n'],
    ['version', 'GET /a/fhir/Patient/mine HTTP/1.0\r\nHost: x\r\n\r\n'],
    ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
  ])('closes the connection when its framing is in doubt: %s', async (_row, bytes) => {
    const before = (await gate.allAudited()).length;
    const { answers, closed } = await gate.raw(bytes);
    expect(closed).toBe(true);
    expect(answers).toHaveLength(1);
    await expectRefusal(answers[0]!, 400);
    expect((await gate.allAudited()).length).toBe(before + 1);
    expect(gate.arrived).toEqual([]);
  });

  it.each([
    ['a chunk size that is none', '0x10\r\nabc'],
    ['a chunk size that is none, after a good chunk', '3\r\n{"a\r\nzz\r\n'],
  ])('answers a body with %s once (H19)', async (_what, body) => {
    const before = (await gate.allAudited()).length;
    const { answers, closed } = await gate.raw([
      `PUT /a/fhir/Task/mine HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${gate.token()}\r\n`,
      'Content-Type: application/fhir+json\r\nTransfer-Encoding: chunked\r\n\r\n',
      body,
    ]);
    expect(closed).toBe(true);
    expect(answers.map((answer) => answer.status)).toEqual([400]);
    expect((await gate.allAudited()).length).toBe(before + 1);
    expect(gate.arrived).toEqual([]);
  });

  it('refuses CONNECT with an answer and a record (P16)', async () => {
    const { answers, closed } = await gate.raw('CONNECT fhir:443 HTTP/1.1\r\nHost: fhir:443\r\n\r\n');
    expect(closed).toBe(true);
    await expectRefusal(answers[0]!, 405);
  });

  it('answers an unknown tenant, an unknown path and another method there in one and the same way, before any token work', async () => {
    const before = gate.introspections;
    const answers = [
      await gate.get('/nobody/fhir/Patient/mine', bearer()),
      await gate.get('/nobody/fhir/Patient/mine'),
      await gate.get('/a/nothing', bearer()),
      await gate.get('/a/eoverdracht/notification/1', bearer(), 'POST'),
      await gate.get('/health/live'),
    ];
    expect(new Set(answers.map(withoutId)).size).toBe(1);
    expect(gate.introspections).toBe(before);
  });

  it('lets ids with dots pass (P30)', async () => {
    for (const id of ['a..b', '1...2', '-.-']) {
      await gate.grant(`/Patient/${id}`, ['read']);
      expect((await gate.get(`/a/fhir/Patient/${id}`, bearer())).status).toBe(200);
    }
  });
});

describe('a token', () => {
  it.each([
    ['none', {}],
    ['H9', { Authorization: 'Bearer good, Bearer bad' }],
    ['H10', { Authorization: 'bearer  tok' }],
    ['H10', { Authorization: 'Bearer\ttok' }],
    ['H10', { Authorization: 'BearerX tok' }],
    ['H10', { Authorization: 'Basic dG9r' }],
    ['H10', { Authorization: 'Bearer tok;x' }],
    ['T18', { Authorization: 'Bearer bad&token=T-A' }],
    ['T19', { Authorization: `Bearer ${'x'.repeat(9_000)}` }],
    ['opaque', { Authorization: 'Bearer opaque' }],
    ['unknown', { Authorization: 'Bearer a.b.c' }],
  ] as [string, Record<string, string>][])('that is no good is 401: %s %j', async (_row, headers) => {
    const answer = await gate.get('/a/fhir/Patient/mine', headers);
    await expectRefusal(answer, 401);
    expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer/);
    expect(gate.arrived).toEqual([]);
  });

  it('is asked for on every FHIR path, on one that FHIR does not have too', async () => {
    for (const path of ['/metadata', '/Patient/other', '/nothing', '/Patient?x=1']) {
      await expectRefusal(await gate.get(`/a/fhir${path}`), 401, 'token_missing');
    }
  });

  it('is accepted whatever the letter case of its scheme', async () => {
    expect((await gate.get('/a/fhir/Patient/mine', { Authorization: `bEARER ${gate.token()}` })).status).toBe(200);
  });

  it.each([
    ['T4', () => ({ exp: seconds() - 1 })],
    ['T6', () => ({ exp: seconds() * 1000 })],
    ['T6', () => ({ exp: -5 })],
    ['T7', () => ({ iat: seconds() + 120, exp: seconds() + 180 })],
    ['T8', () => ({ iss: didOf('b') })],
    ['T9', () => ({ iss: `${didOf('a')}/` })],
    ['T9', () => ({ iss: didOf('a').toUpperCase() })],
    ['T10', () => ({ aud: 'https://other.example' })],
    ['long life', () => ({ iat: seconds(), exp: seconds() + 86_400 })],
  ])('whose facts do not hold is 401: %s', async (_row, facts) => {
    await expectRefusal(
      await gate.get('/a/fhir/Patient/mine', bearer(gate.token({ facts: facts() }))),
      401,
      'illegal_access_token',
    );
    expect(gate.arrived).toEqual([]);
  });

  it('of a tenant is 401 at every other, cached or not (T8, T25)', async () => {
    await gate.grant('/Patient/mine', ['read'], 'b');
    const token = gate.token();
    expect((await gate.get('/a/fhir/Patient/mine', bearer(token))).status).toBe(200);
    await expectRefusal(await gate.get('/b/fhir/Patient/mine', bearer(token)), 401);
    const other = gate.token({ tenant: 'b' });
    expect((await gate.get('/b/fhir/Patient/mine', bearer(other))).status).toBe(200);
    await expectRefusal(await gate.get('/a/fhir/Patient/mine', bearer(other)), 401);
  });

  it('in a query or twice is 400 (H11, H8)', async () => {
    await expectRefusal(await gate.get('/a/fhir/Patient/mine?access_token=x', bearer()), 400);
  });

  it('that a sick node calls inactive, and nonsense of a node, are 503 with Retry-After, never 401 (T20)', async () => {
    const nonsense = gate.token();
    gate.tokens.set(nonsense, '<html>');
    const answer = await gate.get('/a/fhir/Patient/mine', bearer(nonsense));
    await expectRefusal(answer, 503);
    expect(answer.headers.get('retry-after')).toMatch(/^\d+$/);
    gate.nodeHealth = 503;
    gate.clock.advance(6);
    await expectRefusal(await gate.get('/a/fhir/Patient/mine', { Authorization: 'Bearer never.seen.before' }), 503);
    gate.nodeHealth = 200;
    gate.clock.advance(6);
    await expectRefusal(await gate.get('/a/fhir/Patient/mine', { Authorization: 'Bearer never.seen.before' }), 401);
    expect(gate.arrived).toEqual([]);
  });

  it('is asked about once for reads within five seconds, and anew for every write', async () => {
    const token = gate.token();
    const before = gate.introspections;
    for (let times = 0; times < 3; times += 1) await gate.get('/a/fhir/Patient/mine', bearer(token));
    expect(gate.introspections).toBe(before + 1);
    const task = JSON.stringify({ resourceType: 'Task', id: 'mine', status: 'requested' });
    await gate.get('/a/fhir/Task/mine', { ...bearer(token), 'Content-Type': 'application/fhir+json' }, 'PUT', task);
    expect(gate.introspections).toBe(before + 2);
    gate.clock.advance(6);
    await gate.get('/a/fhir/Patient/mine', bearer(token));
    expect(gate.introspections).toBe(before + 3);
    gate.clock.advance(60);
    await expectRefusal(await gate.get('/a/fhir/Patient/mine', bearer(token)), 401);
  });
});

const seconds = (): number => Math.floor(gate.clock.now().getTime() / 1000);

describe('without an audit record', () => {
  const broken = () => Promise.reject(new GatewayError('audit_unavailable', 'disk full', { retryAfterSeconds: 5 }));

  it('nothing leaves: 503 for a read, a write, a denial and a refusal', async () => {
    gate.audit = broken;
    const task = JSON.stringify({ resourceType: 'Task', id: 'mine', status: 'accepted' });
    const answers = [
      await gate.get('/a/fhir/Patient/mine', bearer()),
      await gate.get('/a/fhir/Task/mine', { ...bearer(), 'Content-Type': 'application/json' }, 'PUT', task),
      await gate.get('/a/fhir/Patient/other', bearer()),
      await gate.get('/a/fhir/Patient/mine'),
      await gate.get('/nobody/fhir/Patient/mine'),
    ];
    for (const answer of answers) {
      expect(answer.status).toBe(503);
      expect(answer.headers.get('retry-after')).toBe('5');
      expect(answer.body).not.toContain('mine');
    }
    expect(gate.arrived.filter((each) => each.method !== 'GET')).toEqual([]);
  });

  it('no byte of an answer leaves before the intent is durable, and not the last before the outcome is', async () => {
    await gate.grant('/Binary/1', ['read']);
    let durable = false;
    gate.audit = (entry) =>
      entry.phase === 'intent'
        ? sleep(150).then(() => {
            durable = true;
          })
        : broken();
    const socket = connect(gate.port, '127.0.0.1');
    let bytes = 0;
    let early = 0;
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (!durable) early += chunk.length;
    });
    const closed = once(socket, 'close');
    socket.write(`GET /a/fhir/Binary/1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${gate.token()}\r\n\r\n`);
    await closed;
    expect(early).toBe(0);
    // The headers promise 300,000 bytes; the connection is cut off before the last of them.
    expect(bytes).toBeLessThan(300_000);
  });
});

describe('an answer of the custodian', () => {
  it('streams whole when it is a Binary, with its length, and as a download', async () => {
    await gate.grant('/Binary/1', ['read']);
    const answer = await gate.get('/a/fhir/Binary/1', bearer());
    expect(answer.status).toBe(200);
    expect(answer.body).toHaveLength(300_000);
    expect(answer.headers.get('content-type')).toBe('application/pdf');
    expect(answer.headers.get('content-disposition')).toBe('attachment');
    const records = await gate.audited(answer.headers.get('x-request-id') ?? '');
    expect(records.at(-1)).toMatchObject({ phase: 'outcome', bytes: 300_000, complete: true });
  });

  it.each([
    ['X8', 302, { location: 'http://169.254.169.254/' }, ''],
    ['status', 500, {}, 'stack'],
    ['login', 401, {}, ''],
    ['HTML', 200, { 'content-type': 'text/html' }, '<p>'],
    ['X25', 200, { 'content-type': 'application/fhir+json' }, '{"resourceType":"Task","id":"mine","id":"other"}'],
    ['X17', 200, { 'content-type': 'application/fhir+json' }, '{"resourceType":"Task",'],
    ['X19', 200, { 'content-type': 'application/fhir+json', 'content-encoding': 'gzip' }, 'x'],
    ['X20', 200, { 'content-type': 'application/fhir+json' }, `{"a":"${'x'.repeat(2_000_000)}"}`],
    ['withheld', 200, { 'content-type': 'application/fhir+json' }, '{"resourceType":"Task","withhold":true}'],
    ['X31', 200, { 'content-type': 'application/fhir+json' }, '{"resourceType":"Task","throw":true}'],
  ])('that may not leave is 502: %s', async (_row, status, headers, body) => {
    gate.fhir = (_request, response) => response.writeHead(status, headers).end(body);
    const answer = await gate.get('/a/fhir/Task/mine', bearer());
    await expectRefusal(answer, 502);
    expect(answer.body).not.toMatch(/stack|mine|169\.254/);
  });

  it('is replaced by what a review makes of it, without the tag of what it was (X24)', async () => {
    gate.fhir = (_request, response) =>
      response
        .writeHead(200, { 'content-type': 'application/json', etag: 'W/"9"' })
        .end('{"resourceType":"Task","id":"mine","note":"x","n":1.50}');
    const answer = await gate.get('/a/fhir/Task/mine', bearer());
    expect(answer.body).toBe('{"resourceType":"Task","id":"mine","n":1.50}');
    expect(answer.headers.has('etag')).toBe(false);
  });

  it('that breaks off after it began cuts the caller off, and is recorded as incomplete', async () => {
    await gate.grant('/Binary/1', ['read']);
    gate.fhir = (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/pdf', 'content-length': '300000' });
      response.write(Buffer.alloc(100_000, 1), () => setTimeout(() => response.socket?.destroy(), 50));
    };
    const token = gate.token();
    const { answers, closed } = await gate.raw(
      `GET /a/fhir/Binary/1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`,
    );
    expect(closed).toBe(true);
    expect(answers).toEqual([]);
    const last = async () => (await gate.allAudited()).at(-1);
    await until(async () => (await last())?.phase === 'outcome');
    expect(await last()).toMatchObject({ phase: 'outcome', outcome: 'failed', complete: false });
  });

  it.each(['/Task/mine', '/Binary/1'])(
    'that breaks off while the record is on its way to the disk harms nobody: %s',
    async (path) => {
      await gate.grant('/Binary/1', ['read']);
      gate.audit = (entry) => (entry.phase === 'intent' ? sleep(150) : undefined);
      gate.fhir = (_request, response) => {
        response.writeHead(200, { 'content-type': 'application/fhir+json', 'content-length': '5000' });
        response.write('{', () => setTimeout(() => response.socket?.destroy(), 20));
      };
      const { answers, closed } = await gate.raw(
        `GET /a/fhir${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${gate.token()}\r\n\r\n`,
        1,
      );
      expect(closed || answers[0]?.status === 502).toBe(true);
      gate.fhir = undefined;
      expect((await gate.get('/a/fhir/Task/mine', bearer())).status).toBe(200);
    },
  );

  it('is given up when the caller goes away, and that is recorded', async () => {
    let aborted = false;
    gate.fhir = (request, response) => {
      request.on('close', () => undefined);
      response.on('close', () => {
        aborted = !response.writableFinished;
      });
    };
    const before = (await gate.allAudited()).length;
    const socket = connect(gate.port, '127.0.0.1');
    socket.write(`GET /a/fhir/Patient/mine HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${gate.token()}\r\n\r\n`);
    await until(() => gate.arrived.length === 1);
    socket.destroy();
    await until(() => aborted);
    await until(async () => (await gate.allAudited()).slice(before).some(({ phase }) => phase === 'outcome'));
    const records = (await gate.allAudited()).slice(before);
    expect(records.map((record) => record.phase)).toEqual(['intent', 'outcome']);
    expect(records[1]).toMatchObject({ outcome: 'failed', status: 0, complete: false, reason: 'caller_gone' });
  });
});

describe('a guarded write', () => {
  const put = (task: object | string, headers: Readonly<Record<string, string>> = {}, path = '/Task/mine') =>
    gate.get(
      `/a/fhir${path}`,
      { ...bearer(), 'Content-Type': 'application/fhir+json', ...headers },
      'PUT',
      typeof task === 'string' ? task : JSON.stringify({ resourceType: 'Task', id: 'mine', ...task }),
    );
  const version = async (): Promise<string> =>
    /"(.*)"/.exec((await gate.get('/a/fhir/Task/mine', bearer())).headers.get('etag') ?? '')![1]!;

  it('is built from what is stored, sent if that is still the version, and answered with what is stored then', async () => {
    const before = await version();
    gate.arrived.length = 0;
    const answer = await put({ status: 'accepted', owner: 'stolen' });
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.body)).toMatchObject({ status: 'accepted' });
    expect(answer.body).not.toContain('stolen');
    expect(gate.arrived.map((each) => `${each.method} ${each.target}`)).toEqual(['GET /fhir/Task/mine', 'PUT /fhir/Task/mine']);
    expect(gate.arrived[0]?.rawHeaders.join().toLowerCase()).toContain('x-sluis-lookup,1');
    expect(gate.arrived[1]?.rawHeaders.join()).toContain(`W/"${before}"`);
    expect(gate.arrived[1]?.body).not.toContain('stolen');
    const records = await gate.audited(answer.headers.get('x-request-id') ?? '');
    expect(records.map((record) => record.phase).sort()).toEqual(['event', 'intent', 'outcome']);
    expect(records.at(-1)).toMatchObject({ outcome: 'permitted', status: 200 });
  });

  it('goes up only after its intent is durable', async () => {
    let durable = false;
    let tooEarly = false;
    gate.audit = (entry) =>
      entry.phase === 'intent'
        ? sleep(100).then(() => {
            durable = true;
          })
        : undefined;
    const timer = setInterval(() => {
      if (!durable && gate.arrived.some((each) => each.method === 'PUT')) tooEarly = true;
    }, 5);
    expect((await put({ status: 'in-progress' })).status).toBe(200);
    clearInterval(timer);
    expect(tooEarly).toBe(false);
  });

  it('that changes nothing is 200 and sends nothing', async () => {
    const stored = JSON.parse((await gate.get('/a/fhir/Task/mine', bearer())).body) as { status: string };
    expect((await put({ status: stored.status })).status).toBe(200);
    expect(gate.arrived.some((each) => each.method === 'PUT')).toBe(false);
  });

  it('that the guard does not accept is 422 with the place', async () => {
    const answer = await put({ status: 'refused' });
    await expectRefusal(answer, 422);
    expect(answer.body).toContain('"expression":["Task.status"]');
    expect(gate.arrived.some((each) => each.method === 'PUT')).toBe(false);
  });

  it('of a stale version is 409 on STU3; a tag that is no one weak tag is 400', async () => {
    await expectRefusal(await put({ status: 'on-hold' }, { 'If-Match': 'W/"0"' }), 409);
    await expectRefusal(await put({ status: 'on-hold' }, { 'If-Match': '*' }), 400);
    expect((await put({ status: 'on-hold' }, { 'If-Match': `W/"${await version()}"` })).status).toBe(200);
  });

  it('is judged once more when the version moved meanwhile, and is 409 when it moves again', async () => {
    let moves = 1;
    let current = 1;
    gate.fhir = (request, response) => {
      const json = (status: number, body: object) =>
        response
          .writeHead(status, { 'content-type': 'application/json', etag: `W/"${String(current)}"` })
          .end(JSON.stringify(body));
      const task = { resourceType: 'Task', id: 'mine', status: 'requested', meta: { versionId: String(current) } };
      if (request.method === 'GET') return void json(200, task);
      if (moves > 0) {
        moves -= 1;
        current += 1;
        return void json(412, {});
      }
      current += 1;
      json(200, { ...task, status: 'accepted', meta: { versionId: String(current) } });
    };
    expect((await put({ status: 'accepted' })).status).toBe(200);
    moves = 2;
    await expectRefusal(await put({ status: 'accepted' }), 409);
  });

  it.each([
    ['C8', 400, { id: 'other' }],
    ['C8', 400, { resourceType: 'Patient' }],
    ['C17', 400, '{"resourceType":"Task","id":"mine","status":"a","status":"b"}'],
    ['C19', 400, '{"resourceType":"Task","id":"mine","__proto__":{"x":1}}'],
    ['no JSON', 400, 'x'],
    ['no object', 400, '[]'],
  ])('with a body that says two things is refused: %s', async (_row, status, body) => {
    await expectRefusal(await put(body), status);
    expect(gate.arrived).toEqual([]);
  });

  it('without the right is 403 before its body is looked at; of another format 415; too large 413', async () => {
    await expectRefusal(await put('x', {}, '/Task/other'), 403);
    await expectRefusal(await put('<Task/>', { 'Content-Type': 'application/fhir+xml' }), 415);
    await expectRefusal(await put('{}', { 'Content-Type': 'application/fhir+json; charset=utf-16' }), 415);
    await expectRefusal(await put(`{"x":"${'x'.repeat(300_000)}"}`), 413);
    expect(gate.arrived).toEqual([]);
  });

  it('that turns out too large on its way is 413 all the same', async () => {
    const head = `PUT /a/fhir/Task/mine HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${gate.token()}\r\nContent-Type: application/fhir+json\r\n`;
    const chunk = `10000\r\n${'x'.repeat(65_536)}\r\n`;
    const { answers, closed } = await gate.raw([
      `${head}Transfer-Encoding: chunked\r\n\r\n`,
      ...Array.from({ length: 5 }, () => chunk),
    ]);
    expect(closed).toBe(true);
    await expectRefusal(answers[0]!, 413);
  });

  it('says 100 Continue only to somebody who may write (H23)', async () => {
    const head = (authorization: string) =>
      `PUT /a/fhir/Task/mine HTTP/1.1\r\nHost: x\r\n${authorization}Content-Type: application/fhir+json\r\nContent-Length: 5000000000\r\nExpect: 100-continue\r\n\r\n`;
    const { answers, closed } = await gate.raw(head(''));
    expect(closed).toBe(true);
    await expectRefusal(answers[0]!, 401);
  });

  it('that is no update is 403 whatever the policy says, and goes nowhere', async () => {
    gate.policy.decide = () => permit('anything');
    for (const [method, path] of [
      ['POST', '/Task'],
      ['PATCH', '/Task/mine'],
      ['DELETE', '/Task/mine'],
      ['PUT', '/Task?_id=mine'],
      ['POST', ''],
    ] as const) {
      const type = method === 'PATCH' ? 'application/json-patch+json' : 'application/fhir+json';
      await expectRefusal(
        await gate.get(`/a/fhir${path}`, { ...bearer(), 'Content-Type': type }, method, method === 'DELETE' ? '' : '{}'),
        403,
      );
    }
    expect(gate.arrived).toEqual([]);
  });
});

describe('an inbound message', () => {
  const post = (headers: Readonly<Record<string, string>>, path = '/a/notes/notification/1', body = '') =>
    gate.get(path, headers, 'POST', body);
  const messenger = () => bearer(gate.token({ facts: { service: MESSAGES } }));

  it('is 202 with no body once it is received, and recorded', async () => {
    const answer = await post(messenger());
    expect(answer).toMatchObject({ status: 202, body: '' });
    expect(receivedMessages.at(-1)).toEqual({ sender: REQUESTER, id: '1' });
    const records = await gate.audited(answer.headers.get('x-request-id') ?? '');
    expect(records.map((record) => record.phase)).toEqual(['intent', 'outcome']);
    expect(records[0]).toMatchObject({ interaction: 'notification', path: '/notes/notification/1' });
  });

  it('is refused: 401, 403, 400, 404, 405', async () => {
    const before = receivedMessages.length;
    await expectRefusal(await post({}), 401);
    await expectRefusal(await post(bearer()), 403);
    await expectRefusal(await post(bearer(gate.token({ facts: { service: MESSAGES, sub: didOf('a') } }))), 403);
    await expectRefusal(await post(messenger(), undefined, 'x'), 400);
    await expectRefusal(await post(messenger(), '/a/notes/notification'), 404);
    await expectRefusal(await post(messenger(), '/a/notes/notification/1/2'), 404);
    const get = await gate.get('/a/notes/notification/1', messenger());
    await expectRefusal(get, 405);
    expect(get.headers.get('allow')).toBe('POST');
    expect(receivedMessages).toHaveLength(before);
  });
});

describe('a connection', () => {
  it.each([
    ['GET', '/a/fhir/Patient/../x', '', 400, 'a'],
    ['GET', '/a/fhir//x', '', 400, 'a'],
    ['GET', '/a/fhir/Task?patient=mine&a=%zz', '', 400, 'a'],
    ['GET', '/a/fhir/Patient/mine', 'X_A: 1\r\n', 400, 'a'],
    ['TRACE', '/a/fhir/Patient/mine', '', 405, 'a'],
    ['GET', '/%61/fhir//x', '', 400, '-'],
    ['GET', '//a/fhir/x', '', 400, '-'],
    ['GET', '/a;x/fhir//x', '', 400, '-'],
    ['GET', '/x/../a/fhir/x', '', 400, '-'],
    ['GET', '/__proto__/fhir//x', '', 400, '-'],
  ])(
    'puts what is refused before it is addressed on the record of the tenant that it names: %s %s %j',
    async (method, path, line, status, tenant) => {
      const { answers } = await gate.raw(`${method} ${path} HTTP/1.1\r\nHost: x\r\n${line}\r\n`, 1);
      expect(answers[0]?.status).toBe(status);
      const records = await gate.audited(answers[0]?.headers.get('x-request-id') ?? '');
      expect(records.map((record) => record.tenant)).toEqual([tenant]);
    },
  );

  it('serves pipelined requests in order, each with a record of its own', async () => {
    const before = (await gate.allAudited()).length;
    const one = (id: string) => `GET /a/fhir/Patient/${id} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${gate.token()}\r\n\r\n`;
    const { answers } = await gate.raw(one('mine') + one('other') + one('mine'), 3);
    expect(answers.map((answer) => answer.status)).toEqual([200, 403, 200]);
    expect(gate.arrived).toHaveLength(2);
    expect((await gate.allAudited()).slice(before).filter((record) => record.phase === 'outcome')).toHaveLength(3);
  });

  it.each([
    ['X17', '{"resourceType": <<<not json'],
    ['X25', '{"resourceType":"Patient","id":"mine","id":"other"}'],
    ['X9', '{"resourceType":"Patient","id":"other"}'],
    ['X9', '{"resourceType":"Observation","id":"mine"}'],
  ])('does not pass on what no review has looked at and is not the one resource asked for (%s)', async (_row, body) => {
    await gate.grant('/Patient/mine', ['read']);
    const read = () => gate.get('/a/fhir/Patient/mine', { Authorization: `Bearer ${gate.token()}` });
    gate.fhir = (_request, response) => void response.writeHead(200, { 'content-type': 'application/fhir+json' }).end(body);
    expect((await read()).status).toBe(502);
    gate.fhir = (_request, response) =>
      void response.writeHead(200, { 'content-type': 'application/fhir+json' }).end('{"resourceType":"Patient","id":"mine"}');
    expect((await read()).status).toBe(200);
  });

  it('that goes on with nonsense after a request gets its own answer after that request’s', async () => {
    gate.fhir = (_request, response) =>
      void setTimeout(
        () => response.writeHead(200, { 'content-type': 'application/json' }).end('{"resourceType":"Patient","id":"mine"}'),
        100,
      );
    const request = `GET /a/fhir/Patient/mine HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${gate.token()}\r\n\r\n`;
    const { answers, closed } = await gate.raw(`${request}nonsense\r\n\r\n`);
    expect(closed).toBe(true);
    expect(answers.map((answer) => answer.status)).toEqual([200, 400]);
  });

  it('has no more than the tenant’s share: 429 with Retry-After, and the other tenant is served', async () => {
    const small = await startGate({ concurrentRequests: 2 });
    try {
      await small.grant('/Patient/mine', ['read']);
      await small.grant('/Patient/mine', ['read'], 'b');
      const over = Promise.withResolvers<undefined>();
      small.fhir = (_request, response) => {
        const answer = () =>
          void response.writeHead(200, { 'content-type': 'application/json' }).end('{"resourceType":"Patient","id":"mine"}');
        if (small.arrived.length > 2) answer();
        else void over.promise.then(answer);
      };
      const read = (tenant: string) =>
        small.get(`/${tenant}/fhir/Patient/mine`, { Authorization: `Bearer ${small.token({ tenant })}` });
      const busy = [read('a'), read('a')];
      await until(() => small.arrived.length === 2);
      const [third, other] = await Promise.all([read('a'), read('b')]);
      expect(third.status).toBe(429);
      expect(third.headers.get('retry-after')).toBe('1');
      expect(other.status).toBe(200);
      over.resolve(undefined);
      expect((await Promise.all(busy)).map((answer) => answer.status)).toEqual([200, 200]);
      expect((await read('a')).status).toBe(200);
    } finally {
      await small.close();
    }
  });
});
