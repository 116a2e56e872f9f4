/** Subjects, did:web credentials, wallets, discovery and operations: statements 35 to 43, 45 to 48, facts §4 to §6 and §8.7. */
import assert from 'node:assert/strict';
import { gunzipSync } from 'node:zlib';

import { calculateJwkThumbprint, importJWK, SignJWT } from 'jose';

import { array, call, eventually, expectProblem, expectStatus, object, Skipped, string, type Json } from '../peer-pair.ts';
import {
  authorizationServer,
  issueAt,
  issued,
  loadInto,
  newSubject,
  organizationBody,
  revoke,
  type WebNodes,
  type WebPeer,
  type WebStatement,
} from './web-nodes.ts';

const ISSUE = 'IssueVC failed';

async function bitOf(credential: Json): Promise<number> {
  const status = object(credential['credentialStatus']);
  const index = Number(status['statusListIndex']);
  const reply = expectStatus(await call('GET', string(status['statusListCredential'])), 200);
  assert.equal(reply.headers.get('cache-control'), 'max-age=300');
  const subject = object(array(object(reply.json)['credentialSubject'])[0]);
  const bits = gunzipSync(Buffer.from(string(subject['encodedList']), 'base64url'));
  assert.equal(bits.length, 16_384);
  return ((bits[index >> 3] ?? 0) >> (7 - (index & 7))) & 1;
}

const wallet = ({ internal, subject }: WebPeer, path = ''): string => `${internal}/internal/vcr/v2/holder/${subject}/vc${path}`;

const verified = async (nodes: WebNodes, verifiableCredential: unknown): Promise<Json> => {
  const url = `${nodes.a.internal}/internal/vcr/v2/verifier/vc`;
  return object(expectStatus(await call('POST', url, { json: { verifiableCredential } }), 200).json);
};

