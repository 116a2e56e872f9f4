import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../../clock.ts';
import type { FhirVersion } from '../../fhir/version.ts';
import { createFaultInjector } from '../faults.ts';
import type { FaultInjector } from '../faults.ts';
import { collectBody } from './body.ts';
import { interact } from './interactions.ts';
import { failureReply, FhirFailure } from './reply.ts';
import type { FhirRequest, Reply } from './reply.ts';
import type { Resource } from './resource.ts';
import { createResourceStore } from './store.ts';
import { parsePath } from './target.ts';
import type { Behaviour, World } from './world.ts';

export interface SimulatedFhirServerOptions extends Partial<Behaviour> {
  /** Shown in the CapabilityStatement. */
  readonly name: string;
  readonly version: FhirVersion;
  readonly clock: Clock;
  /** What it holds at the start; references among them are not checked. */
  readonly resources: readonly Resource[];
  /** On 127.0.0.1; a free port by default. */
  readonly port?: number;
  /** `production` throws: a simulated server holds no real data. */
  readonly mode?: 'development' | 'production';
  readonly faults?: FaultInjector;
  /** The exact `Authorization` value that every request must carry; none by default. */
  readonly requireAuthorization?: string;
}

/** One request as it came over the wire. */
export interface RecordedRequest {
  readonly method: string;
  /** The request target, undecoded. */
  readonly target: string;
  /** `[name, value, name, value, …]`, in order and letter case. */
  readonly rawHeaders: readonly string[];
  readonly bodyBase64: string;
  /** ISO 8601. */
  readonly at: string;
}

export interface SimulatedFhirServer {
  /** `http://127.0.0.1:port/fhir`. */
  readonly url: string;
  readonly name: string;
  readonly version: FhirVersion;
  /** What came since the last `clearRequests`, oldest first; of very many the newest `MAX_RECORDED`. */
  requests(): readonly RecordedRequest[];
  clearRequests(): void;
  /** The current content, without a request. */
  read(type: string, id: string): Resource | undefined;
  /** Writes without a request and without checks; a new version unless identical. */
  put(resource: Resource): Resource;
  all(): readonly Resource[];
  readonly faults: FaultInjector;
  close(): Promise<void>;
}

const MAX_RECORDED = 20_000;
const MARKER = { 'X-Sluis-Sandbox': 'simulated-fhir-server' };

/**
 * Starts a FHIR server in memory, for the sandbox and for tests: STU3 or R4, JSON, on 127.0.0.1 only, with `X-Sluis-Sandbox` on every
 * answer. It is as lenient and as talkative as real servers have been seen to be, so that a gate before it must do its own work.
 */
