import { stringify } from 'yaml';
import type { Ports } from './ports.ts';
import type { Part } from './world.ts';

const HEADER = '# Written by the sandbox, for simulated organisations. Development only.\n';

/** The `sluis.yaml` of a world's gateway. */
export function gatewayConfig(ports: Ports, parts: readonly Part[], useCaseFolders: readonly string[]): string {
  const tenants = parts.flatMap(({ id, name, did, node, tenant }) =>
    tenant === undefined
      ? []
      : [
          [
            id,
            {
              name,
              did,
              subject: node.subject.id,
              authorizationServerUrl: node.subject.authorizationServerUrl,
              organizationIds: [node.subject.did],
              node: { url: node.url, generations: ['v1', 'v2'] },
              fhir: {
                url: tenant.fhir.url,
                version: tenant.definition.fhirVersion,
                ...(tenant.definition.document === undefined ? {} : { document: tenant.definition.document }),
                ...(tenant.definition.xml === undefined ? {} : { xml: tenant.definition.xml }),
              },
              useCases: tenant.definition.useCases,
            },
          ] as const,
        ],
  );
  return (
    HEADER +
    stringify({
      mode: 'development',
      public: { host: '127.0.0.1', port: ports.public, url: `http://127.0.0.1:${ports.public}` },
      internal: { host: '127.0.0.1', port: ports.internal },
      dataDirectory: './data',
      // Small machines develop too.
      audit: { segmentBytes: 4_194_304, minimumFreeBytes: 16_777_216 },
      limits: { drainMs: 5_000 },
      useCaseFolders: [...useCaseFolders],
      tenants: Object.fromEntries(tenants),
    })
  );
}
