import { describe, expect, it } from '@jest/globals';
import type { GatewayError } from '../../src/errors.ts';
import { interactionId, interactionType, interactionVerb, isWrite, type Interaction } from '../../src/fhir/interaction.ts';
import { parseJsonObject } from '../../src/fhir/json.ts';
import { parseInteraction } from '../../src/fhir/parse-interaction.ts';
import { interactionPath, printInteraction, resourcePath } from '../../src/fhir/print-interaction.ts';
import { parseQuery, parseTarget } from '../../src/fhir/target.ts';
import type { FhirVersion } from '../../src/fhir/version.ts';
import { refusal, refused } from './refusal.ts';

interface Extra {
  readonly version?: FhirVersion;
  readonly form?: string;
  readonly ifNoneExist?: string;
  readonly contentType?: string;
  readonly input?: string;
}

function parse(request: string, extra: Extra = {}): Interaction {
  const [method = '', target = ''] = request.split(' ');
  const { segments, query } = parseTarget(`/a/fhir${target}`);
  return parseInteraction({
    method,
    segments: segments.slice(2),
    query,
    version: extra.version ?? 'R4',
    ...(extra.form === undefined ? {} : { form: parseQuery(extra.form) }),
    ...(extra.ifNoneExist === undefined ? {} : { ifNoneExist: extra.ifNoneExist }),
    ...(extra.contentType === undefined ? {} : { contentType: extra.contentType }),
    ...(extra.input === undefined ? {} : { input: parseJsonObject(Buffer.from(extra.input)) }),
  });
}

