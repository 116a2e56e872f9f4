import resourceTypes from '../../fhir/resource-types.json' with { type: 'json' };
import { isResourceType } from '../../fhir/version.ts';
import { processBundle } from './bundle.ts';
import { assembleDocument } from './document.ts';
import { everything, history, nextPage, read, search, vread } from './read.ts';
import { FhirFailure } from './reply.ts';
import type { FhirRequest, Reply } from './reply.ts';
import type { Draft } from './resource.ts';
import { searchParametersOf } from './search.ts';
import type { World } from './world.ts';
import { conditionalDelete, conditionalUpdate, create, remove, update } from './write.ts';

/** Answers one request below the base; throws a `FhirFailure` for what it refuses. */
export function interact(world: World, request: FhirRequest): Reply {
  const [first, second, third, ...rest] = request.segments;
  if (first === undefined) return onSystem(world, request);
  if (first === 'metadata')
    return reads(request) || request.method === 'OPTIONS' ? capabilities(world, request) : notAllowed(request);
  if (first === '_history' && second === undefined) return reads(request) ? history(world, request) : notAllowed(request);
  if (!isResourceType(world.version, first)) {
    throw first.startsWith('$') || first.startsWith('_')
      ? unsupported(request)
      : new FhirFailure(
          404,
          'processing',
          `SIM-0302: Unknown resource type '${first}' - Server knows how to handle: [${resourceTypes[world.version].join(', ')}]`,
        );
  }
  if (second === undefined) return onType(world, request, first);
  if (second === '_search' && third === undefined) {
    return request.method === 'POST' || request.method === 'GET' ? search(world, request, first) : notAllowed(request);
  }
  if (second === '_history' && third === undefined) return reads(request) ? history(world, request, first) : notAllowed(request);
  if (second.startsWith('$') || second.startsWith('_')) throw unsupported(request);
  if (third === undefined) return onInstance(world, request, first, second);
  return belowInstance(world, request, { type: first, id: second, third, rest });
}

function onSystem(world: World, request: FhirRequest): Reply {
  if (request.method === 'POST') return processBundle(world, request, (entry) => interact(world, entry));
  if (request.method === 'OPTIONS') return capabilities(world, request);
  if (reads(request) && request.query.has('_getpages')) return nextPage(world, request);
  throw unsupported(request);
}

function onType(world: World, request: FhirRequest, type: string): Reply {
  switch (request.method) {
    case 'GET':
      return search(world, request, type);
    case 'POST':
      return create(world, request, type);
    case 'PUT':
      return conditionalUpdate(world, request, type);
    case 'DELETE':
      return conditionalDelete(world, request, type);
    default:
      throw unsupported(request);
  }
}

function onInstance(world: World, request: FhirRequest, type: string, id: string): Reply {
  switch (request.method) {
    case 'GET':
    case 'HEAD':
      return read(world, request, type, id);
    case 'PUT':
      return update(world, request, type, id);
    case 'DELETE':
      return remove(world, request, type, id);
    case 'PATCH':
      throw new FhirFailure(405, 'not-supported', 'SIM-0302: this server does not patch', { allow: 'GET, HEAD, PUT, DELETE' });
    default:
      throw unsupported(request);
  }
}

interface Below {
  readonly type: string;
  readonly id: string;
  readonly third: string;
  readonly rest: readonly string[];
}

function belowInstance(world: World, request: FhirRequest, { type, id, third, rest }: Below): Reply {
  const [fourth] = rest;
  if (third === '_history' && rest.length <= 1 && reads(request)) {
    return fourth === undefined ? history(world, request, type, id) : vread(world, request, type, id, fourth);
  }
  const operation = rest.length === 0 && (request.method === 'GET' || request.method === 'POST') ? third : undefined;
  if (operation === '$document' && type === 'Composition') {
    const { clock, version, behaviour } = world;
    const resource = assembleDocument(world.store, { id, base: request.base, mode: behaviour.document, version, clock });
    return {
      status: 200,
      headers: { 'content-location': `${request.base}/Bundle/${resource.id ?? ''}` },
      body: { kind: 'resource', resource },
    };
  }
  if (operation === '$everything' && type === 'Patient') return everything(world, request, id);
  throw unsupported(request);
}

function reads({ method }: FhirRequest): boolean {
  return method === 'GET' || method === 'HEAD';
}

function unsupported({ method, segments, query }: FhirRequest): FhirFailure {
  const known = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'].includes(method);
  if (method === 'TRACE') return new FhirFailure(405, 'not-supported', 'SIM-0302: TRACE is not allowed', { allow: 'GET, POST' });
  return new FhirFailure(
    known ? 400 : 501,
    'not-supported',
    `SIM-0302: Invalid request: The FHIR endpoint on this server does not know how to handle ${method} operation[${segments.join('/')}] with parameters [[${[...query.keys()].join(', ')}]]`,
  );
}

function notAllowed(request: FhirRequest): never {
  throw unsupported(request);
}

function capabilities({ name, version, clock, behaviour }: World, { base }: FhirRequest): Reply {
  const interaction = ['read', 'vread', 'update', 'create', 'delete', 'history-instance', 'history-type', 'search-type'].map(
    (code) => ({ code }),
  );
  const resource: Draft = {
    resourceType: 'CapabilityStatement',
    status: 'active',
    date: clock.now().toISOString(),
    kind: 'instance',
    software: { name: 'Simulated FHIR server', version: '1' },
    implementation: { description: `Sandbox of ${name}`, url: base },
    fhirVersion: version === 'STU3' ? '3.0.2' : '4.0.1',
    ...(version === 'STU3' ? { acceptUnknown: 'extensions' } : {}),
    format: ['application/fhir+json', 'json'],
    rest: [
      {
        mode: 'server',
        resource: resourceTypes[version].map((type) => ({
          type,
          interaction,
          versioning: behaviour.ifMatch === 'enforced' ? 'versioned-update' : 'versioned',
          readHistory: true,
          updateCreate: true,
          conditionalCreate: true,
          conditionalUpdate: true,
          conditionalDelete: 'single',
          searchParam: Object.entries(searchParametersOf(type)).map(([parameter, { kind }]) => ({ name: parameter, type: kind })),
        })),
        interaction: [{ code: 'transaction' }, { code: 'batch' }, { code: 'history-system' }],
        ...(behaviour.document === 'none' ? {} : { operation: [documentOperation(version)] }),
      },
    ],
  };
  return { status: 200, headers: {}, body: { kind: 'resource', resource } };
}

function documentOperation(version: World['version']): unknown {
  const canonical = 'http://hl7.org/fhir/OperationDefinition/Composition-document';
  return { name: 'document', definition: version === 'STU3' ? { reference: canonical } : canonical };
}
