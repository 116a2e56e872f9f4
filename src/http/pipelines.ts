import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/**
 * The order of things on each connection: a client may send several requests before it has read the first answer, and node:http hands all of them over as
 * soon as they can be read. Here one of a connection is under way at a time. The next begins when the answer to the one before was handed over (RFC 9112
 * §9.3.2), and not at all when that answer closes the connection: nobody would hear of it, and where framing was in doubt or a body was left unread it is
 * perhaps no request (RFC 9112 §9.6 and §11.2, attack cases H15 and H16).
 */
export interface Pipelines {
  /** What takes the requests of each connection in turn. */
  inTurn(onRequest: RequestListener): RequestListener;
  /** Who reads the body of the request under way: is told when the parser gives up in the middle of it. */
  reading(socket: Duplex, body: Breakable): void;
  /**
   * The parser has given up on the connection. Waits until the answers to the requests before are out.
   * @returns whether an answer to what could not be parsed may follow: no, when that was the rest of a request, which gets its own answer,
   *   or when the last answer has closed the connection
   */
  giveUp(socket: Duplex): Promise<boolean>;
}

/** What waits for bytes that may never come. */
interface Breakable {
  breakOff(): void;
}

/** One connection. */
interface Pipeline {
  arrive(request: IncomingMessage, response: ServerResponse): void;
  reading(body: Breakable): void;
  giveUp(): Promise<boolean>;
}

interface Turn {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** The answer to so many closes the connection. */
const MAX_REQUESTS_PER_SOCKET = 1_000;
/** Where more than these wait, nothing more is read: what a client may make us hold is this, and what one read brings (64 kB). */
const MAX_WAITING = 16;

/** Creates the order; connections that are gone are forgotten by themselves. */
export function createPipelines(): Pipelines {
  const pipelines = new WeakMap<Duplex, Pipeline>();
  return {
    inTurn: (onRequest) => (request, response) => {
      const { socket } = request;
      let pipeline = pipelines.get(socket);
      if (pipeline === undefined) {
        pipeline = createPipeline(socket, onRequest);
        pipelines.set(socket, pipeline);
      }
      pipeline.arrive(request, response);
    },
    reading: (socket, body) => {
      pipelines.get(socket)?.reading(body);
    },
    giveUp: async (socket) => (await pipelines.get(socket)?.giveUp()) ?? true,
  };
}

function createPipeline(socket: Socket, onRequest: RequestListener): Pipeline {
  const waiting: Turn[] = [];
  const gate = createReadGate(socket);
  let underWay: IncomingMessage | undefined;
  let answer: ServerResponse | undefined;
  let body: Breakable | undefined;
  let count = 0;
  let isOver = false;
  let isBroken = false;
  let whenIdle: (() => void) | undefined;

  function begin(request: IncomingMessage, response: ServerResponse): void {
    underWay = request;
    answer = response;
    count += 1;
    if (count === MAX_REQUESTS_PER_SOCKET) response.shouldKeepAlive = false;
    // `on`: it comes once, and `once` would wrap and unhook for nothing.
    response.on('close', onClose);
    onRequest(request, response);
  }

  /** The answer under way was handed over, or the connection is gone. */
  function onClose(): void {
    if (answer?.shouldKeepAlive === false || socket.destroyed) isOver = true;
    underWay = undefined;
    answer = undefined;
    body = undefined;
    if (isOver) waiting.length = 0;
    const next = waiting.shift();
    if (next === undefined) whenIdle?.();
    else {
      if (waiting.length === 0) gate.open();
      begin(next.request, next.response);
    }
  }

  return {
    arrive: (request, response) => {
      // The connection is about to close.
      if (isOver) return;
      if (underWay === undefined) {
        begin(request, response);
        return;
      }
      waiting.push({ request, response });
      if (waiting.length > MAX_WAITING) gate.shut();
    },
    reading: (reader) => {
      body = reader;
      if (isBroken && waiting.length === 0) reader.breakOff();
    },
    giveUp: async () => {
      const last = waiting.at(-1)?.request ?? underWay;
      if (last === undefined) return !isOver;
      // Requests follow each other on the wire: only the last can be without its end.
      const isRest = !last.complete;
      isBroken = isRest;
      if (isRest && waiting.length === 0) body?.breakOff();
      await new Promise<void>((resolve) => {
        whenIdle = resolve;
      });
      return !isRest && !isOver;
    },
  };
}

/** Stops and starts the reading of a connection. A client that has gone is noticed only while it is read. */
function createReadGate(socket: Socket): { shut(): void; open(): void } {
  let isShut = false;
  let isWatched = false;

  function stop(): void {
    if (!isShut) return;
    // node:http starts to read behind the stream's back (`onSocketResume`), at the end of each request and each answer: a stream that takes itself for
    // paused says nothing more, and the event is all that stops it.
    if (socket.isPaused()) socket.emit('pause');
    else socket.pause();
  }

  return {
    shut: () => {
      isShut = true;
      if (!isWatched) socket.on('resume', stop);
      isWatched = true;
      stop();
    },
    open: () => {
      if (!isShut) return;
      isShut = false;
      socket.resume();
    },
  };
}
