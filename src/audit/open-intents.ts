import type { OpenIntent } from './recover.ts';

/** The intents that have no outcome yet, by tenant, correlation id and part. */
export interface OpenIntents {
  add(tenant: string, key: IntentKey, sequence: number, segment: number): void;
  /** The newest open intent of this key. */
  find(tenant: string, key: IntentKey): OpenEntry | undefined;
  /** Closes one that `find` gave. */
  remove(entry: OpenEntry): void;
  size(): number;
  has(tenant: string, sequence: number): boolean;
  /** The oldest segment that holds one, or `otherwise`. */
  oldestSegment(otherwise: number): number;
}

export interface IntentKey {
  readonly correlationId: string;
  readonly part?: string;
}

export interface OpenEntry extends IntentKey {
  readonly tenant: string;
  readonly sequence: number;
  readonly segment: number;
}

interface Open extends OpenEntry {
  readonly part: string;
  /** Others of the same correlation id: parts of one request, and what a caller that repeats one id may bring about. Newest first. */
  older: Open | undefined;
}

export function createOpenIntents(recovered: readonly OpenIntent[]): OpenIntents {
  // By correlation id alone: it is there already, and its hash with it. A key put together from three would be made anew each time.
  const open = new Map<string, Open>();
  let size = 0;

  function add(tenant: string, { correlationId, part = '' }: IntentKey, sequence: number, segment: number): void {
    open.set(correlationId, { correlationId, part, tenant, sequence, segment, older: open.get(correlationId) });
    size += 1;
  }

  for (const intent of recovered) add(intent.tenant, intent, intent.sequence, intent.segment);

  function* all(): Generator<Open> {
    for (const newest of open.values()) {
      for (let each: Open | undefined = newest; each !== undefined; each = each.older) yield each;
    }
  }

  return {
    add,
    find: (tenant, { correlationId, part = '' }) => {
      for (let each = open.get(correlationId); each !== undefined; each = each.older) {
        if (each.tenant === tenant && each.part === part) return each;
      }
      return undefined;
    },
    remove: (entry) => {
      const { correlationId } = entry;
      let newer: Open | undefined;
      for (let each = open.get(correlationId); each !== undefined; newer = each, each = each.older) {
        if (each !== entry) continue;
        size -= 1;
        if (newer !== undefined) newer.older = each.older;
        else if (each.older !== undefined) open.set(correlationId, each.older);
        else open.delete(correlationId);
        return;
      }
    },
    size: () => size,
    has: (tenant, sequence) => {
      for (const each of all()) if (each.sequence === sequence && each.tenant === tenant) return true;
      return false;
    },
    oldestSegment: (otherwise) => {
      let oldest = otherwise;
      for (const each of all()) oldest = Math.min(oldest, each.segment);
      return oldest;
    },
  };
}
