import { hash } from 'node:crypto';
import { GatewayError } from '../errors.ts';
import type { Database, Transaction } from './database.ts';

/** A DPoP proof that is about to count (RFC 9449 §11.1): by its key and its `jti`. */
export interface UsedProof {
  readonly tenant: string;
  /** Thumbprint of the key, as the token is bound to it. */
  readonly jkt: string;
  readonly jti: string;
  /** From when on no gate would accept it for its age. */
  readonly expiresAt: Date;
}

/** Which proofs were used, over all processes that share the database. */
export interface ProofIds {
  /**
   * Uses a proof up.
   * @returns once that is durable: true for the one first caller, false for all others
   * @throws GatewayError `unavailable` (503) when it is not known whether it was used; it may be by then, so the same proof is not tried again
   */
  use(proof: UsedProof): Promise<boolean>;
}

const DEADLINE_MS = 2_000;
const MAX_BATCH = 200;

interface Waiting {
  readonly row: { readonly tenant: string; readonly id: string; readonly expires_at: string };
  readonly key: string;
  readonly resolve: (first: boolean) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Creates the list. Proofs that come while others are being written share the next transaction, so that on SQLite a proof costs a share of
 * an fsync and not one of its own (measured on two cores: 0.4 ms alone, 0.03 ms each of a hundred). Nothing is remembered in memory only: a
 * replay after a restart is refused as well.
 */
export function createProofIds(database: Database): ProofIds {
  let waiting: Waiting[] = [];
  let writing = false;

  async function write(): Promise<void> {
    if (writing) return;
    writing = true;
    try {
      while (waiting.length > 0) {
        const batch = waiting.slice(0, MAX_BATCH);
        waiting = waiting.slice(MAX_BATCH);
        await writeBatch(batch);
      }
    } finally {
      writing = false;
    }
  }

  async function writeBatch(batch: readonly Waiting[]): Promise<void> {
    // Of two in one batch the first has it. In the order of their keys: two processes that write the same ones must not wait for each other.
    const firsts = new Map<string, Waiting>();
    for (const each of batch) if (!firsts.has(each.key)) firsts.set(each.key, each);
    const rows = [...firsts.values()].sort((one, other) => (one.key < other.key ? -1 : 1)).map((each) => each.row);
    try {
      const inserted = await database.transaction(
        (tx) =>
          tx.query
            .insertInto('proof_id')
            .values(rows)
            .onConflict((conflict) => conflict.doNothing())
            .returning(['tenant', 'id'])
            .execute(),
        { isolationLevel: 'read committed' },
      );
      const won = new Set(inserted.map((row) => keyOf(row.tenant, row.id)));
      for (const each of batch) each.resolve(won.has(each.key) && firsts.get(each.key) === each);
    } catch (error) {
      for (const each of batch) each.reject(error);
    }
  }

  return {
    use: ({ tenant, jkt, jti, expiresAt }) =>
      new Promise<boolean>((resolve, reject) => {
        // The length first, so that no two pairs are the same text.
        const id = hash('sha256', `${jkt.length}:${jkt}${jti}`, 'base64url');
        const fail = (cause: unknown): void =>
          reject(
            new GatewayError('unavailable', 'it is not known whether the proof was used before', { cause, retryAfterSeconds: 1 }),
          );
        const timer = setTimeout(() => fail(new Error(`the database did not answer within ${DEADLINE_MS} ms`)), DEADLINE_MS);
        waiting.push({
          row: { tenant, id, expires_at: expiresAt.toISOString() },
          key: keyOf(tenant, id),
          resolve: (first) => {
            clearTimeout(timer);
            resolve(first);
          },
          reject: (error) => {
            clearTimeout(timer);
            fail(error);
          },
        });
        void write();
      }),
  };
}

/** Forgets proofs that are too old to be accepted again. @returns how many. */
export async function purgeProofIds(tx: Transaction, now: Date): Promise<number> {
  const result = await tx.query.deleteFrom('proof_id').where('expires_at', '<=', now.toISOString()).executeTakeFirst();
  return Number(result.numDeletedRows);
}

function keyOf(tenant: string, id: string): string {
  return `${tenant}/${id}`;
}
