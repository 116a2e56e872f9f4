import type { IncomingMessage, ServerResponse } from 'node:http';
import { GatewayError } from '../errors.ts';

/** The body of one request, read when somebody wants it and not before. */
export interface BodyReader {
  /** @throws GatewayError `body_too_large`, `bad_request` when it breaks off */
  read(limitBytes: number, contentLength: number | undefined): Promise<Uint8Array>;
  /** Whether it was read to its end, so that the connection can go on. */
  isRead(): boolean;
}

export function createBodyReader(request: IncomingMessage, response: ServerResponse): BodyReader {
  let whole = false;
  return {
    isRead: () => whole,
    read: async (limitBytes, contentLength) => {
      if (contentLength !== undefined && contentLength > limitBytes) throw tooLarge(limitBytes);
      // RFC 9110 §10.1.1: only now is it known that the body is wanted.
      if (request.headers.expect !== undefined) response.writeContinue();
      const chunks: Uint8Array[] = [];
      let bytes = 0;
      try {
        for await (const chunk of request as AsyncIterable<Uint8Array>) {
          bytes += chunk.byteLength;
          if (bytes > limitBytes) throw tooLarge(limitBytes);
          chunks.push(chunk);
        }
      } catch (cause) {
        if (cause instanceof GatewayError) throw cause;
        throw new GatewayError('bad_request', 'the body broke off', { cause, close: true });
      }
      whole = true;
      return Buffer.concat(chunks, bytes);
    },
  };
}

function tooLarge(limitBytes: number): GatewayError {
  return new GatewayError('body_too_large', `the body is larger than ${limitBytes} bytes`, { close: true });
}
