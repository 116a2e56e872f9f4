import type { OpenIntent } from './recover.ts';

/** The intents that have no outcome yet, by tenant, correlation id and part. */
export interface OpenIntents {
  add(tenant: string, key: IntentKey, sequence: number, segment: number): void;
  /** The newest open intent of this key. */
  find(tenant: string, key: IntentKey): { readonly sequence: number; readonly segment: number } | undefined;
  remove(tenant: string, key: IntentKey): void;
  size(): number;
  has(tenant: string, sequence: number): boolean;
  /** The oldest segment that holds one, or `otherwise`. */
  oldestSegment(otherwise: number): number;
}

export interface IntentKey {
  readonly correlationId: string;
  readonly part?: string;
}

interface Open {
  readonly tenant: string;
  readonly sequence: number;
  readonly segment: number;
  /** An older one of the same key: a caller that repeats its correlation id. */
  readonly older: Open | undefined;
}

export function createOpenIntents(recovered: readonly OpenIntent[]): OpenIntents {
  const open = new Map<string, Open>();
  let size = 0;

  function add(tenant: string, key: IntentKey, sequence: number, segment: number): void {
    const name = nameOf(tenant, key);
    open.set(name, { tenant, sequence, segment, older: open.get(name) });
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
    find: (tenant, key) => open.get(nameOf(tenant, key)),
    remove: (tenant, key) => {
      const name = nameOf(tenant, key);
      const found = open.get(name);
      if (found === undefined) return;
      size -= 1;
      if (found.older === undefined) open.delete(name);
      else open.set(name, found.older);
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

function nameOf(tenant: string, { correlationId, part }: IntentKey): string {
  return part === undefined ? tenant + ' ' + correlationId : tenant + ' ' + correlationId + ' ' + part;
}
