/** What was tried and how it went: `createReport`. */
import { Unexpected } from '../../../src/sandbox/scenario/step.ts';

export interface Report {
  /** Runs one statement; one that throws has failed. @returns what it found; undefined when it failed */
  check<T>(title: string, statement: () => Promise<T>): Promise<T | undefined>;
  /** A statement that was judged elsewhere. */
  count(holds: boolean): void;
  line(text: string): void;
  /** Prints the totals. @returns whether all passed */
  close(): boolean;
}

/** A report that prints each statement as it is judged. */
export function createReport(line: (text: string) => void): Report {
  let passed = 0;
  let failed = 0;
  return {
    check: async (title, statement) => {
      try {
        const found = await statement();
        passed += 1;
        line(`pass  ${title}`);
        return found;
      } catch (error) {
        failed += 1;
        const why = error instanceof Error ? (error instanceof Unexpected ? error.message : (error.stack ?? error.message)) : '';
        line(`fail  ${title}\n      ${why.replaceAll('\n', '\n      ')}`);
        return undefined;
      }
    },
    count: (holds) => {
      if (holds) passed += 1;
      else failed += 1;
    },
    line,
    close: () => {
      line(`${passed} passed, ${failed} failed`);
      return failed === 0;
    },
  };
}
