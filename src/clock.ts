/**
 * The only reader of the time. Everything that needs "now" takes a `Clock`, so that a test or the sandbox can move it.
 */
export interface Clock {
  /** The present moment, wall time. */
  now(): Date;
}

/** A clock that can be moved forward; the sandbox gives one to every part so that a year passes in a call. */
export interface MovableClock extends Clock {
  /** Moves the clock by `seconds`, which may be negative. */
  advance(seconds: number): void;
}

/** The machine's own clock, moved by `offsetMs` from the start. */
export function createClock(offsetMs = 0): MovableClock {
  let offset = offsetMs;
  return {
    now: () => new Date(Date.now() + offset),
    advance: (seconds) => {
      offset += seconds * 1000;
    },
  };
}
