import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import type { Clock } from '../../../src/clock.ts';
import type { NodeAnswer, UpstreamAnswer } from './case.ts';

/** What a FHIR server is told; a scenario can hold its answers until it has seen what it must. */
export interface ToldUpstream extends UpstreamAnswer {
  readonly until?: Promise<unknown>;
}

/** Answers as a case tells, instead of working: what a broken, talkative or hostile FHIR server would send. */
export async function answerAsTold(told: ToldUpstream, request: IncomingMessage, response: ServerResponse): Promise<void> {
  request.resume();
  if (told.delayMs !== undefined) await delay(told.delayMs);
  await told.until;
  if (told.raw !== undefined) {
    request.socket.end(Buffer.from(told.raw, 'latin1'));
    return;
  }
  const body = bodyOf(told);
  const cut = told.cutAfter;
  const headers = {
    'content-type': 'application/fhir+json;charset=utf-8',
    ...(cut === undefined ? {} : { 'content-length': String(body.length) }),
    ...(told.gzip === true ? { 'content-encoding': 'gzip' } : {}),
    ...told.headers,
  };
  response.writeHead(told.status, headers);
  if (cut === undefined) {
    response.end(body);
    return;
  }
  // Ended and not reset: what was written before is read, however late.
  response.write(body.subarray(0, cut));
  request.socket.end();
}

function bodyOf(told: UpstreamAnswer): Buffer {
  if (told.fill !== undefined) {
    const piece = Buffer.from(told.text ?? ' ');
    const filled = Buffer.alloc(told.fill, piece);
    return told.gzip === true ? gzipSync(filled) : filled;
  }
  const text = told.text ?? (told.json === undefined ? '' : JSON.stringify(told.json));
  return told.gzip === true ? gzipSync(text) : Buffer.from(text);
}

/** What the node says instead of the truth. */
export function introspectionText(told: NodeAnswer, truth: Readonly<Record<string, unknown>>, clock: Clock): string {
  if (told.fill !== undefined) return (told.text ?? ' ').repeat(Math.ceil(told.fill / (told.text ?? ' ').length));
  if (told.text !== undefined) return told.text;
  const said = { ...truth, ...told.change };
  const nowS = Math.floor(clock.now().getTime() / 1000);
  for (const [name, value] of Object.entries(told.change ?? {})) {
    const moment = typeof value === 'string' ? /^\{now([+-]\d+)\}$/.exec(value)?.[1] : undefined;
    if (value === null) Reflect.deleteProperty(said, name);
    else if (moment !== undefined) said[name] = nowS + Number(moment);
  }
  return JSON.stringify(said);
}

export async function listen(handler: (request: IncomingMessage, response: ServerResponse) => Promise<void>): Promise<Server> {
  const server = createServer((request, response) => {
    handler(request, response).catch(() => request.socket.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

export function portOf(server: Server): number {
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('the server does not listen');
  return address.port;
}

export async function shut(server: Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
}

export async function readText(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return text;
}
