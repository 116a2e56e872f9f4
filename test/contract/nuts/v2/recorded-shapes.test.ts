/**
 * The simulator's answers of generation v2 beside those that a real v6.2.10 node gave (`nuts-recorded/` of the test data): status, content
 * type, and the shape of the body down to its leaves. Problems are compared word for word, but for identifiers and addresses.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { createClock } from '../../../../src/clock.ts';
import { discoverySchema, policySchema } from '../../../../src/sandbox/node/iam/definition.ts';
import { createSimulatedNetwork, startSimulatedNode, type Policy } from '../../../../src/sandbox/node/index.ts';
import { call, expectStatus, object, string, type Json, type Reply } from '../peer-pair.ts';
import { compared, readRecorded, type Compared } from '../shapes.ts';
import { employee } from './statements-introspection.ts';
import { discoveryAt, POLICY_FILE, WEB_ORGANIZATIONS } from './statements.ts';
import {
  authorizationServer,
  bearerToken,
  boundToken,
  createProof,
  issueAt,
  issued,
  loadInto,
  newSubject,
  organizationBody,
  ownGrant,
  proofFor,
  redeem,
  requestToken,
  revoke,
  tokenAnswer,
  type WebNodes,
} from './web-nodes.ts';

const data = resolve(import.meta.dirname, '../../../..', process.env['SLUIS_TEST_DATA'] ?? '../shared/data');
const folder = join(data, 'nuts-recorded/v6.2.10-web');
const file = join(folder, 'exchanges.json');

const introspection = (nodes: WebNodes, token: string, how = '', headers?: Record<string, string>): Promise<Reply> => {
  const url = `${nodes.a.internal}/internal/auth/v2/accesstoken/introspect${how}`;
  return headers === undefined
    ? call('POST', url, { form: { token } })
    : call('POST', url, { raw: `token=${token}`, headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers } });
};
const employeeToken = async (nodes: WebNodes, token_type: string): Promise<string> =>
  string((await tokenAnswer(nodes, { scope: 'employee', token_type, credentials: [employee()] }))['access_token']);
const validation = async (nodes: WebNodes, more: Json = {}): Promise<Reply> => {
  const bound = await boundToken(nodes);
  const htu = 'https://rs.example/fhir/Patient/1';
  const said = object((await introspection(nodes, bound.token)).json);
  const usual = {
    dpop_proof: await proofFor(nodes, bound, 'GET', htu),
    method: 'GET',
    thumbprint: string(object(said['cnf'])['jkt']),
    token: bound.token,
    url: htu,
  };
  return call('POST', `${nodes.a.internal}/internal/auth/v2/dpop/validate`, { json: { ...usual, ...more } });
};
const subject = (nodes: WebNodes, sent: object): Promise<Reply> =>
  call('POST', `${nodes.a.internal}/internal/vdr/v2/subject`, sent);
const service = (nodes: WebNodes, query = ''): string =>
  `${nodes.a.internal}/internal/vdr/v2/subject/${nodes.a.subject}/service${query}`;
const fhir = { type: 'fhir', serviceEndpoint: 'https://rs.example/fhir' };
const organization = (nodes: WebNodes, more: Json = {}): Json => ({ ...organizationBody(nodes.b.did, nodes.b), ...more });
const wallet = ({ b }: WebNodes, path = ''): string => `${b.internal}/internal/vcr/v2/holder/${b.subject}/vc${path}`;
const discovery = ({ b }: WebNodes, path: string): string => `${b.internal}/internal/discovery/v1/${path}`;
const registered = async (nodes: WebNodes): Promise<void> => {
  expectStatus(await call('POST', discovery(nodes, `care-services/${nodes.b.subject}`), { json: {} }), 200);
};
const revokedCredential = async (nodes: WebNodes): Promise<Json> => {
  const made = await issued(nodes.b, organization(nodes));
  expectStatus(await revoke(nodes.b, string(made['id'])), 204);
  return made;
};

/** For each recorded exchange, by name, the same call on the simulator. */
const CALLS: Readonly<Record<string, (nodes: WebNodes) => Promise<Reply>>> = {
  'introspect-unknown': (nodes) => introspection(nodes, 'unknown'),
  'introspect-unknown-extended': (nodes) => introspection(nodes, 'unknown', '_extended'),
  'introspect-empty-token': (nodes) => introspection(nodes, ''),
  'introspect-charset': (nodes) =>
    introspection(nodes, 'unknown', '', { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' }),
  'introspect-charset-extended': (nodes) =>
    introspection(nodes, 'unknown', '_extended', { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' }),
  'introspect-bearer': async (nodes) => introspection(nodes, await employeeToken(nodes, 'Bearer')),
  'introspect-dpop': async (nodes) => introspection(nodes, await employeeToken(nodes, 'DPoP')),
  'introspect-reserved': async (nodes) => introspection(nodes, await bearerToken(nodes, 'reserved')),
  'request-token-dpop': (nodes) => requestToken(nodes),
  'request-token-bearer': (nodes) => requestToken(nodes, { token_type: 'Bearer' }),
  'request-token-issuer-set': (nodes) => requestToken(nodes, { credentials: [{ ...employee(), issuer: 'did:web:x' }] }),
  'request-token-subject-id-set': (nodes) =>
    requestToken(nodes, { credentials: [{ ...employee(), credentialSubject: { id: 'did:web:x' } }] }),
  'request-token-unknown-local-subject': (nodes) => requestToken({ ...nodes, b: { ...nodes.b, subject: 'nobody' } }),
  'request-token-unknown-scope': (nodes) => requestToken(nodes, { scope: 'unknown' }),
  'dpop-create': async (nodes) => {
    const { kid, token } = await boundToken(nodes);
    return createProof(nodes, kid, { htm: 'GET', htu: 'https://rs.example/', token });
  },
  'dpop-create-empty-htm': async (nodes) => createProof(nodes, (await boundToken(nodes)).kid, { htm: '', htu: 'x', token: 'x' }),
  'dpop-create-unknown-kid': (nodes) => createProof(nodes, 'did:web:x#y', { htm: 'GET', htu: 'https://x', token: 'x' }),
  'dpop-validate-ok': (nodes) => validation(nodes),
  'dpop-validate-method-other': (nodes) => validation(nodes, { method: 'POST' }),
  'dpop-validate-garbage': (nodes) => validation(nodes, { dpop_proof: 'garbage' }),
  'token-missing-parameters': (nodes) => redeem(nodes, { grant_type: 'vp_token-bearer' }),
  'token-error-html': (nodes) => redeem(nodes, { grant_type: 'password' }, {}),
  'token-ok-raw-bearer': async (nodes) => redeem(nodes, await ownGrant(nodes)),
  'as-metadata': ({ a }) => call('GET', `${a.public}/.well-known/oauth-authorization-server/oauth2/${a.subject}`),
  'as-metadata-appended-form': ({ a }) => call('GET', `${authorizationServer(a)}/.well-known/oauth-authorization-server`),
  'oauth-client': ({ a }) => call('GET', `${authorizationServer(a)}/oauth-client`),
  'openid-configuration': ({ a }) => call('GET', `${a.public}/.well-known/openid-configuration/oauth2/${a.subject}`),
  'openid-configuration-unknown-subject': ({ a }) => call('GET', `${a.public}/.well-known/openid-configuration/oauth2/nobody`),
  'presentation-definition-empty-scope': ({ a }) => call('GET', `${authorizationServer(a)}/presentation_definition?scope=`),
  'presentation-definition-missing-scope': ({ a }) => call('GET', `${authorizationServer(a)}/presentation_definition`),
  'presentation-definition-unknown-scope': ({ a }) =>
    call('GET', `${authorizationServer(a)}/presentation_definition?scope=nope`, { headers: { accept: 'application/json' } }),
  'subject-create-vendorA': (nodes) => subject(nodes, { json: { subject: `s-${crypto.randomUUID()}` } }),
  'subject-create-duplicate': (nodes) => subject(nodes, { json: { subject: nodes.a.subject } }),
  'subject-create-illegal-characters': (nodes) => subject(nodes, { json: { subject: 'vendor A/1' } }),
  'subject-create-json-without-content-type': (nodes) => subject(nodes, { raw: '{"subject":"x"}' }),
  'subject-create-empty-body-no-content-type': (nodes) => subject(nodes, {}),
  'subject-create-encryption-key-didweb': (nodes) => subject(nodes, { json: { subject: 'enc', keys: { encryptionKey: true } } }),
  'subject-dids': ({ a }) => call('GET', `${a.internal}/internal/vdr/v2/subject/${a.subject}`),
  'subject-dids-unknown': ({ a }) => call('GET', `${a.internal}/internal/vdr/v2/subject/nobody`),
  'subject-deactivate-unknown': ({ a }) => call('DELETE', `${a.internal}/internal/vdr/v2/subject/nobody`),
  'vdr-resolve-did-invalid': ({ a }) => call('GET', `${a.internal}/internal/vdr/v2/did/notadid`),
  'did-json': ({ a }) => call('GET', `${a.public}/iam/${a.did.split(':').at(-1) ?? ''}/did.json`),
  'did-json-unknown': ({ a }) => call('GET', `${a.public}/iam/00000000-0000-0000-0000-000000000000/did.json`),
  'service-create': (nodes) => call('POST', service(nodes), { json: fhir }),
  'service-create-unknown-subject': ({ a }) =>
    call('POST', `${a.internal}/internal/vdr/v2/subject/nobody/service`, { json: fhir }),
  'service-list-none-by-type': (nodes) => call('GET', service(nodes, '?type=none')),
  'verificationmethod-add-empty-object': ({ a }) =>
    call('POST', `${a.internal}/internal/vdr/v2/subject/${a.subject}/verificationmethod`, { json: {} }),
  'issue-org-statuslist': (nodes) => issueAt(nodes.b, organization(nodes)),
  'issue-org-status-option-false': (nodes) => issueAt(nodes.b, organization(nodes, { withStatusList2021Revocation: false })),
  'issue-didweb-neither': (nodes) => issueAt(nodes.b, organization(nodes, { withStatusList2021Revocation: undefined })),
  'issue-didweb-visibility': (nodes) => issueAt(nodes.b, organization(nodes, { visibility: 'public' })),
  'issue-didweb-publish': (nodes) => issueAt(nodes.b, organization(nodes, { publishToNetwork: false })),
  'issue-two-extra-types': (nodes) => issueAt(nodes.b, organization(nodes, { type: ['A', 'B'] })),
  'issue-missing-type': (nodes) => issueAt(nodes.b, organization(nodes, { type: undefined })),
  'issue-missing-subject': (nodes) => issueAt(nodes.b, organization(nodes, { credentialSubject: undefined })),
  'issue-unsupported-method': (nodes) => issueAt(nodes.b, organization(nodes, { issuer: 'did:key:z6Mk' })),
  'issue-missing-city': (nodes) =>
    issueAt(nodes.b, organization(nodes, { credentialSubject: { id: 'x', organization: { name: 'X' } } })),
  'issue-unknown-format': (nodes) => issueAt(nodes.b, organization(nodes, { format: 'nonsense' })),
  'issue-jwt-vc': (nodes) => issueAt(nodes.b, organization(nodes, { format: 'jwt_vc' })),
  'revoke-unknown-didweb': ({ b }) => revoke(b, `${b.did}#00000000-0000-0000-0000-000000000000`),
  'revoke-bad-id': ({ b }) => revoke(b, 'nonsense'),
  'revoke-didweb-again': async (nodes) => revoke(nodes.b, string((await revokedCredential(nodes))['id'])),
  'verify-revoked': async (nodes) => {
    const json = { verifiableCredential: await revokedCredential(nodes) };
    return call('POST', `${nodes.b.internal}/internal/vcr/v2/verifier/vc`, { json });
  },
  'verify-tampered': async (nodes) => {
    const made = await issued(nodes.b, organization(nodes));
    const json = { verifiableCredential: { ...made, issuanceDate: '2020-01-01T00:00:00Z' } };
    return call('POST', `${nodes.b.internal}/internal/vcr/v2/verifier/vc`, { json });
  },
  'wallet-load-foreign-subject': async (nodes) => loadInto(nodes.a, await issued(nodes.b, organization(nodes))),
  'wallet-load-unknown-subject': async (nodes) =>
    loadInto({ ...nodes.b, subject: 'nobody' }, await issued(nodes.b, organization(nodes))),
  'wallet-load-empty-body': (nodes) => call('POST', wallet(nodes)),
  'wallet-load-revoked': async (nodes) => loadInto(nodes.b, await revokedCredential(nodes)),
  'wallet-delete-unknown': (nodes) => call('DELETE', wallet(nodes, '/unknown')),
  'discovery-activate-no-credentials': async (nodes) => {
    const nobody = await newSubject(nodes.b);
    return call('POST', discovery(nodes, `care-services/${nobody.subject}`), { json: {} });
  },
  'discovery-activate-unknown-service': (nodes) => call('POST', discovery(nodes, `unknown/${nodes.b.subject}`), { json: {} }),
  'discovery-activate-unknown-subject': (nodes) => call('POST', discovery(nodes, 'care-services/nobody'), { json: {} }),
  'discovery-activation-status-not-activated': async (nodes) =>
    call('GET', discovery(nodes, `care-services/${(await newSubject(nodes.b)).subject}`)),
  'discovery-activation-status': async (nodes) => {
    await registered(nodes);
    return call('GET', discovery(nodes, `care-services/${nodes.b.subject}`));
  },
  'discovery-search-unknown-service': (nodes) => call('GET', discovery(nodes, 'unknown')),
  'discovery-server-get-unknown': ({ a }) => call('GET', `${a.public}/discovery/unknown`),
};

/** Names of one run, and in which order reserved claims are told. */
function normalised({ status, type, body }: Compared): Compared {
  const text = (value: unknown): unknown =>
    typeof value === 'string'
      ? value
          .replaceAll(/subject=[\w<>-]+/g, 'subject=<subject>')
          .replaceAll(/service=[\w-]+/g, 'service=<service>')
          .replaceAll(/ConstraintIdMap contains.*/g, 'ConstraintIdMap contains')
      : value;
  return { status, type, body: text(body) };
}

if (!existsSync(file))
  process.stderr.write(`skipped: recorded shapes of v2: there is no ${file}; name the data folder in SLUIS_TEST_DATA\n`);

(existsSync(file) ? describe : describe.skip)('the simulator answers in the shape that a real v6.2.10 node answered in', () => {
  let recorded: ReadonlyMap<string, Compared>;
  let nodes: WebNodes;
  let close: () => Promise<void>;

  beforeAll(async () => {
    recorded = readRecorded(file);
    const clock = createClock();
    const network = createSimulatedNetwork({ clock });
    const policies = policySchema.parse(JSON.parse(readFileSync(POLICY_FILE, 'utf8'))) as Record<string, Policy>;
    const settings = { network, clock, policies, discovery: [discoverySchema.parse(discoveryAt('http://127.0.0.1:8080'))] };
    const start = (name: 'a' | 'b') => startSimulatedNode({ ...settings, name, organization: WEB_ORGANIZATIONS[name] });
    const [a, b] = [await start('a'), await start('b')];
    const peer = (node: typeof a, name: 'a' | 'b') => ({
      internal: node.url,
      public: node.url,
      subject: node.subject.id,
      did: node.subject.did,
      organization: WEB_ORGANIZATIONS[name],
    });
    nodes = { a: peer(a, 'a'), b: peer(b, 'b'), stranger: { internal: b.url } };
    close = async () => {
      await Promise.all([a.close(), b.close()]);
    };
  });

  afterAll(async () => {
    await close();
  });

  it.each(Object.keys(CALLS))('%s', async (name) => {
    const expected = recorded.get(name);
    expect(expected).toBeDefined();
    const reply = await CALLS[name]!(nodes);
    expect(normalised(compared(reply.status, reply.type, reply.text))).toEqual(normalised(expected!));
  });

  it('the status list has the shape of the recorded one', async () => {
    const made = await issued(nodes.b, organization(nodes));
    const reply = await call('GET', string(object(made['credentialStatus'])['statusListCredential']));
    const before = readFileSync(join(folder, 'statuslist-before.json'), 'utf8');
    expect(compared(200, '', reply.text)).toEqual(compared(200, '', before));
  });
});
