import { STATUS_CODES } from 'node:http';
import type { z } from 'zod';

/** Why the control API did not do what it was asked. */
export class ControlProblem extends Error {
  override readonly name = 'ControlProblem';
  readonly status: number;
  readonly fields: readonly ControlField[];
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    detail: string,
    more: { readonly fields?: readonly ControlField[]; readonly headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(detail);
    this.status = status;
    this.fields = more.fields ?? [];
    this.headers = more.headers ?? {};
  }
}

/** An input that is wrong, and what is allowed. */
export interface ControlField {
  readonly field: string;
  readonly problem: string;
}

/** The body of `application/problem+json`. */
export function problemBody({ status, message, fields }: ControlProblem): object {
  return {
    title: STATUS_CODES[status] ?? 'Error',
    status,
    detail: message,
    ...(fields.length === 0 ? {} : { fields }),
  };
}

/** One wrong input: 400. */
export function wrong(field: string, problem: string): ControlProblem {
  return new ControlProblem(400, `${field} ${problem}`, { fields: [{ field, problem }] });
}

/** Everything that a body has wrong: 400. `known` are the fields that there are. */
export function bodyProblem(error: z.ZodError, known: readonly string[]): ControlProblem {
  const fields = error.issues.flatMap((issue) => {
    if (issue.code !== 'unrecognized_keys') return [{ field: pathOf(issue.path), problem: issue.message }];
    const place = issue.path.length === 0 ? `; known are ${known.join(', ')}` : '';
    return issue.keys.map((key) => ({ field: pathOf([...issue.path, key]), problem: `is not known here${place}` }));
  });
  return new ControlProblem(400, fields.map(({ field, problem }) => `${field}: ${problem}`).join('; '), { fields });
}

function pathOf(path: readonly PropertyKey[]): string {
  const text = path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('');
  return text === '' ? 'body' : text.replace(/^\./, '');
}
