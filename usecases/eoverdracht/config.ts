import { z } from 'sluis/usecase';

const seconds = z.number().int().positive();

/** A tenant's settings for eOverdracht. Every one has a default; an unknown key is an error, so that a typing mistake is not a default. */
const schema = z.strictObject({
  /** Whether a receiver may withdraw by setting its Task to `cancelled`: Nictiz lets it, the Bolt is silent (facts §2.7 note 1). */
  receiverMayCancel: z.boolean().default(true),
  /** Which coding comes first in `type.coding`: software of 2021 looks at the first one only (facts §2.5). */
  codingOrder: z.enum(['new-first', 'old-first']).default('new-first'),
  /** Life of the credential for the Task (Bolt §6.2.1.1: one year). */
  taskCredentialDays: z.number().int().min(5).max(400).default(365),
  /** Life of a credential for medical data; renewed while the Task is open (Bolt §4.2.7: at least 5 days). */
  medicalCredentialDays: z.number().int().min(5).max(365).default(30),
  /** A medical credential is renewed when it has fewer days left than this. */
  renewBeforeDays: z.number().int().min(1).max(30).default(5),
  /** The level of assurance that reading medical data needs. */
  assuranceLevel: z.enum(['low', 'substantial', 'high']).default('low'),
  /** Whether `/task/1` in a credential counts as `/Task/1` (material of 2021 issues such paths; facts §5.7). */
  lenientTypeCase: z.boolean().default(false),
  /** Whether the tenant's own organisation may ask, or be offered a transfer (RFC003 §6.2). */
  allowSelf: z.boolean().default(false),
  notification: z
    .strictObject({
      /** Waits between attempts; the last one repeats (facts §4.4). */
      scheduleSeconds: z.array(seconds).min(1).default([1, 5, 30, 120, 600, 3600]),
      giveUpAfterHours: z.number().int().positive().default(48),
      /** Attempts when the receiver says that the notification is wrong (400, 403, 404, 405, 410). */
      refusedAttempts: z.number().int().positive().default(3),
    })
    .prefault({}),
  collect: z
    .strictObject({
      /** How far references are followed from the Composition (facts §3.6). */
      depth: z.number().int().min(1).max(6).default(3),
      /** More resources than this in one document is an error. */
      maxResources: z.number().int().min(1).max(2000).default(500),
    })
    .prefault({}),
  /** Moments after the end of a transfer at which it is proven that no credential for medical data is alive (reliability §3.1 rule 7). */
  sweepClosedAfterSeconds: z.array(seconds).min(1).default([60, 600, 3600, 86_400]),
});

/** A tenant's settings for eOverdracht, parsed. */
export type EOverdrachtConfig = z.infer<typeof schema>;

/** Parses a tenant's settings. @throws ZodError with a message per fault */
export function parseConfig(settings: unknown): EOverdrachtConfig {
  return schema.parse(settings ?? {});
}
