import { readFileSync } from 'node:fs';
import { inspect } from 'node:util';

/** A value that prints as `[secret]` wherever it is shown by accident. */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The value itself; call it where it is used, and keep it nowhere. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return '[secret]';
  }

  toJSON(): string {
    return '[secret]';
  }

  [inspect.custom](): string {
    return '[secret]';
  }
}

/** Where a secret comes from: never a value in the YAML. */
export type SecretSource = { readonly file: string } | { readonly env: string };

/**
 * Reads a secret. One trailing line break of a file is left out.
 * @throws Error with the file's or the variable's name, never its content.
 */
export function readSecret(source: SecretSource, environment: Readonly<Record<string, string | undefined>>): Secret {
  if ('env' in source) {
    const value = environment[source.env];
    if (value === undefined || value === '') throw new Error(`the environment variable ${source.env} is not set`);
    return new Secret(value);
  }
  const value = readFileSync(source.file, 'utf8').replace(/\r?\n$/, '');
  if (value === '') throw new Error(`the file ${source.file} is empty`);
  return new Secret(value);
}
