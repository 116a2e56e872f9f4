import type { Draft, Resource } from './resource.ts';

/** A request to the simulated server, over HTTP or as an entry of a Bundle. */
export interface FhirRequest {
  readonly method: string;
  /** The path below the base, decoded as the server decodes. */
  readonly segments: readonly string[];
  readonly query: URLSearchParams;
  /** The base that absolute URLs in the answer begin with. */
  readonly base: string;
  /** A header's value, its name in lower case. */
  header(name: string): string | undefined;
  readonly body: Buffer;
  /** Of a Bundle entry: the resource, already parsed. */
  readonly resource?: Draft;
  /** Of a transaction's POST entry: the id that others in it refer to already. */
  readonly newId?: string;
  /** `Type/id` of everything that the same transaction creates: it is there at the end. */
  readonly created?: ReadonlySet<string>;
}

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?:
    { readonly kind: 'resource'; readonly resource: Draft | Resource } | { readonly kind: 'bytes'; readonly bytes: Buffer };
}

/** How the server says no: an OperationOutcome whose diagnostics speak as openly as real servers do. */
export class FhirFailure extends Error {
  override readonly name = 'FhirFailure';
  readonly status: number;
  readonly code: string;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, code: string, diagnostics: string, headers: Readonly<Record<string, string>> = {}) {
    super(diagnostics);
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

export function outcome(severity: 'error' | 'information' | 'warning', code: string, diagnostics: string): Draft {
  return { resourceType: 'OperationOutcome', issue: [{ severity, code, diagnostics }] };
}

/** The answer to a failure; anything but a `FhirFailure` is a 500 that names its innards, as real servers do. */
export function failureReply(error: unknown): Reply {
  const failure =
    error instanceof FhirFailure
      ? error
      : new FhirFailure(
          500,
          'exception',
          `SIM-0389: Failed to call access method: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
        );
  return {
    status: failure.status,
    headers: failure.headers,
    body: { kind: 'resource', resource: outcome('error', failure.code, failure.message) },
  };
}
