import { z } from 'zod';

/**
 * What a CapabilityStatement of ours may look like, by hand from capabilitystatement.html of STU3 (3.0.2) and R4 (4.0.1): every element that is required,
 * the codes of the bound value sets, no empty list or object, and no element that the version does not have. Elements that the gate never writes are absent.
 */
const text = z.string().min(1);
const code = z.string().regex(/^[^\s]+(?: [^\s]+)*$/);
const instant = z.iso.datetime({ offset: true });
const url = z.url();
const listOf = <T extends z.ZodType>(item: T) => z.array(item).min(1);

const typeInteraction = z.strictObject({
  code: z.enum(['read', 'vread', 'update', 'patch', 'delete', 'history-instance', 'history-type', 'create', 'search-type']),
  documentation: text.optional(),
});
const systemInteraction = z.strictObject({
  code: z.enum(['transaction', 'batch', 'search-system', 'history-system']),
  documentation: text.optional(),
});
const searchParam = z.strictObject({
  name: text,
  type: z.enum(['number', 'date', 'string', 'token', 'reference', 'composite', 'quantity', 'uri']),
  documentation: text.optional(),
});
const resource = z.strictObject({
  type: code,
  documentation: text.optional(),
  versioning: z.enum(['no-version', 'versioned', 'versioned-update']).optional(),
  readHistory: z.boolean().optional(),
  updateCreate: z.boolean().optional(),
  conditionalCreate: z.boolean().optional(),
  conditionalUpdate: z.boolean().optional(),
  conditionalDelete: z.enum(['not-supported', 'single', 'multiple']).optional(),
  searchInclude: listOf(text).optional(),
  searchRevInclude: listOf(text).optional(),
  searchParam: listOf(searchParam).optional(),
});
const security = (system: string) =>
  z.strictObject({
    cors: z.boolean(),
    service: listOf(
      z.strictObject({
        coding: listOf(z.strictObject({ system: z.literal(system), code: z.literal('OAuth'), display: text })),
        text: text,
      }),
    ),
    description: text,
  });
const operationOfR4 = z.strictObject({ name: text, definition: url, documentation: text.optional() });
const operationOfStu3 = z.strictObject({ name: text, definition: z.strictObject({ reference: url }) });
const statement = z.strictObject({
  resourceType: z.literal('CapabilityStatement'),
  version: text,
  status: z.enum(['draft', 'active', 'retired', 'unknown']),
  date: instant,
  kind: z.literal('instance'),
  software: z.strictObject({ name: text }),
  implementation: z.strictObject({ description: text, url }),
  format: listOf(code),
  patchFormat: listOf(code).optional(),
});
const rest = z.strictObject({
  mode: z.literal('server'),
  documentation: text.optional(),
  interaction: listOf(systemInteraction).optional(),
  searchParam: listOf(searchParam).optional(),
  compartment: listOf(url).optional(),
});

export const SHAPES = {
  STU3: statement.extend({
    fhirVersion: z.literal('3.0.2'),
    acceptUnknown: z.enum(['no', 'extensions', 'elements', 'both']),
    rest: listOf(
      rest.extend({
        security: security('http://hl7.org/fhir/restful-security-service'),
        // 1..* in STU3; operations stand at the system only.
        resource: listOf(resource.extend({ interaction: listOf(typeInteraction) })).optional(),
        operation: listOf(operationOfStu3).optional(),
      }),
    ),
  }),
  R4: statement.extend({
    fhirVersion: z.literal('4.0.1'),
    rest: listOf(
      rest.extend({
        security: security('http://terminology.hl7.org/CodeSystem/restful-security-service'),
        resource: listOf(
          resource.extend({ interaction: listOf(typeInteraction).optional(), operation: listOf(operationOfR4).optional() }),
        ).optional(),
        operation: listOf(operationOfR4).optional(),
      }),
    ),
  }),
} as const;
