import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createClock } from '../../src/clock.ts';
import { startSandbox, type Sandbox } from '../../src/sandbox/control/sandbox.ts';
import { DOSSIER, loadDossier } from '../../src/sandbox/dossier/index.ts';
import { startSimulatedFhirServer, type SimulatedFhirServer } from '../../src/sandbox/fhir/server.ts';
import { at, listAt } from '../../src/sandbox/scenario/step.ts';
import { demoWorld } from '../../src/sandbox/world/demo.ts';
import { NURSE, OOST, send, tokenFor, WEST, type Answer } from '../conformance/wire.ts';

// A custodian whose server does not follow nested sections in `$document`, and has an empty one of what does not exist (real-servers.md §1.1).

const ABSENT = 'Composition/00000000-0000-4000-8000-000000000000';

let server: SimulatedFhirServer;
let sandbox: Sandbox;

beforeAll(async () => {
  server = await startSimulatedFhirServer({
    name: 'shallow',
    version: 'STU3',
    clock: createClock(),
    resources: loadDossier(OOST),
    document: 'shallow',
  });
  // It calls itself 127.0.0.1.
  const called = server.url.replace('127.0.0.1', 'localhost');
  const organizations = demoWorld.organizations.map((each) =>
    each.id === OOST && each.tenant !== undefined ? { ...each, tenant: { ...each.tenant, fhirUrl: called } } : each,
  );
  sandbox = await startSandbox({ definition: { name: 'shallow', organizations }, ports: 'auto', environment: process.env });
}, 240_000);

afterAll(async () => {
  await sandbox.close();
  await server.close();
});

async function documentOf(composition: string): Promise<Answer> {
  const grants = [{ path: `/${composition}`, operations: ['read', 'document'], userContext: true }];
  const token = await tokenFor(sandbox, WEST, { user: NURSE, grants });
  return send(sandbox, 'GET', `/${OOST}/fhir/${composition}/$document`, { token });
}

describe('$document of a server that answers too little', () => {
  it('of a granted Composition that does not exist is not found, as its read is', async () => {
    const { status, json } = await documentOf(ABSENT);
    expect([status, at(json, 'issue', 0, 'details', 'text')]).toEqual([404, 'not_found']);
  });

  it('of one that exists is what is granted of it', async () => {
    const { status, json } = await documentOf(DOSSIER.nursingHandoff);
    expect([status, listAt(json, 'entry').length]).toEqual([200, 1]);
  });

  it('does not say what the server calls itself', async () => {
    const { json, body } = await documentOf(DOSSIER.nursingHandoff);
    expect(at(json, 'entry', 0, 'fullUrl')).toBe(`${sandbox.description.public}/${OOST}/fhir/${DOSSIER.nursingHandoff}`);
    expect(body.toString('utf8')).not.toContain(new URL(server.url).host);
  });
});
