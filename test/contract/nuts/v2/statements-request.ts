/** Asking for tokens, at one's own node and at the authorization server: statements 29, 30, 32, 33 and 50, facts §3.3 and §3.5. */
import assert from 'node:assert/strict';

import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from 'jose';

import { array, call, expectProblem, expectStatus, object, string, type Json } from '../peer-pair.ts';
import { employee } from './statements-introspection.ts';
import {
  authorizationServer,
  expectOAuthError,
  introspectAt,
  issued,
  newSubject,
  organizationBody,
  ownGrant,
  redeem,
  requestToken,
  signerOf,
  tokenAnswer,
  type WebNodes,
  type WebStatement,
} from './web-nodes.ts';

const FAILED = 'RequestServiceAccessToken failed';

async function refused(nodes: WebNodes, status: number, body: Json): Promise<string> {
  return expectProblem(await requestToken(nodes, body), status, FAILED);
}

export const requestStatements: readonly WebStatement[] = [
  {
    id: '29',
    title: 'the same token is given again, unless the call says Cache-Control: no-cache and nothing else',
    async run(nodes) {
      const cached = async (headers: Record<string, string> = {}): Promise<Json> =>
        object(expectStatus(await requestToken(nodes, {}, headers), 200).json);
      const first = await tokenAnswer(nodes);
      assert.deepEqual(Object.keys(first), ['access_token', 'dpop_kid', 'expires_at', 'expires_in', 'token_type', 'scope']);
      assert.equal(first['token_type'], 'DPoP');
      assert.equal(first['expires_in'], 900);
      const second = await cached();
      assert.equal(second['access_token'], first['access_token']);
      assert.ok(Number(second['expires_in']) <= 900);
      assert.equal(second['expires_at'], first['expires_at']);
      assert.equal((await cached({ 'cache-control': 'no-store' }))['access_token'], first['access_token']);
      assert.notEqual((await tokenAnswer(nodes))['access_token'], first['access_token']);
      if (nodes.advance === undefined) return;
      const newest = await cached();
      nodes.advance(869);
      assert.equal((await cached())['access_token'], newest['access_token']);
      nodes.advance(2);
      assert.notEqual((await cached())['access_token'], newest['access_token']);
    },
  },
  {
    id: '§3.3',
    title: 'Bearer in any case is a bearer token without dpop_kid; any other type is DPoP',
    async run(nodes) {
      for (const token_type of ['Bearer', 'bearer']) {
        const answer = await tokenAnswer(nodes, { token_type });
        assert.equal(answer['token_type'], 'Bearer');
        assert.ok(!Object.hasOwn(answer, 'dpop_kid'));
      }
      assert.equal((await tokenAnswer(nodes, { token_type: 'nonsense' }))['token_type'], 'DPoP');
    },
  },
  {
    id: '30',
    title: 'an unknown subject, forbidden members, what the wallet lacks, an unknown scope, a server that is not there',
    async run(nodes) {
      const { a, b } = nodes;
      const unknown = { ...nodes, b: { ...b, subject: 'nobody' } };
      assert.equal(await refused(unknown, 400, {}), 'invalid_request - subject not found');
      const { credentialSubject, ...rest } = employee();
      const scope = 'employee';
      assert.match(await refused(nodes, 400, { scope, credentials: [{ ...employee(), issuer: b.did }] }), /issuer/);
      const named = { ...rest, credentialSubject: { ...credentialSubject, id: b.did } };
      assert.match(await refused(nodes, 400, { scope, credentials: [named] }), /credentialSubject\.id/);
      assert.match(await refused(nodes, 412, { scope }), /no VC for InputDescriptor \(employee\)/);
      assert.match(await refused(nodes, 412, { scope: 'pinned' }), /no VC for InputDescriptor \(organization\)/);
      assert.match(await refused(nodes, 502, { scope: 'unknown' }), /failed to retrieve presentation definition/);
      const gone = 'http://127.0.0.1:1/oauth2/x';
      assert.match(await refused(nodes, 400, { authorization_server: gone }), /invalid client call/);
      const notThere = `${a.public}/nowhere`;
      assert.match(await refused(nodes, 400, { authorization_server: notThere }), /invalid client call/);
      await refused(nodes, 500, { authorization_server: '' });
    },
  },
  {
    id: '32',
    title: 'a grant is taken once, lives for 5 s, is for this server, and is complete',
    async run(nodes) {
      const grant = await ownGrant(nodes);
      const answer = object(expectStatus(await redeem(nodes, grant), 200).json);
      assert.deepEqual(Object.keys(answer), ['access_token', 'expires_in', 'token_type', 'scope']);
      assert.match(expectOAuthError(await redeem(nodes, grant), 'invalid_request'), /nonce/);
      const { nowS } = await signerOf(nodes);
      for (const [claims, words] of [
        [{ exp: nowS + 60 }, /too long/],
        [{ exp: undefined }, /missing creation or expiration date/],
        [{ nonce: undefined }, /nonce/],
        [{ aud: ['https://other.example/oauth2/x'] }, /audience/],
        [{ nbf: nowS - 20, exp: nowS - 15 }, /"exp" not satisfied/],
      ] as const) {
        assert.match(expectOAuthError(await redeem(nodes, await ownGrant(nodes, claims)), 'invalid_request'), words);
      }
      for (const name of ['assertion', 'presentation_submission', 'scope', 'client_id']) {
        const { [name]: _, ...form } = await ownGrant(nodes);
        assert.equal(expectOAuthError(await redeem(nodes, form), 'invalid_request'), 'missing required parameters');
      }
      const password = { grant_type: 'password' };
      assert.equal(
        expectOAuthError(await redeem(nodes, password), 'unsupported_grant_type'),
        "grant_type 'password' is not supported",
      );
      const other = { ...(await ownGrant(nodes)), scope: 'unknown' };
      expectOAuthError(await redeem(nodes, other), 'invalid_scope');
      const garbage = { ...(await ownGrant(nodes)), assertion: 'garbage' };
      assert.match(expectOAuthError(await redeem(nodes, garbage), 'invalid_request'), /assertion parameter is invalid/);
    },
  },
  {
    id: '§3.5',
    title: 'a submission must fit its definition, and what is presented must be whole and the holder’s own',
    async run(nodes) {
      const grant = await ownGrant(nodes);
      const submitted = (change: (submission: Json) => Json): Record<string, string> => ({
        ...grant,
        presentation_submission: JSON.stringify(change(object(JSON.parse(grant['presentation_submission'] ?? '{}')))),
      });
      const refusal = async (form: Record<string, string>): Promise<string> =>
        expectOAuthError(await redeem(nodes, form), 'invalid_request');
      assert.match(await refusal(submitted((all) => ({ ...all, definition_id: 'other' }))), /is not required: other/);
      const entry = { id: 'organization', format: 'ldp_vc', path: '$.verifiableCredential' };
      for (const wrong of [[{ ...entry, id: 'nope' }], [{ ...entry, path: '$.verifiableCredential[7]' }], []]) {
        assert.match(await refusal(submitted((all) => ({ ...all, descriptor_map: wrong }))), /does not conform/);
      }
      assert.match(await refusal({ ...grant, presentation_submission: 'x' }), /invalid presentation submission/);

      const changed = async (change: (credential: Json) => Json): Promise<Record<string, string>> => {
        const { b } = nodes;
        const wallet = array((await call('GET', `${b.internal}/internal/vcr/v2/holder/${b.subject}/vc`)).json);
        const verifiableCredential = change(object(wallet.find((each) => typeof each === 'object')));
        const vp = {
          '@context': ['https://www.w3.org/2018/credentials/v1'],
          type: 'VerifiablePresentation',
          verifiableCredential,
        };
        return ownGrant(nodes, { vp });
      };
      const tampered = await changed((credential) => ({ ...credential, issuanceDate: '2020-01-01T00:00:00Z' }));
      assert.match(await refusal(tampered), /verification failed/);
      const other = await newSubject(nodes.b);
      const foreign = await issued(nodes.b, organizationBody(nodes.b.did, other));
      assert.equal(await refusal(await changed(() => foreign)), 'presentation signer is not credential subject');
      const [head, payload] = (grant['assertion'] ?? '').split('.');
      const forged = { ...grant, assertion: `${head ?? ''}.${payload ?? ''}.${'A'.repeat(86)}` };
      const fresh = await ownGrant(nodes);
      const [, , signature] = (fresh['assertion'] ?? '').split('.');
      assert.match(
        await refusal({ ...forged, assertion: `${head ?? ''}.${payload ?? ''}.${signature ?? ''}` }),
        /verification failed/,
      );
    },
  },
  {
    id: '§3.5 DPoP',
    title: 'the key of a proof at the token endpoint is the key of the token, whatever the proof is for; a bad proof is refused',
    async run(nodes) {
      const { privateKey, publicKey } = await generateKeyPair('ES256');
      const jwk = await exportJWK(publicKey);
      const { nowS } = await signerOf(nodes);
      const dpop = await new SignJWT({ htm: 'DELETE', htu: 'https://elsewhere.example/', iat: nowS - 7200, jti: 'once' })
        .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk })
        .sign(privateKey);
      const accept = { accept: 'application/json' };
      const answer = object(expectStatus(await redeem(nodes, await ownGrant(nodes), { ...accept, dpop }), 200).json);
      assert.deepEqual(Object.keys(answer), ['access_token', 'dpop_kid', 'expires_in', 'token_type', 'scope']);
      assert.equal(answer['token_type'], 'DPoP');
      const said = await introspectAt(nodes.a.internal, string(answer['access_token']));
      assert.deepEqual(said['cnf'], { jkt: await calculateJwkThumbprint(jwk) });
      const bad = await redeem(nodes, await ownGrant(nodes), { ...accept, dpop: 'garbage' });
      assert.equal(expectOAuthError(bad, 'invalid_dpop_proof'), 'DPoP header is invalid');
    },
  },
  {
    id: '33',
    title: 'an error is a page, unless Accept or Content-Type speak of JSON; a token answer is not stored',
    async run(nodes) {
      const form = { grant_type: 'password' };
      for (const headers of [{}, { accept: '*/*' }]) {
        const page = expectStatus(await redeem(nodes, form, headers), 400);
        assert.match(page.type, /^text\/html/);
        assert.match(page.text, /unsupported_grant_type/);
      }
      const listed = await redeem(nodes, form, { accept: 'text/html, application/json' });
      expectOAuthError(listed, 'unsupported_grant_type');
      assert.equal(listed.headers.get('cache-control'), 'no-cache');
      assert.equal(listed.headers.get('pragma'), 'no-store');
    },
  },
  {
    id: '50',
    title: 'there are metadata of unknown subjects too, but no token; an unknown scope has no definition',
    async run(nodes) {
      const { a } = nodes;
      const unknown = { ...a, subject: 'nobody' };
      const issuer = authorizationServer(unknown);
      const metadata = await call('GET', `${a.public}/.well-known/oauth-authorization-server/oauth2/nobody`);
      assert.equal(object(expectStatus(metadata, 200).json)['issuer'], issuer);
      assert.equal(metadata.headers.get('cache-control'), 'max-age=300');
      const reply = await redeem({ ...nodes, a: unknown }, await ownGrant(nodes));
      assert.equal(expectOAuthError(reply, 'invalid_request'), 'subject not found');
      assert.match(await refused({ ...nodes, a: unknown }, 400, {}), /subject not found/);
      const url = `${authorizationServer(a)}/presentation_definition`;
      const accept = { headers: { accept: 'application/json' } };
      expectOAuthError(await call('GET', `${url}?scope=unknown`, accept), 'invalid_scope');
      expectOAuthError(await call('GET', `${url}?scope=care&wallet_owner_type=user`, accept), 'invalid_request');
      expectProblem(await call('GET', url, accept), 400, 'Operation failed');
      const found = object(expectStatus(await call('GET', `${url}?scope=care`, accept), 200).json);
      assert.equal(found['id'], 'pd_care');
    },
  },
];
