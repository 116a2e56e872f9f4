/** Credentials over HTTP (vcr v2, facts §4): issue, search, resolve, verify, trust, revoke. */
import { z } from 'zod';

import type { NodeContext } from './context.ts';
import { checkContent } from './credential-rules.ts';
import {
  createCredential,
  idOf,
  issuerOf,
  isValidAt,
  JWS_CONTEXT,
  NUTS_CONTEXT,
  signDocument,
  subjectOf,
  typeOf,
  W3C_CONTEXT,
  type VC,
} from './credential.ts';
import { endpointOf, parseDid } from './did-document.ts';
import { empty, json, parseBody, requiredQuery, type Answer, type Call, type Route } from './http.ts';
import { collapse, isObject, list, sorted, text } from './json.ts';
import type { SigningKey } from './key.ts';
import type { Revocation } from './network.ts';
import { isForWeb, issueWeb, revokeWeb, verifyWeb, webRevocation } from './iam/issue.ts';
import { presentationRoutes } from './presentation-api.ts';
import { DID_NOT_FOUND, KEY_NOT_FOUND, NodeProblem, within } from './problem.ts';
import { compileQuery } from './search.ts';
import { faultOf } from './verifier.ts';

const jsonObject = z.record(z.string(), z.unknown());

const issueRequest = z.looseObject({
  // One text, as a node of v5 wants it; of v6 a list is enough too.
  '@context': z.string().nullish(),
  type: z.string().nullish(),
  issuer: z.string().nullish(),
  expirationDate: z.string().nullish(),
  credentialSubject: z.union([jsonObject, z.array(jsonObject)]).nullish(),
  publishToNetwork: z.boolean().nullish(),
  visibility: z.string().nullish(),
});

const searchRequest = z.looseObject({
  query: jsonObject.nullish(),
  searchOptions: z.looseObject({ allowUntrustedIssuer: z.boolean().nullish() }).nullish(),
});

const verifyRequest = z.looseObject({
  verifiableCredential: z.union([jsonObject, z.string()]).nullish(),
  verificationOptions: z.looseObject({ allowUntrustedIssuer: z.boolean().nullish() }).nullish(),
});

const trustRequest = z.looseObject({ issuer: z.string().nullish(), credentialType: z.string().nullish() });

export function credentialRoutes(context: NodeContext): Route[] {
  const base = '/internal/vcr/v2';
  return [
    {
      method: 'POST',
      path: `${base}/issuer/vc`,
      operation: 'IssueVC',
      limited: true,
      handle: async (call) => json(isForWeb(call) ? await issueWeb(context, call) : await issue(context, call)),
    },
    {
      method: 'GET',
      path: `${base}/issuer/vc/search`,
      operation: 'SearchIssuedVCs',
      handle: (call) => searchIssued(context, call),
    },
    {
      method: 'DELETE',
      path: `${base}/issuer/vc/:id`,
      operation: 'RevokeVC',
      handle: async ({ params }) => {
        const id = params['id'] ?? '';
        return id.startsWith('did:web:') ? revokeWeb(context, id) : json(await revoke(context, id));
      },
    },
    { method: 'POST', path: `${base}/search`, operation: 'SearchVCs', handle: (call) => search(context, call) },
    {
      method: 'GET',
      path: `${base}/vc/:id`,
      operation: 'ResolveVC',
      handle: ({ params }) => {
        const credential = context.network.find(context.store, params['id'] ?? '');
        if (credential === undefined) throw new NodeProblem(404, 'credential not found');
        if (!isValidAt(credential, context.clock.now())) throw new NodeProblem(500, 'credential not valid at given time');
        return json(credential);
      },
    },
    { method: 'POST', path: `${base}/verifier/vc`, operation: 'VerifyVC', handle: async (call) => verify(context, call) },
    ...trustRoutes(context, base),
    ...presentationRoutes(context, base),
  ];
}

