import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import chart from '../attack/chart/index.ts';
import { permit } from '../../src/usecase/index.ts';
import { startGate, type FhirHandler, type TestGate } from '../support/gate.ts';

// XML through the whole gate: for tenants that say that their server writes no absolute URLs, where nothing has to look inside.

const FHIR_XML = 'application/fhir+xml';
let gate: TestGate;
beforeAll(async () => {
  gate = await startGate({ xml: 'relative' });
  for (const path of ['/Patient/1', '/Binary/1', '/Task/mine']) await gate.grant(path, ['read']);
});
afterAll(() => gate.close());
afterEach(() => {
  gate.fhir = undefined;
  gate.policy.decide = undefined;
  gate.arrived.length = 0;
});

const patient = (inside = '<active value="true"/>'): string =>
  `<?xml version="1.0" encoding="UTF-8"?><Patient xmlns="http://hl7.org/fhir"><id value="1"/>${inside}</Patient>`;

/** Answers with the pieces, one after the other; `{base}` is its own address. */
function answering(
  pieces: readonly string[],
  headers: Readonly<Record<string, string>> = { 'content-type': `${FHIR_XML};charset=UTF-8`, etag: 'W/"4"' },
  status = 200,
): FhirHandler {
  return (request, response) => {
    response.writeHead(status, headers);
    const base = `127.0.0.1:${String(request.socket.localPort)}/fhir`;
    const write = (index: number): void => {
      const piece = pieces[index];
      if (piece === undefined) response.end();
      else response.write(piece.replaceAll('{base}', base), () => setTimeout(write, 20, index + 1));
    };
    write(0);
  };
}

const bearer = () => ({ Authorization: `Bearer ${gate.token()}` });
const asXml = (path: string, headers: Readonly<Record<string, string>> = {}, method = 'GET') =>
  gate.get(`/a/fhir${path}`, { ...bearer(), Accept: FHIR_XML, ...headers }, method);
const header = (rawHeaders: readonly string[], name: string) =>
  rawHeaders[rawHeaders.findIndex((each) => each.toLowerCase() === name) + 1];
const outcomeOf = async (answer: { readonly headers: ReadonlyMap<string, string> }) =>
  (await gate.audited(answer.headers.get('x-request-id') ?? '')).at(-1);
const alarms = () => gate.alarms('xml_cut_off');

describe('a read as XML', () => {
  it('is asked and answered as FHIR XML, byte for byte', async () => {
    gate.fhir = answering([patient('<name><text value="Zoë &amp; &#xE9; "/></name>')]);
    const answer = await asXml('/Patient/1');
    expect(answer.status).toBe(200);
    expect(Buffer.from(answer.body, 'latin1').toString()).toBe(patient('<name><text value="Zoë &amp; &#xE9; "/></name>'));
    expect(answer.headers.get('content-type')).toBe('application/fhir+xml; charset=utf-8');
    expect(answer.headers.get('etag')).toBe('W/"4"');
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
    expect(header(gate.arrived[0]?.rawHeaders ?? [], 'accept')).toBe(FHIR_XML);
    expect(gate.arrived.map(({ target }) => target)).toEqual(['/fhir/Patient/1']);
    expect(await outcomeOf(answer)).toMatchObject({ outcome: 'permitted', reason: 'answered', resourceVersion: '4' });
  });

  it('is what _format says, which does not go upstream', async () => {
    gate.fhir = answering([patient()]);
    const answer = await gate.get('/a/fhir/Patient/1?_format=xml', { ...bearer(), Accept: 'application/fhir+json' });
    expect([answer.status, answer.body, gate.arrived[0]?.target]).toEqual([200, patient(), '/fhir/Patient/1']);
  });

  it('is told apart from JSON by the caller alone', async () => {
    const answer = await asXml('/Patient/1', { Accept: `${FHIR_XML}, application/fhir+json` });
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/fhir+json; charset=utf-8']);
    expect(header(gate.arrived[0]?.rawHeaders ?? [], 'accept')).toBe('application/fhir+json');
  });

  it('comes in pieces, whole', async () => {
    const big = `<text value="${'x'.repeat(200_000)}"/>`;
    gate.fhir = answering(['<Patient xml', 'ns="http://hl7.org/fhir"><id val', `ue="1"/>${big}`, '</Patient>']);
    const answer = await asXml('/Patient/1');
    expect([answer.status, answer.body.length]).toEqual([200, patient(big).length - 38]);
  });

  it('is asked with HEAD, and only if it is newer', async () => {
    gate.fhir = answering([patient()]);
    const head = await asXml('/Patient/1', {}, 'HEAD');
    expect([head.status, head.body, head.headers.get('content-type')]).toEqual([200, '', 'application/fhir+xml; charset=utf-8']);
    gate.fhir = answering([], { etag: 'W/"4"' }, 304);
    const same = await asXml('/Patient/1', { 'If-None-Match': 'W/"4"' });
    expect([same.status, same.body, same.headers.get('etag')]).toEqual([304, '', 'W/"4"']);
    expect(header(gate.arrived.at(-1)?.rawHeaders ?? [], 'if-none-match')).toBe('W/"4"');
  });

  it('gives a Binary as a resource to who names FHIR, and its bytes to all others', async () => {
    const binary = '<Binary xmlns="http://hl7.org/fhir"><id value="1"/><data value="AAAA"/></Binary>';
    gate.fhir = answering([binary]);
    const resource = await asXml('/Binary/1');
    expect([resource.status, resource.body]).toEqual([200, binary]);
    gate.fhir = undefined;
    const bytes = await asXml('/Binary/1', { Accept: 'application/xml' });
    expect([bytes.status, bytes.headers.get('content-type')]).toEqual([200, 'application/pdf']);
  });

  it.each(['application/xml+fhir', 'application/xml', 'text/xml; charset="utf-8"'])(
    'may be called %s by an STU3 server',
    async (type) => {
      gate.fhir = answering([patient()], { 'content-type': type });
      const answer = await asXml('/Patient/1');
      expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/fhir+xml; charset=utf-8']);
    },
  );
});

