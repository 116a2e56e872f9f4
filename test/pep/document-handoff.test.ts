import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startSandbox, type Sandbox } from '../../src/sandbox/control/sandbox.ts';
import { DOSSIER, loadDossier } from '../../src/sandbox/dossier/index.ts';
import { at, listAt } from '../../src/sandbox/scenario/step.ts';
import { demoWorld } from '../../src/sandbox/world/demo.ts';
import type { JsonObject } from '../../src/fhir/json.ts';
import { localReference, references } from '../../src/fhir/reference.ts';
import { NURSE, OOST, send, tokenFor, WEST } from '../conformance/wire.ts';

// The nursing handoff has nested sections. Before a server that does not follow them the gate's own document is whole.

let sandboxes: Readonly<Record<'upstream' | 'assemble', Sandbox>>;

const start = (document: 'upstream' | 'assemble'): Promise<Sandbox> => {
  const organizations = demoWorld.organizations.map((each) =>
    each.id === OOST && each.tenant !== undefined
      ? { ...each, tenant: { ...each.tenant, behaviour: { document: 'shallow' as const }, document } }
      : each,
  );
  return startSandbox({ definition: { name: document, organizations }, ports: 'auto', environment: process.env });
};

beforeAll(async () => {
  sandboxes = { upstream: await start('upstream'), assemble: await start('assemble') };
}, 240_000);

afterAll(async () => {
  await sandboxes.upstream.close();
  await sandboxes.assemble.close();
});

/** What the handoff refers to, wherever in it; a Binary is read by itself. */
function namedByHandoff(): readonly string[] {
  const handoff: unknown = loadDossier(OOST).find((each) => `${each.resourceType}/${each.id}` === DOSSIER.nursingHandoff);
  const found = [...references(handoff as JsonObject)].flatMap(({ value }) => localReference(value) ?? []);
  return [...new Set(found.filter(({ type }) => type !== 'Binary').map(({ type, id }) => `${type}/${id}`))];
}

async function documentNames(sandbox: Sandbox, granted: readonly string[]): Promise<readonly string[]> {
  const grants = [
    { path: `/${DOSSIER.nursingHandoff}`, operations: ['read', 'document'], userContext: true },
    ...granted.map((name) => ({ path: `/${name}`, operations: ['read'], userContext: true })),
  ];
  const token = await tokenFor(sandbox, WEST, { user: NURSE, grants });
  const { status, json } = await send(sandbox, 'GET', `/${OOST}/fhir/${DOSSIER.nursingHandoff}/$document`, { token });
  expect(status).toBe(200);
  const base = `${sandbox.description.public}/${OOST}/fhir/`;
  return listAt(json, 'entry').map((entry) => String(at(entry, 'fullUrl')).replace(base, ''));
}

describe('the handoff of a custodian whose server leaves nested sections out', () => {
  it('comes whole when the gate assembles it, and with less when the server does', async () => {
    const named = namedByHandoff();
    const whole = await documentNames(sandboxes.assemble, named);
    expect([...whole].sort()).toEqual([DOSSIER.nursingHandoff, ...named].sort());
    expect(whole[0]).toBe(DOSSIER.nursingHandoff);
    expect((await documentNames(sandboxes.upstream, named)).length).toBeLessThan(whole.length);
  });

  it('has what is granted and no more', async () => {
    const [first = ''] = namedByHandoff();
    expect(await documentNames(sandboxes.assemble, [first])).toEqual([DOSSIER.nursingHandoff, first]);
  });
});
