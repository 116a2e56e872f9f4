/**
 * The gateway before a real FHIR server of version STU3 that accepts client ids: `FHIR_STU3_URL` is its base. Loads the dossier of the
 * sandbox's hospital into it, plays a whole transfer, and holds both the server and the gate to what is expected of them. Everything that is
 * written has ids of its own or is invented; nevertheless never name a server that holds data of people.
 */
import { startSandbox } from '../../../src/sandbox/control/sandbox.ts';
import { loadDossier } from '../../../src/sandbox/dossier/index.ts';
import { castOf } from '../../../src/sandbox/scenario/cast.ts';
import { handoffActs } from '../../../src/sandbox/scenario/handoff.ts';
import { offerActs } from '../../../src/sandbox/scenario/offer.ts';
import { play } from '../../../src/sandbox/scenario/play.ts';
import { prelude } from '../../../src/sandbox/scenario/prelude.ts';
import { createStage, type Stage } from '../../../src/sandbox/scenario/print.ts';
import { at } from '../../../src/sandbox/scenario/step.ts';
import type { WorldDefinition } from '../../../src/sandbox/world/definition.ts';
import { demoWorld } from '../../../src/sandbox/world/demo.ts';
import { createGate, SENDER } from './gate.ts';
import { checkHandoff } from './handoff-checks.ts';
import { checkReads } from './read-checks.ts';
import { createReport, type Report } from './report.ts';
import { createServerClient, exchange, loadResources, type ServerClient } from './server.ts';
import { checkStore, same } from './store-checks.ts';
import { checkTasks } from './task-checks.ts';

const { FHIR_STU3_URL } = process.env;
const report = createReport((line) => console.log(line));
if (FHIR_STU3_URL === undefined) console.log('skip  all: set FHIR_STU3_URL');
else await run(createServerClient(FHIR_STU3_URL));
process.exit(report.close() ? 0 : 1);

async function run(server: ServerClient): Promise<void> {
  const loaded = await report.check('the server is STU3 and takes the dossier by PUT', async () => {
    const { json } = await server.send('GET', '/metadata?_summary=true');
    same(String(at(json, 'fhirVersion')).split('.')[0], '3');
    await loadResources(server, loadDossier(SENDER));
    return true;
  });
  if (loaded === undefined) return;
  await checkStore(report, server);
  const sandbox = await report.check('the sandbox starts, with the real server as that of the sender', () =>
    startSandbox({ definition: before(server), ports: 'auto', environment: process.env }),
  );
  if (sandbox === undefined) return;
  try {
    const member = castOf(sandbox.world, sandbox.description, SENDER);
    const cast = { hospital: member(SENDER), homeCare: member('thuiszorg-west'), nursingHome: member('zorghuis-noord') };
    await play([prelude(sandbox.description), ...offerActs(cast), ...handoffActs(cast)], counting(report));
    report.line('');
    const gate = createGate(sandbox, server);
    await report.check('health: every part is up, and the probe leaves nothing behind', async () => {
      const { status, text } = await exchange(`${sandbox.description.internal}/health/ready`, { method: 'GET' });
      same(status, 200);
      if (text.includes(new URL(server.base).host)) throw new Error('it says where the FHIR server is');
      same((await server.send('GET', '/Basic/sluis-health-probe')).status, 404);
    });
    await checkHandoff(report, gate, server);
    await checkReads(report, gate, server);
    await checkTasks(report, gate, server);
  } finally {
    await sandbox.close();
  }
}

function before(server: ServerClient): WorldDefinition {
  const organizations = demoWorld.organizations.map((organization) =>
    organization.id === SENDER && organization.tenant !== undefined
      ? { ...organization, tenant: { ...organization.tenant, fhirUrl: server.base } }
      : organization,
  );
  return { ...demoWorld, name: 'interop', organizations };
}

/** The scenario's lines, counted. */
function counting({ line, count }: Report): Stage {
  const stage = createStage(line, false);
  return {
    ...stage,
    step: (step, result) => {
      count(result.problem === undefined);
      stage.step(step, result);
    },
  };
}
