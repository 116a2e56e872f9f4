import type { Clock } from '../clock.ts';
import type { GatewayError } from '../errors.ts';

/** Stops calls to a target that does not work, so that callers wait for it no longer. One for each tenant and target. */
export interface Breaker {
  /** `half-open`: the next call is let through to try. */
  readonly state: 'closed' | 'open' | 'half-open';
  /** Runs the call, or throws the refusal at once while open. */
  run<T>(call: () => Promise<T>): Promise<T>;
  /** For calls whose outcome is known later or otherwise than by a throw: throws while open. */
  enter(): void;
  succeeded(): void;
  failed(): void;
}

export interface BreakerOptions {
  readonly clock: Clock;
  /** Failures in a row that open it; default 5. */
  readonly failures?: number;
  /** How long it stays open before one call may try, and between tries; default 2,000. */
  readonly openMs?: number;
  /** Whether an error is the target's failure; a caller's own fault (4xx) is not, and neither is an aborted call. */
  readonly isFailure: (error: unknown) => boolean;
  /** What callers get while it is open. */
  readonly refusal: (retryAfterSeconds: number) => GatewayError;
}

/** Creates a closed breaker. */
export function createBreaker(options: BreakerOptions): Breaker {
  const { clock, failures = 5, openMs = 2_000, isFailure, refusal } = options;
  let failed = 0;
  /** When the next try is due; a try that never comes back delays the following by no more than `openMs`. */
  let tryAt = 0;

  // A clock that was set back must not keep it open for longer than `openMs`.
  const waitMs = (): number => {
    const left = tryAt - clock.now().getTime();
    return left > openMs ? 0 : Math.max(0, left);
  };
  const breaker: Breaker = {
    get state() {
      if (failed < failures) return 'closed';
      return waitMs() > 0 ? 'open' : 'half-open';
    },
    enter() {
      if (failed < failures) return;
      const left = waitMs();
      if (left > 0) throw refusal(Math.ceil(left / 1000));
      tryAt = clock.now().getTime() + openMs;
    },
    succeeded() {
      failed = 0;
    },
    failed() {
      failed += 1;
      if (failed >= failures) tryAt = clock.now().getTime() + openMs;
    },
    async run(call) {
      breaker.enter();
      try {
        const result = await call();
        breaker.succeeded();
        return result;
      } catch (error) {
        if (isFailure(error)) breaker.failed();
        throw error;
      }
    },
  };
  return breaker;
}
