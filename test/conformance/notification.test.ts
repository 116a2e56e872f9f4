import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Sandbox } from '../../src/sandbox/control/sandbox.ts';
import { at, listAt } from '../../src/sandbox/scenario/step.ts';
import { api, eventually, startDemoSandbox } from '../e2e/support.ts';
import { offer, OOST, send, tokenFor, WEST, type Answer } from './wire.ts';

// Part E of the statements at the receiver's own public listener.

let sandbox: Sandbox;
let token: string;

beforeAll(async () => {
  sandbox = await startDemoSandbox();
  token = await tokenFor(sandbox, OOST, { purpose: 'eOverdracht-receiver', expiresInS: 3600 }, WEST);
}, 240_000);

afterAll(async () => {
  await sandbox.close();
});

const route = (rest: string): string => `/${WEST}/eoverdracht/notification${rest}`;
const notify = (rest: string, more: object = {}, method = 'POST'): Promise<Answer> =>
  send(sandbox, method, route(rest), { token, headers: [['Content-Length', '0']], ...more });

describe('a notification', () => {
  it('that is right is 202 with an empty body, and the Task is fetched (check 73)', async () => {
    const offered = await offer(sandbox, [WEST]);
    const task = offered.get(WEST)?.task ?? '';
    const answer = await notify(`/${task}`);
    expect([answer.status, answer.body.length]).toEqual([202, 0]);
    const inbox = await eventually(
      () => api(sandbox, WEST, 'GET', '/eoverdracht/inbox'),
      ({ json }) => listAt(json, 'items').length > 0,
    );
    expect(at(inbox.json, 'items', 0, 'task', 'id')).toBe(task);
  });

  it('needs a token, for this service, of this tenant (check 74)', async () => {
    const plain = { headers: [['Content-Length', '0']] as const };
    expect((await send(sandbox, 'POST', route('/t1'), plain)).status).toBe(401);
    const otherService = await tokenFor(sandbox, OOST, { purpose: 'eOverdracht-sender' }, WEST);
    expect((await notify('/t1', { token: otherService })).status).toBe(403);
    // A token of another tenant is 401, as on every path of a tenant.
    const otherTenant = await tokenFor(sandbox, WEST, { purpose: 'eOverdracht-receiver' }, OOST);
    expect((await notify('/t1', { token: otherTenant })).status).toBe(401);
  });

  it.each(['GET', 'PUT', 'DELETE'])('is a POST: %s is 405 and says so (check 75)', async (method) => {
    const answer = await notify('/t1', {}, method);
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'POST']);
  });

  it('has no body: one is 400 with an OperationOutcome (check 76)', async () => {
    const answer = await notify('/t1', { headers: [], body: '{}', type: 'application/json' });
    expect([answer.status, at(answer.json, 'resourceType')]).toEqual([400, 'OperationOutcome']);
  });

  it.each(['', '/a/b', '/a_b', `/${'x'.repeat(65)}`])('names one Task by an id: "%s" is 404 (check 77)', async (rest) => {
    expect((await notify(rest)).status).toBe(404);
  });

  it('may come five times in a second (check 78)', async () => {
    const answers = await Promise.all(Array.from({ length: 5 }, () => notify('/not-there')));
    expect(answers.map(({ status }) => status)).toEqual([202, 202, 202, 202, 202]);
  });
});
