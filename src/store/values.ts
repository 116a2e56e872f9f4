/** What either database takes as a bound value. */
export type BoundValue = null | number | bigint | string | Uint8Array;

/**
 * Converts a value for binding, the same for both databases: a Date becomes ISO text, a boolean 0 or 1.
 *
 * `node:sqlite` takes a Date in first place for named parameters and silently stores nulls; `pg` would write it in local time.
 * @throws TypeError for `undefined`, NaN, integers beyond 2^53 and everything that is no value: a null by accident is a lost fact.
 */
export function toBoundValue(value: unknown): BoundValue {
  if (value === null || typeof value === 'string' || value instanceof Uint8Array) return value;
  if (typeof value === 'boolean') return value ? 1 : 0;
  if (value instanceof Date) return value.toISOString();
  if (typeof value === 'bigint') {
    if (value > MAX_BIGINT || value < -MAX_BIGINT - 1n) throw new TypeError('an integer of more than 64 bits cannot be stored');
    return value;
  }
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new TypeError(`${value} cannot be stored`);
    if (Number.isInteger(value) && !Number.isSafeInteger(value))
      throw new TypeError('an integer beyond 2^53 cannot be stored as a number');
    return value;
  }
  throw new TypeError(`a value of type ${typeof value} cannot be stored`);
}

const MAX_BIGINT = 2n ** 63n - 1n;
