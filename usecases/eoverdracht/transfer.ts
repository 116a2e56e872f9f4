import { z, type GrantedResource, type JsonValue, type RecordKey } from 'sluis/usecase';
import { isOpen, TASK_STATUSES } from './task-state.ts';

/*
 * The transfer of one patient: one aggregate, one record (kind `transfer`), changed by compare-and-set only. A negotiation is the talk with
 * one receiver and has one Task. What stands here is what we want; what others were told so far is counted beside it (`written`,
 * `queued`, `state`), so that the difference is what must still be done (`transfer-plan.ts`).
 * No clinical data is kept: references, and for a document that we build the recipe to build it again.
 */

const moment = z.iso.datetime({ offset: true });
const reference = z.string().regex(/^[A-Za-z]+\/[A-Za-z0-9\-.]{1,64}$/);
const composition = z.string().regex(/^Composition\/[A-Za-z0-9\-.]{1,64}$/);
const status = z.enum(TASK_STATUSES);

const resource = z
  .object({
    path: z.string(),
    operations: z.array(z.string()).readonly(),
    userContext: z.boolean(),
    assuranceLevel: z.enum(['low', 'substantial', 'high']).exactOptional(),
  })
  .readonly();

/** What one receiver may do until when, and how far ledger and credential are. */
const grant = z
  .object({
    id: z.string(),
    kind: z.enum(['task', 'advance-notice', 'nursing-handoff']),
    /** The document that a medical grant is for. */
    composition: composition.exactOptional(),
    resources: z.array(resource).readonly(),
    expiresAt: moment,
    /** `pending`: to be issued and made live. `ended`: dead in the ledger. */
    state: z.enum(['pending', 'live', 'ended']),
    /** The grant that ends in the moment in which this one becomes live. */
    replaces: z.string().exactOptional(),
    credentialId: z.string().exactOptional(),
    /** Of an ended grant: no credential of its natural key is alive at the node. */
    revoked: z.boolean(),
  })
  .readonly();

const task = z
  .object({
    /** Ours, a random UUID without meaning (facts §2.2). */
    id: z.string(),
    inputs: z.object({ advanceNotice: composition.exactOptional(), nursingHandoff: composition.exactOptional() }).readonly(),
    /** Counts the sender's changes; `written` is the last one that stands in FHIR, 0 before the Task exists. */
    revision: z.number().int(),
    written: z.number().int(),
    /** What was last seen in FHIR. */
    seen: z.object({ status: z.string(), version: z.string() }).readonly().exactOptional(),
  })
  .readonly();

const notification = z
  .object({
    /** Number of changes that the receiver must hear of; it is told of the newest only. */
    wanted: z.number().int(),
    /** Handed to the job. */
    queued: z.number().int(),
    delivered: z.number().int(),
    queuedAt: moment.exactOptional(),
    deliveredAt: moment.exactOptional(),
    /** Attempts in a row at which the receiver said that the notification is wrong. */
    refused: z.number().int(),
    /** Why the receiver could not be told: a person must look. */
    problem: z.string().exactOptional(),
  })
  .readonly();

const negotiation = z
  .object({
    id: z.string(),
    organization: z.string(),
    name: z.string(),
    /** Of the Task, as it is wanted: the receiver's last answer or the sender's last command. */
    status,
    statusReason: z.string().exactOptional(),
    alternativeDate: z.string().exactOptional(),
    /** What was agreed with this receiver, where it differs from the transfer's. */
    transferDate: z.string().exactOptional(),
    task,
    grants: z.array(grant).readonly(),
    notification,
  })
  .readonly();

/** How a document that we build is built: references and the ids to use, no content. */
const recipe = z
  .object({
    at: moment,
    transferDate: z.string(),
    /** Section name or `author`, `payers` … to references, as the EHR gave them. */
    content: z.record(z.string(), z.array(reference).readonly()).readonly(),
    /** The id of each resource that we make, by what it is made from. */
    ids: z.record(z.string(), z.string()).readonly(),
    receiver: z.object({ did: z.string(), name: z.string() }).readonly().exactOptional(),
  })
  .readonly();

const document = z
  .object({
    composition,
    kind: z.enum(['advanceNotice', 'nursingHandoff']),
    /** Everything that belongs to it, `Type/id`, the Composition first: the basis of the grants (facts §3.6 step 5). */
    resources: z.array(reference).readonly(),
    /** Whether it stands in FHIR. A document that the EHR made does from the start. */
    written: z.boolean(),
    recipe: recipe.exactOptional(),
  })
  .readonly();

