/** Recorded exchanges and how an answer is compared with one: `readRecorded`, `compared`. */
import { readFileSync } from 'node:fs';

import { z } from 'zod';

const exchangesSchema = z.array(
  z.looseObject({
    name: z.string(),
    response: z
      .object({ status: z.number().nullable(), headers: z.array(z.tuple([z.string(), z.string()])), body: z.string().nullish() })
      .optional(),
  }),
);

/** What is compared of a body: objects by key, lists by their first entry, leaves by type. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? [] : [shapeOf(value[0])];
  if (typeof value !== 'object') return typeof value;
  if (value === null) return null;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, shapeOf(member)]));
}

/** Identifiers are of one run. */
function withoutIds(text: string): string {
  return text
    .replaceAll(/did:nuts:[A-Za-z0-9]{30,}|did:web:[\w.%-]+:iam:[0-9a-f-]{36}/g, '<did>')
    .replaceAll(/http:\/\/(?:localhost|127\.0\.0\.1)(?::\d+)?/g, '<node>')
    .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '<uuid>')
    .replaceAll(/offset=\d+/g, 'offset=<n>');
}

/** An answer as it is compared. */
export interface Compared {
  readonly status: number;
  readonly type: string;
  readonly body: unknown;
}

/** Problems word for word, other bodies by shape. */
export function compared(status: number, type: string, text: string): Compared {
  if (type === 'application/problem+json') return { status, type, body: withoutIds(text) };
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    body = text === '' ? '' : 'text';
  }
  return { status, type, body: shapeOf(body) };
}

/** The first answer of each name in a file of recorded exchanges. */
export function readRecorded(file: string): ReadonlyMap<string, Compared> {
  const recorded = new Map<string, Compared>();
  for (const { name, response } of exchangesSchema.parse(JSON.parse(readFileSync(file, 'utf8')))) {
    // Without a status the connection ended without an answer.
    if (response?.status == null || recorded.has(name)) continue;
    const type = response.headers.find(([header]) => header.toLowerCase() === 'content-type')?.[1] ?? '';
    recorded.set(name, compared(response.status, type, response.body ?? ''));
  }
  return recorded;
}
