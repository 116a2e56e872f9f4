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

/** A fresh SQLite in a temporary folder; a fresh PostgreSQL schema where `SLUIS_TEST_DATABASE_URL` is set. Gone after `close`. */
export async function openTestDatabase(): Promise<TestDatabase> {
  const logger = createLogger('silent');
  const directory = await mkdtemp(join(tmpdir(), 'sluis-test-'));
  const url = process.env['SLUIS_TEST_DATABASE_URL'];
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
