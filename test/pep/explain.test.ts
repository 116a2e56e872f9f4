import { describe, expect, it } from '@jest/globals';
import { Readable } from 'node:stream';
import type { AuditEntry } from '../../src/audit/entry.ts';
import { createClock } from '../../src/clock.ts';
import { describeExplanation } from '../../src/cli/explain.ts';
import { GatewayError } from '../../src/errors.ts';
import { createDecisionPoint } from '../../src/pdp/decide.ts';
import { parseInteraction } from '../../src/fhir/parse-interaction.ts';
import { parseQuery } from '../../src/fhir/target.ts';
import { createExplain, type ExplainRequest } from '../../src/pep/explain.ts';
import { sealLinks } from '../../src/pep/page-links.ts';
import { createLogger } from '../../src/log.ts';
import { createMetrics } from '../../src/metrics.ts';
import { createAdmission } from '../../src/pep/admission.ts';
import { createSealer } from '../../src/sealing.ts';
import { createTenantDirectory } from '../../src/tenant/tenant.ts';
import type { Upstream, UpstreamRequest } from '../../src/upstream/forward.ts';
import type { Explanation } from '../../src/pep/explanation.ts';
import type { AuthenticatedCaller } from '../../src/token/authenticate.ts';
import { createRegistry } from '../../src/usecase/registry.ts';
import chart from '../attack/chart/index.ts';
import { REQUESTER, tenant as stu3 } from '../pdp/support.ts';
import { WRITES } from '../support/writes-use-case.ts';

const tenant = { ...stu3, fhir: { ...stu3.fhir, version: 'R4' as const } };
const audited: AuditEntry[] = [];
const LOGGER = createLogger('silent');
const SEALER = createSealer([]);
const REGISTRY = createRegistry([chart, WRITES]);
const SETTINGS = { serves: () => true, configOf: () => ({}) };
/** Everything is there, in version 1: of the patient whose name its id begins with. */
const stored = (type: string, id: string) => ({
  resourceType: type,
  id,
  meta: { versionId: '1' },
  status: 'preliminary',
  subject: { reference: id.startsWith('mine') ? 'Patient/mine' : 'Patient/other' },
});
const DECISIONS = createDecisionPoint({
  registry: REGISTRY,
  settings: SETTINGS,
  sources: {
    matching: () => Promise.resolve([]),
    byCredential: () => Promise.resolve(undefined),
    read: (_tenant, type, id) => Promise.resolve(stored(type, id)),
    record: () => Promise.resolve(undefined),
  },
});
const sent: UpstreamRequest[] = [];
const matching: object[] = [];
const UPSTREAM: Upstream = {
  bases: { public: 'https://gate.example/a/fhir', upstream: 'http://127.0.0.1:1/fhir' },
  store: {
    read: (type, id) => Promise.resolve({ resource: stored(type, id), version: '1' }),
    put: () => Promise.reject(new Error('it was sent')),
  },
  forward: (request) => {
    sent.push(request);
    const found = { resourceType: 'Bundle', type: 'searchset', entry: matching.map((resource) => ({ resource })) };
    const headers = new Map([['content-type', 'application/fhir+json']]);
    return Promise.resolve({ status: 200, headers, body: Readable.from([Buffer.from(JSON.stringify(found))]) });
  },
  read: () => Promise.reject(new Error('it was sent')),
  close: () => Promise.resolve(),
};

function ask(
  request: Partial<ExplainRequest>,
  purposes: readonly string[] = ['chart'],
  refused?: GatewayError,
  xml: 'none' | 'relative' = 'none',
): Promise<Explanation> {
  audited.length = 0;
  sent.length = 0;
  const caller: AuthenticatedCaller = {
    subject: { organization: { id: REQUESTER }, scopes: purposes, claims: new Map(), credentials: [] },
    purposes,
    tokenHash: '0',
    dropped: [{ id: 'x', reason: 'expired' }],
  };
  const asked = { ...tenant, fhir: { ...tenant.fhir, xml } };
  const identify = () => (refused === undefined ? Promise.resolve(caller) : Promise.reject(refused));
  const none = () => Promise.reject(new Error('explain has no use for it'));
  const explain = createExplain({
    tenants: createTenantDirectory([asked]),
    registry: REGISTRY,
    settings: SETTINGS,
    authenticator: { identify, authenticate: none },
    decisions: DECISIONS,
    services: () => {
      throw new Error('explain has no use for it');
    },
    effects: { intend: none, settled: none, unknown: none },
    upstream: () => UPSTREAM,
    admission: createAdmission(),
    logger: LOGGER,
    metrics: createMetrics(false),
    maxMessageBytes: 65_536,
    maxResourceBytes: 65_536,
    maxBundleBytes: 65_536,
    maxReviewBytes: 65_536,
    reviewDeadlineMs: 30_000,
    judgeDeadlineMs: 30_000,
    audit: {
      record: (entry) => {
        audited.push(entry);
        return Promise.resolve();
      },
    },
    sealer: SEALER,
    clock: createClock(),
  });
  return explain(asked, { token: 'secret-token', method: 'GET', target: '/Patient/mine', ...request }, 'c-1');
}

