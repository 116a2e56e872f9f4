/** Why there is no answer: `timeout`; `reset` before the first byte of an answer; `unreachable`; `aborted` by us; else `broken`. */
export type TransportFault = 'timeout' | 'reset' | 'unreachable' | 'aborted' | 'broken';

const FAULTS: ReadonlyMap<string, TransportFault> = new Map([
  ['UND_ERR_CONNECT_TIMEOUT', 'timeout'],
  ['UND_ERR_HEADERS_TIMEOUT', 'timeout'],
  ['UND_ERR_BODY_TIMEOUT', 'timeout'],
  ['ETIMEDOUT', 'timeout'],
  ['ECONNABORTED', 'timeout'],
  ['UND_ERR_SOCKET', 'reset'],
  ['ECONNRESET', 'reset'],
  ['EPIPE', 'reset'],
  ['ECONNREFUSED', 'unreachable'],
  ['ENOTFOUND', 'unreachable'],
  ['EAI_AGAIN', 'unreachable'],
  ['EHOSTUNREACH', 'unreachable'],
  ['ENETUNREACH', 'unreachable'],
  ['UND_ERR_ABORTED', 'aborted'],
  ['ABORT_ERR', 'aborted'],
  ['ERR_CANCELED', 'aborted'],
]);

/** What an error of a client or a socket says, by its code. */
export function transportFault(error: unknown): TransportFault {
  const code = errorCode(error);
  const fault = code === undefined ? undefined : FAULTS.get(code);
  if (fault !== undefined) return fault;
  if (error instanceof Error && (error.name === 'AbortError' || error.name === 'TimeoutError')) return 'aborted';
  return error instanceof AggregateError && error.errors.length > 0 ? transportFault(error.errors[0]) : 'broken';
}

/** The code of an error, for a message: it names no address and no content. */
export function errorCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
