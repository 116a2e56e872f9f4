import { GatewayError } from '../errors.ts';
import type { Interaction, PatchFormat, SearchVia } from './interaction.ts';
import type { JsonObject } from './json.ts';
import { resolvePatchFormat } from './media.ts';
import { readOperationInput, unjudged } from './operation-input.ts';
import { parseParameter, shownName, type Parameter } from './parameter.ts';
import { interactionPath } from './print-interaction.ts';
import { CONTINUATION, isKnownParameter, type ParameterUse } from './parameter-names.ts';
import { valueFault, repeatsSingle } from './parameter-values.ts';
import { invalidParameter, parseQuery, type QueryPair } from './target.ts';
import { isId, isResourceType, type FhirVersion } from './version.ts';

/** A request as the edge and `parseTarget` leave it, below the FHIR base. */
export interface InteractionRequest {
  /** As it stands in the request line: exact case. */
  readonly method: string;
  /** The segments after the base, decoded. */
  readonly segments: readonly string[];
  readonly query: readonly QueryPair[];
  readonly version: FhirVersion;
  /** The form body of a `POST …/_search`, read with `parseQuery`. */
  readonly form?: readonly QueryPair[];
  /** The raw value of the header `If-None-Exist`. */
  readonly ifNoneExist?: string;
  /** The raw value of the header `Content-Type`: of a PATCH it says in what the patch is written. */
  readonly contentType?: string;
  /** The body of an operation by POST, read with `parseJsonObject`. */
  readonly input?: JsonObject;
}

const NONE: readonly Parameter[] = Object.freeze([]);
const OPERATION = /^\$[a-z][a-z0-9.-]{0,63}$/;
/** The compartments of both versions (compartmentdefinition.html). */
const COMPARTMENTS: ReadonlySet<string> = new Set(['Patient', 'Encounter', 'RelatedPerson', 'Practitioner', 'Device']);

const ON_BASE = ['GET', 'HEAD', 'POST'];
const ON_TYPE = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];
const ON_INSTANCE = ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE'];
const ON_OPERATION = ['GET', 'HEAD', 'POST'];
const ON_READABLE = ['GET', 'HEAD'];
const ON_SEARCH = ['POST'];

/**
 * Reads a request as exactly one FHIR interaction. The grammar is closed: what it does not name is no FHIR request.
 *
 * @throws GatewayError `not_found` (404) for a path that is none of FHIR's, `method_not_allowed` (405, with `allow`) for a method that
 *   the path does not have, `invalid_parameter` (400) for a parameter that the interaction does not have, `unsupported_media_type`
 *   (415) for a form where none belongs, `invalid_header` (400) for an `If-None-Exist` where none belongs or that is no search
 */
export function parseInteraction(request: InteractionRequest): Interaction {
  // A method in a parameter is a method override whatever the path is (attack case M2).
  if (request.query.length > 0 && request.query.some(({ name }) => name.toLowerCase() === '_method'))
    throw unknownParameter('_method');
  const interaction = request.method === 'OPTIONS' ? options(request) : parsePath(request);
  if (request.form !== undefined && !('via' in interaction && interaction.via === 'form')) {
    throw new GatewayError('unsupported_media_type', `a form is no body for ${interaction.kind}`);
  }
  if (request.ifNoneExist !== undefined && interaction.kind !== 'conditional-create') {
    throw invalidIfNoneExist('belongs to a create only');
  }
  return interaction;
}

function parsePath(request: InteractionRequest): Interaction {
  const [first, second, third, fourth, fifth] = request.segments;
  if (request.segments.length > 5) throw notFound();
  if (first === undefined) return onBase(request);
  if (first === 'metadata' && second === undefined) return capabilities(request);
  if (first === '_history' && second === undefined) {
    return { kind: 'history-system', ...readable(request, 'history') };
  }
  if (first === '_search' && second === undefined) return { kind: 'search-system', ...searchByPost(request, undefined) };
  if (first.startsWith('$') && second === undefined) return { kind: 'operation-system', ...operation(request, first) };
  if (!isResourceType(request.version, first)) throw notFound();
  if (second === undefined) return onType(request, first);
  if (second === '_history' && third === undefined) return { kind: 'history-type', type: first, ...readable(request, 'history') };
  if (second === '_search' && third === undefined) return { kind: 'search-type', type: first, ...searchByPost(request, first) };
  if (second.startsWith('$') && third === undefined)
    return { kind: 'operation-type', type: first, ...operation(request, second) };
  if (!isId(second)) throw notFound();
  if (third === undefined) return onInstance(request, first, second);
  if (third === '_history') return history(request, first, second, fourth, fifth);
  if (third.startsWith('$') && fourth === undefined) {
    return { kind: 'operation-instance', type: first, id: second, ...operation(request, third) };
  }
  return compartment(request, { type: first, id: second }, third, fourth, fifth);
}

