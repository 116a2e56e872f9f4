/**
 * What a Nuts node of generation v1 (did:nuts) must answer, written once (fact sheet §11.2 and the sections it draws on). Run against
 * the simulator by `simulator.test.ts`, against real nodes by `test/interop/nuts/real-node.ts`.
 */
import type { Statement } from './peer-pair.ts';
import { credentialStatements } from './statements-credential.ts';
import { identityStatements } from './statements-identity.ts';
import { registryStatements } from './statements-registry.ts';
import { tokenStatements } from './statements-token.ts';

export { Skipped, type Peer, type PeerPair, type Statement } from './peer-pair.ts';

export const STATEMENTS: readonly Statement[] = [
  ...tokenStatements,
  ...credentialStatements,
  ...registryStatements,
  ...identityStatements,
];
