import type { World } from './world.ts';

/** What `npm run sandbox -- --json` prints (design §11). */
export interface WorldDescription {
  readonly public: string;
  readonly internal: string;
  readonly control: string;
  readonly tenants: Readonly<Record<string, TenantDescription>>;
  /** Every name that can be a `requester` of `POST /tokens`. */
  readonly parties: Readonly<Record<string, { readonly did: string }>>;
}

export interface TenantDescription {
  readonly apiKey: string;
  readonly operatorKey: string;
  readonly did: string;
  readonly node: string;
  readonly fhir: string;
  readonly fhirVersion: 'STU3' | 'R4';
  /** Request bodies for the POST calls of the API, keyed `METHOD path` with the path below `/api/v1/tenants/{tenant}`. */
  readonly examples?: Readonly<Record<string, unknown>>;
}

export function describeWorld(world: World, control: string): WorldDescription {
  const dids = Object.fromEntries(world.organizations.map(({ id, did }) => [id, did]));
  const tenants = world.organizations.flatMap(({ id, did, node, tenant }) => {
    if (tenant === undefined) return [];
    const { definition, fhir, apiKey, operatorKey } = tenant;
    const description: TenantDescription = {
      apiKey,
      operatorKey,
      did,
      node: node.url,
      fhir: fhir.url,
      fhirVersion: definition.fhirVersion,
      ...(definition.examples === undefined ? {} : { examples: definition.examples(dids) }),
    };
    return [[id, description] as const];
  });
  return {
    public: world.public,
    internal: world.internal,
    control,
    tenants: Object.fromEntries(tenants),
    parties: Object.fromEntries(world.organizations.map(({ id, did }) => [id, { did }])),
  };
}

/** The same for a person, with a first call to try. */
export function printWorld(world: World, description: WorldDescription): readonly string[] {
  const [first] = Object.entries(description.tenants);
  const width = Math.max(...Object.keys(description.tenants).map((id) => id.length));
  return [
    `Sluis sandbox, world "${world.name}": simulated organisations, nodes and patients. For development only.`,
    '',
    `  public listener   ${description.public}/{tenant}/fhir     what other organisations reach`,
    `  API for EHRs      ${description.internal}/api/v1            described at ${description.internal}/docs`,
    `  health, metrics   ${description.internal}/health/ready, /metrics`,
    `  control           ${description.control}                   tokens, faults, clock, kill and start: GET / lists the calls`,
    `  gateway's log     ${world.logFile}`,
    '',
    ...Object.entries(description.tenants).flatMap(([id, tenant]) => [
      `  ${id.padEnd(width)}  ${tenant.did}`,
      `  ${''.padEnd(width)}  EHR key ${tenant.apiKey}`,
      `  ${''.padEnd(width)}  operator key ${tenant.operatorKey}`,
      `  ${''.padEnd(width)}  node ${tenant.node}, FHIR ${tenant.fhirVersion} ${tenant.fhir}`,
    ]),
    ...(first === undefined ? [] : ['', 'A first call:', ...firstCall(description, ...first)]),
    '',
    'Ctrl-C ends it.',
  ];
}

/** With a dossier an EHR's call to the API; without one a token, for a first read at the gate. */
function firstCall(world: WorldDescription, id: string, { apiKey, examples }: TenantDescription): readonly string[] {
  if (examples !== undefined) {
    return [
      `  curl -H 'Authorization: Bearer ${apiKey}' \\`,
      `    '${world.internal}/api/v1/tenants/${id}/organizations?service=eOverdracht-receiver'`,
    ];
  }
  const requester = Object.keys(world.parties).find((party) => world.tenants[party] === undefined) ?? id;
  return [
    `  curl -d '${JSON.stringify({ tenant: id, requester, scope: 'chart', generation: 'v2' })}' ${world.control}/tokens`,
    `  curl -H 'Authorization: Bearer <access_token>' '${world.public}/${id}/fhir/Observation?patient=mine'`,
  ];
}
