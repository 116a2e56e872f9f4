import { expect } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import type { Sandbox } from '../../src/sandbox/control/sandbox.ts';
import { at, listAt, textAt } from '../../src/sandbox/scenario/step.ts';
import { api, control, eventually, request, tenantIn, type Reply } from '../e2e/support.ts';

export const SENDER = 'ziekenhuis-oost';
export const CHOSEN = 'thuiszorg-west';
export const OTHER = 'zorghuis-noord';

/** The commands of a transfer, in order. */
export const PHASES = ['offer', 'accept', 'assign', 'complete'] as const;
export type Phase = (typeof PHASES)[number];

/** One transfer that is driven by EHRs, each command with its key, so that it can be repeated. */
export interface DrivenTransfer {
  /** Sends the phase's command once. Rejects when the connection breaks. */
  send(phase: Phase): Promise<Reply>;
  /** Repeats the command until it is acknowledged, then waits for what the next phase needs. */
  finish(phase: Phase): Promise<void>;
  readonly id: () => string;
}

/** A new transfer of the demo's patient to two receivers. */
export function driveTransfer(sandbox: Sandbox): DrivenTransfer {
  const key = randomUUID();
  const examples = tenantIn(sandbox, SENDER).examples ?? {};
  let id: string | undefined;

  const transfer = async (): Promise<unknown> => (await api(sandbox, SENDER, 'GET', `/eoverdracht/transfers/${known()}`)).json;
  const known = (): string => {
    if (id === undefined) throw new Error('the offer was not acknowledged yet');
    return id;
  };
  const negotiation = async (receiver: string): Promise<unknown> => negotiationWith(sandbox, await transfer(), receiver);

  /** The inbox item of this transfer at the chosen receiver, once it is there. */
  const item = async (): Promise<unknown> => {
    const task = textAt(await negotiation(CHOSEN), 'task', 'id');
    const find = ({ json }: Reply): unknown => listAt(json, 'items').find((each) => at(each, 'task', 'id') === task);
    return find(
      await eventually(
        () => hurried(sandbox, () => api(sandbox, CHOSEN, 'GET', '/eoverdracht/inbox?limit=100')),
        (reply) => find(reply) !== undefined,
      ),
    );
  };

  const send = async (phase: Phase): Promise<Reply> => {
    const command = async (tenant: string, path: string, body: unknown): Promise<Reply> =>
      api(sandbox, tenant, 'POST', `/eoverdracht/${path}`, { body, headers: { 'idempotency-key': `${key}-${phase}` } });
    switch (phase) {
      case 'offer':
        return command(SENDER, 'transfers', examples['POST /eoverdracht/transfers']);
      case 'accept':
        return command(CHOSEN, `inbox/${textAt(await item(), 'id')}/status`, { status: 'accepted' });
      case 'assign': {
        const example = examples['POST /eoverdracht/transfers/{transfer}/assignment'];
        const body = JSON.stringify(example).replace('{negotiation}', textAt(await negotiation(CHOSEN), 'id'));
        return command(SENDER, `transfers/${known()}/assignment`, JSON.parse(body));
      }
      case 'complete':
        return command(CHOSEN, `inbox/${textAt(await item(), 'id')}/status`, { status: 'completed' });
    }
  };

  const until = async (holds: (transfer: unknown) => boolean | Promise<boolean>): Promise<void> => {
    await eventually(
      () => hurried(sandbox, async () => ({ transfer: await transfer(), holds: await holds(await transfer()) })),
      (seen) => seen.holds,
      60_000,
    );
  };

  return {
    id: known,
    send,
    finish: async (phase) => {
      // A failure of the node or FHIR server is a 5xx: the EHR repeats, with the same key.
      const acknowledged = await eventually(
        () => hurried(sandbox, () => send(phase)),
        ({ status }) => status < 500,
        60_000,
      );
      expect({ phase, status: acknowledged.status, body: acknowledged.status < 300 ? '' : acknowledged.text }).toEqual({
        phase,
        status: expect.any(Number),
        body: '',
      });
      switch (phase) {
        case 'offer':
          id = textAt(acknowledged.json, 'id');
          await until(settled);
          return;
        case 'accept':
          await until(async () => at(await negotiation(CHOSEN), 'status') === 'accepted');
          return;
        case 'assign':
          await until((seen) => at(seen, 'status') === 'assigned' && settled(seen));
          await eventually(
            () => hurried(sandbox, item),
            (seen) => at(seen, 'status') === 'in-progress' && at(seen, 'handoff') !== undefined,
            60_000,
          );
          return;
        case 'complete':
          await until((seen) => at(seen, 'status') === 'completed' && settled(seen));
          return;
      }
    },
  };
}

export function negotiationWith(sandbox: Sandbox, transfer: unknown, receiver: string): unknown {
  const { did } = tenantIn(sandbox, receiver);
  return listAt(transfer, 'negotiations').find((each) => at(each, 'organization') === did);
}

/** Everything was done outside, and every receiver told. */
export function settled(transfer: unknown): boolean {
  return (
    at(transfer, 'settled') === true &&
    listAt(transfer, 'negotiations').every((each) => at(each, 'notification', 'state') === 'delivered')
  );
}

/** Looks, and lets the sandbox's time run so that waits between attempts are short for us. */
export async function hurried<T>(sandbox: Sandbox, look: () => Promise<T>): Promise<T> {
  await control(sandbox, 'POST', '/clock', { advanceS: 2 });
  return look();
}

/** A credential of the sender for a receiver, as its node lists it. */
export interface IssuedCredential {
  readonly credential: unknown;
  readonly revoked: boolean;
  readonly paths: readonly string[];
  /** Says the same to the same party for the same purpose: subject, paths and operations. */
  readonly naturalKey: string;
}

/** All that the sender's node issued to the receivers. */
export async function issuedCredentials(sandbox: Sandbox): Promise<readonly IssuedCredential[]> {
  const { node, did } = tenantIn(sandbox, SENDER);
  const found: IssuedCredential[] = [];
  for (const receiver of [CHOSEN, OTHER]) {
    const subject = tenantIn(sandbox, receiver).did;
    const query = new URLSearchParams({ credentialType: 'NutsAuthorizationCredential', issuer: did, subject });
    const { json } = await request('GET', `${node}/internal/vcr/v2/issuer/vc/search?${query.toString()}`);
    for (const result of listAt(json, 'verifiableCredentials')) {
      const credential = at(result, 'verifiableCredential');
      const said = at(credential, 'credentialSubject');
      const content = Array.isArray(said) ? at(said, 0) : said;
      const resources = listAt(content, 'resources');
      found.push({
        credential,
        revoked: at(result, 'revocation') !== undefined,
        paths: resources.map((each) => textAt(each, 'path')),
        naturalKey: `${subject} ${resources
          .map((each) => JSON.stringify(each))
          .sort()
          .join()}`,
      });
    }
  }
  return found;
}
