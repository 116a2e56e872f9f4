// `npm run rules` writes what each role may ask as a table beside its use case (RULES.md), of the folders that are named or of all here; with `--check`, part
// of `npm run check`, it fails on one that is stale.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { ruleFaults } from '../src/usecase/check-rules.ts';
import { ruleTable } from '../src/usecase/rule-table.ts';
import { loadUseCases, useCaseFoldersIn } from '../src/usecase/load.ts';

const root = resolve(import.meta.dirname, '..');
const isCheck = process.argv.includes('--check');
const named = process.argv.slice(2).filter((argument) => argument !== '--check');
const folders =
  named.length > 0
    ? named.map((each) => resolve(each))
    : [...useCaseFoldersIn(join(root, 'usecases')), join(root, 'test/attack/chart')];
const stale: string[] = [];

const useCases = await loadUseCases(folders).catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : String(error));
  process.exit(1);
});
// A table of what the gateway would not start with would tell what is not so.
const faults = useCases.flatMap((useCase) => ruleFaults(useCase));
if (faults.length > 0) {
  for (const fault of faults) console.error(fault);
  process.exit(1);
}
for (const [index, useCase] of useCases.entries()) {
  const file = join(folders[index] ?? '', 'RULES.md');
  const text = await format(ruleTable(useCase), { ...(await resolveConfig(file)), parser: 'markdown' });
  if (existsSync(file) && readFileSync(file, 'utf8') === text) continue;
  if (isCheck) stale.push(relative(root, file));
  else writeFileSync(file, text);
}
for (const file of stale) console.error(`${file} does not say what the rules say: npm run rules`);
if (isCheck && stale.length === 0) console.log(`RULES.md of ${String(folders.length)} use cases say what their rules say`);
process.exitCode = stale.length === 0 ? 0 : 1;
