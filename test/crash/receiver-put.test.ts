import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Sandbox } from '../../src/sandbox/control/sandbox.ts';
import { DOSSIER } from '../../src/sandbox/dossier/index.ts';
import { at } from '../../src/sandbox/scenario/step.ts';
import { command, NURSE, offer, OOST, send, tokenFor, transferWhen, WEST } from '../conformance/wire.ts';
import { control, eventually, request, startDemoSandbox, tenantIn } from '../e2e/support.ts';
import { watchCalls } from './held-call.ts';

// A receiver completes its Task, and the gateway is killed while the write is on its way (facts/reliability §3.4 U2, §3.5 C1).

let sandbox: Sandbox;

beforeAll(async () => {
  sandbox = await startDemoSandbox();
}, 240_000);

afterAll(() => sandbox.close());

const HANDOFF = `/${OOST}/fhir/${DOSSIER.nursingHandoff}`;

describe.each([
  ['before the next start', false],
  ['after the next start', true],
])('a completing PUT that lands %s', (_when, late) => {
  it('ends the rights at once, and the transfer', async () => {
    const west = (await offer(sandbox, [WEST])).get(WEST)!;
    const task = `/${OOST}/fhir/Task/${west.task}`;
    const token = await heldToken(`/Task/${west.task}`);
    const read = async () => {
      const answer = await send(sandbox, 'GET', task, { token });
      return answer.json as Record<string, unknown>;
    };
    const put = async (status: string) =>
      send(sandbox, 'PUT', task, { token, body: JSON.stringify({ ...(await read()), status }) });
    expect((await put('accepted')).status).toBe(200);
    await command(sandbox, OOST, `/eoverdracht/transfers/${west.id}/assignment`, {
      negotiation: west.negotiation,
      handoff: { composition: DOSSIER.nursingHandoff },
    });
    await transferWhen(sandbox, west.id, (each) => at(each, 'settled') === true);
    const nurse = await heldToken(`/${DOSSIER.nursingHandoff}`);
    expect((await send(sandbox, 'GET', HANDOFF, { token: nurse })).status).toBe(200);

    const calls = watchCalls(sandbox, { target: 'fhir', tenant: OOST, method: 'PUT', path: west.task });
    const { release } = calls.hold();
    const lost = put('completed').catch(() => undefined);
    await calls.arrived();
    expect((await control(sandbox, 'POST', '/gateway', { action: 'kill' })).status).toBe(200);
    await lost;
    expect(calls.done()).toBe(0);
    const land = (): Promise<void> => {
      release();
      return calls.worked();
    };
    if (!late) await land();
    expect((await control(sandbox, 'POST', '/gateway', { action: 'start' })).status).toBe(200);
    if (late) await land();

    // What has landed when the gateway begins is in its records by then; what lands later, a moment after.
    const readHandoff = async () => send(sandbox, 'GET', HANDOFF, { token: await heldToken(`/${DOSSIER.nursingHandoff}`) });
    if (late) await eventually(readHandoff, ({ status }) => status === 403);
    expect((await readHandoff()).status).toBe(403);
    await transferWhen(sandbox, west.id, (each) => at(each, 'status') === 'completed' && at(each, 'settled') === true);
  }, 240_000);
});

/** A token with the home care's own credentials for the path, as its node finds them. */
async function heldToken(path: string): Promise<string> {
  const { node, did } = tenantIn(sandbox, WEST);
  const found = await request('POST', `${node}/internal/vcr/v2/search`, {
    body: {
      query: {
        '@context': ['https://www.w3.org/2018/credentials/v1', 'https://nuts.nl/credentials/v1'],
        type: ['VerifiableCredential', 'NutsAuthorizationCredential'],
        issuer: tenantIn(sandbox, OOST).did,
        credentialSubject: { id: did, purposeOfUse: 'eOverdracht-sender', resources: { path } },
      },
      searchOptions: { allowUntrustedIssuer: true },
    },
  });
  expect(found.status).toBe(200);
  const credentials = (found.json as { verifiableCredentials: { verifiableCredential: unknown }[] }).verifiableCredentials.map(
    (each) => each.verifiableCredential,
  );
  return tokenFor(sandbox, WEST, { credentials, user: NURSE });
}
