import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { connect } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { startGate, type TestGate } from '../support/gate.ts';
import { until } from '../support/until.ts';

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
  let deciding = 0;
  let reset = Promise.withResolvers<undefined>();
  gate.policy.decide = async () => {
    deciding += 1;
    await reset.promise;
    return { effect: 'permit', reason: { code: 'x' }, obligations: [{ kind: 'guard-write', guard: 'status' }] };
  };
  const outcomes = async () => (await gate.allAudited()).filter((entry) => entry.phase === 'outcome').length;
  const before = await outcomes();
  const head = `PUT /a/fhir/Task/mine HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/fhir+json\r\nContent-Length: 40\r\n\r\n`;
  for (let count = 0; count < 4; count += 1) {
    const socket = connect(gate.port, '127.0.0.1');
    socket.on('error', () => undefined);
    reset = Promise.withResolvers<undefined>();
    socket.write(head + body);
    await until(() => deciding === count + 1);
    socket.resetAndDestroy();
    // The gate is in this process: in each turn of the event loop it reads what there is.
    for (let turns = 0; turns < 20; turns += 1) await turn();
    reset.resolve(undefined);
    await until(async () => (await outcomes()) === before + count + 1);
  }
  gate.policy.decide = undefined;
  expect((await gate.get('/a/fhir/Task/mine', { Authorization: `Bearer ${token}` })).status).not.toBe(429);
});
