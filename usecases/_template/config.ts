import { z } from 'sluis/usecase';

/** A tenant's settings for this use case; strict, so that a typing mistake is an error and no default. */
const schema = z.strictObject({
  /** Whether a natural person must be proven besides the organisation. */
  userRequired: z.boolean().default(true),
});

export type TemplateConfig = z.infer<typeof schema>;

/** Parses a tenant's settings. @throws ZodError with a message per fault */
export function parseConfig(settings: unknown): TemplateConfig {
  return schema.parse(settings ?? {});
}
