import { defineUseCase, permitByRule, z, type Role } from 'sluis/usecase';
import { observationRules } from './observations.ts';

/** Whoever holds a token for `chart` sees one patient, `Patient/mine`, and its observations; all conditions are fixed, no grant is needed. */
const reader: Role = {
  id: 'reader',
  purpose: 'chart',
  scopes: ['chart'],
  fhirVersion: 'R4',
  rules: [
    {
      id: 'patient-read',
      title: 'The one patient',
      interaction: 'read',
      types: ['Patient'],
      instance: ['mine'],
      patient: { from: 'path', is: ['Patient/mine'] },
    },
    ...observationRules,
    { id: 'bundle', title: 'Batch and transaction of the lines here', interaction: 'bundle', types: [] },
    { id: 'metadata', title: 'What this role may ask', interaction: 'capabilities', types: [] },
  ],
};

/** The use case of the attack suite: small, with every kind of rule, and loaded from outside the repository as an integrator's would be. */
export default defineUseCase({
  id: 'chart',
  title: 'Chart of one patient',
  roles: [reader],
  parseConfig: (settings) => z.strictObject({}).parse(settings ?? {}),
  decide: permitByRule,
});
