/** DID documents and the references between their services (facts §5.1). */
import type { PublicJwk } from './key.ts';
import { DID_NOT_FOUND, NodeProblem, SERVICE_NOT_FOUND, within } from './problem.ts';

export interface Service {
  readonly id: string;
  readonly type: string;
  readonly serviceEndpoint: string | Readonly<Record<string, string>>;
}

export interface DidDocument {
  readonly '@context': readonly string[];
  readonly id: string;
  readonly controller?: readonly string[];
  readonly verificationMethod: readonly {
    readonly id: string;
    readonly type: 'JsonWebKey2020';
    readonly controller: string;
    readonly publicKeyJwk: PublicJwk;
  }[];
  readonly authentication?: readonly string[];
  readonly assertionMethod?: readonly string[];
  readonly capabilityInvocation?: readonly string[];
  readonly capabilityDelegation?: readonly string[];
  readonly keyAgreement?: readonly string[];
  readonly service?: readonly Service[];
}

export const DID_CONTEXTS: readonly string[] = [
  'https://nuts.nl/did/v1',
  'https://w3c-ccg.github.io/lds-jws2020/contexts/lds-jws2020-v1.json',
  'https://www.w3.org/ns/did/v1',
];

export const WEB_DID_CONTEXTS: readonly string[] = [
  'https://www.w3.org/ns/did/v1',
  'https://w3c-ccg.github.io/lds-jws2020/contexts/lds-jws2020-v1.json',
];

/** Where documents are found; `undefined` for a DID that the network does not have. */
export type ResolveDocument = (did: string) => DidDocument | undefined;

/** A DID as v5 parses it. Throws 400 with its text. */
export function parseDid(value: string): string {
  if (value.length < 7) throw new NodeProblem(400, 'invalid DID: input length is less than 7');
  if (!value.startsWith('did:')) throw new NodeProblem(400, "invalid DID: input does not begin with 'did:' prefix");
  const isWeb = /^did:web:(?:[A-Za-z0-9._:-]|%[0-9A-Fa-f]{2})+$/.test(value);
  if (!isWeb && !/^did:[a-z0-9]+:[A-Za-z0-9.-]+$/.test(value)) {
    throw new NodeProblem(400, "invalid DID: byte is not ALPHA OR DIGIT OR '.' OR '-'");
  }
  return value;
}

export function documentOf(resolve: ResolveDocument, did: string): DidDocument {
  const document = resolve(did);
  if (document === undefined) throw new NodeProblem(404, DID_NOT_FOUND);
  return document;
}

const MAX_HOPS = 5;
const TOO_DEEP = 'service references are nested to deeply before resolving to a non-reference';

/** The service that `endpoint` stands for after following references; 404 when one is missing, 400 when there are too many. */
function follow(resolve: ResolveDocument, endpoint: Service['serviceEndpoint'], hops = 0): Service['serviceEndpoint'] {
  const reference = typeof endpoint === 'string' ? parseReference(endpoint) : undefined;
  if (reference === undefined) return endpoint;
  if (hops >= MAX_HOPS) throw new NodeProblem(400, TOO_DEEP);
  const target = documentOf(resolve, reference.did).service?.find((service) => service.type === reference.type);
  if (target === undefined) throw new NodeProblem(404, SERVICE_NOT_FOUND);
  return follow(resolve, target.serviceEndpoint, hops + 1);
}

/** `did:nuts:…/serviceEndpoint?type=<type>`, or `undefined` for any other text. */
export function parseReference(value: string): { readonly did: string; readonly type: string } | undefined {
  const match = /^(did:[^/?#]+)\/serviceEndpoint\?type=([^&#]+)$/.exec(value);
  return match?.[1] === undefined || match[2] === undefined ? undefined : { did: match[1], type: decodeURIComponent(match[2]) };
}

const NO_SINGLE_ENDPOINT = 'referenced service does not resolve to a single endpoint URL';

/** One endpoint of a compound service; `resolved` false leaves its reference as it is. Errors: 404, 406 (facts §11.2, 44). */
export function compoundEndpoint(resolve: ResolveDocument, did: string, service: string, type: string, resolved = true): string {
  const document = documentOf(resolve, did);
  const found = document.service?.find((candidate) => candidate.type === service);
  if (found === undefined) {
    throw new NodeProblem(406, `${NO_SINGLE_ENDPOINT}: unable to resolve compound service: ${SERVICE_NOT_FOUND}`);
  }
  const compound = follow(resolve, found.serviceEndpoint);
  if (typeof compound === 'string') {
    throw new NodeProblem(
      406,
      `${NO_SINGLE_ENDPOINT}: referenced service is not a compound service: ` +
        'json: cannot unmarshal string into Go value of type map[string]string',
    );
  }
  const endpoint = Object.hasOwn(compound, type) ? compound[type] : undefined;
  if (endpoint === undefined) throw new NodeProblem(404, SERVICE_NOT_FOUND);
  if (!resolved) return endpoint;
  const value = follow(resolve, endpoint);
  if (typeof value !== 'string') throw new NodeProblem(406, NO_SINGLE_ENDPOINT);
  return value;
}

/** A plain endpoint of a document by type, resolved; 404 when it or something it refers to is missing. */
export function endpointOf(resolve: ResolveDocument, did: string, type: string): Service['serviceEndpoint'] {
  const found = documentOf(resolve, did).service?.find((service) => service.type === type);
  if (found === undefined) throw new NodeProblem(404, SERVICE_NOT_FOUND);
  return follow(resolve, found.serviceEndpoint);
}

/** Checks a document before it is stored: every reference must resolve, NutsComm is grpc, types are unique. */
export function checkDocument(resolve: ResolveDocument, document: DidDocument): void {
  const withThis: ResolveDocument = (did) => (did === document.id ? document : resolve(did));
  within('update DID document: invalid service', () => {
    for (const service of document.service ?? []) {
      const endpoints =
        typeof service.serviceEndpoint === 'string' ? [service.serviceEndpoint] : Object.values(service.serviceEndpoint);
      const values = endpoints.map((endpoint) => follow(withThis, endpoint));
      if (service.type === 'NutsComm') within('NutsComm', () => values.forEach(checkAddress));
    }
  });
}

/** Names that can be nobody's on the internet (RFC 2606 and a draft after it). */
const RESERVED = /(?:^|\.)(?:corp|example|home|host|invalid|lan|local|localdomain|localhost|test|example\.(?:com|net|org))$/;

/** The address of a node for other nodes: grpc, a name and no number, not reserved. */
function checkAddress(value: Service['serviceEndpoint']): void {
  const host = typeof value === 'string' ? /^grpc:\/\/([^/:?#]*|\[[^\]]*\])(?::\d+)?(?:[/?#]|$)/i.exec(value)?.[1] : undefined;
  if (host === undefined) throw new NodeProblem(400, 'scheme must be grpc');
  if (/^(?:\d+\.){3}\d+$|^\[/.test(host)) throw new NodeProblem(400, 'hostname is IP');
  if (host === '' || RESERVED.test(host.toLowerCase())) throw new NodeProblem(400, 'hostname is reserved');
}
