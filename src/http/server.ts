import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createPipelines, type Pipelines } from './pipelines.ts';

/** How a listener of ours is set up; what is not said has the value of the reliability sheet (§2.5). */
export interface ServerOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /**
   * Called for every request that the parser could read, those that wait for `100 Continue` or name another expectation too; one of a connection at a time,
   * in their order, and none behind an answer that closes the connection.
   */
  readonly onRequest: RequestListener;
  /** Who keeps that order, where the caller has to know of it. */
  readonly pipelines?: Pipelines;
  /** Called for CONNECT, of which node:http makes no request with an answer. The socket is the callee's to end. */
  readonly onConnect?: (request: IncomingMessage, socket: Duplex) => void;
  /** Called when the parser cannot go on. The socket is the callee's to end. */
  readonly onParseError?: (error: ParseError, socket: Duplex) => void;
}

/** What `node:http` says of bytes that are no request. */
export interface ParseError extends Error {
  readonly code?: string;
}

/** A listener that is open. */
export interface Listener {
  readonly url: string;
  readonly draining: () => boolean;
  /** Takes no new connections, lets what runs end within the time, then cuts it off. */
  drain(deadlineMs: number): Promise<void>;
}

/** A caller that has gone and one that waits for its answer look the same: so long nothing need be on its way to it. */
const HALF_CLOSED_MS = 300;

function endHalfClosed(socket: Socket): void {
  socket.once('end', () => {
    const { bytesWritten } = socket;
    const timer = setTimeout(() => {
      if (socket.bytesWritten === bytesWritten) socket.destroy();
    }, HALF_CLOSED_MS);
    socket.once('close', () => {
      clearTimeout(timer);
    });
  });
}

/** Opens a listener with every limit set, none of them left to a default that may change. */
export async function openListener(options: ServerOptions): Promise<Listener> {
  const { onConnect, onParseError, pipelines = createPipelines() } = options;
  const server = createServer({
    // Above the edge's own 16 kB and 4 kB, so that its answers (431, 414) are given and not the parser's.
    maxHeaderSize: 64 * 1024,
    headersTimeout: 10_000,
    requestTimeout: 30_000,
    // Without it a half-sent header lives for 30 s whatever the other limits say.
    connectionsCheckingInterval: 1_000,
    keepAliveTimeout: 65_000,
    insecureHTTPParser: false,
    // node:http would answer by itself, and nothing would be recorded: the edge refuses it.
    requireHostHeader: false,
    noDelay: true,
    highWaterMark: 64 * 1024,
  });
  server.maxHeadersCount = 0;
  // node:http's own limit says `close` and then keeps the connection, to answer 503 on it: we count ourselves.
  server.maxRequestsPerSocket = 0;
  // Who has said all may close its half and still wait for the answer (RFC 9112 §9.6). @types/node does not know the setting.
  Object.assign(server, { httpAllowHalfOpen: true });
  server.maxConnections = 12_000;
  server.timeout = 120_000;
  const onRequest = pipelines.inTurn(options.onRequest);
  server.on('request', onRequest);
  // With these listeners node:http promises nothing and refuses nothing by itself.
  server.on('checkContinue', onRequest);
  server.on('checkExpectation', onRequest);
  server.on('connection', endHalfClosed);
  server.on('connect', (request: IncomingMessage, socket: Duplex) => {
    if (onConnect === undefined) socket.destroy();
    else onConnect(request, socket);
  });
  server.on('clientError', (error: ParseError, socket: Socket) => {
    if (onParseError === undefined) {
      socket.destroy();
      return;
    }
    // node:http knows of no answer that is on its way, and would end our half with the client's before it is out.
    socket.removeAllListeners('end');
    endHalfClosed(socket);
    onParseError(error, socket);
  });

  server.listen({ port: options.port, host: options.host, backlog: 1_024 });
  await once(server, 'listening');
  let draining = false;
  return {
    url: urlOf(server),
    draining: () => draining,
    drain: async (deadlineMs) => {
      draining = true;
      const closed = once(server, 'close');
      server.close();
      // An answer under way still says keep-alive; its connection becomes idle later.
      const sweep = setInterval(() => server.closeIdleConnections(), 250);
      const cutOff = setTimeout(() => server.closeAllConnections(), deadlineMs);
      server.closeIdleConnections();
      await closed;
      clearInterval(sweep);
      clearTimeout(cutOff);
    },
  };
}

function urlOf(server: Server): string {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the listener has no port');
  const host = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return `http://${host === '0.0.0.0' ? '127.0.0.1' : host}:${address.port}`;
}
