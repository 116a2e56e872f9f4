import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { createLogger } from '../../src/log.ts';
import { openDatabase, type Database } from '../../src/store/database.ts';

/** A database of the test's own. */
export interface TestDatabase {
  readonly database: Database;
  /** Another handle on the same data, as a second process would have: on SQLite with the role `tool`. */
  openSecond(): Promise<Database>;
  /** For child processes: what `openDatabase` needs. */
  readonly location: { readonly directory: string; readonly url?: string; readonly schema?: string };
  close(): Promise<void>;
}

/** A fresh SQLite in a temporary folder; a fresh PostgreSQL schema where `SLUIS_TEST_DATABASE_URL` names a server, as somebody who may create databases there. Gone after `close`. */
export async function openTestDatabase(): Promise<TestDatabase> {
  const logger = createLogger('silent');
  const directory = await mkdtemp(join(tmpdir(), 'sluis-test-'));
  const server = process.env['SLUIS_TEST_DATABASE_URL'];
  const url = server === undefined ? undefined : await databaseOfWorker(server);
  const schema = `test_${randomBytes(8).toString('hex')}`;
  if (url !== undefined) await administer(url, `create schema ${schema}`);
  const location = url === undefined ? { directory } : { directory, url, schema };
  const open: Database[] = [];
  const openOne = async (role: 'gateway' | 'tool'): Promise<Database> => {
    const database = await openDatabase({ ...location, role, logger });
    open.push(database);
    return database;
  };
  return {
    database: await openOne('gateway'),
    openSecond: () => openOne('tool'),
    location,
    close: async () => {
      for (const database of open.reverse()) await database.close();
      if (url !== undefined) await administer(url, `drop schema ${schema} cascade`);
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/**
 * A database of this test process's own: what looks through a whole database for tables (migrations do) must not meet a schema that another process
 * is just dropping.
 */
async function databaseOfWorker(server: string): Promise<string> {
  const name = `sluis_test_${process.env['JEST_WORKER_ID'] ?? '0'}`;
  await administer(server, `create database ${name}`).catch((error: unknown) => {
    // duplicate_database: a file before made it.
    if (!(error instanceof Error && 'code' in error && error.code === '42P04')) throw error;
  });
  const url = new URL(server);
  url.pathname = `/${name}`;
  return url.href;
}

/** Runs one statement as the owner of the test server. */
async function administer(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
