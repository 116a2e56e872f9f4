import type { Scenario, Waiting } from '../run/scenario.ts';
import { auditScenarios } from './audit.ts';
import { engineScenarios } from './engine.ts';
import { resourceScenarios } from './resources.ts';
import { tenancyScenarios } from './tenancy.ts';
import { timingScenarios } from './timing.ts';
import { tokenScenarios } from './tokens.ts';

/** Everything that no single request shows. */
export const SCENARIOS: readonly Scenario[] = [
  ...tokenScenarios,
  ...tenancyScenarios,
  ...resourceScenarios,
  ...auditScenarios,
  ...timingScenarios,
  ...engineScenarios,
];
export const WAITING: readonly Waiting[] = [];
