/** What the bench and its own children (peers, pass-through, load) say to each other over the child-process channel. */

/** A child's servers are open: their names and URLs. */
export interface Ready {
  readonly type: 'ready';
  readonly urls: Readonly<Record<string, string>>;
}

/** Asks the load generator for one round. */
export interface RunRound {
  readonly type: 'run';
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly connections: number;
  readonly durationMs: number;
  /** Requests per second, spread evenly, whether the server keeps up or not; without it every connection asks as soon as it was answered. */
  readonly perSecond?: number;
}

/** What came of a round. Latencies in microseconds; with `perSecond` from the moment at which the request was due. */
export interface RoundResult {
  readonly type: 'result';
  readonly requests: number;
  /** Answers with another status than 200, or of another length than the first, and connections that broke off. */
  readonly failures: number;
  readonly elapsedMs: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

export type FromChild = Ready | RoundResult;

/** Sends to the parent; a child without one has nobody to work for. */
export function tellParent(message: FromChild): void {
  if (process.send === undefined) throw new Error('this program is started by test/bench/bench.ts');
  process.send(message);
}
