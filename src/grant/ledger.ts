import { GatewayError } from '../errors.ts';
import type { Database, Transaction } from '../store/database.ts';
import type { Source } from '../store/source.ts';
import { createGrantCache } from './cache.ts';
import { grantAt, parseGrant, type GrantEntry, type OpeningGrant, type StoredGrant } from './entry.ts';

/** What the gate asks on every request. */
export interface GrantQuestion {
  readonly tenant: string;
  readonly requester: string;
  readonly purpose: string;
  /** Canonical path below the FHIR base, `/Task/123`; compared exactly. */
  readonly path: string;
  /** The moment at which beginning and expiry are judged. */
  readonly now: Date;
}

/** Which grants to end or list: all that are given must match. */
export interface GrantFilter {
  readonly tenant: string;
  readonly useCase?: string;
  readonly id?: string;
  readonly recordId?: string;
  readonly requester?: string;
  readonly purpose?: string;
  readonly kind?: string;
}

/**
 * The ledger of grants: what one requester may do with which resources until when. It rules: a grant that is not live here permits nothing, whatever
 * a credential says. A grant opens as `pending`, may become `live`, and once `ended` never comes back.
 */
export interface GrantLedger {
  /** @throws GatewayError `conflict` when the id is taken. */
  open(tx: Transaction, grant: OpeningGrant, now: Date): Promise<void>;
  /** @throws GatewayError `conflict` when it has ended (a late answer must not revive it), `not_found` when there is none. */
  makeLive(tx: Transaction, tenant: string, id: string, now: Date, credentialId?: string): Promise<void>;
  /**
   * Ends grants. From the commit on no reader of this process is shown them as live, and none elsewhere a second later.
   * @returns those that this ended; they carry the credentials that are to be revoked.
   */
  end(tx: Transaction, filter: GrantFilter, reason: string, now: Date): Promise<readonly GrantEntry[]>;
  /** The grants that name the path, in any state as of `now`. From memory when it was read within half a second. */
  matching(question: GrantQuestion): Promise<readonly GrantEntry[]>;
  get(source: Source, tenant: string, id: string, now: Date): Promise<GrantEntry | undefined>;
  byCredential(tenant: string, credentialId: string, now: Date): Promise<GrantEntry | undefined>;
  /** Oldest first; at most `limit` (1,000). */
  list(source: Source, filter: GrantFilter & { readonly limit?: number }, now: Date): Promise<readonly GrantEntry[]>;
}

export interface GrantLedgerOptions {
  readonly database: Database;
  /** How long an answer from memory may be used; other processes' changes show after this. Default 500. */
  readonly cacheMs?: number;
  /** Paths kept in memory. Default 20,000. */
  readonly cacheEntries?: number;
}

