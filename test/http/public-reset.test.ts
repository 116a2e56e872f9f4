import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { startGate, type TestGate } from '../support/gate.ts';

// A caller that resets its connection while the gate still decides: nobody will send its body, and no event says so again.

let gate: TestGate;

beforeAll(async () => {
  gate = await startGate({ concurrentRequests: 2 });
  await gate.grant('/Task/mine', ['read', 'update']);
});

afterAll(() => gate.close());

it.each([
  ['half of its body sent', '{"resourceType":"Task"'],
  ['its whole body sent', '{"resourceType":"Task"}'.padEnd(40)],
])('gives the places of callers that reset with %s back, and has them on record', async (_what, body) => {
  const token = gate.token();
  gate.policy.decide = async () => {
    await sleep(200);
    return { effect: 'permit', reason: { code: 'x' }, obligations: [{ kind: 'guard-write', guard: 'status' }] };
  };
  const before = (await gate.allAudited()).filter((entry) => entry.phase === 'outcome').length;
  const head = `PUT /a/fhir/Task/mine HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/fhir+json\r\nContent-Length: 40\r\n\r\n`;
  for (let count = 0; count < 4; count += 1) {
    const socket = connect(gate.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(head + body);
    await sleep(50);
    socket.resetAndDestroy();
    await sleep(250);
  }
  gate.policy.decide = undefined;
  await sleep(300);
  expect((await gate.get('/a/fhir/Task/mine', { Authorization: `Bearer ${token}` })).status).not.toBe(429);
  const after = (await gate.allAudited()).filter((entry) => entry.phase === 'outcome').length;
  expect(after - before).toBeGreaterThanOrEqual(4);
});
