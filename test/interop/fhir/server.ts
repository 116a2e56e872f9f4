/** The real FHIR server, without the gate: `createServerClient`, `loadResources`. */
import { references, type Resource } from '../../../src/sandbox/fhir/resource.ts';

export interface Exchange {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body, one character per byte. */
  readonly latin1: string;
  /** The body as JSON; undefined when it is none. */
  readonly json: unknown;
}

export interface ServerClient {
  /** `http://host:port/fhir`, without a slash at the end. */
  readonly base: string;
  /** `path` is below the base; a body that is text goes as it is. */
  send(
    method: string,
    path: string,
    options?: { readonly headers?: Record<string, string>; readonly body?: unknown },
  ): Promise<Exchange>;
}

const TIMEOUT_MS = 60_000;

/** A client of a FHIR server that nobody stands before. */
export function createServerClient(url: string): ServerClient {
  const base = url.replace(/\/+$/, '');
  return {
    base,
    send: (method, path, { headers = {}, body } = {}) =>
      exchange(`${base}${path}`, {
        method,
        headers: {
          accept: 'application/fhir+json',
          ...(body === undefined ? {} : { 'content-type': 'application/fhir+json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      }),
  };
}

/** One request, without following redirects. */
export async function exchange(url: string, init: RequestInit): Promise<Exchange> {
  const answer = await fetch(url, { ...init, redirect: 'manual', signal: AbortSignal.timeout(TIMEOUT_MS) });
  const bytes = Buffer.from(await answer.arrayBuffer());
  const text = bytes.toString('utf8');
  return { status: answer.status, headers: answer.headers, text, latin1: bytes.toString('latin1'), json: parse(text) };
}

/**
 * Puts resources under their own ids, what is referred to first: servers refuse dangling references.
 * @throws Error naming what the server does not accept
 */
export async function loadResources(server: ServerClient, resources: readonly Resource[]): Promise<void> {
  const waiting = new Map(resources.map((resource) => [`${resource.resourceType}/${resource.id}`, resource]));
  while (waiting.size > 0) {
    const ready = [...waiting].filter(([own, resource]) =>
      references(resource).every((each) => each === own || !waiting.has(each)),
    );
    if (ready.length === 0) throw new Error(`these refer to each other in a circle: ${[...waiting.keys()].join(', ')}`);
    for (const [reference, resource] of ready) {
      const { status, text } = await server.send('PUT', `/${reference}`, { body: resource });
      if (status !== 200 && status !== 201) throw new Error(`PUT ${reference}: ${status} ${text.slice(0, 300)}`);
      waiting.delete(reference);
    }
  }
}

function parse(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return value;
  } catch {
    return undefined;
  }
}
