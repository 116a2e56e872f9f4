import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { GatewayError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Gate } from '../pep/enforce.ts';
import type { Reply } from '../pep/reply.ts';
import type { Received, Seen } from '../pep/stages.ts';
import { createBodyReader, type BodyReader } from './body-reader.ts';
import { createTrustedProxies } from './client-address.ts';
import { judgeEdge } from './edge.ts';
import { createPipelines } from './pipelines.ts';
import { openListener, type Listener, type ParseError } from './server.ts';
import { sendReply } from './send-reply.ts';

export interface PublicListenerOptions {
  readonly host: string;
  readonly port: number;
  readonly gate: Gate;
  /** IP addresses and ranges whose `X-Forwarded-For` counts. */
  readonly trustedProxies: readonly string[];
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** Opens the public listener: node:http, the edge, the gate, and nothing in between. */
export async function openPublicListener(options: PublicListenerOptions): Promise<Listener> {
  const { gate, metrics } = options;
  const logger = options.logger.child({ module: 'http' });
  // All that its lines name is ours and comes from closed sets: there is nothing in them to look for secrets in.
  const accessLog = logger.child({}, { redact: [] });
  const proxies = createTrustedProxies(options.trustedProxies);
  const pipelines = createPipelines();
  let draining: () => boolean = () => false;

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { socket } = request;
    const peer = socket.remoteAddress ?? '';
    const seen: Seen = { correlationId: randomUUID(), startedMs: performance.now(), remoteAddress: peer };
    metrics.inFlight.inc();
    try {
      const body = createBodyReader(request, response);
      pipelines.reading(socket, body);
      const received = receive(request, response, seen, body);
      const refused = received.stage === 'refused';
      const reply = await (refused
        ? gate.refuse({ ...seen, target: request.url ?? '' }, received.error)
        : gate.enforce(received));
      const unread = refused || (received.hasBody && !body.isRead());
      const close = reply.close || unread || draining();
      const sent = await sendReply(request, response, reply, close);
      note(seen, request.method ?? '', reply, sent);
    } catch (error) {
      // The gate always answers; what fails here is the connection, or a record that could not be closed.
      logger.warn({ correlationId: seen.correlationId, err: error }, 'a connection was broken off');
      socket.destroy();
    } finally {
      metrics.inFlight.dec();
    }
  }

  /** What the edge makes of a request. */
  function receive(
    request: IncomingMessage,
    response: ServerResponse,
    seen: Seen,
    body: BodyReader,
  ): Received | { readonly stage: 'refused'; readonly error: unknown } {
    try {
      const edge = judgeEdge({
        method: request.method ?? '',
        url: request.url ?? '',
        httpVersion: request.httpVersion,
        rawHeaders: request.rawHeaders,
        remoteAddress: seen.remoteAddress,
      });
      return {
        stage: 'received',
        ...edge,
        correlationId: seen.correlationId,
        startedMs: seen.startedMs,
        remoteAddress: proxies.clientAddress(seen.remoteAddress, edge.headers.get('x-forwarded-for')),
        readBody: (limitBytes) => body.read(limitBytes, edge.contentLength),
        onGone: (listener) => {
          // Gone already: `close` will not come again.
          if (response.destroyed || request.socket.destroyed) {
            listener();
            return;
          }
          response.on('close', () => {
            if (!response.writableFinished) listener();
          });
        },
      };
    } catch (error) {
      return { stage: 'refused', error };
    }
  }

  /** One line and one count per request, at its end. */
  function note(seen: Seen, method: string, reply: Reply, sent: { readonly bytes: number; readonly complete: boolean }): void {
    const { about, status } = reply;
    const durationMs = performance.now() - seen.startedMs;
    metrics.requests.inc({ tenant: about.tenant ?? '', outcome: about.outcome, status: String(status) });
    metrics.requestSeconds.observe({ outcome: about.outcome }, durationMs / 1000);
    accessLog.info(
      {
        tenant: about.tenant,
        correlationId: seen.correlationId,
        method: METHODS.has(method) ? method : 'other',
        interaction: about.interaction,
        requester: about.requester,
        outcome: about.outcome,
        status,
        reason: about.reason,
        bytes: sent.bytes,
        ...(sent.complete ? {} : { complete: false }),
        durationMs: Math.round(durationMs * 1000) / 1000,
      },
      'request',
    );
  }

  /** An answer where node:http gives no response to write it with; in its turn, else it would be taken for another's. */
  async function answerRaw(socket: Duplex & { readonly remoteAddress?: string }, error: GatewayError): Promise<void> {
    const seen: Seen = { correlationId: randomUUID(), startedMs: performance.now(), remoteAddress: socket.remoteAddress ?? '' };
    if (!(await pipelines.giveUp(socket))) {
      socket.destroy();
      return;
    }
    const reply = await gate.refuse(seen, error);
    note(seen, '', reply, { bytes: 0, complete: true });
    if (!socket.writable) {
      socket.destroy();
      return;
    }
    const body = reply.body.kind === 'bytes' ? Buffer.from(reply.body.bytes) : Buffer.alloc(0);
    const headers = { ...reply.headers, 'content-length': String(body.byteLength), connection: 'close' };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.end(
      Buffer.concat([Buffer.from(`HTTP/1.1 ${reply.status} ${STATUS_CODES[reply.status] ?? ''}\r\n${lines.join('')}\r\n`), body]),
    );
    socket.once('finish', () => socket.destroy());
  }

  const ignore = (): void => undefined;
  /** The parser says again of each further piece that it cannot go on: one refusal, one record, one answer. */
  const givenUp = new WeakSet<Duplex>();
  const listener = await openListener({
    host: options.host,
    port: options.port,
    pipelines,
    onRequest: (request, response) => void serve(request, response),
    onConnect: (_request, socket) => {
      socket.on('error', ignore);
      void answerRaw(
        socket,
        new GatewayError('method_not_allowed', 'CONNECT is none of FHIR', { allow: [...METHODS], close: true }),
      ).catch(() => socket.destroy());
    },
    onParseError: (error, socket) => {
      // The other side has gone: there is nobody to answer, and no request to record.
      if (error.code === 'ECONNRESET') {
        socket.on('error', ignore);
        socket.destroy();
        return;
      }
      if (givenUp.has(socket)) return;
      givenUp.add(socket);
      socket.on('error', ignore);
      if (!socket.writable) {
        socket.destroy();
        return;
      }
      void answerRaw(socket, parseFault(error)).catch(() => socket.destroy());
    },
  });
  draining = listener.draining;
  return listener;
}

const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']);

/** What the parser's code means for the caller. */
function parseFault(error: ParseError): GatewayError {
  const options = { close: true, cause: error };
  if (error.code === 'HPE_HEADER_OVERFLOW') return new GatewayError('headers_too_large', 'headers are too large', options);
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return new GatewayError('request_timeout', 'the request did not arrive in time', options);
  // Bytes that are no HTTP/1.1, two framings, an unknown method: the parser does not say which, and the caller need not know.
  return new GatewayError('bad_request', 'the request cannot be parsed', options);
}
