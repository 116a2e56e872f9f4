import type { IncomingMessage } from 'node:http';

export interface CollectedBody {
  readonly bytes: Buffer;
  /** False when the sender went away before the body was whole. */
  readonly complete: boolean;
}

/** Reads a request's body into memory from this moment on; never rejects, since what came before a break is what came. */
export function collectBody(req: IncomingMessage): Promise<CollectedBody> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const finish = (): void => {
      resolve({ bytes: Buffer.concat(chunks), complete: req.complete });
    };
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.once('end', finish);
    req.once('close', finish);
    req.once('error', finish);
  });
}
