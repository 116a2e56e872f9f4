/** The contract statements of generation v2 against a real v6 node: `NUTS_NODE_BIN` names its binary. */
import { WEB_STATEMENTS } from '../../contract/nuts/v2/statements.ts';
import { generationOf } from './node-process.ts';
import { runStatements, type Counts } from './run-statements.ts';
import { startWebNodes } from './web-pair.ts';

const { NUTS_NODE_BIN } = process.env;

async function main(): Promise<Counts> {
  const skipped = { passed: 0, failed: 0, skipped: WEB_STATEMENTS.length };
  if (NUTS_NODE_BIN === undefined) {
    console.log('skip  all: set NUTS_NODE_BIN');
    return skipped;
  }
  if ((await generationOf(NUTS_NODE_BIN)) === 'v5') {
    console.log('skip  all: a v5 node has generation v1 only');
    return skipped;
  }
  const real = await startWebNodes(NUTS_NODE_BIN);
  try {
    return await runStatements(WEB_STATEMENTS, real.nodes);
  } finally {
    await real.close();
  }
}

const { passed, failed, skipped } = await main();
console.log(`${skipped === 0 ? '' : `${skipped} skipped; `}${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
