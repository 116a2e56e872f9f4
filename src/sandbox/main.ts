/** `npm run sandbox`: a world to develop an EHR against, until Ctrl-C. */
import { closeOnSignals, startSandbox } from './control/sandbox.ts';
import { printWorld } from './world/description.ts';
import { parseSandboxArguments, USAGE, type SandboxArguments } from './world/options.ts';
import { worldNamed } from './world/worlds.ts';

try {
  const args = parseSandboxArguments(process.argv.slice(2));
  if (args.help) console.log(USAGE);
  else await run(args);
} catch (error) {
  console.error(`sandbox: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
}

async function run(args: SandboxArguments): Promise<void> {
  const definition = worldNamed(args.world);
  // stdout is for the one line that programs read.
  if (!args.json) console.log(`Sluis sandbox: starting the world "${definition.name}" …`);
  const starting = startSandbox({
    definition,
    ports: args.ports,
    environment: process.env,
    ...(args.data === undefined ? {} : { folder: args.data }),
  });
  closeOnSignals(async () => (await starting).close());
  const { world, description } = await starting;
  console.log(args.json ? JSON.stringify(description) : printWorld(world, description).join('\n'));
}
