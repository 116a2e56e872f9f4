import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { defineUseCase, permitByRule } from '../../src/usecase/index.ts';
import { startGate, type TestGate } from '../support/gate.ts';

// An explanation lets a request go its way; a message of another party would be taken by code of a use case, which may do anything.

let gate: TestGate;
let received = 0;
beforeAll(async () => {
  gate = await startGate({
    useCase: defineUseCase({
      // With a target that has no slash, what stands behind the base is another place than the base.
      id: 'fhir-notes',
      title: 'Notes',
      roles: [{ id: 'sender', purpose: 'fhir-notes', scopes: [], fhirVersion: 'R4', rules: [] }],
      inbound: [
        {
          name: 'note',
          role: 'sender',
          path: 'note/:id',
          parameters: { id: /[0-9]+/ },
          body: 'empty',
          receive: () => {
            received += 1;
            return Promise.resolve();
          },
        },
      ],
      parseConfig: (settings) => settings,
      decide: () => permitByRule(),
    }),
  });
});
afterAll(() => gate.close());

it('takes no message, which the gate itself takes', async () => {
  const token = gate.token({ facts: { service: 'fhir-notes' } });
  await gate.explain({ token, method: 'POST', target: '-notes/note/1' });
  expect(received).toBe(0);
  const { status } = await gate.get('/a/fhir-notes/note/1', { authorization: `Bearer ${token}` }, 'POST');
  expect([status, received]).toEqual([202, 1]);
});
