// `npm run attack`: the attack corpus over raw sockets. Ends with `N passed, M failed`.
import { parseAttackArguments, USAGE } from './run/arguments.ts';
import { runFuzzer } from './fuzz/fuzz.ts';
import { runForeign } from './run/foreign.ts';
import { runCorpus } from './run/corpus.ts';

const LIMIT_MS = 15 * 60_000;

try {
  const args = parseAttackArguments(process.argv.slice(2));
  // Whatever hangs, the run ends.
  setTimeout(() => {
    console.error('attack: out of time');
    process.exit(1);
  }, LIMIT_MS).unref();
  if (args.help) console.log(USAGE);
  else if (args.fuzz !== undefined) process.exitCode = (await runFuzzer(args.fuzz)) ? 0 : 1;
  else if (args.base !== undefined) process.exitCode = (await runForeign(args.base, args)) ? 0 : 1;
  else process.exitCode = (await runCorpus(args)) ? 0 : 1;
  // Some cases leave sockets half open on purpose; nothing of the run waits for them.
  process.exit(process.exitCode ?? 0);
} catch (error) {
  console.error(`attack: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
}
