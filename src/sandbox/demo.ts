/** `npm run demo`: a whole patient transfer between simulated organisations, over HTTP, and then a sandbox to try it yourself. */
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { closeOnSignals, startSandbox, type Sandbox } from './control/sandbox.ts';
import { castOf } from './scenario/cast.ts';
import { handoffActs } from './scenario/handoff.ts';
import { offerActs, type Cast } from './scenario/offer.ts';
import { play, type Outcome } from './scenario/play.ts';
import { createStage, type Stage } from './scenario/print.ts';
import { prelude } from './scenario/prelude.ts';
import { verifyAudit } from './scenario/verify.ts';
import { demoWorld } from './world/demo.ts';

const stage = createStage((line) => console.log(line), process.stdout.isTTY && process.env['NO_COLOR'] === undefined);

try {
  const { exit, ports } = parseDemoArguments(process.argv.slice(2));
  stage.line('Sluis demo: a patient transfer between three simulated organisations. Sandbox: nobody in it exists.');
  const starting = startSandbox({ definition: demoWorld, ports, environment: process.env });
  closeOnSignals(async () => (await starting).close());
  const sandbox = await starting;
  const good = await perform(sandbox, stage);
  if (exit) {
    await sandbox.close();
    process.exit(good ? 0 : 1);
  }
  stage.line();
  stage.line('It goes on serving; Ctrl-C ends it.');
} catch (error) {
  console.error(`demo: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
}

function parseDemoArguments(args: readonly string[]): { readonly exit: boolean; readonly ports: 'fixed' | 'auto' } {
  const { values } = parseArgs({
    args: [...args],
    options: { exit: { type: 'boolean', default: false }, ports: { type: 'string', default: 'fixed' } },
    strict: true,
    allowPositionals: false,
  });
  return { exit: values.exit, ports: z.enum(['auto', 'fixed']).parse(values.ports) };
}

/** Plays, verifies the audit journal, and says how it went. */
async function perform({ world, description }: Sandbox, on: Stage): Promise<boolean> {
  const member = castOf(world, description, 'ziekenhuis-oost');
  const cast: Cast = {
    hospital: member('ziekenhuis-oost'),
    homeCare: member('thuiszorg-west'),
    nursingHome: member('zorghuis-noord'),
  };
  const startedAt = performance.now();
  const outcome = await play([prelude(description), ...offerActs(cast), ...handoffActs(cast)], on);
  const seconds = (performance.now() - startedAt) / 1000;
  on.line();
  on.line('  $ npx sluis audit verify');
  const audit = await verifyAudit(`${world.dataDirectory}/audit`);
  for (const line of audit.lines) on.line(`  ${line}`);
  summarise(outcome, audit.intact, seconds, on);
  on.line();
  on.line(`  API         ${description.internal}/api/v1   (documentation: ${description.internal}/docs)`);
  on.line(`  health      ${description.internal}/health/ready`);
  on.line(`  public      ${description.public}/ziekenhuis-oost/fhir`);
  on.line(`  control     ${description.control}   (keys, tokens, faults, clock)`);
  return outcome.problems.length === 0 && audit.intact;
}

function summarise({ requests, refused, problems }: Outcome, intact: boolean, seconds: number, on: Stage): void {
  const wrong = problems.length === 0 ? 'every answer as expected' : `${problems.length} NOT AS EXPECTED`;
  on.line();
  on.line(`${requests} requests in ${seconds.toFixed(1)} s, ${refused} of them refused as they must be: ${wrong}.`);
  if (problems.length === 0) on.line('Offered to two, accepted, assigned, read, completed and closed.');
  if (!intact) on.line('The audit journal is NOT INTACT.');
  for (const problem of problems) on.line(`  ${problem}`);
}
