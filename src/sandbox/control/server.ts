/** The control API of the sandbox (design §11): `startControl`. On loopback only; it holds keys and can stop the gateway. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { GatewayProcessError } from '../gateway-process.ts';
import { describeWorld } from '../world/description.ts';
import type { World } from '../world/world.ts';
import { ControlProblem, problemBody } from './problem.ts';
import { controlRoutes, type ControlCall, type ControlRoute } from './routes.ts';

export interface Control {
  /** `http://127.0.0.1:port` */
  readonly url: string;
  close(): Promise<void>;
}

const MAX_BODY_BYTES = 1_048_576;
const HEADERS = { 'x-sluis-sandbox': 'control', 'cache-control': 'no-store' };

/** Starts the control API of a world. */
export async function startControl(world: World, port: number): Promise<Control> {
  const url = `http://127.0.0.1:${port}`;
  const routes = controlRoutes(world);
  const overview = (): object => ({
    sandbox: world.name,
    clock: world.clock.now().toISOString(),
    gateway: world.gateway.state(),
    calls: routes.map(({ method, path, does }) => `${method} ${path}: ${does}`),
    world: describeWorld(world, url),
  });

  const handle = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    try {
      refuseBrowsers(req);
      const path = (req.url ?? '').split('?')[0] ?? '';
      if (path === '/' && req.method === 'GET') {
        send(res, 200, overview());
        return;
      }
      const { route, params } = find(routes, req.method ?? '', path);
      const call: ControlCall = { params, body: await readJson(req) };
      const answer = await route.handle(call);
      if (answer === undefined) {
        res.writeHead(204, HEADERS);
        res.end();
      } else send(res, 200, answer);
    } catch (error) {
      const problem = toProblem(error);
      for (const [name, value] of Object.entries(problem.headers)) res.setHeader(name, value);
      send(res, problem.status, problemBody(problem), 'application/problem+json');
    }
  };

  const server = createServer((req, res) => void handle(req, res));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return {
    url,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function send(res: ServerResponse, status: number, body: object, type = 'application/json'): void {
  res.writeHead(status, { ...HEADERS, 'content-type': type });
  res.end(`${JSON.stringify(body)}\n`);
}

/** A page that somebody has open must not reach this: neither as itself nor under a name that was pointed here. */
function refuseBrowsers(req: IncomingMessage): void {
  const host = (req.headers.host ?? '').replace(/:\d+$/, '');
  if (!['127.0.0.1', 'localhost', '[::1]'].includes(host))
    throw new ControlProblem(403, 'the control API answers on loopback only');
  if (req.headers.origin !== undefined) throw new ControlProblem(403, 'the control API is not for pages in a browser');
}

function find(
  routes: readonly ControlRoute[],
  method: string,
  path: string,
): { readonly route: ControlRoute; readonly params: Readonly<Record<string, string>> } {
  const allowed: string[] = [];
  for (const route of routes) {
    const params = match(route.path.split('/'), path.split('/'));
    if (params === undefined) continue;
    if (route.method === method) return { route, params };
    allowed.push(route.method);
  }
  if (allowed.length > 0) {
    const allow = allowed.join(', ');
    throw new ControlProblem(405, `${path} takes ${allow}`, { headers: { allow } });
  }
  throw new ControlProblem(404, `no such call; there are ${routes.map((each) => `${each.method} ${each.path}`).join(', ')}`);
}

function match(pattern: readonly string[], actual: readonly string[]): Record<string, string> | undefined {
  if (pattern.length !== actual.length) return undefined;
  const params: Record<string, string> = {};
  for (const [index, part] of pattern.entries()) {
    const value = actual[index] ?? '';
    if (part.startsWith('{')) params[part.slice(1, -1)] = value;
    else if (part !== value) return undefined;
  }
  return params;
}

async function readJson(req: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of req) {
    if (!Buffer.isBuffer(chunk)) continue;
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw new ControlProblem(413, `a body has at most ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  if (bytes === 0) return undefined;
  try {
    const body: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
    return body;
  } catch {
    throw new ControlProblem(400, 'the body is no JSON');
  }
}

function toProblem(error: unknown): ControlProblem {
  if (error instanceof ControlProblem) return error;
  if (error instanceof GatewayProcessError) return new ControlProblem(409, error.message);
  return new ControlProblem(500, error instanceof Error ? error.message : String(error));
}
