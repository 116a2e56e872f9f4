/** The gate, and the parties that call it, as one sandbox before a real FHIR server: `createGate`. */
import { STATUS_CODES } from 'node:http';
import { z } from 'zod';
import type { Sandbox } from '../../../src/sandbox/control/sandbox.ts';
import { at, insist } from '../../../src/sandbox/scenario/step.ts';
import { USERS } from '../../../src/sandbox/world/demo.ts';
import { exchange, type Exchange, type ServerClient } from './server.ts';

export const SENDER = 'ziekenhuis-oost';
export type Receiver = 'thuiszorg-west' | 'zorghuis-noord';

export interface GateRequest {
  readonly headers?: Record<string, string>;
  readonly body?: unknown;
}

export interface Gate {
  /** The sender's public FHIR base. */
  readonly base: string;
  /** A request of a receiver at the sender's gate; whatever comes back is searched for what must not leave. */
  send(token: string, method: string, path: string, request?: GateRequest): Promise<Exchange>;
  /** A call of an EHR to the API, below its tenant. @throws Unexpected when the status is another one */
  ehr(tenant: string, method: string, path: string, expect: number, request?: GateRequest): Promise<Exchange>;
  /** A token of a receiver for the sender's gate, with rights to these paths and a care worker in it. */
  token(requester: Receiver, grants: Readonly<Record<string, readonly string[]>>): Promise<string>;
  /** What the sandbox knows of the organisations. */
  readonly did: (id: string) => string;
}

const issued = z.object({ access_token: z.string() });

export function createGate({ description }: Sandbox, server: ServerClient): Gate {
  const base = `${description.public}/${SENDER}/fhir`;
  const tenant = (id: string): (typeof description.tenants)[string] => {
    const found = description.tenants[id];
    if (found === undefined) throw new Error(`${id} is no tenant`);
    return found;
  };
  return {
    base,
    did: (id) => tenant(id).did,
    send: async (token, method, path, { headers = {}, body } = {}) => {
      const answer = await exchange(`${base}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${token}`,
          accept: 'application/fhir+json',
          ...(body === undefined ? {} : { 'content-type': 'application/fhir+json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      insistOnNoTrace(answer, server, `${method} ${path}`);
      return answer;
    },
    ehr: async (id, method, path, expect, { headers = {}, body } = {}) => {
      const answer = await exchange(`${description.internal}/api/v1/tenants/${id}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${tenant(id).apiKey}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      insist(
        answer.status === expect,
        `${method} ${path}: expected ${expect}, got ${answer.status} ${answer.text.slice(0, 400)}`,
      );
      insistOnNoTrace(answer, server, `${method} ${path}`);
      return answer;
    },
    token: async (requester, grants) => {
      const answer = await exchange(`${description.control}/tokens`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          tenant: SENDER,
          requester,
          purpose: 'eOverdracht-sender',
          user: USERS[requester],
          grants: Object.entries(grants).map(([path, operations]) => ({
            path,
            operations,
            userContext: !path.startsWith('/Task/'),
          })),
        }),
      });
      insist(answer.status === 200, `no token: ${answer.status} ${answer.text}`);
      return issued.parse(answer.json).access_token;
    },
  };
}

/** Header names that the gate and its HTTP library may answer with. */
const HEADERS: ReadonlySet<string> = new Set(
  `cache-control connection content-disposition content-location content-length content-type date etag keep-alive last-modified transfer-encoding vary
  x-content-type-options x-request-id www-authenticate x-user-session location idempotency-replayed content-security-policy
  referrer-policy x-frame-options retry-after allow accept-patch`.split(/\s+/),
);

/** Of the server nothing leaves: not where it is, not what it is, not what it says about its errors. */
export function insistOnNoTrace({ headers, text }: Exchange, server: ServerClient, call: string): void {
  const { host } = new URL(server.base);
  const said = [...headers].map(([name, value]) => `${name}: ${value}`).join('\n');
  for (const trace of [
    host,
    encodeURIComponent(host),
    host.replaceAll('/', '\\/'),
    'HAPI-',
    'HAPI FHIR',
    'SIM-',
    'Simulated FHIR',
    'ca.uhn.',
    'java.lang',
  ]) {
    insist(!text.includes(trace), `${call}: the body has "${trace}"`);
    insist(!said.includes(trace), `${call}: a header has "${trace}"`);
  }
  for (const [name] of headers) insist(HEADERS.has(name), `${call}: header ${name} left`);
}

/** What an OperationOutcome says: its text only. */
export function outcomeText({ json, status }: Exchange): unknown {
  insist(at(json, 'resourceType') === 'OperationOutcome', `no OperationOutcome with ${status} ${STATUS_CODES[status] ?? ''}`);
  return at(json, 'issue', 0, 'details', 'text');
}
