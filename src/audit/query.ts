import { z } from 'zod';
import { GatewayError } from '../errors.ts';
import { AUDIT_OUTCOMES } from './entry.ts';
import type { AuditOutcome } from './entry.ts';

/** Which entries of a tenant; all given conditions must hold. */
export interface AuditQuery {
  /** `-` for the requests that belong to no tenant. */
  readonly tenant: string;
  /** Inclusive. */
  readonly from?: Date;
  /** Exclusive. */
  readonly to?: Date;
  /** Exact reference. */
  readonly patient?: string;
  readonly outcome?: AuditOutcome;
  /** DID (or URA) of the organisation that asked. */
  readonly requester?: string;
  readonly correlationId?: string;
  /** 1 to 1000. */
  readonly limit: number;
  /** `next` of an earlier page. */
  readonly cursor?: string;
}

/** One access or event: an intent and its outcome are one view. */
export interface AuditView extends Omit<StoredRecord, 'phase' | 'seq' | 'intent'> {
  /** Instance and sequence of the record that closed it, `g-0123456789:42`. */
  readonly id: string;
  /** `unfinished`: an intent without an outcome, as of a request under way. */
  readonly kind: 'access' | 'event' | 'unfinished';
  /** When the outcome was recorded; `at` is the intent's moment where there was one. */
  readonly endedAt?: string;
}

export interface AuditPage {
  /** Newest first, in the order in which they ended. */
  readonly entries: readonly AuditView[];
  /** Cursor of the next page; absent after the last. */
  readonly next?: string;
}

/** Finds entries. It never misses one that was recorded before the call. */
export interface AuditIndex {
  /** @throws GatewayError `invalid_parameter` for a cursor that is not ours */
  query(query: AuditQuery): Promise<AuditPage>;
}

/** A record as it stands in the journal, see `docs/stored-records.md`. */
export type StoredRecord = z.infer<typeof storedRecord>;

const organization = z.object({ id: z.string(), name: z.string().optional() });
export const storedRecord = z.object({
  seq: z.number().int(),
  tenant: z.string(),
  phase: z.enum(['intent', 'outcome', 'event']),
  at: z.string(),
  correlationId: z.string(),
  part: z.string().optional(),
  intent: z.number().int().optional(),
  event: z.string().optional(),
  outcome: z.enum(AUDIT_OUTCOMES).optional(),
  status: z.number().int().optional(),
  reason: z.string().optional(),
  why: z.string().optional(),
  bytes: z.number().optional(),
  durationMs: z.number().optional(),
  complete: z.boolean().optional(),
  resourceVersion: z.string().optional(),
  remoteAddress: z.string().optional(),
  requester: organization.optional(),
  user: organization.extend({ role: z.string().optional(), level: z.string().optional() }).optional(),
  clientCertificate: z.object({ subject: z.string(), serial: z.string().optional() }).optional(),
  purpose: z.string().optional(),
  useCase: z.string().optional(),
  role: z.string().optional(),
  rule: z.string().optional(),
  interaction: z.string().optional(),
  path: z.string().optional(),
  credentials: z.array(z.string()).optional(),
  grant: z.string().optional(),
  patient: z.string().optional(),
  patientProof: z.string().optional(),
  attributes: z.record(z.string(), z.string()).optional(),
  tokenHash: z.string().optional(),
  keyThumbprint: z.string().optional(),
});

/** Joins an intent and its outcome; either may be absent. What the outcome says again is newer. */
export function toView(instance: string, intent: StoredRecord | undefined, end: StoredRecord | undefined): AuditView | undefined {
  const last = end ?? intent;
  if (last === undefined) return undefined;
  const { seq, phase, intent: _closes, ...facts } = last;
  const { seq: _seq, phase: _phase, intent: _none, ...began } = intent ?? last;
  const attributes = { ...began.attributes, ...facts.attributes };
  // A denial may be because what is stored is another's: whom the intent named was claimed, and not proven.
  const { patient, patientProof, ...others } = { ...began, ...facts };
  const isProven = facts.outcome !== 'denied';
  return {
    ...others,
    ...(isProven && patient !== undefined ? { patient } : {}),
    ...(isProven && patientProof !== undefined ? { patientProof } : {}),
    ...(Object.keys(attributes).length === 0 ? {} : { attributes }),
    at: began.at,
    ...(end === undefined || intent === undefined ? {} : { endedAt: end.at }),
    id: `${instance}:${String(seq)}`,
    kind: phase === 'intent' ? 'unfinished' : phase === 'event' ? 'event' : 'access',
  };
}

export function matches(view: AuditView, query: AuditQuery): boolean {
  return (
    (query.from === undefined || view.at >= query.from.toISOString()) &&
    (query.to === undefined || view.at < query.to.toISOString()) &&
    (query.patient === undefined || view.patient === query.patient) &&
    (query.outcome === undefined || view.outcome === query.outcome) &&
    (query.requester === undefined || view.requester?.id === query.requester) &&
    (query.correlationId === undefined || view.correlationId === query.correlationId)
  );
}

/** Where each instance's chain was left: segment and sequence of the last record shown. */
export type Cursor = ReadonlyMap<string, readonly [segment: number, sequence: number]>;

const cursorSchema = z.record(z.string(), z.tuple([z.number().int(), z.number().int()]));

export function printCursor(cursor: Cursor): string {
  return Buffer.from(JSON.stringify(Object.fromEntries(cursor))).toString('base64url');
}

/** @throws GatewayError `invalid_parameter` when it is none of ours */
export function parseCursor(text: string): Cursor {
  try {
    return new Map(Object.entries(cursorSchema.parse(JSON.parse(Buffer.from(text, 'base64url').toString('utf8')))));
  } catch (cause) {
    const fields = [{ field: 'cursor', problem: 'is not one that an earlier page gave' }];
    throw new GatewayError('invalid_parameter', 'an audit cursor that cannot be read', { cause, fields });
  }
}
