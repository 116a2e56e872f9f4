/**
 * The contract statements against real Nuts nodes. `NUTS_NODE_BIN` names a binary (v5 or v6), of which two are started
 * (`NUTS_NODE_B_BIN` another one for the second); or
 * `NUTS_NODE_A_URL` and `NUTS_NODE_B_URL` (internal) and `NUTS_NODE_A_PUBLIC_URL`, `NUTS_NODE_B_PUBLIC_URL` name two that run.
 */
import { STATEMENTS } from '../../contract/nuts/statements.ts';
import { runStatements, type Counts } from './run-statements.ts';
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

let counts: Counts = { passed: 0, failed: 0, skipped: STATEMENTS.length };
const real = await open();

if (real === undefined) console.log('skip  all: set NUTS_NODE_BIN, or NUTS_NODE_A_URL and NUTS_NODE_B_URL');
else {
  try {
    counts = await runStatements(STATEMENTS, real.pair);
  } finally {
    await real.close();
  }
}

console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exitCode = counts.failed === 0 ? 0 : 1;
