import { PostgresDialect, type Dialect } from 'kysely';
import pg from 'pg';
import type { Logger } from '../log.ts';
import { toBoundValue } from './values.ts';

export interface PostgresOptions {
  /** `postgres://user:password@host:port/database` */
  readonly url: string;
  /** All tables stand in it. */
  readonly schema: string;
  readonly maxConnections?: number;
  readonly logger: Logger;
}

/** A Kysely dialect over a pool of PostgreSQL connections, with limits on everything that could wait for ever. */
export function createPostgresDialect(options: PostgresOptions): Dialect {
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(options.schema))
    throw new TypeError('a schema name is lower-case letters, digits and underscores');
  const pool = new pg.Pool({
    connectionString: options.url,
    application_name: 'sluis',
    max: options.maxConnections ?? 10,
    connectionTimeoutMillis: 5_000,
    statement_timeout: 10_000,
    idle_in_transaction_session_timeout: 30_000,
    idleTimeoutMillis: 30_000,
    options: `-c search_path=${options.schema}`,
    // count(*) is a 64-bit integer, which pg gives as text; nothing here counts beyond 2^53.
    types: {
      getTypeParser: (oid, format): unknown => (oid === pg.types.builtins.INT8 ? Number : pg.types.getTypeParser(oid, format)),
    },
  });
  // A connection that breaks while idle is replaced by the pool; without a listener it would end the process.
  pool.on('error', (error) => options.logger.warn({ module: 'store', err: error }, 'an idle database connection was lost'));
  return new PostgresDialect({
    pool: {
      options: pool.options,
      end: () => pool.end(),
      connect: async () => {
        const client = await pool.connect();
        return {
          query: (text: unknown, values?: readonly unknown[]): never =>
            client.query(text as string, values?.map(toBoundValue)) as never,
          release: (destroy?: boolean) => client.release(destroy),
        };
      },
    },
  });
}

/** Whether a transaction lost against a concurrent one and did nothing: serialization_failure, deadlock_detected. */
export function isSerializationFailure(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && (error.code === '40001' || error.code === '40P01');
}
