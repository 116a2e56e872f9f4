/** A whole sandbox: `startSandbox`, a world with its control API, that ends with the process or on request. */
import { describeWorld, type WorldDescription } from '../world/description.ts';
import type { WorldDefinition } from '../world/definition.ts';
import { FIXED_PORTS, freePorts, insistFree } from '../world/ports.ts';
import { startWorld } from '../world/start.ts';
import type { World } from '../world/world.ts';
import { startControl } from './server.ts';

export interface Sandbox {
  readonly world: World;
  /** What a program needs to know of it. */
  readonly description: WorldDescription;
  close(): Promise<void>;
}

export interface SandboxOptions {
  readonly definition: WorldDefinition;
  /** 7080, 7081 and 7082, or free ones. */
  readonly ports: 'fixed' | 'auto';
  /** Keeps the gateway's data here; a folder that is removed at the end by default. */
  readonly folder?: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Starts a sandbox; resolves when everything answers. */
export async function startSandbox(options: SandboxOptions): Promise<Sandbox> {
  const { definition, folder, environment } = options;
  const ports = options.ports === 'auto' ? await freePorts() : FIXED_PORTS;
  if (options.ports === 'fixed') await insistFree(ports);
  const world = await startWorld({ definition, ports, environment, ...(folder === undefined ? {} : { folder }) });
  try {
    const control = await startControl(world, ports.control);
    return {
      world,
      description: describeWorld(world, control.url),
      close: async () => {
        await control.close();
        await world.close();
      },
    };
  } catch (error) {
    await world.close();
    throw error;
  }
}

/** npm passes on the Ctrl-C that the terminal has sent to us already: two signals at once are one. */
const ONE_SIGNAL_MS = 1_000;

/** Ends the sandbox on SIGINT and SIGTERM, once; who asks again after a while gets the end at once. */
export function closeOnSignals(close: () => Promise<void>): void {
  let since: number | undefined;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (since !== undefined) {
        if (performance.now() - since > ONE_SIGNAL_MS) process.exit(1);
        return;
      }
      since = performance.now();
      close().then(
        () => process.exit(0),
        (error: unknown) => {
          console.error(error);
          process.exit(1);
        },
      );
    });
  }
}