describe('an answer that may not leave as XML', () => {
  it.each<[string, FhirHandler, string]>([
    ['JSON', answering(['{}'], { 'content-type': 'application/fhir+json' }), 'upstream_not_xml'],
    ['a page', answering([patient()], { 'content-type': 'text/html' }), 'upstream_not_xml'],
    ['no type', answering([patient()], {}), 'upstream_not_xml'],
    ['another charset', answering([patient()], { 'content-type': `${FHIR_XML};charset=utf-16` }), 'upstream_not_xml'],
    ['another resource', answering([patient().replace('"1"/', '"2"/')]), 'upstream_other_resource'],
    ['a DTD', answering([`<!DOCTYPE Patient [<!ENTITY e "x">]>${patient().slice(38)}`]), 'xml_forbidden_markup'],
    ['the base', answering([patient('<link value="http://{base}/Patient/2"/>')]), 'xml_names_the_server'],
  ])('is 502 when that shows in its beginning: %s', async (_what, fhir, reason) => {
    gate.fhir = fhir;
    const before = await alarms();
    const answer = await asXml('/Patient/1');
    expect(answer.status).toBe(502);
    expect(answer.body).not.toContain('Patient/2');
    expect(await outcomeOf(answer)).toMatchObject({ outcome: 'failed', status: 502, reason });
    expect((await alarms()) - before).toBe(reason.startsWith('xml_') ? 1 : 0);
  });

  it.each([
    ['plain', 'http://127.0.0.1:{port}/fhir/Patient/2'],
    ['in references', 'http:&#47;&#x2F;127.0.0.1&#58;{port}'],
  ])('is cut off where it shows later: the base, %s', async (_how, link) => {
    gate.fhir = (request, response, body) => {
      const text = `<link value="${link.replace('{port}', String(request.socket.localPort))}"/>`;
      answering([patient().slice(0, -10), 'x'.repeat(70_000), text.slice(0, 25), text.slice(25), '</Patient>'])(
        request,
        response,
        body,
      );
    };
    const before = await alarms();
    const { answers, closed } = await gate.raw(
      `GET /a/fhir/Patient/1 HTTP/1.1\r\nHost: x\r\nAccept: ${FHIR_XML}\r\nAuthorization: Bearer ${gate.token()}\r\n\r\n`,
    );
    expect(closed).toBe(true);
    const text = JSON.stringify(answers);
    expect(text).not.toContain('127.0.0.1');
    expect(text).not.toContain('</Patient>');
    expect((await alarms()) - before).toBe(1);
    const record = (await gate.allAudited()).at(-1);
    expect(record).toMatchObject({ phase: 'outcome', outcome: 'failed', reason: 'xml_names_the_server', complete: false });
  });

  it('breaks off when the server does', async () => {
    gate.fhir = (_request, response) => {
      response.writeHead(200, { 'content-type': FHIR_XML });
      response.write(patient().slice(0, -10));
      setTimeout(() => response.write('x'.repeat(50_000)), 20);
      setTimeout(() => response.destroy(), 60);
    };
    const { closed, answers } = await gate.raw(
      `GET /a/fhir/Patient/1 HTTP/1.1\r\nHost: x\r\nAccept: ${FHIR_XML}\r\nAuthorization: Bearer ${gate.token()}\r\n\r\n`,
    );
    expect(closed).toBe(true);
    expect(JSON.stringify(answers)).not.toContain('</Patient>');
    expect((await gate.allAudited()).at(-1)).toMatchObject({ outcome: 'failed', complete: false });
  });
});

