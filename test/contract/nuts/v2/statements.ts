/**
 * What a Nuts node of generation v2 (did:web, opaque tokens) must answer, written once (fact sheet §11.2 and the sections it draws on).
 * Run against the simulator by `simulator.test.ts`, against a real node by `test/interop/nuts/real-web-node.ts`.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { dpopStatements } from './statements-dpop.ts';
import { gateStatements } from './statements-gate.ts';
import { holdingStatements } from './statements-holding.ts';
import { introspectionStatements } from './statements-introspection.ts';
import { requestStatements } from './statements-request.ts';
import type { WebStatement } from './web-nodes.ts';

export const WEB_STATEMENTS: readonly WebStatement[] = [
  ...introspectionStatements,
  ...dpopStatements,
  ...gateStatements,
  ...requestStatements,
  ...holdingStatements,
];

/** The policy and discovery files that the nodes must have. */
export const POLICY_FILE = join(import.meta.dirname, 'policy.json');
export const DISCOVERY_FILE = join(import.meta.dirname, 'discovery.json');

export const WEB_ORGANIZATIONS = {
  a: { name: 'Ziekenhuis De Zonnebloem', city: 'Caretown' },
  b: { name: 'Verpleeghuis Avondrood', city: 'Nursingham' },
};

/** The discovery service, served by the node whose public base this is. */
export function discoveryAt(base: string): unknown {
  const definition: unknown = JSON.parse(readFileSync(DISCOVERY_FILE, 'utf8'));
  return { ...(definition as object), endpoint: `${base}/discovery/care-services` };
}
