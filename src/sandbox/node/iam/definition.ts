/** Presentation Exchange v2 as a node supports it: `definitionSchema`, `submissionSchema`, the files with them, and their types (facts §8.1). */
import { z } from 'zod';

const filterSchema = z.looseObject({
  type: z.enum(['string', 'number', 'boolean', 'array']),
  const: z.unknown().optional(),
  enum: z.array(z.unknown()).optional(),
  pattern: z.string().optional(),
});

const fieldSchema = z.looseObject({
  id: z.string().optional(),
  path: z.array(z.string()).min(1),
  optional: z.boolean().optional(),
  filter: filterSchema.optional(),
});

const formatSchema = z.record(z.string(), z.unknown());

const descriptorSchema = z.looseObject({
  id: z.string(),
  group: z.array(z.string()).optional(),
  format: formatSchema.optional(),
  constraints: z.looseObject({ fields: z.array(fieldSchema).default([]) }).optional(),
});

const requirementSchema = z.looseObject({
  rule: z.enum(['all', 'pick']),
  from: z.string(),
  count: z.int().optional(),
  min: z.int().optional(),
  max: z.int().optional(),
});

export const definitionSchema = z.looseObject({
  id: z.string(),
  format: formatSchema.optional(),
  input_descriptors: z.array(descriptorSchema),
  submission_requirements: z.array(requirementSchema).optional(),
});

export const submissionSchema = z.looseObject({
  id: z.string(),
  definition_id: z.string(),
  descriptor_map: z.array(z.looseObject({ id: z.string(), format: z.string(), path: z.string() })),
});

/** A policy file: scope to definitions. */
export const policySchema = z.record(
  z.string(),
  z.looseObject({ organization: definitionSchema.optional(), user: definitionSchema.optional() }),
);

/** A definition file of a discovery service (facts §5.3). */
export const discoverySchema = z.looseObject({
  id: z.string(),
  endpoint: z.string(),
  /** Seconds. */
  presentation_max_validity: z.number(),
  presentation_definition: definitionSchema,
});

export type Filter = z.infer<typeof filterSchema>;
export type Field = z.infer<typeof fieldSchema>;
export type Descriptor = z.infer<typeof descriptorSchema>;
export type Definition = z.infer<typeof definitionSchema>;
export type Submission = z.infer<typeof submissionSchema>;
export type DiscoveryDefinition = z.infer<typeof discoverySchema>;
