import { GatewayError, isJsonObject, type JsonObject, type JsonValue } from 'sluis/usecase';

const MAX_DEPTH = 64;
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
/** Names that would mean something else to JavaScript. */
const FORBIDDEN: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

/**
 * A resource of another party, read so that no other parser reads something else in it: UTF-8 only, no repeated member, and decimals that
 * keep their precision (`1.50`) when they are printed again.
 * @throws GatewayError `upstream_failed` (`sender_answer_unreadable`); never with the content
 */
export function parseResource(bytes: Uint8Array): JsonObject {
  let value: JsonValue;
  try {
    const source = UTF8.decode(bytes);
    if (source.startsWith('\uFEFF')) throw new SyntaxError('a byte order mark');
    value = read(source);
  } catch (error) {
    // The words of a SyntaxError may hold a piece of the body.
    if (error instanceof GatewayError) throw error;
    throw unreadable('is no JSON');
  }
  if (!isJsonObject(value)) throw unreadable('is no JSON object');
  return value;
}

function read(source: string): JsonValue {
  const raw = new Set<unknown>();
  // JSON.parse hands the text of each primitive as a third argument, which its type does not know yet.
  const revive = (...[, value, context]: readonly unknown[]): unknown => {
    if (typeof value === 'string' && (!value.isWellFormed() || value.includes('\0')))
      throw unreadable('has an impossible character');
    if (typeof value !== 'number') return value;
    const written = sourceOf(context);
    if (written === undefined || String(value) === written) return value;
    const kept = JSON.rawJSON(written);
    raw.add(kept);
    return kept;
  };
  const value = JSON.parse(source, revive) as JsonValue;
  // A member that stood twice is gone by now, but its colon is not: outside of strings there is one for each member.
  const colons = source.replaceAll(/"(?:[^"\\]|\\.)*"/g, '').split(':').length - 1;
  if (colons !== countMembers(value, raw, 0)) throw unreadable('has a repeated member');
  return value;
}

function countMembers(value: JsonValue, raw: ReadonlySet<unknown>, depth: number): number {
  if (depth > MAX_DEPTH) throw unreadable('has too many levels');
  if (typeof value !== 'object' || value === null || raw.has(value)) return 0;
  if (Array.isArray(value)) {
    const items: readonly JsonValue[] = value;
    return items.reduce<number>((sum, item) => sum + countMembers(item, raw, depth + 1), 0);
  }
  if (!isJsonObject(value)) return 0;
  let count = 0;
  for (const [name, member] of Object.entries(value)) {
    if (FORBIDDEN.has(name)) throw unreadable('has a member that is not FHIR');
    count += 1 + countMembers(member, raw, depth + 1);
  }
  return count;
}

function sourceOf(context: unknown): string | undefined {
  return typeof context === 'object' && context !== null && 'source' in context && typeof context.source === 'string'
    ? context.source
    : undefined;
}

function unreadable(problem: string): GatewayError {
  return new GatewayError('upstream_failed', `the sender's answer ${problem}`, { reason: 'sender_answer_unreadable' });
}