/** A path that some other method has; it is not asked which, so that a refusal tells nothing that the path itself does not. */
function options(request: InteractionRequest): Interaction {
  without(request);
  const isSearch = request.segments.at(-1) === '_search';
  const path = interactionPath(parsePath({ ...request, method: isSearch ? 'POST' : 'GET' }));
  return { kind: 'options', path: isSearch ? `${path}/_search` : path, allow: methodsOf(request) };
}

/** What the grammar says to a method that no path has. */
function methodsOf(request: InteractionRequest): readonly string[] {
  try {
    parsePath(request);
  } catch (error) {
    if (error instanceof GatewayError && error.options.allow !== undefined) return error.options.allow;
    throw error;
  }
  throw new GatewayError('internal', 'a path that has every method');
}

function onBase(request: InteractionRequest): Interaction {
  if (isGet(request)) return { kind: 'search-system', ...searchByGet(request, undefined) };
  if (request.method !== 'POST') throw notAllowed(ON_BASE);
  without(request);
  return { kind: 'bundle' };
}

function capabilities(request: InteractionRequest): Interaction {
  const { head, parameters } = readable(request, 'capabilities');
  // What it is without saying so (http.html#capabilities, R4), said once: the same request.
  const [only] = parameters;
  const isDefault = parameters.length === 1 && only?.key === 'mode' && only.values.join() === 'full';
  return { kind: 'capabilities', head, parameters: isDefault ? [] : parameters };
}

function onType(request: InteractionRequest, type: string): Interaction {
  switch (request.method) {
    case 'GET':
    case 'HEAD':
      return { kind: 'search-type', type, ...searchByGet(request, type) };
    case 'POST':
      without(request);
      if (request.ifNoneExist === undefined) return { kind: 'create', type };
      return { kind: 'conditional-create', type, criteria: parseIfNoneExist(request, type, request.ifNoneExist) };
    case 'PUT':
      return { kind: 'conditional-update', type, criteria: criteria(request, type) };
    case 'PATCH':
      return { kind: 'conditional-patch', type, criteria: criteria(request, type), ...patchFormat(request) };
    case 'DELETE':
      return { kind: 'conditional-delete', type, criteria: criteria(request, type) };
    default:
      throw notAllowed(ON_TYPE);
  }
}

function onInstance(request: InteractionRequest, type: string, id: string): Interaction {
  switch (request.method) {
    case 'GET':
    case 'HEAD':
      return { kind: 'read', type, id, ...readable(request, 'read') };
    case 'PUT':
      without(request);
      return { kind: 'update', type, id };
    case 'PATCH':
      without(request);
      return { kind: 'patch', type, id, ...patchFormat(request) };
    case 'DELETE':
      without(request);
      return { kind: 'delete', type, id };
    default:
      throw notAllowed(ON_INSTANCE);
  }
}

function history(request: InteractionRequest, type: string, id: string, versionId?: string, surplus?: string): Interaction {
  if (versionId === undefined) return { kind: 'history-instance', type, id, ...readable(request, 'history') };
  if (surplus !== undefined || !isId(versionId)) throw notFound();
  return { kind: 'vread', type, id, versionId, ...readable(request, 'read') };
}

function compartment(
  request: InteractionRequest,
  owner: { readonly type: string; readonly id: string },
  type: string,
  search?: string,
  surplus?: string,
): Interaction {
  if (!COMPARTMENTS.has(owner.type) || surplus !== undefined) throw notFound();
  if (type !== '*' && !isResourceType(request.version, type)) throw notFound();
  const parameterType = type === '*' ? undefined : type;
  if (search === undefined) {
    if (!isGet(request)) throw notAllowed(ON_READABLE);
    return { kind: 'search-compartment', compartment: owner, type, ...searchByGet(request, parameterType) };
  }
  if (search !== '_search') throw notFound();
  return { kind: 'search-compartment', compartment: owner, type, ...searchByPost(request, parameterType) };
}

interface Readable {
  readonly parameters: readonly Parameter[];
  readonly head: boolean;
}

