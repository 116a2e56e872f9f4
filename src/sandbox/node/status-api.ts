/** Status, health, metrics and diagnostics (facts §7). */
import type { NodeContext } from './context.ts';
import { json, plain, type Route } from './http.ts';
import type { Json } from './json.ts';

/** What diagnostics say, so that nobody takes this for a node. */
export const SOFTWARE_VERSION = 'simulator-v5.4-v6.2';

const COMPONENTS = ['crypto.filesystem', 'network.auth_config', 'network.tls', 'pki.crl'] as const;

export function statusRoutes(context: NodeContext): Route[] {
  return [
    { method: 'GET', path: '/status', handle: () => plain('OK', 'text/plain; charset=UTF-8') },
    {
      method: 'GET',
      path: '/status/diagnostics',
      handle: ({ request }) => {
        const wantsJson = request.headers.accept?.includes('application/json') === true;
        // YAML, of which JSON is a part.
        const text = JSON.stringify(diagnostics(context), null, 4);
        return wantsJson ? json(diagnostics(context)) : plain(`${text}\n`, 'text/plain; charset=UTF-8');
      },
    },
    {
      method: 'GET',
      path: '/health',
      handle: () => {
        const up = context.isHealthy();
        const down = { status: 'DOWN', details: 'the sandbox was told to be down' };
        const details = COMPONENTS.map((name) => [name, up || name !== 'crypto.filesystem' ? { status: 'UP' } : down]);
        return json({ status: up ? 'UP' : 'DOWN', details: Object.fromEntries(details) as Json }, up ? 200 : 503);
      },
    },
    {
      method: 'GET',
      path: '/metrics',
      handle: () =>
        plain(
          `# TYPE nuts_sandbox_credentials gauge\nnuts_sandbox_credentials ${context.network.credentials(context.store).length}\n`,
          'text/plain; version=0.0.4; charset=utf-8; escaping=values',
        ),
    },
  ];
}

function diagnostics(context: NodeContext): Json {
  const { network, store, clock } = context;
  const revoked = [...store.issued.keys()].filter((id) => network.revocations.has(id)).length;
  return {
    network: { connections: { connected_peers: [], connected_peers_count: 0 }, node_did: context.vendorDid },
    status: {
      git_commit: '0',
      os_arch: 'simulator',
      software_version: SOFTWARE_VERSION,
      uptime: Math.floor((clock.now().getTime() - context.startedAt()) / 1000),
    },
    vcr: {
      credential_count: network.credentials(store).length,
      issuer: { issued_credentials_count: store.issued.size, revoked_credentials_count: revoked },
      verifier: { revocations_count: network.revocations.size },
    },
    vdr: { conflicted_did_documents: { owned_count: 0, total_count: 0 } },
  };
}
