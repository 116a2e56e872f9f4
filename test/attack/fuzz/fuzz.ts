import type { FuzzArguments } from '../run/arguments.ts';

/** @throws Error always: it comes with the next commit */
export function runFuzzer({ count }: FuzzArguments): Promise<boolean> {
  return Promise.reject(new Error(`no fuzzer yet for ${count} mutants`));
}
