import { LRUCache } from 'lru-cache';
import type { StoredGrant } from './entry.ts';

/** Which grants: of this tenant, requester and purpose, naming this path. */
export interface CacheKey {
  readonly tenant: string;
  readonly requester: string;
  readonly purpose: string;
  readonly path: string;
}

/** Grants in memory, by path: a requester may have thousands of grants over a year, and only those of one path matter to one request. */
export interface GrantCache {
  get(key: CacheKey): Promise<readonly StoredGrant[]>;
  /**
   * Until the returned function is called, nothing about the key is answered from memory or kept there: a transaction is changing it, and from the very
   * moment of its commit the old answer would be wrong.
   */
  suspend(key: CacheKey): () => void;
}

export interface GrantCacheOptions {
  readonly maxAgeMs: number;
  readonly maxEntries: number;
  load(key: CacheKey): Promise<readonly StoredGrant[]>;
}

interface Entry {
  /** When reading began: what was committed before that is in it. */
  readonly since: number;
  readonly grants: Promise<readonly StoredGrant[]>;
}

/** Creates an empty cache. Its age is counted on the process's own monotonic clock, which nobody moves. */
export function createGrantCache(options: GrantCacheOptions): GrantCache {
  const entries = new LRUCache<string, Entry>({ max: options.maxEntries });
  const suspended = new Map<string, number>();

  return {
    get: (key) => {
      const name = print(key);
      if (suspended.has(name)) return options.load(key);
      const now = performance.now();
      const known = entries.get(name);
      if (known !== undefined && now - known.since < options.maxAgeMs) return known.grants;
      // Requests that come while it is being read share the one reading.
      const entry: Entry = { since: now, grants: options.load(key) };
      entries.set(name, entry);
      // A failure is told to those who wait, and not kept.
      entry.grants.catch(() => {
        if (entries.peek(name) === entry) entries.delete(name);
      });
      return entry.grants;
    },
    suspend: (key) => {
      const name = print(key);
      suspended.set(name, (suspended.get(name) ?? 0) + 1);
      entries.delete(name);
      let released = false;
      return () => {
        if (released) return;
        released = true;
        const left = (suspended.get(name) ?? 1) - 1;
        if (left === 0) suspended.delete(name);
        else suspended.set(name, left);
      };
    },
  };
}

function print({ tenant, requester, purpose, path }: CacheKey): string {
  return `${tenant}\0${requester}\0${purpose}\0${path}`;
}