/** The link to the next page of a search, as the gate gives it to a requester. */
async function nextPage(requester = REQUESTER): Promise<string> {
  const verdict = await DECISIONS.decide({
    tenant,
    subject: { organization: { id: requester }, scopes: ['chart'], claims: new Map(), credentials: [] },
    purposes: ['chart'],
    interaction: parseInteraction({
      method: 'GET',
      segments: ['Observation'],
      query: parseQuery('patient=mine&_count=2'),
      version: 'R4',
    }),
    body: () => Promise.reject(new Error('there is none')),
    now: createClock().now(),
    onLookUp: () => Promise.resolve(),
  });
  if (verdict.effect === 'deny') throw new Error(verdict.reason.code);
  const bases = { public: 'https://sluis.example/a/fhir', upstream: 'http://fhir.example/fhir' };
  const links = sealLinks([{ relation: 'next', url: 'http://fhir.example/fhir?_getpages=7f&_getpagesoffset=2' }], {
    sealer: SEALER,
    tenant,
    verdict,
    page: 0,
    bases,
    nowMs: createClock().now().getTime(),
  });
  const url = links.find(({ relation }) => relation === 'next')?.['url'];
  if (typeof url !== 'string') throw new Error('there is no next page');
  return url.slice(bases.public.length);
}

const last = ({ stages }: Explanation) => stages.at(-1);

