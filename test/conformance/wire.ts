/** The gate as another organisation meets it: requests exactly as they are given, tokens of any kind, and what reached the FHIR server. */
import { expect } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import type { Sandbox } from '../../src/sandbox/control/sandbox.ts';
import { at, listAt, textAt } from '../../src/sandbox/scenario/step.ts';
import { api, control, eventually, request, tenantIn, type Reply } from '../e2e/support.ts';

export const OOST = 'ziekenhuis-oost';
export const WEST = 'thuiszorg-west';
export const NOORD = 'zorghuis-noord';

export const NURSE = { identifier: 'w@example.org', initials: 'W', familyName: 'XXX_West' };

export interface Answer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
  readonly json: unknown;
}

export interface Sending {
  readonly token?: string;
  /** Further header lines, as they are. */
  readonly headers?: readonly (readonly [string, string])[];
  readonly body?: string;
  /** Of the body; `application/fhir+json` without it. */
  readonly type?: string;
}

/** Sends a request to the public listener. Nothing of the path is normalised on the way, and no header added but `Host` and the length. */
export function send(sandbox: Sandbox, method: string, path: string, sending: Sending = {}): Promise<Answer> {
  const { hostname, port, host } = new URL(sandbox.description.public);
  const lines: (readonly [string, string])[] = [['Host', host], ...(sending.headers ?? [])];
  if (sending.token !== undefined) lines.push(['Authorization', `Bearer ${sending.token}`]);
  if (sending.body !== undefined) {
    lines.push(
      ['Content-Type', sending.type ?? 'application/fhir+json'],
      ['Content-Length', String(Buffer.byteLength(sending.body))],
    );
  }
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest({ hostname, port, method, path, headers: lines.flat(), agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const body = Buffer.concat(chunks);
        resolve({
          status: response.statusCode ?? 0,
          headers: new Map(Object.entries(response.headers).map(([name, value]) => [name, String(value)])),
          body,
          json: parsed(body),
        });
      });
    });
    outgoing.on('error', reject);
    outgoing.end(sending.body);
  });
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}

/** A token for `tenant`'s gate, made by the control API (`{credentials, grants, user, purpose …}`); of an hour, if not said otherwise. */
export async function tokenFor(sandbox: Sandbox, requester: string, more: object = {}, tenant = OOST): Promise<string> {
  const purpose = 'scope' in more ? {} : { purpose: 'eOverdracht-sender' };
  const reply = await control(sandbox, 'POST', '/tokens', { tenant, requester, ...purpose, expiresInS: 3600, ...more });
  expect(reply.status).toBe(200);
  return textAt(reply.json, 'access_token');
}

/** Issues a NutsAuthorizationCredential at the node of `issuer`, as any software could; the gateway's ledger hears nothing of it. */
export async function issue(
  sandbox: Sandbox,
  issuer: string,
  subject: string,
  resources: readonly object[],
  more: { readonly purpose?: string; readonly expiresAt?: Date } = {},
): Promise<unknown> {
  const { node, did } = tenantIn(sandbox, issuer);
  const expiry = more.expiresAt ?? new Date(sandbox.world.clock.now().getTime() + 30 * 86_400_000);
  const reply = await request('POST', `${node}/internal/vcr/v2/issuer/vc`, {
    body: {
      type: 'NutsAuthorizationCredential',
      issuer: did,
      visibility: 'private',
      expirationDate: expiry.toISOString(),
      credentialSubject: { id: tenantIn(sandbox, subject).did, purposeOfUse: more.purpose ?? 'eOverdracht-sender', resources },
    },
  });
  expect({ status: reply.status, text: reply.status === 200 ? '' : reply.text }).toEqual({ status: 200, text: '' });
  return reply.json;
}

/** The credentials that the hospital's node issued to a receiver and that name a path; newest last, revoked ones too. */
export async function issuedFor(sandbox: Sandbox, receiver: string, path: string): Promise<readonly unknown[]> {
  const { node, did } = tenantIn(sandbox, OOST);
  const query = new URLSearchParams({
    credentialType: 'NutsAuthorizationCredential',
    issuer: did,
    subject: tenantIn(sandbox, receiver).did,
  });
  const { json } = await request('GET', `${node}/internal/vcr/v2/issuer/vc/search?${query.toString()}`);
  return listAt(json, 'verifiableCredentials')
    .map((each) => at(each, 'verifiableCredential'))
    .filter((each) => JSON.stringify(each).includes(`"${path}"`));
}

/** What reached the hospital's FHIR server from callers since the last look: look-ups and probes of the gateway itself are left out. */
export async function reachedUpstream(
  sandbox: Sandbox,
): Promise<readonly { readonly method: string; readonly target: string; readonly headers: string; readonly body: string }[]> {
  const { json } = await control(sandbox, 'GET', `/upstream/${OOST}/requests`);
  await control(sandbox, 'DELETE', `/upstream/${OOST}/requests`);
  return listAt(json)
    .filter((each) => !JSON.stringify(at(each, 'rawHeaders')).toLowerCase().includes('x-sluis-lookup'))
    .map((each) => ({
      method: textAt(each, 'method'),
      target: textAt(each, 'target'),
      headers: JSON.stringify(at(each, 'rawHeaders')).toLowerCase(),
      body: Buffer.from(textAt(each, 'bodyBase64'), 'base64').toString('utf8'),
    }));
}

/** A transfer as the hospital's API shows it, and what a receiver was given. */
export interface Offered {
  readonly id: string;
  readonly task: string;
  readonly negotiation: string;
  /** `/Composition/…` of the advance notice. */
  readonly notice: string;
}

/** Offers the demo's patient to receivers and waits until each has its credentials and was told. */
export async function offer(sandbox: Sandbox, receivers: readonly string[]): Promise<ReadonlyMap<string, Offered>> {
  const example = tenantIn(sandbox, OOST).examples?.['POST /eoverdracht/transfers'] as object;
  const body = { ...example, receivers: receivers.map((each) => ({ organization: tenantIn(sandbox, each).did })) };
  const made = await command(sandbox, OOST, '/eoverdracht/transfers', body);
  const id = textAt(made.json, 'id');
  const transfer = await transferWhen(sandbox, id, (each) => JSON.stringify(each).includes('"settled":true'));
  return new Map(
    receivers.map((receiver) => {
      const negotiation = listAt(transfer, 'negotiations').find(
        (each) => at(each, 'organization') === tenantIn(sandbox, receiver).did,
      );
      return [
        receiver,
        {
          id,
          task: textAt(negotiation, 'task', 'id'),
          negotiation: textAt(negotiation, 'id'),
          notice: `/${textAt(negotiation, 'task', 'advanceNotice')}`,
        },
      ];
    }),
  );
}

/** A command of an EHR, with a key of its own. */
export async function command(sandbox: Sandbox, tenant: string, path: string, body: unknown): Promise<Reply> {
  const reply = await api(sandbox, tenant, 'POST', path, { body, headers: { 'idempotency-key': randomUUID() } });
  expect({ status: reply.status, text: reply.status < 300 ? '' : reply.text }).toEqual({ status: reply.status, text: '' });
  expect(reply.status).toBeLessThan(300);
  return reply;
}

export async function transferWhen(sandbox: Sandbox, id: string, holds: (transfer: unknown) => boolean): Promise<unknown> {
  const reply = await eventually(
    () => api(sandbox, OOST, 'GET', `/eoverdracht/transfers/${id}`),
    ({ json }) => holds(json),
  );
  return reply.json;
}
