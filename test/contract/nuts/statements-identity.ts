/** Contracts, signing sessions and the identities in a token: statement 4 and facts §3.2. */
import assert from 'node:assert/strict';

import {
  authorize,
  call,
  expectProblem,
  expectStatus,
  introspect,
  object,
  requestToken,
  string,
  token,
  type Json,
  type PeerPair,
  type Reply,
  type Statement,
} from './peer-pair.ts';

const SESSION = '/internal/auth/v1/signature/session';

function tryDrawUp(pair: PeerPair, more: Json = {}): Promise<Reply> {
  const json = { type: 'PractitionerLogin', language: 'EN', version: 'v3', legalEntity: pair.b.did, ...more };
  return call('PUT', `${pair.b.internal}/internal/auth/v1/contract/drawup`, { json });
}

async function contract(pair: PeerPair, more: Json = {}): Promise<string> {
  return string(object(expectStatus(await tryDrawUp(pair, more), 200).json)['message']);
}

function tryStart(pair: PeerPair, body: Json): Promise<Reply> {
  return call('POST', `${pair.b.internal}${SESSION}`, { json: body });
}

async function start(pair: PeerPair, body: Json): Promise<{ id: string; pointer: Json }> {
  const session = object(expectStatus(await tryStart(pair, body), 201).json);
  assert.deepEqual(Object.keys(session).sort(), ['means', 'sessionID', 'sessionPtr']);
  const id = string(session['sessionID']);
  assert.match(id, /^[0-9a-f]{32}$/);
  const pointer = object(session['sessionPtr']);
  assert.equal(pointer['sessionID'], id);
  return { id, pointer };
}

function poll(pair: PeerPair, id: string): Promise<Reply> {
  return call('GET', `${pair.b.internal}${SESSION}/${id}`);
}

async function status(pair: PeerPair, id: string): Promise<unknown> {
  return object(expectStatus(await poll(pair, id), 200).json)['status'];
}

async function dummyPresentation(pair: PeerPair): Promise<Json> {
  const { id } = await start(pair, { means: 'dummy', payload: await contract(pair), params: {} });
  await poll(pair, id);
  await poll(pair, id);
  return object(object(expectStatus(await poll(pair, id), 200).json)['verifiablePresentation']);
}

const EMPLOYEE = { identifier: 'jansen@avondrood.example', initials: 'J.P.', familyName: 'Jansen' };

async function startEmployee(pair: PeerPair, more: Json = {}): Promise<{ id: string; page: string }> {
  const params = { employer: pair.b.did, employee: { ...EMPLOYEE, ...more } };
  const { id, pointer } = await start(pair, { means: 'employeeid', payload: await contract(pair), params });
  assert.equal(pointer['url'], `${pair.b.public}/public/auth/v1/means/employeeid/${id}`);
  return { id, page: string(pointer['url']) };
}

/** Opens the page and returns the secret in its form. */
async function openPage(page: string): Promise<string> {
  const reply = expectStatus(await call('GET', page), 200);
  assert.match(reply.type, /^text\/html/);
  for (const id of ['contract', 'employee-identifier', 'employee-name', 'accept-button', 'reject-button']) {
    assert.match(reply.text, new RegExp(`id="${id}"`));
  }
  const secret = /<input type="hidden" name="secret" value="([0-9a-f]{32})"/.exec(reply.text)?.[1];
  return string(secret);
}

async function answerPage(page: string, secret: string, accept: boolean): Promise<Reply> {
  return call('POST', page, { form: { secret, accept: String(accept) } });
}

async function employeePresentation(pair: PeerPair, more: Json = {}): Promise<Json> {
  const { id, page } = await startEmployee(pair, more);
  expectStatus(await answerPage(page, await openPage(page), true), 302);
  return object(object(expectStatus(await poll(pair, id), 200).json)['verifiablePresentation']);
}

