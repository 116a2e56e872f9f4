import type { Clock } from '../clock.ts';

/** What is known about a node's `/health`. */
export interface NodeHealth {
  readonly healthy: boolean;
  readonly checkedAt: Date;
}

export interface HealthWatch {
  /** The last result, however old; undefined before the first. Begins a new check when it is older than half its life. */
  last(): NodeHealth | undefined;
  /** A result that is at most 5 s old (design §12, "sick v1 node"). */
  current(): Promise<NodeHealth>;
}

const LIFE_MS = 5_000;

/** Watches lazily: nothing is asked while nobody wants to know, and one check is in flight at most. */
export function createHealthWatch(probe: () => Promise<boolean>, clock: Clock): HealthWatch {
  let known: NodeHealth | undefined;
  let checking: Promise<NodeHealth> | undefined;

  const ageMs = (): number => {
    if (known === undefined) return Infinity;
    const age = clock.now().getTime() - known.checkedAt.getTime();
    // The clock was set back: how old it is cannot be said.
    return age < 0 ? Infinity : age;
  };
  const check = (): Promise<NodeHealth> => {
    // It was asked at this moment, so it is not younger.
    const checkedAt = clock.now();
    checking ??= probe()
      .then((healthy) => (known = { healthy, checkedAt }))
      .finally(() => (checking = undefined));
    return checking;
  };
  return {
    last() {
      if (ageMs() > LIFE_MS / 2) void check();
      return known;
    },
    async current() {
      const age = ageMs();
      if (known === undefined || age > LIFE_MS) return check();
      if (age > LIFE_MS / 2) void check();
      return known;
    },
  };
}
