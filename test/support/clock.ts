import type { MovableClock } from '../../src/clock.ts';

/** A clock that stands still until it is moved: what is measured by it passes no time while a slow machine works. */
export function createStandingClock(at = new Date('2026-11-24T10:00:00.000Z')): MovableClock {
  let nowMs = at.getTime();
  return {
    now: () => new Date(nowMs),
    advance: (seconds) => {
      nowMs += seconds * 1000;
    },
  };
}
