// A scenario as data: a list of acts, each a list of requests with the answer that is expected.

/** What came back. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Uint8Array;
  /** The body as JSON; undefined when it is none. */
  readonly json: unknown;
}

/** What one step learned and a later one needs: ids, tokens, resources. */
export interface Notes {
  set(name: string, value: unknown): void;
  get(name: string): unknown;
  /** @throws Unexpected when there is no such text */
  text(name: string): string;
}

/** One request of somebody to somebody. */
export interface Step {
  readonly who: string;
  readonly whom: string;
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE' | 'HEAD';
  readonly url: (notes: Notes) => string;
  readonly headers?: (notes: Notes) => Readonly<Record<string, string>>;
  /** Sent as JSON, or as a form when it is `URLSearchParams`. */
  readonly body?: (notes: Notes) => unknown;
  /** The status that the answer must have; 4xx is a refusal that must happen. */
  readonly expect: number;
  /** What it means, for the person who reads along. */
  readonly words: string;
  /** Looks into the answer, notes what is needed later. @throws Unexpected when it is not as it must be */
  readonly check?: (answer: Answer, notes: Notes) => void;
  /** Asked again, for some seconds, until this holds: what follows from an earlier step may take a moment. */
  readonly until?: (answer: Answer, notes: Notes) => boolean;
}

export interface Act {
  readonly title: string;
  readonly steps: readonly Step[];
}

/** An answer is not what the scenario needs. */
export class Unexpected extends Error {
  override readonly name = 'Unexpected';
}

export function createNotes(): Notes {
  const values = new Map<string, unknown>();
  return {
    set: (name, value) => void values.set(name, value),
    get: (name) => values.get(name),
    text: (name) => {
      const value = values.get(name);
      if (typeof value !== 'string') throw new Unexpected(`an earlier step did not find ${name}`);
      return value;
    },
  };
}

/** The value at a path of names and indexes; undefined where there is none. */
export function at(value: unknown, ...path: readonly (string | number)[]): unknown {
  let found = value;
  for (const part of path) {
    if (typeof found !== 'object' || found === null) return undefined;
    found = Object.entries(found).find(([name]) => name === String(part))?.[1];
  }
  return found;
}

/** A text at a path. @throws Unexpected */
export function textAt(value: unknown, ...path: readonly (string | number)[]): string {
  const found = at(value, ...path);
  if (typeof found !== 'string') throw new Unexpected(`the answer has no text at ${path.join('.')}`);
  return found;
}

/** A list at a path; empty where there is none. */
export function listAt(value: unknown, ...path: readonly (string | number)[]): readonly unknown[] {
  const found = at(value, ...path);
  return Array.isArray(found) ? (found as readonly unknown[]) : [];
}

/** @throws Unexpected with `problem` unless `holds` */
export function insist(holds: boolean, problem: string): void {
  if (!holds) throw new Unexpected(problem);
}
