import { afterEach, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { sendReply, type Pace, type Sent } from '../../src/http/send-reply.ts';

let server: Server | undefined;
let socket: Socket | undefined;

afterEach(() => {
  socket?.destroy();
  server?.closeAllConnections();
  server?.close();
});

const CHUNK = Buffer.alloc(64 * 1024, 'x');
const CHUNKS = 400;

/** Streams 25 MB to a caller that reads or does not; gives how the record was closed, and what `sendReply` said. */
async function stream(pace: Pace, reads: boolean): Promise<{ readonly finished: Sent; readonly ended: Sent | 'thrown' }> {
  const finished = Promise.withResolvers<Sent>();
  const ended = Promise.withResolvers<Sent | 'thrown'>();
  server = createServer((request, response) => {
    const body = {
      kind: 'stream' as const,
      stream: (async function* () {
        for (let index = 0; index < CHUNKS; index += 1) yield await Promise.resolve(CHUNK);
      })(),
      finish: (sent: Sent) => {
        finished.resolve(sent);
        return Promise.resolve();
      },
    };
    const about = { outcome: 'permitted', reason: 'answered' } as const;
    sendReply(request, response, { status: 200, headers: {}, body, close: false, about }, false, pace).then(ended.resolve, () =>
      ended.resolve('thrown'),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  if (reads) socket.resume();
  else socket.pause();
  return { finished: await finished.promise, ended: await ended.promise };
}

describe('a stream', () => {
  it('is cut off when its caller takes it too slowly, and its record says that it was not whole', async () => {
    const { finished } = await stream({ graceMs: 300, bytesPerMs: 1_000_000 }, false);
    expect(finished.complete).toBe(false);
    expect(finished.bytes).toBeLessThan(CHUNKS * CHUNK.byteLength);
  });

  it('is whole for a caller that takes it', async () => {
    const { finished, ended } = await stream({ graceMs: 10_000, bytesPerMs: 8 }, true);
    expect(finished).toEqual({ bytes: CHUNKS * CHUNK.byteLength, complete: true });
    expect(ended).toEqual(finished);
  });
});