function readable(request: InteractionRequest, use: ParameterUse): Readable {
  if (!isGet(request)) throw notAllowed(ON_READABLE);
  return { parameters: parameters(request, request.query, use), head: request.method === 'HEAD' };
}

interface Search extends Readable {
  readonly via: SearchVia;
}

function searchByGet(request: InteractionRequest, type: string | undefined): Search {
  const found = parameters(request, request.query, 'search', type);
  return { parameters: found, head: request.method === 'HEAD', via: 'query' };
}

// Query and form are one list, judged together (attack cases Q42, Q43).
function searchByPost(request: InteractionRequest, type: string | undefined): Search {
  if (request.method !== 'POST') throw notAllowed(ON_SEARCH);
  const pairs = request.form === undefined ? request.query : [...request.query, ...request.form];
  return { parameters: parameters(request, pairs, 'search', type), head: false, via: 'form' };
}

interface OperationRequest extends Readable {
  readonly operation: string;
  readonly method: 'GET' | 'POST';
  readonly input?: JsonObject;
}

function operation(request: InteractionRequest, name: string): OperationRequest {
  if (!OPERATION.test(name)) throw notFound();
  const method = isGet(request) ? 'GET' : 'POST';
  if (method === 'POST' && request.method !== 'POST') throw notAllowed(ON_OPERATION);
  const asked = parameters(request, request.query, 'operation');
  const head = request.method === 'HEAD';
  const { input } = request;
  if (input === undefined) return { operation: name, method, parameters: asked, head };
  // What stands in both, servers read in the one or in the other.
  if (asked.length > 0) throw unjudged('the query beside it');
  return { operation: name, method, parameters: readOperationInput(input, request.version), head, input };
}

function criteria(request: InteractionRequest, type: string): readonly Parameter[] {
  const found = parameters(request, request.query, 'criteria', type);
  // Without criteria the path has no such method: nothing is ever done to a whole type.
  if (found.length === 0) throw notAllowed(ON_BASE);
  return found;
}

// "If-None-Exist: [search parameters]" (http.html, conditional create): the criteria of a search, and nothing else.
function parseIfNoneExist(request: InteractionRequest, type: string, value: string): readonly Parameter[] {
  const text = value.startsWith('?') ? value.slice(1) : value;
  const found = parameters(request, parseQuery(text), 'criteria', type);
  if (found.length === 0) throw invalidIfNoneExist('has no criteria');
  return found;
}

function patchFormat({ contentType, version }: InteractionRequest): { readonly format?: PatchFormat } {
  const format = resolvePatchFormat(contentType, version);
  return format === undefined ? {} : { format };
}

function without(request: InteractionRequest): void {
  if (request.query.length > 0) parameters(request, request.query, 'none');
}

function parameters(
  request: InteractionRequest,
  pairs: readonly QueryPair[],
  use: ParameterUse,
  type?: string,
): readonly Parameter[] {
  if (pairs.length === 0) return NONE;
  const found: Parameter[] = [];
  for (const pair of pairs) {
    if (pair.name === '_format' || pair.name === '_pretty') continue;
    const parameter = parseParameter(pair, request.version);
    if (!isKnownParameter(parameter, use, request.version, type)) throw unknownParameter(pair.name);
    const fault = use === 'operation' ? undefined : valueFault(parameter, request.version, type);
    if (fault !== undefined) throw malformed(pair.name, fault);
    found.push(parameter);
  }
  if (repeatsSingle(found)) throw malformed('query', 'repeats a parameter that can be given once');
  // A link to a further page says all that there is to say.
  if (found.length > 1 && found.some(({ key }) => key === CONTINUATION)) throw malformed(CONTINUATION, 'must stand alone');
  return found.length === 0 ? NONE : found;
}

function isGet(request: InteractionRequest): boolean {
  return request.method === 'GET' || request.method === 'HEAD';
}

function notFound(): GatewayError {
  return new GatewayError('not_found', 'path is none of the FHIR grammar');
}

function notAllowed(allow: readonly string[]): GatewayError {
  return new GatewayError('method_not_allowed', 'method is not one of this path', { allow });
}

function unknownParameter(name: string): GatewayError {
  return malformed(name, 'is unknown for this interaction');
}

function malformed(name: string, problem: string): GatewayError {
  return invalidParameter(shownName(name), problem);
}

function invalidIfNoneExist(problem: string): GatewayError {
  return new GatewayError('invalid_header', `If-None-Exist ${problem}`, { fields: [{ field: 'If-None-Exist', problem }] });
}
