import { readdirSync, readFileSync } from 'node:fs';
import { parseResource } from '../fhir/resource.ts';
import type { Resource } from '../fhir/resource.ts';

/** The organisations that have a dossier here. Everybody in them is invented: names begin with `XXX_`, BSNs are test numbers. */
export type DossierName = 'ziekenhuis-oost' | 'thuiszorg-west' | 'zorghuis-noord';

export const DOSSIER_NAMES: readonly DossierName[] = ['ziekenhuis-oost', 'thuiszorg-west', 'zorghuis-noord'];

/** The references that the scenario and tests name, all in the dossier of `ziekenhuis-oost`. */
export const DOSSIER = {
  /** Who is transferred. */
  patient: 'Patient/b2f1c8d0-6f10-4e0c-b8f5-6f2a3f9c0d04',
  /** Of `patient`, without an identifying field; what the anonymous notice is about. */
  anonymousPatient: 'Patient/9a0d8e14-8f57-4a51-9a1f-3f0a7a6b0c03',
  /** Somebody else, in no transfer. */
  otherPatient: 'Patient/c723ab2b-91c7-5028-8ebe-44932e30518e',
  /** A ready, anonymous advance notice; all that it refers to are anonymous copies. */
  advanceNotice: 'Composition/1f6d6a52-2a2e-4c0e-8f5b-0d5b0b8f0a01',
  /** An advance notice that names the patient, and must be refused. */
  notAnonymousNotice: 'Composition/14d5b569-05b1-5e81-b6a7-a9545f812edb',
  /** A ready hand-off with nested sections, from `ziekenhuis-oost` to `thuiszorg-west`. */
  nursingHandoff: 'Composition/2a9c3c80-4b1d-4d7a-9a61-5c8e7d9b0b02',
  /** Medical diagnoses of `patient`. */
  diagnoses: ['Condition/c3a7b9e1-0d3b-4f7c-8f9d-1a2b3c4d0e05'],
  /** Nursing problems of `patient`, from which a notice can be built. */
  problems: [
    'Condition/a71b3a36-c2ef-504d-a078-53c31a335f13',
    'Condition/e789ba69-9a39-532e-9f16-409516781edb',
    'Condition/db8a6e8a-6e91-5594-a813-8696ea8fa765',
  ],
  /** Nursing interventions of `patient` (zib-NursingIntervention). */
  interventions: [
    'Procedure/d4b8caf2-1e4c-4a8d-9a0e-2b3c4d5e0f06',
    'Procedure/250390f9-53f8-5e07-9237-1447653318a0',
    'Procedure/3846a7ff-0085-5cbd-abfa-1e3dc10e47a1',
  ],
  coverage: 'Coverage/07ebfd25-417f-4db0-8d31-5e6f70811209',
  practitioner: 'Practitioner/290d1f47-6391-4fd2-8f53-70819203140b',
  /** Blood pressure; in a nested section of the hand-off. */
  vitalSign: 'Observation/bc8598a7-4bf3-57a5-8686-69c3cfd8e145',
  document: 'DocumentReference/e5c9db03-2f5d-4b9e-8b1f-3c4d5e6f1007',
  /** The attachment of `document`: one page. */
  pdf: 'Binary/f6daec14-306e-4caf-9c20-4d5e6f701108',
  /** Of `patient`, and not in the hand-off: a grant for the hand-off does not name it. */
  outsideGrant: 'Observation/29bf82f8-f2eb-53e8-a0e0-d889786df322',
  organizations: {
    'ziekenhuis-oost': 'Organization/18fc0e36-5280-4ec1-9e42-6f708192130a',
    'thuiszorg-west': 'Organization/4b2f3169-85b3-41f4-a175-92a314b5160d',
    'zorghuis-noord': 'Organization/5084283b-1e13-5a95-b71e-e5aa7c8104fb',
  },
} as const;

/** The STU3 resources of an organisation, ordered so that a reference follows what it refers to as far as that is possible. */
export function loadDossier(name: DossierName): readonly Resource[] {
  const folder = new URL(`./${name}/`, import.meta.url);
  return readdirSync(folder)
    .filter((file) => file.endsWith('.json'))
    .sort()
    .flatMap((file) => {
      const content: unknown = JSON.parse(readFileSync(new URL(file, folder), 'utf8'));
      if (!Array.isArray(content)) throw new Error(`${name}/${file} is no list of resources`);
      return content.map(parseResource);
    });
}
