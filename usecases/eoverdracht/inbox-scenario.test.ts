import { beforeEach, describe, expect, it } from '@jest/globals';
import type { ApiReply, JsonObject, RemoteReply } from 'sluis/usecase';
import { senderRoutes } from './api.ts';
import {
  BASE,
  createInboxWorld,
  drainInbox,
  failure,
  fhirReply,
  inboxApi,
  notify,
  outcome,
  SESSION,
  type InboxWorld,
  type RemoteRequest,
} from './inbox-test-support.ts';
import { object, objects, text } from './json.ts';
import { judgeTaskUpdate } from './task-diff.ts';
import { taskWrite } from './task-write.ts';
import { apiCall, createWorld, drain, fillDossier, HANDOFF, NOTICE, R1, SENDER, subjectOf, type World } from './test-support.ts';

/** Both halves of the use case, joined: the receiver's calls reach the sender's resources, the sender's notifications the receiver. */
let sender: World;
let receiver: InboxWorld;
let told = 0;

beforeEach(() => {
  sender = createWorld();
  fillDossier(sender);
  receiver = createInboxWorld();
  told = 0;
  receiver.services = {
    ...receiver.services,
    node: {
      ...receiver.services.node,
      findHeld: ({ issuer, path }) =>
        Promise.resolve(
          sender.credentials.filter(
            (each) =>
              issuer === SENDER &&
              !each.revoked &&
              subjectOf(each) === R1 &&
              each.resources.some((resource) => resource.path === path),
          ),
        ),
    },
  };
  receiver.answer = gate;
});

async function gate(request: RemoteRequest): Promise<RemoteReply> {
  const target = request.url.slice(BASE.length + 1);
  const token = receiver.tokens.get(request.token);
  const allowed = sender.credentials.some(
    (each) =>
      !each.revoked &&
      token?.credentials.some((credential) => credential['id'] === each.id) === true &&
      each.resources.some((resource) => resource.path === `/${target}` && (!resource.userContext || token.withUser)),
  );
  if (target.endsWith('$document')) return fhirReply(501, outcome('not_supported'));
  if (!allowed) return fhirReply(403, outcome('access_denied'));
  const stored = sender.fhir.get(target);
  if (stored === undefined) return fhirReply(404, outcome('not_found'));
  if (request.method === 'GET') return fhirReply(200, stored.resource, String(stored.version));
  const id = target.slice('Task/'.length);
  const verdict = judgeTaskUpdate({ stored: stored.resource, proposed: request.json ?? {}, id, now: sender.now() }, true);
  if (verdict.outcome !== 'write')
    return fhirReply(422, outcome(verdict.outcome === 'rejected' ? verdict.reason : verdict.outcome));
  const version = sender.put(verdict.resource);
  await sender.transaction((unit) =>
    taskWrite.settle({ resource: verdict.resource, version }, sender.config, unit, sender.services),
  );
  return fhirReply(200, verdict.resource, version);
}

/** Lets everything that is due happen on both sides. */
async function settle(): Promise<void> {
  await drain(sender);
  for (const { url } of sender.sent.slice(told)) await notify(receiver, SENDER, url.slice(url.lastIndexOf('/') + 1));
  told = sender.sent.length;
  await drainInbox(receiver);
}

function api(operationId: string, body: unknown, params: Record<string, string> = {}): Promise<ApiReply> {
  const found = senderRoutes.find((route) => route.operationId === operationId);
  if (found === undefined) throw new Error(`no route ${operationId}`);
  return found.handle(apiCall(sender, { body, params }), sender.config, sender.services);
}

function names(reply: ApiReply): string[] {
  const bundle: unknown = JSON.parse(new TextDecoder().decode(reply.content?.bytes));
  return objects(bundle as JsonObject, 'entry').map((entry) => {
    const resource = object(entry, 'resource');
    return `${text(resource, 'resourceType') ?? ''}/${text(resource, 'id') ?? ''}`;
  });
}

describe('a transfer between two of us', () => {
  it('goes from the offer to its end, and both sides say the same', async () => {
    const offered = await api('createTransfer', {
      patient: 'Patient/p1',
      transferDate: '2026-03-05',
      advanceNotice: NOTICE,
      receivers: [{ organization: R1 }],
    });
    const transfer = (offered.body as JsonObject)['id'] as string;
    await settle();
    expect(receiver.items()).toMatchObject([{ status: 'requested', sender: SENDER }]);

    const notice = names(await inboxApi(receiver, 'getInboxAdvanceNotice', { user: SESSION }));
    expect(notice[0]).toMatch(/^Composition\//);
    expect(notice).not.toContain('Patient/p1');

    expect((await inboxApi(receiver, 'setInboxStatus', { body: { status: 'accepted' } })).status).toBe(200);
    await settle();
    const shown = (await api('getTransfer', undefined, { transfer })).body as JsonObject;
    const negotiation = text(objects(shown, 'negotiations')[0], 'id');
    expect(objects(shown, 'negotiations')).toMatchObject([{ status: 'accepted' }]);
    expect((await failure(inboxApi(receiver, 'getInboxHandoff', { user: SESSION }))).options.reason).toBe('no_handoff');

    await api('assignTransfer', { negotiation, handoff: HANDOFF }, { transfer });
    await settle();
    expect(receiver.items()).toMatchObject([{ status: 'in-progress' }]);
    const handoff = names(await inboxApi(receiver, 'getInboxHandoff', { user: SESSION }));
    expect(handoff).toEqual(
      expect.arrayContaining(['Patient/p1', 'Condition/c1', 'Procedure/i1', 'Coverage/v1', 'DocumentReference/d1']),
    );
    expect(handoff.some((each) => each.startsWith('Binary/'))).toBe(false);
    expect((await inboxApi(receiver, 'getInboxBinary', { binary: 'b1', user: SESSION })).status).toBe(200);

    expect((await inboxApi(receiver, 'setInboxStatus', { body: { status: 'completed' } })).status).toBe(200);
    await settle();
    expect((await api('getTransfer', undefined, { transfer })).body).toMatchObject({ status: 'completed' });
    expect(receiver.items()).toMatchObject([{ status: 'completed' }]);
    expect((await failure(inboxApi(receiver, 'getInboxHandoff', { user: SESSION }))).status).toBe(403);
    expect(receiver.audited.every((each) => each.event === 'inbox_fetched')).toBe(true);
  });
});
