import type { Clock } from '../../clock.ts';
import { GatewayError } from '../../errors.ts';
import { parseJsonText } from '../../fhir/json.ts';
import type { Database, Transaction } from '../../store/database.ts';
import { claimCommand, findReply, storeReply, type CommandKey, type StoredReply } from '../../store/idempotency.ts';
import type { ApiReply } from '../../usecase/workflow.ts';

/** A POST that carries an `Idempotency-Key`, and what it asks. */
export interface KeyedRequest {
  readonly command: CommandKey;
  /** `hashRequest` of all that makes two requests the same. */
  readonly hash: string;
}

/** How a handler ties its transaction to the key. */
export interface Claim {
  /** Runs `work` in the open transaction together with the row of the key: both are committed or neither is. */
  within(tx: Transaction, work: () => Promise<ApiReply>): Promise<ApiReply>;
}

/** Makes POSTs repeatable: the same key and request get the stored answer. */
export interface Idempotency {
  /**
   * Runs `handle` unless the request was answered before. What `handle` commits `within` a transaction is never committed twice, in no process;
   * a handler that commits nothing has its answer kept all the same. Failures are not kept: a repeat tries again.
   * @throws GatewayError `unprocessable` (`idempotency_key_reused`) when the key was used for another request
   */
  run(
    request: KeyedRequest | undefined,
    handle: (claim: Claim) => Promise<ApiReply>,
  ): Promise<{ readonly reply: ApiReply; readonly replayed: boolean }>;
}

/** Thrown through the open transaction: another one has done the command meanwhile. */
class DoneMeanwhile extends Error {
  readonly reply: StoredReply;
  constructor(reply: StoredReply) {
    super('the command was done meanwhile');
    this.reply = reply;
  }
}

const WITHOUT_KEY: Claim = { within: (_tx, work) => work() };

export function createIdempotency(database: Database, clock: Clock): Idempotency {
  /** Of this process: a repeat waits for the first, so that it gets the answer that the first one got. */
  const running = new Map<string, Promise<void>>();

  const known = async (request: KeyedRequest): Promise<StoredReply | undefined> => {
    const claimed = await findReply(database, request.command, request.hash, clock.now());
    if (claimed.outcome === 'mismatch') throw reused();
    return claimed.outcome === 'replay' ? claimed.reply : undefined;
  };
  const claim = async (tx: Transaction, request: KeyedRequest): Promise<void> => {
    const claimed = await claimCommand(tx, request.command, request.hash, clock.now());
    if (claimed.outcome === 'mismatch') throw reused();
    if (claimed.outcome === 'replay') throw new DoneMeanwhile(claimed.reply);
  };

  const runOnce = async (request: KeyedRequest, handle: (claim: Claim) => Promise<ApiReply>): Promise<ApiReply> => {
    let committed: StoredReply | undefined;
    const reply = await handle({
      within: async (tx, work) => {
        await claim(tx, request);
        const stored = await work();
        const printed = print(stored);
        await storeReply(tx, request.command, printed);
        tx.afterCommit(() => (committed = printed));
        return stored;
      },
    });
    const final = print(reply);
    const before = committed;
    if (before === undefined) {
      await database.transaction(async (tx) => {
        await claim(tx, request);
        await storeReply(tx, request.command, final);
      });
    } else if (before.status !== final.status || before.body !== final.body) {
      await improveReply(database, request.command, final);
    }
    return reply;
  };

  return {
    run: async (request, handle) => {
      if (request === undefined) return { reply: await handle(WITHOUT_KEY), replayed: false };
      const name = JSON.stringify([request.command.tenant, request.command.route, request.command.key]);
      for (let other = running.get(name); other !== undefined; other = running.get(name)) await other;
      const work = answerOnce(request, handle);
      running.set(
        name,
        work.then(
          () => undefined,
          () => undefined,
        ),
      );
      try {
        return await work;
      } finally {
        running.delete(name);
      }
    },
  };

  async function answerOnce(
    request: KeyedRequest,
    handle: (claim: Claim) => Promise<ApiReply>,
  ): Promise<{ readonly reply: ApiReply; readonly replayed: boolean }> {
    const earlier = await known(request);
    if (earlier !== undefined) return { reply: toReply(earlier), replayed: true };
    try {
      return { reply: await runOnce(request, handle), replayed: false };
    } catch (error) {
      if (error instanceof DoneMeanwhile) return { reply: toReply(error.reply), replayed: true };
      throw error;
    }
  }
}

/**
 * The row of a command was written with it; what followed (tried at once, design §12) made a better answer, and a repeat gets the one that the
 * caller got. After a crash in between it gets the one of the commit.
 */
async function improveReply(database: Database, command: CommandKey, reply: StoredReply): Promise<void> {
  await database.transaction((tx) =>
    tx.query
      .updateTable('idempotency')
      .set({ status: reply.status, headers_json: JSON.stringify(reply.headers), body: reply.body })
      .where('tenant', '=', command.tenant)
      .where('key', '=', command.key)
      .where('route', '=', command.route)
      .execute(),
  );
}

function print(reply: ApiReply): StoredReply {
  if (reply.content !== undefined) throw new GatewayError('internal', 'the answer to a POST is JSON');
  return { status: reply.status, headers: reply.headers ?? {}, body: reply.body === undefined ? '' : JSON.stringify(reply.body) };
}

function toReply(stored: StoredReply): ApiReply {
  return { status: stored.status, headers: stored.headers, ...(stored.body === '' ? {} : { body: parseJsonText(stored.body) }) };
}

function reused(): GatewayError {
  return new GatewayError('unprocessable', 'the Idempotency-Key was used for another request', {
    reason: 'idempotency_key_reused',
    fields: [{ field: 'Idempotency-Key', problem: 'was used for a request with another path or body' }],
  });
}
