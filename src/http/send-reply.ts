import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Reply } from '../pep/reply.ts';

export interface Sent {
  readonly bytes: number;
  readonly complete: boolean;
}

/** How slowly a caller may take a stream: it holds a place of its tenant, here and at the FHIR server, as long as it takes. */
export interface Pace {
  /** Added to the time that the bytes so far may take. */
  readonly graceMs: number;
  /** The least that must be taken on the average. */
  readonly bytesPerMs: number;
}

/** A minute, and 8 kB a second. */
const PACE: Pace = { graceMs: 60_000, bytesPerMs: 8 };

/**
 * Writes an answer. The last piece of a stream is held back until its record is durable: who has a whole answer has a record of it
 * (reliability §1.4). A stream that fails after its headers have left is cut off, never ended: half a document must not look whole.
 */
export function sendReply(
  request: IncomingMessage,
  response: ServerResponse,
  reply: Reply,
  close: boolean,
  pace: Pace = PACE,
): Promise<Sent> {
  const { body, status } = reply;
  if (close) response.shouldKeepAlive = false;
  switch (body.kind) {
    case 'none':
      response.writeHead(status, saysLength(request, status) ? { ...reply.headers, 'content-length': '0' } : reply.headers);
      response.end();
      return Promise.resolve({ bytes: 0, complete: true });
    case 'bytes':
      response.writeHead(status, { ...reply.headers, 'content-length': String(body.bytes.byteLength) });
      // Of an answer to HEAD, node:http sends the headers only.
      endWith(response, body.bytes);
      return Promise.resolve({ bytes: body.bytes.byteLength, complete: true });
    case 'stream':
      return sendStream(request, response, reply, body, pace);
  }
}

/**
 * An answer without a body says so, or it would be sent in chunks, of which there is none. 204 and 304 say nothing of a length, and neither does the answer to
 * HEAD: the one to GET would have another (RFC 9110 §8.6).
 */
function saysLength({ method }: IncomingMessage, status: number): boolean {
  return method !== 'HEAD' && status !== 204 && status !== 304;
}

/** What node:http writes together with the headers, in one call of the system, is text; Latin-1 is every byte as it is. */
const ONE_WRITE_BYTES = 16 * 1024;

function endWith(response: ServerResponse, bytes: Uint8Array): void {
  if (bytes.byteLength > ONE_WRITE_BYTES) response.end(bytes);
  else response.end(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1'), 'latin1');
}

type StreamBody = Extract<Reply['body'], { readonly kind: 'stream' }>;

async function sendStream(
  request: IncomingMessage,
  response: ServerResponse,
  reply: Reply,
  body: StreamBody,
  pace: Pace,
): Promise<Sent> {
  const startedMs = performance.now();
  let bytes = 0;
  let held: Uint8Array | undefined;
  let isSettled = false;
  try {
    for await (const chunk of body.stream) {
      if (held !== undefined) {
        if (!response.headersSent) writeHead(response, reply, body.lengthBytes);
        await write(response, held, startedMs + pace.graceMs + bytes / pace.bytesPerMs - performance.now());
      }
      held = chunk;
      bytes += chunk.byteLength;
    }
    if (body.lengthBytes !== undefined && body.lengthBytes !== bytes)
      throw new Error('the answer has not the length that it promised');
    isSettled = true;
    await body.finish({ bytes, complete: true });
    if (!response.headersSent) writeHead(response, reply, bytes);
    response.end(held);
    return { bytes, complete: true };
  } catch (error) {
    if (!isSettled) await body.finish({ bytes: bytes - (held?.byteLength ?? 0), complete: false }).catch(() => undefined);
    request.socket.destroy();
    if (response.destroyed || response.closed) return { bytes, complete: false };
    throw error;
  }
}

function writeHead(response: ServerResponse, reply: Reply, lengthBytes: number | undefined): void {
  response.writeHead(reply.status, {
    ...reply.headers,
    ...(lengthBytes === undefined ? {} : { 'content-length': String(lengthBytes) }),
  });
}

/** Writes with back-pressure; ends with an error when the caller goes while we wait, or lets us wait too long. */
async function write(response: ServerResponse, chunk: Uint8Array, leftMs: number): Promise<void> {
  if (response.destroyed) throw new Error('the caller has gone');
  if (response.write(chunk)) return;
  const gone = new AbortController();
  const onClose = (): void => gone.abort();
  response.once('close', onClose);
  const tooSlow = setTimeout(onClose, Math.max(0, leftMs));
  try {
    await once(response, 'drain', { signal: gone.signal });
  } finally {
    clearTimeout(tooSlow);
    response.off('close', onClose);
  }
}
