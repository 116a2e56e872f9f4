/** Introspection, the token request and the token endpoint of generation v1: statements 1 to 11 and 31, and facts §3.1. */
import assert from 'node:assert/strict';

import {
  array,
  authorize,
  call,
  decode,
  expectProblem,
  expectStatus,
  INACTIVE,
  inPath,
  introspect,
  issue,
  keyOf,
  nodeNow,
  object,
  requestToken,
  SENDER,
  signed,
  Skipped,
  string,
  token,
  type Json,
  type PeerPair,
  type Reply,
  type Statement,
} from './peer-pair.ts';

const INTROSPECT = '/internal/auth/v1/accesstoken/introspect';
const VERIFY = '/internal/auth/v1/accesstoken/verify';
const GRANT_TYPE = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const USER_KEYS = ['assurance_level', 'email', 'family_name', 'initials', 'prefix', 'user_role', 'username'];

async function trust(pair: PeerPair, method: 'POST' | 'DELETE'): Promise<void> {
  const json = { issuer: pair.a.did, credentialType: 'NutsAuthorizationCredential' };
  expectStatus(await call(method, `${pair.a.internal}/internal/vcr/v2/verifier/trust`, { json }), 204);
}

/** A token of A's own making for B, with changed claims and header. */
async function ownToken(pair: PeerPair, claims: Json, typ = 'at+jwt'): Promise<string> {
  const iat = await nodeNow(pair);
  const kid = await keyOf(pair.a.internal, pair.a.did);
  const usual = { aud: [''], exp: iat + 60, iat, iss: pair.a.did, service: SENDER, sub: pair.b.did };
  return signed(pair.a.internal, kid, { alg: 'ES256', typ }, { ...usual, ...claims });
}

/** A grant of B's own making for A, with changed claims. */
async function ownGrant(pair: PeerPair, claims: (iat: number) => Json): Promise<Reply> {
  const iat = await nodeNow(pair);
  const kid = await keyOf(pair.b.internal, pair.b.did);
  const aud = `${pair.a.public}/n2n/auth/v1/accesstoken`;
  const usual = { aud, exp: iat + 5, iat, iss: pair.b.did, sub: pair.a.did, purposeOfUse: SENDER };
  const assertion = await signed(pair.b.internal, kid, { alg: 'ES256', typ: 'JWT' }, { ...usual, ...claims(iat) });
  return redeem(pair, { grant_type: GRANT_TYPE, assertion });
}

function redeem(pair: PeerPair, form: Record<string, string>): Promise<Reply> {
  return call('POST', `${pair.a.public}/n2n/auth/v1/accesstoken`, { form });
}

function expectRefused(reply: Reply, error: string, description: string | RegExp): void {
  expectStatus(reply, 400);
  assert.equal(reply.type, 'application/json');
  const body = object(reply.json);
  assert.deepEqual(Object.keys(body).sort(), ['error', 'error_description']);
  assert.equal(body['error'], error);
  if (typeof description === 'string') assert.equal(body['error_description'], description);
  else assert.match(string(body['error_description']), description);
}

