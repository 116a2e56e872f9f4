import { defineUseCase, permitByRule, z, type Role, type Rule } from 'sluis/usecase';

const MINE = ['Patient/mine'];
const IN_STORE = { from: 'look-up', element: 'subject', is: MINE } as const;
const CRITERIA: Rule['parameters'] = { patient: { any: true }, identifier: { any: true, optional: true } };

const rules: readonly Rule[] = [
  { id: 'read', interaction: 'read', types: ['Observation'], patient: IN_STORE },
  {
    id: 'search',
    interaction: 'search-type',
    types: ['Observation'],
    patient: { from: 'parameter', parameters: ['patient'], element: 'subject', is: MINE },
    parameters: { identifier: { any: true, optional: true } },
    maxCount: 10,
  },
  {
    id: 'create',
    interaction: 'create',
    types: ['Observation'],
    patient: { from: 'body', element: 'subject', is: MINE },
  },
  {
    id: 'update',
    interaction: 'update',
    types: ['Observation'],
    patient: { from: 'body', element: 'subject', is: MINE },
    obligations: [{ kind: 'guard-changes', changed: ['*'] }],
  },
  {
    id: 'patch',
    interaction: 'patch',
    types: ['Observation'],
    patient: IN_STORE,
    obligations: [
      {
        kind: 'guard-changes',
        changed: ['status', 'note', 'valueQuantity', 'subject', 'code'],
        states: [{ element: 'status', steps: [{ from: 'preliminary', to: 'final' }] }],
      },
    ],
  },
  { id: 'delete', interaction: 'delete', types: ['Observation'], patient: IN_STORE, ifMatch: 'required' },
  { id: 'create-if', interaction: 'conditional-create', types: ['Observation'], parameters: CRITERIA },
  { id: 'update-if', interaction: 'conditional-update', types: ['Observation'], parameters: CRITERIA },
  { id: 'patch-if', interaction: 'conditional-patch', types: ['Observation'], parameters: CRITERIA },
  { id: 'delete-if', interaction: 'conditional-delete', types: ['Observation'], parameters: CRITERIA },
  {
    id: 'last-n',
    interaction: 'operation-type',
    types: ['Observation'],
    operation: 'lastn',
    methods: ['GET', 'POST'],
    patient: { from: 'parameter', parameters: ['patient'], element: 'subject', is: MINE },
    parameters: { max: { range: [1, 5], optional: true } },
  },
  { id: 'everything', interaction: 'operation-instance', types: ['Patient'], operation: 'everything', instance: ['mine'] },
  { id: 'bundle', interaction: 'bundle', types: [] },
  { id: 'options', interaction: 'options', types: [] },
];

const writer: Role = { id: 'writer', purpose: 'writes', scopes: ['writes'], fhirVersion: 'R4', rules };

/** Every kind of write, about one patient: for tests of what is carried out. Its second role may write what it may not read. */
export const WRITES = defineUseCase({
  id: 'writes',
  title: 'Every kind of write',
  roles: [
    writer,
    {
      ...writer,
      id: 'blind',
      purpose: 'blind',
      scopes: ['blind'],
      rules: rules.filter(({ interaction }) => interaction !== 'read'),
    },
  ],
  parseConfig: (settings) => z.strictObject({}).parse(settings ?? {}),
  decide: permitByRule,
});
