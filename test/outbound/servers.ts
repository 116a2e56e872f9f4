import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createRawServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { Writable } from 'node:stream';
import { createLogger, type Logger } from '../../src/log.ts';
import type { Tenant } from '../../src/tenant/tenant.ts';

/** A time that nobody waits for here; a test of a deadline sets its own. */
export const NEVER_MS = 120_000;

export interface Received {
  readonly method: string;
  readonly target: string;
  readonly headers: IncomingMessage['headers'];
  readonly rawHeaders: readonly string[];
  readonly body: string;
}

export interface TestServer {
  readonly url: string;
  readonly port: number;
  readonly received: Received[];
  close(): Promise<void>;
}

/** A real server on a free port of loopback that keeps what it received. */
export async function startServer(answer: (request: Received, response: ServerResponse) => void): Promise<TestServer> {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    request.on('end', () => {
      const { method = '', url = '', headers, rawHeaders } = request;
      const seen = { method, target: url, headers, rawHeaders, body: Buffer.concat(chunks).toString() };
      received.push(seen);
      answer(seen, response);
    });
  });
  return listen(server, received, () => server.closeAllConnections());
}

/** The same over bare sockets, for what no HTTP library would say. `connection` counts from 1. */
export async function startRawServer(
  onData: (socket: Socket, connection: number) => void,
): Promise<TestServer & { connections(): number }> {
  const sockets = new Set<Socket>();
  let count = 0;
  const server = createRawServer((socket) => {
    count += 1;
    const connection = count;
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    socket.on('data', () => onData(socket, connection));
  });
  const started = await listen(server, [], () => sockets.forEach((socket) => socket.destroy()));
  return { ...started, connections: () => count };
}

async function listen(server: Server, received: Received[], cut: () => void): Promise<TestServer> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    received,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        cut();
      }),
  };
}

export function json(response: ServerResponse, body: unknown, status = 200, headers: Record<string, string> = {}): void {
  response
    .writeHead(status, { 'content-type': 'application/fhir+json', ...headers })
    .end(typeof body === 'string' ? body : JSON.stringify(body));
}

/** A tenant whose node and FHIR server are where the test says. */
export function tenantOf(
  changes: {
    readonly node?: Partial<Tenant['node']>;
    readonly fhir?: Partial<Tenant['fhir']>;
    readonly limits?: Partial<Tenant['limits']>;
    readonly did?: string;
  } = {},
): Tenant {
  return {
    id: 'oost',
    name: 'Ziekenhuis Oost',
    identity: { did: changes.did ?? 'did:nuts:oost' },
    publicUrl: 'https://gate.example/oost',
    node: {
      url: 'http://127.0.0.1:1',
      generations: ['v1'],
      introspectionTimeoutMs: NEVER_MS,
      introspectionCacheMs: 0,
      ...changes.node,
    },
    fhir: {
      url: 'http://127.0.0.1:1/fhir',
      version: 'STU3',
      login: { kind: 'none' },
      tls: {},
      timeoutMs: NEVER_MS,
      document: 'upstream',
      xml: 'none',
      ...changes.fhir,
    },
    outbound: {},
    grants: 'ledger',
    useCases: new Map(),
    limits: { concurrentRequests: 8, maxAnswerBytes: 1_000_000, bundleEntries: 20, ...changes.limits },
  };
}

/** A logger whose lines can be read. */
export function memoryLog(): { readonly logger: Logger; text(): string } {
  let text = '';
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString();
      done();
    },
  });
  return { logger: createLogger('debug', sink), text: () => text };
}
