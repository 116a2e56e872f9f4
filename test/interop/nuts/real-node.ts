/**
 * The contract statements against real Nuts nodes. `NUTS_NODE_BIN` names a binary (v5 or v6), of which two are started
 * (`NUTS_NODE_B_BIN` another one for the second); or
 * `NUTS_NODE_A_URL` and `NUTS_NODE_B_URL` (internal) and `NUTS_NODE_A_PUBLIC_URL`, `NUTS_NODE_B_PUBLIC_URL` name two that run.
 */
import { Skipped, STATEMENTS } from '../../contract/nuts/statements.ts';
import { pairOfProcesses, pairOfUrls, type RealPair } from './real-pair.ts';

const { NUTS_NODE_BIN, NUTS_NODE_B_BIN, NUTS_NODE_A_URL, NUTS_NODE_B_URL, NUTS_NODE_A_PUBLIC_URL, NUTS_NODE_B_PUBLIC_URL } =
  process.env;

async function open(): Promise<RealPair | undefined> {
  if (NUTS_NODE_BIN !== undefined) return pairOfProcesses(NUTS_NODE_BIN, NUTS_NODE_B_BIN);
  if (NUTS_NODE_A_URL === undefined || NUTS_NODE_B_URL === undefined) return undefined;
  const a = { internal: NUTS_NODE_A_URL, public: NUTS_NODE_A_PUBLIC_URL ?? NUTS_NODE_A_URL };
  const b = { internal: NUTS_NODE_B_URL, public: NUTS_NODE_B_PUBLIC_URL ?? NUTS_NODE_B_URL };
  return pairOfUrls(a, b);
}

const counts = { passed: 0, failed: 0, skipped: 0 };
const real = await open();

if (real === undefined) {
  console.log('skip  all: set NUTS_NODE_BIN, or NUTS_NODE_A_URL and NUTS_NODE_B_URL');
  counts.skipped = STATEMENTS.length;
} else {
  try {
    for (const { id, title, run } of STATEMENTS) {
      try {
        await run(real.pair);
        counts.passed += 1;
        console.log(`pass  ${id}: ${title}`);
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        if (error instanceof Skipped) {
          counts.skipped += 1;
          console.log(`skip  ${id}: ${title} (${why})`);
        } else {
          counts.failed += 1;
          console.log(`fail  ${id}: ${title}\n      ${why.replaceAll('\n', '\n      ')}`);
        }
      }
    }
  } finally {
    await real.close();
  }
}

console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exitCode = counts.failed === 0 ? 0 : 1;
