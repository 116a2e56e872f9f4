import type { Scenario, Waiting } from '../run/scenario.ts';

/** Everything that no single request shows. */
export const SCENARIOS: readonly Scenario[] = [];
export const WAITING: readonly Waiting[] = [];
