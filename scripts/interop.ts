import { spawnSync } from 'node:child_process';

// Runs the same statements that hold the simulators to account against real peers, which environment variables name. Says what it skips, and why.

interface Peer {
  readonly name: string;
  /** Any one of these groups of variables is enough. */
  readonly needs: readonly (readonly string[])[];
  readonly program: string;
}

const PEERS: readonly Peer[] = [
  {
    name: 'Nuts node, generation v1',
    needs: [['NUTS_NODE_BIN'], ['NUTS_NODE_A_URL', 'NUTS_NODE_B_URL']],
    program: 'test/interop/nuts/real-node.ts',
  },
  {
    name: 'Nuts node, generation v2',
    needs: [['NUTS_NODE_BIN']],
    program: 'test/interop/nuts/real-web-node.ts',
  },
  {
    name: 'the whole gateway on Nuts nodes, generation v1',
    needs: [['NUTS_NODE_BIN']],
    program: 'test/interop/gateway/real-gateway.ts',
  },
  {
    name: 'the gate with tokens of a Nuts node, generation v2',
    needs: [['NUTS_NODE_BIN']],
    program: 'test/interop/gateway/opaque-tokens.ts',
  },
  {
    name: 'the gateway before a FHIR server, STU3',
    needs: [['FHIR_STU3_URL']],
    program: 'test/interop/fhir/real-server.ts',
  },
  {
    name: 'the gateway before a FHIR server, R4',
    needs: [['FHIR_R4_URL']],
    program: 'test/interop/fhir/real-r4-server.ts',
  },
];

let failed = 0;
let ran = 0;
for (const peer of PEERS) {
  if (!peer.needs.some((group) => group.every((name) => process.env[name] !== undefined))) {
    console.log(`skipped: ${peer.name}: set ${peer.needs.map((group) => group.join(' and ')).join(', or ')}`);
    continue;
  }
  console.log(`== ${peer.name}`);
  ran += 1;
  const result = spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', peer.program], { stdio: 'inherit' });
  if (result.status !== 0) failed += 1;
}
console.log(ran === 0 ? 'No peer was named, so nothing was tried.' : `${ran - failed} of ${ran} peers agree.`);
process.exitCode = failed === 0 ? 0 : 1;
