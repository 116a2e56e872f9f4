import type { Selectable } from 'kysely';
import { z } from 'zod';
import type { JsonValue } from '../fhir/json.ts';
import type { Transaction } from './database.ts';
import type { UserSessionTable } from './schema.ts';
import type { Source } from './source.ts';

/** The identity of a care worker, as the EHR gave it and, once confirmed, as the node signed it; never kept past its validity (Nuts RFC019 §4). */
export interface UserSessionRow {
  readonly tenant: string;
  readonly id: string;
  /** `employeeid`, `dummy`, … */
  readonly means: string;
  readonly status: 'pending' | 'complete' | 'failed';
  /** As given with the session; the owner of the session parses it. */
  readonly user: unknown;
  readonly nodeSessionId?: string;
  /** Where the person confirms. */
  readonly url?: string;
  /** The signed presentation. */
  readonly presentation?: JsonValue;
  readonly createdAt: Date;
  readonly expiresAt: Date;
}

export type NewUserSession = Omit<UserSessionRow, 'user'> & { readonly user: JsonValue };

/** Stores a new session. */
export async function insertUserSession(tx: Transaction, session: NewUserSession): Promise<void> {
  await tx.query
    .insertInto('user_session')
    .values({
      tenant: session.tenant,
      id: session.id,
      means: session.means,
      status: session.status,
      user_json: JSON.stringify(session.user),
      node_session_id: session.nodeSessionId ?? null,
      url: session.url ?? null,
      presentation_json: session.presentation === undefined ? null : JSON.stringify(session.presentation),
      created_at: session.createdAt.toISOString(),
      expires_at: session.expiresAt.toISOString(),
    })
    .execute();
}

/** The session, unless it has expired. */
export async function findUserSession(
  source: Source,
  tenant: string,
  id: string,
  now: Date,
): Promise<UserSessionRow | undefined> {
  const row = await source.query
    .selectFrom('user_session')
    .selectAll()
    .where('tenant', '=', tenant)
    .where('id', '=', id)
    .where('expires_at', '>', now.toISOString())
    .executeTakeFirst();
  return row === undefined ? undefined : toUserSession(row);
}

/** Ends the waiting of a pending session. @returns false when it is not pending any more. */
export async function settleUserSession(
  tx: Transaction,
  tenant: string,
  id: string,
  result:
    | { readonly status: 'complete'; readonly presentation: JsonValue; readonly expiresAt?: Date; readonly user?: JsonValue }
    | { readonly status: 'failed' },
): Promise<boolean> {
  const completed =
    result.status === 'complete'
      ? {
          presentation_json: JSON.stringify(result.presentation),
          ...(result.expiresAt === undefined ? {} : { expires_at: result.expiresAt.toISOString() }),
          ...(result.user === undefined ? {} : { user_json: JSON.stringify(result.user) }),
        }
      : {};
  const settled = await tx.query
    .updateTable('user_session')
    .set({ status: result.status, ...completed })
    .where('tenant', '=', tenant)
    .where('id', '=', id)
    .where('status', '=', 'pending')
    .returning('id')
    .executeTakeFirst();
  return settled !== undefined;
}

/** Removes expired sessions. @returns how many. */
export async function purgeUserSessions(tx: Transaction, now: Date): Promise<number> {
  const result = await tx.query.deleteFrom('user_session').where('expires_at', '<=', now.toISOString()).executeTakeFirst();
  return Number(result.numDeletedRows);
}

const presentation = z.custom<JsonValue>((value) => value !== undefined);

function toUserSession(row: Selectable<UserSessionTable>): UserSessionRow {
  const user: unknown = JSON.parse(row.user_json);
  return {
    tenant: row.tenant,
    id: row.id,
    means: row.means,
    status: row.status,
    user,
    createdAt: new Date(row.created_at),
    expiresAt: new Date(row.expires_at),
    ...(row.node_session_id === null ? {} : { nodeSessionId: row.node_session_id }),
    ...(row.url === null ? {} : { url: row.url }),
    ...(row.presentation_json === null ? {} : { presentation: presentation.parse(JSON.parse(row.presentation_json)) }),
  };
}