export const holdingStatements: readonly WebStatement[] = [
  {
    id: '35, 36',
    title: 'a did:web credential needs an end or a status option, takes no visibility and one type, and is checked',
    async run({ a, b }) {
      const refused = async (status: number, body: Json): Promise<string> => expectProblem(await issueAt(b, body), status, ISSUE);
      const usual = organizationBody(b.did, b);
      assert.match(await refused(400, organizationBody(b.did, b, {})), /withStatusList2021Revocation MUST be provided/);
      assert.match(await refused(400, { ...usual, visibility: 'public' }), /illegal option 'visibility'/);
      assert.match(await refused(400, { ...usual, publishToNetwork: false }), /illegal option 'publishToNetwork'/);
      const types = ['NutsOrganizationCredential', 'NutsEmployeeCredential'];
      assert.match(await refused(400, { ...usual, type: types }), /at most 1 extra type/);
      assert.equal(await refused(400, { ...usual, issuer: 'did:key:z6Mk' }), 'unsupported DID method: key');
      assert.equal(await refused(500, { ...usual, format: 'nonsense' }), 'unsupported credential proof format');
      const credentialSubject = { id: b.did, organization: { name: 'X' } };
      assert.match(await refused(500, { ...usual, credentialSubject }), /city/);
      const resources = [{ path: '/Task/1', operations: ['write'] }];
      const authorization = { id: b.did, purposeOfUse: 'care', resources };
      const body = { ...usual, type: 'NutsAuthorizationCredential', credentialSubject: authorization };
      assert.match(await refused(500, body), /invalid operation 'write'/);
      for (const more of [{ withStatusList2021Revocation: false }, { expirationDate: '2099-01-01T00:00:00Z' }]) {
        const made = await issued(a, organizationBody(a.did, b, more));
        assert.ok(!Object.hasOwn(made, 'credentialStatus'));
      }
    },
  },
  {
    id: '37',
    title: 'the id is the issuer’s, the issuer trusts itself, and a JWT credential is a text',
    async run({ b }) {
      const made = await issued(b, organizationBody(b.did, b));
      assert.match(string(made['id']).slice(b.did.length), /^#[0-9a-f-]{36}$/);
      assert.ok(string(made['id']).startsWith(b.did));
      assert.deepEqual([...array(made['type'])].sort(), ['NutsOrganizationCredential', 'VerifiableCredential']);
      const trusted = await call('GET', `${b.internal}/internal/vcr/v2/verifier/NutsOrganizationCredential/trusted`);
      assert.ok(array(expectStatus(trusted, 200).json).includes(b.did));
      const reply = expectStatus(await issueAt(b, { ...organizationBody(b.did, b), format: 'jwt_vc' }), 200);
      assert.match(string(reply.json), /^[\w-]+\.[\w-]+\.[\w-]+$/);
    },
  },
  {
    id: '38, 39, 42',
    title: 'revoking is 204, then 409, and flips the bit in the public list; the searches say so; resolving is for did:nuts',
    async run(nodes) {
      const { b } = nodes;
      const made = await issued(b, organizationBody(b.did, b));
      const id = string(made['id']);
      assert.equal(await bitOf(made), 0);
      assert.deepEqual(await verified(nodes, made), { validity: true });
      expectStatus(await revoke(b, id), 204);
      expectProblem(await revoke(b, id), 409, 'RevokeVC failed');
      assert.equal(await bitOf(made), 1);
      const { validity, message } = await verified({ ...nodes, a: b }, made);
      assert.deepEqual([validity, message], [false, 'credential is revoked']);
      expectProblem(await revoke(b, `${b.did}#00000000-0000-0000-0000-000000000000`), 404, 'RevokeVC failed');
      expectProblem(await revoke(b, 'nonsense'), 400, 'RevokeVC failed');
      const unrevocable = await issued(b, organizationBody(b.did, b, { withStatusList2021Revocation: false }));
      expectProblem(await revoke(b, string(unrevocable['id'])), 400, 'RevokeVC failed');

      const query = new URLSearchParams({ credentialType: 'NutsOrganizationCredential', issuer: b.did });
      const search = await call('GET', `${b.internal}/internal/vcr/v2/issuer/vc/search?${query.toString()}`);
      const hits = array(object(expectStatus(search, 200).json)['verifiableCredentials']).map(object);
      const whole = hits.filter((hit) => typeof hit['verifiableCredential'] === 'object');
      const revocation = whole.find((hit) => object(hit['verifiableCredential'])['id'] === id)?.['revocation'];
      assert.deepEqual(revocation, { issuer: b.did, subject: id, reason: 'revocation', date: '1970-01-01T00:00:00Z' });
      const resolved = await call('GET', `${b.internal}/internal/vcr/v2/vc/${encodeURIComponent(id)}`);
      expectProblem(resolved, 404, 'ResolveVC failed');
    },
  },
  {
    id: '41',
    title: 'a wallet takes its subject’s credentials only; what is revoked is not listed but found; deleting needs plain colons',
    async run({ b }) {
      const holder = await newSubject(b);
      const made = await issued(b, organizationBody(b.did, holder));
      const id = string(made['id']);
      expectProblem(await loadInto(b, made), 400, 'LoadVC failed');
      expectProblem(await loadInto({ ...b, subject: 'nobody' }, made), 404, 'LoadVC failed');
      expectProblem(await loadInto(holder, { ...made, issuanceDate: '2020-01-01T00:00:00Z' }), 400, 'LoadVC failed');
      expectStatus(await loadInto(holder, made), 204);
      expectStatus(await loadInto(holder, made), 204);
      assert.equal(array((await call('GET', wallet(holder))).json).length, 1);
      expectStatus(await revoke(b, id), 204);
      assert.deepEqual((await call('GET', wallet(holder))).json, []);
      const found = array(object((await call('GET', wallet(holder, '/search'))).json)['verifiableCredentials']).map(object);
      assert.deepEqual(found[0]?.['revocation'], { issuer: b.did, subject: id, date: '0001-01-01T00:00:00Z' });
      expectProblem(await loadInto(holder, made), 409, 'LoadVC failed');
      const remove = (path: string) => call('DELETE', wallet(holder, `/${path}`));
      const plain = id.replaceAll('%', '%25').replaceAll('#', '%23');
      expectProblem(await remove(encodeURIComponent(id)), 404, 'RemoveCredentialFromWallet failed');
      expectStatus(await remove(plain), 204);
      expectProblem(await remove(plain), 404, 'RemoveCredentialFromWallet failed');
    },
  },
  {
    id: '43',
    title: 'a did:web issuer that is not trusted verifies all the same; a changed credential does not',
    async run(nodes) {
      const issuer = await newSubject(nodes.b);
      const made = await issued(nodes.b, organizationBody(issuer.did, nodes.b));
      const json = { issuer: issuer.did, credentialType: 'NutsOrganizationCredential' };
      expectStatus(await call('DELETE', `${nodes.a.internal}/internal/vcr/v2/verifier/trust`, { json }), 204);
      assert.deepEqual(await verified(nodes, made), { validity: true });
      assert.equal((await verified(nodes, { ...made, issuanceDate: '2020-01-01T00:00:00Z' }))['validity'], false);
      const jwt = expectStatus(await issueAt(nodes.b, { ...organizationBody(issuer.did, nodes.b), format: 'jwt_vc' }), 200);
      assert.deepEqual(await verified(nodes, jwt.json), { validity: true });
    },
  },
  {
    id: '45',
    title: 'a subject is made once, is listed, resolves publicly below the node’s URL, and ends for good',
    async run({ a }) {
      const url = `${a.internal}/internal/vdr/v2/subject`;
      const made = await newSubject(a);
      const again = await call('POST', url, { json: { subject: made.subject } });
      assert.match(expectProblem(again, 409, 'CreateSubject failed'), /already exists/);
      assert.deepEqual(object((await call('GET', url)).json)[made.subject], [made.did]);
      assert.deepEqual((await call('GET', `${url}/${made.subject}`)).json, [made.did]);
      expectProblem(await call('GET', `${url}/nobody`), 404, 'SubjectDIDs failed');
      expectProblem(await call('POST', url, { json: { subject: 'a b/1' } }), 400, 'CreateSubject failed');
      expectProblem(await call('POST', url, { raw: '{"subject":"x"}' }), 415, 'Operation failed');
      const host = encodeURIComponent(new URL(a.public).host);
      assert.match(made.did, new RegExp(`^did:web:${host}:iam:[0-9a-f-]{36}$`));
      const uuid = made.did.split(':').at(-1) ?? '';
      const document = await call('GET', `${a.public}/iam/${uuid}/did.json`);
      assert.equal(object(expectStatus(document, 200).json)['id'], made.did);
      assert.equal(document.headers.get('cache-control'), 'max-age=300');
      const resolved = await call('GET', `${a.internal}/internal/vdr/v2/did/${made.did}`);
      assert.equal(object(object(expectStatus(resolved, 200).json)['document'])['id'], made.did);
      expectStatus(await call('DELETE', `${url}/${made.subject}`), 204);
      expectStatus(await call('GET', `${a.public}/iam/${uuid}/did.json`), 404);
      expectProblem(await call('GET', `${a.internal}/internal/vdr/v2/did/${made.did}`), 409, 'ResolveDID failed');
    },
  },
  {
    id: '§5.2',
    title: 'services of a subject: added twice it is one, listed by type only, nothing is null',
    async run({ a }) {
      const made = await newSubject(a);
      const url = `${a.internal}/internal/vdr/v2/subject/${made.subject}/service`;
      const json = { type: 'fhir', serviceEndpoint: 'https://rs.example/fhir' };
      const first = array(expectStatus(await call('POST', url, { json }), 200).json);
      assert.deepEqual(array(expectStatus(await call('POST', url, { json }), 200).json), first);
      assert.deepEqual((await call('GET', `${url}?type=fhir`)).json, first);
      assert.equal((await call('GET', url)).json, null);
      assert.equal((await call('GET', `${url}?type=fhir&endpointType=object`)).json, null);
      const id = string(object(first[0])['id']).split('#')[1] ?? '';
      expectStatus(await call('DELETE', `${url}/%23${id}`), 204);
      assert.equal((await call('GET', `${url}?type=fhir`)).json, null);
    },
  },
  {
    id: '46',
    title: 'a discovery service wants the credentials, then shows who is there, by name, prefix and anything',
    async run({ a, b }) {
      const base = `${b.internal}/internal/discovery/v1`;
      const service = `${base}/care-services`;
      const nobody = await newSubject(b);
      expectProblem(await call('POST', `${service}/${nobody.subject}`, { json: {} }), 412, 'ActivateServiceForSubject failed');
      expectProblem(await call('POST', `${base}/unknown/${b.subject}`, { json: {} }), 404, 'ActivateServiceForSubject failed');
      expectProblem(await call('GET', `${base}/unknown`), 404, 'SearchPresentations failed');
      assert.deepEqual((await call('GET', `${service}/${nobody.subject}`)).json, { activated: false });
      expectStatus(await call('POST', `${service}/${b.subject}`, { json: {} }), 200);
      const status = object((await call('GET', `${service}/${b.subject}`)).json);
      assert.deepEqual([status['activated'], status['status']], [true, 'active']);
      assert.equal(array(status['vp']).length, 1);

      const found = async (at: WebPeer, query: string): Promise<Json[]> =>
        array(expectStatus(await call('GET', `${at.internal}/internal/discovery/v1/care-services?${query}`), 200).json)
          .map(object)
          .filter((hit) => hit['credential_subject_id'] === b.did);
      const name = 'credentialSubject.organization.name';
      const start = encodeURIComponent(b.organization.name.slice(0, 5));
      for (const query of ['', `${name}=*`, `${name}=${start}*`, `${name}=${start.toLowerCase()}*`]) {
        assert.equal((await found(b, query)).length, 1, query);
      }
      assert.deepEqual(await found(b, `${name}=${start}`), []);
      assert.deepEqual(await found(b, `${name}=*&credentialSubject.organization.city=Nowhere`), []);
      const [hit] = await found(b, '');
      assert.deepEqual(hit?.['fields'], { nothing: null, organization_name: b.organization.name });
      assert.deepEqual(hit['registrationParameters'], {});
      await eventually(async () => assert.equal((await found(a, `${name}=*`)).length, 1));
      expectStatus(await call('DELETE', `${service}/${b.subject}`), 200);
      assert.deepEqual((await call('GET', `${service}/${b.subject}`)).json, { activated: false });
    },
  },
  {
    id: '47',
    title: 'token_v2: whoever does not prove who calls gets 401 Unauthorized and no reason; status and health are open',
    async run({ guarded }) {
      if (guarded === undefined) throw new Skipped('no node here wants token_v2');
      const { internal, audience, name, key } = guarded;
      const { d: _, ...publicJwk } = key;
      const kid = await calculateJwkThumbprint(publicJwk);
      const privateKey = await importJWK(key, 'ES256');
      const now = Math.floor(Date.now() / 1000);
      const usual = {
        iss: name,
        sub: 'sluis',
        aud: audience,
        iat: now - 30,
        nbf: now - 30,
        exp: now + 300,
        jti: crypto.randomUUID(),
      };
      const token = (claims: Json = {}, header: Json = {}): Promise<string> =>
        new SignJWT({ ...usual, ...claims }).setProtectedHeader({ alg: 'ES256', kid, typ: 'JWT', ...header }).sign(privateKey);
      const asked = (authorization?: string) =>
        call('GET', `${internal}/internal/vdr/v2/subject`, authorization === undefined ? {} : { headers: { authorization } });
      for (const scheme of ['Bearer', 'bearer', 'BEARER']) expectStatus(await asked(`${scheme} ${await token()}`), 200);
      expectStatus(await asked(`Bearer ${await token({ aud: ['other', audience] })}`), 200);
      const refused = [
        undefined,
        'Bearer',
        `Basic ${await token()}`,
        `Bearer ${await token()} more`,
        `Bearer ${await token({ aud: 'other' })}`,
        `Bearer ${await token({ iss: 'other' })}`,
        `Bearer ${await token({ sub: '' })}`,
        `Bearer ${await token({ exp: now + 24.52 * 3600 })}`,
        `Bearer ${await token({ exp: now - 2 })}`,
        `Bearer ${await token({ jti: 'no-uuid' })}`,
        `Bearer ${await token({ jti: undefined })}`,
        `Bearer ${await token({ nbf: now + 5 })}`,
        `Bearer ${await token({ iat: now, nbf: now - 10 })}`,
        `Bearer ${await token({}, { kid: 'unknown' })}`,
        `Bearer ${await token({}, { jwk: publicJwk })}`,
      ];
      for (const authorization of refused) {
        const reply = expectStatus(await asked(authorization), 401);
        assert.match(reply.type, /^text\/plain/);
        assert.equal(reply.text, 'Unauthorized');
        assert.equal(reply.headers.get('www-authenticate'), null);
      }
      expectStatus(await call('GET', `${internal}/internal/nope`), 401);
      for (const path of ['/status', '/health']) expectStatus(await call('GET', `${internal}${path}`), 200);
    },
  },
  {
    id: '48',
    title: 'with the limiter on, the 31st quick change is 429, without Retry-After',
    async run({ limited }) {
      if (limited === undefined) throw new Skipped('no node here has the limiter on');
      const statuses: number[] = [];
      for (let nr = 0; nr < 31; nr += 1) {
        const reply = await call('POST', `${limited.internal}/internal/vdr/v2/subject`, { json: {} });
        statuses.push(reply.status);
        if (reply.status !== 429) continue;
        assert.equal(expectProblem(reply, 429, 'Operation failed'), 'rate limit exceeded');
        assert.equal(reply.headers.get('retry-after'), null);
      }
      assert.deepEqual(statuses.filter((status) => status === 200).length, 30);
      assert.equal(statuses.at(-1), 429);
    },
  },
  {
    id: '§3.5 public',
    title: 'metadata name every endpoint below the issuer',
    async run({ a }) {
      const issuer = authorizationServer(a);
      const reply = await call('GET', `${a.public}/.well-known/oauth-authorization-server/oauth2/${a.subject}`);
      const said = object(expectStatus(reply, 200).json);
      assert.equal(said['token_endpoint'], `${issuer}/token`);
      assert.equal(said['presentation_definition_endpoint'], `${issuer}/presentation_definition`);
      assert.ok(array(said['grant_types_supported']).includes('vp_token-bearer'));
      assert.ok(!array(said['dpop_signing_alg_values_supported']).includes('RS256'));
      assert.ok(array(said['did_methods_supported']).includes('web'));
    },
  },
];
