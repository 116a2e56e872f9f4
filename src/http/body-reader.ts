import type { IncomingMessage, ServerResponse } from 'node:http';
import { GatewayError } from '../errors.ts';

/** The body of one request, read when somebody wants it and not before. */
export interface BodyReader {
  /** @throws GatewayError `body_too_large`, `bad_request` when it breaks off */
  read(limitBytes: number, contentLength: number | undefined): Promise<Uint8Array>;
  /** The rest will not come: whoever reads, or will read, is told. */
  breakOff(): void;
  /** Whether it was read to its end, so that the connection can go on. */
  isRead(): boolean;
}

export function createBodyReader(request: IncomingMessage, response: ServerResponse): BodyReader {
  let whole = false;
  let isBroken = false;
  let stop: (() => void) | undefined;

  // By events: leaving an iterator in the middle would destroy the request, and its connection before the answer.
  function readAll(limitBytes: number): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const chunks: Uint8Array[] = [];
      let bytes = 0;
      stop = () => {
        request.pause();
        reject(brokeOff());
      };
      request.on('data', (chunk: Uint8Array) => {
        bytes += chunk.byteLength;
        if (bytes <= limitBytes) {
          chunks.push(chunk);
          return;
        }
        request.pause();
        reject(tooLarge(limitBytes));
      });
      request.once('end', () => {
        whole = true;
        resolve(Buffer.concat(chunks));
      });
      request.once('error', (cause) => reject(brokeOff(cause)));
      request.once('close', () => reject(brokeOff()));
    });
  }

  return {
    isRead: () => whole,
    breakOff: () => {
      isBroken = true;
      stop?.();
    },
    read: async (limitBytes, contentLength) => {
      if (contentLength !== undefined && contentLength > limitBytes) throw tooLarge(limitBytes);
      // The connection was reset before anybody listened: no event will say so again.
      if (isBroken || request.destroyed) throw brokeOff(request.errored ?? undefined);
      // RFC 9110 §10.1.1: only now is it known that the body is wanted.
      if (request.headers.expect !== undefined) response.writeContinue();
      return readAll(limitBytes);
    },
  };
}

function tooLarge(limitBytes: number): GatewayError {
  return new GatewayError('body_too_large', `the body is larger than ${limitBytes} bytes`, { close: true });
}

function brokeOff(cause?: unknown): GatewayError {
  return new GatewayError('bad_request', 'the body broke off', { close: true, ...(cause === undefined ? {} : { cause }) });
}