describe('the grammar', () => {
  const none = { parameters: [], head: false };
  it.each<[string, Interaction, string, string | undefined]>([
    ['GET /Task/123', { kind: 'read', type: 'Task', id: '123', ...none }, '/Task/123', '/Task/123'],
    ['HEAD /Task/123', { kind: 'read', type: 'Task', id: '123', parameters: [], head: true }, '/Task/123', '/Task/123'],
    [
      'GET /Task/1/_history/2',
      { kind: 'vread', type: 'Task', id: '1', versionId: '2', ...none },
      '/Task/1/_history/2',
      '/Task/1',
    ],
    ['GET /Task/1/_history', { kind: 'history-instance', type: 'Task', id: '1', ...none }, '/Task/1/_history', '/Task/1'],
    ['GET /Task/_history', { kind: 'history-type', type: 'Task', ...none }, '/Task/_history', undefined],
    ['GET /_history', { kind: 'history-system', ...none }, '/_history', undefined],
    ['PUT /Task/1', { kind: 'update', type: 'Task', id: '1' }, '/Task/1', '/Task/1'],
    ['PATCH /Task/1', { kind: 'patch', type: 'Task', id: '1' }, '/Task/1', '/Task/1'],
    ['DELETE /Task/1', { kind: 'delete', type: 'Task', id: '1' }, '/Task/1', '/Task/1'],
    ['POST /Task', { kind: 'create', type: 'Task' }, '/Task', '/Task'],
    ['GET /Task', { kind: 'search-type', type: 'Task', via: 'query', ...none }, '/Task', '/Task'],
    ['POST /Task/_search', { kind: 'search-type', type: 'Task', via: 'form', ...none }, '/Task', '/Task'],
    ['GET ', { kind: 'search-system', via: 'query', ...none }, '', undefined],
    ['GET /', { kind: 'search-system', via: 'query', ...none }, '', undefined],
    ['POST /_search', { kind: 'search-system', via: 'form', ...none }, '', undefined],
    [
      'GET /Patient/1/Condition',
      { kind: 'search-compartment', compartment: { type: 'Patient', id: '1' }, type: 'Condition', via: 'query', ...none },
      '/Patient/1/Condition',
      undefined,
    ],
    [
      'POST /Patient/1/*/_search',
      { kind: 'search-compartment', compartment: { type: 'Patient', id: '1' }, type: '*', via: 'form', ...none },
      '/Patient/1/*',
      undefined,
    ],
    ['GET /metadata', { kind: 'capabilities', ...none }, '/metadata', undefined],
    ['POST ', { kind: 'bundle' }, '', undefined],
    [
      'GET /Composition/1/%24document',
      { kind: 'operation-instance', type: 'Composition', id: '1', operation: '$document', method: 'GET', ...none },
      '/Composition/1/$document',
      '/Composition/1',
    ],
    [
      'POST /Composition/$document',
      { kind: 'operation-type', type: 'Composition', operation: '$document', method: 'POST', ...none },
      '/Composition/$document',
      undefined,
    ],
    ['GET /$export', { kind: 'operation-system', operation: '$export', method: 'GET', ...none }, '/$export', undefined],
  ])('reads %s as one interaction', (request, interaction, path, resource) => {
    expect(parse(request)).toEqual(interaction);
    expect(interactionPath(interaction)).toBe(path);
    expect(resourcePath(interaction)).toBe(resource);
  });

  it('names verbs, types, ids and writes', () => {
    expect(
      ['GET /Task/1', 'POST ', 'GET /Composition/1/$document', 'PUT /Task?identifier=x'].map((r) => interactionVerb(parse(r))),
    ).toEqual(['read', 'batch', 'operation', 'update']);
    expect(interactionVerb({ kind: 'bundle', bundleType: 'transaction' })).toBe('transaction');
    expect(interactionType(parse('GET /Patient/1/*'))).toBeUndefined();
    expect(interactionType(parse('GET /Patient/1/Condition'))).toBe('Condition');
    expect(interactionId(parse('GET /Patient/1/Condition'))).toBeUndefined();
    expect(interactionId(parse('DELETE /Task/1'))).toBe('1');
    expect(
      ['GET /Task/1', 'PUT /Task/1', 'GET /$export', 'POST /$export', 'POST /Task/_search'].map((r) => isWrite(parse(r))),
    ).toEqual([false, true, false, true, false]);
  });

  it('keeps conditional interactions apart from plain ones', () => {
    const criteria = [{ key: 'identifier', name: 'identifier', values: ['x|1'] }];
    expect(parse('PUT /Task?identifier=x%7C1')).toEqual({ kind: 'conditional-update', type: 'Task', criteria });
    expect(parse('PATCH /Task?identifier=x%7C1')).toEqual({ kind: 'conditional-patch', type: 'Task', criteria });
    expect(parse('DELETE /Task?identifier=x%7C1')).toEqual({ kind: 'conditional-delete', type: 'Task', criteria });
    expect(parse('POST /Task', { ifNoneExist: 'identifier=x%7C1' })).toEqual({
      kind: 'conditional-create',
      type: 'Task',
      criteria,
    });
    expect(refusal(() => parse('PUT /Task'))).toBe('method_not_allowed');
    expect(refusal(() => parse('DELETE /Task?_format=json'))).toBe('method_not_allowed');
    expect(refusal(() => parse('DELETE /Task?_count=5'))).toBe('invalid_parameter');
    expect(refusal(() => parse('POST /Task', { ifNoneExist: '' }))).toBe('invalid_header');
    expect(refusal(() => parse('POST /Task', { ifNoneExist: '_count=1' }))).toBe('invalid_parameter');
    expect(refusal(() => parse('GET /Task/1', { ifNoneExist: 'identifier=x' }))).toBe('invalid_header');
  });

  it('tells the three ways to write a patch apart, each by its own Content-Type', () => {
    const format = (contentType: string, version: FhirVersion = 'R4') => {
      const one = parse('PATCH /Task/1', { contentType, version });
      expect(parse('PATCH /Task?identifier=x', { contentType, version })).toMatchObject(
        'format' in one ? { format: one.format } : {},
      );
      return 'format' in one ? one.format : undefined;
    };
    expect(format('application/json-patch+json')).toBe('json-patch');
    expect(format('application/xml-patch+xml')).toBe('xml-patch');
    expect(format('application/fhir+json')).toBe('fhirpath-patch');
    expect(format('application/fhir+json', 'STU3')).toBeUndefined();
    for (const none of ['application/json', 'application/merge-patch+json', 'application/json-patch+json x', 'text/plain'])
      expect(format(none)).toBeUndefined();
    expect(
      printInteraction(parse('PATCH /Task/1', { contentType: 'application/json-patch+json; charset=utf-8' })).contentType,
    ).toBe('application/json-patch+json');
  });

  it('reads the Parameters of an operation by POST as the list that the same by GET would have', () => {
    const input = JSON.stringify({
      resourceType: 'Parameters',
      parameter: [
        { name: 'start', valueDate: '2020-01-01' },
        { name: '_count', valueInteger: 5 },
        { name: 'name', valueString: 'a,b' },
      ],
    });
    const read = parse('POST /Patient/1/$x', { input });
    expect(read).toMatchObject({
      kind: 'operation-instance',
      method: 'POST',
      parameters: [
        { key: 'start', values: ['2020-01-01'] },
        { key: '_count', values: ['5'] },
        { key: 'name', values: ['a\\,b'] },
      ],
    });
    expect(printInteraction(read)).toEqual({ method: 'POST', path: '/Patient/1/$x', query: '', input });
    const parameters = (...parameter: object[]) => ({ input: JSON.stringify({ resourceType: 'Parameters', parameter }) });
    // In both places servers read the one or the other.
    expect(refusal(() => parse('POST /$x?start=2020', parameters({ name: 'start', valueDate: '2021' })))).toBe('forbidden');
    expect(refusal(() => parse('POST /$x', { input: '{"resourceType":"Patient"}' }))).toBe('forbidden');
    for (const [bad, code] of [
      [{ name: 'a:b', valueString: 'x' }, 'invalid_body'],
      [{ valueString: 'x' }, 'invalid_body'],
      [{ name: 'a', valueString: '' }, 'invalid_body'],
      [{ name: 'a', valueReference: { reference: 'Patient/1' } }, 'forbidden'],
      [{ name: 'a', resource: { resourceType: 'Patient' } }, 'forbidden'],
      [{ name: 'a', part: [] }, 'forbidden'],
      [{ name: 'a', valueString: 'x', valueDate: '2020' }, 'forbidden'],
      [{ name: 'a', valueString: 'x', extension: [] }, 'forbidden'],
      [{ name: 'a' }, 'forbidden'],
      [{ name: 'a', valueFoo: 'x' }, 'forbidden'],
      [{ name: 'a', valueInteger: '5' }, 'invalid_body'],
      [{ name: 'a', valueInteger: 1.5 }, 'invalid_body'],
      [{ name: 'a', valueString: 5 }, 'invalid_body'],
      [{ name: 'a', valueBoolean: 'true' }, 'invalid_body'],
    ] as const)
      expect([bad, refusal(() => parse('POST /$x', parameters(bad)))]).toEqual([bad, code]);
  });

  it.each([
    ['P12', 'GET /metadata/Patient'],
    ['P21', 'GET /Patient/mine/_history/1/extra'],
    ['P21', 'GET /Patient/mine/$op/extra'],
    ['P22', 'GET /DEFAULT/Patient/other'],
    ['P22', 'GET /b-partition/Patient/1'],
    ['O12', 'GET /Patient/mine/$Everything'],
    ['§12', 'GET /task/1'],
    ['§12', 'GET /TASK'],
    ['', 'GET /Task/1/Composition'],
    ['', 'GET /Patient/1/condition'],
    ['', 'GET /Patient/1/Condition/2'],
    ['', 'GET /Patient/1/Condition/_search/x'],
    ['', `GET /Task/${'x'.repeat(65)}`],
    ['', 'GET /Task/a_b'],
    ['', 'GET /Task/1/_history/a_b'],
    ['', 'GET /Task/1/_history/2/3/4'],
    ['', 'GET /$'],
    ['', 'GET /__proto__/1'],
    ['', 'GET /constructor/1'],
    ['', 'GET /fhir/Task/1'],
  ])('knows no other path: %s %s', (_row, request) => {
    expect(refusal(() => parse(request))).toBe('not_found');
  });

  it('knows OPTIONS of every path that it knows, and of no other (M3)', () => {
    for (const [path, allow] of [
      ['', ['GET', 'HEAD', 'POST']],
      ['/metadata', ['GET', 'HEAD']],
      ['/Task', ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']],
      ['/Task/1', ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE']],
      ['/Task/1/_history/2', ['GET', 'HEAD']],
      ['/Task/$op', ['GET', 'HEAD', 'POST']],
      ['/Patient/1/Task', ['GET', 'HEAD']],
      ['/Task/_search', ['POST']],
      ['/_search', ['POST']],
    ] as const)
      expect(parse(`OPTIONS ${path}`)).toEqual({ kind: 'options', path, allow });
    expect(isWrite(parse('OPTIONS /Task/1'))).toBe(false);
    expect(refusal(() => parse('OPTIONS /task/1'))).toBe('not_found');
    expect(refusal(() => parse('OPTIONS /Task/1?_id=1'))).toBe('invalid_parameter');
  });

  it('knows the types of each version', () => {
    expect(parse('GET /ProcedureRequest/1', { version: 'STU3' }).kind).toBe('read');
    expect(refusal(() => parse('GET /ProcedureRequest/1', { version: 'R4' }))).toBe('not_found');
    expect(parse('GET /ServiceRequest/1', { version: 'R4' }).kind).toBe('read');
    expect(refusal(() => parse('GET /ServiceRequest/1', { version: 'STU3' }))).toBe('not_found');
  });

  it.each<[string, string, readonly string[]]>([
    ['M3', 'TRACE /Patient', ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']],
    ['M4', 'get /Patient/1', ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE']],
    ['M4', 'PATCHX /Patient/1', ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE']],
    ['', 'POST /Patient/1', ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE']],
    ['M13', 'PUT /Patient/_search', ['POST']],
    ['M13', 'GET /Patient/_search?name=x', ['POST']],
    ['', 'HEAD /_search', ['POST']],
    ['', 'DELETE /metadata', ['GET', 'HEAD']],
    ['', 'POST /Patient/1/_history', ['GET', 'HEAD']],
    ['', 'PUT /Patient/1/_history/1', ['GET', 'HEAD']],
    ['', 'PUT /Composition/1/$document', ['GET', 'HEAD', 'POST']],
    ['', 'DELETE ', ['GET', 'HEAD', 'POST']],
  ])('answers another method with those that the path has: %s %s', (_row, request, allow) => {
    const error: GatewayError = refused(() => parse(request));
    expect([error.code, error.options.allow]).toEqual(['method_not_allowed', allow]);
  });

  it('judges HEAD as GET (M5) and a search as a search, whatever the method (M12)', () => {
    expect(parse('HEAD /Patient/other')).toEqual({ ...parse('GET /Patient/other'), head: true });
    expect(printInteraction(parse('HEAD /Patient/other')).method).toBe('GET');
    expect(parse('POST /Patient/_search', { form: 'name=x' })).toEqual({ ...parse('GET /Patient?name=x'), via: 'form' });
  });

  it('judges query and form as one list and sends it on in one place (Q42, Q43)', () => {
    const search = parse('POST /Observation/_search?_revinclude=Provenance:target', { form: 'patient=mine&patient=other' });
    expect('parameters' in search && search.parameters.map(({ key, values }) => [key, ...values])).toEqual([
      ['_revinclude', 'Provenance:target'],
      ['patient', 'mine'],
      ['patient', 'other'],
    ]);
    expect(printInteraction(search)).toEqual({
      method: 'POST',
      path: '/Observation/_search',
      query: '',
      form: '_revinclude=Provenance%3Atarget&patient=mine&patient=other',
    });
    expect(refusal(() => parse('POST /Observation', { form: 'patient=mine' }))).toBe('unsupported_media_type');
  });
});

describe('parameters', () => {
  it('leave _format and _pretty to the media types', () => {
    expect(parse('GET /Task/1?_format=json&_pretty=true')).toEqual(parse('GET /Task/1'));
    expect(parse('PUT /Task/1?_format=json')).toEqual(parse('PUT /Task/1'));
  });

  it('known for the interaction are kept for the policy', () => {
    expect(parse('GET /Task/1?_summary=true&_elements=id,code')).toMatchObject({
      parameters: [
        { key: '_summary', values: ['true'] },
        { key: '_elements', values: ['id', 'code'] },
      ],
    });
    expect(parse('GET /Composition/1/$document?persist=true&graph=http://x')).toMatchObject({
      parameters: [
        { key: 'persist', values: ['true'] },
        { key: 'graph', values: ['http://x'] },
      ],
    });
    expect(parse('GET ?_getpages=3f2&_getpagesoffset=0')).toMatchObject({ kind: 'search-system' });
    expect(parse('GET ?_type=Patient,Observation')).toMatchObject({
      parameters: [{ key: '_type', values: ['Patient', 'Observation'] }],
    });
  });

  it('of a search keep name, modifier, chain, AND and OR', () => {
    expect(parse('GET /Observation?subject:Patient.general-practitioner.name:exact=a,b&code:not=x&code=y')).toMatchObject({
      parameters: [
        {
          key: 'subject:Patient.general-practitioner.name:exact',
          name: 'subject',
          modifier: 'Patient',
          chain: [{ name: 'general-practitioner' }, { name: 'name', modifier: 'exact' }],
          values: ['a', 'b'],
        },
        { key: 'code:not', name: 'code', modifier: 'not', values: ['x'] },
        { key: 'code', name: 'code', values: ['y'] },
      ],
    });
    expect(parse('GET /Patient?_has:Observation:patient:_has:AuditEvent:entity:agent=1')).toMatchObject({
      parameters: [
        {
          name: '_has',
          reverse: [
            { type: 'Observation', reference: 'patient' },
            { type: 'AuditEvent', reference: 'entity' },
          ],
          chain: [{ name: 'agent' }],
        },
      ],
    });
  });

  it.each([
    ['M2', 'POST /Patient/other?_method=DELETE'],
    ['M2', 'GET /Patient/other?_METHOD=DELETE'],
    ['§12', 'GET /Task/T1?_include=*'],
    ['', 'GET /Task/T1?_include=Task:patient'],
    ['', 'GET /Task/T1?_summary:x=true'],
    ['', 'PUT /Task/T1?identifier=x'],
    ['', 'POST ?x=y'],
    ['P24', 'GET /Observation?internal=https://evil/x'],
    ['Q6', 'GET /Observation?Patient=other'],
    ['Q6', 'GET /Observation?_Include=Observation:subject'],
    ['Q7', 'GET /Observation?patient%5B%5D=other'],
    ['Q7', 'GET /Observation?patient%5B%24ne%5D=x'],
    ['Q7', 'GET /Observation?a%5B__proto__%5D%5Bx%5D=1'],
    ['Q8', 'GET /Observation?__proto__=1'],
    ['Q8', 'GET /Observation?constructor=x'],
    ['Q8', 'GET /Observation?toString=1'],
    ['Q29', 'GET /Observation?_count=x'],
    ['Q29', 'GET /Observation?_count=-1'],
    ['Q29', 'GET /Observation?_count=1e9'],
    ['Q29', 'GET /Observation?_count=00'],
    ['Q29', 'GET /Observation?_count=010'],
    ['Q29', 'GET /Observation?_count=1,2'],
    ['Q29', 'GET /Observation?_count='],
    ['Q30', 'GET /Observation?_offset=1'],
    ['Q30', 'GET /Observation?_page=1'],
    ['Q30', 'GET /Observation?_cursor=1'],
    ['Q30', 'GET /Observation?_skiptoken=1'],
    ['Q30', 'GET /Observation?ct=1'],
    ['Q30', 'GET /Observation?__t=1'],
    ['Q30', 'GET /Observation?_getpages=1'],
    ['Q34', 'GET /Observation?patient:mdm=other'],
    ['Q40', 'DELETE /Observation/1?_cascade=delete'],
    ['Q40', 'DELETE /Observation/1?hardDelete=true'],
    ['Q40', 'DELETE /Observation/1?_expunge=true'],
    ['Q40', 'GET /Observation?_dryRun=true'],
    ['Q40', 'GET /Observation?_debug=true'],
    ['Q41', 'GET /Observation?unknownParam=x'],
    ['Q49', 'GET /Observation?_graph=x'],
    ['Q53', 'GET /Observation?:missing=true'],
    ['Q53', 'GET /Observation?date:=x'],
    ['Q53', 'GET /Observation?date::missing=true'],
    ['Q4', 'GET /Observation?patient=mine%5C,other'],
    ['Q35', 'GET /Observation?patient=/a/../b/Patient/x'],
    ['Q35', 'GET /Observation?patient=Patient/..'],
    ['', 'GET /Observation?patient=Patient/1000;_revinclude=Observation:focus'],
    ['', 'GET /Observation?subject:Patient=a;b'],
    ['', 'GET /Observation?date=yesterday'],
    ['', 'GET /Observation?value-quantity=x|y'],
    ['', 'GET /Observation/_history?_since=now'],
    ['', 'GET /Observation?date.x=1'],
    ['', 'GET /Observation?patient:exact.name=1'],
    ['', 'GET /Observation?patient.=1'],
    ['', 'GET /Observation?code:Patient=1'],
    ['', 'GET /Observation?_has=1'],
    ['', 'GET /Observation?_has:Observation:code:code=1'],
    ['', 'GET /Observation?_has:Foo:patient:code=1'],
    ['', 'GET /Observation?_summary=foo'],
    ['', 'GET /Observation?_count=1&_count=2'],
    ['', 'GET /Observation?code:missing=maybe'],
    ['', 'GET /Observation?_include=Observation'],
    ['', 'GET /Observation?_include=Foo:bar'],
    ['', 'GET /Observation?_id=a%5C,b'],
    ['', 'GET /Observation?code=a%5Cb'],
    ['', 'GET /Observation?code=a,,b'],
    ['', 'GET /Patient/1/*?internal=x'],
  ])('unknown for the interaction or malformed are refused: %s %s', (_row, request) => {
    expect(refusal(() => parse(request))).toBe('invalid_parameter');
  });

  it.each([
    'GET /Observation?patient=mine,Patient/mine&subject=Patient/mine/_history/1',
    'GET /Observation?patient=https://other-server/Patient/mine',
    'GET /Observation?date=ge2020-01-01T10:00:00%2B01:00&_lastUpdated=gt2020&value-quantity=gt5.40%7Chttp://unitsofmeasure.org%7Cmg',
    'GET /Observation?subject:identifier=http://x%7C1&patient:missing=true&code:in=http://evil/vs',
    'GET /RiskAssessment?probability=gt0.8',
    'GET /Observation/_history?_since=2020-01-01T10:00:00Z&_count=10',
    'GET /QuestionnaireResponse?questionnaire=http://x/q%7C1.0',
  ])('that are well-formed are left to the policy: %s', (request) => {
    expect(refusal(() => parse(request))).toBe('accepted');
  });

  it('say which of them was refused, unless it is not fit to be said', () => {
    expect(refused(() => parse('GET /Task/1?_include=x')).options.fields).toEqual([
      { field: '_include', problem: 'is unknown for this interaction' },
    ]);
    expect(JSON.stringify(refused(() => parse('GET /Task?%3Cscript%3E=x')).options)).not.toContain('script');
  });
});

describe('a party named in a search', () => {
  it.each(['did:nuts:B8PUHs2AUHbFF1xLLK4eZjgErEcMXHxs68FteY7NDtCY', 'Organization/1', '1'])(
    'is a value like any other, for the policy to judge: owner=%s',
    (owner) => {
      const interaction = parseInteraction({
        method: 'GET',
        segments: ['Task'],
        query: [{ name: 'owner', value: owner }],
        version: 'STU3',
      });
      expect(interaction.kind).toBe('search-type');
    },
  );
});
