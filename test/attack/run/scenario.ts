import { until } from '../../support/until.ts';
import type { Bench, BenchOptions } from './bench.ts';
import type { SandboxWorld } from './sandbox-world.ts';

/** Where a scenario runs: benches of its own, and the one sandbox of the run. */
export interface Stage {
  /** The bench of the run; what a scenario changes of it, it sets back. */
  readonly bench: Bench;
  /** One of its own, closed at the end of the scenario. */
  ownBench(options?: BenchOptions): Promise<Bench>;
  /** The sandbox with the world `attack`. */
  sandbox(): Promise<SandboxWorld>;
}

/** What no single request shows: a row of the corpus, run in the way that it needs. Throws when something is wrong. */
export interface Scenario {
  readonly id: string;
  readonly title: string;
  /** Takes long and needs nothing of the others: it runs beside them, on a bench of its own. */
  readonly aside?: true;
  run(stage: Stage): Promise<void>;
}

/** What cannot be run yet, and why. It is printed as waiting, never as passed. */
export interface Waiting {
  readonly id: string;
  readonly why: string;
}

/** @throws Error when it does not hold */
export function insist(holds: boolean, problem: string): asserts holds {
  if (!holds) throw new Error(problem);
}

/** Waits for what must come, however late. @throws Error when it does not */
export async function eventually(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  await until(holds).catch((error: unknown) => {
    throw new Error(`${what}: ${error instanceof Error ? error.message : String(error)}`);
  });
}

/** @throws Error when they differ */
export function same<T>(given: T, right: T, what: string): void {
  const [one, other] = [JSON.stringify(given), JSON.stringify(right)];
  if (one !== other) throw new Error(`${what}: ${one}, not ${other}`);
}
