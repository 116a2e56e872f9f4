import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { Kysely, sql, type IsolationLevel } from 'kysely';
import { GatewayError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { migrate } from './migrations.ts';
import { createPostgresDialect, isSerializationFailure } from './postgres.ts';
import type { Schema } from './schema.ts';
import { openSqliteFiles } from './sqlite.ts';
import { createSqliteDialect } from './sqlite-dialect.ts';

/** The one database of the gateway: SQLite in the data folder, or PostgreSQL. */
export interface Database {
  readonly kind: 'sqlite' | 'postgres';
  /** For reading, outside of transactions; it sees what is committed. (On SQLite a connection of its own, which refuses to write.) */
  readonly query: Kysely<Schema>;
  /**
   * Runs `work` in one transaction, as if no other ran at that time. On PostgreSQL it may be run again when it lost against a concurrent one: it does
   * nothing outside the transaction. A statement that fails dooms the transaction, whether its error is caught or not.
   * Transactions are not nested: a second one inside `work` is an error.
   *
   * @returns what `work` returned, once it is durable.
   * @throws what `work` throws, after nothing happened; GatewayError `unavailable` when concurrent transactions won every time.
   */
  transaction<T>(work: (tx: Transaction) => Promise<T>, options?: TransactionOptions): Promise<T>;
  /** Calls `listener` after a commit in this process that published the topic. @returns the way to stop it. */
  subscribe(topic: Topic, listener: () => void): () => void;
  /** For the health check. @throws when the database does not answer. */
  ping(): Promise<void>;
  close(): Promise<void>;
}

/** What is told within the process after a commit. */
export type Topic = 'jobs';

export interface TransactionOptions {
  /** PostgreSQL's; SQLite always runs one at a time. Default `serializable`. */
  readonly isolationLevel?: Extract<IsolationLevel, 'serializable' | 'read committed'>;
}

/** An open transaction. */
export interface Transaction {
  readonly kind: 'sqlite' | 'postgres';
  readonly query: Kysely<Schema>;
  /** Runs `hook`, which must not throw or wait, at once after the commit; never when it is rolled back. */
  afterCommit(hook: () => void): void;
  /** Runs `hook` once the transaction has ended in either way; after the `afterCommit` hooks. */
  afterEnd(hook: () => void): void;
  /** Tells the subscribers of the topic after the commit. */
  publish(topic: Topic): void;
}

export interface DatabaseOptions {
  /** `postgres://…`; absent: SQLite in `directory`. */
  readonly url?: string;
  readonly directory: string;
  /** PostgreSQL schema; default `public`. */
  readonly schema?: string;
  /** `gateway` (default) holds the SQLite folder for itself against other gateways; `tool` writes short transactions beside it. */
  readonly role?: 'gateway' | 'tool';
  readonly logger: Logger;
}

const MAX_ATTEMPTS = 10;
/** From this attempt on a transaction runs alone. */
const ALONE_FROM_ATTEMPT = 2;

/**
 * Opens the database and brings its tables to the newest form.
 * @throws GatewayError `unavailable` when another gateway process has the SQLite folder.
 */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const opened = options.url === undefined ? openSqlite(options) : openPostgres(options, options.url);
  try {
    await opened.prepare();
  } catch (error) {
    await opened.close();
    throw error;
  }
  return createDatabase(opened, options.logger);
}

interface Opened {
  readonly kind: 'sqlite' | 'postgres';
  readonly writer: Kysely<Schema>;
  readonly reader: Kysely<Schema>;
  prepare(): Promise<void>;
  close(): Promise<void>;
}

function openSqlite(options: DatabaseOptions): Opened {
  const files = openSqliteFiles(options.directory, options.role !== 'tool');
  const writer = new Kysely<Schema>({ dialect: createSqliteDialect(files.writer) });
  const reader = new Kysely<Schema>({ dialect: createSqliteDialect(files.reader) });
  return {
    kind: 'sqlite',
    writer,
    reader,
    prepare: () => migrate(writer, undefined),
    close: async () => {
      await reader.destroy();
      await writer.destroy();
      // Kysely destroys a driver only after its first query.
      if (files.reader.isOpen) files.reader.close();
      if (files.writer.isOpen) files.writer.close();
      files.unlock();
    },
  };
}

function openPostgres(options: DatabaseOptions, url: string): Opened {
  const schema = options.schema ?? 'public';
  const db = new Kysely<Schema>({ dialect: createPostgresDialect({ url, schema, logger: options.logger }) });
  return { kind: 'postgres', writer: db, reader: db, prepare: () => migrate(db, schema), close: () => db.destroy() };
}

function createDatabase(opened: Opened, logger: Logger): Database {
  const listeners = new Map<Topic, Set<() => void>>();
  const inside = new AsyncLocalStorage<{ open: boolean }>();

  /** One attempt, with its hooks. */
  async function attempt<T>(work: (tx: Transaction) => Promise<T>, isolationLevel: IsolationLevel, alone: boolean): Promise<T> {
    const committed: (() => void)[] = [];
    const ended: (() => void)[] = [];
    const run = (hooks: readonly (() => void)[]): void => {
      for (const hook of hooks) {
        try {
          hook();
        } catch (error) {
          logger.error({ module: 'store', err: error }, 'a hook after a transaction failed');
        }
      }
    };
    const mark = { open: true };
    const builder =
      opened.kind === 'postgres' ? opened.writer.transaction().setIsolationLevel(isolationLevel) : opened.writer.transaction();
    try {
      const result = await inside.run(mark, () =>
        builder.execute(async (query) => {
          if (opened.kind === 'postgres' && isolationLevel === 'serializable') await passGate(query, alone);
          return await work({
            kind: opened.kind,
            query,
            afterCommit: (hook) => void committed.push(hook),
            afterEnd: (hook) => void ended.push(hook),
            publish: (topic) => void committed.push(() => run([...(listeners.get(topic) ?? [])])),
          });
        }),
      );
      run(committed);
      return result;
    } finally {
      mark.open = false;
      run(ended);
    }
  }

  return {
    kind: opened.kind,
    query: opened.reader,
    transaction: async (work, options = {}) => {
      if (inside.getStore()?.open === true) throw new Error('a transaction inside a transaction: use the open one');
      for (let count = 1; ; count += 1) {
        try {
          return await attempt(work, options.isolationLevel ?? 'serializable', count >= ALONE_FROM_ATTEMPT);
        } catch (error) {
          if (!isSerializationFailure(error)) throw error;
          if (count === MAX_ATTEMPTS) {
            throw new GatewayError('unavailable', 'concurrent transactions won every time', {
              cause: error,
              retryAfterSeconds: 1,
            });
          }
          await sleep(Math.random() * Math.min(100, 2 ** count));
        }
      }
    },
    subscribe: (topic, listener) => {
      const set = listeners.get(topic) ?? new Set();
      listeners.set(topic, set);
      set.add(listener);
      return () => void set.delete(listener);
    },
    ping: async () => {
      await sql`select 1`.execute(opened.reader);
    },
    close: () => opened.close(),
  };
}

/**
 * PostgreSQL judges serializability by index pages: in small tables transactions that have nothing to do with each other lose against each other.
 * One that has lost once waits for the gate and runs alone, so that it is sure to end. LOCK TABLE takes no snapshot, so what follows sees everything
 * that was committed while it waited (PostgreSQL manual, LOCK).
 */
async function passGate(query: Kysely<Schema>, alone: boolean): Promise<void> {
  await (alone ? sql`lock table transaction_gate in exclusive mode` : sql`lock table transaction_gate in row share mode`).execute(
    query,
  );
}
