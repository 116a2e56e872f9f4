import type { Config } from '../config.ts';
import { createLogger } from '../log.ts';
import { openDatabase, type Database } from '../store/database.ts';

/** Opens the database beside the running gateway: SQLite lets a second process write short transactions. */
export async function withDatabase<T>(config: Config, work: (database: Database) => Promise<T>): Promise<T> {
  const database = await openDatabase({
    directory: config.dataDirectory,
    ...(config.databaseUrl === undefined ? {} : { url: config.databaseUrl.reveal() }),
    role: 'tool',
    logger: createLogger('silent'),
  });
  try {
    return await work(database);
  } finally {
    await database.close();
  }
}
