/** The one exchange that is measured: an organisation reads the Task of a transfer that it was offered. */

export const TENANT = 'oost';
export const CUSTODIAN = 'did:nuts:B8PUHs2AUHbFF1xLLK4eZjgErEcMXHxs68FteY7NDtCY';
export const REQUESTER = 'did:nuts:Ht8PQ5EYoXMeJY3jYkBPfYAmFhQmGGLXvJe3QWzMcwP4';
export const PURPOSE = 'eOverdracht-sender';
export const CREDENTIAL_ID = `${CUSTODIAN}#0f2c1a6e-8e3d-4f6b-9a71-5d0c4b7e2a10`;
export const TASK_ID = '5f0b0f5e-6d0c-4c43-9d1a-0f5b7c9d2e31';
export const TASK_PATH = `/Task/${TASK_ID}`;
export const RESOURCES = [{ path: TASK_PATH, operations: ['read', 'update'], userContext: false }] as const;

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** Of the size of a real v1 token (a JWT signed with ES256); nobody verifies it here but the node, which calls it active. */
export const TOKEN = [
  encode({ alg: 'ES256', kid: `${CUSTODIAN}#Tn2VUE1VBdEMbJQP4tbkoy9eXfLVe7fp7z1g4pYwzGk`, typ: 'JWT' }),
  encode({
    iss: CUSTODIAN,
    sub: REQUESTER,
    service: PURPOSE,
    vcs: [CREDENTIAL_ID],
    iat: 1_770_000_000,
    exp: 1_770_000_900,
    sid: null,
    purpose: 'benchmark',
  }),
  Buffer.alloc(64, 0x5a).toString('base64url'),
].join('.');

/** What a client of FHIR sends; the pass-through and the gateway get the same. */
export const HEADERS = {
  accept: 'application/fhir+json',
  authorization: `Bearer ${TOKEN}`,
  'user-agent': 'sluis-bench',
} as const;

/** The node's answer to introspection (nuts-node-api.md §1.1): active for an hour, with the one credential resolved. */
export function introspectionAnswer(nowMs: number): object {
  const second = Math.floor(nowMs / 1000);
  return {
    active: true,
    iss: CUSTODIAN,
    sub: REQUESTER,
    aud: '',
    service: PURPOSE,
    iat: second - 10,
    exp: second + 3_500,
    vcs: [CREDENTIAL_ID],
    resolvedVCs: [
      {
        '@context': ['https://nuts.nl/credentials/v1', 'https://www.w3.org/2018/credentials/v1'],
        id: CREDENTIAL_ID,
        type: ['NutsAuthorizationCredential', 'VerifiableCredential'],
        issuer: CUSTODIAN,
        issuanceDate: new Date(nowMs - 86_400_000).toISOString(),
        expirationDate: new Date(nowMs + 86_400_000).toISOString(),
        credentialSubject: { id: REQUESTER, purposeOfUse: PURPOSE, resources: RESOURCES },
      },
    ],
  };
}

const coding = (system: string, code: string, display: string): object => ({ system, code, display });

/** A Task of eOverdracht as the sender wrote it (STU3, 1.7 kB, compact); it names no patient, so that its review lets it pass unchanged. */
export const TASK = JSON.stringify({
  resourceType: 'Task',
  id: TASK_ID,
  meta: {
    versionId: '3',
    lastUpdated: '2026-02-03T10:15:00.000+00:00',
    profile: ['http://nictiz.nl/fhir/StructureDefinition/eOverdracht-Task'],
  },
  status: 'requested',
  intent: 'order',
  code: { coding: [coding('http://snomed.info/sct', '308292007', 'Overdracht van zorg')] },
  for: { display: 'Niet-identificerend' },
  authoredOn: '2026-02-03T10:14:58.120Z',
  lastModified: '2026-02-03T10:14:58.120Z',
  requester: {
    agent: { identifier: { system: 'http://nuts.nl', value: CUSTODIAN }, display: 'Ziekenhuis Oost, afdeling Transferpunt' },
  },
  owner: { identifier: { system: 'http://nuts.nl', value: REQUESTER }, display: 'Verpleeghuis De Linde' },
  input: [
    {
      type: {
        coding: [
          coding('http://loinc.org', '57830-2', 'Admission request Document'),
          coding('http://snomed.info/sct', '371535009', 'Transfer summary report (record artifact)'),
        ],
      },
      valueReference: { reference: 'Composition/2d5d7e0c-58a5-4a0c-8a2e-7c8f4c1e9b70' },
    },
    {
      type: {
        coding: [
          coding('http://loinc.org', '18761-7', 'Transfer summary note'),
          coding('http://snomed.info/sct', '371535009', 'Transfer summary report (record artifact)'),
        ],
      },
      valueReference: { reference: 'Composition/9b1f6a4e-0d6a-4c0e-b1f7-3f1c2a8d7e65' },
    },
  ],
  restriction: { period: { end: '2026-02-10T00:00:00+01:00' } },
});