describe('explain', () => {
  it('judges a link to a further page as the gate does: as its search, for whom it was made', async () => {
    const said = await ask({ target: await nextPage() });
    expect(said).toMatchObject({ outcome: 'permitted', status: 200 });
    expect(said.stages.find(({ stage }) => stage === 'decision')?.facts).toMatchObject({ rule: 'observation-search' });
    expect(last(said)?.facts).toEqual({ method: 'GET', path: '', parameters: ['_getpages', '_getpagesoffset'] });
  });

  it('tells why a link to a further page is denied', async () => {
    const ofAnother = await ask({ target: await nextPage('did:web:another.example') });
    expect(ofAnother).toMatchObject({ outcome: 'denied', status: 403 });
    expect(last(ofAnother)).toMatchObject({ stage: 'decision', outcome: 'stopped', code: 'link_of_another' });
    const forged = await ask({ target: '/Observation?_continuation=Zm9yZ2Vk' });
    expect(forged).toMatchObject({ outcome: 'denied', status: 403 });
    expect(last(forged)).toMatchObject({ stage: 'decision', outcome: 'stopped', code: 'link_not_ours_or_too_old' });
  });

  it('tells a permit whole: rule, patient and its proof, what the answer must show, and what goes upstream', async () => {
    const said = await ask({ target: '/Observation?subject=mine&_count=100&_format=json' });
    expect(said).toMatchObject({ outcome: 'permitted', status: 200 });
    expect(said.stages.map(({ stage, outcome }) => `${stage} ${outcome}`)).toEqual([
      'address passed',
      'authenticate passed',
      'role passed',
      'rules passed',
      'decision passed',
      'upstream passed',
    ]);
    expect(said.stages.find(({ stage }) => stage === 'decision')?.facts).toMatchObject({
      rule: 'observation-search',
      patient: 'Patient/mine',
      proof: 'parameter',
      proofs: ['subject is Patient/mine'],
    });
    expect(last(said)?.facts).toEqual({ method: 'GET', path: '/Observation', parameters: ['subject', '_count'] });
  });

  it('tells where XML is not to be had: before the decision where the tenant allows none, after it where it must be looked into', async () => {
    const headers = { accept: 'application/fhir+xml' };
    const inXml = (target: string, xml?: 'relative') => ask({ target, headers }, undefined, undefined, xml);
    expect(await inXml('/Patient/mine', 'relative')).toMatchObject({ outcome: 'permitted', status: 200 });
    expect(await inXml('/Patient/other', 'relative')).toMatchObject({ outcome: 'denied', status: 403 });
    const none = await inXml('/Patient/mine');
    expect([none.status, last(none)?.text]).toEqual([406, 'Accept must allow application/fhir+json']);
    const proved = await inXml('/Observation/mine-1', 'relative');
    expect(proved).toMatchObject({ outcome: 'refused', status: 406 });
    expect(last(proved)).toMatchObject({
      stage: 'upstream',
      code: 'xml_not_possible',
      text: 'Accept must allow application/fhir+json: the answer has to be looked into',
    });
  });

  it('tells of every rule what matched and what was missing', async () => {
    const said = await ask({ target: '/Observation?patient=mine&status=final' });
    expect(said).toMatchObject({ outcome: 'denied', status: 403 });
    const rules = said.stages.find(({ stage }) => stage === 'rules')?.rules ?? [];
    expect(rules.find(({ id }) => id === 'observation-search')).toMatchObject({
      names: true,
      faults: [{ code: 'parameter_not_in_rule', text: 'the parameter status stands nowhere in the rule' }],
    });
    expect(rules.find(({ id }) => id === 'patient-read')).toMatchObject({ names: false });
  });

  it('tells a denial by what is stored, and the look-up is on record', async () => {
    const said = await ask({ target: '/Observation/other-1' });
    expect(last(said)).toMatchObject({
      stage: 'decision',
      outcome: 'stopped',
      code: 'patient_not_in_rule',
      text: 'observation-read: the patient is none of the rule',
    });
    expect(audited).toMatchObject([
      { event: 'look-up', tenant: 'a', correlationId: 'c-1', attributes: { read: 'Observation/other-1' } },
    ]);
  });

  it('tells of what the gate answers itself that nothing goes upstream', async () => {
    expect(last(await ask({ target: '/metadata' }))?.facts).toEqual({ answeredBy: 'the gate, from the rules of the role' });
  });

  it('judges a write by its body', async () => {
    const body = (patient: string) => JSON.stringify({ resourceType: 'Observation', subject: { reference: patient } });
    const create = { method: 'POST', target: '/Observation' };
    expect(await ask({ ...create, body: body('Patient/mine') })).toMatchObject({ outcome: 'permitted' });
    expect(await ask({ ...create, body: body('Patient/other') })).toMatchObject({ outcome: 'denied' });
    expect(await ask({ ...create, body: '{"a":1,"a":2}' })).toMatchObject({ outcome: 'refused', status: 400 });
  });

  it('tells at which stage a request is refused, and why', async () => {
    expect(last(await ask({ target: '/patient/1' }))).toMatchObject({ stage: 'address', outcome: 'stopped', code: 'not_found' });
    expect(last(await ask({ target: '/Patient/mine/../other' }))).toMatchObject({ stage: 'address', code: 'invalid_target' });
    expect(await ask({ target: '/Observation?patient=mine&foo=1' })).toMatchObject({ outcome: 'refused', status: 400 });
    expect(await ask({ headers: { accept: 'text/turtle' } })).toMatchObject({ outcome: 'refused', status: 406 });
    expect(last(await ask({}, ['chart'], new GatewayError('token_invalid', 'token has expired')))).toEqual({
      stage: 'authenticate',
      outcome: 'stopped',
      code: 'token_invalid',
      text: 'token has expired',
    });
    expect(last(await ask({}, ['other']))).toMatchObject({ stage: 'role', outcome: 'stopped', code: 'purpose_unknown' });
  });

  it('never repeats the token, nor the value of a parameter', async () => {
    const said = await ask({ target: '/Observation?patient=someone-else&code=8480-6' });
    expect(JSON.stringify([said, audited])).not.toMatch(/secret-token|someone-else|8480-6/);
  });

  it('can be read by a person', async () => {
    expect(describeExplanation(await ask({ target: '/Patient/other' }))).toEqual(
      expect.arrayContaining(['denied (403)', '✓ address', '✗ rules', '    ✗ patient-read  the id is none of the rule']),
    );
  });
});

