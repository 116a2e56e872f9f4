import { LineCounter, parseDocument, isMap, type Document } from 'yaml';

/** One fault of the configuration, in the words in which it is printed. */
export interface ConfigProblem {
  /** `public.port`, `tenants.ziekenhuis-oost.node.url`, or the name of an environment variable. */
  readonly key: string;
  readonly problem: string;
  /** Line in the file, when the key stands there. */
  readonly line?: number;
}

/** The configuration does not hold; every fault is listed. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly ConfigProblem[];

  constructor(file: string, problems: readonly ConfigProblem[]) {
    const lines = problems.map(
      ({ key, problem, line }) => `  ${line === undefined ? file : `${file}:${line}`}  ${key}: ${problem}`,
    );
    super([`The configuration has ${problems.length === 1 ? 'a fault' : `${problems.length} faults`}:`, ...lines].join('\n'));
    this.problems = problems;
  }
}

/** The file's content with a way back to the line of a key. */
export interface ConfigSource {
  readonly settings: Record<string, unknown>;
  readonly lineOf: (path: readonly PropertyKey[]) => number | undefined;
}

/**
 * Reads YAML, strictly: duplicate keys are refused, and there is no `${}` expansion of any kind.
 * @throws ConfigError
 */
export function readSource(file: string, text: string): ConfigSource {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true, strict: true, version: '1.2' });
  if (document.errors.length > 0) {
    throw new ConfigError(
      file,
      document.errors.map((error) => ({
        key: 'YAML',
        problem: error.message.split('\n')[0] ?? 'cannot be read',
        line: lines.linePos(error.pos[0]).line,
      })),
    );
  }
  const settings: unknown = document.toJS({ maxAliasCount: 100 });
  if (settings === null || typeof settings !== 'object' || Array.isArray(settings)) {
    throw new ConfigError(file, [{ key: 'YAML', problem: 'must be a mapping of keys and values' }]);
  }
  return { settings: { ...settings }, lineOf: (path) => lineOf(document, lines, path) };
}

/** The line of the longest part of the path that stands in the file. */
function lineOf(document: Document, lines: LineCounter, path: readonly PropertyKey[]): number | undefined {
  for (let length = path.length; length > 0; length--) {
    const parent: unknown = length === 1 ? document.contents : document.getIn(path.slice(0, length - 1), true);
    const last = path[length - 1];
    if (isMap(parent)) {
      for (const pair of parent.items) {
        const key: unknown = pair.key;
        if (isScalarLike(key) && key.value === last && key.range) return lines.linePos(key.range[0]).line;
      }
    }
  }
  return undefined;
}

function isScalarLike(
  node: unknown,
): node is { readonly value: unknown; readonly range?: readonly [number, number, number] | null } {
  return typeof node === 'object' && node !== null && 'value' in node;
}
