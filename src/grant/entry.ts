import type { Selectable } from 'kysely';
import { z } from 'zod';
import type { GrantTable } from '../store/schema.ts';
import type { Grant } from '../usecase/access.ts';
import type { NewGrant } from '../usecase/workflow.ts';

/** A grant to be opened: whose, and of which use case. `notBefore` absent: from the moment it is live. */
export type OpeningGrant = NewGrant & { readonly tenant: string; readonly useCase: string; readonly notBefore?: Date };

/** A grant with what the operator may see of it. */
export interface GrantEntry extends Grant {
  readonly tenant: string;
  readonly useCase: string;
  readonly notBefore?: Date;
  readonly endedReason?: string;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** A row, read and parsed once; what it permits depends on the moment. */
export interface StoredGrant {
  readonly entry: GrantEntry;
  readonly notBeforeMs: number;
  readonly expiresAtMs: number;
}

/** Parses a row of the ledger. */
export function parseGrant(row: Selectable<GrantTable>): StoredGrant {
  const optional = {
    ...(row.credential_id === null ? {} : { credentialId: row.credential_id }),
    ...(row.patient === null ? {} : { patient: row.patient }),
    ...(row.not_before === null ? {} : { notBefore: new Date(row.not_before) }),
    ...(row.expires_at === null ? {} : { expiresAt: new Date(row.expires_at) }),
    ...(row.ended_reason === null ? {} : { endedReason: row.ended_reason }),
  };
  return {
    entry: {
      tenant: row.tenant,
      useCase: row.use_case,
      id: row.id,
      requester: row.requester,
      purpose: row.purpose,
      state: row.state,
      kind: row.kind,
      recordId: row.record_id,
      resources: resources.parse(JSON.parse(row.resources_json)),
      createdAt: new Date(row.created_at),
      updatedAt: new Date(row.updated_at),
      ...optional,
    },
    notBeforeMs: row.not_before === null ? -Infinity : Date.parse(row.not_before),
    expiresAtMs: row.expires_at === null ? Infinity : Date.parse(row.expires_at),
  };
}

/** The grant as it stands at the moment: past its expiry it has ended, before its beginning it is pending, whatever the row says. */
export function grantAt(grant: StoredGrant, now: Date): GrantEntry {
  const at = now.getTime();
  const { entry } = grant;
  // Not `at < expiresAt`: a moment that is no number must not permit.
  if (entry.state !== 'ended' && !(at < grant.expiresAtMs)) return { ...entry, state: 'ended', endedReason: 'expired' };
  if (entry.state === 'live' && !(at >= grant.notBeforeMs)) return { ...entry, state: 'pending' };
  return entry;
}

const resources = z
  .array(
    z
      .object({
        path: z.string().startsWith('/'),
        operations: z.array(z.string()).readonly(),
        userContext: z.boolean(),
        assuranceLevel: z.enum(['low', 'substantial', 'high']).exactOptional(),
      })
      .readonly(),
  )
  .readonly();
