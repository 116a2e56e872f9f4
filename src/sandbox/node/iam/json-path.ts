/** The part of JSONPath that presentation definitions use: `$.a.b[0]["c"]` and `[*]`. */
import { isObject } from '../json.ts';
import { NodeProblem } from '../problem.ts';

const STEP = /\.([A-Za-z_@][\w@-]*)|\[(\d+)\]|\["([^"]*)"\]|(\[\*\]|\.\*)/y;

/** What `path` leads to, `undefined` when nothing. Throws 500 for a path that is not understood, as a node does when it matches. */
export function valueAt(root: unknown, path: string): unknown {
  if (!path.startsWith('$')) throw new NodeProblem(500, `invalid JSON path: ${path}`);
  let at = root;
  STEP.lastIndex = 1;
  while (STEP.lastIndex < path.length) {
    const from = STEP.lastIndex;
    const step = STEP.exec(path);
    if (step === null) throw new NodeProblem(500, `invalid JSON path: ${path.slice(from)}`);
    const [, name, index, quoted, all] = step;
    const key = name ?? quoted;
    if (key !== undefined) at = isObject(at) && Object.hasOwn(at, key) ? at[key] : undefined;
    else if (index !== undefined) at = Array.isArray(at) ? (at as readonly unknown[])[Number(index)] : undefined;
    else if (all !== undefined) at = Array.isArray(at) ? at : isObject(at) ? Object.values(at) : undefined;
    if (at === undefined) return undefined;
  }
  return at;
}
