import type { Scenario, Waiting } from '../run/scenario.ts';
import { auditScenarios } from './audit.ts';
import { engineScenarios } from './engine.ts';
import { resourceScenarios } from './resources.ts';
import { tenancyScenarios } from './tenancy.ts';
import { timingScenarios } from './timing.ts';
import { workflowScenarios } from './workflow.ts';
import { tokenScenarios } from './tokens.ts';

/** Everything that no single request shows. */
export const SCENARIOS: readonly Scenario[] = [
  ...tokenScenarios,
  ...tenancyScenarios,
  ...resourceScenarios,
  ...auditScenarios,
  ...timingScenarios,
  ...engineScenarios,
  ...workflowScenarios,
];
export const WAITING: readonly Waiting[] = [
  { id: 'E2', why: 'there is no external decision point yet' },
  { id: 'H13', why: 'TLS ends before the gate, which sees no SNI' },
  ...['L3', 'L4', 'L5', 'L6', 'L7'].map((id) => ({ id, why: 'client certificates end before the gate' })),
  { id: 'W11', why: 'there is no page yet that shows free text' },
  { id: 'W12', why: 'there is no page yet that acts with a cookie: the API takes a bearer key only' },
  { id: 'W14', why: 'nobody can act for somebody else yet' },
];