describe('explain of a write', () => {
  const asks = (request: Partial<ExplainRequest>, purpose = 'writes') => ask(request, [purpose]);
  const mine = JSON.stringify({ resourceType: 'Observation', subject: { reference: 'Patient/mine' } });
  const steps = JSON.stringify([{ op: 'replace', path: '/status', value: 'final' }]);
  const stage = ({ stages }: Explanation, name: string) => stages.find((each) => each.stage === name);

  it('tells of a patch what it may change, that it goes up as a new version, and what is left open', async () => {
    const said = await asks({
      method: 'PATCH',
      target: '/Observation/mine-1',
      body: steps,
      headers: { Prefer: 'return=representation' },
    });
    expect(said).toMatchObject({ outcome: 'permitted', status: 200 });
    expect(stage(said, 'write')?.facts).toMatchObject({
      guard: 'may change status note valueQuantity subject code',
      steps: ['status from preliminary to final'],
      prefer: 'what was written comes back as read has it',
      stored: 'it is there, and the caller’s to change',
      change: 'the guard takes it',
    });
    expect(said.headline).toBe('permitted (200), if what is stored stays as it is until then and the FHIR server carries it out');
    expect(said.notJudged).toBe(
      'Only doing it shows whether what is stored stays as it is until then and the FHIR server carries it out.',
    );
    expect(JSON.stringify(said)).not.toContain('preliminary"');
    expect(last(said)?.facts).toMatchObject({ method: 'PUT', path: '/Observation/mine-1' });
    const patch = { method: 'PATCH', target: '/Observation/mine-1', headers: { prefer: 'return=representation' } };
    expect(await asks({ ...patch, body: steps }, 'blind')).toMatchObject({ outcome: 'denied', status: 403 });
    const blind = await asks({ ...patch, body: steps.replace('replace', 'add') }, 'blind');
    expect(stage(blind, 'write')?.facts?.['prefer']).toContain('no body');
  });

  it('refuses what is no patch, and a condition that is not kept, as the gate does', async () => {
    const patch = { method: 'PATCH', target: '/Observation/mine-1' };
    expect(await asks({ ...patch, body: '{"op":"remove"}' })).toMatchObject({ outcome: 'refused', status: 400 });
    expect(await asks({ ...patch, body: steps, headers: { 'content-type': 'application/json' } })).toMatchObject({ status: 415 });
    const create = await asks({ method: 'POST', target: '/Observation', body: mine, headers: { 'If-Match': 'W/"1"' } });
    expect([create.status, last(create)?.text]).toEqual([400, 'If-Match is for what is there already, not for create']);
  });

  it('tells of a delete whether it names a version, where its rule wants one', async () => {
    const remove = { method: 'DELETE', target: '/Observation/mine-1' };
    const unnamed = await asks(remove);
    expect(unnamed).toMatchObject({ outcome: 'rejected', status: 428, headline: 'rejected (428)' });
    expect(last(unnamed)).toMatchObject({ stage: 'write', outcome: 'stopped', code: 'if_match_missing' });
    expect(await asks({ ...remove, headers: { 'if-match': 'W/"7"' } })).toMatchObject({ outcome: 'rejected', status: 412 });
    expect(await asks({ ...remove, headers: { 'if-match': 'W/"1"' } })).toMatchObject({ outcome: 'permitted', status: 204 });
    expect(await asks({ ...remove, target: '/Observation/other-1' })).toMatchObject({ outcome: 'denied', status: 403 });
  });

  it('tells of a conditional write the search by which it begins, and judges what it comes to', async () => {
    const update = { method: 'PUT', body: mine };
    const criteria = { ...update, target: '/Observation?patient=mine&identifier=x' };
    const said = await asks(criteria);
    expect(said).toMatchObject({ outcome: 'permitted', status: 201 });
    expect(stage(said, 'search')).toMatchObject({
      outcome: 'passed',
      facts: { rule: 'search', proofs: ['subject is Patient/mine'] },
    });
    expect(stage(said, 'write')?.facts).toEqual({ comesTo: 'create: none matches' });
    expect(sent).toMatchObject([{ method: 'GET', headers: { 'x-sluis-lookup': '1' } }]);
    expect(audited).toMatchObject([{ event: 'look-up', attributes: { read: 'Observation/_search', for: 'explain' } }]);
    matching.push(stored('Observation', 'mine-1'));
    const one = await asks(criteria);
    expect(one).toMatchObject({ outcome: 'permitted', status: 200 });
    expect(stage(one, 'write')?.facts).toMatchObject({ comesTo: 'update of the one that matches' });
    expect(last(one)?.facts).toMatchObject({ method: 'PUT', path: '/Observation/[the one that matches]' });
    matching.push(stored('Observation', 'mine-2'));
    const several = await asks(criteria);
    expect(several).toMatchObject({ outcome: 'rejected', status: 412 });
    expect(last(several)).toMatchObject({ stage: 'write', code: 'several_match' });
    matching.length = 0;
    const other = await asks({ ...update, target: '/Observation?patient=other' });
    expect(other).toMatchObject({ outcome: 'denied', status: 403 });
    expect(last(other)).toMatchObject({ stage: 'search', code: 'criteria_denied' });
    const create = { method: 'POST', target: '/Observation', headers: { 'if-none-exist': 'patient=mine' } };
    expect(await asks({ ...create, body: mine })).toMatchObject({ outcome: 'permitted' });
    expect(last(await asks({ ...create, body: mine.replace('mine', 'other') }))).toMatchObject({
      stage: 'write',
      outcome: 'stopped',
    });
  });

  it('judges an operation by what its body brings', async () => {
    const named = (patient: string) =>
      JSON.stringify({ resourceType: 'Parameters', parameter: [{ name: 'patient', valueString: patient }] });
    const last = { method: 'POST', target: '/Observation/$lastn' };
    expect(await asks({ ...last, body: named('Patient/mine') })).toMatchObject({ outcome: 'permitted' });
    expect(await asks({ ...last, body: named('Patient/other') })).toMatchObject({ outcome: 'denied' });
  });

  it('explains each entry of a Bundle: a denied one denies a transaction, and is one of a batch', async () => {
    const bundle = (type: string, ...asked: readonly object[]) =>
      asks({
        method: 'POST',
        target: '/',
        body: JSON.stringify({ resourceType: 'Bundle', type, entry: asked.map((request) => ({ request })) }),
      });
    const get = (id: string) => ({ method: 'GET', url: `Observation/${id}` });
    const mixed = [get('mine-1'), get('other-1'), { method: 'DELETE', url: 'Observation/mine-2', ifMatch: 'W/"1"' }];
    const whole = await bundle('transaction', ...mixed);
    expect(whole).toMatchObject({ outcome: 'denied', status: 403 });
    expect(last(whole)).toMatchObject({ stage: 'entries', code: 'entry_denied', facts: { kind: 'transaction', entries: 3 } });
    expect(whole.entries?.map(({ index, part, outcome }) => [index, part, outcome])).toEqual([
      [0, 'entry-1', 'denied'],
      [1, 'entry-2', 'denied'],
      [2, 'entry-3', 'denied'],
    ]);
    const codes = whole.entries?.map(({ stages }) => [stages.at(-1)?.stage, stages.at(-1)?.code]);
    expect(codes).toEqual([
      ['entries', 'transaction_denied'],
      ['decision', 'patient_not_in_rule'],
      ['entries', 'transaction_denied'],
    ]);
    const each = await bundle('batch', ...mixed);
    expect(each.entries?.map(({ outcome, status }) => [outcome, status])).toEqual([
      ['permitted', 200],
      ['denied', 403],
      ['permitted', 204],
    ]);
    expect(each.headline).toBe('permitted (200), 2 of its 3 entries, if the FHIR server carries out what is permitted of them');
    expect(describeExplanation(each)).toEqual(
      expect.arrayContaining([
        'entry-2 (Bundle.entry[1]): denied (403)',
        '  ✗ decision  patient_not_in_rule: read: the patient is none of the rule',
      ]),
    );
    const all = await bundle('transaction', get('mine-1'), get('mine-2'));
    expect(all).toMatchObject({
      outcome: 'permitted',
      status: 200,
      entries: [{ outcome: 'permitted' }, { outcome: 'permitted' }],
    });
    expect(last(await bundle('collection'))).toMatchObject({ stage: 'entries', outcome: 'stopped', code: 'invalid_body' });
  });

  it('takes names of headers in any case, each once, and no others', async () => {
    const remove = { method: 'DELETE', target: '/Observation/mine-1' };
    expect(await asks({ ...remove, headers: { 'IF-Match': 'W/"1"' } })).toMatchObject({ outcome: 'permitted' });
    const faults = { 'If-Match': '1', 'if-match': '2', Cookie: 'x' };
    await expect(asks({ ...remove, headers: faults })).rejects.toMatchObject({
      code: 'invalid_body',
      options: {
        fields: [
          { field: 'headers.if-match', problem: expect.stringContaining('is there twice') },
          { field: 'headers.Cookie', problem: expect.stringContaining('If-Match, ') },
        ],
      },
    });
  });
});
