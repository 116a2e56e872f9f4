/** Issuing, searching, verifying and revoking credentials: statements 34 and 36 to 40, 43, 48 (the parts about did:nuts). */
import assert from 'node:assert/strict';

import {
  array,
  authorizationBody,
  authorize,
  call,
  eventually,
  expectProblem,
  expectStatus,
  inPath,
  issue,
  object,
  SENDER,
  Skipped,
  string,
  type Json,
  type PeerPair,
  type Reply,
  type Statement,
} from './peer-pair.ts';

const CONTEXTS = ['https://www.w3.org/2018/credentials/v1', 'https://nuts.nl/credentials/v1'];

function tryIssue(base: string, body: Json): Promise<Reply> {
  return call('POST', `${base}/internal/vcr/v2/issuer/vc`, { json: body });
}

function search(base: string, type: string, credentialSubject: unknown, allowUntrustedIssuer = false): Promise<Reply> {
  const query = { '@context': CONTEXTS, type: ['VerifiableCredential', type], credentialSubject };
  return call('POST', `${base}/internal/vcr/v2/search`, { json: { query, searchOptions: { allowUntrustedIssuer } } });
}

function found(reply: Reply): Json[] {
  const results = array(object(expectStatus(reply, 200).json)['verifiableCredentials']);
  return results.map((result) => object(object(result)['verifiableCredential']));
}

const ids = (credentials: readonly Json[]): unknown[] => credentials.map((credential) => credential['id']);

function revoke(base: string, id: unknown): Promise<Reply> {
  return call('DELETE', `${base}/internal/vcr/v2/issuer/vc/${inPath(string(id))}`);
}

async function issued(pair: PeerPair): Promise<Json[]> {
  const query = new URLSearchParams({ credentialType: 'NutsAuthorizationCredential', issuer: pair.a.did, subject: pair.b.did });
  const reply = await call('GET', `${pair.a.internal}/internal/vcr/v2/issuer/vc/search?${query.toString()}`);
  return array(object(expectStatus(reply, 200).json)['verifiableCredentials']).map(object);
}

