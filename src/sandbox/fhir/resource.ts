/*
 * Resources as the simulated FHIR server keeps them: parsed JSON of either version, whose elements nobody here knows by type.
 */
import { z } from 'zod';

/** Any FHIR resource with an id, as JSON. */
export interface Resource {
  readonly resourceType: string;
  readonly id: string;
  readonly meta?: Readonly<Record<string, unknown>>;
  readonly [element: string]: unknown;
}

const draftSchema = z.looseObject({
  resourceType: z.string().regex(/^[A-Z][A-Za-z]+$/),
  id: z.string().optional(),
  meta: z.looseObject({}).optional(),
});

/** What a client sends: a resource that may lack an id. */
export type Draft = z.infer<typeof draftSchema>;

const resourceSchema = draftSchema
  .extend({ id: z.string() })
  .transform(({ meta, ...rest }): Resource => (meta === undefined ? rest : { ...rest, meta }));

/** A resource without an id, or `undefined` for what is none. */
export function parseDraft(value: unknown): Draft | undefined {
  const result = draftSchema.safeParse(value);
  return result.success ? result.data : undefined;
}

/** A whole resource with its id; throws a ZodError for what is none. */
export function parseResource(value: unknown): Resource {
  return resourceSchema.parse(value);
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `Type/id` of a local, relative reference, with or without a version; `undefined` for absolute, contained and logical ones. */
export function localReference(reference: string): string | undefined {
  return /^([A-Z][A-Za-z]+\/[A-Za-z0-9\-.]{1,64})(\/_history\/[A-Za-z0-9\-.]+)?$/.exec(reference)?.[1];
}

/** Every literal `reference` in an element and below it, in document order, with repetitions. */
export function references(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(references);
  if (!isObject(value)) return [];
  return Object.entries(value).flatMap(([key, part]) =>
    key === 'reference' && typeof part === 'string' ? [part] : references(part),
  );
}

/** The values at a dotted path of element names; lists on the way are flattened. */
export function valuesAt(value: unknown, path: string): unknown[] {
  return path
    .split('.')
    .reduce<unknown[]>(
      (found, name) => found.flatMap((item) => (isObject(item) ? [item[name]].flat() : [])).filter((item) => item !== undefined),
      [value],
    );
}
