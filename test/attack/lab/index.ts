import { defineUseCase, permit, z, type JsonObject, type Role } from 'sluis/usecase';
import { behaviour, decideAsTold } from './behaviour.ts';

/** Whoever holds `lab` gets what the scenario says. */
const guest: Role = {
  id: 'guest',
  purpose: 'lab',
  scopes: ['lab'],
  fhirVersion: 'R4',
  claims: { ward: { type: 'string', pattern: /[A-Z]{1,4}/ } },
  rules: [{ id: 'patient-read', interaction: 'read', types: ['Patient'], instance: ['mine'], patient: { from: 'path' } }],
};

/** Only for a natural person. */
const person: Role = {
  id: 'person',
  purpose: 'lab-person',
  scopes: ['lab-person'],
  fhirVersion: 'R4',
  user: { id: 'employee_id', name: 'employee_name' },
  rules: [{ id: 'patient-read', interaction: 'read', types: ['Patient'], instance: ['mine'], user: 'required' }],
};

const PATIENT = { from: 'parameter', parameters: ['patient'], element: 'subject', is: ['Patient/mine'] } as const;

/** Sees less than there is. */
const narrowed: Role = {
  id: 'narrowed',
  purpose: 'lab-narrowed',
  scopes: ['lab-narrowed'],
  fhirVersion: 'R4',
  rules: [
    {
      id: 'observation-search',
      interaction: 'search-type',
      types: ['Observation'],
      patient: PATIENT,
      maxCount: 50,
      obligations: [
        { kind: 'redact', elements: ['Observation.performer.display', 'Observation.performer.identifier', 'Observation.text'] },
        { kind: 'filter', filter: 'unlabelled' },
      ],
    },
  ],
};

/** By a grant in the ledger alone. */
const granted: Role = {
  id: 'granted',
  purpose: 'lab-granted',
  scopes: ['lab-granted'],
  fhirVersion: 'R4',
  rules: [{ id: 'patient-read', interaction: 'read', types: ['Patient'], instance: 'granted' }],
};

/** May move a task on, by the steps that there are. */
const worker: Role = {
  id: 'worker',
  purpose: 'lab-task',
  scopes: ['lab-task'],
  fhirVersion: 'R4',
  rules: [
    {
      id: 'task-update',
      interaction: 'update',
      types: ['Task'],
      instance: ['1'],
      obligations: [
        {
          kind: 'guard-changes',
          changed: ['status'],
          states: [
            {
              element: 'status',
              steps: [
                { from: 'requested', to: 'accepted' },
                { from: 'accepted', to: 'completed' },
              ],
            },
          ],
        },
      ],
    },
  ],
};

const HIDDEN: ReadonlySet<string> = new Set(['R', 'V', '42CFR']);

function isLabelled(resource: JsonObject): boolean {
  const labels = z
    .object({ meta: z.object({ security: z.array(z.object({ code: z.string() })).optional() }).optional() })
    .safeParse(resource);
  return labels.data?.meta?.security?.some(({ code }) => HIDDEN.has(code)) === true;
}

/** The use case of the scenarios: it misbehaves when told to, and has what `chart` has not. */
export default defineUseCase({
  id: 'lab',
  title: 'What the attack suite needs besides its chart',
  roles: [guest, person, granted, narrowed, worker],
  parseConfig: (settings) => z.strictObject({}).parse(settings ?? {}),
  decide: (request, _config, information) => {
    if (behaviour.decide === undefined) return permit('by_lab');
    // Undefined is what a careless use case returns.
    return decideAsTold(request, information)!;
  },
  filters: [
    { name: 'unlabelled', keeps: ({ resource }) => (behaviour.keeps === undefined ? !isLabelled(resource) : behaviour.keeps()) },
  ],
});
