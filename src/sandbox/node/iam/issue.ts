/** Credentials of did:web issuers (facts §4.1, §4.5): `issueWeb`, `revokeWeb`, `verifyWeb`, and how a search shows a revoked one. */
import { randomUUID } from 'node:crypto';

import { z } from 'zod';

import type { NodeContext } from '../context.ts';
import { checkContent } from '../credential-rules.ts';
import { createCredential, idOf, issuerOf, NUTS_CONTEXT, W3C_CONTEXT, type VC } from '../credential.ts';
import { parseDid } from '../did-document.ts';
import { empty, json, parseBody, type Answer, type Call } from '../http.ts';
import { isObject, list, sorted, text, type Json } from '../json.ts';
import { KEY_NOT_FOUND, NodeProblem } from '../problem.ts';
import { createJwtCredential, faultOfAny, viewOf } from './any-credential.ts';
import { revokeEntry, STATUS_CONTEXT, takeEntry } from './status-list.ts';
import type { AnyCredential } from './store.ts';

const oneOrMany = z.union([z.string(), z.array(z.string())]);
const jsonObject = z.record(z.string(), z.unknown());

const issueRequest = z.looseObject({
  '@context': oneOrMany.nullish(),
  type: oneOrMany.nullish(),
  issuer: z.string(),
  expirationDate: z.iso.datetime({ offset: true }).nullish(),
  credentialSubject: z.union([jsonObject, z.array(jsonObject)]).nullish(),
  format: z.string().nullish(),
  publishToNetwork: z.boolean().nullish(),
  visibility: z.string().nullish(),
  withStatusList2021Revocation: z.boolean().nullish(),
});

/** Whether the issuer is of another method than did:nuts. */
export function isForWeb(call: Call): boolean {
  const body = call.json();
  const issuer = isObject(body) ? (text(body, 'issuer') ?? '') : '';
  return issuer.startsWith('did:') && !issuer.startsWith('did:nuts:');
}

export async function issueWeb(context: NodeContext, call: Call): Promise<AnyCredential> {
  const body = parseBody(call, issueRequest);
  const method = body.issuer.split(':')[1] ?? '';
  if (method !== 'web') throw new NodeProblem(400, `unsupported DID method: ${method}`);
  for (const option of ['publishToNetwork', 'visibility'] as const) {
    if (body[option] != null) {
      throw new NodeProblem(400, `illegal option '${option}' requested for issuer's DID method: web`);
    }
  }
  const { withStatusList2021Revocation: withStatus, expirationDate } = body;
  if (withStatus == null && expirationDate == null) {
    throw new NodeProblem(400, 'withStatusList2021Revocation MUST be provided for credentials without expirationDate');
  }
  const types = list(body.type).filter((type) => type !== 'VerifiableCredential');
  const [type] = types;
  if (types.length > 1) throw new NodeProblem(400, 'can only issue VerifiableCredential with at most 1 extra type');
  if (typeof type !== 'string') throw new NodeProblem(400, 'missing credential type');
  const subject = list(body.credentialSubject)[0];
  if (!isObject(subject)) throw new NodeProblem(400, 'missing credentialSubject');
  const issuer = parseDid(body.issuer);
  const key = assertionKey(context, issuer);
  const format = body.format ?? 'ldp_vc';
  if (format !== 'ldp_vc' && format !== 'jwt_vc') throw new NodeProblem(500, 'unsupported credential proof format');
  const given = list(body['@context']).filter((value) => typeof value === 'string');
  const contexts = [
    ...new Set([W3C_CONTEXT, ...(given.length === 0 ? [NUTS_CONTEXT] : given), ...(withStatus === true ? [STATUS_CONTEXT] : [])]),
  ];
  checkContent({ '@context': contexts, type, credentialSubject: subject });

  const id = `${issuer}#${randomUUID()}`;
  const content = {
    id,
    type,
    issuer,
    contexts,
    subject,
    ...(expirationDate == null ? {} : { expirationDate }),
    ...(withStatus === true ? { status: takeEntry(context, issuer, id) } : {}),
  };
  const now = context.clock.now();
  const credential =
    format === 'ldp_vc' ? await createCredential(content, key, now) : await createJwtCredential(content, key, now);
  context.store.iam.issued.set(id, credential);
  context.store.issued.set(id, viewOf(credential));
  context.network.trust(context.store, type).add(issuer);
  return credential;
}

function assertionKey(context: NodeContext, issuer: string) {
  const step = 'failed to sign credential: could not resolve an assertionKey for issuer: ';
  if (context.network.deactivated.has(issuer)) throw new NodeProblem(400, `${step}the DID document has been deactivated`);
  if (context.network.resolve(issuer) === undefined) throw new NodeProblem(500, `${step}did:web HTTP error`);
  const key = context.network.signingKey(context.store, issuer);
  if (key === undefined) throw new NodeProblem(500, `${step}failed to resolve assertionKey: ${KEY_NOT_FOUND}`);
  return key;
}

/** 204; 409 the second time. */
export function revokeWeb(context: NodeContext, id: string): Answer {
  if (!/^did:web:[^#]+#[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id))
    throw new NodeProblem(400, 'invalid credential ID');
  const issued = context.store.iam.issued.get(id);
  if (issued === undefined) throw new NodeProblem(404, 'credential not found');
  revokeEntry(context, viewOf(issued));
  return empty(204);
}

/** Any did:web issuer is trusted. */
export async function verifyWeb(context: NodeContext, credential: AnyCredential): Promise<Answer> {
  const whole = typeof credential === 'string' ? credential : sorted(credential);
  // A credential without proof verifies for nobody here.
  const message = await faultOfAny(context, whole, '');
  return json(message === undefined ? { validity: true } : { message, validity: false });
}

/** As the issuer search shows it: the date is not that of the revocation. */
export function webRevocation(context: NodeContext, credential: VC): Json | undefined {
  const status = context.store.iam.statusLists.get(issuerOf(credential));
  const index = status?.indexOf.get(idOf(credential));
  if (index === undefined || status?.revoked.has(index) !== true) return undefined;
  return { issuer: issuerOf(credential), subject: idOf(credential), reason: 'revocation', date: '1970-01-01T00:00:00Z' };
}
