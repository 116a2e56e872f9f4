/** What a run prints: a line per class, a block per failure, and the count at the end. */
export interface Report {
  begin(group: string): void;
  result(id: string, title: string, problems: readonly string[]): void;
  end(): void;
  waiting(id: string, why: string): void;
  skipped(id: string, why: string): void;
  /** The server behind the gate refuses what is legal: neither passed nor failed. */
  refused(id: string, what: string): void;
  /** @returns whether nothing failed */
  finish(): boolean;
}

export function createReport(json: boolean): Report {
  const failures: { readonly id: string; readonly title: string; readonly problems: readonly string[] }[] = [];
  const waits: { readonly id: string; readonly why: string }[] = [];
  const refusals: { readonly id: string; readonly what: string }[] = [];
  const skips: { readonly id: string; readonly why: string }[] = [];
  let passed = 0;
  let group = '';
  let [ofGroup, badOfGroup, startedMs] = [0, 0, 0];
  const say = (line: string): void => {
    if (!json) console.log(line);
  };

  return {
    begin: (name) => {
      group = name;
      [ofGroup, badOfGroup, startedMs] = [0, 0, performance.now()];
    },
    result: (id, title, problems) => {
      ofGroup += 1;
      if (problems.length === 0) {
        passed += 1;
        return;
      }
      badOfGroup += 1;
      failures.push({ id, title, problems });
      say(`  FAILED ${id}: ${title}`);
      for (const problem of problems) say(`    ${problem}`);
    },
    end: () => {
      const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
      if (ofGroup > 0) say(`${group.padEnd(12)} ${ofGroup - badOfGroup} of ${ofGroup} (${seconds} s)`);
    },
    waiting: (id, why) => {
      waits.push({ id, why });
      say(`  waiting ${id}: ${why}`);
    },
    skipped: (id, why) => {
      skips.push({ id, why });
    },
    refused: (id, what) => {
      refusals.push({ id, what });
      say(`  refused by the FHIR server ${id}: ${what}`);
    },
    finish: () => {
      if (json)
        console.log(
          JSON.stringify({ passed, failed: failures.length, failures, waiting: waits, refused: refusals, skipped: skips }),
        );
      if (skips.length > 0) say(`${skips.length} skipped: they need an inside view`);
      if (refusals.length > 0) say(`${refusals.length} refused by the FHIR server, although they are legal`);
      if (waits.length > 0) say(`${waits.length} waiting`);
      say(`${passed} passed, ${failures.length} failed`);
      return failures.length === 0;
    },
  };
}