export const credentialStatements: readonly Statement[] = [
  {
    id: '34',
    title: 'a did:nuts credential needs a visibility, exactly when it is published',
    async run(pair) {
      const { visibility: _, ...without } = authorizationBody(pair);
      const missing = 'visibility must be set when publishing credential';
      assert.equal(expectProblem(await tryIssue(pair.a.internal, without), 400, 'IssueVC failed'), missing);
      const both = { ...without, publishToNetwork: false, visibility: 'public' };
      const forbidden = 'visibility setting is only allowed when publishing to the network';
      assert.equal(expectProblem(await tryIssue(pair.a.internal, both), 400, 'IssueVC failed'), forbidden);
      const secret = { ...without, visibility: 'secret' };
      assert.equal(expectProblem(await tryIssue(pair.a.internal, secret), 400, 'IssueVC failed'), 'invalid value for visibility');
      expectStatus(await tryIssue(pair.a.internal, { ...without, publishToNetwork: false }), 200);
    },
  },
  {
    id: '34',
    title: 'withStatusList2021Revocation is ignored by v5 and refused by v6',
    async run(pair) {
      const reply = await tryIssue(pair.a.internal, authorizationBody(pair, { more: { withStatusList2021Revocation: true } }));
      if (pair.generation === 'v6') expectProblem(reply, 400, 'IssueVC failed');
      else assert.ok(!('credentialStatus' in object(expectStatus(reply, 200).json)));
    },
  },
  {
    id: '36',
    title: 'content that does not hold is 500: city missing, wrong operation, no operation, blank path, undefined property',
    async run(pair) {
      const organization = {
        type: 'NutsOrganizationCredential',
        issuer: pair.a.did,
        visibility: 'public',
        credentialSubject: { id: pair.a.did, organization: { name: 'X' } },
      };
      const subject = (more: Json): Json => ({
        ...authorizationBody(pair),
        credentialSubject: { id: pair.b.did, purposeOfUse: SENDER, ...more },
      });
      const wrong = [
        organization,
        subject({ resources: [{ path: '/Task/1', operations: ['fly'] }] }),
        subject({ resources: [{ path: '/Task/1', operations: [] }] }),
        subject({ resources: [{ path: ' ', operations: ['read'] }] }),
        subject({ purposeOfUse: undefined }),
        subject({ nosuchproperty: 'x' }),
        { ...authorizationBody(pair), type: 'FooCredential' },
        { ...authorizationBody(pair), expirationDate: '2027-01-01' },
      ];
      for (const body of wrong) expectProblem(await tryIssue(pair.a.internal, body), 500, 'IssueVC failed');
      const fine = subject({ resources: [{ path: '/Task/1', operations: ['READ'] }] });
      const kept = object(expectStatus(await tryIssue(pair.a.internal, fine), 200).json)['credentialSubject'];
      assert.deepEqual(object(kept)['resources'], [{ operations: ['READ'], path: '/Task/1' }]);
    },
  },
  {
    id: '36',
    title: 'an issuer that is elsewhere is 500, an unknown or malformed one 400',
    async run(pair) {
      const by = (issuer: string): Promise<Reply> => tryIssue(pair.a.internal, { ...authorizationBody(pair), issuer });
      expectProblem(await by(pair.b.did), 500, 'IssueVC failed');
      expectProblem(await by('did:nuts:7nQ7Tky6SfQ6xWpfmkTVxTV7mGU7QTtZRvSWvPWvwbdz'), 400, 'IssueVC failed');
      expectProblem(await by('abc'), 400, 'IssueVC failed');
    },
  },
  {
    id: '37',
    title:
      'an issued credential has the id <issuer>#<uuid>, the expiry as sent, lists of one collapsed; its issuer is trusted here',
    async run(pair) {
      const credential = await authorize(pair, { expirationDate: '2099-12-31T23:59:59Z' });
      const keys = ['@context', 'credentialSubject', 'expirationDate', 'id', 'issuanceDate', 'issuer', 'proof', 'type'];
      assert.deepEqual(Object.keys(credential).sort(), keys);
      const [issuer, fragment] = string(credential['id']).split('#');
      assert.equal(issuer, pair.a.did);
      assert.match(fragment ?? '', /^[0-9a-f-]{36}$/);
      assert.equal(credential['expirationDate'], '2099-12-31T23:59:59Z');
      assert.deepEqual([...array(credential['type'])].sort(), ['NutsAuthorizationCredential', 'VerifiableCredential']);
      assert.equal(object(credential['proof'])['type'], 'JsonWebSignature2020');
      array(object(credential['credentialSubject'])['resources']);
      const reply = await call('GET', `${pair.a.internal}/internal/vcr/v2/verifier/NutsAuthorizationCredential/trusted`);
      assert.ok(array(expectStatus(reply, 200).json).includes(pair.a.did));
    },
  },
  {
    id: '38',
    title: 'revoking: 200 with the revocation, then 409; unknown UUID of the own issuer 200; no UUID 400; foreign issuer 500',
    async run(pair) {
      const credential = await authorize(pair);
      const revocation = object(expectStatus(await revoke(pair.a.internal, credential['id']), 200).json);
      assert.deepEqual(Object.keys(revocation).sort(), ['@context', 'date', 'issuer', 'proof', 'subject', 'type']);
      assert.equal(revocation['subject'], credential['id']);
      assert.deepEqual(revocation['type'], ['CredentialRevocation']);
      const again = expectProblem(await revoke(pair.a.internal, credential['id']), 409, 'RevokeVC failed');
      assert.equal(again, 'credential is revoked');
      expectStatus(await revoke(pair.a.internal, `${pair.a.did}#${crypto.randomUUID()}`), 200);
      for (const malformed of [`${pair.a.did}#abc`, pair.a.did, 'abc']) {
        const detail = expectProblem(await revoke(pair.a.internal, malformed), 400, 'RevokeVC failed');
        assert.equal(detail, 'invalid credential ID');
      }
      expectProblem(await revoke(pair.a.internal, `${pair.b.did}#${crypto.randomUUID()}`), 500, 'RevokeVC failed');
    },
  },
  {
    id: '39',
    title: 'a revoked credential is still resolved, left out of the search, and shown with its revocation by the issuer search',
    async run(pair) {
      const path = `/Task/${crypto.randomUUID()}`;
      const credential = await authorize(pair, { path });
      const subject = { id: pair.b.did, resources: { path } };
      assert.deepEqual(ids(found(await search(pair.a.internal, 'NutsAuthorizationCredential', subject))), [credential['id']]);
      await revoke(pair.a.internal, credential['id']);
      const one = `${pair.a.internal}/internal/vcr/v2/vc/${inPath(string(credential['id']))}`;
      assert.deepEqual(expectStatus(await call('GET', one), 200).json, credential);
      assert.deepEqual(found(await search(pair.a.internal, 'NutsAuthorizationCredential', subject)), []);
      const entry = (await issued(pair)).find((result) => object(result['verifiableCredential'])['id'] === credential['id']);
      assert.equal(object(entry?.['revocation'])['subject'], credential['id']);
    },
  },
  {
    id: '39',
    title: 'what is unknown, malformed or unpublished is 404; what has expired is 500 and not found by a search',
    async run(pair) {
      const resolve = (id: string): Promise<Reply> => call('GET', `${pair.a.internal}/internal/vcr/v2/vc/${inPath(id)}`);
      const { visibility: _, ...body } = authorizationBody(pair);
      const unpublished = await issue(pair.a.internal, { ...body, publishToNetwork: false });
      for (const id of [`${pair.a.did}#${crypto.randomUUID()}`, 'abc', string(unpublished['id'])]) {
        assert.equal(expectProblem(await resolve(id), 404, 'ResolveVC failed'), 'credential not found');
      }
      const path = `/Task/${crypto.randomUUID()}`;
      const expired = await authorize(pair, { path, expirationDate: '2020-01-01T00:00:00Z' });
      assert.equal(
        expectProblem(await resolve(string(expired['id'])), 500, 'ResolveVC failed'),
        'credential not valid at given time',
      );
      assert.deepEqual(found(await search(pair.a.internal, 'NutsAuthorizationCredential', { resources: { path } })), []);
    },
  },
  {
    id: '39',
    title: 'the issuer search requires type and issuer, has no revocation key for what lives, and is empty for a foreign issuer',
    async run(pair) {
      const credential = await authorize(pair);
      const entry = (await issued(pair)).find((result) => object(result['verifiableCredential'])['id'] === credential['id']);
      assert.deepEqual(Object.keys(object(entry)), ['verifiableCredential']);
      const url = `${pair.b.internal}/internal/vcr/v2/issuer/vc/search?credentialType=NutsAuthorizationCredential`;
      const detail = expectProblem(await call('GET', url), 400, 'Operation failed');
      assert.equal(detail, "Invalid format for parameter issuer: query parameter 'issuer' is required");
      assert.deepEqual(found(await call('GET', `${url}&issuer=${pair.a.did}`)), []);
    },
  },
  {
    id: '40',
    title: 'organisations are found by name, by prefix with an asterisk only, and by what sounds like the name',
    async run(pair) {
      const { name, city } = pair.b.organization;
      const byName = async (term: string): Promise<unknown[]> => {
        const reply = await search(pair.a.internal, 'NutsOrganizationCredential', { organization: { name: term } });
        return found(reply).map((credential) => object(credential['credentialSubject'])['id']);
      };
      const start = name.slice(0, 5);
      assert.ok((await byName(name)).includes(pair.b.did));
      assert.ok((await byName(`${start}*`)).includes(pair.b.did));
      assert.ok((await byName(name.toLowerCase())).includes(pair.b.did));
      assert.ok(!(await byName(start)).includes(pair.b.did));
      assert.ok(!(await byName('Boekhandel*')).includes(pair.b.did));
      const byCity = await search(pair.a.internal, 'NutsOrganizationCredential', {
        organization: { name: '*', city: `${city.slice(0, 4)}*` },
      });
      assert.ok(found(byCity).some((credential) => object(credential['credentialSubject'])['id'] === pair.b.did));
    },
  },
  {
    id: '40',
    title: 'an undefined property or two subjects are 400; a list of one subject is fine; the type is no filter',
    async run(pair) {
      const at = (subject: unknown, type = 'NutsOrganizationCredential'): Promise<Reply> =>
        search(pair.a.internal, type, subject);
      expectProblem(await at({ organization: { name: '*', nosuchproperty: 'x' } }), 400, 'SearchVCs failed');
      expectProblem(await at([{ id: pair.a.did }, { id: pair.b.did }]), 400, 'SearchVCs failed');
      const organization = found(await at([{ id: pair.b.did, organization: { name: '*' } }]));
      assert.ok(organization.length > 0);
      const otherType = ids(found(await at({ id: pair.b.did }, 'NutsAuthorizationCredential')));
      assert.ok(otherType.includes(organization[0]?.['id']), 'found under another type');
      // What a type does is define the properties that can be asked for.
      expectProblem(await at({ organization: { name: '*' } }, 'NutsAuthorizationCredential'), 400, 'SearchVCs failed');
      expectProblem(await at({ purposeOfUse: SENDER }), 400, 'SearchVCs failed');
      // Nor is anything defined without the type or without the contexts.
      const credentialSubject = { organization: { name: '*' } };
      const type = ['VerifiableCredential', 'NutsOrganizationCredential'];
      for (const query of [
        { '@context': CONTEXTS, credentialSubject },
        { '@context': CONTEXTS.slice(0, 1), type, credentialSubject },
        { '@context': CONTEXTS.slice(1), type, credentialSubject },
        { type, credentialSubject },
        { credentialSubject: { id: pair.b.did } },
      ]) {
        const reply = await call('POST', `${pair.a.internal}/internal/vcr/v2/search`, { json: { query } });
        expectProblem(reply, 400, 'SearchVCs failed');
      }
    },
  },
  {
    id: '40',
    title: 'authorizations are found by path, prefix, operation, patient and purpose, exactly; case matters',
    async run(pair) {
      const path = `/Composition/${crypto.randomUUID()}`;
      const patient = 'urn:oid:2.16.840.1.113883.2.4.6.3:999911120';
      const resources = [
        { path: '/Task/x', operations: ['read'], userContext: false },
        { path, operations: ['read', 'document'], userContext: true },
      ];
      const credentialSubject = { id: pair.b.did, purposeOfUse: SENDER, subject: patient, resources };
      const credential = await issue(pair.a.internal, { ...authorizationBody(pair), credentialSubject });
      const hits = async (terms: Json): Promise<boolean> => {
        const reply = await search(pair.a.internal, 'NutsAuthorizationCredential', { id: pair.b.did, ...terms });
        return ids(found(reply)).includes(credential['id']);
      };
      for (const terms of [
        { resources: { path } },
        { resources: [{ path }] },
        { resources: { path: '/Composition/*' } },
        { resources: { operations: 'document' } },
        { resources: { userContext: true } },
        { subject: patient },
        { purposeOfUse: SENDER },
      ]) {
        assert.ok(await hits(terms), JSON.stringify(terms));
      }
      for (const terms of [{ resources: { path: path.toLowerCase() } }, { purposeOfUse: 'eOverdracht' }, { subject: '*x' }]) {
        assert.ok(!(await hits(terms)), JSON.stringify(terms));
      }
    },
  },
  {
    id: '40',
    title: 'the other node finds a public authorization only when it allows an untrusted issuer',
    async run(pair) {
      const path = `/Task/${crypto.randomUUID()}`;
      const credential = await authorize(pair, { path });
      const at = (allow: boolean): Promise<Reply> =>
        search(pair.b.internal, 'NutsAuthorizationCredential', { resources: { path } }, allow);
      await eventually(async () => assert.deepEqual(ids(found(await at(true))), [credential['id']]));
      assert.deepEqual(found(await at(false)), []);
    },
  },
  {
    id: '§4.1',
    title: 'a private credential reaches the node of its subject',
    async run(pair) {
      const path = `/Task/${crypto.randomUUID()}`;
      const reply = await tryIssue(pair.a.internal, authorizationBody(pair, { path, visibility: 'private' }));
      if (reply.status !== 200) throw new Skipped(`private credentials are not set up here: ${reply.text.slice(0, 200)}`);
      if (pair.noPrivateDelivery !== undefined) throw new Skipped(pair.noPrivateDelivery);
      const subject = { resources: { path } };
      await eventually(async () => {
        const credentials = found(await search(pair.b.internal, 'NutsAuthorizationCredential', subject, true));
        assert.deepEqual(ids(credentials), [object(reply.json)['id']]);
      }, 30_000);
    },
  },
  {
    id: '§4.1',
    title: 'a private credential for a DID without NutsComm is 412, for an unknown DID 400, and is stored as issued all the same',
    async run(pair) {
      const made = expectStatus(await call('POST', `${pair.a.internal}/internal/vdr/v1/did`, { json: {} }), 200);
      const subject = string(object(made.json)['id']);
      const to = (did: string): Promise<Reply> =>
        tryIssue(pair.a.internal, authorizationBody(pair, { visibility: 'private', subject: did }));
      expectProblem(await to(subject), 412, 'IssueVC failed');
      const unknown = await to('did:nuts:7nQ7Tky6SfQ6xWpfmkTVxTV7mGU7QTtZRvSWvPWvwbdz');
      if (unknown.status === 412 && pair.noPrivateDelivery !== undefined) throw new Skipped(pair.noPrivateDelivery);
      expectProblem(unknown, 400, 'IssueVC failed');
      const query = new URLSearchParams({ credentialType: 'NutsAuthorizationCredential', issuer: pair.a.did, subject });
      const stored = await call('GET', `${pair.a.internal}/internal/vcr/v2/issuer/vc/search?${query.toString()}`);
      assert.equal(found(stored).length, 1);
    },
  },
  {
    id: '43',
    title: 'verifying: valid, untrusted, revoked, expired, changed',
    async run(pair) {
      const verify = async (base: string, credential: Json, allowUntrustedIssuer = false): Promise<unknown> => {
        const json = { verifiableCredential: credential, verificationOptions: { allowUntrustedIssuer } };
        return expectStatus(await call('POST', `${base}/internal/vcr/v2/verifier/vc`, { json }), 200).json;
      };
      const credential = await authorize(pair);
      assert.deepEqual(await verify(pair.a.internal, credential), { validity: true });
      const untrusted = { message: 'credential issuer is untrusted', validity: false };
      assert.deepEqual(await verify(pair.b.internal, credential), untrusted);
      assert.deepEqual(await verify(pair.b.internal, credential, true), { validity: true });
      const subject = { ...object(credential['credentialSubject']), purposeOfUse: 'other' };
      const changed = object(await verify(pair.a.internal, { ...credential, credentialSubject: subject }));
      assert.equal(changed['validity'], false);
      assert.match(string(changed['message']), /invalid proof signature|verification failed/);
      const expired = await authorize(pair, { expirationDate: '2020-01-01T00:00:00Z' });
      const late = { message: 'credential not valid at given time', validity: false };
      assert.deepEqual(await verify(pair.a.internal, expired), late);
      await revoke(pair.a.internal, credential['id']);
      assert.deepEqual(await verify(pair.a.internal, credential), { message: 'credential is revoked', validity: false });
    },
  },
  {
    id: '48',
    title: 'of 31 quick issue calls at least one is 429 when the limiter is on',
    async run(pair) {
      const { limited } = pair;
      if (limited === undefined) throw new Skipped('no node with the rate limiter on');
      const body = { ...authorizationBody(pair), issuer: limited.did };
      const statuses: number[] = [];
      for (let number = 0; number < 31; number += 1) statuses.push((await tryIssue(limited.internal, body)).status);
      assert.ok(statuses.includes(429), statuses.join(' '));
      assert.ok(statuses.includes(200), statuses.join(' '));
    },
  },
];
