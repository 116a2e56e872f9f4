/** The token bucket that a node shares between its changing calls: a burst of 30, 3000 a day (facts §8.7). */
import type { Clock } from '../../clock.ts';

const BURST = 30;
const PER_SECOND = 3000 / 86_400;

export interface RateLimiter {
  /** Takes one; false when there is none left. */
  take(): boolean;
  reset(): void;
}

export function createRateLimiter(clock: Clock): RateLimiter {
  let left = BURST;
  let at = clock.now().getTime();
  return {
    take() {
      const now = clock.now().getTime();
      left = Math.min(BURST, left + (Math.max(0, now - at) / 1000) * PER_SECOND);
      at = now;
      if (left < 1) return false;
      left -= 1;
      return true;
    },
    reset() {
      left = BURST;
      at = clock.now().getTime();
    },
  };
}
