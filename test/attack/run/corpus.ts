import { SCENARIOS, WAITING } from '../scenarios/index.ts';
import type { AttackArguments } from './arguments.ts';
import { startBench, type Bench, type BenchOptions } from './bench.ts';
import { loadCases, rowOf, type AttackCase } from './case.ts';
import { createReport } from './report.ts';
import { isScripted, runCase } from './run-case.ts';
import type { Scenario } from './scenario.ts';
import { startSandboxWorld, type SandboxWorld } from './sandbox-world.ts';

/** Far longer than any takes: some run tests of the suite. */
const SCENARIO_LIMIT_MS = 300_000;
/** For what must be waited for: the answers of these cases come later still. */
const SHORT_MS = 1_000;

/** Runs all cases and scenarios, or those that are asked for. @returns whether all passed */
export async function runCorpus(args: AttackArguments): Promise<boolean> {
  const report = createReport(args.json);
  const wanted = (id: string, group: string): boolean =>
    args.only.length === 0 || args.only.some((each) => each === id || each === rowOf(id) || each === group);
  const cases = loadCases().filter((each) => wanted(each.id, each.class));
  const scenarios = SCENARIOS.filter(({ id }) => wanted(id, 'scenarios'));
  let sandbox: Promise<SandboxWorld> | undefined;
  const getSandbox = (): Promise<SandboxWorld> => (sandbox ??= startSandboxWorld());
  const bench = await startBench();
  const play = async (scenario: Scenario): Promise<readonly string[]> => {
    const own: Bench[] = [];
    const ownBench = async (options?: BenchOptions): Promise<Bench> => {
      const made = await startBench(options);
      own.push(made);
      return made;
    };
    try {
      return await problemsOf(async () => {
        await within(scenario.run({ bench, ownBench, sandbox: getSandbox }));
        return [];
      });
    } finally {
      for (const each of own) await each.close();
    }
  };
  /** What must end in a timeout has a bench on which that does not take long; on the others nothing is so slow. */
  const runWhereItBelongs = async (one: AttackCase): Promise<readonly string[]> => {
    const short = {
      ...(one.node?.delayMs === undefined ? {} : { node: { introspectionTimeoutMs: SHORT_MS } }),
      ...(one.upstreamAnswers?.delayMs === undefined ? {} : { fhir: { timeoutMs: SHORT_MS } }),
    };
    if (Object.keys(short).length === 0) return runCase(one, isScripted(one) ? bench : await getSandbox());
    const hasty = await startBench(short);
    try {
      return await runCase(one, hasty);
    } finally {
      await hasty.close();
    }
  };
  const aside = new Map(scenarios.filter((each) => each.aside === true).map((each) => [each, play(each)] as const));
  try {
    for (const [name, each] of groups(cases)) {
      report.begin(name);
      for (const one of each) {
        report.result(one.id, one.title, await problemsOf(() => runWhereItBelongs(one)));
      }
      report.end();
    }
    report.begin('scenarios');
    for (const scenario of scenarios) {
      const problems = scenario.aside === true ? await aside.get(scenario) : await play(scenario);
      report.result(scenario.id, scenario.title, problems ?? []);
    }
    report.end();
    for (const { id, why } of WAITING) if (wanted(id, 'waiting')) report.waiting(id, why);
    return report.finish();
  } finally {
    await bench.close();
    await (await sandbox)?.close();
  }
}

function groups(cases: readonly AttackCase[]): ReadonlyMap<string, readonly AttackCase[]> {
  return Map.groupBy(cases, (each) => each.class);
}

/** A case that throws has failed like any other. */
async function problemsOf(run: () => Promise<readonly string[]>): Promise<readonly string[]> {
  try {
    return await run();
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
}

async function within(work: Promise<void>): Promise<void> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    late.reject(new Error(`not over within ${SCENARIO_LIMIT_MS / 1000} s`));
  }, SCENARIO_LIMIT_MS);
  try {
    await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
