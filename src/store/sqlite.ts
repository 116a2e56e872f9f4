import { chmodSync, closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { GatewayError } from '../errors.ts';
import { isBusy } from './sqlite-dialect.ts';

/** The open files of a data folder. */
export interface SqliteFiles {
  readonly writer: DatabaseSync;
  /** A connection of its own, so that the gate's reads never wait for an open transaction. */
  readonly reader: DatabaseSync;
  /** Gives the folder back. */
  unlock(): void;
}

/**
 * Opens `sluis.db` in the folder, made when it is absent.
 *
 * @param exclusive the gateway's way: refuses when another gateway has the folder. Without it (the CLI's short transactions) nothing is locked.
 * @throws GatewayError `unavailable` when another gateway process has the folder.
 */
export function openSqliteFiles(directory: string, exclusive: boolean): SqliteFiles {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const unlock = exclusive ? lockFolder(directory) : () => undefined;
  try {
    const path = join(directory, 'sluis.db');
    // Ours alone, whatever the umask and an older folder say; SQLite gives its -wal file the same mode.
    closeSync(openSync(path, 'a', 0o600));
    chmodSync(path, 0o600);
    const writer = openFile(path);
    const reader = openFile(path);
    reader.exec('pragma query_only = on');
    return { writer, reader, unlock };
  } catch (error) {
    unlock();
    throw error;
  }
}

function openFile(path: string): DatabaseSync {
  // A long wait while opening (another process may be migrating); a short one afterwards, because a wait here stops the event loop.
  const file = new DatabaseSync(path, { timeout: 10_000, enableForeignKeyConstraints: true });
  file.exec('pragma journal_mode = wal; pragma synchronous = full; pragma temp_store = memory; pragma busy_timeout = 20');
  return file;
}

/**
 * The lock is an exclusive transaction on a file of its own, held for the life of the process. The kernel gives it back when the process dies,
 * however it dies, so nothing is stale after a kill and nothing hangs on process numbers (in a container every gateway is number 1).
 */
function lockFolder(directory: string): () => void {
  const note = join(directory, 'gateway.pid');
  const lock = new DatabaseSync(join(directory, 'gateway.lock'), { timeout: 200 });
  try {
    lock.exec('begin exclusive');
  } catch (error) {
    lock.close();
    if (!isBusy(error)) throw error;
    const holder = readNote(note);
    throw new GatewayError(
      'unavailable',
      `the data folder ${directory} is in use by another gateway process${holder}; use PostgreSQL to run several`,
      {
        cause: error,
      },
    );
  }
  writeFileSync(note, `${process.pid}\n`);
  return () => lock.close();
}

function readNote(path: string): string {
  try {
    return ` (process ${readFileSync(path, 'utf8').trim()})`;
  } catch {
    return '';
  }
}