describe('what must be looked into', () => {
  it('is 406 for who takes XML alone, and goes nowhere', async () => {
    const answer = await asXml('/Task/mine');
    expect([answer.status, gate.arrived]).toEqual([406, []]);
    expect(await outcomeOf(answer)).toMatchObject({ outcome: 'refused', reason: 'xml_not_possible' });
  });

  it('is JSON for who takes that as well', async () => {
    const answer = await asXml('/Task/mine', { Accept: `${FHIR_XML}, */*;q=0.1` });
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/fhir+json; charset=utf-8']);
    expect(header(gate.arrived[0]?.rawHeaders ?? [], 'accept')).toBe('application/fhir+json');
  });

  it('is 406 with an element to redact, and passes with headers and attributes to set', async () => {
    gate.fhir = answering([patient()]);
    gate.policy.decide = () => permit('x', { obligations: [{ kind: 'redact', elements: ['Patient.name'] }] });
    expect((await asXml('/Patient/1')).status).toBe(406);
    expect(gate.arrived).toEqual([]);
    gate.policy.decide = () =>
      permit('x', {
        obligations: [
          { kind: 'headers', response: { etag: null } },
          { kind: 'audit', attributes: { why: 'because' } },
        ],
      });
    const answer = await asXml('/Patient/1');
    expect([answer.status, answer.headers.get('etag')]).toEqual([200, undefined]);
  });

  it('is 403 before it is 406, whatever exists', async () => {
    const [none, other] = [await asXml('/Task/none'), await asXml('/Patient/2')];
    const without = ({ body, headers }: typeof none) => body.replaceAll(headers.get('x-request-id') ?? '', '');
    expect([none.status, other.status, without(none), gate.arrived]).toEqual([403, 403, without(other), []]);
  });

  it('is never a list', async () => {
    expect((await asXml('/Patient?_id=1')).status).toBe(406);
    expect(gate.arrived).toEqual([]);
  });
});

describe('XML elsewhere', () => {
  it('is 415 in a write', async () => {
    await gate.grant('/Task/mine', ['update']);
    const headers = { ...bearer(), 'Content-Type': FHIR_XML, 'If-Match': 'W/"3"' };
    const answer = await gate.get('/a/fhir/Task/mine', headers, 'PUT', '<Task xmlns="http://hl7.org/fhir"/>');
    expect([answer.status, gate.arrived]).toEqual([415, []]);
  });

  // A patient by its own id shows itself in the beginning of the answer; one that a look-up found must be proved further inside.
  it.each([
    ['where the tenant allows it', 'relative', { 'Patient/mine': 200, 'Observation/mine-1': 406, 'Observation/other-1': 403 }],
    ['where it does not', 'none', { 'Patient/mine': 406, 'Observation/mine-1': 406, 'Observation/other-1': 406 }],
  ] as const)('of rules with fixed conditions is judged by them: %s', async (_where, xml, expected) => {
    const own = await startGate({ useCase: chart, xml });
    own.fhir = (request, response, body) => {
      const [type, id = ''] = request.url?.split('/').slice(2) ?? [];
      const isLookUp = request.headers['x-sluis-lookup'] !== undefined;
      const subject = { reference: `Patient/${id.split('-')[0] ?? ''}` };
      const json = JSON.stringify({ resourceType: type, id, status: 'final', subject });
      const text = isLookUp ? json : `<${type ?? ''} xmlns="http://hl7.org/fhir"><id value="${id}"/></${type ?? ''}>`;
      answering([text], { 'content-type': isLookUp ? 'application/fhir+json' : FHIR_XML, etag: 'W/"1"' })(
        request,
        response,
        body,
      );
    };
    try {
      const found: Record<string, number> = {};
      for (const path of Object.keys(expected)) {
        const headers = { Authorization: `Bearer ${own.token({ facts: { service: 'chart' } })}`, Accept: FHIR_XML };
        found[path] = (await own.get(`/a/fhir/${path}`, headers)).status;
      }
      expect(found).toEqual(expected);
      const asked = own.arrived.filter(({ rawHeaders }) => !rawHeaders.includes('x-sluis-lookup'));
      expect(asked.map(({ target }) => target)).toEqual(xml === 'relative' ? ['/fhir/Patient/mine'] : []);
    } finally {
      await own.close();
    }
  });
});
