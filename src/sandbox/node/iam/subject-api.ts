/** Subjects, their DIDs and services over HTTP (vdr v2, facts §5.2), and what is public of them: did.json and status lists. */
import { randomUUID } from 'node:crypto';

import { z } from 'zod';

import type { NodeContext } from '../context.ts';
import { documentOf, parseDid, type DidDocument, type Service } from '../did-document.ts';
import { empty, json, parseBody, type Answer, type Call, type Route } from '../http.ts';
import { list, sorted } from '../json.ts';
import { base58, deriveWebKey, sha256 } from '../key.ts';
import { NodeProblem, within } from '../problem.ts';
import { statusCredential } from './status-list.ts';
import { createSubject, subjectNamed } from './subject.ts';

const createRequest = z
  .looseObject({
    subject: z.string().nullish(),
    keys: z.looseObject({ assertionKey: z.boolean().nullish(), encryptionKey: z.boolean().nullish() }).nullish(),
  })
  .nullable();

const serviceRequest = z.looseObject({
  type: z.string().nullish(),
  serviceEndpoint: z.union([z.string(), z.record(z.string(), z.string())]),
});

const keysRequest = z.looseObject({ assertionKey: z.boolean().nullish(), encryptionKey: z.boolean().nullish() });

const CACHED = { 'Cache-Control': 'max-age=300' };

export function subjectRoutes(context: NodeContext): Route[] {
  const { network, store } = context;
  const base = '/internal/vdr/v2/subject';
  return [
    {
      method: 'POST',
      path: base,
      operation: 'CreateSubject',
      limited: true,
      handle: (call) => {
        const body = parseBody(call, createRequest);
        if (body?.keys?.encryptionKey === true) {
          throw new NodeProblem(400, 'could not store DID documents: key agreement not supported for did:web');
        }
        const document = createSubject(context, body?.subject ?? randomUUID());
        return json({ documents: [sorted({ ...document })], subject: subjectOf(context, document.id) });
      },
    },
    {
      method: 'GET',
      path: base,
      operation: 'ListSubjects',
      handle: () => json(Object.fromEntries([...store.iam.subjects.values()].map(({ id, dids }) => [id, dids]))),
    },
    {
      method: 'GET',
      path: `${base}/:subject`,
      operation: 'SubjectDIDs',
      handle: ({ params }) => json(subjectNamed(context, params['subject'] ?? '').dids),
    },
    {
      method: 'DELETE',
      path: `${base}/:subject`,
      operation: 'Deactivate',
      handle: ({ params }) => {
        const subject = within('could not deactivate DID documents', () => subjectNamed(context, params['subject'] ?? ''));
        store.iam.subjects.set(subject.id, { ...subject, deactivated: true });
        for (const did of subject.dids) network.deactivate(did);
        return empty(204);
      },
    },
    ...serviceRoutes(context, `${base}/:subject/service`),
    {
      method: 'POST',
      path: `${base}/:subject/verificationmethod`,
      operation: 'AddVerificationMethod',
      limited: true,
      handle: (call) => addKey(context, call),
    },
    {
      method: 'GET',
      path: '/internal/vdr/v2/did/:did',
      operation: 'ResolveDID',
      handle: (call) => resolve(context, call),
    },
    {
      method: 'GET',
      path: '/iam/:uuid/did.json',
      handle: ({ params }) => {
        const document = network.resolve(
          `did:web:${encodeURIComponent(new URL(context.url()).host)}:iam:${params['uuid'] ?? ''}`,
        );
        const answer = document === undefined ? empty(404) : json(document);
        return { ...answer, headers: { ...CACHED, ...answer.headers } };
      },
    },
    {
      method: 'GET',
      path: '/statuslist/:did/:page',
      operation: 'StatusList',
      handle: async ({ request, params }) => {
        // The DID as it stands in the path: an escaped percent sign is undone once, colons are plain.
        const raw = (request.url?.split('/')[2] ?? '').replaceAll('%25', '%');
        if (!raw.startsWith('did:web:')) throw new NodeProblem(500, 'invalid DID');
        const answer = json(await within('status list', () => statusCredential(context, raw, params['page'] ?? '')));
        return { ...answer, headers: { ...CACHED, ...answer.headers } };
      },
    },
  ];
}

