import { readdirSync, statSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import type { UseCase } from './definition.ts';

/** Lists that a use case may have; one under another name would be read by nobody. */
const PARTS = ['writes', 'reviews', 'filters', 'answers', 'inbound', 'api', 'jobs'] as const;

/** What a folder's `index.ts` must export by default; what is in its lists is TypeScript's to check. */
const definition = z.strictObject({
  id: z.string().regex(/^[a-z][a-z0-9-]*$/, 'must be lower-case letters, digits and hyphens'),
  title: z.string().min(1),
  roles: z.array(z.looseObject({ id: z.string().min(1), purpose: z.string().min(1) })).min(1),
  parseConfig: z.custom<unknown>((value) => typeof value === 'function', 'must be a function'),
  decide: z.custom<unknown>((value) => typeof value === 'function', 'must be a function'),
  ...Object.fromEntries(PARTS.map((part) => [part, z.array(z.unknown()).optional()])),
});

/** The folders of use cases directly below `parent`; those that begin with `_` or `.` are not for loading. */
export function useCaseFoldersIn(parent: string): readonly string[] {
  return readdirSync(parent)
    .filter((name) => /^[a-z]/.test(name) && statSync(join(parent, name)).isDirectory())
    .sort()
    .map((name) => join(parent, name));
}

/**
 * Loads use cases from folders, each with an `index.ts` (or `index.js`) whose default export is made by `defineUseCase`.
 * @throws Error naming the folder and what is wrong with it.
 */
export async function loadUseCases(folders: readonly string[]): Promise<readonly UseCase[]> {
  resolveContractEverywhere();
  const loaded: UseCase[] = [];
  for (const folder of folders) loaded.push(await loadUseCase(folder));
  return loaded;
}

async function loadUseCase(folder: string): Promise<UseCase> {
  const entry = ['index.ts', 'index.js']
    .map((name) => join(folder, name))
    .find((path) => statSync(path, { throwIfNoEntry: false })?.isFile());
  if (entry === undefined) throw new Error(`the use case folder ${folder} has no index.ts or index.js`);
  const module = (await import(pathToFileURL(entry).href)) as { readonly default?: unknown };
  const parsed = definition.safeParse(module.default);
  if (!parsed.success) {
    const faults = parsed.error.issues.map(({ path, message, code }) => {
      const allowed = code === 'unrecognized_keys' ? `; there are ${Object.keys(definition.shape).join(' ')}` : '';
      return `${path.join('.') || 'default export'}: ${message}${allowed}`;
    });
    throw new Error(`${entry} does not export a use case (export default defineUseCase({…})): ${faults.join('; ')}`);
  }
  if (parsed.data.id !== basename(folder)) {
    throw new Error(`the use case in ${folder} calls itself ${parsed.data.id}; the id must be the folder's name`);
  }
  return module.default as UseCase;
}

let resolving = false;

/** A use case in a plain folder outside the repository imports the contract by the same name, `sluis/usecase`. */
function resolveContractEverywhere(): void {
  if (resolving) return;
  resolving = true;
  const contract = new URL('./index.ts', import.meta.url).href;
  registerHooks({
    resolve: (specifier, context, next) =>
      specifier === 'sluis/usecase' ? { url: contract, shortCircuit: true } : next(specifier, context),
  });
}
