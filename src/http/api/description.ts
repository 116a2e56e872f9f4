import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse, stringify } from 'yaml';
import { z } from 'zod';
import type { ProblemTexts } from '../problem.ts';

/** The API description: what requests are judged by, and what people read at `/docs`. */
export interface ApiDescription {
  /** The document (OpenAPI 3.1). */
  readonly document: Readonly<Record<string, unknown>>;
  /** The same as text, as `/docs/openapi.yaml` gives it. */
  readonly yaml: string;
  readonly operations: readonly DescribedOperation[];
  /** What each problem code means. */
  readonly problems: ProblemTexts;
}

/** One operation of the document. */
export interface DescribedOperation {
  readonly operationId: string;
  readonly method: string;
  /** With braces, below the server's `/api/v1`: `/tenants/{tenant}/audit`. */
  readonly path: string;
}

const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'] as const;

const operation = z.looseObject({ operationId: z.string() });
const documentSchema = z.looseObject({
  openapi: z.string().regex(/^3\.1\.\d+$/),
  paths: z.record(
    z.string().startsWith('/'),
    z.looseObject(Object.fromEntries(METHODS.map((method) => [method, operation.optional()]))),
  ),
  components: z.record(z.string(), z.record(z.string(), z.unknown())).default({}),
  tags: z.array(z.unknown()).default([]),
  'x-problem-codes': z.record(z.string().regex(/^[a-z][a-z0-9_]*$/), z.string().min(1)).default({}),
});

const ROOT_FILE = fileURLToPath(new URL('../../../openapi.yaml', import.meta.url));

/**
 * Reads the description in the root of the repository, and merges into it those of use cases from elsewhere: their `paths`, `components`,
 * `tags` and `x-problem-codes`.
 * @throws Error naming the file that is no description, or the name that two of them give
 */
export function loadApiDescription(otherFiles: readonly string[] = []): ApiDescription {
  const text = readFileSync(ROOT_FILE, 'utf8');
  if (otherFiles.length === 0) return createApiDescription([parse(text)], text);
  return createApiDescription([parse(text), ...otherFiles.map((file): unknown => parse(readFileSync(file, 'utf8')))]);
}

/** The same over documents that were read already. */
export function createApiDescription(documents: readonly unknown[], yaml?: string): ApiDescription {
  const [first, ...others] = documents.map((document) => documentSchema.parse(document));
  if (first === undefined) throw new Error('an API description needs a document');
  let whole = first;
  for (const other of others) {
    const components = { ...whole.components };
    for (const [kind, named] of Object.entries(other.components))
      components[kind] = merge(components[kind] ?? {}, named, `components.${kind}`);
    whole = {
      ...whole,
      components,
      paths: merge(whole.paths, other.paths, 'paths'),
      tags: [...whole.tags, ...other.tags],
      'x-problem-codes': { ...other['x-problem-codes'], ...whole['x-problem-codes'] },
    };
  }
  const operations = Object.entries(whole.paths).flatMap(([path, item]) =>
    METHODS.flatMap((method) => {
      const found = operation.safeParse(item[method]);
      return found.success ? [{ operationId: found.data.operationId, method: method.toUpperCase(), path }] : [];
    }),
  );
  return {
    document: whole,
    yaml: yaml ?? stringify(whole),
    operations,
    problems: new Map(Object.entries(whole['x-problem-codes'])),
  };
}

/** A route as the API mounts it: what the description must say too. */
export interface DescribedRoute {
  readonly operationId: string;
  readonly method: string;
  /** Below `/tenants/{tenant}`, with colons: `eoverdracht/transfers/:transfer`; empty for the tenant itself. */
  readonly path: string;
}

/** The path of a route as a description writes it. */
export function describedPath(route: DescribedRoute): string {
  const path = route.path.replaceAll(/:([A-Za-z]+)/g, '{$1}');
  return path === '' ? '/tenants/{tenant}' : `/tenants/{tenant}/${path}`;
}

/** Where routes and description differ, a line each: routes that are not described, and operations that nobody mounts. */
export function compareRoutes(
  routes: readonly DescribedRoute[],
  description: ApiDescription,
): { readonly undescribed: readonly string[]; readonly unmounted: readonly string[] } {
  const print = (operation: DescribedOperation): string => `${operation.method} ${operation.path} (${operation.operationId})`;
  const mounted = new Set(
    routes.map((route) => print({ operationId: route.operationId, method: route.method, path: describedPath(route) })),
  );
  const described = new Set(description.operations.map(print));
  return {
    undescribed: [...mounted].filter((line) => !described.has(line)),
    unmounted: [...described].filter((line) => !mounted.has(line)),
  };
}

function merge<T>(into: Readonly<Record<string, T>>, from: Readonly<Record<string, T>>, place: string): Record<string, T> {
  for (const name of Object.keys(from)) {
    if (Object.hasOwn(into, name)) throw new Error(`two API descriptions give ${place}.${name}`);
  }
  return { ...into, ...from };
}
