import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { startGate, type TestGate } from '../support/gate.ts';
import { WRITES } from '../support/writes-use-case.ts';

// A server that answers with something else than it was asked for is an alarm, wherever the gate finds out: once for each request.

let gate: TestGate;
let before = 0;
beforeAll(async () => {
  gate = await startGate({ useCase: WRITES });
});
afterAll(() => gate.close());
beforeEach(async () => {
  before = await gate.alarms('upstream_other_resource');
  gate.fhir = (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/fhir+json', etag: 'W/"3"' });
    response.end(JSON.stringify({ resourceType: 'Observation', id: 'other', subject: { reference: 'Patient/mine' } }));
  };
});

const send = (method: string, path: string, body?: object) =>
  gate.get(
    `/a/fhir${path}`,
    {
      authorization: `Bearer ${gate.token({ facts: { service: 'writes' } })}`,
      ...(body === undefined ? {} : { 'content-type': 'application/fhir+json' }),
    },
    method,
    body === undefined ? undefined : JSON.stringify(body),
  );
const raised = async () => (await gate.alarms('upstream_other_resource')) - before;
const observation = { resourceType: 'Observation', id: 'mine-1', subject: { reference: 'Patient/mine' } };

describe('another resource than was asked for is an alarm', () => {
  it('in the look-up of a decision, which is a denial for the caller', async () => {
    expect((await send('GET', '/Observation/mine-1')).status).toBe(403);
    expect(await raised()).toBe(1);
  });

  it('in what a write is held against', async () => {
    expect((await send('PUT', '/Observation/mine-1', observation)).status).toBe(502);
    expect(await raised()).toBe(1);
  });

  it('in an entry of a batch, and of a transaction', async () => {
    const entry = [{ resource: observation, request: { method: 'PUT', url: 'Observation/mine-1' } }];
    expect((await send('POST', '', { resourceType: 'Bundle', type: 'batch', entry })).body).toContain('502');
    expect(await raised()).toBe(1);
    expect((await send('POST', '', { resourceType: 'Bundle', type: 'transaction', entry })).status).toBe(502);
    expect(await raised()).toBe(2);
  });
});
