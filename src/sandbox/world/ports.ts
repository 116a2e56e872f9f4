import { createServer } from 'node:net';

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

/** Three free ports on 127.0.0.1, held together until all are known, so that they differ. */
export async function freePorts(): Promise<Ports> {
  const servers = await Promise.all([0, 1, 2].map(() => listen(0)));
  const ports = servers.map((server) => {
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('a TCP server has an address while it listens');
    return address.port;
  });
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  const [first = 0, second = 0, third = 0] = ports;
  return { public: first, internal: second, control: third };
}

function listen(port: number): Promise<ReturnType<typeof createServer>> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}
