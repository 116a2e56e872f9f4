/** The gate's own reading of what a node of generation v2 gives: tokens, plain and bound, as a requester's node asked for them. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { createClock } from '../../../../src/clock.ts';
import { GatewayError } from '../../../../src/errors.ts';
import { createLogger } from '../../../../src/log.ts';
import { createMetrics } from '../../../../src/metrics.ts';
import { createNode } from '../../../../src/nuts/node.ts';
import { openDatabase } from '../../../../src/store/database.ts';
import { createProofIds } from '../../../../src/store/proof-ids.ts';
import type { Tenant } from '../../../../src/tenant/tenant.ts';
import { createAuthenticator, type AuthenticatedCaller } from '../../../../src/token/authenticate.ts';
import { mapClaims } from '../../../../src/token/claims.ts';
import { createIntrospection } from '../../../../src/token/introspection.ts';
import type { Role } from '../../../../src/usecase/definition.ts';
import {
  authorizationServer,
  bearerToken,
  boundToken,
  proofFor,
  signerOf,
  type WebNodes,
  type WebPeer,
  type WebStatement,
} from './web-nodes.ts';

const PUBLIC = 'https://gate.example/a';
const TARGET = '/a/fhir/Patient/1';
const ROLE: Role = {
  id: 'reader',
  purpose: '',
  scopes: ['care'],
  fhirVersion: 'R4',
  rules: [],
  claims: { organization_city: { type: 'string', required: true } },
};

type Ask = (
  authorization: string,
  dpop?: string,
  change?: { readonly target?: string; readonly method?: string },
) => Promise<AuthenticatedCaller>;

/** Runs `work` with the part of a gateway that finds out who asks, for the subject of `peer`. */
async function atGateOf(nodes: WebNodes, peer: WebPeer, work: (ask: Ask) => Promise<void>): Promise<void> {
  const { nowS } = await signerOf(nodes);
  const clock = createClock(nowS * 1000 - Date.now());
  const logger = createLogger('silent');
  const tenant: Tenant = {
    id: 'a',
    name: 'a',
    identity: { did: '', subject: peer.subject, authorizationServerUrl: authorizationServer(peer) },
    publicUrl: PUBLIC,
    node: { url: peer.internal, generations: ['v2'], introspectionTimeoutMs: 2_000, introspectionCacheMs: 0 },
    fhir: {
      url: 'http://127.0.0.1:1',
      version: 'R4',
      login: { kind: 'none' },
      tls: {},
      timeoutMs: 1_000,
      document: 'upstream',
      xml: 'none',
    },
    outbound: {},
    grants: 'ledger',
    useCases: new Map(),
    limits: { concurrentRequests: 1, maxAnswerBytes: 1, bundleEntries: 1 },
  };
  const directory = await mkdtemp(join(tmpdir(), 'sluis-gate-v2-'));
  const database = await openDatabase({ directory, logger });
  const node = createNode({ tenant, clock, logger });
  const introspection = createIntrospection({
    clock,
    metrics: createMetrics(false),
    node: {
      introspectV1: (_tenant, token) => node.introspectV1(token),
      introspectV2: (_tenant, token) => node.introspectV2(token),
      isHealthy: () => node.isHealthy(),
    },
  });
  const authenticator = createAuthenticator({ introspection, proofIds: createProofIds(database), clock });
  try {
    await work((authorization, dpop, { target = TARGET, method = 'GET' } = {}) =>
      authenticator.authenticate(tenant, { authorization, dpop, method, target }, false),
    );
  } finally {
    await node.close();
    await database.close();
    await rm(directory, { recursive: true, force: true });
  }
}

async function refused(asking: Promise<unknown>, reason?: string): Promise<void> {
  await assert.rejects(asking, (error: unknown) => {
    assert.ok(error instanceof GatewayError);
    assert.deepEqual([error.code, error.options.reason], ['token_invalid', reason]);
    return true;
  });
}

export const gateStatements: readonly WebStatement[] = [
  {
    id: 'gate-bearer',
    title: 'the gate takes an unbound token as a bearer token, and knows the requester by its credential',
    run: (nodes) =>
      atGateOf(nodes, nodes.a, async (ask) => {
        const token = await bearerToken(nodes);
        const caller = await ask(`Bearer ${token}`);
        assert.deepEqual(caller.purposes, ['care']);
        const { subject, fault } = mapClaims(ROLE, caller);
        assert.equal(fault, undefined);
        assert.deepEqual(subject.organization, { id: nodes.b.did, name: nodes.b.organization.name });
        assert.deepEqual([...subject.claims], [['organization_city', nodes.b.organization.city]]);
        await refused(ask(`DPoP ${token}`, 'x'));
      }),
  },
  {
    id: 'gate-dpop',
    title: 'the gate takes a bound token with a proof that the requester’s node made, once, and without it never',
    run: (nodes) =>
      atGateOf(nodes, nodes.a, async (ask) => {
        const bound = await boundToken(nodes);
        const proof = await proofFor(nodes, bound, 'GET', `https://gate.example${TARGET}`);
        await refused(ask(`Bearer ${bound.token}`, proof), 'proof_missing');
        await refused(ask(`DPoP ${bound.token}`), 'invalid_dpop_proof');
        await refused(ask(`DPoP ${bound.token}`, proof, { target: '/a/fhir/Patient/2' }), 'invalid_dpop_proof');
        await refused(ask(`DPoP ${bound.token}`, proof, { method: 'PUT' }), 'invalid_dpop_proof');
        const caller = await ask(`DPoP ${bound.token}`, proof);
        assert.equal(caller.proof?.jkt.length, 43);
        await refused(ask(`DPoP ${bound.token}`, proof), 'invalid_dpop_proof');
      }),
  },
  {
    id: 'gate-subject',
    title: 'the gate of another subject takes no token of this one, though a node may know it',
    run: async (nodes) => {
      const token = await bearerToken(nodes);
      await atGateOf(nodes, { ...nodes.b, internal: nodes.a.internal }, (ask) => refused(ask(`Bearer ${token}`)));
    },
  },
  {
    id: 'gate-unknown',
    title: 'a token that the node does not know is refused by the gate: the node is not taken for sick',
    run: (nodes) => atGateOf(nodes, nodes.a, (ask) => refused(ask(`Bearer ${'x'.repeat(43)}`))),
  },
];
