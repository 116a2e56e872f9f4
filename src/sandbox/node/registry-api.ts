/** DID documents and their services over HTTP (vdr v1, didman v1, facts §5.1). */
import { randomUUID } from 'node:crypto';

import { z } from 'zod';

import type { NodeContext } from './context.ts';
import { nameAndCity, organizations } from './contract.ts';
import { isValidAt, ORGANIZATION, subjectOf, typeOf } from './credential.ts';
import { compoundEndpoint, documentOf, parseDid, type DidDocument } from './did-document.ts';
import { json, parseBody, plain, requiredQuery, type Answer, type Call, type Route } from './http.ts';
import { collapse, sorted, text, type Json } from './json.ts';
import { documentHash } from './network.ts';
import { NodeProblem, within } from './problem.ts';
import { nameMatches } from './search.ts';
import { serviceRoutes } from './service-api.ts';

const createRequest = z.looseObject({
  controllers: z.array(z.string()).nullish(),
  selfControl: z.boolean().nullish(),
  keyAgreement: z.boolean().nullish(),
  assertionMethod: z.boolean().nullish(),
  capabilityInvocation: z.boolean().nullish(),
});

const contactRequest = z.looseObject({
  name: z.string().nullish(),
  email: z.string().nullish(),
  phone: z.string().nullish(),
  website: z.string().nullish(),
});

export function registryRoutes(context: NodeContext): Route[] {
  const { network, store } = context;
  const did = '/internal/didman/v1/did/:did';
  return [
    {
      method: 'POST',
      path: '/internal/vdr/v1/did',
      operation: 'CreateDID',
      limited: true,
      handle: (call) => json(createDid(context, call)),
    },
    { method: 'GET', path: '/internal/vdr/v1/did/conflicted', operation: 'ConflictedDIDs', handle: () => json([]) },
    {
      method: 'GET',
      path: '/internal/vdr/v1/did/:did',
      operation: 'GetDID',
      handle: ({ params }) => {
        const id = within('given did is not valid', () => parseDid(params['did'] ?? ''));
        return json(resolution(context, documentOf(network.resolve, id)));
      },
    },
    {
      method: 'GET',
      path: `${did}/compoundservice/:service/endpoint/:type`,
      operation: 'GetCompoundServiceEndpoint',
      handle: (call) => endpoint(context, call),
    },
    {
      method: 'GET',
      path: `${did}/contactinfo`,
      operation: 'GetContactInformation',
      handle: ({ params }) => {
        const contact = store.contacts.get(documentOf(network.resolve, parseDid(params['did'] ?? '')).id);
        if (contact === undefined) throw new NodeProblem(404, 'contact information for DID not found');
        return json(contact);
      },
    },
    {
      method: 'PUT',
      path: `${did}/contactinfo`,
      operation: 'UpdateContactInformation',
      limited: true,
      handle: (call) => {
        const { name, email, phone, website } = parseBody(call, contactRequest);
        const contact = { email: email ?? '', name: name ?? '', phone: phone ?? '', website: website ?? '' };
        store.contacts.set(documentOf(network.resolve, parseDid(call.params['did'] ?? '')).id, contact);
        return json(contact);
      },
    },
    {
      method: 'GET',
      path: '/internal/didman/v1/search/organizations',
      operation: 'SearchOrganizations',
      handle: (call) => searchOrganizations(context, call),
    },
    ...serviceRoutes(context),
  ];
}

function createDid(context: NodeContext, call: Call): DidDocument {
  const { controllers, selfControl, keyAgreement, assertionMethod, capabilityInvocation } = parseBody(call, createRequest);
  return context.network.createDid(context.store, randomUUID(), {
    controllers: controllers ?? [],
    selfControl: selfControl ?? true,
    keyAgreement: keyAgreement ?? true,
    assertionMethod: assertionMethod ?? true,
    ...(typeof capabilityInvocation === 'boolean' ? { capabilityInvocation } : {}),
  });
}

/** A document as it is read back: sorted, one controller as a bare text. */
function asResolved(document: DidDocument): Json {
  return sorted({ ...document, controller: collapse(document.controller) });
}

function resolution(context: NodeContext, document: DidDocument): Json {
  const hash = documentHash(document);
  const created = context.network.created(document.id).toISOString().replace('.000Z', 'Z');
  return { document: asResolved(document), documentMetadata: { created, hash, txs: [hash], deactivated: false } };
}

function endpoint(context: NodeContext, { params, query, request }: Call): Answer {
  const did = parseDid(params['did'] ?? '');
  const resolved = query.get('resolve') !== 'false';
  const value = compoundEndpoint(context.network.resolve, did, params['service'] ?? '', params['type'] ?? '', resolved);
  return request.headers.accept === 'text/plain' ? plain(value) : json({ endpoint: value });
}

/** Organisations with a trusted credential, by name and by a service that their document has. */
function searchOrganizations(context: NodeContext, call: Call): Answer {
  const { network, store, clock } = context;
  const query = requiredQuery(call, 'query');
  const service = call.query.get('didServiceType');
  const dids = network
    .credentials(store)
    .filter((credential) => typeOf(credential) === ORGANIZATION)
    .map((credential) => text(subjectOf(credential), 'id') ?? '');
  const found = [...new Set(dids)].flatMap((did) => {
    const document = network.resolve(did);
    const hasService = service === null || document?.service?.some(({ type }) => type === service) === true;
    if (document === undefined || !hasService) return [];
    return organizations(context, did)
      .filter((credential) => isValidAt(credential, clock.now()))
      .map(nameAndCity)
      .filter((named) => named !== undefined && nameMatches(named.name, query))
      .map((named) => ({ didDocument: asResolved(document), organization: { city: named?.city, name: named?.name } }));
  });
  return json(found);
}
