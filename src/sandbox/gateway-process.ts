/**
 * The gateway as a child process: `createGatewayProcess`. It is the gateway that `npm start` runs, with a channel to its parent, so that the sandbox can
 * kill it, start it again on the same data and ports, and move its clock.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import type { ParentRequest } from '../main/parent-channel.ts';

export type GatewayState = 'running' | 'frozen' | 'stopped';

/** What the gateway can be asked over the channel, without the number of the message. */
export type GatewayRequest = ParentRequest extends infer Each ? (Each extends unknown ? Omit<Each, 'id'> : never) : never;

export interface GatewayProcess {
  readonly state: () => GatewayState;
  /** A new process on the same data; resolves when it is ready. Nothing when it runs already. @throws GatewayProcessError */
  start(): Promise<void>;
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>;
  /** SIGTERM; resolves when it has drained and is gone. */
  stop(): Promise<void>;
  /** SIGSTOP: it holds its sockets and does nothing. @throws GatewayProcessError when it does not run */
  freeze(): Promise<void>;
  /** SIGCONT. @throws GatewayProcessError when it does not run */
  resume(): Promise<void>;
  /** Asks the running gateway. @throws GatewayProcessError when it does not run, or refuses */
  ask(request: GatewayRequest): Promise<unknown>;
  /** Ends the process in whatever state it is. */
  close(): Promise<void>;
}

export interface GatewayProcessOptions {
  /** `sluis.yaml`. */
  readonly configFile: string;
  /** Where its log goes. */
  readonly logFile: string;
  /** How far the sandbox's clock is from the machine's, when a process starts. */
  readonly clockOffsetMs: () => number;
  /** Told when the process ends without having been asked to. */
  readonly onLost?: (why: string) => void;
  /** The environment to derive the child's from; its `SLUIS_…` variables are left out, they would override the sandbox's configuration. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** What the gateway process was told cannot be done, in words for the caller. */
export class GatewayProcessError extends Error {
  override readonly name = 'GatewayProcessError';
}

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));
// They end what hangs. Of a start, the first answer takes the longest: the program is read and compiled before it, on a machine with other work.
const READY_DEADLINE_MS = 120_000;
const STOP_DEADLINE_MS = 30_000;
const ANSWER_DEADLINE_MS = 60_000;

const message = z.discriminatedUnion('type', [
  z.object({ type: z.literal('ready'), public: z.string(), internal: z.string() }),
  z.object({ type: z.literal('done'), id: z.int(), result: z.unknown().optional() }),
  z.object({ type: z.literal('failed'), id: z.int().optional(), message: z.string() }),
]);

interface Running {
  readonly child: ChildProcess;
  readonly exited: Promise<void>;
  readonly ready: Promise<void>;
  frozen: boolean;
  /** Its end is no surprise: it was told to, or has not become ready. */
  ending: boolean;
  readonly waiting: Map<number, PromiseWithResolvers<unknown>>;
}

