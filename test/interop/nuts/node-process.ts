/** A real Nuts node as a child process on loopback: `startNode`, `generationOf`. It is ended by its own handle, never by name. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { openSync, readFileSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

import type { Certificates } from './certificates.ts';

export interface NodeSettings {
  readonly binary: string;
  readonly generation: 'v5' | 'v6';
  readonly directory: string;
  readonly ports: NodePorts;
  /** gRPC address of the node to connect to first. */
  readonly bootstrap?: string;
  /** The DID of the node's vendor: without it private credentials cannot be sent. */
  readonly nodeDid?: string;
  readonly rateLimiter?: boolean;
  /** How often it tells others what it has; 300 by default, where a node's own default is 5000. */
  readonly gossipMs?: number;
  readonly certificates?: Certificates | undefined;
  /** Generation v2, for a v6 node. */
  readonly web?: WebSettings;
}

export interface WebSettings {
  /** In the order of preference; `['web']` by default. */
  readonly didMethods?: readonly ('web' | 'nuts')[];
  /** Folders with policy and discovery files; the ids of the services that it is the server of. */
  readonly policyDirectory: string;
  readonly discoveryDirectory: string;
  readonly discoveryServer?: readonly string[];
  /** Makes it want `token_v2` on its internal API. */
  readonly guard?: { readonly audience: string; readonly authorizedKeysFile: string };
}

export interface NodePorts {
  readonly internal: number;
  /** The same as `internal` on v5. */
  readonly public: number;
  readonly grpc: number;
  readonly nats: number;
}

export interface NodeProcess {
  readonly internal: string;
  readonly public: string;
  stop(): Promise<void>;
}

/** Which generation a binary is, from the options that it knows. */
export async function generationOf(binary: string): Promise<'v5' | 'v6'> {
  const { stdout } = await promisify(execFile)(binary, ['server', '--help']);
  return stdout.includes('http.internal.address') ? 'v6' : 'v5';
}

export async function takePorts(generation: 'v5' | 'v6'): Promise<NodePorts> {
  const [internal, other, grpc, nats] = await freePorts(4);
  return { internal: internal!, public: generation === 'v5' ? internal! : other!, grpc: grpc!, nats: nats! };
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve) => {
          server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
        }),
    ),
  );
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

const START_TIMEOUT_MS = 30_000;

/** Starts a node on its data folder and waits until it answers. */
export async function startNode(settings: NodeSettings): Promise<NodeProcess> {
  const { binary, directory, ports } = settings;
  await mkdir(join(directory, 'data'), { recursive: true });
  // How long the node waits before it connects again is kept there, and may be minutes.
  await rm(join(directory, 'data/network/connections.db'), { force: true });
  const configFile = join(directory, 'nuts.yaml');
  // JSON is YAML.
  await writeFile(configFile, JSON.stringify(configuration(settings)));
  const logFile = join(directory, 'node.log');
  const log = openSync(logFile, 'a');
  const child = spawn(binary, ['server', '--configfile', configFile], {
    cwd: directory,
    env: { PATH: process.env['PATH'] ?? '', HOME: directory },
    stdio: ['ignore', log, log],
  });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const node: NodeProcess = {
    internal: `http://127.0.0.1:${ports.internal}`,
    public: `http://127.0.0.1:${ports.public}`,
    async stop() {
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), 5000);
      await exited;
      clearTimeout(late);
    },
  };
  const until = performance.now() + START_TIMEOUT_MS;
  while (!(await answers(`${node.internal}/status`))) {
    const isOver = child.exitCode !== null || performance.now() > until;
    if (isOver) await node.stop();
    assert.ok(!isOver, `the node did not start:\n${readFileSync(logFile, 'utf8').slice(-3000)}`);
    await sleep(100);
  }
  return node;
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(2000) })).status === 200;
  } catch {
    return false;
  }
}

function configuration(settings: NodeSettings): unknown {
  const {
    generation,
    directory,
    ports,
    bootstrap,
    nodeDid,
    rateLimiter = false,
    gossipMs = 300,
    certificates: tls,
    web,
  } = settings;
  const guard =
    web?.guard === undefined
      ? {}
      : { auth: { type: 'token_v2', audience: web.guard.audience, authorizedkeyspath: web.guard.authorizedKeysFile } };
  const url = `http://127.0.0.1:${ports.public}`;
  const address = (port: number): string => `127.0.0.1:${port}`;
  return {
    strictmode: false,
    internalratelimiter: rateLimiter,
    datadir: join(directory, 'data'),
    verbosity: 'debug',
    auth: {
      contractvalidators: ['dummy', 'employeeid'],
      irma: { autoupdateschemas: false },
      ...(generation === 'v5' ? { publicurl: url } : {}),
    },
    ...(generation === 'v6' ? { url, didmethods: web === undefined ? ['nuts'] : (web.didMethods ?? ['web']) } : {}),
    ...(web === undefined
      ? {}
      : {
          policy: { directory: web.policyDirectory },
          discovery: {
            definitions: { directory: web.discoveryDirectory },
            server: { ids: web.discoveryServer ?? [] },
            client: { refreshinterval: '1s' },
          },
        }),
    http:
      generation === 'v5'
        ? { default: { address: address(ports.internal) } }
        : { internal: { address: address(ports.internal), ...guard }, public: { address: address(ports.public) } },
    ...(tls === undefined
      ? {}
      : { tls: { certfile: tls.certificateFile, certkeyfile: tls.keyFile, truststorefile: tls.authorityFile } }),
    crypto: { storage: 'fs' },
    // No list of revoked certificates is fetched from elsewhere.
    pki: { denylist: { url: '' } },
    events: { nats: { hostname: '127.0.0.1', port: ports.nats } },
    network: {
      grpcaddr: address(ports.grpc),
      bootstrapnodes: bootstrap === undefined ? [] : [bootstrap],
      enablediscovery: true,
      v2: { gossipinterval: gossipMs },
      // v6 has no TLS when it is given no certificate, v5 has to be told.
      ...(generation === 'v5' && tls === undefined ? { enabletls: false } : {}),
      ...(nodeDid === undefined ? {} : { nodedid: nodeDid }),
    },
  };
}
