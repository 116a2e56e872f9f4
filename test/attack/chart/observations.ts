import type { Rule } from 'sluis/usecase';

const MINE = ['Patient/mine'];

/** Observations about the one patient: read, search, create, update. */
export const observationRules: readonly Rule[] = [
  {
    id: 'observation-read',
    title: 'An observation about the patient',
    interaction: 'read',
    types: ['Observation'],
    patient: { from: 'look-up', element: 'subject', is: MINE },
  },
  {
    id: 'observation-search',
    title: 'Observations about the patient',
    interaction: 'search-type',
    types: ['Observation'],
    patient: { from: 'parameter', parameters: ['patient', 'subject'], element: 'subject', is: MINE },
    parameters: {
      code: { any: true, optional: true },
      date: { any: true, optional: true },
      _sort: { oneOf: ['date', '-date'], optional: true },
    },
    includes: { match: 'subset', values: ['Observation:subject'], types: ['Patient'] },
    maxCount: 50,
  },
  {
    id: 'observation-create',
    title: 'A new observation about the patient',
    interaction: 'create',
    types: ['Observation'],
    patient: { from: 'body', element: 'subject', is: MINE },
  },
  {
    id: 'observation-update',
    title: 'Another version of an observation that stays about the patient',
    interaction: 'update',
    types: ['Observation'],
    ifMatch: 'required',
    patient: { from: 'body', element: 'subject', is: MINE },
    obligations: [{ kind: 'guard-changes', changed: ['*'] }],
  },
];
