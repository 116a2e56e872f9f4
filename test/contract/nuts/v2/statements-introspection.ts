/** Introspection of opaque tokens: statements 12 to 21, facts §1.3. */
import assert from 'node:assert/strict';

import { calculateJwkThumbprint } from 'jose';

import { array, call, decode, expectProblem, expectStatus, INACTIVE, object, Skipped, string } from '../peer-pair.ts';
import {
  authorizationServer,
  bearerToken,
  boundToken,
  FORM,
  introspectAt,
  issued,
  loadInto,
  newSubject,
  organizationBody,
  proofFor,
  revoke,
  tokenAnswer,
  type WebStatement,
} from './web-nodes.ts';

const PATH = '/internal/auth/v2/accesstoken/introspect';
const FIXED = ['active', 'client_id', 'exp', 'iat', 'iss', 'scope'];

export const introspectionStatements: readonly WebStatement[] = [
  {
    id: '12',
    title: 'the Content-Type must be exactly that of a form; a charset, another case, JSON and nothing at all are 415',
    async run(nodes) {
      const token = await bearerToken(nodes);
      for (const how of ['', '_extended']) {
        const url = `${nodes.a.internal}${PATH}${how}`;
        const title = `IntrospectAccessToken${how === '' ? '' : 'Extended'} failed`;
        const types = [`${FORM}; charset=utf-8`, `${FORM};charset=UTF-8`, FORM.toUpperCase(), 'application/json', 'text/plain'];
        for (const type of types) {
          const reply = await call('POST', url, { raw: `token=${token}`, headers: { 'content-type': type } });
          assert.equal(expectProblem(reply, 415, title), `Content-Type MUST be set to ${FORM}`);
        }
        expectProblem(await call('POST', url, { raw: `token=${token}` }), 415, title);
        const right = await call('POST', url, { raw: `token=${token}`, headers: { 'content-type': FORM } });
        assert.equal(object(expectStatus(right, 200).json)['active'], true);
      }
    },
  },
  {
    id: '13',
    title: 'an unknown token, an empty one, none, and one of another node are inactive, and that is all it says',
    async run(nodes) {
      const url = `${nodes.a.internal}${PATH}`;
      for (const form of [{ token: 'unknown' }, { token: '' }, { other: 'x' }]) {
        const reply = expectStatus(await call('POST', url, { form }), 200);
        assert.deepEqual(reply.json, INACTIVE);
        assert.equal(reply.text, '{"active":false}\n');
      }
      const token = await bearerToken(nodes);
      assert.deepEqual(await introspectAt(nodes.stranger.internal, token), INACTIVE);
      const headers = { 'content-type': FORM };
      const first = await call('POST', url, { raw: `token=${token}&token=unknown`, headers });
      assert.equal(object(first.json)['active'], true);
    },
  },
  {
    id: '14',
    title: 'a bearer token has no cnf; a bound one has the thumbprint of the key behind dpop_kid',
    async run(nodes) {
      const token = await bearerToken(nodes);
      assert.match(token, /^[\w-]{43}$/);
      assert.ok(!Object.hasOwn(await introspectAt(nodes.a.internal, token), 'cnf'));
      const bound = await boundToken(nodes);
      assert.match(bound.token, /^[\w-]{43}$/);
      assert.ok(bound.kid.startsWith(`${nodes.b.did}#`));
      const proof = await proofFor(nodes, bound, 'GET', 'https://rs.example/x');
      const jwk = object(decode(proof.split('.')[0])['jwk']);
      const jkt = await calculateJwkThumbprint({ crv: 'P-256', kty: 'EC', x: string(jwk['x']), y: string(jwk['y']) });
      assert.deepEqual((await introspectAt(nodes.a.internal, bound.token))['cnf'], { jkt });
      assert.deepEqual((await introspectAt(nodes.a.internal, bound.token, '_extended'))['cnf'], { jkt });
    },
  },
  {
    id: '15',
    title: 'fields with an id are claims: absent ones null, of a pattern the group or the part, lists and objects whole',
    async run(nodes) {
      const said = await introspectAt(nodes.a.internal, await bearerToken(nodes, 'claims'));
      assert.equal(said['absent'], null);
      assert.equal(said['first_word'], nodes.b.organization.name.split(' ')[0]);
      assert.equal(said['somewhere'], 'ond');
      assert.deepEqual([...array(said['types'])].sort(), ['NutsOrganizationCredential', 'VerifiableCredential']);
      assert.equal(object(said['whole'])['name'], nodes.b.organization.name);
    },
  },
  {
    id: '16, 17',
    title: 'iss is the issuer of the metadata; there is no sub, aud or token_type; what the client stated is its claim',
    async run(nodes) {
      const said = await introspectAt(nodes.a.internal, await bearerToken(nodes));
      const claims = ['organization_city', 'organization_did', 'organization_name'];
      assert.deepEqual(Object.keys(said), [...FIXED, ...claims].sort());
      const [head, tail] = authorizationServer(nodes.a).split('/oauth2/');
      const metadata = await call('GET', `${head ?? ''}/.well-known/oauth-authorization-server/oauth2/${tail ?? ''}`);
      assert.equal(said['iss'], object(expectStatus(metadata, 200).json)['issuer']);
      assert.equal(said['client_id'], authorizationServer(nodes.b));
      assert.equal(said['scope'], 'care');
      assert.equal(said['organization_did'], nodes.b.did);
      assert.equal(said['organization_name'], nodes.b.organization.name);
      const answer = await tokenAnswer(nodes, {
        scope: 'employee',
        token_type: 'bearer',
        credentials: [employee()],
      });
      const user = await introspectAt(nodes.a.internal, string(answer['access_token']));
      assert.equal(user['employee_identifier'], '4711');
      assert.equal(user['employee_role'], 'Verpleegkundige niveau 4');
    },
  },
  {
    id: '18',
    title: 'extended has the presentations, definitions and submissions and no claims; plain has the claims and none of these',
    async run(nodes) {
      const token = await bearerToken(nodes);
      const extended = await introspectAt(nodes.a.internal, token, '_extended');
      const evidence = ['presentation_definitions', 'presentation_submissions', 'vps'];
      assert.deepEqual(Object.keys(extended), [...FIXED, ...evidence].sort());
      assert.equal(array(extended['vps']).length, 1);
      assert.equal(object(object(extended['presentation_definitions'])['organization'])['id'], 'pd_care');
      const submission = object(object(extended['presentation_submissions'])['pd_care']);
      assert.equal(submission['definition_id'], 'pd_care');
      assert.deepEqual(
        array(submission['descriptor_map']).map((entry) => object(entry)['id']),
        ['organization'],
      );
    },
  },
  {
    id: '19',
    title: 'a token lives for 900 s, to the second, and no restart',
    async run(nodes) {
      const token = await bearerToken(nodes);
      const said = await introspectAt(nodes.a.internal, token);
      assert.equal(Number(said['exp']) - Number(said['iat']), 900);
      if (nodes.advance !== undefined) {
        nodes.advance(898);
        assert.equal((await introspectAt(nodes.a.internal, token))['active'], true);
        nodes.advance(3);
        assert.deepEqual(await introspectAt(nodes.a.internal, token), INACTIVE);
      }
      if (nodes.restart === undefined) throw new Skipped('the life holds; nobody can restart these nodes');
      const other = await bearerToken(nodes);
      await nodes.restart();
      assert.deepEqual(await introspectAt(nodes.a.internal, other), INACTIVE);
    },
  },
  {
    id: '20',
    title: 'a policy with the field id scope makes every introspection a 500; the field id cnf replaces the real one',
    async run(nodes) {
      const token = await bearerToken(nodes, 'reserved');
      for (const how of ['', '_extended']) {
        const reply = await call('POST', `${nodes.a.internal}${PATH}${how}`, { form: { token } });
        const detail = expectProblem(reply, 500, `IntrospectAccessToken${how === '' ? '' : 'Extended'} failed`);
        assert.match(detail, /reserved claim name: scope/);
      }
      const bound = string((await tokenAnswer(nodes, { scope: 'shadow' }))['access_token']);
      assert.equal((await introspectAt(nodes.a.internal, bound))['cnf'], nodes.b.organization.city);
      const extended = await introspectAt(nodes.a.internal, bound, '_extended');
      assert.match(string(object(extended['cnf'])['jkt']), /^[\w-]{43}$/);
    },
  },
  {
    id: '21',
    title: "revoking the organisation's credential changes nothing for a token that is there; the next one is refused",
    async run(nodes) {
      const other = await newSubject(nodes.b);
      const changed = { ...nodes, b: other };
      const credential = await issued(nodes.b, organizationBody(nodes.b.did, other));
      expectStatus(await loadInto(other, credential), 204);
      const token = await bearerToken(changed);
      expectStatus(await revoke(nodes.b, string(credential['id'])), 204);
      assert.equal((await introspectAt(nodes.a.internal, token))['active'], true);
      await assert.rejects(bearerToken(changed), /status 200, not 412/);
    },
  },
];

/** What an employee's organisation states about them. */
export function employee() {
  return {
    '@context': ['https://www.w3.org/2018/credentials/v1', 'https://nuts.nl/credentials/v1'],
    type: ['VerifiableCredential', 'NutsEmployeeCredential'],
    credentialSubject: { identifier: '4711', name: 'J. de Vries', roleName: 'Verpleegkundige niveau 4' },
  };
}