/** Creates the ledger; one per process, since it holds the cache that its writes invalidate. */
export function createGrantLedger(options: GrantLedgerOptions): GrantLedger {
  const { database } = options;
  const cache = createGrantCache({
    maxAgeMs: options.cacheMs ?? 500,
    maxEntries: options.cacheEntries ?? 20_000,
    load: ({ tenant, requester, purpose, path }) => loadMatching(database, tenant, requester, purpose, path),
  });

  /** From now until the transaction has ended the paths are read from the database; afterwards they are read anew. */
  function suspend(tx: Transaction, grant: GrantEntry | OpeningGrant): void {
    const paths = new Set(grant.resources.map((resource) => resource.path));
    for (const path of paths) {
      const release = cache.suspend({ tenant: grant.tenant, requester: grant.requester, purpose: grant.purpose, path });
      tx.afterEnd(release);
    }
  }

  return {
    open: async (tx, grant, now) => {
      const { tenant, id, useCase, requester, purpose, kind, recordId, resources } = grant;
      if ((await select(tx, { tenant, id }).executeTakeFirst()) !== undefined)
        throw new GatewayError('conflict', 'a grant with this id exists already');
      const at = now.toISOString();
      await tx.query
        .insertInto('grant_entry')
        .values({
          tenant,
          id,
          use_case: useCase,
          requester,
          purpose,
          kind,
          record_id: recordId,
          state: 'pending',
          resources_json: JSON.stringify(resources),
          credential_id: null,
          patient: grant.patient ?? null,
          not_before: grant.notBefore?.toISOString() ?? null,
          expires_at: grant.expiresAt?.toISOString() ?? null,
          ended_reason: null,
          created_at: at,
          updated_at: at,
        })
        .execute();
      const paths = [...new Set(resources.map((resource) => resource.path))];
      if (paths.length > 0) {
        await tx.query
          .insertInto('grant_path')
          .values(paths.map((path) => ({ tenant, requester, purpose, path, grant_id: id })))
          .execute();
      }
      suspend(tx, grant);
    },

    makeLive: async (tx, tenant, id, now, credentialId) => {
      const row = await select(tx, { tenant, id }).executeTakeFirst();
      if (row === undefined) throw new GatewayError('not_found', 'there is no grant with this id');
      if (row.state === 'ended') throw new GatewayError('conflict', 'the grant has ended', { reason: 'grant_ended' });
      suspend(tx, parseGrant(row).entry);
      await tx.query
        .updateTable('grant_entry')
        .set({ state: 'live', credential_id: credentialId ?? row.credential_id, updated_at: now.toISOString() })
        .where('tenant', '=', tenant)
        .where('id', '=', id)
        .where('state', '!=', 'ended')
        .execute();
    },

    end: async (tx, filter, reason, now) => {
      const rows = await select(tx, filter).where('state', '!=', 'ended').execute();
      const entries = rows.map((row) => parseGrant(row).entry);
      for (const entry of entries) {
        suspend(tx, entry);
        await tx.query
          .updateTable('grant_entry')
          .set({ state: 'ended', ended_reason: reason, updated_at: now.toISOString() })
          .where('tenant', '=', entry.tenant)
          .where('id', '=', entry.id)
          .execute();
      }
      return entries.map((entry): GrantEntry => ({ ...entry, state: 'ended', endedReason: reason, updatedAt: now }));
    },

    matching: async (question) => (await cache.get(question)).map((grant) => grantAt(grant, question.now)),

    get: async (source, tenant, id, now) => {
      const row = await select(source, { tenant, id }).executeTakeFirst();
      return row === undefined ? undefined : grantAt(parseGrant(row), now);
    },

    byCredential: async (tenant, credentialId, now) => {
      const row = await select(database, { tenant }).where('credential_id', '=', credentialId).limit(1).executeTakeFirst();
      return row === undefined ? undefined : grantAt(parseGrant(row), now);
    },

    list: async (source, filter, now) => {
      const rows = await select(source, filter)
        .orderBy('created_at')
        .orderBy('id')
        .limit(filter.limit ?? 1_000)
        .execute();
      return rows.map((row) => grantAt(parseGrant(row), now));
    },
  };
}

function select(source: Source, filter: GrantFilter) {
  let query = source.query.selectFrom('grant_entry').selectAll().where('tenant', '=', filter.tenant);
  if (filter.useCase !== undefined) query = query.where('use_case', '=', filter.useCase);
  if (filter.id !== undefined) query = query.where('id', '=', filter.id);
  if (filter.recordId !== undefined) query = query.where('record_id', '=', filter.recordId);
  if (filter.requester !== undefined) query = query.where('requester', '=', filter.requester);
  if (filter.purpose !== undefined) query = query.where('purpose', '=', filter.purpose);
  if (filter.kind !== undefined) query = query.where('kind', '=', filter.kind);
  return query;
}

async function loadMatching(
  source: Source,
  tenant: string,
  requester: string,
  purpose: string,
  path: string,
): Promise<readonly StoredGrant[]> {
  const rows = await source.query
    .selectFrom('grant_path')
    .innerJoin('grant_entry', (join) =>
      join.onRef('grant_entry.tenant', '=', 'grant_path.tenant').onRef('grant_entry.id', '=', 'grant_path.grant_id'),
    )
    .selectAll('grant_entry')
    .where('grant_path.tenant', '=', tenant)
    .where('grant_path.requester', '=', requester)
    .where('grant_path.purpose', '=', purpose)
    .where('grant_path.path', '=', path)
    .orderBy('grant_entry.created_at')
    .orderBy('grant_entry.id')
    .execute();
  return rows.map(parseGrant);
}