export const identityStatements: readonly Statement[] = [
  {
    id: '§3.2',
    title: 'a contract names the organisation and its city and is valid for 60 minutes of Dutch time',
    async run(pair) {
      const { name, city } = pair.b.organization;
      const english = object(expectStatus(await tryDrawUp(pair), 200).json);
      assert.deepEqual(Object.keys(english).sort(), ['language', 'message', 'type', 'version']);
      const time = String.raw`[A-Z][a-z]+, \d\d [A-Z][a-z]+ \d{4} \d\d:\d\d:\d\d`;
      const escaped = (text: string): string => text.replaceAll(/[.()]/g, '\\$&');
      const declaration = `I hereby declare to act on behalf of ${escaped(name)} located in ${escaped(city)}`;
      const pattern = new RegExp(
        `^EN:PractitionerLogin:v3 ${declaration}\\. This declaration is valid from (${time}) until (${time})\\.$`,
      );
      const [, from = '', until = ''] = pattern.exec(string(english['message'])) ?? [];
      assert.equal((Date.parse(`${until} UTC`) - Date.parse(`${from} UTC`)) / 60_000, 60, string(english['message']));
      const dutch = await contract(pair, { type: 'BehandelaarLogin', language: 'NL', validDuration: '8h' });
      const declared = `NL:BehandelaarLogin:v3 Hierbij verklaar ik te handelen in naam van ${name} te ${city}. Deze verklaring is geldig van `;
      assert.ok(dutch.startsWith(declared), dutch);
    },
  },
  {
    id: '§3.2',
    title:
      'no contract: unknown template or language 404; malformed, unknown or foreign organisation, bad duration, too early 400',
    async run(pair) {
      const title = 'DrawUpContract failed';
      for (const more of [{ type: 'Nope' }, { version: 'v9' }, { language: 'DE' }, { language: 'NL' }]) {
        expectProblem(await tryDrawUp(pair, more), 404, title);
      }
      const notThen = 'could not draw up contract: no valid organization credential at provided validFrom date';
      const unknown = 'did:nuts:7nQ7Tky6SfQ6xWpfmkTVxTV7mGU7QTtZRvSWvPWvwbdz';
      assert.equal(expectProblem(await tryDrawUp(pair, { legalEntity: unknown }), 400, title), notThen);
      assert.equal(expectProblem(await tryDrawUp(pair, { validFrom: '2001-01-01T00:00:00Z' }), 400, title), notThen);
      const foreign = 'could not draw up contract: organization is not managed by this node: missing organization private key';
      assert.equal(expectProblem(await tryDrawUp(pair, { legalEntity: pair.a.did }), 400, title), foreign);
      expectProblem(await tryDrawUp(pair, { legalEntity: 'abc' }), 400, title);
      expectProblem(await tryDrawUp(pair, { validDuration: 'x' }), 400, title);
    },
  },
  {
    id: '§3.2',
    title: 'no session: unknown means, a payload that is no contract, employee data missing; unknown session 404',
    async run(pair) {
      const payload = await contract(pair);
      const params = { employer: pair.b.did, employee: EMPLOYEE };
      const { familyName: _, ...nameless } = EMPLOYEE;
      for (const body of [
        { means: 'nope', payload, params: {} },
        { means: 'dummy', payload: 'hello', params: {} },
        { means: 'dummy', payload: Buffer.from(payload).toString('base64'), params: {} },
        { means: 'employeeid', payload, params: { employee: EMPLOYEE } },
        { means: 'employeeid', payload, params: { ...params, employee: nameless } },
      ]) {
        expectProblem(await tryStart(pair, body), 400, 'CreateSignSession failed');
      }
      expectProblem(await poll(pair, 'nope'), 404, 'GetSignSessionStatus failed');
    },
  },
  {
    id: '§3.2',
    title: 'dummy: created, in-progress, completed with a presentation that nobody signed, 404',
    async run(pair) {
      const payload = await contract(pair);
      const { id } = await start(pair, { means: 'dummy', payload });
      assert.deepEqual(expectStatus(await poll(pair, id), 200).json, { status: 'created' });
      assert.deepEqual(expectStatus(await poll(pair, id), 200).json, { status: 'in-progress' });
      const done = object(expectStatus(await poll(pair, id), 200).json);
      assert.equal(done['status'], 'completed');
      assert.deepEqual(done['verifiablePresentation'], {
        '@context': ['https://www.w3.org/2018/credentials/v1'],
        proof: {
          Contract: payload,
          Email: 'tester@example.com',
          FamilyName: 'Dummy',
          Initials: 'I',
          Prefix: 'von',
          Type: 'NoSignature',
        },
        type: ['VerifiablePresentation', 'DummyVerifiablePresentation'],
      });
      expectProblem(await poll(pair, id), 404, 'GetSignSessionStatus failed');
    },
  },
  {
    id: '4',
    title: 'a token with the dummy identity says who Dummy is',
    async run(pair) {
      const credential = await authorize(pair);
      const accessToken = await token(pair, { credentials: [credential], identity: await dummyPresentation(pair) });
      const { initials, prefix, family_name, email, username, user_role, assurance_level } = await introspect(
        pair.a.internal,
        accessToken,
      );
      assert.deepEqual(
        { initials, prefix, family_name, email, username, user_role, assurance_level },
        {
          initials: 'I',
          prefix: 'von',
          family_name: 'Dummy',
          email: 'tester@example.com',
          username: 'tester@example.com',
          user_role: '',
          assurance_level: 'low',
        },
      );
    },
  },
  {
    id: '§3.2',
    title: 'employeeid: created, the page makes it in-progress, its form completes it; the presentation is given once',
    async run(pair) {
      const { id, page } = await startEmployee(pair, { roleName: 'Verpleegkundige niveau 4' });
      assert.equal(await status(pair, id), 'created');
      const secret = await openPage(page);
      assert.equal(await status(pair, id), 'in-progress');
      const again = expectStatus(await call('GET', page), 200);
      assert.ok(!again.text.includes('<form'));
      const reply = expectStatus(await answerPage(page, secret, true), 302);
      assert.equal(reply.headers.get('location'), `./${id}`);
      expectStatus(await call('GET', page), 200);
      assert.equal(
        expectProblem(await answerPage(page, secret, true), 404, 'Operation failed'),
        'no session with status in-progress found',
      );
      const done = object(expectStatus(await poll(pair, id), 200).json);
      assert.equal(done['status'], 'completed');
      const presentation = object(done['verifiablePresentation']);
      assert.deepEqual(presentation['type'], ['VerifiablePresentation', 'NutsSelfSignedPresentation']);
      assert.equal(object(presentation['proof'])['proofPurpose'], 'authentication');
      assert.match(string(object(presentation['proof'])['challenge']), /^EN:PractitionerLogin:v3 /);
      const credential = object(presentation['verifiableCredential']);
      assert.deepEqual(credential['credentialSubject'], {
        id: pair.b.did,
        member: {
          identifier: EMPLOYEE.identifier,
          member: { familyName: 'Jansen', initials: 'J.P.', type: 'Person' },
          roleName: 'Verpleegkundige niveau 4',
          type: 'EmployeeRole',
        },
        type: 'Organization',
      });
      assert.equal(await status(pair, id), 'vp-requested');
      expectProblem(await poll(pair, id), 404, 'GetSignSessionStatus failed');
    },
  },
  {
    id: '§3.2',
    title: 'employeeid: cancelled once, then 404; a wrong secret ends it as errored; no form before the page',
    async run(pair) {
      const cancelled = await startEmployee(pair);
      expectStatus(await answerPage(cancelled.page, await openPage(cancelled.page), false), 302);
      assert.equal(await status(pair, cancelled.id), 'cancelled');
      expectProblem(await poll(pair, cancelled.id), 404, 'GetSignSessionStatus failed');
      const errored = await startEmployee(pair);
      await openPage(errored.page);
      expectStatus(await answerPage(errored.page, 'nope', true), 302);
      assert.equal(await status(pair, errored.id), 'errored');
      const early = await startEmployee(pair);
      expectProblem(await answerPage(early.page, 'x', true), 404, 'Operation failed');
      expectProblem(await call('GET', `${pair.b.public}/public/auth/v1/means/employeeid/nope`), 404, 'Operation failed');
    },
  },
  {
    id: '§3.2',
    title: 'employeeid: an employer of another node is found out only when the result is fetched: 500',
    async run(pair) {
      const params = { employer: pair.a.did, employee: EMPLOYEE };
      const { id, pointer } = await start(pair, { means: 'employeeid', payload: await contract(pair), params });
      const page = string(pointer['url']);
      expectStatus(await answerPage(page, await openPage(page), true), 302);
      expectProblem(await poll(pair, id), 500, 'GetSignSessionStatus failed');
    },
  },
  {
    id: '§3.2',
    title: 'a token with an employee identity says who; without a role, user_role is empty',
    async run(pair) {
      const user = async (more: Json): Promise<Json> => {
        const accessToken = await token(pair, { identity: await employeePresentation(pair, more) });
        const { initials, prefix, family_name, email, username, user_role, assurance_level } = await introspect(
          pair.a.internal,
          accessToken,
        );
        return { initials, prefix, family_name, email, username, user_role, assurance_level };
      };
      const expected = {
        initials: 'J.P.',
        prefix: '',
        family_name: 'Jansen',
        email: '',
        username: EMPLOYEE.identifier,
        user_role: '',
        assurance_level: 'low',
      };
      assert.deepEqual(await user({}), expected);
      assert.deepEqual(await user({ roleName: 'Arts', email: 'jp@a.example' }), { ...expected, user_role: 'Arts' });
    },
  },
  {
    id: '§3.2',
    title: 'an identity that was changed, is none, or is of another organisation gives no token',
    async run(pair) {
      const presentation = await employeePresentation(pair);
      const proof = { ...object(presentation['proof']), challenge: 'x' };
      for (const identity of [{ ...presentation, proof }, { foo: 'bar' }]) {
        expectProblem(await requestToken(pair, { identity }), 503, 'RequestAccessToken failed');
      }
      const other = { authorizer: pair.b.did, requester: pair.a.did, service: 'eOverdracht-receiver', credentials: [] };
      const at = (body: Json): Promise<Reply> =>
        call('POST', `${pair.a.internal}/internal/auth/v1/request-access-token`, { json: body });
      expectStatus(await at(other), 200);
      expectProblem(await at({ ...other, identity: presentation }), 503, 'RequestAccessToken failed');
    },
  },
  {
    id: '§3.2',
    title: 'signature/verify tells what was signed, at both nodes; a changed presentation is only invalid',
    async run(pair) {
      const presentation = await employeePresentation(pair, { roleName: 'Arts' });
      const verify = async (base: string, json: unknown): Promise<Json> => {
        const reply = await call('PUT', `${base}/internal/auth/v1/signature/verify`, { json: { VerifiablePresentation: json } });
        return object(expectStatus(reply, 200).json);
      };
      for (const base of [pair.a.internal, pair.b.internal]) {
        const answer = await verify(base, presentation);
        assert.equal(answer['validity'], true);
        assert.equal(answer['vpType'], 'NutsSelfSignedPresentation');
        assert.equal(object(answer['credentials'])['legal_entity'], pair.b.organization.name);
        assert.deepEqual(answer['issuerAttributes'], {
          assurance_level: 'low',
          familyname: 'Jansen',
          initials: 'J.P.',
          user_role: 'Arts',
          username: EMPLOYEE.identifier,
        });
      }
      const proof = { ...object(presentation['proof']), challenge: 'x' };
      assert.deepEqual(await verify(pair.b.internal, { ...presentation, proof }), { validity: false });
    },
  },
];
