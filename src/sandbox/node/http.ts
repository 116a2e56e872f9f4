/** A small router on node:http that answers as a node's web server does: problems, 404, 405 with `Allow`, 415 (facts §0.1). */
import type { IncomingMessage, ServerResponse } from 'node:http';

import type { z } from 'zod';

import { isObject } from './json.ts';
import { NodeCrash, NodeProblem, problemBody } from './problem.ts';

export interface Call {
  /** Path parameters, unescaped. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly request: IncomingMessage;
  /** The body when it was sent as a form, else empty. */
  readonly form: URLSearchParams;
  /** The body as JSON: `{}` when it was empty or a form. Throws 415 and 400. */
  json(): unknown;
}

export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface Route {
  readonly method: string;
  /** With `:name` for one path segment. */
  readonly path: string;
  /** PascalCase name of the operation, for the title of problems. */
  readonly operation?: string;
  /** Counted by the rate limiter (facts §8.7). */
  readonly limited?: boolean;
  handle(call: Call): Answer | Promise<Answer>;
}

export function json(value: unknown, status = 200): Answer {
  return { status, headers: { 'Content-Type': 'application/json' }, body: `${JSON.stringify(value)}\n` };
}

export function plain(body: string, type = 'text/plain'): Answer {
  return { status: 200, headers: { 'Content-Type': type }, body };
}

export function empty(status: number, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status, headers };
}

/** Every answer says what it comes from, so that nobody mistakes the simulator for a node. */
export const MARKER: Readonly<Record<string, string>> = { 'X-Sluis-Sandbox': 'simulated-nuts-node' };

const MAX_BODY_BYTES = 16 * 1024 * 1024;

/** A request handler over `routes`; `allow` is asked before each call of a limited route, `isAllowedIn` before each call below `/internal`. `received` is the body, where its reading began before. */
export function createHandler(
  routes: readonly Route[],
  allow: () => boolean,
  isAllowedIn: (req: IncomingMessage) => Promise<boolean> = () => Promise.resolve(true),
): (req: IncomingMessage, res: ServerResponse, received?: Promise<Buffer>) => Promise<void> {
  const table = routes.map((route) => ({ route, segments: route.path.split('/') }));
  return async (req, res, received) => {
    const [path = '', search = ''] = (req.url ?? '').split('?', 2);
    if (path.startsWith('/internal') && !(await isAllowedIn(req))) {
      send(req, res, { status: 401, headers: { 'Content-Type': 'text/plain; charset=UTF-8' }, body: 'Unauthorized' });
      return;
    }
    const found = table.flatMap(({ route, segments }) => {
      const params = match(segments, path.split('/'));
      return params === undefined ? [] : [{ route, params }];
    });
    const hit = found.find(({ route }) => route.method === req.method);
    const body = await (received ?? readBody(req));
    if (hit === undefined) {
      const methods = found.map(({ route }) => route.method);
      send(req, res, methods.length === 0 ? problem(new NodeProblem(404, 'Not Found')) : notAllowed(methods));
      return;
    }
    try {
      if (hit.route.limited === true && !allow()) throw new NodeProblem(429, 'rate limit exceeded', true);
      const call = toCall(req, hit.params, new URLSearchParams(search), body);
      send(req, res, await hit.route.handle(call));
    } catch (error) {
      if (error instanceof NodeCrash) {
        req.socket.destroy();
        return;
      }
      const failure =
        error instanceof NodeProblem ? error : new NodeProblem(500, error instanceof Error ? error.message : 'failed');
      send(req, res, problem(failure, hit.route.operation));
    }
  };
}

function problem(failure: NodeProblem, operation?: string): Answer {
  return {
    status: failure.status,
    headers: { 'Content-Type': 'application/problem+json' },
    body: problemBody(failure, operation),
  };
}

function notAllowed(methods: readonly string[]): Answer {
  const answer = problem(new NodeProblem(405, 'Method Not Allowed'));
  return { ...answer, headers: { Allow: ['OPTIONS', ...methods].join(', '), ...answer.headers } };
}

function match(pattern: readonly string[], actual: readonly string[]): Record<string, string> | undefined {
  if (pattern.length !== actual.length) return undefined;
  const params: Record<string, string> = {};
  for (const [index, segment] of pattern.entries()) {
    const value = actual[index] ?? '';
    if (!segment.startsWith(':')) {
      if (segment !== value) return undefined;
      continue;
    }
    try {
      params[segment.slice(1)] = decodeURIComponent(value);
    } catch {
      return undefined;
    }
  }
  return params;
}

function toCall(request: IncomingMessage, params: Record<string, string>, query: URLSearchParams, body: Buffer): Call {
  const type = request.headers['content-type'];
  const isForm = type?.split(';')[0]?.trim().toLowerCase() === 'application/x-www-form-urlencoded';
  return {
    params,
    query,
    request,
    form: new URLSearchParams(isForm ? body.toString('utf8') : ''),
    json: () => {
      if (body.length === 0 || isForm) return {};
      if (type?.toLowerCase().startsWith('application/json') !== true) {
        throw new NodeProblem(415, 'Unsupported Media Type', true);
      }
      try {
        return JSON.parse(body.toString('utf8')) as unknown;
      } catch {
        throw new NodeProblem(400, 'unexpected EOF', true);
      }
    },
  };
}

/** The JSON body by a schema; what has the wrong type is a 400 in the words of a node. */
export function parseBody<T>(call: Call, schema: z.ZodType<T>): T {
  const value = call.json();
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const got = valueAt(value, issue?.path ?? []);
  const expected = issue?.code === 'invalid_type' ? goType(issue.expected) : 'value';
  const field = issue?.path[0] === undefined ? '' : String(issue.path[0]);
  throw new NodeProblem(400, `Unmarshal type error: expected=${expected}, got=${jsonType(got)}, field=${field}, offset=0`, true);
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((at, key) => {
    if (Array.isArray(at)) return (at as readonly unknown[])[Number(key)];
    return isObject(at) ? at[String(key)] : undefined;
  }, value);
}

function goType(expected: string): string {
  return expected === 'object' || expected === 'record' ? 'map[string]interface {}' : expected;
}

function jsonType(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  return value === null ? 'null' : typeof value;
}

/** Reads a body from this moment on, so that it is there also when the caller goes away while the work waits. */
export async function readBody(req: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of req as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) req.destroy();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function send(req: IncomingMessage, res: ServerResponse, answer: Answer): void {
  const body = answer.body ?? '';
  const withLength = body !== '' || answer.status === 302;
  res.writeHead(answer.status, {
    ...MARKER,
    ...answer.headers,
    ...(withLength ? { 'Content-Length': Buffer.byteLength(body) } : {}),
  });
  res.end(req.method === 'HEAD' ? undefined : body);
}

/** A required query parameter, or the 400 of the generated code. */
export function requiredQuery(call: Call, name: string): string {
  const value = call.query.get(name);
  if (value === null) {
    throw new NodeProblem(400, `Invalid format for parameter ${name}: query parameter '${name}' is required`, true);
  }
  return value;
}