async function issue(context: NodeContext, call: Call): Promise<VC> {
  const { network, store, clock } = context;
  const body = parseBody(call, issueRequest);
  const visibility = body.publishToNetwork === false ? undefined : (body.visibility ?? '');
  if (visibility === '') throw new NodeProblem(400, 'visibility must be set when publishing credential');
  if (visibility === undefined && (body.visibility ?? '') !== '') {
    throw new NodeProblem(400, 'visibility setting is only allowed when publishing to the network');
  }
  if (visibility !== undefined && visibility !== 'public' && visibility !== 'private') {
    throw new NodeProblem(400, 'invalid value for visibility');
  }
  const issuer = within('failed to parse issuer', () => parseDid(body.issuer ?? ''));
  const expirationDate = body.expirationDate ?? undefined;
  if (expirationDate !== undefined && !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(expirationDate)) {
    throw new NodeProblem(500, `parsing time "${expirationDate}" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T"`);
  }
  const contexts = list(body['@context'] ?? [NUTS_CONTEXT, W3C_CONTEXT]).filter((value) => typeof value === 'string');
  const unknown = contexts.find((value) => ![NUTS_CONTEXT, W3C_CONTEXT, JWS_CONTEXT].includes(value));
  if (unknown !== undefined) {
    throw new NodeProblem(
      500,
      `canonicalization failed: unable to normalize the json-ld document: loading remote context failed: ${unknown}`,
    );
  }
  const key = assertionKey(context, issuer, 'failed to sign credential: ');
  const type = body.type ?? '';
  const subject = collapse(body.credentialSubject ?? {});
  checkContent({ '@context': contexts, type, credentialSubject: subject });
  const credential = await createCredential(
    {
      type,
      issuer,
      contexts,
      ...(expirationDate === undefined ? {} : { expirationDate }),
      subject: isObject(subject) ? subject : {},
    },
    key,
    clock.now(),
  );
  store.issued.set(idOf(credential), credential);
  network.trust(store, type).add(issuer);
  // What cannot be delivered stays issued: who tries again blindly has two.
  if (visibility === 'private') for (const did of [issuer, text(subjectOf(credential), 'id') ?? '']) checkReachable(context, did);
  if (visibility !== undefined) network.publish(credential, visibility);
  return credential;
}

/** A private credential needs a NutsComm service at both ends: 412 without, 400 for a DID that does not exist. */
function checkReachable(context: NodeContext, did: string): void {
  const step = `unable to publish the issued credential: failed to resolve participating node (did=${did}): could not resolve NutsComm service owner`;
  try {
    endpointOf(context.network.resolve, did, 'NutsComm');
  } catch (error) {
    if (!(error instanceof NodeProblem)) throw error;
    throw new NodeProblem(error.message === DID_NOT_FOUND ? 400 : 412, `${step}: ${error.message}`);
  }
}

function assertionKey(context: NodeContext, did: string, step: string): SigningKey {
  const prefix = `${step}could not resolve an assertionKey for issuer: `;
  if (context.network.resolve(did) === undefined) throw new NodeProblem(400, `${prefix}${DID_NOT_FOUND}`);
  const key = context.network.signingKey(context.store, did);
  if (key !== undefined) return key;
  throw new NodeProblem(500, `${prefix}failed to resolve assertionKey: could not resolve key from keyStore: ${KEY_NOT_FOUND}`);
}

const CREDENTIAL_ID = /^(did:nuts:[A-Za-z0-9]+)#[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Works for ids that were never issued, too, as long as the issuer is of this node. */
async function revoke(context: NodeContext, id: string): Promise<Revocation> {
  const issuer = CREDENTIAL_ID.exec(id)?.[1];
  if (issuer === undefined) throw new NodeProblem(400, 'invalid credential ID');
  if (context.network.revocations.has(id)) throw new NodeProblem(409, 'credential is revoked');
  const key = assertionKey(context, issuer, `failed to revoke credential (${id}): `);
  const now = context.clock.now();
  const statement = {
    '@context': [NUTS_CONTEXT, JWS_CONTEXT],
    type: ['CredentialRevocation'],
    issuer,
    subject: id,
    date: now.toISOString(),
  };
  const revocation: Revocation = { ...statement, proof: (await signDocument(statement, key, now))['proof'] };
  context.network.revocations.set(id, revocation);
  return revocation;
}

