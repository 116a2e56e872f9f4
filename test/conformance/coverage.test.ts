import { describe, expect, it } from '@jest/globals';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

// The list in README.md cannot rot: every test that it names exists under that title, and every statement is there once.

const root = join(import.meta.dirname, '../..');
const readme = readFileSync(join(import.meta.dirname, 'README.md'), 'utf8');

interface Statement {
  readonly number: number;
  readonly text: string;
  readonly tests: readonly { readonly file: string; readonly title: string }[];
  /** Why nothing shows it yet. */
  readonly open?: string;
}

const statements = readme.split('\n').flatMap(parseRow);

/** `| 7 | statement | `file`: title<br>`file`: title |`, or `**open**: reason` in the last cell (alone, or after tests that show a part). */
function parseRow(line: string): readonly Statement[] {
  const row = /^\| (\d+) \| (.+?) \| (.+) \|$/.exec(line);
  if (row === null) return [];
  const [, number = '', text = '', cell = ''] = row;
  const parts = cell.replaceAll('\\|', '|').split('<br>');
  const open = parts.find((part) => part.startsWith('**open**: '))?.slice('**open**: '.length);
  const tests = parts
    .filter((part) => !part.startsWith('**open**: '))
    .map((part) => {
      const named = /^`([^`]+)`: (.+)$/.exec(part);
      if (named === null) throw new Error(`statement ${number}: cannot read ${part}`);
      return { file: named[1] ?? '', title: named[2] ?? '' };
    });
  return [{ number: Number(number), text, tests, ...(open === undefined ? {} : { open }) }];
}

/** Whether the file has a test, or a table of tests, with exactly this title. */
function hasTest(file: string, title: string): boolean {
  const path = join(root, file);
  if (!existsSync(path)) return false;
  const source = readFileSync(path, 'utf8');
  const quoted = ["'", '"', '`'].map((quote) => quote + title.replaceAll('\\', '\\\\').replaceAll(quote, `\\${quote}`) + quote);
  return quoted.some((literal) => {
    for (let at = source.indexOf(literal); at >= 0; at = source.indexOf(literal, at + 1)) {
      // The first argument of a call, and not the last: `it('…', async () => …`.
      if (/\(\s*$/.test(source.slice(0, at)) && /^\s*,/.test(source.slice(at + literal.length))) return true;
    }
    return false;
  });
}

/** The numbers that a title claims for itself: `(check 7)`, `(checks 11, 12)`. */
function claimed(title: string): readonly number[] | undefined {
  const claims = [...title.matchAll(/\(checks? ([\d, ]+)\)/g)].flatMap(([, numbers = '']) => numbers.split(',').map(Number));
  return claims.length === 0 ? undefined : claims;
}

describe('the list of the 100 statements', () => {
  it('has each of them once, in order', () => {
    expect(statements.map(({ number }) => number)).toEqual(Array.from({ length: 100 }, (_, index) => index + 1));
  });

  it('names for each a test, or says why there is none', () => {
    for (const { number, tests, open } of statements) {
      expect({ number, answered: tests.length > 0 || (open !== undefined && open.length > 10) }).toEqual({
        number,
        answered: true,
      });
    }
  });

  it('counts what is shown', () => {
    const shown = statements.filter(({ open }) => open === undefined).length;
    expect(readme).toContain(`**${shown} of the 100 are shown.**`);
  });

  it('would not take a test that is not there', () => {
    expect(hasTest('test/conformance/coverage.test.ts', 'counts what is shown')).toBe(true);
    expect(hasTest('test/conformance/coverage.test.ts', 'counts what is shown'.slice(0, -1))).toBe(false);
    expect(hasTest('test/conformance/no-such.test.ts', 'counts what is shown')).toBe(false);
  });

  const named = statements.flatMap(({ number, tests }) => tests.map(({ file, title }) => [number, file, title] as const));

  it.each(named)('%i: %s has the test "%s"', (number, file, title) => {
    expect(file).toMatch(/^(test|usecases)\/.+\.test\.ts$/);
    expect(hasTest(file, title)).toBe(true);
    expect(claimed(title) ?? [number]).toContain(number);
  });
});
