import type { Step } from './step.ts';

/** Where a scenario is printed. */
export interface Stage {
  line(text?: string): void;
  act(title: string): void;
  step(step: Step, result: { readonly url: string; readonly status?: number; readonly problem?: string }): void;
  /** A URL's path, short enough to read. */
  path(url: string): string;
}

const WHO_WIDTH = 19;
const WHOM_WIDTH = 19;
const PATH_WIDTH = 62;

/** A stage that writes aligned lines; with colours when asked. */
export function createStage(write: (line: string) => void, colours: boolean): Stage {
  const paint = (code: number, text: string): string => (colours ? `\u001b[${code}m${text}\u001b[0m` : text);
  return {
    line: (text = '') => write(text),
    act: (title) => {
      write('');
      write(paint(1, title));
    },
    step: (step, { url, status, problem }) => {
      const { label, colour } = judge(step, problem);
      const path = shorten(url, PATH_WIDTH);
      const columns = [
        step.who.padEnd(WHO_WIDTH),
        '→',
        step.whom.padEnd(WHOM_WIDTH),
        step.method.padEnd(4),
        path.padEnd(PATH_WIDTH),
        paint(colour, `${String(status ?? '---')} ${label.padEnd(7)}`),
        step.words,
      ];
      write(`  ${columns.join(' ')}`);
      if (problem !== undefined) write(paint(31, `      ${problem}`));
    },
    path: (url) => shorten(url, 200),
  };
}

function judge(step: Step, problem: string | undefined): { readonly label: string; readonly colour: number } {
  if (problem !== undefined) return { label: 'WRONG', colour: 31 };
  return step.expect >= 400 ? { label: 'refused', colour: 33 } : { label: 'ok', colour: 32 };
}

/** Path and query, with ids cut to their first characters. */
function shorten(url: string, width: number): string {
  const path = url.replace(/^https?:\/\/[^/]+/, '');
  const short = path
    .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, (id) => `${id.slice(0, 4)}…`)
    .replaceAll(/[0-9a-f]{32}/g, (id) => `${id.slice(0, 4)}…`)
    .replaceAll(/did(?::|%3A)nuts(?::|%3A)([1-9A-HJ-NP-Za-km-z]{4})[1-9A-HJ-NP-Za-km-z]+/g, 'did:nuts:$1…')
    // Whose API it is stands in the line already.
    .replace(/^\/api\/v1\/tenants\/[^/]+/, '/api/v1/…');
  return short.length <= width ? short : `${short.slice(0, width - 1)}…`;
}