const timelineEntry = z
  .object({
    at: moment,
    /** snake_case, stable. */
    what: z.string(),
    who: z.enum(['sender', 'receiver', 'sluis']),
    negotiation: z.string().exactOptional(),
  })
  .readonly();

const transfer = z
  .object({
    id: z.string(),
    /** `Patient/…`, the real one. */
    patient: reference,
    transferDate: z.string(),
    status: z.enum(['created', 'requested', 'assigned', 'completed', 'cancelled']),
    createdAt: moment,
    /** The notice that a new receiver is offered. */
    notice: composition.exactOptional(),
    handoff: composition.exactOptional(),
    documents: z.array(document).readonly(),
    negotiations: z.array(negotiation).readonly(),
    timeline: z.array(timelineEntry).readonly(),
  })
  .readonly();

export type Transfer = z.infer<typeof transfer>;
export type TransferStatus = Transfer['status'];
export type Negotiation = z.infer<typeof negotiation>;
export type TransferGrant = z.infer<typeof grant>;
export type TransferDocument = z.infer<typeof document>;
export type Recipe = z.infer<typeof recipe>;
export type TimelineEntry = z.infer<typeof timelineEntry>;

/** The kind of record that a transfer is. */
export const TRANSFER = 'transfer';

/** The purpose of every credential and grant of this use case (facts §5.1). */
export const PURPOSE = 'eOverdracht-sender';

/** Parses a stored transfer. @throws ZodError when the record is none */
export function parseTransfer(state: unknown): Transfer {
  return transfer.parse(state);
}

/** The state to store. */
export function toState(of: Transfer): JsonValue {
  return of;
}

/** How a transfer is found. `open` is there as long as anything can still happen to it. */
export function recordKeys(of: Transfer): readonly RecordKey[] {
  return [
    { name: 'status', value: of.status },
    { name: 'patient', value: of.patient },
    ...(isClosed(of) ? [] : [{ name: 'open', value: 'yes' }]),
    ...of.negotiations.map((each) => ({ name: 'task', value: each.task.id, unique: true })),
    ...[...new Set(of.negotiations.map((each) => each.organization))].map((value) => ({ name: 'organization', value })),
    ...of.documents.map((each) => ({ name: 'composition', value: each.composition })),
  ];
}

/** Whether nothing can be offered, assigned or answered any more. */
export function isClosed(of: Transfer): boolean {
  return of.status === 'completed' || of.status === 'cancelled';
}

/** The negotiation with that id. */
export function negotiationOf(of: Transfer, id: string): Negotiation | undefined {
  return of.negotiations.find((each) => each.id === id);
}

/** The document with that Composition. */
export function documentOf(of: Transfer, reference: string | undefined): TransferDocument | undefined {
  return of.documents.find((each) => each.composition === reference);
}

/** A transfer with one negotiation replaced. */
export function withNegotiation(of: Transfer, changed: Negotiation): Transfer {
  return { ...of, negotiations: of.negotiations.map((each) => (each.id === changed.id ? changed : each)) };
}

/** A negotiation with one grant replaced. */
export function withGrant(of: Negotiation, changed: TransferGrant): Negotiation {
  return { ...of, grants: of.grants.map((each) => (each.id === changed.id ? changed : each)) };
}

/** The status that follows from the negotiations (facts §1.7); `cancelled` is the sender's word and stays. */
export function statusOf(of: Transfer): TransferStatus {
  if (of.negotiations.some((each) => each.status === 'completed')) return 'completed';
  if (of.status === 'cancelled') return 'cancelled';
  if (of.negotiations.some((each) => each.status === 'in-progress')) return 'assigned';
  return of.negotiations.some((each) => isOpen(each.status)) ? 'requested' : 'created';
}

/** Credentials with the same natural key say the same to the same party: (issuer, subject, purpose, exact resources); reliability §3.1. */
export function resourcesKey(resources: readonly GrantedResource[]): string {
  return resources
    .map((each) =>
      [
        each.path,
        [...each.operations]
          .map((operation) => operation.toLowerCase())
          .sort()
          .join('+'),
        String(each.userContext),
      ].join(' '),
    )
    .sort()
    .join('\n');
}