function subjectOf(context: NodeContext, did: string): string {
  return [...context.store.iam.subjects.values()].find(({ dids }) => dids.includes(did))?.id ?? '';
}

function documentOfSubject(context: NodeContext, call: Call, step: string): DidDocument {
  const { dids } = within(step, () => subjectNamed(context, call.params['subject'] ?? ''));
  return documentOf(context.network.resolve, dids[0] ?? '');
}

function serviceRoutes(context: NodeContext, base: string): Route[] {
  const { network } = context;
  const step = 'could not add service to DID Documents';
  const put = (document: DidDocument, call: Call, replaces?: string): Answer => {
    const { type, serviceEndpoint } = parseBody(call, serviceRequest);
    const id = `${document.id}#${base58(sha256(JSON.stringify([type, serviceEndpoint])))}`;
    const service: Service = { id, type: type ?? '', serviceEndpoint };
    const others = (document.service ?? []).filter((each) => each.id !== id && each.id !== replaces);
    network.update({ ...document, service: [...others, service] });
    return json([service]);
  };
  const idIn = (document: DidDocument, call: Call): string => {
    const id = call.params['service'] ?? '';
    return id.startsWith('#') ? `${document.id}${id}` : id;
  };
  return [
    {
      method: 'POST',
      path: base,
      operation: 'CreateService',
      limited: true,
      handle: (call) => put(documentOfSubject(context, call, step), call),
    },
    {
      method: 'GET',
      path: base,
      operation: 'FindServices',
      handle: (call) => {
        const document = documentOfSubject(context, call, 'could not find services');
        const kind = call.query.get('endpointType');
        const kindOf = (service: Service): string => (typeof service.serviceEndpoint === 'string' ? 'string' : 'object');
        const found = (document.service ?? []).filter(
          (service) => service.type === call.query.get('type') && (kind === null || kindOf(service) === kind),
        );
        // Nothing is `null`, and without a type there is nothing.
        return json(found.length === 0 ? null : found);
      },
    },
    {
      method: 'POST',
      path: `${base}/:service`,
      operation: 'UpdateService',
      limited: true,
      handle: (call) => {
        const document = documentOfSubject(context, call, step);
        return put(document, call, idIn(document, call));
      },
    },
    {
      method: 'DELETE',
      path: `${base}/:service`,
      operation: 'DeleteService',
      handle: (call) => {
        const document = documentOfSubject(context, call, 'could not delete service');
        const id = idIn(document, call);
        network.update({ ...document, service: (document.service ?? []).filter((service) => service.id !== id) });
        return empty(204);
      },
    },
  ];
}

function addKey(context: NodeContext, call: Call): Answer {
  const document = documentOfSubject(context, call, 'could not add verification method');
  const { assertionKey, encryptionKey } = parseBody(call, keysRequest);
  if (assertionKey !== true && encryptionKey !== true) throw new NodeProblem(400, 'at least one key must be created');
  const key = deriveWebKey(document.id, `${document.id} ${document.verificationMethod.length}`);
  context.store.keys.set(key.kid, key);
  const method = { id: key.kid, type: 'JsonWebKey2020', controller: document.id, publicKeyJwk: key.publicJwk } as const;
  const more = (uses: readonly string[] | undefined): readonly string[] => [...(uses ?? []), key.kid];
  context.network.update({
    ...document,
    verificationMethod: [...document.verificationMethod, method],
    authentication: more(document.authentication),
    assertionMethod: more(document.assertionMethod),
    capabilityInvocation: more(document.capabilityInvocation),
    capabilityDelegation: more(document.capabilityDelegation),
  });
  return json([method]);
}

function resolve(context: NodeContext, { request }: Call): Answer {
  // Nothing is unescaped but an escaped percent sign, so that a port keeps its %3A.
  const did = (request.url?.split('?')[0]?.split('/').at(-1) ?? '').replaceAll('%25', '%');
  try {
    parseDid(did);
  } catch {
    throw new NodeProblem(400, 'invalid DID');
  }
  if (context.network.deactivated.has(did)) throw new NodeProblem(409, 'the DID document has been deactivated');
  const document = context.network.resolve(did);
  if (document === undefined) throw new NodeProblem(did.startsWith('did:web:') ? 500 : 404, 'unable to find the DID document');
  const methods = list(document.verificationMethod);
  return json({ document: sorted({ ...document, verificationMethod: methods }), documentMetadata: {} });
}
