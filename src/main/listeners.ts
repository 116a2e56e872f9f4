import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import { randomUUID } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { createScanIndex } from '../audit/scan-index.ts';
import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import { GatewayError } from '../errors.ts';
import { judgeEdge } from '../http/edge.ts';
import { createInternalApp, loadApiDescription } from '../http/internal.ts';
import type { Logger } from '../log.ts';
import type { Received } from '../pep/stages.ts';
import type { Gateway } from './gateway.ts';
import { createProbes } from './probes.ts';

export interface Listeners {
  readonly publicUrl: string;
  readonly internalUrl: string;
  /** Not ready any more; what runs may end within the time. */
  drain(deadlineMs: number): Promise<void>;
}

/** Opens both listeners. */
export async function startListeners(gateway: Gateway, config: Config, clock: Clock, logger: Logger): Promise<Listeners> {
  let draining = false;
  const app = createInternalApp({
    mode: config.mode,
    description: loadApiDescription(),
    tenants: gateway.tenants,
    useCases: gateway.registry.all,
    workflow: gateway.workflow,
    database: gateway.database,
    node: (tenant) => gateway.nodeOf(tenant),
    audit: gateway.journal,
    auditIndex: createScanIndex(gateway.journal.directory, gateway.journal.isOpen.bind(gateway.journal)),
    metrics: gateway.metrics,
    clock,
    logger,
    probes: createProbes(gateway),
    draining: () => draining,
  });
  const internal = createServer(app);
  const open = createServer((req, res) => void serve(req, res));
  await listen(internal, config.internal);
  await listen(open, config.public);

  async function serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const correlationId = randomUUID();
    const seen = { correlationId, startedMs: performance.now(), remoteAddress: req.socket.remoteAddress ?? '' };
    let reply;
    try {
      const edge = judgeEdge({ method: req.method ?? '', url: req.url ?? '', httpVersion: req.httpVersion, rawHeaders: req.rawHeaders, remoteAddress: seen.remoteAddress });
      const received: Received = {
        stage: 'received',
        ...seen,
        ...edge,
        readBody: async (limit) => {
          const chunks: Buffer[] = [];
          let n = 0;
          for await (const chunk of req as AsyncIterable<Buffer>) {
            n += chunk.length;
            if (n > limit) throw new GatewayError('body_too_large', 'too large', { close: true });
            chunks.push(chunk);
          }
          return Buffer.concat(chunks);
        },
        onGone: (listener) => res.on('close', () => { if (!res.writableFinished) listener(); }),
      };
      reply = await gateway.gate.enforce(received);
    } catch (error) {
      reply = await gateway.gate.refuse(seen, error);
    }
    res.writeHead(reply.status, reply.headers);
    if (reply.body.kind === 'none') res.end();
    else if (reply.body.kind === 'bytes') res.end(reply.body.bytes);
    else {
      let bytes = 0;
      for await (const chunk of reply.body.stream) { bytes += chunk.byteLength; res.write(chunk); }
      await reply.body.finish({ bytes, complete: true });
      res.end();
    }
  }

  return {
    publicUrl: url(open),
    internalUrl: url(internal),
    drain: async () => {
      draining = true;
      open.close(); open.closeAllConnections(); internal.close(); internal.closeAllConnections();
    },
  };
}

async function listen(server: Server, at: { readonly host: string; readonly port: number }): Promise<void> {
  server.listen(at.port, at.host);
  await once(server, 'listening');
}

function url(server: Server): string {
  const { address, port, family } = server.address() as AddressInfo;
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}
