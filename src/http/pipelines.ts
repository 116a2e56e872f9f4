import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

/** Which requests are under way on which connection: a client may send several before it has read the first answer. */
export interface Pipelines {
  /**
   * Until the response is closed, the request is under way.
   * @param breakOff called when the parser gives up in the middle of this request: the rest of its body will not come
   */
  enter(request: IncomingMessage, response: ServerResponse, breakOff: () => void): void;
  /**
   * The answer to a request that is under way will close its connection: what was sent behind that request is carried out by nobody, for
   * nobody would hear of it, and where the framing is in doubt it is perhaps no request (RFC 9112 §9.6 and §11.2, attack cases H15 and H16).
   */
  end(socket: Duplex): void;
  /** Whether the connection was ended. */
  hasEnded(socket: Duplex): boolean;
  /**
   * The parser has given up on the connection. Waits until the answers to the requests before are out.
   * @returns whether an answer to what could not be parsed may follow: no, when that was the rest of a request, which gets its own answer,
   *   or when the last answer has closed the connection
   */
  giveUp(socket: Duplex): Promise<boolean>;
}

interface Pipeline {
  readonly underWay: Map<IncomingMessage, () => void>;
  isLast: boolean;
  waiting: (() => void) | undefined;
}

/** Creates the count; connections that are gone are forgotten by themselves. */
export function createPipelines(): Pipelines {
  const pipelines = new WeakMap<Duplex, Pipeline>();
  const ended = new WeakSet<Duplex>();
  return {
    enter: (request, response, breakOff) => {
      const { socket } = request;
      let known = pipelines.get(socket);
      if (known === undefined) {
        known = { underWay: new Map(), isLast: false, waiting: undefined };
        pipelines.set(socket, known);
      }
      const pipeline = known;
      pipeline.underWay.set(request, breakOff);
      // `on`: it comes once, and `once` would wrap and unhook for nothing.
      response.on('close', () => {
        pipeline.underWay.delete(request);
        if (!response.shouldKeepAlive) pipeline.isLast = true;
        if (pipeline.underWay.size === 0) pipeline.waiting?.();
      });
    },
    end: (socket) => void ended.add(socket),
    hasEnded: (socket) => ended.has(socket),
    giveUp: async (socket) => {
      const pipeline = pipelines.get(socket);
      if (pipeline === undefined) return true;
      let isRest = false;
      for (const [request, breakOff] of pipeline.underWay) {
        if (request.complete) continue;
        isRest = true;
        breakOff();
      }
      if (pipeline.underWay.size > 0) {
        await new Promise<void>((resolve) => {
          pipeline.waiting = resolve;
        });
      }
      return !isRest && !pipeline.isLast;
    },
  };
}
