/** The gate of the world `attack` before a real FHIR server, as callers of the use case `chart` see it: `createChartGate`. */
import { z } from 'zod';
import type { Sandbox } from '../../../../src/sandbox/control/sandbox.ts';
import { at, insist, listAt, textAt } from '../../../../src/sandbox/scenario/step.ts';
import { insistOnNoTrace } from '../gate.ts';
import { exchange, type Exchange, type ServerClient } from '../server.ts';
import { marker } from '../../../../src/sandbox/world/attack.ts';

export const CUSTODIAN = 'a';
/** What the base of the gate ends with: a path of the gate begins with it. */
const BASE_PATH = `/${CUSTODIAN}/fhir`;

export interface ChartRequest {
  readonly headers?: Record<string, string>;
  /** A form, text as it is, or what becomes JSON. */
  readonly body?: unknown;
  /** Who asks; `c` by default. */
  readonly requester?: 'b' | 'c';
}

export interface ChartGate {
  /** The public FHIR base. */
  readonly base: string;
  /** A request with a token for the use case; whatever comes back is searched for what must not leave. */
  send(method: string, path: string, request?: ChartRequest): Promise<Exchange>;
  /** Every page of a search, the first one by this path. */
  pages(path: string): Promise<readonly Exchange[]>;
  readonly token: (requester: 'b' | 'c') => Promise<string>;
}

const issued = z.object({ access_token: z.string() });
const MAX_PAGES = 40;

/** @param scope of its tokens: which role of which use case asks */
export function createChartGate({ description }: Sandbox, server: ServerClient, scope = 'chart'): ChartGate {
  const base = `${description.public}${BASE_PATH}`;
  const tokens = new Map<string, Promise<string>>();
  const issue = async (requester: string): Promise<string> => {
    const answer = await exchange(`${description.control}/tokens`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ tenant: CUSTODIAN, requester, scope, generation: 'v2' }),
    });
    insist(answer.status === 200, `no token: ${answer.status} ${answer.text}`);
    return issued.parse(answer.json).access_token;
  };
  const token = (requester: 'b' | 'c'): Promise<string> => {
    const known = tokens.get(requester) ?? issue(requester);
    tokens.set(requester, known);
    return known;
  };
  const send: ChartGate['send'] = async (method, path, { headers = {}, body, requester = 'c' } = {}) => {
    const form = body instanceof URLSearchParams;
    const answer = await exchange(`${base}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${await token(requester)}`,
        accept: 'application/fhir+json',
        ...(body === undefined || form ? {} : { 'content-type': 'application/fhir+json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: form || typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    insistOnNoTrace(answer, server, `${method} ${path}`);
    for (const trace of [marker(CUSTODIAN, 'other'), '_getpages', 'hapifhir'])
      insist(!answer.text.includes(trace), `${method} ${path}: the body has "${trace}"`);
    return answer;
  };
  return {
    base,
    send,
    token,
    pages: async (path) => {
      const pages = [await send('GET', path)];
      for (let next = linkOf(pages[0], 'next'); next !== undefined; next = linkOf(pages.at(-1), 'next')) {
        insist(pages.length < MAX_PAGES, 'the pages do not end');
        insist(next.startsWith(base), `the next page is at ${next}`);
        pages.push(await send('GET', next.slice(base.length)));
      }
      return pages;
    },
  };
}

/** The URL of a Bundle's link. */
export function linkOf(page: Exchange | undefined, relation: string): string | undefined {
  const found = listAt(page?.json, 'link').find((link) => at(link, 'relation') === relation);
  return found === undefined ? undefined : textAt(found, 'url');
}

/** `Type/id` of a Bundle's entries, those with this search mode only when one is named. */
export function namesOf(bundle: unknown, mode?: 'match' | 'include'): readonly string[] {
  return listAt(bundle, 'entry')
    .filter((entry) => mode === undefined || at(entry, 'search', 'mode') === mode)
    .map((entry) => `${textAt(entry, 'resource', 'resourceType')}/${textAt(entry, 'resource', 'id')}`);
}

/** The ids of all Observations that the server itself finds, in its order. */
export async function storedIds(server: ServerClient, query: string): Promise<readonly string[]> {
  const { status, json, text } = await server.send('GET', `/Observation?${query}&_count=1000`, {
    headers: { 'cache-control': 'no-cache' },
  });
  insist(status === 200, `the server's own search: ${status} ${text.slice(0, 200)}`);
  return namesOf(json, 'match');
}

/** An Observation as callers write them; its number's text must survive. */
export function observation(about: string, more: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> {
  return {
    resourceType: 'Observation',
    status: 'final',
    code: { text: 'interop' },
    subject: { reference: about },
    ...more,
  };
}
