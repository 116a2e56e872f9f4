import { connect, type Socket } from 'node:net';
import { tellParent, type RoundResult, type RunRound } from './messages.ts';

// The load generator: raw sockets with keep-alive, one request under way on each. It reads just enough of an answer to know where it ends.

process.on('message', (message) => {
  void run(message as RunRound).then(tellParent);
});
process.on('disconnect', () => process.exit(0));
tellParent({ type: 'ready', urls: {} });

async function run(round: RunRound): Promise<RoundResult> {
  const startedMs = performance.now();
  const endMs = startedMs + round.durationMs;
  const latencies: number[] = [];
  let failures = 0;

  // With a rate, a ticker says when the next requests are due, some at a time; who waits for none under way takes them in their order.
  const due: number[] = [];
  const idle: ((dueMs: number | undefined) => void)[] = [];
  let sent = 0;
  const { perSecond } = round;
  const ticker =
    perSecond === undefined
      ? undefined
      : setInterval(() => {
          const now = performance.now();
          for (; sent < ((now - startedMs) * perSecond) / 1000 && now < endMs; sent += 1) due.push(now);
          while (idle.length > 0 && due.length > 0) idle.shift()?.(due.shift());
          if (now >= endMs) for (const each of idle.splice(0)) each(undefined);
        }, 1);

  /** When the next request was due; undefined when the round is over. */
  const next = (): number | undefined | Promise<number | undefined> => {
    const now = performance.now();
    if (now >= endMs) return undefined;
    if (ticker === undefined) return now;
    return due.shift() ?? new Promise((resolve) => idle.push(resolve));
  };

  const lane = async (): Promise<void> => {
    let connection: Connection | undefined;
    for (;;) {
      const dueMs = await next();
      if (dueMs === undefined) break;
      try {
        connection ??= await open(round);
        const answer = await connection.ask();
        latencies.push((performance.now() - dueMs) * 1000);
        if (!answer.ok) failures += 1;
        if (answer.closes) {
          connection.close();
          connection = undefined;
        }
      } catch {
        failures += 1;
        connection?.close();
        connection = undefined;
      }
    }
    connection?.close();
  };

  await Promise.all(Array.from({ length: round.connections }, lane));
  clearInterval(ticker);
  latencies.sort((one, other) => one - other);
  const at = (share: number): number => Math.round(latencies[Math.floor(latencies.length * share)] ?? 0);
  const elapsedMs = Math.round(performance.now() - startedMs);
  return { type: 'result', requests: latencies.length, failures, elapsedMs, p50Us: at(0.5), p99Us: at(0.99) };
}

interface Answer {
  readonly ok: boolean;
  readonly closes: boolean;
}

interface Connection {
  ask(): Promise<Answer>;
  close(): void;
}

async function open(round: RunRound): Promise<Connection> {
  const { hostname, port, host, pathname } = new URL(round.url);
  const lines = [`GET ${pathname} HTTP/1.1`, `host: ${host}`];
  for (const [name, value] of Object.entries(round.headers)) lines.push(`${name}: ${value}`);
  const request = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`);
  const socket: Socket = connect({ host: hostname, port: Number(port), noDelay: true });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });

  let waiting: PromiseWithResolvers<Answer> | undefined;
  let received: Buffer = Buffer.alloc(0);
  const fail = (): void => {
    waiting?.reject(new Error('the connection broke off'));
    waiting = undefined;
  };
  socket.on('error', fail);
  socket.on('close', fail);
  socket.on('data', (chunk: Buffer) => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
    const answer = readAnswer(received);
    if (answer === undefined) return;
    received = Buffer.alloc(0);
    waiting?.resolve(answer);
    waiting = undefined;
  });
  return {
    ask: () => {
      waiting = Promise.withResolvers<Answer>();
      socket.write(request);
      return waiting.promise;
    },
    close: () => socket.destroy(),
  };
}

/** Undefined while it is not whole. */
function readAnswer(bytes: Buffer): Answer | undefined {
  const end = bytes.indexOf('\r\n\r\n');
  if (end === -1) return undefined;
  const head = bytes.toString('latin1', 0, end).toLowerCase();
  const length = /\r\ncontent-length: (\d+)/.exec(head)?.[1];
  const isWhole =
    length === undefined ? bytes.toString('latin1', bytes.length - 5) === '0\r\n\r\n' : bytes.length >= end + 4 + Number(length);
  if (!isWhole) return undefined;
  return { ok: head.startsWith('http/1.1 200 '), closes: head.includes('\r\nconnection: close') };
}