export const tokenStatements: readonly Statement[] = [
  {
    id: '1',
    title: 'an unknown token is inactive, and that is all it says',
    async run(pair) {
      for (const garbage of [
        'abc',
        'eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6ImRpZDpudXRzOngjeSJ9.eyJpc3MiOiJ4In0.AAAA',
      ]) {
        assert.deepEqual(await introspect(pair.a.internal, garbage), INACTIVE);
      }
    },
  },
  {
    id: '2',
    title: 'an empty body, a JSON body and a body without Content-Type are inactive; a charset in the Content-Type does no harm',
    async run(pair) {
      const valid = await token(pair);
      const url = `${pair.a.internal}${INTROSPECT}`;
      for (const sent of [{}, { json: { token: valid } }, { raw: `token=${valid}` }, { form: { token: '' } }]) {
        assert.deepEqual(expectStatus(await call('POST', url, sent), 200).json, INACTIVE);
      }
      const headers = { 'content-type': 'application/x-www-form-urlencoded; charset=UTF-8' };
      const reply = await call('POST', url, { raw: `token=${valid}`, headers });
      assert.equal(object(reply.json)['active'], true);
    },
  },
  {
    id: '3',
    title: 'a valid token has exactly active, aud, exp, iat, iss, service and sub; aud is empty; it lives 60 s',
    async run(pair) {
      const reply = object(expectStatus(await requestToken(pair), 200).json);
      assert.deepEqual(Object.keys(reply).sort(), ['access_token', 'expires_in', 'token_type']);
      assert.equal(reply['token_type'], 'bearer');
      assert.equal(reply['expires_in'], 60);
      const answer = await introspect(pair.a.internal, string(reply['access_token']));
      assert.deepEqual(Object.keys(answer).sort(), ['active', 'aud', 'exp', 'iat', 'iss', 'service', 'sub']);
      assert.equal(answer['aud'], '');
      assert.equal(Number(answer['exp']) - Number(answer['iat']), 60);
      assert.equal(answer['iss'], pair.a.did);
      assert.equal(answer['sub'], pair.b.did);
      assert.equal(answer['service'], SENDER);
    },
  },
  {
    id: '3',
    title: 'the token is an at+jwt of the authorizer, with one empty audience and neither nbf nor jti',
    async run(pair) {
      const [header, claims] = (await token(pair)).split('.');
      assert.deepEqual(decode(header), { alg: 'ES256', kid: await keyOf(pair.a.internal, pair.a.did), typ: 'at+jwt' });
      assert.deepEqual(Object.keys(decode(claims)).sort(), ['aud', 'exp', 'iat', 'iss', 'service', 'sub']);
      assert.deepEqual(decode(claims)['aud'], ['']);
    },
  },
  {
    id: '4',
    title: 'a token without an identity has no user keys',
    async run(pair) {
      const answer = await introspect(pair.a.internal, await token(pair));
      assert.deepEqual(
        USER_KEYS.filter((key) => key in answer),
        [],
      );
    },
  },
  {
    id: '5',
    title: 'a published credential of a trusted issuer is resolved',
    async run(pair) {
      const credential = await authorize(pair);
      const answer = await introspect(pair.a.internal, await token(pair, { credentials: [credential] }));
      assert.deepEqual(answer['vcs'], [credential['id']]);
      assert.deepEqual(answer['resolvedVCs'], [credential]);
    },
  },
  {
    id: '5',
    title: 'an unpublished credential stays an id: resolvedVCs is null',
    async run(pair) {
      const body = { ...authorizationOf(pair), publishToNetwork: false };
      const credential = await issue(pair.a.internal, body);
      const answer = await introspect(pair.a.internal, await token(pair, { credentials: [credential] }));
      assert.deepEqual(answer['vcs'], [credential['id']]);
      assert.equal(answer['resolvedVCs'], null);
    },
  },
  {
    id: '6',
    title: 'after revocation the same token is active, with the id and without the credential',
    async run(pair) {
      const kept = await authorize(pair);
      const gone = await authorize(pair);
      const one = await token(pair, { credentials: [gone] });
      const two = await token(pair, { credentials: [kept, gone] });
      const url = `${pair.a.internal}/internal/vcr/v2/issuer/vc/${inPath(string(gone['id']))}`;
      expectStatus(await call('DELETE', url), 200);
      const answer = await introspect(pair.a.internal, one);
      assert.equal(answer['active'], true);
      assert.deepEqual(answer['vcs'], [gone['id']]);
      assert.ok('resolvedVCs' in answer && answer['resolvedVCs'] === null);
      assert.deepEqual((await introspect(pair.a.internal, two))['resolvedVCs'], [kept]);
    },
  },
  {
    id: '7',
    title: 'after the issuer lost its trust the credential is not resolved, until it is trusted again',
    async run(pair) {
      const credential = await authorize(pair);
      const accessToken = await token(pair, { credentials: [credential] });
      await trust(pair, 'DELETE');
      try {
        const answer = await introspect(pair.a.internal, accessToken);
        assert.deepEqual(answer['vcs'], [credential['id']]);
        assert.equal(answer['resolvedVCs'], null);
        expectStatus(await requestToken(pair, { credentials: [credential] }), 200);
      } finally {
        await trust(pair, 'POST');
      }
      assert.deepEqual((await introspect(pair.a.internal, accessToken))['resolvedVCs'], [credential]);
    },
  },
  {
    id: '8',
    title: 'another node does not know the token',
    async run(pair) {
      const accessToken = await token(pair);
      assert.deepEqual(await introspect(pair.b.internal, accessToken), INACTIVE);
      const headers = { authorization: `Bearer ${accessToken}` };
      expectStatus(await call('HEAD', `${pair.b.internal}${VERIFY}`, { headers }), 403);
    },
  },
  {
    id: '9',
    title: 'a token is active 3 s past exp, inactive 6 s past',
    async run(pair) {
      const now = await nodeNow(pair);
      const late = await ownToken(pair, { exp: now - 3, iat: now - 63 });
      const tooLate = await ownToken(pair, { exp: now - 6, iat: now - 66 });
      assert.equal((await introspect(pair.a.internal, late))['active'], true);
      assert.deepEqual(await introspect(pair.a.internal, tooLate), INACTIVE);
    },
  },
  {
    id: '9',
    title: 'the same by the clock',
    async run(pair) {
      if (pair.advance === undefined) throw new Skipped('the clock of a real node cannot be moved');
      const accessToken = await token(pair);
      pair.advance(63);
      assert.equal((await introspect(pair.a.internal, accessToken))['active'], true);
      pair.advance(3);
      assert.deepEqual(await introspect(pair.a.internal, accessToken), INACTIVE);
    },
  },
  {
    id: '9',
    title: 'neither the length of the life nor the presence of exp and iat is judged; a token of the future is inactive',
    async run(pair) {
      const now = await nodeNow(pair);
      const day = await introspect(pair.a.internal, await ownToken(pair, { exp: now + 86_400 }));
      assert.equal(day['active'], true);
      const without = await introspect(pair.a.internal, await ownToken(pair, { exp: undefined }));
      assert.equal(without['exp'], -62135596800);
      assert.equal((await introspect(pair.a.internal, await ownToken(pair, { iat: undefined })))['iat'], -62135596800);
      assert.equal((await introspect(pair.a.internal, await ownToken(pair, { iat: now + 3 })))['active'], true);
      assert.deepEqual(await introspect(pair.a.internal, await ownToken(pair, { iat: now + 9 })), INACTIVE);
    },
  },
  {
    id: '10',
    title: 'a changed payload, another typ, no signature, another issuer or a missing claim is inactive; the control is active',
    async run(pair) {
      const good = await ownToken(pair, {});
      const [header, payload, signature] = good.split('.');
      const other = Buffer.from(JSON.stringify({ ...decode(payload), sub: 'did:nuts:other' })).toString('base64url');
      const none = Buffer.from(JSON.stringify({ ...decode(header), alg: 'none' })).toString('base64url');
      const bad = [
        `${header ?? ''}.${other}.${signature ?? ''}`,
        `${none}.${payload ?? ''}.`,
        await ownToken(pair, {}, 'JWT'),
        await ownToken(pair, {}, 'AT+JWT'),
        await ownToken(pair, {}, 'application/at+jwt'),
        await ownToken(pair, { iss: pair.b.did }),
        await ownToken(pair, { iss: undefined }),
        await ownToken(pair, { sub: undefined }),
        await ownToken(pair, { service: undefined }),
      ];
      assert.equal((await introspect(pair.a.internal, good))['active'], true);
      for (const tampered of bad) assert.deepEqual(await introspect(pair.a.internal, tampered), INACTIVE);
    },
  },
  {
    id: '11',
    title:
      'HEAD verify: 200 for a bearer in any case, 403 for another scheme or token, 400 without a header; no bodies; GET is 405',
    async run(pair) {
      const accessToken = await token(pair);
      const url = `${pair.a.internal}${VERIFY}`;
      const cases: [string | undefined, number][] = [
        [undefined, 400],
        ['Basic x', 403],
        ['Bearer abc', 403],
        [`Bearer  ${accessToken}`, 403],
        [`bearer ${accessToken}`, 200],
        [`Bearer ${accessToken}`, 200],
      ];
      for (const [authorization, status] of cases) {
        const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
        const reply = expectStatus(await call('HEAD', url, { headers }), status);
        assert.equal(reply.text, '');
        assert.equal(reply.type, status === 400 ? 'application/problem+json' : '');
      }
      const get = await call('GET', url);
      expectProblem(get, 405, 'Operation failed');
      assert.match(get.headers.get('allow') ?? '', /HEAD/);
    },
  },
  {
    id: '31',
    title: 'a service that the authorizer does not have is 400, before anything is sent',
    async run(pair) {
      const detail = expectProblem(await requestToken(pair, { service: 'nope' }), 400, 'RequestAccessToken failed');
      assert.match(detail, /^could not fetch authorizer's 'oauth' endpoint from compound service: /);
    },
  },
  {
    id: '31',
    title: 'a requester without an organisation credential is 503, and the other node’s reason is not passed on',
    async run(pair) {
      const made = expectStatus(await call('POST', `${pair.b.internal}/internal/vdr/v1/did`, { json: {} }), 200);
      const requester = string(object(made.json)['id']);
      const reply = await requestToken(pair, { requester });
      const text = 'remote server/nuts node returned error creating access token: server returned HTTP 400 (expected: 200)';
      assert.equal(expectProblem(reply, 503, 'RequestAccessToken failed'), text);
    },
  },
  {
    id: '31',
    title: 'DIDs that are malformed, unknown or elsewhere are 400; a body without Content-Type 415; no JSON 400',
    async run(pair) {
      const url = `${pair.b.internal}/internal/auth/v1/request-access-token`;
      const unknown = 'did:nuts:7nQ7Tky6SfQ6xWpfmkTVxTV7mGU7QTtZRvSWvPWvwbdz';
      for (const more of [{ authorizer: 'abc' }, { authorizer: unknown }, { requester: unknown }, { requester: pair.a.did }]) {
        expectProblem(await requestToken(pair, more), 400, 'RequestAccessToken failed');
      }
      expectProblem(await call('POST', url, { raw: '{}' }), 415, 'Operation failed');
      const broken = { raw: '{', headers: { 'content-type': 'application/json' } };
      assert.equal(expectProblem(await call('POST', url, broken), 400, 'Operation failed'), 'unexpected EOF');
      expectProblem(await call('GET', url), 405, 'Operation failed');
    },
  },
  {
    id: '§3.1',
    title: 'a credential that was changed, is of somebody else or is revoked gives no token',
    async run(pair) {
      const credential = await authorize(pair);
      const subject = { ...object(credential['credentialSubject']), purposeOfUse: 'other' };
      const foreign = await authorize(pair, { subject: pair.a.did });
      const revoked = await authorize(pair);
      await call('DELETE', `${pair.a.internal}/internal/vcr/v2/issuer/vc/${inPath(string(revoked['id']))}`);
      for (const bad of [{ ...credential, credentialSubject: subject }, foreign, revoked]) {
        expectProblem(await requestToken(pair, { credentials: [bad] }), 503, 'RequestAccessToken failed');
      }
      expectStatus(await requestToken(pair, { credentials: [credential] }), 200);
    },
  },
  {
    id: '§1.4',
    title: 'an object of another type with the id of a foreign credential makes introspection show the foreign one',
    async run(pair) {
      const foreign = await authorize(pair, { subject: pair.a.did });
      const harmless = { ...foreign, type: ['VerifiableCredential', 'HarmlessCredential'] };
      const answer = await introspect(pair.a.internal, await token(pair, { credentials: [harmless] }));
      assert.equal(object(array(answer['resolvedVCs'])[0])['id'], foreign['id']);
    },
  },
  {
    id: '§3.1',
    title: 'jwt-grant makes the grant of 5 s and says where to take it; it can be redeemed, and redeemed again',
    async run(pair) {
      const body = { authorizer: pair.a.did, requester: pair.b.did, service: SENDER, credentials: [] };
      const reply = expectStatus(await call('POST', `${pair.b.internal}/internal/auth/v1/jwt-grant`, { json: body }), 200);
      const { authorization_server_endpoint: endpoint, bearer_token: assertion } = object(reply.json);
      assert.equal(endpoint, `${pair.a.public}/n2n/auth/v1/accesstoken`);
      const claims = decode(string(assertion).split('.')[1]);
      assert.equal(Number(claims['exp']) - Number(claims['iat']), 5);
      assert.deepEqual(claims['aud'], [endpoint]);
      assert.equal(claims['purposeOfUse'], SENDER);
      for (let time = 0; time < 2; time += 1) {
        expectStatus(await redeem(pair, { grant_type: GRANT_TYPE, assertion: string(assertion) }), 200);
      }
    },
  },
  {
    id: '§3.1',
    title: 'the token endpoint says what is wrong with the form',
    async run(pair) {
      const type = `grant_type must be: '${GRANT_TYPE}'`;
      const url = `${pair.a.public}/n2n/auth/v1/accesstoken`;
      expectRefused(await redeem(pair, { grant_type: 'password' }), 'unsupported_grant_type', type);
      expectRefused(await call('POST', url, { json: { grant_type: GRANT_TYPE } }), 'unsupported_grant_type', type);
      const shape = 'Assertion must be a valid encoded jwt';
      expectRefused(await redeem(pair, { grant_type: GRANT_TYPE }), 'invalid_grant', shape);
      expectRefused(await redeem(pair, { grant_type: GRANT_TYPE, assertion: 'abc' }), 'invalid_grant', shape);
      const garbage = await redeem(pair, { grant_type: GRANT_TYPE, assertion: 'a.b.c' });
      expectRefused(garbage, 'invalid_request', /^jwt bearer token validation failed: /);
    },
  },
  {
    id: '§3.1',
    title: 'the token endpoint says what is wrong with the grant',
    async run(pair) {
      const refused = async (claims: (iat: number) => Json, description: string | RegExp): Promise<void> =>
        expectRefused(await ownGrant(pair, claims), 'invalid_request', description);
      expectStatus(await ownGrant(pair, () => ({})), 200);
      expectStatus(await ownGrant(pair, () => ({ exp: undefined })), 200);
      await refused((iat) => ({ exp: iat + 6 }), 'JWT validity too long');
      await refused(() => ({ iat: undefined }), 'JWT validity too long');
      await refused((iat) => ({ iat: iat - 12, exp: iat - 7 }), /^jwt bearer token validation failed: "?exp"? not satisfied$/);
      await refused((iat) => ({ iat: iat + 9, exp: iat + 14 }), /^jwt bearer token validation failed: "?iat"? not satisfied$/);
      await refused(() => ({ sub: undefined }), 'invalid jwt.subject: missing');
      await refused(() => ({ sub: pair.b.did }), `subject.vendor: ${pair.b.did} is not managed by this node`);
      await refused(() => ({ purposeOfUse: undefined }), 'no purposeOfUse given');
      await refused(() => ({ purposeOfUse: 'nope' }), /^referenced service does not resolve to a single endpoint URL: /);
      await refused(() => ({ aud: 'https://other.example' }), 'aud does not contain correct endpoint URL');
      await refused(() => ({ aud: undefined }), 'aud does not contain a single URI');
      await refused(() => ({ usi: { foo: 'bar' } }), /^identity verification failed: /);
    },
  },
  {
    id: '§3.1',
    title: 'the token endpoint says what is wrong with a credential of the grant',
    async run(pair) {
      const foreign = await authorize(pair, { subject: pair.a.did });
      const id = string(foreign['id']);
      const reply = await ownGrant(pair, () => ({ vcs: [foreign] }));
      const text = `credentialSubject.ID ${pair.a.did} of authorization credential with ID: ${id} does not match jwt.iss: ${pair.b.did}`;
      expectRefused(reply, 'invalid_request', text);
      const ofB = await issue(pair.b.internal, { ...authorizationOf(pair), issuer: pair.b.did, visibility: 'public' });
      const other = `issuer ${pair.b.did} of authorization credential with ID: ${string(ofB['id'])} does not match jwt.sub: ${pair.a.did}`;
      expectRefused(await ownGrant(pair, () => ({ vcs: [ofB] })), 'invalid_request', other);
      expectRefused(await ownGrant(pair, () => ({ vcs: ['abc'] })), 'invalid_request', /^invalid jwt\.vcs: /);
    },
  },
];

function authorizationOf(pair: PeerPair): Json {
  return {
    type: 'NutsAuthorizationCredential',
    issuer: pair.a.did,
    credentialSubject: { id: pair.b.did, purposeOfUse: SENDER, resources: [{ path: '/Task/1', operations: ['read'] }] },
  };
}
