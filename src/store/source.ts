import type { Kysely } from 'kysely';
import type { Schema } from './schema.ts';

/** A place to read from: the database, which shows what is committed, or an open transaction, which sees its own writes. */
export interface Source {
  readonly query: Kysely<Schema>;
}
