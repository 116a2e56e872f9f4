import { Skipped } from '../../contract/nuts/statements.ts';

interface Runnable<Peers> {
  readonly id: string;
  readonly title: string;
  run(peers: Peers): Promise<void>;
}

export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** Runs contract statements one after the other, prints a line for each, and counts them. */
export async function runStatements<Peers>(statements: readonly Runnable<Peers>[], peers: Peers): Promise<Counts> {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const { id, title, run } of statements) {
    try {
      await run(peers);
      counts.passed += 1;
      console.log(`pass  ${id}: ${title}`);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      if (error instanceof Skipped) {
        counts.skipped += 1;
        console.log(`skip  ${id}: ${title} (${why})`);
      } else {
        counts.failed += 1;
        console.log(`fail  ${id}: ${title}\n      ${why.replaceAll('\n', '\n      ')}`);
      }
    }
  }
  return counts;
}
