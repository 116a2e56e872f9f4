import { spawnSync } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { freePorts } from '../../src/sandbox/world/ports.ts';

/** A throw-away PostgreSQL server on loopback. */
export interface PostgresServer {
  readonly url: string;
  /** Stops it and removes its data; safe to call twice, and synchronous, so that an exit handler can. */
  stop(): void;
}

/** A server, or why there is none. */
export type PostgresResult = { readonly server: PostgresServer } | { readonly unavailable: string };

/** Starts a PostgreSQL from the machine's own packages, without durability: it lives as long as the tests. */
export async function startPostgres(): Promise<PostgresResult> {
  const binaries = findBinaries();
  if (binaries === undefined)
    return { unavailable: 'no initdb and pg_ctl in /usr/lib/postgresql/*/bin or PATH (Debian: apt-get install postgresql)' };
  const asRoot = process.getuid?.() === 0;
  // The server refuses to run as root.
  const owner = asRoot ? userIds('postgres') : undefined;
  if (asRoot && owner === undefined)
    return { unavailable: 'running as root, and there is no user postgres to start the server as' };
  const folder = mkdtempSync(join(tmpdir(), 'sluis-postgres-'));
  if (owner !== undefined) chownSync(folder, owner.uid, owner.gid);
  const data = join(folder, 'data');
  const run = (program: string, args: readonly string[]) =>
    spawnSync(join(binaries, program), args, {
      cwd: folder,
      encoding: 'utf8',
      timeout: 120_000,
      stdio: ['ignore', 'pipe', 'pipe'],
      ...owner,
    });
  const remove = (): void => rmSync(folder, { recursive: true, force: true });

  const created = run('initdb', ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync']);
  if (created.status !== 0) {
    remove();
    return { unavailable: `initdb failed: ${lastLine(created.stderr)}` };
  }
  const { public: port } = await freePorts();
  const settings = `-c listen_addresses=127.0.0.1 -c port=${port} -c unix_socket_directories= -c fsync=off -c full_page_writes=off -c max_connections=200`;
  // The log goes to a file: pg_ctl would otherwise leave our pipe open in the server, and we would wait for it.
  const started = run('pg_ctl', ['-D', data, '-w', '-t', '60', '-l', join(folder, 'log'), '-o', settings, 'start']);
  if (started.status !== 0) {
    remove();
    return { unavailable: `pg_ctl start failed: ${lastLine(started.stderr === '' ? started.stdout : started.stderr)}` };
  }
  let running = true;
  return {
    server: {
      url: `postgres://postgres@127.0.0.1:${port}/postgres`,
      stop: () => {
        if (!running) return;
        running = false;
        run('pg_ctl', ['-D', data, '-m', 'immediate', '-w', 'stop']);
        remove();
      },
    },
  };
}

/** The folder of the newest server's programs. */
function findBinaries(): string | undefined {
  const root = '/usr/lib/postgresql';
  const packaged = existsSync(root)
    ? readdirSync(root)
        .sort((a, b) => Number(b) - Number(a))
        .map((version) => join(root, version, 'bin'))
    : [];
  const path = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  return [...packaged, ...path].find((folder) => existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'pg_ctl')));
}

function userIds(name: string): { readonly uid: number; readonly gid: number } | undefined {
  const ask = (flag: string): number => Number(spawnSync('id', [flag, name], { encoding: 'utf8' }).stdout.trim() || Number.NaN);
  const [uid, gid] = [ask('-u'), ask('-g')];
  return Number.isInteger(uid) && Number.isInteger(gid) ? { uid, gid } : undefined;
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? '';
}
