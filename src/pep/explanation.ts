import type { AuditOutcome } from '../audit/entry.ts';
import type { ExplainedRule } from '../pdp/explain.ts';

/** One stage of the way of a request (design §3). What is after the first that stopped was not reached. */
export interface ExplainedStage {
  readonly stage:
    'address' | 'authenticate' | 'format' | 'role' | 'rules' | 'decision' | 'search' | 'write' | 'entries' | 'upstream';
  readonly outcome: 'passed' | 'stopped';
  /** The reason, as the audit trail has it of the same request. */
  readonly code?: string;
  readonly text?: string;
  readonly facts?: Readonly<Record<string, string | number | boolean | readonly string[]>>;
  readonly rules?: readonly ExplainedRule[];
}

/** How a request would end, in the words of the audit trail. */
export interface Explanation {
  readonly outcome: Exclude<AuditOutcome, 'interrupted'>;
  /** What the caller would get; of what would be sent, when all goes well. */
  readonly status: number;
  /** Outcome and status, and what they depend on: `permitted (200), if the FHIR server has it`. */
  readonly headline: string;
  /** What nobody knows before it is done, in one sentence; absent where nothing is left open. */
  readonly notJudged?: string;
  readonly stages: readonly ExplainedStage[];
  /** Of a batch or a transaction: what becomes of each. */
  readonly entries?: readonly ExplainedEntry[];
}

export interface ExplainedEntry extends Explanation {
  /** `Bundle.entry[0]` has 0. */
  readonly index: number;
  /** What the audit trail would call it: `entry-1`. */
  readonly part: string;
}

/**
 * Outcome and status, and what they depend on.
 * @param ifs clauses; none where nothing is left open
 * @param more what else belongs to the outcome
 */
export function concluded(
  outcome: Explanation['outcome'],
  status: number,
  ifs: readonly string[],
  more = '',
): Omit<Explanation, 'stages' | 'entries'> {
  const said = { outcome, status };
  const line = `${outcome} (${String(status)})${more}`;
  if (ifs.length === 0) return { ...said, headline: line };
  const open = listed(ifs);
  return { ...said, headline: `${line}, if ${open}`, notJudged: `Only doing it shows whether ${open}.` };
}

function listed(clauses: readonly string[]): string {
  const last = clauses.at(-1) ?? '';
  return clauses.length < 2 ? last : `${clauses.slice(0, -1).join(', ')} and ${last}`;
}
