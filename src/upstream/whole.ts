import type { Dispatcher } from 'undici';
import { GatewayError } from '../errors.ts';

/** Ends a call before its answer is whole. Each request has one: an `AbortSignal` costs as much as the call's own bookkeeping. */
export class BreakOff {
  #reason: Error | undefined;
  #listener: ((reason: Error) => void) | undefined;

  get reason(): Error | undefined {
    return this.#reason;
  }

  get aborted(): boolean {
    return this.#reason !== undefined;
  }

  /** Once; the first reason counts. */
  abort(reason: Error): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#listener?.(reason);
  }

  /** One listener, that of the attempt under way. */
  onAbort(listener: (reason: Error) => void): void {
    this.#listener = listener;
  }
}

/** An answer held whole: what undici gives, without a stream in between. */
export interface WholeResponse {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Empty when the status is not 200; a `GatewayError` when the body broke off or is too large: of a server that answers, that is no failure to connect. */
  readonly content: Buffer | GatewayError;
}

const EMPTY = Buffer.alloc(0);

/**
 * Sends a request and collects its answer. A body that comes with another status than 200 is nobody's: it is thrown away, with its connection.
 * @throws the transport's error, or the reason of the break-off, when that comes before the answer begins
 */
export function requestWhole(
  dispatcher: Dispatcher,
  options: Dispatcher.DispatchOptions,
  maxBytes: number,
  breakOff: BreakOff,
): Promise<WholeResponse> {
  return new Promise((resolve, reject) => {
    dispatcher.dispatch(options, new Collector(maxBytes, breakOff, resolve, reject));
  });
}

class Collector implements Dispatcher.DispatchHandler {
  readonly #maxBytes: number;
  readonly #breakOff: BreakOff;
  readonly #resolve: (answer: WholeResponse) => void;
  readonly #reject: (error: Error) => void;
  #statusCode = 0;
  #headers: WholeResponse['headers'] | undefined;
  #bytes = 0;
  #first: Buffer | undefined;
  #more: Buffer[] | undefined;

  constructor(maxBytes: number, breakOff: BreakOff, resolve: (answer: WholeResponse) => void, reject: (error: Error) => void) {
    this.#maxBytes = maxBytes;
    this.#breakOff = breakOff;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    const { reason } = this.#breakOff;
    if (reason === undefined) this.#breakOff.onAbort((because) => controller.abort(because));
    else controller.abort(reason);
  }

  onResponseStart(controller: Dispatcher.DispatchController, statusCode: number, headers: WholeResponse['headers']): void {
    // 103 and the like come before the answer.
    if (statusCode < 200) return;
    this.#statusCode = statusCode;
    this.#headers = headers;
    if (statusCode === 200) return;
    this.#settle(EMPTY);
    // A 304 has no body, and its connection goes on.
    if (statusCode !== 304) controller.abort(unread());
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#bytes += chunk.byteLength;
    if (this.#bytes > this.#maxBytes) {
      this.#settle(new GatewayError('upstream_failed', 'the answer is too large', { reason: 'upstream_too_large' }));
      controller.abort(unread());
    } else if (this.#first === undefined) this.#first = chunk;
    else (this.#more ??= [this.#first]).push(chunk);
  }

  onResponseEnd(): void {
    this.#settle(this.#more === undefined ? (this.#first ?? EMPTY) : Buffer.concat(this.#more));
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#headers === undefined) this.#reject(error);
    else this.#settle(brokeOff(error));
  }

  /** Once: a promise takes no second value. */
  #settle(content: Buffer | GatewayError): void {
    if (this.#headers !== undefined) this.#resolve({ statusCode: this.#statusCode, headers: this.#headers, content });
  }
}

/** The answer of a server broke off between its headers and its end. */
export function brokeOff(cause?: unknown): GatewayError {
  const options = { reason: 'upstream_broke_off', ...(cause === undefined ? {} : { cause }) };
  return new GatewayError('upstream_failed', 'the answer of the FHIR server broke off', options);
}

function unread(): Error {
  return new GatewayError('upstream_failed', 'nobody reads the rest of the answer');
}