export async function startSimulatedFhirServer(options: SimulatedFhirServerOptions): Promise<SimulatedFhirServer> {
  const {
    name,
    version,
    clock,
    resources,
    port = 0,
    mode = 'development',
    faults = createFaultInjector(),
    requireAuthorization,
  } = options;
  if (mode === 'production') throw new Error('a simulated FHIR server does not run in production');
  const store = createResourceStore(clock);
  for (const resource of resources) store.write(resource, resource.id, 'PUT');
  const behaviour: Behaviour = {
    document: options.document ?? 'complete',
    staleVersionStatus: options.staleVersionStatus ?? (version === 'STU3' ? 409 : 412),
    ifMatch: options.ifMatch ?? 'enforced',
    referentialIntegrity: options.referentialIntegrity ?? true,
    lenientPaths: options.lenientPaths ?? true,
    echoHost: options.echoHost ?? false,
  };
  const world: World = { name, version, clock, store, behaviour, pages: new Map() };
  let recorded: RecordedRequest[] = [];
  let ownBase = '';

  const answer = (req: IncomingMessage, body: Buffer): Reply => {
    const request = fhirRequest(req, body, world, ownBase);
    if ('status' in request) return request;
    try {
      if (requireAuthorization !== undefined && req.headers.authorization !== requireAuthorization) {
        throw new FhirFailure(401, 'login', 'SIM-0644: Missing or invalid Authorization header', {
          'www-authenticate': 'Basic realm="fhir"',
        });
      }
      refuseXml(request);
      return interact(world, request);
    } catch (error) {
      return failureReply(error);
    }
  };

  const serve = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const record = {
      method: req.method ?? '',
      target: req.url ?? '',
      rawHeaders: [...req.rawHeaders],
      bodyBase64: '',
      at: clock.now().toISOString(),
    };
    recorded.push(record);
    if (recorded.length > MAX_RECORDED * 1.1) recorded = recorded.slice(-MAX_RECORDED);
    const collected = collectBody(req).then((body) => {
      record.bodyBase64 = body.bytes.toString('base64');
      return body;
    });
    await faults.handle(req, res, async () => {
      const { bytes, complete } = await collected;
      if (complete) send(req, res, answer(req, bytes), version);
    });
  };

  const server = createServer({ maxHeaderSize: 64 * 1024 }, (req, res) => {
    serve(req, res).catch(() => {
      req.socket.destroy();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a TCP server has an address while it listens');
  ownBase = `http://127.0.0.1:${address.port}/fhir`;

  return {
    url: ownBase,
    name,
    version,
    requests: () => recorded.map((record) => ({ ...record })).slice(-MAX_RECORDED),
    clearRequests: () => {
      recorded = [];
    },
    read: (type, id) => store.current(type, id)?.resource,
    put: (resource) => store.write(resource, resource.id, 'PUT').version.resource ?? resource,
    all: () => store.live(),
    faults,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

/** The request below the base, or the answer to what is no request to the FHIR base at all. */
function fhirRequest(req: IncomingMessage, body: Buffer, { behaviour }: World, ownBase: string): FhirRequest | Reply {
  const [path = '', ...query] = (req.url ?? '').split('?');
  const segments = parsePath(path, behaviour.lenientPaths);
  if (segments === undefined) return html(400, '<!doctype html><title>Status 400</title><h1>HTTP Status 400 - Bad Request</h1>');
  const [front, ...below] = segments;
  if (front === undefined) return html(200, '<!doctype html><title>Simulated FHIR server</title><h1>Search all patients</h1>');
  if (front !== 'fhir') {
    const found = front === 'actuator';
    const text = found ? '{"status":"UP"}' : JSON.stringify({ status: 404, error: 'Not Found', path });
    return {
      status: found ? 200 : 404,
      headers: { 'content-type': 'application/json' },
      body: { kind: 'bytes', bytes: Buffer.from(text) },
    };
  }
  return {
    method: req.method ?? '',
    segments: below,
    query: new URLSearchParams(query.join('?')),
    base: behaviour.echoHost ? `http://${req.headers.host ?? ''}/fhir` : ownBase,
    header: (name) => {
      const value = req.headers[name];
      return Array.isArray(value) ? value[0] : value;
    },
    body,
  };
}

/** JSON only. `_format` beats `Accept`; what is neither JSON nor XML is answered in JSON, as real servers do. */
function refuseXml(request: FhirRequest): void {
  const wanted = request.query.get('_format') ?? request.header('accept') ?? '';
  if (wanted.includes('xml') && !/json|\*\/\*|html/.test(wanted)) {
    throw new FhirFailure(406, 'not-supported', `SIM-0301: This server does not write "${wanted}"`);
  }
  if (request.header('content-type')?.includes('xml') === true) {
    throw new FhirFailure(415, 'not-supported', 'SIM-0449: This server does not read XML');
  }
}

function html(status: number, text: string): Reply {
  return { status, headers: { 'content-type': 'text/html;charset=utf-8' }, body: { kind: 'bytes', bytes: Buffer.from(text) } };
}

function send(req: IncomingMessage, res: ServerResponse, reply: Reply, version: FhirVersion): void {
  const { status, body } = reply;
  const headers: Record<string, string> = {
    ...MARKER,
    'X-Powered-By': `Simulated FHIR Server (FHIR ${version === 'STU3' ? '3.0.2/STU3' : '4.0.1/R4'})`,
    ...(typeof req.headers['x-request-id'] === 'string' ? { 'X-Request-ID': req.headers['x-request-id'] } : {}),
    ...(body?.kind === 'resource' ? { 'content-type': 'application/fhir+json;charset=UTF-8' } : {}),
    // Seen on real servers: a pool must not take this for a failure of the server.
    ...(status === 400 || status === 500 || status === 501 ? { connection: 'close' } : {}),
    ...reply.headers,
  };
  let bytes = Buffer.alloc(0);
  if (body?.kind === 'bytes') bytes = Buffer.from(body.bytes);
  else if (body !== undefined) {
    const text = JSON.stringify(body.resource, undefined, (req.url ?? '').includes('_pretty=true') ? 2 : undefined);
    // A browser's Accept gets a page instead of the resource.
    const page = status < 300 && req.method === 'GET' && (req.headers.accept ?? '').includes('text/html');
    bytes = Buffer.from(
      page ? `<!doctype html><title>Simulated FHIR server</title><pre>${text.replaceAll('<', '&lt;')}</pre>` : text,
    );
    if (page) {
      headers['content-type'] = 'text/html;charset=utf-8';
      delete headers['etag'];
    }
  }
  if (status !== 304) headers['content-length'] = String(bytes.length);
  res.writeHead(status, headers);
  res.end(req.method === 'HEAD' ? undefined : bytes);
}
