import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Waits until a condition holds. The limit is there to end a test that fails, and far from what a slow machine needs.
 * @throws Error when it did not come to hold
 */
export async function until(condition: () => boolean | Promise<boolean>, limitMs = 60_000): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`did not become true within ${limitMs} ms`);
    await sleep(10);
  }
}
