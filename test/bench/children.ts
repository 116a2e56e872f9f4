import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import type { FromChild, Ready, RoundResult, RunRound } from './messages.ts';
import { CREDENTIAL_ID, CUSTODIAN, PURPOSE, REQUESTER, RESOURCES, TENANT } from './world.ts';

/** A process that the bench started, by its id; `end` is its end, however it fares. */
export interface Child {
  readonly pid: number;
  readonly urls: Readonly<Record<string, string>>;
  end(): Promise<void>;
}

export interface Load extends Child {
  run(round: Omit<RunRound, 'type'>): Promise<RoundResult>;
}

/** Far longer than a start takes. */
const READY_MS = 60_000;
const END_MS = 5_000;

/** Starts one of the bench's own programs beside this file. @throws Error when it does not become ready */
export async function startOwn(file: string, args: readonly string[] = []): Promise<Child> {
  return started(spawnNode([fileURLToPath(new URL(file, import.meta.url)), ...args], process.env));
}

/** Starts the load generator. */
export async function startLoad(): Promise<Load> {
  const process_ = spawnNode([fileURLToPath(new URL('load.ts', import.meta.url))], process.env);
  const child = await started(process_);
  return {
    ...child,
    run: (round) => {
      process_.send({ type: 'run', ...round });
      return heard<FromChild, RoundResult>(
        process_,
        (message): message is RoundResult => message.type === 'result',
        round.durationMs + READY_MS,
      );
    },
  };
}

export interface GatewayOptions {
  readonly fhir: string;
  readonly node: string;
  readonly logLevel: string;
  /** Further tenants that nobody asks anything of. */
  readonly otherTenants: number;
  /** Where its journal and its database go; a folder of its own is made in it and removed in the end. */
  readonly dataParent: string | undefined;
  /** Where to write a processor profile, when it ends. */
  readonly profileDirectory: string | undefined;
}

/** Starts the real gateway as `npm start` would (`src/main.ts`, SQLite, audit on), in mode development, with a live grant for the Task. */
export async function startGateway(options: GatewayOptions): Promise<Child> {
  const folder = mkdtempSync(join(options.dataParent ?? tmpdir(), 'sluis-bench-'));
  const file = join(folder, 'sluis.yaml');
  const tenant = (did: string): object => ({
    name: 'Ziekenhuis Oost',
    did,
    node: { url: options.node, introspectionCacheMs: 5_000 },
    fhir: { url: `${options.fhir}/fhir`, version: 'STU3' },
    useCases: { eoverdracht: {} },
  });
  const others: readonly (readonly [string, object])[] = Array.from({ length: options.otherTenants }, (_, index) => [
    `tenant-${String(index)}`,
    tenant(`did:nuts:Other${String(index)}`),
  ]);
  writeFileSync(
    file,
    stringify({
      mode: 'development',
      public: { host: '127.0.0.1', port: 0, url: 'http://127.0.0.1:7080' },
      internal: { host: '127.0.0.1', port: 0 },
      log: { level: options.logLevel },
      audit: { minimumFreeBytes: 16_777_216 },
      limits: { drainMs: 1_000 },
      tenants: { [TENANT]: tenant(CUSTODIAN), ...Object.fromEntries(others) },
    }),
  );
  const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^SLUIS_|^DATABASE_URL$/.test(name)));
  const profile = options.profileDirectory === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${options.profileDirectory}`];
  const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
  const child = spawnNode([...profile, main], { ...environment, SLUIS_CONFIG: file });
  try {
    child.send({ id: 1, type: 'begin', clockOffsetMs: 0 });
    // Its addresses are members of the message itself.
    const ready = await heard(child, isGatewayReady, READY_MS + options.otherTenants * 5);
    child.send({
      id: 2,
      type: 'open-grant',
      tenant: TENANT,
      grant: {
        requester: REQUESTER,
        purpose: PURPOSE,
        resources: RESOURCES,
        kind: 'task',
        recordId: 'bench',
        patient: 'Patient/1',
        credentialId: CREDENTIAL_ID,
      },
    });
    await heard(child, isGrantOpened, READY_MS);
    return {
      pid: child.pid ?? 0,
      urls: { public: ready.public, internal: ready.internal },
      end: async () => {
        await ended(child);
        rmSync(folder, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await ended(child);
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

type GatewayMessage =
  { readonly type: 'ready'; readonly public: string; readonly internal: string } | { readonly type: 'done'; readonly id: number };

function isGatewayReady(message: GatewayMessage): message is Extract<GatewayMessage, { type: 'ready' }> {
  return message.type === 'ready';
}

function isGrantOpened(message: GatewayMessage): message is Extract<GatewayMessage, { type: 'done' }> {
  return message.type === 'done' && message.id === 2;
}

// What a gateway logs at each request has to be written; where to is not its cost.
function spawnNode(args: readonly string[], env: NodeJS.ProcessEnv): ChildProcess {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', ...args], {
    env,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const endWithUs = (): void => void child.kill('SIGKILL');
  process.once('exit', endWithUs);
  child.once('exit', () => process.off('exit', endWithUs));
  return child;
}

async function started(child: ChildProcess): Promise<Child> {
  const ready = await heard<FromChild, Ready>(child, (message): message is Ready => message.type === 'ready', READY_MS);
  return { pid: child.pid ?? 0, urls: ready.urls, end: () => ended(child) };
}

/** The next message of a kind. @throws Error when the child ends before, or is late */
function heard<From, Wanted extends From>(
  child: ChildProcess,
  isWanted: (message: From) => message is Wanted,
  deadlineMs: number,
): Promise<Wanted> {
  return new Promise((resolve, reject) => {
    const over = (settle: () => void): void => {
      clearTimeout(timer);
      child.off('message', onMessage);
      child.off('exit', onExit);
      settle();
    };
    const onMessage = (message: unknown): void => {
      const said = message as From;
      if (isWanted(said)) over(() => resolve(said));
    };
    const onExit = (): void => over(() => reject(new Error('a process of the bench ended too early')));
    const timer = setTimeout(() => over(() => reject(new Error('a process of the bench is late'))), deadlineMs);
    child.on('message', onMessage);
    child.once('exit', onExit);
  });
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGTERM');
  const late = setTimeout(() => child.kill('SIGKILL'), END_MS);
  await exited;
  clearTimeout(late);
}
