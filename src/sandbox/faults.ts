/*
 * Misbehaviour on request. Every simulated server of the sandbox, and the relay before a tenant's public listener, lets its requests
 * pass through one injector; `POST /faults` of the control API sets what it does.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

/**
 * How a server misbehaves:
 * - `down`: the socket is destroyed before any work is done;
 * - `slow`: the work is done after `delayMs`, also when the caller has gone by then;
 * - `status`: an answer with `status` and a plain text, no work;
 * - `garbage`: 200 and a body that says it is JSON and is not, no work;
 * - `truncate`: the work is done, half of the answer's body is sent, then the socket is destroyed;
 * - `lose-answer`: the work is done (the write has happened), then the socket is destroyed without a byte of an answer.
 */
export type FaultKind = 'down' | 'slow' | 'status' | 'garbage' | 'truncate' | 'lose-answer';

export const FAULT_KINDS: readonly FaultKind[] = ['down', 'slow', 'status', 'garbage', 'truncate', 'lose-answer'];

export interface Fault {
  readonly kind: FaultKind;
  /** Which requests; both parts must hold, an absent one always does. */
  readonly match?: {
    /** An HTTP method, whatever its case. */
    readonly method?: string;
    /** A part of the request target, literally. */
    readonly path?: string;
  };
  /** How many requests it hits before it is used up; unlimited by default. */
  readonly times?: number;
  /** For `status`; 500 by default. */
  readonly status?: number;
  /** For `slow`; 5000 by default. */
  readonly delayMs?: number;
}

export interface FaultInjector {
  /** Adds a fault. It replaces an earlier one with the same `match`; where several match a request, the newest counts. */
  set(fault: Fault): void;
  /** Ends all misbehaviour. */
  clear(): void;
  /**
   * Serves one request: calls `next` to do the work, around it or instead of it does what the newest matching fault says.
   * An error of `next` is the caller's, except when the fault itself has cut the answer off.
   */
  handle(req: IncomingMessage, res: ServerResponse, next: () => void | Promise<void>): Promise<void>;
}

const GARBAGE = Buffer.concat([Buffer.from('{"resourceType": <<<'), Buffer.from([0x00, 0xff, 0xfe]), Buffer.from('not json')]);

export function createFaultInjector(): FaultInjector {
  let active: { readonly fault: Fault; left: number }[] = [];

  /** The fault for this request; counts it as used. */
  const take = (req: IncomingMessage): Fault | undefined => {
    const entry = active.find(({ fault }) => matches(fault, req));
    if (entry === undefined) return undefined;
    entry.left -= 1;
    if (entry.left <= 0) active = active.filter((other) => other !== entry);
    return entry.fault;
  };

  return {
    set(fault) {
      const others = active.filter((entry) => !sameMatch(entry.fault, fault));
      const left = fault.times ?? Infinity;
      active = left > 0 ? [{ fault, left }, ...others] : others;
    },

    clear() {
      active = [];
    },

    async handle(req, res, next) {
      const fault = take(req);
      if (fault === undefined) {
        await next();
        return;
      }
      switch (fault.kind) {
        case 'down':
          req.socket.destroy();
          return;
        case 'slow':
          await delay(fault.delayMs ?? 5000, undefined, { ref: false });
          await next();
          return;
        case 'status':
          req.resume();
          res.writeHead(fault.status ?? 500, { 'content-type': 'text/plain; charset=utf-8' });
          res.end('The sandbox was told to answer so.\n');
          return;
        case 'garbage':
          req.resume();
          res.writeHead(200, { 'content-type': 'application/json' });
          res.end(GARBAGE);
          return;
        case 'truncate':
          await cutOff(req, res, next, 0.5);
          return;
        case 'lose-answer':
          await cutOff(req, res, next, 0);
          return;
      }
    },
  };
}

function matches(fault: Fault, req: IncomingMessage): boolean {
  const { method, path } = fault.match ?? {};
  if (method !== undefined && method.toUpperCase() !== req.method) return false;
  return path === undefined || (req.url ?? '').includes(path);
}

function sameMatch(one: Fault, other: Fault): boolean {
  return one.match?.method?.toUpperCase() === other.match?.method?.toUpperCase() && one.match?.path === other.match?.path;
}

/**
 * Lets the work be done with the answer's body held back, then sends the first `share` of it (0: not even the head) and destroys
 * the socket. The handler sees writes that succeed; whatever it throws because the connection then closes is the fault's doing.
 */
async function cutOff(req: IncomingMessage, res: ServerResponse, next: () => void | Promise<void>, share: number): Promise<void> {
  const held: Buffer[] = [];
  const send = res.write.bind(res);
  const hold = (chunk: unknown): void => {
    if (typeof chunk === 'string') held.push(Buffer.from(chunk));
    else if (chunk instanceof Uint8Array) held.push(Buffer.from(chunk));
  };
  const done = Promise.withResolvers<undefined>();

  res.write = (chunk: unknown, ...rest: unknown[]): boolean => {
    hold(chunk);
    called(rest);
    return true;
  };
  res.end = (...rest: unknown[]): ServerResponse => {
    hold(rest[0]);
    const body = Buffer.concat(held);
    const part = body.subarray(0, Math.floor(body.length * share));
    const destroy = (): void => {
      req.socket.destroy();
      done.resolve(undefined);
    };
    if (part.length === 0) destroy();
    else send(part, destroy);
    called(rest);
    return res;
  };
  // A head that is sent early would be an answer.
  res.flushHeaders = () => undefined;
  res.once('close', () => {
    done.resolve(undefined);
  });

  try {
    await next();
  } catch (error) {
    if (!req.socket.destroyed) throw error;
  }
  await done.promise;
}

/** Calls the callback that stream writers may pass as their last argument. */
function called(rest: readonly unknown[]): void {
  const last = rest.at(-1);
  if (typeof last === 'function') queueMicrotask(() => void Reflect.apply(last, undefined, []));
}
