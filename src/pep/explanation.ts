import type { ExplainedRule } from '../pdp/explain.ts';

/** One stage of the way of a request (design §3). What is after the first that stopped was not reached. */
export interface ExplainedStage {
  readonly stage: 'address' | 'authenticate' | 'format' | 'role' | 'rules' | 'decision' | 'search' | 'write' | 'upstream';
  readonly outcome: 'passed' | 'stopped';
  readonly code?: string;
  readonly text?: string;
  readonly facts?: Readonly<Record<string, string | number | boolean | readonly string[]>>;
  readonly rules?: readonly ExplainedRule[];
}

export interface Explanation {
  readonly outcome: 'permitted' | 'denied' | 'refused' | 'failed';
  /** What the caller would get, as far as it is the gate's to say; of a permit the status when all goes well. */
  readonly status: number;
  readonly stages: readonly ExplainedStage[];
}
