/** Prints the steps as a program of `npm run test:interop` does, and counts them: `createReport`. */
import type { Stage } from '../../../src/sandbox/scenario/print.ts';

export interface Report extends Stage {
  pass(what: string): void;
  fail(what: string, why: string): void;
  skip(what: string, why: string): void;
  counts(): { readonly passed: number; readonly failed: number; readonly skipped: number };
}

export function createReport(write: (line: string) => void): Report {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const report: Report = {
    line: (text = '') => write(text),
    act: (title) => write(`--    ${title}`),
    step: (step, { url, status, problem }) => {
      const path = url.replace(/^https?:\/\/[^/]+/, '').slice(0, 110);
      const what = `${step.who} -> ${step.whom}: ${step.method} ${path} ${String(status ?? '---')}: ${step.words}`;
      if (problem === undefined) report.pass(what);
      else report.fail(what, problem);
    },
    path: (url) => url,
    pass: (what) => {
      counts.passed += 1;
      write(`pass  ${what}`);
    },
    fail: (what, why) => {
      counts.failed += 1;
      write(`fail  ${what}\n      ${why.replaceAll('\n', '\n      ')}`);
    },
    skip: (what, why) => {
      counts.skipped += 1;
      write(`skip  ${what} (${why})`);
    },
    counts: () => counts,
  };
  return report;
}