function search(context: NodeContext, call: Call): Answer {
  const { network, store, clock } = context;
  const { query, searchOptions } = parseBody(call, searchRequest);
  const matches = compileQuery(query ?? {});
  const allowUntrusted = searchOptions?.allowUntrustedIssuer === true;
  const found = network
    .credentials(store)
    .filter(
      (credential) =>
        matches(credential) &&
        isValidAt(credential, clock.now()) &&
        !network.revocations.has(idOf(credential)) &&
        (allowUntrusted || network.isTrusted(store, credential)),
    );
  return json({ verifiableCredentials: found.map((verifiableCredential) => ({ verifiableCredential })) });
}

function searchIssued(context: NodeContext, call: Call): Answer {
  const type = requiredQuery(call, 'credentialType');
  const issuer = requiredQuery(call, 'issuer');
  const subject = call.query.get('subject');
  const found = [...context.store.issued.values()].filter(
    (credential) =>
      typeOf(credential) === type &&
      issuerOf(credential) === issuer &&
      (subject === null || text(subjectOf(credential), 'id') === subject),
  );
  return json({
    verifiableCredentials: found.map((verifiableCredential) => {
      const revocation =
        context.network.revocations.get(idOf(verifiableCredential)) ?? webRevocation(context, verifiableCredential);
      const asIssued = context.store.iam.issued.get(idOf(verifiableCredential)) ?? verifiableCredential;
      return { ...(revocation === undefined ? {} : { revocation }), verifiableCredential: asIssued };
    }),
  });
}

async function verify(context: NodeContext, call: Call): Promise<Answer> {
  const { verifiableCredential, verificationOptions } = parseBody(call, verifyRequest);
  if (typeof verifiableCredential === 'string' || text(verifiableCredential ?? {}, 'issuer')?.startsWith('did:web:') === true) {
    return verifyWeb(context, verifiableCredential ?? {});
  }
  const message = await faultOf(context, sorted(verifiableCredential ?? {}), {
    allowUntrusted: verificationOptions?.allowUntrustedIssuer === true,
    at: context.clock.now(),
  });
  return json(message === undefined ? { validity: true } : { message, validity: false });
}

function trustRoutes(context: NodeContext, base: string): Route[] {
  const { network, store } = context;
  const change = (call: Call, apply: (trusted: Set<string>, issuer: string) => void): Answer => {
    const { issuer, credentialType } = parseBody(call, trustRequest);
    apply(network.trust(store, credentialType ?? ''), parseDid(issuer ?? ''));
    return empty(204);
  };
  return [
    {
      method: 'POST',
      path: `${base}/verifier/trust`,
      operation: 'TrustIssuer',
      handle: (call) => change(call, (trusted, issuer) => trusted.add(issuer)),
    },
    {
      method: 'DELETE',
      path: `${base}/verifier/trust`,
      operation: 'UntrustIssuer',
      handle: (call) => change(call, (trusted, issuer) => trusted.delete(issuer)),
    },
    {
      method: 'GET',
      path: `${base}/verifier/:type/trusted`,
      operation: 'ListTrusted',
      handle: ({ params }) => json([...network.trust(store, params['type'] ?? '')]),
    },
    {
      method: 'GET',
      path: `${base}/verifier/:type/untrusted`,
      operation: 'ListUntrusted',
      handle: ({ params }) => {
        const type = params['type'] ?? '';
        const issuers = network
          .credentials(store)
          .filter((credential) => typeOf(credential) === type)
          .map(issuerOf);
        return json([...new Set(issuers)].filter((issuer) => !network.trust(store, type).has(issuer)));
      },
    },
  ];
}
