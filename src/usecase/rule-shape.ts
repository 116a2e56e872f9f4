import { z } from 'zod';
import { isId } from '../fhir/version.ts';

// A use case outside the repository is seen by no compiler, and types are stripped: a condition under a mistyped name would be no condition. So the shape of
// roles and rules is closed here, at the door.

const KINDS = [
  'read',
  'vread',
  'update',
  'patch',
  'delete',
  'history-instance',
  'history-type',
  'history-system',
  'create',
  'search-type',
  'search-system',
  'search-compartment',
  'capabilities',
  'options',
  'bundle',
  'operation-instance',
  'operation-type',
  'operation-system',
  'conditional-create',
  'conditional-update',
  'conditional-patch',
  'conditional-delete',
] as const;

const text = z.string().min(1);
const texts = z.array(text);
const optional = z.literal(true).optional();
const pattern = z.instanceof(RegExp);

const parameter = z.union(
  [
    z.strictObject({ any: z.literal(true), optional }),
    z.strictObject({ oneOf: texts, optional }),
    z.strictObject({ subsetOf: texts, optional }),
    z.strictObject({ equals: z.array(texts), optional }),
    z.strictObject({ pattern, optional }),
    z.strictObject({ range: z.tuple([z.int(), z.int()]), optional }),
  ],
  'must be exactly one of any, oneOf, subsetOf, equals, pattern, range, and perhaps optional: true',
);

const include = z.strictObject({ match: z.enum(['exact', 'subset']), values: texts, types: texts });

const is = z
  .array(z.string().refine((each) => each.startsWith('Patient/') && isId(each.slice('Patient/'.length)), 'must be Patient/[id]'))
  .min(1)
  .optional();
const patient = z.discriminatedUnion('from', [
  z.strictObject({ from: z.literal('path'), is }),
  z.strictObject({ from: z.literal('parameter'), parameters: texts, element: text, is }),
  z.strictObject({ from: z.literal('body'), element: text, is }),
  z.strictObject({ from: z.literal('look-up'), element: text, is }),
  z.strictObject({ from: z.literal('grant'), is }),
]);

const rule = z.strictObject({
  id: text,
  title: text.optional(),
  interaction: z.enum(KINDS),
  types: texts,
  operation: z.string().optional(),
  methods: z.array(z.enum(['GET', 'POST'])).optional(),
  instance: z.union([z.literal('granted'), texts.min(1)], 'must be granted, or a list of ids').optional(),
  parameters: z.record(text, parameter).optional(),
  includes: include.optional(),
  revincludes: include.optional(),
  patient: patient.optional(),
  user: z.enum(['required', 'forbidden']).optional(),
  narrow: z
    .array(z.strictObject({ parameter: text, with: z.union([z.literal('patient'), texts.min(1)]), element: z.string() }))
    .optional(),
  maxCount: z.number().optional(),
  ifMatch: z.literal('required').optional(),
  obligations: z.array(z.looseObject({ kind: text })).optional(),
});

const role = z.strictObject({
  id: text,
  // That it says something is the loader's to check, with the folder's name.
  purpose: z.string(),
  scopes: texts,
  fhirVersion: z.enum(['STU3', 'R4']),
  claims: z
    .record(
      text,
      z.strictObject({
        type: z.enum(['string', 'string-list', 'number', 'boolean']),
        required: optional,
        pattern: pattern.optional(),
      }),
    )
    .optional(),
  organization: z.strictObject({ id: text, name: text.optional(), ura: text.optional() }).optional(),
  user: z.strictObject({ id: text, name: text, role: text.optional() }).optional(),
  proof: z.literal('required').optional(),
  judgesSelf: z.boolean().optional(),
  rules: z.array(z.unknown()),
});

/** What is wrong with the shape of a role, its rules aside: an unknown field, a wrong value. */
export function roleShapeFaults(value: unknown): readonly string[] {
  return faultsOf(role.safeParse(value), Object.keys(role.shape));
}

/** The same of one rule. */
export function ruleShapeFaults(value: unknown): readonly string[] {
  return faultsOf(rule.safeParse(value), Object.keys(rule.shape));
}

/** @param fields those that there are at the top */
function faultsOf(parsed: z.ZodSafeParseResult<unknown>, fields: readonly string[]): readonly string[] {
  if (parsed.success) return [];
  return parsed.error.issues.map(({ path, message, code }) => {
    const allowed = code === 'unrecognized_keys' && path.length === 0 ? `; there are ${fields.join(' ')}` : '';
    return `${path.join('.')}: ${message}${allowed}`.replace(/^: /, '');
  });
}
