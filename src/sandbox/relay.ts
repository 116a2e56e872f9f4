import { Agent, createServer, request } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import type { FaultInjector } from './faults.ts';
import { collectBody } from './fhir/body.ts';

export interface RelayOptions {
  /** The base URL of the listener behind it; plain http. Only its host and port count: the request target passes as it came. */
  readonly target: string;
  /** On 127.0.0.1; a free port by default. */
  readonly port?: number;
  readonly faults: FaultInjector;
}

export interface Relay {
  /** `http://127.0.0.1:port`, without a path. */
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Starts a relay before a tenant's public listener, so that the way to a receiver can be made to fail (`POST /faults` with target
 * `receiver`). Request target, header lines (order, case, repetition) and bodies pass unchanged in both directions. Where the
 * listener behind it is not there, the caller's connection is destroyed, as if it had called there itself.
 */
export async function startRelay({ target, port = 0, faults }: RelayOptions): Promise<Relay> {
  const { hostname, port: targetPort } = new URL(target);
  const agent = new Agent({ keepAlive: true });

  const forward = async (
    req: IncomingMessage,
    res: ServerResponse,
    body: Promise<{ bytes: Buffer; complete: boolean }>,
  ): Promise<void> => {
    const { bytes, complete } = await body;
    if (!complete) return;
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = request({
        agent,
        hostname,
        port: Number(targetPort === '' ? 80 : targetPort),
        method: req.method ?? 'GET',
        path: req.url ?? '/',
        headers: req.rawHeaders,
      });
      outgoing.once('response', resolve);
      outgoing.once('error', reject);
      outgoing.end(bytes);
    });
    res.sendDate = false;
    res.writeHead(answer.statusCode ?? 502, answer.statusMessage ?? '', answer.rawHeaders);
    await pipeline(answer, res);
  };

  const server = createServer({ maxHeaderSize: 64 * 1024 }, (req, res) => {
    const body = collectBody(req);
    faults
      .handle(req, res, () => forward(req, res, body))
      .catch(() => {
        req.socket.destroy();
      });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });

  return {
    url: `http://127.0.0.1:${listeningPort(server.address())}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
        agent.destroy();
      }),
  };
}

function listeningPort(address: AddressInfo | string | null): number {
  if (address === null || typeof address === 'string') throw new Error('a TCP server has an address while it listens');
  return address.port;
}