/** A gateway that has not been started yet. Its calls run one after the other. */
export function createGatewayProcess(options: GatewayProcessOptions): GatewayProcess {
  let running: Running | undefined;
  let lastId = 0;
  let last: Promise<unknown> = Promise.resolve();

  /** One call at a time: a `start` behind a `kill` finds the ports free. */
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const result = last.then(work);
    last = result.catch(() => undefined);
    return result;
  };

  const mustRun = (): Running => {
    if (running === undefined) throw new GatewayProcessError('the gateway does not run: start it first');
    return running;
  };

  const send = async (target: Running, content: Readonly<Record<string, unknown>>): Promise<unknown> => {
    lastId += 1;
    const id = lastId;
    const answer = Promise.withResolvers<unknown>();
    target.waiting.set(id, answer);
    target.child.send({ ...content, id }, (error) => {
      if (error !== null) answer.reject(new GatewayProcessError(`the gateway cannot be asked: ${error.message}`));
    });
    const late = new AbortController();
    const expired = delay(ANSWER_DEADLINE_MS, undefined, { signal: late.signal, ref: false }).then(() => {
      throw new GatewayProcessError(`the gateway has not answered within ${ANSWER_DEADLINE_MS / 1000} s`);
    });
    try {
      return await Promise.race([answer.promise, expired]);
    } finally {
      late.abort();
      expired.catch(() => undefined);
      target.waiting.delete(id);
    }
  };

  const launch = (): Running => {
    const log = openSync(options.logFile, 'a');
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', MAIN], {
      env: childEnvironment(options.environment, options.configFile),
      stdio: ['ignore', log, log, 'ipc'],
    });
    closeSync(log);
    const exited = Promise.withResolvers<undefined>();
    const ready = Promise.withResolvers<undefined>();
    const waiting = new Map<number, PromiseWithResolvers<unknown>>();
    const launched: Running = { child, exited: exited.promise, ready: ready.promise, frozen: false, ending: true, waiting };
    const endWithUs = (): void => void child.kill('SIGKILL');
    process.once('exit', endWithUs);
    const over = (why: string): void => {
      process.off('exit', endWithUs);
      if (running === launched) running = undefined;
      const error = new GatewayProcessError(why);
      ready.reject(error);
      for (const answer of waiting.values()) answer.reject(error);
      exited.resolve(undefined);
      if (!launched.ending) options.onLost?.(why);
    };
    child.on('message', (received) => {
      const parsed = message.safeParse(received);
      if (!parsed.success) return;
      const { data } = parsed;
      switch (data.type) {
        case 'ready':
          launched.ending = false;
          ready.resolve(undefined);
          return;
        case 'done':
          waiting.get(data.id)?.resolve(data.result);
          return;
        case 'failed':
          if (data.id !== undefined) waiting.get(data.id)?.reject(new GatewayProcessError(`the gateway says: ${data.message}`));
          return;
      }
    });
    child.once('error', (error) => over(`the gateway cannot be started: ${error.message}`));
    child.once('exit', (code, signal) => over(`the gateway ended (${signal ?? `exit code ${String(code)}`})`));
    ready.promise.catch(() => undefined);
    return launched;
  };

  const start = async (): Promise<void> => {
    if (running?.frozen === true) throw new GatewayProcessError('the gateway is frozen: resume or kill it first');
    if (running !== undefined) return;
    const launched = launch();
    running = launched;
    try {
      await send(launched, { type: 'begin', clockOffsetMs: options.clockOffsetMs() });
      await within(launched.ready, READY_DEADLINE_MS, 'the gateway is not ready');
    } catch (error) {
      launched.child.kill('SIGKILL');
      await launched.exited;
      const why = error instanceof Error ? error.message : String(error);
      throw new GatewayProcessError(`${why}\nThe end of its log (${options.logFile}):\n${endOf(options.logFile)}`);
    }
  };

  const kill = async (): Promise<void> => {
    const target = running;
    if (target === undefined) return;
    target.ending = true;
    target.child.kill('SIGKILL');
    await target.exited;
  };

  const stop = async (): Promise<void> => {
    const target = running;
    if (target === undefined) return;
    target.ending = true;
    target.child.kill('SIGTERM');
    // A frozen process hears the signal once it goes on.
    target.child.kill('SIGCONT');
    const isOver = await Promise.race([target.exited.then(() => true), delay(STOP_DEADLINE_MS, false, { ref: false })]);
    if (!isOver) await kill();
  };

  return {
    state: () => (running === undefined ? 'stopped' : running.frozen ? 'frozen' : 'running'),
    start: () => inTurn(start),
    kill: () => inTurn(kill),
    stop: () => inTurn(stop),
    freeze: () =>
      inTurn(async () => {
        const target = mustRun();
        target.child.kill('SIGSTOP');
        target.frozen = true;
        await isStopped(target.child.pid);
      }),
    resume: () =>
      inTurn(async () => {
        const target = mustRun();
        target.child.kill('SIGCONT');
        target.frozen = false;
        await Promise.resolve();
      }),
    ask: (request) =>
      inTurn(async () => {
        const target = mustRun();
        if (target.frozen) throw new GatewayProcessError('the gateway is frozen: resume it first');
        return send(target, request);
      }),
    // Not in turn: the end must not wait for a start that hangs.
    close: async () => {
      if (running?.frozen === true) await kill();
      else await stop();
    },
  };
}

function childEnvironment(environment: Readonly<Record<string, string | undefined>>, configFile: string): Record<string, string> {
  const kept = Object.entries(environment).flatMap(([name, value]) =>
    value === undefined || name.startsWith('SLUIS_') ? [] : [[name, value] as const],
  );
  return { ...Object.fromEntries(kept), SLUIS_CONFIG: configFile };
}

async function within(work: Promise<void>, deadlineMs: number, why: string): Promise<void> {
  const late = new AbortController();
  const expired = delay(deadlineMs, undefined, { signal: late.signal }).then(() => {
    throw new GatewayProcessError(`${why} after ${deadlineMs / 1000} s`);
  });
  expired.catch(() => undefined);
  try {
    await Promise.race([work, expired]);
  } finally {
    late.abort();
  }
}

/** SIGSTOP takes a moment; where the system shows process states, wait until it holds. */
async function isStopped(pid: number | undefined): Promise<void> {
  if (pid === undefined) return;
  for (let attempt = 0; attempt < 100; attempt += 1) {
    let stat: string;
    try {
      stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    } catch {
      await delay(20);
      return;
    }
    // `pid (command) state …`; the command may hold anything.
    if (stat.slice(stat.lastIndexOf(')') + 2).startsWith('T')) return;
    await delay(5);
  }
}

function endOf(file: string): string {
  try {
    return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-12).join('\n');
  } catch {
    return '(there is none)';
  }
}
