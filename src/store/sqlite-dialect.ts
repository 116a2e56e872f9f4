import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler } from 'kysely';
import type { CompiledQuery, DatabaseConnection, Dialect, Driver, Kysely, QueryResult } from 'kysely';
import { toBoundValue } from './values.ts';

/**
 * A Kysely dialect over one `node:sqlite` connection. Kysely gives the connection to one user at a time, so a write transaction has it alone;
 * `begin` is `begin immediate`: two processes on the file wait for each other here and not half-way.
 */
export function createSqliteDialect(file: DatabaseSync): Dialect {
  return {
    createAdapter: () => new TransactionalSqliteAdapter(),
    createDriver: () => new NodeSqliteDriver(file),
    createIntrospector: (db: Kysely<unknown>) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  };
}

/** Every migration step and its mark in one transaction: SQLite can, and two processes may start at once. */
class TransactionalSqliteAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true;
  }
}

const MAX_STATEMENTS = 300;
/** 100 × (20 ms busy_timeout + 20 ms): about four seconds, without holding the event loop for longer than 20 ms. */
const BEGIN_ATTEMPTS = 100;
const BEGIN_WAIT_MS = 20;

class NodeSqliteDriver implements Driver {
  readonly #file: DatabaseSync;
  readonly #connection: NodeSqliteConnection;

  constructor(file: DatabaseSync) {
    this.#file = file;
    this.#connection = new NodeSqliteConnection(file);
  }

  init(): Promise<void> {
    return Promise.resolve();
  }

  acquireConnection(): Promise<DatabaseConnection> {
    return Promise.resolve(this.#connection);
  }

  async beginTransaction(): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        this.#file.exec('begin immediate');
        this.#connection.failed = false;
        return;
      } catch (error) {
        if (!isBusy(error) || attempt === BEGIN_ATTEMPTS) throw error;
        await sleep(BEGIN_WAIT_MS);
      }
    }
  }

  commitTransaction(): Promise<void> {
    // As PostgreSQL: after a statement that failed nothing of the transaction may survive, even if its author caught the error.
    if (this.#connection.failed) {
      return this.rollbackTransaction().then(() => {
        throw new Error('the transaction was rolled back, because a statement of it had failed');
      });
    }
    return settle(() => this.#file.exec('commit'));
  }

  rollbackTransaction(): Promise<void> {
    this.#connection.failed = false;
    // Some failures (disk full, I/O) have rolled back already.
    return settle(() => {
      if (this.#file.isTransaction) this.#file.exec('rollback');
    });
  }

  releaseConnection(): Promise<void> {
    return Promise.resolve();
  }

  destroy(): Promise<void> {
    return settle(() => {
      if (this.#file.isOpen) this.#file.close();
    });
  }
}

class NodeSqliteConnection implements DatabaseConnection {
  /** A statement of the running transaction failed. */
  failed = false;
  readonly #file: DatabaseSync;
  readonly #statements = new Map<string, Prepared>();

  constructor(file: DatabaseSync) {
    this.#file = file;
  }

  executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    return settle(() => this.#execute<R>(query));
  }

  // eslint-disable-next-line require-yield, @typescript-eslint/require-await -- part of the interface; nothing here streams
  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new Error('streaming is not supported');
  }

  #execute<R>(query: CompiledQuery): QueryResult<R> {
    if (this.failed && this.#file.isTransaction)
      throw new Error('a statement of this transaction has failed: it can only be rolled back');
    try {
      const { statement, givesRows } = this.#prepare(query.sql);
      const values = query.parameters.map(toBoundValue);
      if (givesRows) {
        const rows = statement.all(...values);
        // The one place where rows get their type: Kysely derives R from the query and the schema.
        return { rows: rows as R[], numAffectedRows: BigInt(rows.length) };
      }
      return { rows: [], numAffectedRows: BigInt(statement.run(...values).changes) };
    } catch (error) {
      this.failed = this.#file.isTransaction;
      throw error;
    }
  }

  #prepare(sql: string): Prepared {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const statement = this.#file.prepare(sql);
    const prepared = { statement, givesRows: statement.columns().length > 0 };
    if (this.#statements.size >= MAX_STATEMENTS) {
      const oldest = this.#statements.keys().next();
      if (oldest.done !== true) this.#statements.delete(oldest.value);
    }
    this.#statements.set(sql, prepared);
    return prepared;
  }
}

interface Prepared {
  readonly statement: StatementSync;
  readonly givesRows: boolean;
}

/** Whether another connection holds the lock that was asked for (SQLITE_BUSY and its extended codes). */
export function isBusy(error: unknown): boolean {
  return (
    typeof error === 'object' &&
    error !== null &&
    'errcode' in error &&
    typeof error.errcode === 'number' &&
    (error.errcode & 0xff) === 5
  );
}

function settle<T>(work: () => T): Promise<T> {
  return new Promise((resolve) => resolve(work()));
}
