/** Services of DID documents, the organisation search, and operations: statements 44 and 49, facts §5.1 and §7. */
import assert from 'node:assert/strict';

import {
  array,
  call,
  expectProblem,
  expectStatus,
  FHIR_ENDPOINT,
  inPath,
  object,
  SENDER,
  Skipped,
  string,
  type Json,
  type PeerPair,
  type Reply,
  type Statement,
} from './peer-pair.ts';

const DIDMAN = '/internal/didman/v1';
const UNKNOWN = 'did:nuts:7nQ7Tky6SfQ6xWpfmkTVxTV7mGU7QTtZRvSWvPWvwbdz';

/** A new DID on node A and calls about its services. */
async function newDid(pair: PeerPair): Promise<{
  did: string;
  endpoint: (type: string, endpoint: string) => Promise<Reply>;
  compound: (type: string, serviceEndpoint: Json) => Promise<Reply>;
  remove: (type: string) => Promise<Reply>;
  resolve: (service: string, type: string) => Promise<Reply>;
}> {
  const made = expectStatus(await call('POST', `${pair.a.internal}/internal/vdr/v1/did`, { json: {} }), 200);
  const did = string(object(made.json)['id']);
  const base = `${pair.a.internal}${DIDMAN}/did/${did}`;
  return {
    did,
    endpoint: (type, endpoint) => call('POST', `${base}/endpoint`, { json: { type, endpoint } }),
    compound: (type, serviceEndpoint) => call('POST', `${base}/compoundservice`, { json: { type, serviceEndpoint } }),
    remove: (type) => call('DELETE', `${base}/endpoint/${type}`),
    resolve: (service, type) => call('GET', `${base}/compoundservice/${service}/endpoint/${type}`),
  };
}

const refer = (did: string, type: string): string => `${did}/serviceEndpoint?type=${type}`;

