/** Endpoints and compound services of a DID document over HTTP (didman v1, facts §5.1). */
import { z } from 'zod';

import type { NodeContext } from './context.ts';
import { checkDocument, documentOf, parseDid, parseReference, type DidDocument, type Service } from './did-document.ts';
import { empty, json, parseBody, type Call, type Route } from './http.ts';
import { canonical } from './json.ts';
import { base58, sha256 } from './key.ts';
import { NodeProblem, SERVICE_NOT_FOUND } from './problem.ts';

const endpointRequest = z.looseObject({ type: z.string().nullish(), endpoint: z.string().nullish() });
const compoundRequest = z.looseObject({
  type: z.string().nullish(),
  serviceEndpoint: z.record(z.string(), z.string()).nullish(),
});

export function serviceRoutes(context: NodeContext): Route[] {
  const did = '/internal/didman/v1/did/:did';
  const document = (call: Call): DidDocument => documentOf(context.network.resolve, parseDid(call.params['did'] ?? ''));
  const endpointIn = (call: Call): Omit<Service, 'id'> => {
    const { type, endpoint } = parseBody(call, endpointRequest);
    return { type: call.params['type'] ?? type ?? '', serviceEndpoint: endpoint ?? '' };
  };
  const compoundIn = (call: Call): Omit<Service, 'id'> => {
    const { type, serviceEndpoint } = parseBody(call, compoundRequest);
    return { type: call.params['type'] ?? type ?? '', serviceEndpoint: serviceEndpoint ?? {} };
  };
  return [
    {
      method: 'POST',
      path: `${did}/endpoint`,
      operation: 'AddEndpoint',
      limited: true,
      handle: (call) => json(addService(context, document(call), endpointIn(call))),
    },
    {
      method: 'PUT',
      path: `${did}/endpoint/:type`,
      operation: 'UpdateEndpoint',
      handle: (call) => json(replaceService(context, document(call), endpointIn(call))),
    },
    {
      method: 'DELETE',
      path: `${did}/endpoint/:type`,
      operation: 'DeleteEndpointsByType',
      handle: (call) => {
        removeService(context, document(call), ({ type }) => type === call.params['type']);
        return empty(204);
      },
    },
    {
      method: 'GET',
      path: `${did}/compoundservice`,
      operation: 'GetCompoundServices',
      handle: (call) => json((document(call).service ?? []).filter(({ serviceEndpoint }) => typeof serviceEndpoint !== 'string')),
    },
    {
      method: 'POST',
      path: `${did}/compoundservice`,
      operation: 'AddCompoundService',
      limited: true,
      handle: (call) => json(addService(context, document(call), compoundIn(call))),
    },
    {
      method: 'PUT',
      path: `${did}/compoundservice/:type`,
      operation: 'UpdateCompoundService',
      handle: (call) => json(replaceService(context, document(call), compoundIn(call))),
    },
    {
      method: 'DELETE',
      path: '/internal/didman/v1/service/:id',
      operation: 'DeleteService',
      handle: ({ params }) => {
        const id = params['id'] ?? '';
        const owner = documentOf(context.network.resolve, parseDid(id.split('#')[0] ?? ''));
        removeService(context, owner, (service) => service.id === id);
        return empty(204);
      },
    },
  ];
}

/** Adds a service. Errors: 400 blank type, foreign DID, bad reference; 404 missing target; 409 duplicate. */
export function addService(context: NodeContext, document: DidDocument, content: Omit<Service, 'id'>): Service {
  if (content.type.trim() === '') throw new NodeProblem(400, 'invalid value for type');
  const services = document.service ?? [];
  if (services.some(({ type }) => type === content.type)) throw new NodeProblem(409, 'service type is duplicate');
  const service = withId(document.id, content);
  store(context, document, [...services, service]);
  return service;
}

/** Puts a service in the place of the one of its type; 404 when there is none. */
export function replaceService(context: NodeContext, document: DidDocument, content: Omit<Service, 'id'>): Service {
  const services = document.service ?? [];
  if (!services.some(({ type }) => type === content.type)) throw new NodeProblem(404, SERVICE_NOT_FOUND);
  const service = withId(document.id, content);
  store(
    context,
    document,
    services.map((known) => (known.type === content.type ? service : known)),
  );
  return service;
}

/** 409 only when the same document refers to it: what other documents do is not looked at. */
function removeService(context: NodeContext, document: DidDocument, isIt: (service: Service) => boolean): void {
  const services = document.service ?? [];
  const gone = services.find(isIt);
  if (gone === undefined) throw new NodeProblem(404, SERVICE_NOT_FOUND);
  const left = services.filter((service) => service !== gone);
  const refers = (value: string): boolean => {
    const reference = parseReference(value);
    return reference?.did === document.id && reference.type === gone.type;
  };
  const isUsed = left.some(({ serviceEndpoint }) =>
    typeof serviceEndpoint === 'string' ? refers(serviceEndpoint) : Object.values(serviceEndpoint).some(refers),
  );
  if (isUsed) throw new NodeProblem(409, 'service is referenced by 1 or more services');
  store(context, document, left);
}

function withId(did: string, content: Omit<Service, 'id'>): Service {
  const { type, serviceEndpoint } = content;
  return { id: `${did}#${base58(sha256(canonical({ type, serviceEndpoint })))}`, type, serviceEndpoint };
}

function store(context: NodeContext, document: DidDocument, services: readonly Service[]): void {
  const { service: _, ...rest } = document;
  const changed: DidDocument = services.length === 0 ? rest : { ...rest, service: services };
  if (context.network.signingKey(context.store, document.id) === undefined) {
    throw new NodeProblem(400, 'update DID document: DID document not managed by this node');
  }
  checkDocument(context.network.resolve, changed);
  context.network.update(changed);
}
