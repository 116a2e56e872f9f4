import { randomInt } from 'node:crypto';
import { createServer, type Server } from 'node:net';

/** The ports of the gateway and of the control API. */
export interface Ports {
  readonly public: number;
  readonly internal: number;
  readonly control: number;
}

/** Where they are unless others are asked for (design §11). */
export const FIXED_PORTS: Ports = { public: 7080, internal: 7081, control: 7082 };

/** @throws Error naming the first port that somebody else has */
export async function insistFree(ports: Ports): Promise<void> {
  for (const port of [ports.public, ports.internal, ports.control]) {
    const server = await listen(port).catch(() => undefined);
    if (server === undefined) throw new Error(`port ${port} is taken: end what runs there, or let --ports auto take free ones`);
    await new Promise((resolve) => server.close(resolve));
  }
}

/** Below what systems give to outgoing connections: none of those takes a port between our look and the gateway's start, or while it is down. */
const FIRST = 20_000;
const LAST = 31_999;
const TRIES = 100;

/** Three free ports on 127.0.0.1, held together until all are known, so that they differ. @throws Error when none is found */
export async function freePorts(): Promise<Ports> {
  const held: Server[] = [];
  const take = async (): Promise<number> => {
    for (let tried = 0; tried < TRIES; tried += 1) {
      const port = randomInt(FIRST, LAST + 1);
      const server = await listen(port).catch(() => undefined);
      if (server === undefined) continue;
      held.push(server);
      return port;
    }
    throw new Error(`no free port from ${FIRST} to ${LAST} in ${TRIES} tries`);
  };
  try {
    return { public: await take(), internal: await take(), control: await take() };
  } finally {
    await Promise.all(held.map((server) => new Promise((resolve) => server.close(resolve))));
  }
}

function listen(port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}