export const registryStatements: readonly Statement[] = [
  {
    id: '44',
    title: 'an endpoint of a compound service is resolved, as JSON or, for exactly text/plain, as text; at both nodes',
    async run(pair) {
      for (const base of [pair.a.internal, pair.b.internal]) {
        const url = `${base}${DIDMAN}/did/${pair.a.did}/compoundservice/${SENDER}/endpoint/fhir`;
        assert.deepEqual(expectStatus(await call('GET', url), 200).json, { endpoint: FHIR_ENDPOINT });
        const plain = await call('GET', url, { headers: { accept: 'text/plain' } });
        assert.equal(plain.type, 'text/plain');
        assert.equal(plain.text, FHIR_ENDPOINT);
        const both = await call('GET', url, { headers: { accept: 'text/plain, */*' } });
        assert.equal(both.type, 'application/json');
        const encoded = url.replace(pair.a.did, encodeURIComponent(pair.a.did));
        expectStatus(await call('GET', encoded), 200);
      }
    },
  },
  {
    id: '44',
    title: 'unknown or plain service 406; unknown endpoint type or DID 404; malformed DID 400',
    async run(pair) {
      const title = 'GetCompoundServiceEndpoint failed';
      const at = (did: string, service: string, type: string): Promise<Reply> =>
        call('GET', `${pair.a.internal}${DIDMAN}/did/${did}/compoundservice/${service}/endpoint/${type}`);
      const detail =
        'referenced service does not resolve to a single endpoint URL: unable to resolve compound service: service not found in DID Document';
      assert.equal(expectProblem(await at(pair.a.did, 'nope', 'fhir'), 406, title), detail);
      expectProblem(await at(pair.a.did, 'NutsComm', 'fhir'), 406, title);
      assert.equal(expectProblem(await at(pair.a.did, SENDER, 'nope'), 404, title), 'service not found in DID Document');
      assert.equal(expectProblem(await at(UNKNOWN, SENDER, 'fhir'), 404, title), 'unable to find the DID document');
      expectProblem(await at('abc', SENDER, 'fhir'), 400, title);
    },
  },
  {
    id: '44',
    title: 'five references resolve, a sixth and a loop are refused when written',
    async run(pair) {
      const own = await newDid(pair);
      expectStatus(await own.endpoint('c0', 'https://chain.example'), 200);
      for (let link = 1; link <= 5; link += 1) expectStatus(await own.endpoint(`c${link}`, refer(own.did, `c${link - 1}`)), 200);
      expectStatus(await own.compound('deep', { oauth: refer(own.did, 'c4') }), 200);
      assert.deepEqual(expectStatus(await own.resolve('deep', 'oauth'), 200).json, { endpoint: 'https://chain.example' });
      const text =
        'update DID document: invalid service: service references are nested to deeply before resolving to a non-reference';
      assert.equal(expectProblem(await own.endpoint('c6', refer(own.did, 'c5')), 400, 'AddEndpoint failed'), text);
      assert.equal(expectProblem(await own.endpoint('loop', refer(own.did, 'loop')), 400, 'AddEndpoint failed'), text);
    },
  },
  {
    id: '§5.1',
    title: 'services: duplicate 409, missing target 404, blank type 400, foreign DID 400 (v5) or 500 (v6), NutsComm must be grpc',
    async run(pair) {
      const own = await newDid(pair);
      expectStatus(await own.endpoint('x', 'https://x.example'), 200);
      expectProblem(await own.endpoint('x', 'https://y.example'), 409, 'AddEndpoint failed');
      expectProblem(await own.compound('broken', { oauth: refer(own.did, 'missing') }), 404, 'AddCompoundService failed');
      expectProblem(await own.endpoint('  ', 'https://x.example'), 400, 'AddEndpoint failed');
      const addresses = [
        ['https://x.nl', 'scheme must be grpc'],
        ['grpc://127.0.0.1:5555', 'hostname is IP'],
        ['grpc://localhost:5555', 'hostname is reserved'],
        ['grpc://node.example.com', 'hostname is reserved'],
      ] as const;
      for (const [address, why] of addresses) {
        const detail = expectProblem(await own.endpoint('NutsComm', address), 400, 'AddEndpoint failed');
        // v6 says "RFC2606 reserved".
        assert.equal(detail.replace('RFC2606 ', ''), `update DID document: invalid service: NutsComm: ${why}`);
      }
      const foreign = `${pair.a.internal}${DIDMAN}/did/${pair.b.did}/endpoint`;
      const reply = await call('POST', foreign, { json: { type: 'zzz', endpoint: 'https://x.example' } });
      expectProblem(reply, pair.generation === 'v5' ? 400 : 500, 'AddEndpoint failed');
    },
  },
  {
    id: '§5.1',
    title:
      'deleting: 409 when the same document refers to it, 204 when another does, which then cannot be changed until it is mended',
    async run(pair) {
      const vendor = await newDid(pair);
      const own = await newDid(pair);
      expectStatus(await own.endpoint('same', 'https://same.example'), 200);
      expectStatus(await own.compound('uses', { oauth: refer(own.did, 'same') }), 200);
      expectProblem(await own.remove('same'), 409, 'DeleteEndpointsByType failed');
      expectStatus(await vendor.endpoint('elsewhere', 'https://elsewhere.example'), 200);
      const made = expectStatus(await own.compound('other', { oauth: refer(vendor.did, 'elsewhere') }), 200);
      expectStatus(await vendor.remove('elsewhere'), 204);
      expectProblem(await own.resolve('other', 'oauth'), 404, 'GetCompoundServiceEndpoint failed');
      expectProblem(await own.endpoint('unrelated', 'https://x.example'), 404, 'AddEndpoint failed');
      const service = string(object(made.json)['id']);
      expectStatus(await call('DELETE', `${pair.a.internal}${DIDMAN}/service/${inPath(service)}`), 204);
      expectStatus(await own.endpoint('unrelated', 'https://x.example'), 200);
      expectProblem(await own.remove('nope'), 404, 'DeleteEndpointsByType failed');
    },
  },
  {
    id: '§5.1',
    title: 'a service is changed in place; the list has the compound ones only',
    async run(pair) {
      const own = await newDid(pair);
      const base = `${pair.a.internal}${DIDMAN}/did/${own.did}`;
      expectStatus(await own.endpoint('plain', 'https://x.example'), 200);
      expectStatus(await own.compound('c', { oauth: 'https://one.example' }), 200);
      const json = { serviceEndpoint: { oauth: 'https://two.example' } };
      const changed = expectStatus(await call('PUT', `${base}/compoundservice/c`, { json }), 200);
      assert.equal(object(changed.json)['type'], 'c');
      const services = array(expectStatus(await call('GET', `${base}/compoundservice`), 200).json).map(object);
      assert.deepEqual(
        services.map(({ type, serviceEndpoint }) => ({ type, serviceEndpoint })),
        [{ type: 'c', ...json }],
      );
      assert.deepEqual(expectStatus(await own.resolve('c', 'oauth'), 200).json, { endpoint: 'https://two.example' });
    },
  },
  {
    id: '§5.1',
    title: 'organisations are found by the start of a word of their name, whatever its case, and by service; query is required',
    async run(pair) {
      const { name, city } = pair.a.organization;
      const at = (query: string): Promise<Reply> => call('GET', `${pair.b.internal}${DIDMAN}/search/organizations?${query}`);
      const named = async (query: string, service = SENDER): Promise<Json[]> => {
        const reply = await at(new URLSearchParams({ query, didServiceType: service }).toString());
        return array(expectStatus(reply, 200).json).map(object);
      };
      const start = name.slice(0, 5);
      for (const query of [name, start, start.toLowerCase(), name.split(' ').at(-1) ?? '', '', '*']) {
        const hit = (await named(query)).find(({ didDocument }) => object(didDocument)['id'] === pair.a.did);
        assert.deepEqual(hit?.['organization'], { city, name }, `by "${query}"`);
      }
      assert.deepEqual(await named('Boekhandel'), []);
      assert.deepEqual(await named(start, 'nope'), []);
      const detail = expectProblem(await at(`didServiceType=${SENDER}`), 400, 'Operation failed');
      assert.equal(detail, "Invalid format for parameter query: query parameter 'query' is required");
    },
  },
  {
    id: '§5.1',
    title: 'contact information is 404 until it is put',
    async run(pair) {
      const own = await newDid(pair);
      const url = `${pair.a.internal}${DIDMAN}/did/${own.did}/contactinfo`;
      expectProblem(await call('GET', url), 404, 'GetContactInformation failed');
      const json = { name: 'Vendor', email: 'info@a.example', phone: '0612345678', website: 'https://a.example' };
      assert.deepEqual(expectStatus(await call('PUT', url, { json }), 200).json, json);
      assert.deepEqual(expectStatus(await call('GET', url), 200).json, json);
    },
  },
  {
    id: '§5.2',
    title: 'a DID document is resolved with its metadata; unknown 404, malformed 400',
    async run(pair) {
      const at = (did: string): Promise<Reply> => call('GET', `${pair.b.internal}/internal/vdr/v1/did/${did}`);
      const resolved = object(expectStatus(await at(pair.a.did), 200).json);
      assert.deepEqual(Object.keys(resolved).sort(), ['document', 'documentMetadata']);
      assert.equal(object(resolved['document'])['id'], pair.a.did);
      assert.equal(object(resolved['documentMetadata'])['deactivated'], false);
      assert.equal(expectProblem(await at(UNKNOWN), 404, 'GetDID failed'), 'unable to find the DID document');
      expectProblem(await at('notadid'), 400, 'GetDID failed');
    },
  },
  {
    id: '§0.1',
    title: 'unknown paths are 404, wrong methods 405 with Allow, both problems of no operation',
    async run(pair) {
      const unknown = await call('GET', `${pair.a.internal}/internal/auth/v1/doesnotexist`);
      assert.equal(expectProblem(unknown, 404, 'Operation failed'), 'Not Found');
      const wrong = await call('GET', `${pair.a.internal}/internal/auth/v1/accesstoken/introspect`);
      assert.equal(expectProblem(wrong, 405, 'Operation failed'), 'Method Not Allowed');
      assert.equal(wrong.headers.get('allow'), 'OPTIONS, POST');
      const v2 = await call('POST', `${pair.a.internal}/internal/auth/v2/accesstoken/introspect`, { form: { token: 'x' } });
      assert.equal(v2.status, pair.hasV2 ? 200 : 404);
    },
  },
  {
    id: '§7',
    title: 'status, health, diagnostics and metrics answer',
    async run(pair) {
      const status = expectStatus(await call('GET', `${pair.a.public}/status`), 200);
      assert.equal(status.text, 'OK');
      assert.match(status.type, /^text\/plain/);
      const reply = await call('GET', `${pair.a.internal}/health`);
      const health = object(reply.json);
      assert.deepEqual(Object.keys(health), ['status', 'details']);
      assert.equal(health['status'], reply.status === 200 ? 'UP' : 'DOWN');
      for (const component of Object.values(object(health['details']))) string(object(component)['status']);
      const url = `${pair.a.internal}/status/diagnostics`;
      const diagnostics = object(expectStatus(await call('GET', url, { headers: { accept: 'application/json' } }), 200).json);
      string(object(diagnostics['status'])['software_version']);
      assert.match(expectStatus(await call('GET', url), 200).type, /^text\/plain/);
      assert.match(expectStatus(await call('GET', `${pair.a.internal}/metrics`), 200).type, /^text\/plain/);
    },
  },
  {
    id: '49',
    title: 'health that is DOWN is 503 and names the component',
    async run(pair) {
      pair.setHealth?.(false);
      try {
        const reply = await call('GET', `${pair.a.internal}/health`);
        if (pair.setHealth === undefined && reply.status === 200)
          throw new Skipped('this node is healthy and cannot be told otherwise');
        const health = object(expectStatus(reply, 503).json);
        assert.equal(health['status'], 'DOWN');
        const down = Object.values(object(health['details']))
          .map(object)
          .filter((component) => component['status'] === 'DOWN');
        assert.ok(down.length > 0);
        for (const component of down) assert.ok('details' in component);
      } finally {
        pair.setHealth?.(true);
      }
    },
  },
];
