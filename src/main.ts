import { randomUUID } from 'node:crypto';
import { createClock } from './clock.ts';
import { ConfigError, loadConfig, type Config } from './config.ts';
import { createLogger, type Logger } from './log.ts';
import { composeGateway, type Gateway } from './main/gateway.ts';
import { startListeners, type Listeners } from './main/listeners.ts';
import { openParentChannel, type ParentChannel, type ParentRequest } from './main/parent-channel.ts';
import { releaseStartupMemory } from './main/startup-memory.ts';
import { createApiKey } from './store/api-keys.ts';

// The gateway as a program: configuration, composition, signals. `npm start` runs it.

const config = readConfig();
const logger = createLogger(config.logLevel);
// A gateway in production has no such door, whoever its parent is.
const parent = config.mode === 'development' ? openParentChannel() : undefined;
const clock = createClock((await parent?.begin())?.clockOffsetMs ?? 0);

process.on('uncaughtException', (error) => {
  // The state is unknown now: say so and end; whoever supervises starts anew, and what was promised is in the store.
  logger.fatal({ module: 'main', err: error }, 'an error that nobody caught');
  process.exit(1);
});

const { gateway, listeners } = await start();
if (parent !== undefined) serveParent(parent, gateway);
parent?.ready({ public: listeners.publicUrl, internal: listeners.internalUrl });

let stopping = false;
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void stop(signal));

function readConfig(): Config {
  try {
    return loadConfig();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    console.error(error.message);
    process.exit(1);
  }
}

async function start(): Promise<{ readonly gateway: Gateway; readonly listeners: Listeners }> {
  let composed: Gateway | undefined;
  try {
    composed = await composeGateway(config, clock, logger);
    await composed.start();
    const opened = await startListeners(composed, config, clock, logger);
    releaseStartupMemory();
    logger.info(
      {
        module: 'main',
        mode: config.mode,
        tenants: config.tenants.length,
        public: opened.publicUrl,
        internal: opened.internalUrl,
      },
      'the gateway is ready',
    );
    return { gateway: composed, listeners: opened };
  } catch (error) {
    await composed?.close().catch(() => undefined);
    console.error(startFault(error));
    process.exit(1);
  }
}

function startFault(error: unknown): string {
  if (!(error instanceof Error)) return `The gateway cannot start: ${String(error)}`;
  const isTaken = 'code' in error && error.code === 'EADDRINUSE';
  if (isTaken)
    return `The gateway cannot start: ${error.message}; end what runs there, or set another port (public.port, internal.port)`;
  const cause = error.cause instanceof Error ? ` (${error.cause.message})` : '';
  return `The gateway cannot start: ${error.message}${cause}`;
}

/** Drains: not ready any more, what runs may end, then everything closes, the journal last. */
async function stop(signal: string): Promise<void> {
  if (stopping) return;
  stopping = true;
  const log: Logger = logger.child({ module: 'main' });
  log.info({ signal }, 'draining');
  try {
    await listeners.drain(config.limits.drainMs);
    await gateway.close();
    log.info('stopped');
    process.exit(0);
  } catch (error) {
    log.error({ err: error }, 'stopping did not go well');
    process.exit(1);
  }
}

function serveParent(channel: ParentChannel, running: Gateway): void {
  channel.serve(async (request: ParentRequest): Promise<unknown> => {
    switch (request.type) {
      case 'advance-clock':
        clock.advance(request.seconds);
        return undefined;
      case 'create-api-key': {
        const { tenant, role } = request;
        const key = { role, label: 'sandbox', ...(tenant === undefined ? {} : { tenant }) };
        const { secret } = await running.database.transaction((tx) => createApiKey(tx, key, clock.now()));
        return { key: secret };
      }
      case 'open-grant': {
        const { expiresAt, credentialId, ...grant } = request.grant;
        const id = randomUUID();
        const { tenant } = request;
        const useCase = running.registry.select([grant.purpose])?.useCase.id ?? 'sandbox';
        await running.database.transaction(async (tx) => {
          const now = clock.now();
          const opening = {
            ...grant,
            id,
            tenant,
            useCase,
            ...(expiresAt === undefined ? {} : { expiresAt: new Date(expiresAt) }),
          };
          await running.ledger.open(tx, opening, now);
          await running.ledger.makeLive(tx, tenant, id, now, credentialId);
        });
        return { grantId: id };
      }
    }
  });
}
