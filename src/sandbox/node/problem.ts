/** What a node answers when a call does not succeed (facts §0.1). */
export class NodeProblem extends Error {
  override readonly name = 'NodeProblem';
  readonly status: number;
  /** True when the request did not reach an operation: the title then is `Operation failed`. */
  readonly early: boolean;

  constructor(status: number, detail: string, early = false) {
    super(detail);
    this.status = status;
    this.early = early;
  }
}

/** Where a real node's handler panics: the connection ends without an answer (facts §0.1). */
export class NodeCrash extends Error {
  override readonly name = 'NodeCrash';
}

/** The problem document; its keys are in the order of a real node. */
export function problemBody(problem: NodeProblem, operation: string | undefined): string {
  const title = problem.early || operation === undefined ? 'Operation failed' : `${operation} failed`;
  return JSON.stringify({ detail: problem.message, status: problem.status, title });
}

export const DID_NOT_FOUND = 'unable to find the DID document';
export const SERVICE_NOT_FOUND = 'service not found in DID Document';
export const KEY_NOT_FOUND = 'private key not found';

/** The same failure, explained by the step that met it: `step: detail`. */
export function within<T>(step: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof NodeProblem) throw new NodeProblem(error.status, `${step}: ${error.message}`, error.early);
    throw error;
  }
}
