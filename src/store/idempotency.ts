import { createHash } from 'node:crypto';
import { z } from 'zod';
import { GatewayError } from '../errors.ts';
import type { Transaction } from './database.ts';
import type { Source } from './source.ts';

/** Which command: the caller's `Idempotency-Key` on one route of one tenant. */
export interface CommandKey {
  readonly tenant: string;
  readonly key: string;
  /** Method and path template: the same key on another route is another command. */
  readonly route: string;
}

/** The answer that was given, byte for byte. */
export interface StoredReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** What is known of a command: it is new, it was done with this answer, or its key was used for a different request. */
export type Claimed =
  { readonly outcome: 'new' } | { readonly outcome: 'replay'; readonly reply: StoredReply } | { readonly outcome: 'mismatch' };

const DAY_MS = 86_400_000;
/** At least seven days (reliability: a client may come back after a long weekend). */
const KEPT_MS = 8 * DAY_MS;

/** Hash of what makes two requests the same: everything that the command reads. */
export function hashRequest(parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

/** Looks without claiming, before a transaction is worth opening. */
export async function findReply(source: Source, command: CommandKey, requestHash: string, now: Date): Promise<Claimed> {
  const row = await source.query
    .selectFrom('idempotency')
    .selectAll()
    .where('tenant', '=', command.tenant)
    .where('key', '=', command.key)
    .where('route', '=', command.route)
    .executeTakeFirst();
  if (row === undefined || row.expires_at <= now.toISOString()) return { outcome: 'new' };
  if (row.request_hash !== requestHash) return { outcome: 'mismatch' };
  // Only the transaction that claimed it can see a row without its answer.
  if (row.status === null) throw new GatewayError('conflict', 'the command was claimed twice in one transaction');
  return {
    outcome: 'replay',
    reply: { status: row.status, headers: headers.parse(JSON.parse(row.headers_json ?? '{}')), body: row.body ?? '' },
  };
}

/**
 * Claims a command, in the command's own transaction. Of two that race one waits, and then finds the answer of the other.
 * After `new`, `storeReply` must follow in the same transaction.
 */
export async function claimCommand(tx: Transaction, command: CommandKey, requestHash: string, now: Date): Promise<Claimed> {
  const at = now.toISOString();
  await tx.query
    .deleteFrom('idempotency')
    .where('tenant', '=', command.tenant)
    .where('key', '=', command.key)
    .where('route', '=', command.route)
    .where('expires_at', '<=', at)
    .execute();
  const inserted = await tx.query
    .insertInto('idempotency')
    .values({
      tenant: command.tenant,
      key: command.key,
      route: command.route,
      request_hash: requestHash,
      status: null,
      headers_json: null,
      body: null,
      created_at: at,
      expires_at: new Date(now.getTime() + KEPT_MS).toISOString(),
    })
    .onConflict((conflict) => conflict.doNothing())
    .returning('key')
    .executeTakeFirst();
  return inserted === undefined ? await findReply(tx, command, requestHash, now) : { outcome: 'new' };
}

/** Keeps the answer of a command that was claimed in this transaction. */
export async function storeReply(tx: Transaction, command: CommandKey, reply: StoredReply): Promise<void> {
  const stored = await tx.query
    .updateTable('idempotency')
    .set({ status: reply.status, headers_json: JSON.stringify(reply.headers), body: reply.body })
    .where('tenant', '=', command.tenant)
    .where('key', '=', command.key)
    .where('route', '=', command.route)
    .where('status', 'is', null)
    .returning('key')
    .executeTakeFirst();
  if (stored === undefined) throw new Error('the command was not claimed in this transaction');
}

/** Forgets answers that are past their time. @returns how many. */
export async function purgeReplies(tx: Transaction, now: Date): Promise<number> {
  const result = await tx.query.deleteFrom('idempotency').where('expires_at', '<=', now.toISOString()).executeTakeFirst();
  return Number(result.numDeletedRows);
}

const headers = z.record(z.string(), z.string());
