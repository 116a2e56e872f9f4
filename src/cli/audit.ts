import { verifyJournal } from '../audit/verify.ts';
import type { ChainBreak, VerifyResult } from '../audit/verify.ts';

/**
 * `sluis audit verify`: checks the journal in `directory` and says in words what it found.
 *
 * @param print writes one line
 * @returns the exit code: 0 intact, 1 broken, 2 could not be read
 */
export async function runAuditVerify(directory: string, print: (line: string) => void): Promise<0 | 1 | 2> {
  let result: VerifyResult;
  try {
    result = await verifyJournal(directory);
  } catch (error) {
    print(`The audit journal in ${directory} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
    print('Name the directory that the gateway writes its journal to, and run this as a user who may read it.');
    return 2;
  }
  if (result.segments === 0) {
    print(`There is no audit journal in ${directory}: no file is named like <instance>.00000001.ndjson.`);
    print('Name the directory that the gateway writes its journal to.');
    return 2;
  }
  const { records, segments, chains, instances } = result;
  print(
    `${plural(records, 'record')} in ${plural(segments, 'segment')}, ${plural(chains, 'chain')}, written by ${instances.join(', ')}.`,
  );
  for (const { file, bytes } of result.torn) {
    print(`${file}: a last write of ${plural(bytes, 'byte')} is under way, or did not finish. Nobody was promised what it held;`);
    print('  if no gateway is running, the next start sets it aside.');
  }
  printUnfinished(result, print);
  const [first, ...others] = result.breaks;
  if (first === undefined) {
    print('The chains are intact: no record was changed, removed, added or moved.');
    print('(That the newest records are missing altogether shows only against heads kept elsewhere.)');
    return 0;
  }
  print('');
  print(`BROKEN: ${describe(first)}`);
  if (others.length > 0)
    print(`${plural(others.length, 'further finding')}; later ones of the same chain may follow from the first:`);
  for (const each of others.slice(0, SHOWN)) print(`  ${describe(each)}`);
  if (others.length > SHOWN) print(`  … and ${String(others.length - SHOWN)} more`);
  print('');
  print(
    'Keep a copy of the whole directory as it is now, before anything else. Compare with a backup to see what the records said.',
  );
  return 1;
}

const SHOWN = 20;

function printUnfinished({ unfinished }: VerifyResult, print: (line: string) => void): void {
  if (unfinished.length === 0) return;
  print(
    `${plural(unfinished.length, 'intent')} without an outcome: requests under way, or cut off when the gateway died (its next start closes them):`,
  );
  for (const { tenant, sequence, correlationId, file } of unfinished.slice(0, SHOWN)) {
    print(`  tenant ${tenant}, record ${String(sequence)}, request ${correlationId} (${file})`);
  }
  if (unfinished.length > SHOWN) print(`  … and ${String(unfinished.length - SHOWN)} more`);
}

function describe(found: ChainBreak): string {
  const tenant = found.tenant === undefined ? '' : `tenant ${found.tenant}, `;
  const records =
    found.firstSequence === undefined || found.lastSequence === undefined
      ? ''
      : found.firstSequence === found.lastSequence
        ? `, record ${String(found.firstSequence)}`
        : `, records ${String(found.firstSequence)} to ${String(found.lastSequence)}`;
  const lines =
    found.firstLine === found.lastLine
      ? `line ${String(found.firstLine)}`
      : `lines ${String(found.firstLine)} to ${String(found.lastLine)}`;
  return `${found.file}, ${lines} (${tenant}instance ${found.instance}${records}): ${found.problem}`;
}

function plural(count: number, noun: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;
}
